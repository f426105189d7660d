import pytest
import torch

from localmin.errors import InputError, ShapeError
from localmin.reduction import recombine
from localmin.reduction.caratheodory import Solver
from localmin.testing.reduction_reference import linear_program_vertex


def problem(
    num_rows: int, num_columns: int, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    columns = torch.rand(num_rows, num_columns, generator=generator, dtype=torch.float64)
    columns = columns * 10.0 ** (4 * torch.rand(num_columns, generator=generator, dtype=torch.float64) - 2)
    weights = torch.rand(num_columns, generator=generator, dtype=torch.float64) + 0.1
    costs = torch.rand(num_columns, generator=generator, dtype=torch.float64) + 0.1
    return columns, weights, costs


@pytest.mark.parametrize("solver", ["dense", "blocked", "tree", "auto"])
@pytest.mark.parametrize("num_columns", [11, 14, 60, 200])
def test_sum_is_kept_cost_does_not_rise_and_few_columns_stay(solver: Solver, num_columns: int) -> None:
    columns, weights, costs = problem(10, num_columns)
    result = recombine(columns, weights, costs, solver=solver)
    assert len(result.indices) <= 10
    assert bool((result.weights > 0).all())
    kept = columns[:, result.indices] @ result.weights
    target = columns @ weights
    assert float((kept - target).norm()) <= 1e-12 * float(target.norm())
    assert result.cost_after <= result.cost_before * (1 + 1e-12)
    assert result.cost_after == pytest.approx(float(costs[result.indices] @ result.weights), rel=1e-12)


def test_nnls_with_the_cost_row_keeps_the_cost() -> None:
    columns, weights, costs = problem(10, 60)
    result = recombine(columns, weights, costs, solver="nnls")
    assert len(result.indices) <= 11
    assert result.cost_after == pytest.approx(result.cost_before, rel=1e-9)


def test_steepest_descent_comes_close_to_the_linear_programme() -> None:
    columns, weights, costs = problem(12, 40, seed=3)
    best = linear_program_vertex(columns, weights, costs)
    assert best is not None
    value = recombine(columns, weights, costs, solver="dense").cost_after
    assert float(costs @ best) * (1 - 1e-9) <= value <= 1.1 * float(costs @ best)


def test_dependent_rows_leave_no_more_than_the_rank() -> None:
    columns, weights, costs = problem(4, 30)
    repeated = torch.cat([columns, columns, columns.sum(dim=0, keepdim=True)])
    assert len(recombine(repeated, weights, costs).indices) <= 4


def test_fewer_columns_than_rows_but_dependent() -> None:
    columns, weights, costs = problem(3, 6)
    tall = torch.cat([columns, 2 * columns, -columns])
    assert len(recombine(tall, weights, costs).indices) <= 3


def test_independent_columns_all_stay() -> None:
    columns, weights, costs = problem(8, 8)
    result = recombine(columns, weights, costs)
    assert result.indices.tolist() == list(range(8))
    assert torch.allclose(result.weights, weights, rtol=1e-10)


def test_zero_columns_and_zero_weights_go() -> None:
    columns = torch.tensor([[1.0, 0.0, 5.0]]).double()
    result = recombine(columns, torch.tensor([1.0, 1.0, 0.0]).double(), torch.ones(3).double())
    assert (result.indices.tolist(), result.weights.tolist()) == ([0], [1.0])


def test_bad_input() -> None:
    columns, weights, costs = problem(3, 5)
    with pytest.raises(ShapeError, match="float64"):
        recombine(columns.float(), weights, costs)
    with pytest.raises(ShapeError, match="weights"):
        recombine(columns, weights[:4], costs)
    with pytest.raises(InputError, match="costs: expected no negative"):
        recombine(columns, weights, -costs)
    with pytest.raises(InputError, match="simplex"):
        recombine(columns, weights, costs, solver="simplex")  # type: ignore[arg-type]
