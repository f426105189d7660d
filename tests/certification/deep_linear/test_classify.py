import json
import math

import pytest
import torch
from torch import Tensor

from localmin.certification import (
    DeepLinearClassification,
    classify_deep_linear,
    construct_critical_point,
)
from localmin.certification.deep_linear import second_derivative
from localmin.errors import DataError, InputError, ShapeError
from localmin.numerics import flatten_tensors
from localmin.testing.certification_reference import dense_deep_linear_hessian, random_constructed_point

X = torch.eye(2, dtype=torch.float64)
Y = torch.diag(torch.tensor([3.0, 1.0], dtype=torch.float64))


def diagonal(*entries: float) -> Tensor:
    return torch.diag(torch.tensor(entries, dtype=torch.float64))


def matrix(*rows: list[float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


ZERO, ONE = diagonal(0.0, 0.0), diagonal(1.0, 1.0)
ROOT = math.sqrt(3.0)
CUBE_ROOT = 3.0 ** (1 / 3)


@pytest.mark.parametrize(
    ("weights", "verdict", "smallest"),
    [
        ([matrix([0, 0], [0, 0], [0, 0]), matrix([0, 0, 0], [0, 0, 0])], "strict-saddle", -3.0),
        ([ZERO] * 3, "non-strict-saddle", 0.0),
        ([diagonal(ROOT, 0.0)] * 2, "strict-saddle", -1.0),
        ([diagonal(0.0, 1.0)] * 2, "strict-saddle", -3.0),
        ([matrix([0, 1]), matrix([0], [1])], "strict-saddle", -2.0),
        ([matrix([ROOT, 0]), matrix([ROOT], [0])], "global-minimum", 0.0),
        ([diagonal(CUBE_ROOT, 0.0)] * 3, "non-strict-saddle", 0.0),
        ([diagonal(3.0**0.25, 0.0)] * 4, "non-strict-saddle", 0.0),
        (
            [diagonal(CUBE_ROOT, 0.0), diagonal(CUBE_ROOT, 0.7), diagonal(CUBE_ROOT, 0.0)],
            "strict-saddle",
            -0.7,
        ),
        ([ZERO, ZERO, ONE], "strict-saddle", -3.0),
        ([ZERO, ZERO, ZERO, ONE], "non-strict-saddle", 0.0),
        ([matrix([0, 2], [0, 0]), ZERO, ZERO], "strict-saddle", -2.0),
    ],
)
def test_points_in_closed_form(weights: list[Tensor], verdict: str, smallest: float) -> None:
    found = classify_deep_linear(weights, X, Y)
    assert found.verdict == verdict
    eigenvalues = torch.linalg.eigvalsh(dense_deep_linear_hessian(weights, X, Y))
    assert float(eigenvalues[0]) == pytest.approx(smallest, abs=1e-9)
    assert found.recheck(weights, X, Y).holds
    if verdict == "strict-saddle":
        assert found.witness is not None
        assert found.curvature is not None
        length = float(flatten_tensors(found.witness).square().sum())
        assert smallest - 1e-9 <= found.curvature / length < 0.0


def test_predicted_curvatures_in_closed_form() -> None:
    exchange = classify_deep_linear([diagonal(0.0, 1.0)] * 2, X, Y)
    assert (exchange.selected, exchange.pivot) == ((2,), None)
    assert exchange.predicted_curvature == pytest.approx(-2.0 * 1.0 * (3.0 - 1.0))
    chain = [diagonal(CUBE_ROOT, 0.0), diagonal(CUBE_ROOT, 0.7), diagonal(CUBE_ROOT, 0.0)]
    pivot = classify_deep_linear(chain, X, Y)
    assert (pivot.selected, pivot.pivot) == ((1,), (3, 1))
    assert pivot.predicted_curvature == pytest.approx(-0.7)
    assert pivot.loss == pytest.approx(0.5)
    assert pivot.loss_gap == pytest.approx(0.5)


def test_the_published_counterexample_of_zero_hessians_is_strict() -> None:
    last = matrix([1.0, 2.0], [0.3, -1.0])
    found = classify_deep_linear([ZERO, ZERO, last], X, Y)
    assert found.verdict == "strict-saddle"
    assert found.curvature == pytest.approx(-float(torch.linalg.matrix_norm(last.T @ Y, 2)))


@pytest.mark.parametrize(("depth", "verdict"), [(2, "strict-saddle"), (3, "non-strict-saddle")])
def test_scalar_chain_at_zero(depth: int, verdict: str) -> None:
    weights = [torch.zeros(1, 1, dtype=torch.float64)] * depth
    found = classify_deep_linear(weights, torch.ones(1, 1), 2 * torch.ones(1, 1))
    assert found.verdict == verdict
    if verdict == "strict-saddle":
        assert found.curvature == pytest.approx(-2.0)


def test_equal_singular_values_have_no_wrong_choice() -> None:
    for angle in (0.0, 0.4, 1.9):
        unit = matrix([math.cos(angle), math.sin(angle)])
        weights = [math.sqrt(2.0) * unit, math.sqrt(2.0) * unit.T]
        assert classify_deep_linear(weights, X, 2.0 * X).verdict == "global-minimum"


def test_random_weights_are_not_critical() -> None:
    generator = torch.Generator().manual_seed(0)
    weights = [torch.randn(2, 2, generator=generator, dtype=torch.float64) for _ in range(3)]
    found = classify_deep_linear(weights, X, Y)
    assert found.verdict == "not-critical"
    leaves = [weight.clone().requires_grad_() for weight in weights]
    (0.5 * (leaves[2] @ leaves[1] @ leaves[0] - Y).square().sum()).backward()  # type: ignore[no-untyped-call]
    assert found.witness is not None
    for direction, leaf in zip(found.witness, leaves, strict=True):
        torch.testing.assert_close(direction, -torch.as_tensor(leaf.grad))
    assert found.recheck(weights, X, Y).holds


def _check_constructed(num_points: int, seed: int) -> dict[str, int]:
    generator = torch.Generator().manual_seed(seed)
    counts: dict[str, int] = {}
    for _ in range(num_points):
        point, x, y = random_constructed_point(generator)
        found = classify_deep_linear(point.weights, x, y)
        assert found.verdict == point.verdict
        assert (found.pivot is not None) == (point.reason == "pivot")
        hessian = dense_deep_linear_hessian(point.weights, x, y)
        eigenvalues = torch.linalg.eigvalsh(hessian)
        smallest = float(eigenvalues[0]) / max(1.0, float(eigenvalues[-1]))
        if found.verdict == "strict-saddle":
            assert smallest < -1e-6
            assert found.witness is not None
            assert found.curvature is not None
            assert found.predicted_curvature is not None
            vector = flatten_tensors(found.witness)
            form = float(vector @ hessian @ vector)
            assert found.curvature == pytest.approx(form, rel=1e-9)
            assert found.predicted_curvature == pytest.approx(form, rel=1e-9)
            assert form / float(vector @ vector) >= float(eigenvalues[0]) * (1 + 1e-9)
            assert found.recheck(point.weights, x, y).holds
        else:
            assert smallest > -1e-10
        key = point.reason or point.verdict
        counts[key] = counts.get(key, 0) + 1
    return counts


def test_constructed_points_agree_with_construction_and_dense_hessian() -> None:
    counts = _check_constructed(250, seed=3)
    assert min(counts[kind] for kind in ("exchange", "pivot", "global-minimum", "non-strict-saddle")) >= 15


@pytest.mark.slow
def test_four_thousand_constructed_points() -> None:
    assert sum(_check_constructed(4000, seed=11).values()) == 4000


def test_verdict_survives_changes_of_basis_and_of_units() -> None:
    generator = torch.Generator().manual_seed(5)
    for _ in range(30):
        point, x, y = random_constructed_point(generator)
        weights = [1.0 * weight for weight in point.weights]
        for layer in range(len(weights) - 1):
            size = weights[layer].shape[0]
            change = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))[0]
            change = change @ torch.diag(0.5 + torch.rand(size, generator=generator, dtype=torch.float64))
            weights[layer] = change @ weights[layer]
            weights[layer + 1] = weights[layer + 1] @ torch.linalg.inv(change)
        assert classify_deep_linear(weights, x, y).verdict == point.verdict
        # Metres to micrometres, in inputs and targets.
        weights[0] = weights[0] * 1e2
        weights[-1] = weights[-1] * 1e3
        assert classify_deep_linear(weights, x * 1e-2, y * 1e3).verdict == point.verdict


