import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from localmin.certification import certify, construct_critical_point, descend, escape, settle
from localmin.errors import InputError, ShapeError
from localmin.networks import DeepLinear
from localmin.objective import Objective


def wells(p: Tensor) -> Tensor:
    return p[0] ** 2 + (p[1] ** 2 - 1.0) ** 2


def test_escape_goes_down_the_witness() -> None:
    saddle = Objective.from_function(wells, torch.zeros(2).double())
    certificate = certify(saddle)
    found = escape(saddle, certificate)
    assert (found.value_before, found.value_after, abs(found.step)) == (1.0, 0.0, 1.0)
    assert found.has_decreased
    assert certificate.witness is not None
    torch.testing.assert_close(found.objective.point, found.step * certificate.witness)
    assert found.to_dict()["value_after"] == 0.0


def test_escape_from_a_slope_follows_the_gradient() -> None:
    slope = Objective.from_function(wells, torch.tensor([5.0, 0.3]).double())
    assert escape(slope, certify(slope)).value_after < 2.0


def test_escape_needs_a_way_down() -> None:
    minimum = Objective.from_function(wells, torch.tensor([0.0, 1.0]).double())
    certificate = certify(minimum)
    assert certificate.verdict == "local-minimum"
    with pytest.raises(InputError, match="local-minimum"):
        escape(minimum, certificate)
    saddle = Objective.from_function(lambda p: p[0] ** 2 - p[1] ** 2, torch.zeros(3).double())
    with pytest.raises(ShapeError, match="parameters"):
        escape(minimum, certify(saddle))


def test_a_witness_that_does_not_lead_down_is_reported() -> None:
    saddle = Objective.from_function(wells, torch.zeros(2).double())
    minimum = Objective.from_function(wells, torch.tensor([0.0, 1.0]).double())
    found = escape(minimum, certify(saddle))
    assert not found.has_decreased
    assert found.value_after == found.value_before
    assert found.step == 0.0


def _deep_linear_saddle() -> Objective:
    x = torch.randn(12, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = torch.randn(12, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    point = construct_critical_point(x, y, (3, 3), selected=[3], seed=2)
    return Objective(DeepLinear(point.weights).to_module(), F.mse_loss, (x, y))


def _tanh_network(width: int) -> tuple[nn.Sequential, tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(3)
    model = nn.Sequential(nn.Linear(2, width), nn.Tanh(), nn.Linear(width, 1)).double()
    for parameter in model.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    x = torch.randn(40, 2, generator=generator, dtype=torch.float64)
    return model, (x, torch.sin(2.0 * x[:, :1]) * x[:, 1:])


def _zero_network() -> Objective:
    model, (x, y) = _tanh_network(4)
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    return Objective(model, F.mse_loss, (x, y - y.mean()), weight_decay=1e-3)


def _duplicated_network() -> Objective:
    """A minimum of a narrow network with one unit split in two is a critical point of the wider one."""
    narrow, data = _tanh_network(2)
    trained = descend(Objective(narrow, F.mse_loss, data, weight_decay=1e-3), max_iterations=3000)
    small = trained.model_at(trained.point)
    wide, _ = _tanh_network(3)
    first, last = small.get_submodule("0"), small.get_submodule("2")
    assert isinstance(first, nn.Linear)
    assert isinstance(last, nn.Linear)
    rows = [0, 1, 1]
    wide[0].weight.data, wide[0].bias.data = first.weight.data[rows], first.bias.data[rows]
    wide[2].weight.data = last.weight.data[:, rows] * torch.tensor([1.0, 0.6, 0.4], dtype=torch.float64)
    wide[2].bias.data = last.bias.data
    return Objective(wide, F.mse_loss, data)


@pytest.mark.parametrize(
    ("make", "tolerance"), [(_deep_linear_saddle, 1e-3), (_zero_network, 1e-3), (_duplicated_network, 0.1)]
)
def test_networks_stuck_at_constructed_saddles_are_left(make: object, tolerance: float) -> None:
    stuck = make()  # type: ignore[operator]
    assert certify(stuck, gradient_tolerance=tolerance).verdict == "strict-saddle"
    found = settle(stuck, options={"gradient_tolerance": tolerance}, max_rounds=6)
    assert found.objective.value() < 0.95 * stuck.value()
    assert found.certificates[0].verdict == "strict-saddle"
    assert len(found.escapes) == len(found.certificates) - 1
    assert found.certificate.recheck(found.objective).value == pytest.approx(found.objective.value())
    assert len(found.to_dict()["certificates"]) == len(found.certificates)


def test_settle_ends_at_a_minimum_and_respects_its_rounds() -> None:
    saddle = Objective.from_function(wells, torch.zeros(2).double())
    found = settle(saddle)
    assert [one.verdict for one in found.certificates] == ["strict-saddle", "local-minimum"]
    assert settle(saddle, max_rounds=1).objective.value() == 1.0
    calls = []

    def train(objective: Objective) -> Objective:
        calls.append(objective.value())
        return descend(objective)

    assert settle(saddle, train=train).certificate.verdict == "local-minimum"
    assert calls == [0.0]


def test_bad_input_is_named() -> None:
    saddle = Objective.from_function(wells, torch.zeros(2).double())
    with pytest.raises(InputError, match="max_rounds"):
        settle(saddle, max_rounds=0)
    with pytest.raises(InputError, match="max_iterations"):
        descend(saddle, max_iterations=0)
