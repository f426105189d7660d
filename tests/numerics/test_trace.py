import pytest
import torch
from torch import Tensor

from localmin.errors import InputError
from localmin.numerics import estimate_trace

SIZE = 400


def operator(decay: float) -> Tensor:
    """A dense symmetric matrix with eigenvalues of both signs that decay geometrically."""
    generator = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(SIZE, SIZE, generator=generator, dtype=torch.float64))[0]
    values = decay ** torch.arange(SIZE, dtype=torch.float64)
    values[1::3] *= -0.5
    matrix: Tensor = basis * values @ basis.mT
    return matrix


@pytest.mark.parametrize("method", ["hutchinson", "hutch++"])
def test_errors_over_seeds_are_what_the_error_bars_say(method: str) -> None:
    matrix = operator(0.9)
    runs = [
        estimate_trace(lambda v: matrix @ v, SIZE, num_products=90, method=method, seed=seed)  # type: ignore[arg-type]
        for seed in range(60)
    ]
    errors = torch.tensor([run.value - float(matrix.trace()) for run in runs])
    bars = torch.tensor([run.standard_error for run in runs])
    assert 0.7 < float(errors.square().mean().sqrt() / bars.square().mean().sqrt()) < 1.4
    # Unbiased: the mean error is within four of its own standard errors.
    assert float(errors.mean().abs()) < 4.0 * float(bars.square().mean().sqrt()) / 60**0.5
    assert {run.num_products for run in runs} == {90}


def test_hutch_plus_plus_is_more_accurate_where_few_eigenvalues_dominate() -> None:
    matrix = operator(0.8)
    bars = {
        method: estimate_trace(lambda v: matrix @ v, SIZE, num_products=60, method=method).standard_error
        for method in ("hutchinson", "hutch++")
    }
    assert bars["hutch++"] < 0.1 * bars["hutchinson"]


def test_a_large_budget_is_exact() -> None:
    matrix = operator(0.99)
    found = estimate_trace(lambda v: matrix @ v, SIZE, num_products=SIZE)
    assert (found.method, found.standard_error, found.num_products) == ("exact", 0.0, SIZE)
    assert found.value == pytest.approx(float(matrix.trace()), rel=1e-9)
    assert found.to_dict()["method"] == "exact"


@pytest.mark.parametrize("options", [{"num_products": 5}, {"method": "xtrace"}, {"seed": -1}])
def test_bad_options_are_named(options: dict[str, object]) -> None:
    with pytest.raises(InputError, match="expected"):
        estimate_trace(lambda v: v, 100, **options)  # type: ignore[arg-type]