@pytest.mark.parametrize("noise", [1e-8, 1e-5])
def test_noisy_points_need_the_root_of_the_noise_as_tolerance(noise: float) -> None:
    generator = torch.Generator().manual_seed(8)
    agreements = 0
    for _ in range(40):
        point, x, y = random_constructed_point(generator)
        weights = [
            weight + noise * torch.randn(weight.shape, generator=generator, dtype=torch.float64)
            for weight in point.weights
        ]
        found = classify_deep_linear(weights, x, y, tolerance=min(0.5, 3.0 * noise**0.5))
        agreements += found.verdict == point.verdict
    assert agreements >= 39


def test_noise_beyond_the_tolerance_is_not_critical() -> None:
    noisy = [weight + 1e-3 for weight in [diagonal(0.0, 1.0)] * 2]
    assert classify_deep_linear(noisy, X, Y).verdict == "not-critical"
    assert (
        classify_deep_linear(noisy, X, Y, gradient_tolerance=1e-2, tolerance=3e-2).verdict == "strict-saddle"
    )


def test_contradicting_tolerances_are_undecided() -> None:
    weights = [diagonal(math.sqrt(2.4), 1.0)] * 2
    found = classify_deep_linear(weights, X, Y, gradient_tolerance=0.9)
    assert found.verdict == "undecided"
    assert "too far" in found.reason
    assert not found.recheck(weights, X, Y).holds


