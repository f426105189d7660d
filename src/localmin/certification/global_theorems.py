"""Objectives for which a theorem says more than curvature can: convex ones and deep linear networks."""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from localmin.certification.certificate import Certificate
from localmin.certification.deep_linear import (
    DeepLinearClassification,
    classify_deep_linear,
    global_minimum_loss,
)
from localmin.errors import InputError
from localmin.numerics import flatten_tensors
from localmin.objective import HessianOperator, Objective
from localmin.tasks.task import cross_entropy

__all__ = ["as_deep_linear", "certify_convex", "certify_deep_linear", "is_known_convex", "known_gap"]

_SQUARES = (F.mse_loss,)
_CONVEX_LOSSES = (F.mse_loss, F.cross_entropy, F.l1_loss, F.binary_cross_entropy_with_logits, cross_entropy)
_CONVEX_MODULES = (nn.MSELoss, nn.CrossEntropyLoss, nn.L1Loss, nn.BCEWithLogitsLoss)
_IGNORED = (nn.Flatten, nn.Identity)


def is_known_convex(objective: Objective) -> bool:
    """Tell whether the model is one linear layer under a loss that is known to be convex in the output.

    Args:
        objective: Any objective.

    Returns:
        True only where the theorem applies: a convex function of an affine map, plus a convex penalty.
    """
    layers = _layers(objective)
    is_convex = objective.loss in _CONVEX_LOSSES or isinstance(objective.loss, _CONVEX_MODULES)
    return is_convex and layers is not None and len(layers) == 1


def certify_convex(certificate: Certificate, objective: Objective) -> Certificate:
    """Turn a critical point of a convex objective into a global minimum.

    Args:
        certificate: Blank one of a point whose gradient is within the tolerance.
        objective: Declared or known to be convex.

    Returns:
        "global-minimum", with ``‖∇f‖² / 2w`` as a bound on the gap where weight decay ``w`` makes the
        objective strongly convex.

    Raises:
        InputError: If the curvature along the gradient is negative, so that the objective is not convex.

    Cost:
        One product.
    """
    hessian = HessianOperator(objective)
    gradient = objective.gradient().double()
    norm = float(gradient.norm())
    unit = gradient / norm if norm > 0.0 else torch.ones_like(gradient) / len(gradient) ** 0.5
    image = hessian.matvec(unit)
    curvature, scale = float(unit @ image), float(image.norm())
    if curvature < -1e4 * torch.finfo(objective.dtype).eps * scale:
        raise InputError(
            f"the objective was declared convex, but has curvature {curvature:.3g} along its gradient; "
            "leave convex out"
        )
    decay = objective.weight_decay
    gap = norm**2 / (2.0 * decay) if decay > 0.0 else None
    how = f", at most {gap:.2g} above the minimum" if gap is not None else ""
    return replace(
        certificate,
        verdict="global-minimum",
        method="convexity",
        gap=gap,
        num_hvps=hessian.num_products,
        reason=f"the objective is convex and its gradient norm is {norm:.2g}{how}",
    )


def as_deep_linear(objective: Objective) -> tuple[list[Tensor], Tensor, Tensor] | None:
    """Read an objective as the mean squared error of a deep linear network.

    Args:
        objective: Any objective.

    Returns:
        Weights, inputs and targets for `classify_deep_linear`; None if the objective is something else:
        biases, an activation, another loss, weight decay, frozen weights, or data spread over ranks.
    """
    layers = _layers(objective)
    is_squared = objective.loss in _SQUARES or (
        isinstance(objective.loss, nn.MSELoss) and objective.loss.reduction == "mean"
    )
    if (
        layers is None
        or not is_squared
        or objective.weight_decay > 0.0
        or objective.ranks.is_distributed
        or len(objective.parameter_names) != len(layers)
        or any(layer.bias is not None for layer in layers)
    ):
        return None
    batches = list(objective.batches)
    x = torch.cat([x for x, _ in batches]).flatten(1)
    y = torch.cat([y for _, y in batches])
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != layers[0].in_features:
        return None
    return [layer.weight.detach() for layer in layers], x, y


def certify_deep_linear(certificate: Certificate, objective: Objective) -> Certificate | None:
    """Take the complete answer for deep linear networks, where the objective is one.

    Args:
        certificate: Blank one of a point whose gradient is within the tolerance.
        objective: Any objective.

    Returns:
        The certificate, in the unit of the objective; None where it is no deep linear network, or the point
        is too far from a critical one for the theorem.

    Source:
        `classify_deep_linear`.
    """
    problem = as_deep_linear(objective)
    if problem is None:
        return None
    weights, x, y = problem
    found = classify_deep_linear(weights, x, y)
    if found.verdict in ("not-critical", "undecided"):
        return None
    # The mean over all entries against half their sum.
    factor = 2.0 / y.numel()
    certificate = replace(
        certificate, method="deep-linear", gap=found.loss_gap * factor, reason=found.reason, lower_bound=0.0
    )
    if found.verdict == "global-minimum":
        return replace(certificate, verdict="global-minimum")
    return _with_direction(certificate, objective, found)


def known_gap(objective: Objective, is_convex: bool) -> float | None:
    """Bound the value minus the global minimum at any point, where a theorem does.

    Args:
        objective: Stands at the point.
        is_convex: Whether the objective is known to be convex.

    Returns:
        ``‖∇f‖² / 2w`` for a convex objective with weight decay ``w``, the exact gap for a deep linear network
        under the squared error, otherwise None.
    """
    if is_convex and objective.weight_decay > 0.0:
        return float(objective.gradient().double().norm()) ** 2 / (2.0 * objective.weight_decay)
    problem = as_deep_linear(objective)
    if problem is None:
        return None
    weights, x, y = problem
    widths = [x.shape[1], *(weight.shape[0] for weight in weights)]
    return max(0.0, objective.value() - 2.0 * global_minimum_loss(x, y, widths) / y.numel())


def _with_direction(
    certificate: Certificate, objective: Objective, found: DeepLinearClassification
) -> Certificate | None:
    if found.witness is None:
        return None
    direction = flatten_tensors(found.witness).double().cpu()
    length = float(direction.norm())
    unit = direction / length
    curvature = float(unit @ objective.hvp(unit).double().cpu())
    is_strict = found.verdict == "strict-saddle"
    margin = 1e2 * torch.finfo(objective.dtype).eps * float(objective.hvp(unit).norm())
    if is_strict and not curvature < -margin:
        return None
    return replace(
        certificate,
        verdict="strict-saddle" if is_strict else "non-strict-saddle",
        witness=unit,
        curvature=curvature,
        margin=margin,
        # Positive semi-definite at the critical point; here up to what its inexactness makes of the witness.
        lower_bound=-float("inf") if is_strict else min(0.0, curvature) - margin,
        descent_step=None if is_strict else length,
        num_hvps=2,
    )


def _layers(objective: Objective) -> list[nn.Linear] | None:
    model = objective.model_at(objective.point)
    parts = list(model) if isinstance(model, nn.Sequential) else [model]
    layers = [part for part in parts if isinstance(part, nn.Linear)]
    is_plain = all(isinstance(part, (nn.Linear, *_IGNORED)) for part in parts)
    return layers if is_plain and layers and not _has_hooks(model) else None


def _has_hooks(model: nn.Module) -> bool:
    # A hook or a parametrisation can change what a layer computes.
    return any(
        module._forward_hooks or module._forward_pre_hooks or nn.utils.parametrize.is_parametrized(module)
        for module in model.modules()
    )
