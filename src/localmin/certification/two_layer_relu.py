"""Points of two-layer ReLU networks on kinks: descent, saddle or local minimum, over all pieces at once."""

import itertools
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.optimize
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from localmin.certification.copositivity import judge_on_cone
from localmin.numerics import as_generator
from localmin.objective import Objective
from localmin.objective.example_losses import sum_of_losses

__all__ = ["PiecewiseTest", "TwoLayerReLU", "examine_two_layer_relu", "read_two_layer_relu"]

_MAX_PARAMETERS = 3000
_MAX_SYSTEMS = 2**14
_NUM_SAMPLES = 2000
_FLAT_RELATIVE = 1e-7


@dataclass(frozen=True, eq=False)
class PiecewiseTest:
    """What the one-sided derivatives at a point show.

    Args:
        status: "descent" (a one-sided slope is negative), "negative" (none is, but along a flat direction the
            second derivative is), "degenerate" (neither), "minimum" (neither, and the second derivative is
            positive along all flat directions but those of rescaling), or "undecided".
        direction: Unit vector that leads down, shape ``(n,)``; None for the other statuses.
        slope: Most negative one-sided derivative found, or the size of the largest that is taken for zero.
        num_kinks: Pairs of an example and a unit on the kink.
        reason: In words, why it is undecided; else empty.
    """

    status: Literal["descent", "negative", "degenerate", "minimum", "undecided"]
    direction: Float[Tensor, " n"] | None
    slope: float
    num_kinks: int
    reason: str = ""


@dataclass(frozen=True, eq=False)
class TwoLayerReLU:
    """The network ``W2 relu(W1 x + b1) + b2`` at one point, with the derivatives of its losses.

    Args:
        inputs: With a last column of ones if the first layer has a bias, shape ``(N, d)``.
        first: ``[W1 b1]``, shape ``(h, d)``.
        second: ``W2``, shape ``(o, h)``.
        offset: ``b2``, shape ``(o,)``, or ``(0,)`` without one.
        is_active: Pre-activations that are positive, shape ``(N, h)``.
        is_on_kink: Pre-activations that are zero up to rounding.
        slopes: Gradients of the losses by the outputs, divided by ``N``, shape ``(N, o)``.
        curvatures: Their Hessians, divided by ``N``, shape ``(N, o, o)``.
        weight_decay: Of the objective.
        has_bias: Whether the first layer has a bias.
    """

    inputs: Float[Tensor, "N d"]
    first: Float[Tensor, "h d"]
    second: Float[Tensor, "o h"]
    offset: Float[Tensor, " b"]
    is_active: Bool[Tensor, "N h"]
    is_on_kink: Bool[Tensor, "N h"]
    slopes: Float[Tensor, "N o"]
    curvatures: Float[Tensor, "N o o"]
    weight_decay: float
    has_bias: bool

    @property
    def hidden(self) -> Float[Tensor, "N h"]:
        """Outputs of the hidden units."""
        return torch.where(self.is_active, self.inputs @ self.first.mT, 0.0)

    def flatten(self, first: Tensor, second: Tensor, offset: Tensor) -> Float[Tensor, " n"]:
        """Put changes of the weights in the order of the objective's vector."""
        bias = first[:, -1] if self.has_bias else first.new_zeros(0)
        weight = first[:, :-1] if self.has_bias else first
        return torch.cat([weight.reshape(-1), bias, second.reshape(-1), offset])


def read_two_layer_relu(objective: Objective, kink_tolerance: float) -> TwoLayerReLU | None:
    """Read an objective as the loss of a two-layer ReLU network.

    Args:
        objective: Any objective.
        kink_tolerance: Pre-activations up to this, relative to the largest, count as zero.

    Returns:
        The network; None if the model is anything but Linear, ReLU, Linear (after a Flatten, perhaps), some
        of its parameters are frozen, there are more than 3000, or the data are spread over ranks.
    """
    model = objective.model_at(objective.point)
    parts = (
        [part for part in model if not isinstance(part, nn.Flatten)]
        if isinstance(model, nn.Sequential)
        else []
    )
    if (
        len(parts) != 3
        or objective.ranks.is_distributed
        or objective.num_parameters > _MAX_PARAMETERS
        or len(objective.parameter_names) != len(list(model.parameters()))
    ):
        return None
    lower, activation, upper = parts
    if not (
        isinstance(lower, nn.Linear) and isinstance(activation, nn.ReLU) and isinstance(upper, nn.Linear)
    ):
        return None
    batches = list(objective.batches)
    x = torch.cat([x for x, _ in batches]).flatten(1).double().cpu()
    y = torch.cat([y for _, y in batches]).cpu()
    lower, upper = lower.cpu(), upper.cpu()
    has_bias = lower.bias is not None
    inputs = torch.cat([x, torch.ones_like(x[:, :1])], dim=1) if has_bias else x
    first = lower.weight.detach().double()
    if has_bias:
        first = torch.cat([first, lower.bias.detach().double()[:, None]], dim=1)
    second = upper.weight.detach().double()
    offset = upper.bias.detach().double() if upper.bias is not None else second.new_zeros(0)
    before = inputs @ first.mT
    is_on_kink = before.abs() <= kink_tolerance * float(before.abs().max())
    is_active = (before > 0.0) & ~is_on_kink
    outputs = torch.where(is_active, before, 0.0) @ second.mT
    outputs = outputs + offset if len(offset) else outputs
    slopes, curvatures = _loss_derivatives(objective, outputs, y)
    return TwoLayerReLU(
        inputs,
        first,
        second,
        offset,
        is_active,
        is_on_kink,
        slopes,
        curvatures,
        objective.weight_decay,
        has_bias,
    )


