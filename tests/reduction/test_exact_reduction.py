import copy
from pathlib import Path

import pytest
import torch
from torch import nn

from localmin.errors import InputError, ShapeError
from localmin.networks import DeepLinear, ReLUNetwork
from localmin.reduction import (
    ExactMode,
    HomogeneousNetwork,
    ReductionSettings,
    bipartite_example,
    reduce,
    replay,
    train_regularized,
)
from localmin.reduction.neuron_selection import VertexMode, path_network, view_layer
from localmin.reduction.projection import projected
from localmin.reduction.vertex_problem import VertexProblem
from localmin.testing.reduction_networks import as_sequential, random_network, random_points

MODES: tuple[ExactMode, ...] = ("design", "vertex-b", "vertex-c", "pair")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("slope", [0.0, 0.2, -1.0])
def test_outputs_norm_and_counts(mode: ExactMode, bias: bool, slope: float) -> None:
    network, points = random_network(4, 90, 80, 2, bias=bias, slope=slope), random_points(6, 4)
    result = reduce(network, points, mode=mode)
    reference = network(points)
    change = float((result.network(points) - reference).abs().max())
    assert change <= 1e-10 * float(reference.abs().max())
    assert result.max_output_change == pytest.approx(change)
    assert result.norm_after == pytest.approx(result.network.squared_norm)
    assert result.norm_after < result.norm_before == pytest.approx(network.squared_norm)
    hidden = result.widths_after[1:-1]
    assert all(after <= bound for after, bound in zip(hidden, result.bounds, strict=True))
    limits = {"pair": (42, 42), "vertex-c": (21, 21)}.get(mode, (21, 11))
    assert all(bound <= limit for bound, limit in zip(result.bounds, limits, strict=True))
    assert result.recheck(network, points).holds


@pytest.mark.parametrize("mode", MODES)
def test_again_does_not_increase_anything(mode: ExactMode) -> None:
    network, points = random_network(4, 90, 80, 2), random_points(6, 4)
    once = reduce(network, points, mode=mode)
    twice = reduce(once.network, points, mode=mode)
    assert all(b <= a for a, b in zip(once.widths_after, twice.widths_after, strict=True))
    assert twice.norm_after <= once.norm_after * (1 + 1e-12)


def test_thinning_spends_a_little_norm_on_fewer_neurons() -> None:
    network, points = random_network(4, 90, 80, 2), random_points(6, 4)
    smallest = reduce(network, points, settings=ReductionSettings(thinning_norm_relative=0.0))
    thin = reduce(network, points, settings=ReductionSettings(thinning_norm_relative=0.02))
    assert not any(step.operation == "thin" and step.accepted for step in smallest.steps)
    assert sum(thin.widths_after[1:-1]) < sum(smallest.widths_after[1:-1])
    assert smallest.norm_after <= thin.norm_after <= min(1.02 * smallest.norm_after, thin.norm_before)
    assert thin.recheck(network, points).holds
    again = replay(as_sequential(network), points, thin.steps)
    assert torch.allclose(again(points), network(points), atol=1e-11)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("num_examples", [2, 4, 6, 8, 12, 20])
def test_split_edges_come_back_to_exactly_the_number_needed(mode: ExactMode, num_examples: int) -> None:
    example = bipartite_example(num_examples)
    generator = torch.Generator().manual_seed(0)
    shares = torch.rand(6, len(example.incidence), generator=generator, dtype=torch.float64)
    roots = (shares / shares.sum(dim=0)).sqrt().flatten()[:, None]
    split = roots * example.incidence.repeat(6, 1)
    network = ReLUNetwork([split, split.T.contiguous()])
    result = reduce(network, example.x, mode=mode)
    assert result.widths_after[1] == num_examples**2 // 4
    assert result.max_output_change < 1e-12
    assert result.norm_after == pytest.approx(num_examples**2, rel=1e-12)


def test_a_network_that_needs_all_its_neurons_keeps_them() -> None:
    network, points = random_network(4, 5, 3), random_points(40, 4)
    result = reduce(network, points)
    assert result.widths_after == result.widths_before


def test_kinds_come_back() -> None:
    network, points = random_network(4, 30, 20, 2), random_points(5, 4)
    assert isinstance(reduce(ReLUNetwork(network.weights, network.biases), points).network, ReLUNetwork)
    linear = DeepLinear([part.float() for part in random_network(4, 30, 2, bias=False).weights])
    result = reduce(linear, points)
    assert isinstance(result.network, DeepLinear)
    assert result.network.dtype == torch.float32
    assert result.widths_after[1] <= 4 * 2 - 1
    assert 1e-15 < result.max_output_change_stored < 1e-5
    assert result.recheck(linear, points).holds


