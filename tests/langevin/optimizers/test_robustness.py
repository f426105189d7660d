"""Optimisers: saving, copying, clear errors, nothing changed by a refused step."""

import copy
import io
import math
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from localmin.errors import InputError
from localmin.langevin import (
    CoupledChains,
    DenseSkew,
    Exponential,
    LangevinDynamics,
    LeftRightSkew,
    NonReversibleLangevin,
    PairwiseRotation,
    RepairedRotation,
    UnderdampedLangevin,
    random_pairing,
)

MAKERS: dict[str, Callable[[Any], Any]] = {
    "overdamped": lambda p: LangevinDynamics(p, lr=0.01, temperature=Exponential(0.3, 0.9), seed=5),
    "underdamped": lambda p: UnderdampedLangevin(p, lr=0.01, friction=1.2, temperature=0.3, seed=5),
    "exponential": lambda p: UnderdampedLangevin(
        p, lr=0.01, friction=1.2, temperature=0.3, scheme="exponential"
    ),
    "nonreversible": lambda p: NonReversibleLangevin(p, lr=0.01, temperature=0.3, skew=PairwiseRotation(0.5)),
    "repaired": lambda p: NonReversibleLangevin(
        p, lr=0.01, temperature=0.3, skew=RepairedRotation(0.5, 11, 2)
    ),
}


def _advance(optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter], steps: int) -> None:
    for _ in range(steps):
        for parameter in parameters:
            parameter.grad = parameter.detach() * 0.7 + 0.1
        optimizer.step()


def _parameters() -> list[nn.Parameter]:
    return [nn.Parameter(torch.full((3, 2), 0.5)), nn.Parameter(torch.arange(5.0))]


@pytest.mark.parametrize("name", MAKERS)
def test_a_resumed_run_is_bit_equal(name: str) -> None:
    straight = _parameters()
    _advance(MAKERS[name](straight), straight, 9)
    first = _parameters()
    optimizer = MAKERS[name](first)
    _advance(optimizer, first, 4)
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    second = [nn.Parameter(parameter.detach().clone()) for parameter in first]
    resumed = MAKERS[name](second)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    _advance(resumed, second, 5)
    for a, b in zip(straight, second, strict=True):
        assert torch.equal(a, b)


def test_a_copied_optimiser_continues_alike() -> None:
    parameters = _parameters()
    optimizer = MAKERS["underdamped"](parameters)
    _advance(optimizer, parameters, 3)
    both, twin = copy.deepcopy((parameters, optimizer))
    _advance(optimizer, parameters, 3)
    _advance(twin, both, 3)
    for a, b in zip(parameters, both, strict=True):
        assert torch.equal(a, b)


def test_a_plain_state_dict_loads_too() -> None:
    parameters = _parameters()
    optimizer = MAKERS["overdamped"](parameters)
    _advance(optimizer, parameters, 2)
    state = {key: value for key, value in optimizer.state_dict().items() if key != "langevin"}
    generator = optimizer.state_dict()["langevin"]["generators"]["cpu"]
    optimizer.load_state_dict(state)
    assert torch.equal(optimizer.state_dict()["langevin"]["generators"]["cpu"], generator)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("size", [3, 70_000])
def test_a_non_finite_gradient_is_named_and_changes_nothing(bad: float, size: int) -> None:
    good, broken = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(size))
    optimizer = UnderdampedLangevin(
        [("first", good), ("second", broken)], lr=0.01, friction=1.0, temperature=0.1
    )
    _advance(optimizer, [good, broken], 2)
    before = copy.deepcopy((good.detach(), broken.detach(), optimizer.state_dict()))
    broken.grad = torch.ones(size)
    broken.grad[-1] = bad
    with pytest.raises(InputError, match="'second' is not finite; nothing was changed"):
        optimizer.step()
    after = optimizer.state_dict()
    assert torch.equal(good.detach(), before[0])
    assert torch.equal(broken.detach(), before[1])
    assert torch.equal(after["state"][0]["velocity"], before[2]["state"][0]["velocity"])
    assert torch.equal(after["langevin"]["generators"]["cpu"], before[2]["langevin"]["generators"]["cpu"])