def examine_two_layer_relu(network: TwoLayerReLU, gradient_tolerance: float) -> PiecewiseTest:
    """Decide what a point on kinks is from the one-sided derivatives in all directions.

    Moving the weights of unit ``k`` by ``v`` changes the loss at first order by
    ``c·v + Σ_i α_i relu(x_i·v)``, with the examples ``i`` on the kink. Where their inputs are linearly
    independent, write ``c = -Σ β_i x_i + r``: the slope is nowhere negative exactly when ``r = 0`` and
    ``0 <= β_i <= α_i``. Directions with slope zero form cones: ``x_i·v >= 0`` needs ``β_i = α_i``,
    ``x_i·v <= 0`` needs ``β_i = 0``. On each cone the loss is smooth, and the sign of its second
    derivative is a question of copositivity. Without weight decay the directions of positive
    rescaling, along which the function stays the same, are taken out first.

    Args:
        network: The network at the point.
        gradient_tolerance: One-sided slopes of unit directions down to minus this count as none.

    Returns:
        The finding.

    Source:
        The test that Yun, Sra and Jadbabaie 2019 (SOSP-check) give for this class of networks; the conditions
        on β and the reduction to copositivity are derived here.

    Cost:
        Dense matrices of the size of the parameters for each pattern of cones; ``2^L`` patterns for ``L``
        pairs that may move to both sides, ``2^r`` small systems in each. Beyond 16,384 systems: "undecided".
    """
    num_kinks = int(network.is_on_kink.sum())
    slope, direction, size = _outer_slope(network)
    units = [_unit_slopes(network, unit, gradient_tolerance) for unit in range(len(network.first))]
    for unit, found in enumerate(units):
        if found.slope < slope:
            moved = torch.zeros_like(network.first)
            moved[unit] = found.direction
            slope = found.slope
            direction = network.flatten(
                moved, torch.zeros_like(network.second), torch.zeros_like(network.offset)
            )
        size = max(size, found.residual)
    if slope < -gradient_tolerance:
        return PiecewiseTest("descent", direction / direction.norm(), slope, num_kinks)
    reasons = [found.reason for found in units if found.reason]
    awakened = _awaken_idle_unit(network, gradient_tolerance)
    if awakened is not None:
        return PiecewiseTest("negative", awakened / awakened.norm(), -size, num_kinks)
    if reasons:
        return PiecewiseTest("undecided", None, -size, num_kinks, reasons[0])
    return _second_order(network, units, num_kinks, size)


@dataclass(frozen=True, eq=False)
class _UnitSlopes:
    slope: float
    direction: Tensor
    residual: float
    points: Tensor
    sides: tuple[tuple[bool, bool], ...] = ()
    reason: str = ""


def _outer_slope(network: TwoLayerReLU) -> tuple[float, Tensor, float]:
    # The outer weights see no kink: the slope is that of the gradient.
    second = network.slopes.mT @ network.hidden + network.weight_decay * network.second
    offset = network.slopes.sum(0) if len(network.offset) else network.offset
    offset = offset + network.weight_decay * network.offset
    gradient = network.flatten(torch.zeros_like(network.first), second, offset)
    norm = float(gradient.norm())
    return -norm, -gradient, norm