def test_sequential_comes_back_with_its_names_and_is_not_changed() -> None:
    inner = as_sequential(random_network(4, 30, 20, 2, slope=0.1))
    module = nn.Sequential(nn.Flatten(), inner)
    before = copy.deepcopy(module.state_dict())
    points = random_points(5, 4).reshape(5, 2, 2)
    result = reduce(module, points)
    assert list(result.network.state_dict()) == list(before)
    assert all(torch.equal(before[name], part) for name, part in module.state_dict().items())
    assert torch.allclose(result.network(points), module(points), atol=1e-12)
    first, activation = result.network.get_submodule("1.0"), result.network.get_submodule("1.1")
    assert isinstance(first, nn.Linear)
    assert first.out_features == first.weight.shape[0] == result.widths_after[1]
    assert isinstance(activation, nn.LeakyReLU)


def test_extra_points_are_kept_and_lower_the_drift() -> None:
    network, points = random_network(4, 200, 2), random_points(4, 4)
    extra, held_out = random_points(12, 4, seed=1), random_points(30, 4, seed=2)
    without = reduce(network, points, held_out_points=held_out)
    assert without.drift_relative is not None
    result = reduce(network, points, extra_points=extra, held_out_points=held_out)
    assert result.drift_relative is not None
    assert torch.allclose(result.network(extra), network(extra), atol=1e-10)
    assert not torch.allclose(without.network(extra), network(extra), atol=1e-3)
    assert result.drift_relative < without.drift_relative
    assert reduce(network, points).drift_relative is None
    assert result.num_points == 16


def test_steps_can_be_replayed_and_saved(tmp_path: Path) -> None:
    network, points = random_network(4, 60, 50, 2), random_points(5, 4)
    module = as_sequential(network)
    result = reduce(module, points)
    again = replay(module, points, result.steps)
    assert all(
        torch.equal(a, b) for a, b in zip(again.parameters(), result.network.parameters(), strict=True)
    )
    path = result.save(tmp_path / "run")
    assert path.name == "reduction.json"
    assert (path.parent / "network.safetensors").exists()
    assert result.to_dict()["widths_after"] == list(result.widths_after)
    with pytest.raises(InputError, match="does not belong"):
        replay(as_sequential(random_network(4, 3, 2)), points, result.steps)


def test_recheck_finds_a_network_that_was_tampered_with() -> None:
    network, points = random_network(4, 60, 2), random_points(5, 4)
    result = reduce(network, points)
    other = HomogeneousNetwork((network.weights[0], network.weights[1] + 1e-6), network.biases, (0.0,))
    assert not result.recheck(other, points).holds
    assert not result.recheck(
        result.network.with_layers({1: (result.network.weights[0] * 0.5, result.network.biases[0])}), points
    ).holds


@pytest.mark.parametrize("mode", ["pair", "vertex-b", "vertex-c"])
def test_the_path_of_a_vertex_step_keeps_outputs_and_never_raises_the_norm(mode: VertexMode) -> None:
    points = random_points(5, 4)
    network, _ = projected(random_network(4, 60, 2), points)
    selection = VertexProblem.of(view_layer(network, points, 1), mode).solve()
    assert selection is not None
    reference = network(points)
    norms = []
    for time in torch.linspace(0, 1, 11).tolist():
        between = path_network(network, points, selection, time)
        assert torch.allclose(between(points), reference, atol=1e-11)
        norms.append(between.squared_norm)
    assert norms[0] == pytest.approx(network.squared_norm, rel=1e-9)
    if mode == "pair":
        assert norms == pytest.approx([norms[0]] * 11, rel=1e-9)
    else:
        assert norms[-1] < norms[0]
        assert max(norms) <= norms[0] * (1 + 1e-9)


def test_a_trained_network_shrinks_at_equal_outputs() -> None:
    points = random_points(8, 3)
    targets = torch.sin(points[:, :1] * 2)
    network, _ = train_regularized(points, targets, [60, 60], 1e-3, num_adam_steps=150, max_lbfgs_steps=30)
    result = reduce(network, points)
    assert result.max_output_change_relative <= 1e-10
    assert result.norm_after <= result.norm_before
    assert result.widths_after[2] <= 8
    gaps = [step.gap_relative for step in result.steps if step.operation == "design"]
    assert all(gap is not None and gap >= -1e-12 for gap in gaps)


@pytest.mark.parametrize("mode", MODES)
def test_layers_that_say_nothing_vanish(mode: ExactMode) -> None:
    network, points = random_network(4, 30, 20, 2), random_points(5, 4)
    first = network.biases[0]
    assert first is not None
    dead = network.with_layers({1: (network.weights[0], first - 100.0)})
    result = reduce(dead, points, mode=mode)
    assert torch.allclose(result.network(points), dead(points), atol=1e-12)
    assert result.norm_after < result.norm_before
    silent = network.with_layers({3: (network.weights[2] * 0.0, network.biases[2])})
    result = reduce(silent, points, mode=mode)
    assert torch.allclose(result.network(points), silent(points), atol=1e-12)
    assert result.recheck(silent, points).holds
    assert all(a <= b for a, b in zip(result.widths_after[1:-1], result.bounds, strict=True))