def test_large_finite_gradients_are_not_refused() -> None:
    x = nn.Parameter(torch.zeros(4))
    optimizer = LangevinDynamics([x], lr=1e-38)
    x.grad = torch.full((4,), 3e38)  # the norm overflows, no entry does
    optimizer.step()
    assert torch.isfinite(x).all()


@pytest.mark.parametrize("initial", ["zero", "thermal"])
@pytest.mark.parametrize("steps_before", [0, 2])
def test_a_step_out_of_range_is_named_and_changes_nothing(steps_before: int, initial: Any) -> None:
    good, wide = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(2))
    optimizer = UnderdampedLangevin(
        [{"params": [("good", good)]}, {"params": [("wide", wide)]}],
        lr=0.01,
        friction=1.0,
        temperature=Exponential(0.1, 0.5),
        initial_velocity=initial,
    )
    _advance(optimizer, [good, wide], steps_before)
    before = copy.deepcopy((good.detach(), wide.detach(), optimizer.state_dict()))
    good.grad, wide.grad = torch.ones(3), torch.tensor([1.0, 3e38])
    # Finite gradients, infinite step.
    optimizer.param_groups[1]["lr"] = before[2]["param_groups"][1]["lr"] = 1e4
    with pytest.raises(InputError, match=r"'wide' out of the range of torch\.float32; nothing was changed"):
        optimizer.step()
    after = optimizer.state_dict()
    assert torch.equal(good.detach(), before[0])
    assert torch.equal(wide.detach(), before[1])
    assert str(after) == str(before[2])
    # It goes on as if nothing had happened.
    optimizer.param_groups[1]["lr"] = 0.01
    _advance(optimizer, [good, wide], 3)
    assert torch.isfinite(wide).all()


@pytest.mark.parametrize(
    "make",
    [
        lambda p: LangevinDynamics(p, lr=1e30),
        lambda p: NonReversibleLangevin(p, lr=1e20, skew=PairwiseRotation(1e12)),
        lambda p: NonReversibleLangevin(p, lr=1e20, skew=[[0.0, 1e12], [-1e12, 0.0]]),
        lambda p: UnderdampedLangevin(p, lr=1e30, friction=1e-9),
        lambda p: LangevinDynamics(p, lr=1e30, temperature=1e30),
    ],
)
def test_every_dynamics_refuses_to_leave_the_finite_numbers(make: Any) -> None:
    x = nn.Parameter(torch.ones(2))
    optimizer = make([x])
    x.grad = torch.full((2,), 1e15)
    with pytest.raises(InputError, match="parameter 0 of group 0"):
        optimizer.step()
    assert torch.equal(x.detach(), torch.ones(2))


def test_large_moves_that_stay_finite_are_made() -> None:
    x = nn.Parameter(torch.zeros(2))
    optimizer = LangevinDynamics([x], lr=1e20)
    x.grad = torch.full((2,), 1e15)
    optimizer.step()  # beyond the cheap bound, looked at closely
    torch.testing.assert_close(x.detach(), torch.full((2,), -1e35))
    half = nn.Parameter(torch.zeros(2, dtype=torch.float16))
    optimizer = LangevinDynamics([half], lr=1.0)
    half.grad = torch.full((2,), 100.0, dtype=torch.float16)
    optimizer.step()
    assert half.tolist() == [-100.0, -100.0]


def test_strided_parameters_move_as_contiguous_ones() -> None:
    weights = torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    ends = []
    for layout in (torch.contiguous_format, torch.channels_last):
        x = nn.Parameter(weights.clone().to(memory_format=layout))
        optimizer = UnderdampedLangevin([x], lr=0.01, friction=1.2)
        for _ in range(4):
            x.grad = (0.7 * x.detach() + weights).contiguous()
            optimizer.step()
        ends.append(x.detach().contiguous())
    torch.testing.assert_close(ends[0], ends[1])


