"""Verdicts on a kink, where gradient and Hessian of one piece decide nothing."""

from dataclasses import replace

import torch

from localmin.certification.certificate import Certificate, best_step
from localmin.certification.two_layer_relu import (
    PiecewiseTest,
    examine_two_layer_relu,
    read_two_layer_relu,
)
from localmin.objective import Objective

__all__ = ["certify_on_kink", "kink_tolerance"]

_STEPS = (1e-4, 1e-5)
_SHARE_OF_SLOPE = 0.5


def kink_tolerance(objective: Objective) -> float:
    """Give the relative distance up to which an argument counts as on the kink."""
    return float(torch.finfo(objective.dtype).eps ** 0.75)


def certify_on_kink(blank: Certificate, objective: Objective) -> Certificate:
    """Judge a point on a kink by one-sided derivatives.

    For two-layer ReLU networks all pieces around the point are examined. Otherwise the only thing tried is
    whether the loss falls along the negative gradient of the piece that torch takes.

    Args:
        blank: Certificate with value, gradient norm and kinks.
        objective: Stands at the point.

    Returns:
        The certificate; "undecided" where nothing was shown.
    """
    names = ", ".join(blank.kinks)
    network = read_two_layer_relu(objective, kink_tolerance(objective))
    if network is not None:
        found = examine_two_layer_relu(network, blank.gradient_tolerance)
        return _judge(replace(blank, method="piecewise"), objective, found)
    gradient = objective.gradient().double().cpu()
    norm = float(gradient.norm())
    if norm > blank.gradient_tolerance:
        unit = (-gradient / norm).to(objective.device)
        point = objective.point.double()
        falls = [blank.value - objective.value_at(point + step * unit) for step in _STEPS]
        if all(fall > _SHARE_OF_SLOPE * step * norm for fall, step in zip(falls, _STEPS, strict=True)):
            return replace(
                blank,
                verdict="not-critical",
                method="piecewise",
                witness=unit.cpu(),
                reason=f"on a kink of {names}, and the loss falls along the negative gradient of one piece",
            )
    return replace(blank, reason=f"on a kink of {names}: the Hessian of one piece decides nothing")


def _judge(blank: Certificate, objective: Objective, found: PiecewiseTest) -> Certificate:
    where = f"{found.num_kinks} pairs of example and unit on the kink of relu"
    if found.direction is not None:
        decrease, _ = best_step(objective, found.direction, blank.value, None)
        if not decrease > 0.0:
            return replace(blank, reason=f"{where}: a way down was predicted, but none was found")
    if found.status == "descent":
        reason = f"{where}, and a one-sided slope of {found.slope:.3g}"
        return replace(blank, verdict="not-critical", witness=found.direction, reason=reason)
    if found.status == "negative":
        reason = f"{where}: no one-sided slope is negative, but a flat direction has negative curvature"
        return replace(blank, verdict="strict-saddle", witness=found.direction, reason=reason)
    if found.status == "undecided":
        return replace(blank, reason=f"{where}: {found.reason}")
    is_exact = abs(found.slope) <= torch.finfo(objective.dtype).eps ** 0.5
    if found.status == "minimum" and is_exact:
        reason = f"{where}: over all pieces slopes are not negative, and flat directions curve upwards"
        return replace(blank, verdict="local-minimum", reason=reason)
    why = (
        ""
        if found.status == "degenerate"
        else f"; for a minimum the slope {found.slope:.1g} is not zero enough"
    )
    reason = f"{where}: over all pieces neither slopes nor curvatures of flat directions are negative{why}"
    return replace(blank, verdict="second-order-point", reason=reason)
