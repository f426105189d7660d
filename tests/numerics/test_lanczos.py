import math

import pytest
import torch

from localmin.errors import InputError, ShapeError
from localmin.numerics import KrylovSpace, as_generator, lanczos, normal_vector


def symmetric(size: int, seed: int = 0) -> torch.Tensor:
    matrix = torch.randn(size, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (matrix + matrix.T) / 2


def grow(matrix: torch.Tensor, start: torch.Tensor, max_steps: int, seed: int = 0) -> list[KrylovSpace]:
    return list(lanczos(lambda v: matrix @ v, start, max_steps=max_steps, generator=as_generator(seed)))


def test_the_basis_is_orthonormal_and_makes_the_operator_tridiagonal() -> None:
    matrix = symmetric(40)
    spaces = grow(matrix, normal_vector(40, as_generator(1)), 15)
    assert [len(space.diagonal) for space in spaces] == list(range(1, 16))
    last = spaces[-1]
    identity = torch.eye(15, dtype=torch.float64)
    torch.testing.assert_close(last.basis @ last.basis.T, identity, rtol=0, atol=1e-14)
    coupling = torch.tensor(last.off_diagonal[:-1], dtype=torch.float64)
    tridiagonal = (
        torch.diag(torch.tensor(last.diagonal, dtype=torch.float64))
        + torch.diag(coupling, 1)
        + torch.diag(coupling, -1)
    )
    torch.testing.assert_close(last.basis @ matrix @ last.basis.T, tridiagonal, rtol=0, atol=1e-13)


def test_a_full_run_finds_every_eigenvalue() -> None:
    matrix = symmetric(30, seed=3)
    last = grow(matrix, normal_vector(30, as_generator(2)), 100)[-1]
    torch.testing.assert_close(last.ritz_values(), torch.linalg.eigvalsh(matrix), rtol=0, atol=1e-12)


def test_orthogonality_survives_a_converged_end() -> None:
    # The classical failure: without reorthogonalisation copies of the isolated eigenvalue appear.
    diagonal = torch.linspace(0.0, 1.0, 200, dtype=torch.float64)
    diagonal[-1] = 1e4
    last = list(
        lanczos(
            lambda v: diagonal * v,
            torch.ones(200, dtype=torch.float64),
            max_steps=120,
            generator=as_generator(0),
        )
    )[-1]
    gram = last.basis @ last.basis.T
    assert float((gram - torch.eye(120, dtype=torch.float64)).abs().max()) < 1e-13
    assert int((last.ritz_values() > 2.0).sum()) == 1


def test_the_predicted_residual_is_the_true_one_and_values_approach_from_inside() -> None:
    matrix = symmetric(60, seed=4)
    truth = torch.linalg.eigvalsh(matrix)
    previous = math.inf
    for space in grow(matrix, normal_vector(60, as_generator(5)), 35):
        pair = space.ritz_pair("smallest")
        residual = float((matrix @ pair.vector - pair.value * pair.vector).norm())
        assert pair.residual_estimate == pytest.approx(residual, rel=1e-6, abs=1e-12)
        assert abs(float(pair.vector.norm()) - 1.0) < 1e-14
        assert truth[0] - 1e-12 <= pair.value <= previous + 1e-12
        assert space.ritz_pair("largest").value <= truth[-1] + 1e-12
        previous = pair.value
    assert float(truth[0]) == pytest.approx(previous, abs=1e-6)


def test_an_invariant_subspace_is_left() -> None:
    # The start has no component along the negative eigenvector; only the restart can see it.
    diagonal = torch.tensor([2.0, 2.0, 2.0, 1.0, -5.0], dtype=torch.float64)
    start = torch.tensor([1.0, 0.0, 0.0, 0.0, 0.0], dtype=torch.float64)
    spaces = grow(torch.diag(diagonal), start, 5)
    assert spaces[0].off_diagonal == (0.0,)
    assert spaces[0].ritz_pair("smallest").residual_estimate == 0.0
    torch.testing.assert_close(spaces[-1].ritz_values(), diagonal.sort().values, rtol=0, atol=1e-12)


def test_the_zero_operator_is_exact_at_once() -> None:
    spaces = grow(torch.zeros(4, 4, dtype=torch.float64), normal_vector(4, as_generator(0)), 4)
    assert len(spaces) == 4
    assert spaces[-1].ritz_values().abs().max() == 0.0


def test_a_consumer_can_stop_early() -> None:
    calls = 0

    def product(vector: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return vector * torch.linspace(-1.0, 1.0, 50, dtype=torch.float64)

    for space in lanczos(
        product, torch.ones(50, dtype=torch.float64), max_steps=50, generator=as_generator(0)
    ):
        if space.ritz_pair("smallest").value < -0.5:
            break
    assert 1 < calls < 10


def test_a_product_that_is_not_finite_ends_the_process() -> None:
    diagonal = torch.linspace(1.0, 2.0, 10, dtype=torch.float64)
    calls = 0

    def product(vector: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return diagonal * vector if calls < 4 else vector * math.nan

    spaces = list(
        lanczos(product, torch.ones(10, dtype=torch.float64), max_steps=10, generator=as_generator(0))
    )
    assert len(spaces) == 3
    assert all(math.isfinite(value) for value in spaces[-1].diagonal)


def test_the_length_and_sign_of_the_start_do_not_matter() -> None:
    matrix = symmetric(20)
    start = normal_vector(20, as_generator(0))
    values = grow(matrix, start, 8)[-1].ritz_values()
    torch.testing.assert_close(grow(matrix, -1e6 * start, 8)[-1].ritz_values(), values, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("start", "max_steps", "message"),
    [
        (torch.ones(3), 2, "expected a float64 vector"),
        (torch.ones(3, 1, dtype=torch.float64), 2, r"got torch.float64 of shape \(3, 1\)"),
        (torch.zeros(3, dtype=torch.float64), 2, "not zero, got one of norm 0.0"),
        (torch.full((3,), math.nan, dtype=torch.float64), 2, "got one of norm nan"),
        (torch.ones(3, dtype=torch.float64), 0, "expected max_steps >= 1, got 0"),
    ],
)
def test_bad_input_is_refused_before_the_first_product(
    start: torch.Tensor, max_steps: int, message: str
) -> None:
    with pytest.raises((InputError, ShapeError), match=message):
        lanczos(lambda v: v, start, max_steps=max_steps, generator=as_generator(0))