def test_strided_parameters_rotate_as_contiguous_ones() -> None:
    weights = torch.randn(4, 3, 2, 1, generator=torch.Generator().manual_seed(0))
    ends = []
    for layout in (torch.contiguous_format, torch.channels_last):
        x = nn.Parameter(weights.clone().to(memory_format=layout))
        optimizer = NonReversibleLangevin([x], lr=0.01, skew=PairwiseRotation(0.7))
        x.grad = weights.contiguous()
        optimizer.step()
        ends.append(x.detach().contiguous())
    torch.testing.assert_close(ends[0], ends[1])


def test_replaced_velocities_are_used() -> None:
    x = nn.Parameter(torch.zeros(2))
    optimizer = UnderdampedLangevin([x], lr=0.01, friction=1.0, scheme="symplectic_euler")
    _advance(optimizer, [x], 3)
    at = x.detach().clone()
    optimizer.state[x]["velocity"] = torch.full((2,), 5.0)
    x.grad = torch.zeros(2)
    optimizer.step()
    torch.testing.assert_close(x.detach() - at, torch.full((2,), 0.1 * 5 * math.exp(-0.1)))


def test_the_check_can_be_switched_off() -> None:
    x = nn.Parameter(torch.zeros(2))
    optimizer = LangevinDynamics([x], lr=0.1, check_finite=False)
    x.grad = torch.tensor([math.nan, 1.0])
    optimizer.step()
    assert torch.isnan(x[0])


def test_unnamed_parameters_are_numbered() -> None:
    x = nn.Parameter(torch.zeros(2, 3))
    x.grad = torch.full((2, 3), math.nan)
    with pytest.raises(InputError, match=r"parameter 0 of group 0 with shape \(2, 3\)"):
        LangevinDynamics([x], lr=0.1).step()


def test_closures() -> None:
    x = nn.Parameter(torch.ones(2))
    optimizer = LangevinDynamics([x], lr=0.5)

    def closure() -> float:
        optimizer.zero_grad()
        loss = (x**2).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.item()

    assert optimizer.step(closure) == 2.0
    torch.testing.assert_close(x.detach(), torch.zeros(2))
    with pytest.raises(InputError, match="function"):
        optimizer.step(1.0)  # type: ignore[call-overload]
    optimizer.zero_grad()
    with pytest.raises(InputError, match="backward"):
        optimizer.step(lambda: 1.0)


def test_parameters_without_gradients_stay() -> None:
    moving, frozen = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = UnderdampedLangevin([moving, frozen], lr=0.1, friction=1.0, temperature=1.0)
    moving.grad = torch.ones(2)
    optimizer.step()
    assert torch.equal(frozen.detach(), torch.ones(2))
    # It joins later with its own first half kick.
    for _ in range(2):
        moving.grad, frozen.grad = torch.ones(2), torch.ones(2)
        optimizer.step()
    assert not torch.equal(frozen.detach(), torch.ones(2))


