import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from localmin.certification import certify, escape
from localmin.certification.two_layer_relu import TwoLayerReLU, examine_two_layer_relu, read_two_layer_relu
from localmin.objective import HessianOperator, Objective


def hinge(weight: float, outer: float, target: float, *, weight_decay: float = 0.0) -> Objective:
    """One unit without biases on the single example x = 1."""
    lower, upper = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    lower.weight.data.fill_(weight)
    upper.weight.data.fill_(outer)
    model = nn.Sequential(lower, nn.ReLU(), upper).double()
    one = torch.ones(1, 1, dtype=torch.float64)
    return Objective(model, F.mse_loss, (one, target * one), weight_decay=weight_decay)


def test_the_gradient_that_torch_takes_on_a_kink_is_not_believed() -> None:
    # Moving up the kink raises (relu(w) - 0)... the loss (2 relu(w) + 1)² from 1, moving down leaves it.
    found = certify(hinge(0.0, 2.0, -1.0))
    assert (found.verdict, found.method) == ("second-order-point", "piecewise")
    assert found.recheck(hinge(0.0, 2.0, -1.0)).holds
    down = certify(hinge(0.0, 2.0, 1.0))
    assert (down.verdict, down.method) == ("not-critical", "piecewise")
    assert down.recheck(hinge(0.0, 2.0, 1.0)).holds
    assert escape(hinge(0.0, 2.0, 1.0), down).value_after < 1e-6


def test_weight_decay_makes_the_kink_a_strict_minimum() -> None:
    # At zero, u relu(v) has second order 2 r u relu(v) with r = -(-1): positive on the kink's both sides only
    # where decay outweighs it.
    assert certify(hinge(0.0, 0.0, -1.0, weight_decay=3.0)).verdict == "local-minimum"
    assert certify(hinge(0.0, 0.0, -1.0, weight_decay=1.0)).verdict == "strict-saddle"
    exactly = certify(hinge(0.0, 0.0, -1.0, weight_decay=2.0))
    assert exactly.verdict == "second-order-point"


def test_an_idle_network_is_awakened() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).double()
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    x = torch.randn(30, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = torch.stack([torch.sin(x[:, 0]), x[:, 1] * x[:, 2]], dim=1)
    idle = Objective(model, F.mse_loss, (x, y - y.mean(0)))
    found = certify(idle)
    assert (found.verdict, found.method) == ("strict-saddle", "piecewise")
    assert found.recheck(idle).holds


def random_point(generator: torch.Generator, *, weight_decay: float) -> Objective:
    """A small network at a point where all slopes vanish on the set of points with the same kinks."""
    num_units = int(torch.randint(1, 4, (), generator=generator))

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    x, y = normal(9, 2), normal(9, 1)
    lower, upper = nn.Linear(2, num_units).double(), nn.Linear(num_units, 1).double()
    model = nn.Sequential(lower, nn.ReLU(), upper)
    lower.weight.data, upper.weight.data = normal(num_units, 2), normal(1, num_units)
    on_kink = [int(torch.randint(0, 9, (), generator=generator)) for _ in range(num_units)]

    def place() -> None:
        for unit, example in enumerate(on_kink):
            lower.bias.data[unit] = -lower.weight.data[unit] @ x[example]

    place()
    objective = Objective(model, F.mse_loss, (x, y), weight_decay=weight_decay)
    # Newton on the smooth piece restricted to the kinks: biases follow the weights.
    size = objective.num_parameters
    chain = torch.eye(size, dtype=torch.float64)
    for unit, example in enumerate(on_kink):
        bias = 2 * num_units + unit
        chain[bias] = 0.0
        chain[bias, 2 * unit : 2 * unit + 2] = -x[example]
    free = [column for column in range(size) if not 2 * num_units <= column < 3 * num_units]
    chain = chain[:, free]
    for _ in range(30):
        gradient = chain.mT @ objective.gradient()
        hessian = chain.mT @ HessianOperator(objective).dense() @ chain
        values, vectors = torch.linalg.eigh(hessian)
        step = -vectors @ ((vectors.mT @ gradient) / values.abs().clamp(min=1e-3))
        step = step * min(1.0, 0.3 / float(step.norm().clamp(min=1e-30)))
        objective = objective.at(objective.point + chain @ step)
        if float(gradient.norm()) < 1e-13:
            break
    return objective


def lowest_nearby(objective: Objective, network: TwoLayerReLU) -> float:
    """Try random steps that are too short to reach any other kink."""
    generator = torch.Generator().manual_seed(0)
    before = (network.inputs @ network.first.mT).abs()
    reach = float(before[~network.is_on_kink].min()) / float(network.inputs.norm(dim=1).max())
    steps = torch.randn(400, objective.num_parameters, generator=generator, dtype=torch.float64)
    lengths = reach * torch.linspace(0.05, 1.0, 400, dtype=torch.float64)
    steps = steps * (lengths / steps.norm(dim=1))[:, None]
    return min(objective.value_at(objective.point + step) for step in steps) - objective.value()


def _check_points(num_points: int, seed: int) -> dict[str, int]:
    generator = torch.Generator().manual_seed(seed)
    counts: dict[str, int] = {}
    for number in range(num_points):
        objective = random_point(generator, weight_decay=0.02 if number % 2 else 0.0)
        network = read_two_layer_relu(objective, 1e-12)
        assert network is not None
        if not bool(network.is_on_kink.any()):
            continue
        found = examine_two_layer_relu(network, 1e-8)
        counts[found.status] = counts.get(found.status, 0) + 1
        if found.direction is not None:
            step = 1e-4 if found.status == "negative" else 1e-6
            assert objective.value_at(objective.point + step * found.direction) < objective.value()
        if found.status == "minimum":
            assert lowest_nearby(objective, network) > 0.0
        if found.status == "descent":
            assert found.direction is not None
            fall = objective.value() - objective.value_at(objective.point + 1e-7 * found.direction)
            assert fall / 1e-7 == pytest.approx(-found.slope, rel=1e-3)
    return counts


def test_verdicts_agree_with_what_is_found_around_the_point() -> None:
    counts = _check_points(30, seed=2)
    assert counts.get("descent", 0) >= 5
    assert counts.get("minimum", 0) >= 1


@pytest.mark.slow
def test_verdicts_agree_at_many_points() -> None:
    counts = _check_points(400, seed=3)
    assert counts.get("descent", 0) >= 50
    assert counts.get("minimum", 0) >= 5


def test_other_models_and_large_kinks_are_left_alone() -> None:
    x, y = torch.randn(6, 2, dtype=torch.float64), torch.zeros(6, 1, dtype=torch.float64)
    deep = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1)).double()
    smooth = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 1)).double()
    for model in (deep, smooth):
        assert read_two_layer_relu(Objective(model, F.mse_loss, (x, y)), 1e-12) is None
    frozen = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1)).double()
    frozen[0].requires_grad_(False)
    assert read_two_layer_relu(Objective(frozen, F.mse_loss, (x, y)), 1e-12) is None
    for parameter in deep.parameters():
        nn.init.zeros_(parameter)
    assert certify(Objective(deep, F.mse_loss, (x, y))).verdict == "undecided"
    # A slope that does not come from the kinks is still seen.
    assert certify(Objective(deep, F.mse_loss, (x, y + 1.0))).verdict == "not-critical"
