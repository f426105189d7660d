import numpy as np
import pytest
import scipy.linalg
import torch

from localmin.errors import InputError, ShapeError
from localmin.numerics import null_space_basis, numerical_rank


def matrix_with(values: list[float], shape: tuple[int, int], seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    left = torch.linalg.qr(torch.randn(shape[0], shape[0], generator=generator, dtype=torch.float64)).Q
    right = torch.linalg.qr(torch.randn(shape[1], shape[1], generator=generator, dtype=torch.float64)).Q
    diagonal = torch.diag(torch.tensor(values, dtype=torch.float64))
    matrix: torch.Tensor = left[:, : len(values)] @ diagonal @ right[: len(values)]
    return matrix


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 5)])
@pytest.mark.parametrize("rank", [0, 1, 3])
def test_rank_and_null_space_of_constructed_matrices(shape: tuple[int, int], rank: int) -> None:
    matrix = matrix_with([10.0 / (index + 1) for index in range(rank)], shape)
    assert numerical_rank(matrix) == rank
    basis = null_space_basis(matrix)
    assert basis.shape == (shape[1], shape[1] - rank)
    identity = torch.eye(shape[1] - rank, dtype=torch.float64)
    torch.testing.assert_close(basis.T @ basis, identity, rtol=0, atol=1e-13)
    assert float((matrix @ basis).abs().max()) < 1e-13


def test_null_space_spans_what_scipy_finds() -> None:
    matrix = matrix_with([3.0, 2.0, 0.5], (7, 6), seed=2)
    ours = null_space_basis(matrix)
    theirs = torch.from_numpy(np.ascontiguousarray(scipy.linalg.null_space(matrix.numpy())))
    torch.testing.assert_close(ours @ ours.T, theirs @ theirs.T, rtol=0, atol=1e-12)


def test_tolerances_are_relative_or_absolute_and_strict() -> None:
    matrix = torch.diag(torch.tensor([100.0, 1.0, 1e-6], dtype=torch.float64))
    assert numerical_rank(matrix) == 3
    assert numerical_rank(matrix, tolerance_relative=1e-7) == 2
    assert numerical_rank(matrix, tolerance_relative=0.1) == 1
    assert numerical_rank(matrix, tolerance_absolute=1e-7) == 3
    assert numerical_rank(matrix, tolerance_absolute=1.0) == 1
    assert null_space_basis(matrix, tolerance_relative=0.1).shape == (3, 2)
    assert null_space_basis(matrix, tolerance_absolute=200.0).shape == (3, 3)


def test_scaling_the_matrix_does_not_change_the_rank() -> None:
    matrix = matrix_with([1.0, 1e-3, 1e-14], (5, 4))
    assert [numerical_rank(scale * matrix, tolerance_relative=1e-9) for scale in (1e-30, 1.0, 1e30)] == [
        2,
        2,
        2,
    ]


@pytest.mark.parametrize(("shape", "nullity"), [((0, 3), 3), ((3, 0), 0), ((0, 0), 0)])
def test_empty_matrices(shape: tuple[int, int], nullity: int) -> None:
    matrix = torch.zeros(shape, dtype=torch.float64)
    assert numerical_rank(matrix) == 0
    assert null_space_basis(matrix).shape == (shape[1], nullity)


def test_a_zero_matrix_has_rank_zero() -> None:
    assert numerical_rank(torch.zeros(3, 3)) == 0
    assert null_space_basis(torch.zeros(2, 3)).shape == (3, 3)


def test_bad_input_is_refused() -> None:
    with pytest.raises(
        ShapeError, match=r"floating-point matrix \(m, n\), got torch.float32 of shape \(3,\)"
    ):
        numerical_rank(torch.zeros(3))
    with pytest.raises(ShapeError, match=r"got torch\.int64"):
        null_space_basis(torch.zeros(3, 3, dtype=torch.int64))
    with pytest.raises(InputError, match="got both"):
        numerical_rank(torch.zeros(3, 3), tolerance_relative=1e-3, tolerance_absolute=1e-3)
    with pytest.raises(InputError, match="not negative, got -1"):
        null_space_basis(torch.zeros(3, 3), tolerance_relative=-1.0)