def _unit_slopes(network: TwoLayerReLU, unit: int, tolerance: float) -> _UnitSlopes:
    pulls = network.slopes @ network.second[:, unit]
    constant = network.inputs.mT @ torch.where(network.is_active[:, unit], pulls, 0.0)
    constant = constant + network.weight_decay * network.first[unit]
    rows = network.is_on_kink[:, unit]
    # Examples with the same input are on the same side of every direction.
    points, group = torch.unique(network.inputs[rows], dim=0, return_inverse=True)
    weights = constant.new_zeros(len(points)).index_add_(0, group, pulls[rows])
    if len(points) == 0:
        norm = float(constant.norm())
        return _UnitSlopes(-norm, -constant, norm, points)
    if int(torch.linalg.matrix_rank(points)) < len(points):
        return _dependent(points, weights, constant, tolerance)
    inverse = torch.linalg.pinv(points)
    shares = -inverse.mT @ constant
    rest = constant + points.mT @ shares
    candidates = [(-float(rest.norm()), -rest)]
    for index in range(len(points)):
        ray = inverse[:, index] / inverse[:, index].norm()
        reach = float(points[index] @ ray)
        candidates += [
            (float(weights[index] - shares[index]) * reach, ray),
            (float(shares[index]) * reach, -ray),
        ]
    slope, direction = min(candidates, key=lambda one: one[0])
    scale = _FLAT_RELATIVE * max(float(weights.abs().max()), float(network.slopes.abs().max()))
    sides = tuple(
        (bool(weight - share <= scale), bool(share <= scale))
        for weight, share in zip(weights, shares, strict=True)
    )
    return _UnitSlopes(slope, direction, max(0.0, -slope), points, sides)


def _dependent(points: Tensor, weights: Tensor, constant: Tensor, tolerance: float) -> _UnitSlopes:
    """Look for a way down where inputs on the kink depend on each other; not finding one shows nothing."""
    reason = "more inputs on the kink of one unit than are linearly independent"
    matrix = points.mT * weights
    solved = scipy.optimize.lsq_linear(
        matrix.numpy(force=True), -constant.numpy(force=True), bounds=(0.0, 1.0)
    )
    rest = constant + matrix @ torch.from_numpy(np.asarray(solved.x))
    draws = torch.randn(_NUM_SAMPLES, len(constant), generator=as_generator(0), dtype=torch.float64)
    tried = torch.cat([-rest[None], draws])
    tried = tried / tried.norm(dim=1, keepdim=True).clamp(min=torch.finfo(torch.float64).tiny)
    slopes = tried @ constant + torch.relu(tried @ points.mT) @ weights
    best = int(slopes.argmin())
    slope = float(slopes[best])
    return _UnitSlopes(
        slope, tried[best], max(0.0, -slope), points, reason="" if slope < -tolerance else reason
    )


def _awaken_idle_unit(network: TwoLayerReLU, tolerance: float) -> Tensor | None:
    """Find weights in and out of a unit that is zero altogether whose product lowers the loss.

    Along ``(v, u)`` the loss changes by ``t² u·Σ_i ∇loss_i relu(x_i·v)`` plus terms of fourth order.

    Returns:
        A direction with negative second derivative; None if there is no such unit, or none was found.
    """
    idle = (network.first.norm(dim=1) == 0.0) & (network.second.norm(dim=0) == 0.0)
    if network.weight_decay > 0.0 or not bool(idle.any()):
        return None
    unit = int(idle.nonzero()[0])
    width = network.first.shape[1]
    draws = torch.randn(_NUM_SAMPLES, width, generator=as_generator(0), dtype=torch.float64)
    draws = draws / draws.norm(dim=1, keepdim=True)
    pulls = torch.relu(draws @ network.inputs.mT) @ network.slopes
    best = int(pulls.norm(dim=1).argmax())
    if float(pulls[best].norm()) <= tolerance * _FLAT_RELATIVE:
        return None
    first, second = torch.zeros_like(network.first), torch.zeros_like(network.second)
    first[unit] = draws[best]
    second[:, unit] = -pulls[best] / pulls[best].norm()
    return network.flatten(first, second, torch.zeros_like(network.offset))


