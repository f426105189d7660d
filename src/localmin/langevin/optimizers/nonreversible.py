"""Non-reversible Langevin dynamics (constant skew drift) as a torch optimiser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from localmin.errors import InputError
from localmin.langevin.optimizers.base import AbstractLangevinOptimizer, Parameters
from localmin.langevin.optimizers.buckets import Bucket
from localmin.langevin.optimizers.stability_alarm import StabilityAlarm
from localmin.langevin.passes import Push, push_along_gradient
from localmin.langevin.skew import PairwiseRotation, SkewOperator, check_skew_operator
from localmin.langevin.skew_drift import SkewLike, check_skew, push_along_skew_drift, resolve_skew
from localmin.langevin.updates import Update, first_order_update

__all__ = ["NonReversibleLangevin"]


class NonReversibleLangevin(AbstractLangevinOptimizer):
    """Gradient descent with a rotated share of the gradient, x <- x - lr (g + J g) + sqrt(2 lr T) xi.

    Keeps the Gibbs law of `LangevinDynamics` in continuous time for every antisymmetric J; the bias of a
    finite step grows like |J|^2.

    Args:
        params: Parameters, named parameters (then errors name them) or groups with their own ``lr``,
            ``temperature`` and ``weight_decay``.
        lr: Step eta.
        skew: J: an operator of `localmin.langevin.skew`, an antisymmetric matrix over the parameters of a
            group in order, flattened, or a function of the number of steps made such as `RepairedRotation`.
        temperature: T = 1/beta >= 0, or a function of the number of steps made. At 0 this is skew gradient
            descent and draws nothing.
        weight_decay: Adds weight_decay * x to the gradient, before J acts.
        hessian: Eigenvalues ``(d,)`` or matrix ``(d, d)`` over the flattened parameters of a group, for small
            problems: a step that is not stable with this J is warned about, with the limit.
        seed: Seed of the noise.
        check_finite: Refuse a step that would leave the finite numbers.

    Source:
        [gao2020].

    Cost:
        With neighbours paired as `LangevinDynamics`, in one pass; with another J also J g and one more pass.

    Example:
        >>> from localmin.langevin import PairwiseRotation
        >>> x = torch.nn.Parameter(torch.tensor([1.0, 0.0]))
        >>> optimizer = NonReversibleLangevin([x], lr=0.5, skew=PairwiseRotation(2.0))
        >>> (x**2 / 2).sum().backward()
        >>> optimizer.step()
        >>> x.detach()
        tensor([0.5000, 1.0000])
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        *,
        skew: SkewLike,
        temperature: float | Callable[[int], float] = 0.0,
        weight_decay: float = 0.0,
        hessian: ArrayLike | None = None,
        seed: int = 0,
        check_finite: bool = True,
    ) -> None:
        self._skew = check_skew(skew)
        self._norm: float | None = None  # root mean square of J g over that of g, once J has been checked
        self._alarm = StabilityAlarm("nonreversible", hessian)
        super().__init__(
            params,
            {"lr": lr, "weight_decay": weight_decay},
            temperature=temperature,
            seed=seed,
            check_finite=check_finite,
        )

    def _update(self, group: dict[str, Any], buckets: list[Bucket]) -> list[Update]:
        lr, operator = float(group["lr"]), self._operator()
        if operator.acts_on == "group" and (
            len(buckets) > 1 or len(buckets[0].parameters) < len(group["params"])
        ):
            raise InputError(
                "this skew operator acts on a whole parameter group: all its parameters need a gradient,"
                " one dtype and one device"
            )
        if self._norm is None:
            self._norm = check_skew_operator(operator, _handed_over(operator, buckets[0].gradients))
        self._alarm.check(lr, skew=operator)
        return [first_order_update(lr, group["temperature"])] * len(buckets)

    def _operator(self) -> SkewOperator:
        return resolve_skew(self._skew, self._num_steps)

    def _stretch(self) -> float:
        operator = self._operator()
        if isinstance(operator, PairwiseRotation):
            return 1 + abs(operator.strength)
        # The ratio on one random vector estimates |J|_F / sqrt(d); the margin covers the largest |J| / |J|_F.
        return 1 + 1e6 * (self._norm or 0.0)

    def _pusher(self) -> Push:
        return self._push

    def _push(self, positions: list[Tensor], gradients: list[Tensor], step_size: float) -> None:
        operator = self._operator()
        if operator.acts_on == "group":
            flat = _handed_over(operator, gradients)
            drift = flat + operator.apply(flat)
            parts = torch.split(drift, [gradient.numel() for gradient in gradients])
            drifts = [part.view(one.shape) for part, one in zip(parts, gradients, strict=True)]
            push_along_gradient(positions, drifts, step_size)
            return
        if operator.acts_on == "tensor":
            push_along_skew_drift(operator, positions, gradients, step_size)
            return
        # Pairs of an even last dimension are the pairs of the flat tensor.
        odd = [index for index, one in enumerate(positions) if one.dim() == 0 or one.shape[-1] % 2]
        for index in odd:
            flat = positions[index].reshape(-1)
            push_along_skew_drift(operator, [flat], [gradients[index].reshape(-1)], step_size)
            if not positions[index].is_contiguous():  # then the flat one is a copy
                positions[index].copy_(flat.view(positions[index].shape))
        if len(odd) < len(positions):
            even = [index for index in range(len(positions)) if index not in odd]
            push_along_skew_drift(
                operator, [positions[i] for i in even], [gradients[i] for i in even], step_size
            )

    def _scales(self, group: dict[str, Any]) -> tuple[float, float]:
        lr = float(group["lr"])
        return (2 * lr * group["temperature"]) ** 0.5, lr


def _handed_over(operator: SkewOperator, gradients: list[Tensor]) -> Tensor:
    """Build what the operator sees first of these gradients."""
    if operator.acts_on == "group":
        return torch.cat([gradient.reshape(-1) for gradient in gradients])
    return gradients[0].reshape(-1) if operator.acts_on == "flat" else gradients[0]
