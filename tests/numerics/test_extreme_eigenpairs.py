import math

import pytest
import scipy.sparse.linalg
import torch

from localmin.errors import InputError
from localmin.numerics import extreme_eigenpairs


def symmetric(size: int, seed: int = 0) -> torch.Tensor:
    matrix = torch.randn(size, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (matrix + matrix.T) / 2


class Counted:
    def __init__(self, matrix: torch.Tensor) -> None:
        self.matrix = matrix
        self.calls = 0

    def __call__(self, vector: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return self.matrix @ vector


def test_both_ends_agree_with_arpack() -> None:
    matrix = symmetric(150)
    product = Counted(matrix)
    ends = extreme_eigenpairs(product, 150, num_steps=80, num_starts=2, seed=3)
    low, high = scipy.sparse.linalg.eigsh(matrix.numpy(), k=2, which="BE", return_eigenvectors=False)
    assert ends.smallest.value == pytest.approx(low, rel=1e-9)
    assert ends.largest.value == pytest.approx(high, rel=1e-9)
    assert (ends.status, ends.is_exhaustive, ends.num_steps, ends.num_starts) == ("converged", False, 80, 2)
    assert ends.num_products == product.calls == 162


def test_residuals_are_explicit_and_enclose_an_eigenvalue() -> None:
    matrix = symmetric(200, seed=1)
    ends = extreme_eigenpairs(lambda v: matrix @ v, 200, num_steps=12, num_starts=1)
    spectrum = torch.linalg.eigvalsh(matrix)
    assert ends.status == "max-steps"
    for pair in (ends.smallest, ends.largest):
        residual = float((matrix @ pair.vector - pair.value * pair.vector).norm())
        assert pair.residual_norm == pytest.approx(residual, rel=1e-9)
        assert residual > 1e-3
        assert float((spectrum - pair.value).abs().min()) <= residual
        assert abs(float(pair.vector @ matrix @ pair.vector) - pair.value) < 1e-12
    assert ends.smallest.value > float(spectrum[0])
    assert ends.largest.value < float(spectrum[-1])


def test_a_budget_of_the_whole_space_is_exhaustive() -> None:
    diagonal = torch.tensor([4.0, -1e-6, 4.0, 1.0, 0.0], dtype=torch.float64)
    ends = extreme_eigenpairs(lambda v: diagonal * v, 5, num_steps=1000, num_starts=1)
    assert ends.is_exhaustive
    assert ends.num_steps == 5
    assert ends.smallest.value == pytest.approx(-1e-6, rel=1e-6)
    assert abs(float(ends.smallest.vector[1])) == pytest.approx(1.0)


def test_more_starts_never_show_less() -> None:
    matrix = symmetric(300, seed=2)
    one = extreme_eigenpairs(lambda v: matrix @ v, 300, num_steps=8, num_starts=1, seed=0)
    four = extreme_eigenpairs(lambda v: matrix @ v, 300, num_steps=8, num_starts=4, seed=0)
    assert four.smallest.value < one.smallest.value
    assert four.largest.value > one.largest.value


def test_the_seed_decides_the_starts() -> None:
    matrix = symmetric(100)
    values = [
        extreme_eigenpairs(lambda v: matrix @ v, 100, num_steps=5, seed=s).smallest.value for s in (0, 0, 1)
    ]
    assert values[0] == values[1] != values[2]


def test_a_product_that_is_never_finite_is_a_status() -> None:
    ends = extreme_eigenpairs(lambda v: v * math.nan, 4, num_steps=3, num_starts=2)
    assert ends.status == "not-finite"
    assert math.isnan(ends.smallest.value)
    assert (ends.num_steps, ends.num_products) == (0, 2)


def test_a_product_that_stops_being_finite_is_a_status() -> None:
    calls = 0

    def product(vector: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return vector * (math.inf if calls == 3 else 1.0) * torch.arange(6, dtype=torch.float64)

    ends = extreme_eigenpairs(product, 6, num_steps=4, num_starts=2)
    assert ends.status == "not-finite"
    assert ends.num_steps == 2
    assert ends.num_products == calls == 3 + 4 + 2
    assert math.isfinite(ends.smallest.value)


@pytest.mark.parametrize("arguments", [(0, 1, 1), (3, 0, 1), (3, 1, 0)])
def test_counts_must_be_positive(arguments: tuple[int, int, int]) -> None:
    size, num_steps, num_starts = arguments
    with pytest.raises(InputError, match="to be at least 1"):
        extreme_eigenpairs(lambda v: v, size, num_steps=num_steps, num_starts=num_starts)