def _second_order(
    network: TwoLayerReLU, units: list[_UnitSlopes], num_kinks: int, size: float
) -> PiecewiseTest:
    pairs = [
        (unit, point, sides)
        for unit, found in enumerate(units)
        for point, sides in zip(found.points, found.sides, strict=True)
    ]
    num_sided = sum(any(sides) for _, _, sides in pairs)
    num_free = sum(all(sides) for _, _, sides in pairs)
    if 2 ** (num_sided + num_free) > _MAX_SYSTEMS:
        reason = (
            f"{num_sided} pairs of example and unit may leave the kink at no cost, too many to go through"
        )
        return PiecewiseTest("undecided", None, -size, num_kinks, reason)
    choices = [
        [side for side, is_open in zip((1.0, -1.0), sides, strict=True) if is_open] or [0.0]
        for _, _, sides in pairs
    ]
    is_degenerate = False
    for signs in itertools.product(*choices):
        form = _form(
            network, [(unit, point, sign) for (unit, point, _), sign in zip(pairs, signs, strict=True)]
        )
        zero: list[Tensor] = []
        positive: list[Tensor] = []
        for (unit, point, _), sign in zip(pairs, signs, strict=True):
            row = torch.zeros_like(network.first)
            row[unit] = point * (sign or 1.0)
            flat = network.flatten(row, torch.zeros_like(network.second), torch.zeros_like(network.offset))
            (positive if sign else zero).append(flat)
        if network.weight_decay == 0.0:
            zero += _rescalings(network)
        empty = form.new_zeros(0, len(form))
        margin = 1e2 * len(form) * torch.finfo(torch.float64).eps * max(float(form.abs().max()), 1e-300)
        found = judge_on_cone(
            form, torch.stack(zero) if zero else empty, torch.stack(positive) if positive else empty, margin
        )
        if found.status == "negative" and found.direction is not None:
            return PiecewiseTest("negative", found.direction / found.direction.norm(), -size, num_kinks)
        if found.status == "undecided":
            return PiecewiseTest(
                "undecided", None, -size, num_kinks, "the cones of flat directions are not simple"
            )
        is_degenerate = is_degenerate or found.status == "degenerate"
    return PiecewiseTest("degenerate" if is_degenerate else "minimum", None, -size, num_kinks)


def _form(network: TwoLayerReLU, sides: list[tuple[int, Tensor, float]]) -> Float[Tensor, "n n"]:
    """Build the Hessian of the smooth piece that a choice of sides leads to."""
    pattern = network.is_active.clone()
    for unit, point, sign in sides:
        if sign > 0.0:
            pattern[:, unit] |= network.is_on_kink[:, unit] & (network.inputs == point).all(dim=1)
    gates, inputs = pattern.double(), network.inputs
    count, num_outputs = network.slopes.shape
    num_units, width = network.first.shape
    by_first = torch.einsum("ok,nk,nd->nokd", network.second, gates, inputs)
    by_second = torch.einsum("op,nk->nopk", torch.eye(num_outputs, dtype=torch.float64), network.hidden)
    parts = [
        by_first[..., : width - network.has_bias].reshape(count, num_outputs, -1),
        by_first[..., width - network.has_bias :].reshape(count, num_outputs, -1),
        by_second.reshape(count, num_outputs, -1),
    ]
    if len(network.offset):
        parts.append(torch.eye(num_outputs, dtype=torch.float64).expand(count, -1, -1))
    jacobian = torch.cat(parts, dim=2)
    form = torch.einsum("noa,nop,npb->ab", jacobian, network.curvatures, jacobian)
    coupling = torch.einsum("no,nk,nd->okd", network.slopes, gates, inputs)
    total = len(form)
    weights = torch.arange(total)[: num_units * (width - network.has_bias)].reshape(num_units, -1)
    biases = torch.arange(total)[num_units * (width - network.has_bias) : num_units * width].reshape(
        num_units, -1
    )
    rows = torch.cat([weights, biases], dim=1)
    columns = torch.arange(total)[num_units * width : num_units * (width + num_outputs)].reshape(
        num_outputs, -1
    )
    for output in range(num_outputs):
        for unit in range(num_units):
            form[rows[unit], columns[output, unit]] += coupling[output, unit]
            form[columns[output, unit], rows[unit]] += coupling[output, unit]
    return form + network.weight_decay * torch.eye(total, dtype=torch.float64)


def _rescalings(network: TwoLayerReLU) -> list[Tensor]:
    """List the directions of positive rescaling: one unit's weights up, its outgoing ones down."""
    found = []
    for unit in range(len(network.first)):
        first, second = torch.zeros_like(network.first), torch.zeros_like(network.second)
        first[unit] = network.first[unit]
        second[:, unit] = -network.second[:, unit]
        tangent = network.flatten(first, second, torch.zeros_like(network.offset))
        if float(tangent.norm()) > 0.0:
            found.append(tangent / tangent.norm())
    return found


def _loss_derivatives(objective: Objective, outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    count = objective.num_examples
    with torch.enable_grad():
        leaf = outputs.detach().requires_grad_()
        total = sum_of_losses(objective.loss, leaf, y.double() if y.is_floating_point() else y)
        (slopes,) = torch.autograd.grad(total, leaf, create_graph=True)
        columns = []
        for output in range(outputs.shape[1]):
            # Examples do not mix, so one product gives this row of every example's Hessian.
            part = torch.zeros_like(outputs)
            if slopes.requires_grad:
                (part,) = torch.autograd.grad(slopes[:, output].sum(), leaf, retain_graph=True)
            columns.append(part)
    return slopes.detach() / count, torch.stack(columns, dim=1).detach() / count