def test_sparse_and_complex_are_refused() -> None:
    embedding = nn.Embedding(4, 2, sparse=True)
    optimizer = LangevinDynamics(embedding.parameters(), lr=0.1)
    embedding(torch.tensor([1])).sum().backward()
    with pytest.raises(InputError, match="sparse"):
        optimizer.step()
    with pytest.raises(InputError, match="complex64"):
        LangevinDynamics([nn.Parameter(torch.zeros(2, dtype=torch.complex64))], lr=0.1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lr": -1.0}, "lr"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": math.nan}, "temperature"),
        ({"weight_decay": -1.0}, "weight_decay"),
        ({"friction": 0.0}, "friction"),
        ({"friction": "high"}, "friction"),
        ({"friction": "critical"}, "curvature"),
        ({"friction": "critical", "curvature": -2.0}, "curvature above 0"),
        ({"scheme": "leapfrog"}, "scheme"),
        ({"initial_velocity": "warm"}, "initial_velocity"),
        ({"largest_curvature": 0.0}, "largest_curvature"),
        ({"lr": "0.1"}, "lr"),
        ({"temperature": None}, "temperature"),
        ({"friction": None}, "friction"),
        ({"seed": 1.5}, "seed"),
    ],
)
def test_bad_numbers(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        UnderdampedLangevin([nn.Parameter(torch.zeros(2))], **{"lr": 0.1, "friction": 1.0, **arguments})


@pytest.mark.parametrize(
    ("name", "value"),
    [("lr", -0.1), ("lr", math.nan), ("temperature", -0.1), ("friction", -1.0), ("friction", "critical")],
)
@pytest.mark.parametrize("temperature", [0.0, 0.1])
def test_numbers_set_between_steps_are_checked(name: str, value: Any, temperature: float) -> None:
    x = nn.Parameter(torch.ones(2))
    optimizer = UnderdampedLangevin([x], lr=0.1, friction=1.0, temperature=temperature)
    _advance(optimizer, [x], 1)
    before = x.detach().clone()
    optimizer.param_groups[0][name] = value
    with pytest.raises(InputError, match=name):
        _advance(optimizer, [x], 1)
    assert torch.equal(x.detach(), before)


def test_the_state_of_another_optimiser_is_refused() -> None:
    x = nn.Parameter(torch.ones(2))
    optimizer = UnderdampedLangevin([x], lr=0.1, friction=1.0)
    stored = torch.optim.SGD([x], lr=0.5, momentum=0.9).state_dict()
    with pytest.raises(InputError, match=r"lack friction, temperature; load a state_dict of Underdamped"):
        optimizer.load_state_dict(stored)
    assert optimizer.param_groups[0]["lr"] == 0.1


def test_a_schedule_that_turns_negative_is_refused() -> None:
    x = nn.Parameter(torch.zeros(2))
    optimizer = LangevinDynamics([x], lr=0.1, temperature=lambda k: 0.1 - k)
    _advance(optimizer, [x], 1)
    with pytest.raises(InputError, match="temperature"):
        _advance(optimizer, [x], 1)


def test_refresh_friction_asks_the_estimator_again() -> None:
    answers = iter([0.25, 1.0])
    x, y = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))
    groups: list[dict[str, Any]] = [{"params": [x]}, {"params": [y], "friction": 7.0}]
    optimizer = UnderdampedLangevin(groups, lr=0.1, curvature=lambda: next(answers))
    assert [group["friction"] for group in optimizer.param_groups] == [1.0, 7.0]
    assert optimizer.refresh_friction() == 2.0
    assert optimizer.refresh_friction(4.0) == 4.0
    assert [group["friction"] for group in optimizer.param_groups] == [4.0, 7.0]