@pytest.mark.parametrize("mode", MODES)
def test_repeated_points_count_once(mode: ExactMode) -> None:
    network, points = random_network(4, 60, 50, 2), random_points(5, 4)
    result = reduce(network, points.repeat(3, 1), mode=mode)
    assert result.bounds == reduce(network, points, mode=mode).bounds
    assert all(a <= b for a, b in zip(result.widths_after[1:-1], result.bounds, strict=True))


def test_badly_scaled_neurons() -> None:
    network, points = random_network(4, 30, 2), random_points(5, 4)
    bias = network.biases[0]
    assert bias is not None
    scaled = network.with_layers(
        {
            1: (network.weights[0] * 1e8, bias * 1e8),
            2: (network.weights[1] * 1e-8, network.biases[1]),
        }
    )
    result = reduce(scaled, points)
    assert result.max_output_change_relative < 1e-10
    assert result.norm_after < 1e-3 * result.norm_before


def test_too_little_memory_is_refused_or_said() -> None:
    network, points = random_network(4, 60, 2), random_points(5, 4)
    little = ReductionSettings(max_memory_bytes=100)
    with pytest.raises(InputError, match=r"15 constraints on .* neurons.*truncated_rank_reduction"):
        reduce(network, points, mode="vertex-c", settings=little)
    result = reduce(network, points, settings=ReductionSettings(max_memory_bytes=100, max_design_steps=1))
    assert any("left out: the vertex-b step of layer 1" in remark for remark in result.remarks)
    assert result.recheck(network, points).holds


def test_losses_are_those_of_the_two_networks() -> None:
    network, points = random_network(4, 30, 2), random_points(5, 4)
    targets = random_points(5, 2, seed=9)

    def mean_square(outputs: torch.Tensor) -> torch.Tensor:
        return (outputs - targets).square().sum() / len(targets)

    result = reduce(network, points, loss=mean_square, penalty=0.3, extra_points=random_points(3, 4, seed=8))
    for value, which in ((result.loss_before, network), (result.loss_after, result.network)):
        expected = float(mean_square(which(points))) + 0.3 * which.squared_norm
        assert value == pytest.approx(expected, rel=1e-12)
    assert result.loss_after is not None
    assert result.loss_before is not None
    assert result.loss_after < result.loss_before
    assert reduce(network, points).loss_before is None
    with pytest.raises(InputError, match="belong together"):
        reduce(network, points, loss=mean_square)


def test_remarks_say_what_the_figures_do_not() -> None:
    network, points = random_network(4, 30, 2), random_points(5, 4)
    remarks = " ".join(reduce(network, points).remarks)
    assert "no held-out points" in remarks
    assert "weight decay" in remarks
    plain = random_network(4, 30, 2, bias=False)
    quiet = reduce(plain, points, held_out_points=random_points(3, 4, seed=1))
    assert quiet.remarks == ()
    narrow = reduce(random_network(4, 5, 3), random_points(40, 4))
    assert any("not wider than" in remark for remark in narrow.remarks)
    nearly_equal = torch.cat([points, points[:1] + 3e-11 * points[1:2]])
    unclear = reduce(plain, nearly_equal)
    assert any("not clear-cut" in remark for remark in unclear.remarks)


def test_progress_is_told() -> None:
    calls: list[tuple[str, int]] = []
    reduce(
        random_network(4, 30, 2),
        random_points(5, 4),
        mode="vertex-b",
        progress=lambda operation, layer, done, total: calls.append((operation, layer)),
    )
    assert calls[0] == ("project", 0)
    assert ("vertex-b", 1) in calls


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        (nn.GELU(), "not positively homogeneous"),
        (nn.BatchNorm1d(4), "normalisation"),
        (nn.Dropout(0.5), "training mode"),
        (nn.Conv1d(1, 1, 1), "spatial position"),
        (nn.MultiheadAttention(4, 1), "skip connections"),
    ],
)
def test_what_cannot_be_reduced_is_named(part: nn.Module, reason: str) -> None:
    module = nn.Sequential(nn.Linear(4, 4), part, nn.Linear(4, 2))
    with pytest.raises(InputError, match=f"'1' .*{reason}"):
        reduce(module, random_points(3, 4))


def test_bad_input() -> None:
    network, points = random_network(4, 6, 2), random_points(3, 4)
    with pytest.raises(InputError, match="unknown mode 'vertex-d'"):
        reduce(network, points, mode="vertex-d")  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match=r"x: expected shape \(n, 4\)"):
        reduce(network, points.T)
    with pytest.raises(InputError, match="extra_points: every entry must be finite"):
        reduce(network, points, extra_points=points / 0.0)
    with pytest.raises(InputError, match="last linear layer"):
        reduce(nn.Sequential(nn.Linear(4, 2), nn.ReLU()), points)
    shared = nn.Linear(4, 4)
    with pytest.raises(InputError, match="share one weight"):
        reduce(nn.Sequential(shared, nn.ReLU(), shared), points)