def test_single_layer_is_convex() -> None:
    assert classify_deep_linear([Y], X, Y).verdict == "global-minimum"
    assert classify_deep_linear([ZERO], X, Y).verdict == "not-critical"


def test_data_that_say_nothing() -> None:
    assert classify_deep_linear([ZERO, ONE], 0 * X, Y).verdict == "global-minimum"
    assert classify_deep_linear([ZERO, ZERO], X, 0 * Y).verdict == "global-minimum"
    assert classify_deep_linear([ONE, ONE], X, 0 * Y).verdict == "not-critical"
    empty = [torch.zeros(0, 2, dtype=torch.float64), torch.zeros(2, 0, dtype=torch.float64)]
    assert classify_deep_linear(empty, X, Y).verdict == "global-minimum"


def test_single_precision_is_computed_in_double() -> None:
    found = classify_deep_linear([weight.float() for weight in (ZERO, ZERO, ONE)], X.float(), Y.float())
    assert found.curvature == pytest.approx(-3.0, rel=1e-12)


def test_non_strict_saddle_comes_with_a_way_down() -> None:
    weights = [diagonal(CUBE_ROOT, 0.0)] * 3
    found = classify_deep_linear(weights, X, Y)
    assert found.witness is not None
    moved = [weight + change for weight, change in zip(weights, found.witness, strict=True)]
    assert classify_deep_linear(moved, X, Y).loss < found.loss - 1e-6


def test_recheck_notices_another_point() -> None:
    found = classify_deep_linear([ZERO, ZERO, ONE], X, Y)
    other = [Y, ONE, ONE]
    assert not found.recheck(other, X, Y).holds


def test_round_trip_through_json() -> None:
    for weights in ([ZERO, ZERO, ONE], [ZERO] * 3, [Y, ONE]):
        found = classify_deep_linear(weights, X, Y)
        again = DeepLinearClassification.from_dict(json.loads(json.dumps(found.to_dict())))
        assert again.to_dict() == found.to_dict()
        assert again.recheck(weights, X, Y) == found.recheck(weights, X, Y)


def test_second_derivative_matches_differences() -> None:
    generator = torch.Generator().manual_seed(2)
    point = construct_critical_point(X, Y, (3, 2), selected=[2], seed=generator)
    direction = [torch.randn(w.shape, generator=generator, dtype=torch.float64) for w in point.weights]
    hessian = dense_deep_linear_hessian(point.weights, X, Y)
    vector = flatten_tensors(direction)
    assert second_derivative(point.weights, X, Y, direction) == pytest.approx(
        float(vector @ hessian @ vector)
    )


def test_bad_input_is_named() -> None:
    with pytest.raises(ShapeError, match=r"weight 2 .* does not chain"):
        classify_deep_linear([torch.zeros(3, 2), torch.zeros(2, 2)], X, Y)
    with pytest.raises(ShapeError, match="widths"):
        classify_deep_linear([torch.zeros(3, 2), torch.zeros(1, 3)], X, Y)
    with pytest.raises(ShapeError, match="one-hot"):
        classify_deep_linear([ONE], X, torch.tensor([0, 1]))
    with pytest.raises(ShapeError, match="rows"):
        classify_deep_linear([ONE], X, Y[:1])
    with pytest.raises(DataError, match="at least one example"):
        classify_deep_linear([ONE], X[:0], Y[:0])
    with pytest.raises(DataError, match="NaN"):
        classify_deep_linear([ONE], X * math.nan, Y)
    with pytest.raises(InputError, match="finite"):
        classify_deep_linear([ONE * math.inf], X, Y)
    with pytest.raises(InputError, match="tolerance"):
        classify_deep_linear([ONE], X, Y, tolerance=0.0)
    with pytest.raises(ShapeError, match="direction"):
        second_derivative([ONE], X, Y, [ONE, ONE])
