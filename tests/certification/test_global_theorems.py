import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from localmin.certification import (
    Certificate,
    certify,
    construct_critical_point,
    descend,
    escape,
    settle,
)
from localmin.certification.deep_linear import global_minimum_loss
from localmin.errors import InputError
from localmin.networks import DeepLinear
from localmin.objective import Objective


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_one_linear_layer_is_known_to_be_convex() -> None:
    x, labels = draw(40, 3), torch.arange(40) % 3
    objective = Objective(nn.Linear(3, 3).double(), F.cross_entropy, (x, labels), weight_decay=0.1)
    trained = descend(objective)
    found = certify(trained, gradient_tolerance=1e-6)
    assert (found.verdict, found.method) == ("global-minimum", "convexity")
    assert found.gap is not None
    assert found.gap < 1e-12
    assert found.recheck(trained).holds
    assert "only one" in found.not_shown
    start = certify(objective)
    assert start.verdict == "not-critical"
    assert start.gap is not None
    assert start.gap > objective.value() - trained.value() > 0.0
    # Two layers of biases and an activation: no theorem.
    two = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3)).double()
    other = certify(Objective(two, F.cross_entropy, (x, labels), weight_decay=0.1), gradient_tolerance=10.0)
    assert (other.gap, other.method) == (None, "dense")


def test_a_declared_convex_objective_is_believed_unless_it_shows_otherwise() -> None:
    bowl = Objective.from_function(lambda p: (p**4).sum(), torch.zeros(3).double())
    assert certify(bowl).verdict == "second-order-point"
    assert certify(bowl, convex=True).verdict == "global-minimum"
    hill = Objective.from_function(lambda p: -1e-4 * (p**2).sum(), torch.ones(3).double())
    with pytest.raises(InputError, match="declared convex"):
        certify(hill, convex=True)


@pytest.mark.parametrize("flatten", [False, True])
@pytest.mark.parametrize(
    ("selected", "links", "verdict"),
    [
        ((1, 2), "random", "global-minimum"),
        ((2,), "random", "strict-saddle"),
        ((), "none", "non-strict-saddle"),
    ],
)
def test_deep_linear_networks_have_a_complete_answer(
    selected: tuple[int, ...], links: str, verdict: str, flatten: bool
) -> None:
    x, y = draw(9, 3, seed=1), draw(9, 2, seed=2)
    point = construct_critical_point(x, y, (3, 2), selected=selected, links=links, seed=3)  # type: ignore[arg-type]
    module = DeepLinear(point.weights).to_module()
    model = nn.Sequential(nn.Flatten(), *module) if flatten else module
    objective = Objective(model, F.mse_loss, (x, y), batch_size=4)
    found = certify(objective)
    assert (found.verdict, found.method) == (verdict, "deep-linear")
    lowest = 2.0 / y.numel() * global_minimum_loss(x, y, (3, 3, 2, 2))
    assert found.gap == pytest.approx(objective.value() - lowest, abs=1e-12)
    assert found.recheck(objective).holds
    assert Certificate.from_dict(found.to_dict()).recheck(objective).holds
    if verdict != "global-minimum":
        assert escape(objective, found).value_after < objective.value()
        settled = settle(objective)
        assert settled.objective.value() == pytest.approx(lowest, abs=1e-9)


def test_what_is_no_deep_linear_network_takes_the_general_way() -> None:
    x, y = draw(9, 3, seed=1), draw(9, 2, seed=2)
    zeros = [torch.zeros(2, 3).double(), torch.zeros(2, 2).double()]
    model = DeepLinear(zeros).to_module()
    assert certify(Objective(model, F.mse_loss, (x, y))).method == "deep-linear"
    assert certify(Objective(model, F.mse_loss, (x, y), weight_decay=0.1)).method == "dense"
    assert certify(Objective(model, F.huber_loss, (x, y))).method != "deep-linear"
    hooked = DeepLinear(zeros).to_module()
    hooked[0].register_forward_hook(lambda module, inputs, output: output.tanh())
    assert certify(Objective(hooked, F.mse_loss, (x, y))).method == "dense"


def test_held_out_examples_confirm_a_saddle_or_do_not() -> None:
    x = draw(400, 2)
    y = (x[:, :1] * 2.0).tanh()
    model = nn.Sequential(nn.Linear(2, 3, bias=False), nn.Tanh(), nn.Linear(3, 1, bias=False)).double()
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    first = Objective(model, F.mse_loss, (x[:50], y[:50]))
    rest = Objective(model, F.mse_loss, (x[50:], y[50:]))
    found = certify(first, held_out=rest)
    assert found.verdict == "strict-saddle"
    assert found.held_out_curvature is not None
    assert found.held_out_curvature < -found.data_margin < 0.0
    assert "held-out" in found.reason
    # Labels without any relation to the inputs: the saddle of fifty examples is noise.
    noise = draw(400, 1, seed=5)
    few = Objective(model, F.mse_loss, (x[:50], noise[:50]))
    many = Objective(model, F.mse_loss, (x[50:], noise[50:]))
    assert certify(few).verdict == "strict-saddle"
    assert certify(few, held_out=many).verdict == "undecided"
    with pytest.raises(InputError, match="another point"):
        certify(few, held_out=many.at(many.point + 1.0))


def test_progress_is_told() -> None:
    counts: list[int] = []
    function = Objective.from_function(lambda p: (p**2).sum(), torch.zeros(100).double())
    found = certify(function, on_product=counts.append)
    assert counts[-1] == found.num_hvps
    assert counts == sorted(counts)