@pytest.mark.parametrize(
    ("optimizer", "limit"),
    [
        (lambda p: LangevinDynamics(p, lr=0.6, largest_curvature=4.0), "0.5"),
        (lambda p: UnderdampedLangevin(p, lr=1.1, friction=1.0, largest_curvature=4.0), "1"),
        (
            lambda p: UnderdampedLangevin(
                p, lr=0.1, friction=1.0, largest_curvature=4.0, scheme="euler_maruyama"
            ),
            "0.0625",
        ),
        (
            # Equal curvatures 4 and strength 2: eigenvalues 4 (1 +- 2i), limit 2 * 4 / (16 * 5).
            lambda p: NonReversibleLangevin(p, lr=0.2, skew=PairwiseRotation(2.0), hessian=[4.0, 4.0]),
            "0.1",
        ),
    ],
)
def test_an_unstable_step_is_warned_about_once(optimizer: Any, limit: str) -> None:
    x = nn.Parameter(torch.zeros(2))
    ours = optimizer([x])
    with pytest.warns(UserWarning, match=f"must be below {limit}$"):
        _advance(ours, [x], 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _advance(ours, [x], 1)


def test_underflowing_noise_in_half_precision_is_warned_about() -> None:
    x = nn.Parameter(torch.ones(8, dtype=torch.bfloat16))
    optimizer = LangevinDynamics([x], lr=1e-6, temperature=1e-4)
    with pytest.warns(UserWarning, match="rounded away"):
        _advance(optimizer, [x], 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # once is enough
        _advance(optimizer, [x], 1)
    with pytest.warns(UserWarning, match="rounded away"):
        _advance(UnderdampedLangevin([x], lr=1e-6, friction=1.0, temperature=1e-4), [x], 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _advance(LangevinDynamics([x], lr=0.1, temperature=0.1), [x], 1)


def test_skew_operators_act_on_their_scope() -> None:
    weight, bias = nn.Parameter(torch.zeros(2, 2)), nn.Parameter(torch.zeros(2))
    gradients = [torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([5.0, 6.0])]

    def moved(skew: Any, parameters: list[nn.Parameter]) -> list[Tensor]:
        for parameter, gradient in zip(parameters, gradients, strict=False):
            parameter.data.zero_()
            parameter.grad = gradient.clone()
        NonReversibleLangevin(parameters, lr=1.0, skew=skew).step()
        return [-p.detach() - g for p, g in zip(parameters, gradients, strict=False)]

    flat = moved(PairwiseRotation(1.0), [weight, bias])
    torch.testing.assert_close(flat[0], torch.tensor([[2.0, -1.0], [4.0, -3.0]]))
    torch.testing.assert_close(flat[1], torch.tensor([6.0, -5.0]))
    pairing = random_pairing(6, torch.Generator().manual_seed(0))
    whole = moved(PairwiseRotation(1.0, pairing), [weight, bias])
    vector = torch.cat([gradients[0].reshape(-1), gradients[1]])
    torch.testing.assert_close(
        torch.cat([whole[0].reshape(-1), whole[1]]), PairwiseRotation(1.0, pairing).apply(vector)
    )
    rotation = torch.tensor([[0.0, 1.0], [-1.0, 0.0]])
    torch.testing.assert_close(moved(LeftRightSkew(rotation, None), [weight])[0], rotation @ gradients[0])
    torch.testing.assert_close(
        moved(CoupledChains(1.0), [weight])[0], torch.tensor([[4.0, 3.0], [-2.0, -1.0]])
    )


def test_a_group_operator_needs_all_gradients() -> None:
    a, b = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    optimizer = NonReversibleLangevin([a, b], lr=0.1, skew=[[0.0, 1.0], [-1.0, 0.0]])
    a.grad = torch.ones(1)
    with pytest.raises(InputError, match="whole parameter group"):
        optimizer.step()


def test_operators_that_are_not_skew_are_refused() -> None:
    x = nn.Parameter(torch.ones(2))
    with pytest.raises(InputError, match=r"J\^T = -J"):
        NonReversibleLangevin([x], lr=0.1, skew=torch.eye(2))
    with pytest.raises(InputError, match="got the class PairwiseRotation"):
        NonReversibleLangevin([x], lr=0.1, skew=PairwiseRotation)
    with pytest.raises(InputError, match="skew is missing"):
        NonReversibleLangevin([x], lr=0.1, skew=None)

    class Symmetric(DenseSkew):
        def apply(self, gradient: Tensor) -> Tensor:
            return gradient

    x.grad = torch.ones(2)
    with pytest.raises(InputError, match="not antisymmetric"):
        NonReversibleLangevin([x], lr=0.1, skew=Symmetric(torch.zeros(2, 2))).step()


def test_diagnostics() -> None:
    x = nn.Parameter(torch.zeros(4))
    optimizer = LangevinDynamics([x], lr=0.2, temperature=0.5)
    x.grad = torch.full((4,), 3.0)
    optimizer.step()
    found = optimizer.diagnostics()
    assert found["gradient_norm"] == pytest.approx(6.0)
    assert found["noise_to_gradient_ratio"] == pytest.approx(math.sqrt(2 * 0.2 * 0.5) * 2 / (0.2 * 6))
    quiet = UnderdampedLangevin([x], lr=0.04, friction=1.0)
    assert math.isnan(quiet.diagnostics()["kinetic_temperature"])
    quiet.step()
    assert quiet.diagnostics()["noise_to_gradient_ratio"] == 0.0
    # BAOAB from rest: half a kick of h/2 * 3, then friction.
    assert quiet.diagnostics()["kinetic_temperature"] == pytest.approx((0.3 * math.exp(-0.2)) ** 2, rel=1e-5)
