"""Non-reversible Langevin dynamics (constant skew drift) as a torch optimiser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from localmin.errors import InputError
from localmin.langevin.optimizers.base import AbstractLangevinOptimizer, Bucket, Parameters
from localmin.langevin.skew import SkewOperator, as_skew_operator, check_skew_operator
from localmin.langevin.updates import first_order_update

__all__ = ["NonReversibleLangevin"]


class NonReversibleLangevin(AbstractLangevinOptimizer):
    """Gradient descent with a rotated share of the gradient, x <- x - lr (g + J g) + sqrt(2 lr T) xi.

    Keeps the Gibbs law of `LangevinDynamics` in continuous time for every antisymmetric J; the bias of a
    finite step grows like |J|^2.

    Args:
        params: Parameters, named parameters (then errors name them) or groups with their own ``lr``,
            ``temperature`` and ``weight_decay``.
        lr: Step eta.
        skew: J: an operator of `localmin.langevin.skew`, or an antisymmetric matrix over the parameters of a
            group in order, flattened.
        temperature: T = 1/beta >= 0, or a function of the number of steps made. At 0 this is skew gradient
            descent and draws nothing.
        weight_decay: Adds weight_decay * x to the gradient, before J acts.
        seed: Seed of the noise.
        check_finite: Refuse a step with a gradient that is not finite.

    Source:
        [gao2020].

    Cost:
        As `LangevinDynamics`, plus J g and one more pass.

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
        skew: SkewOperator | Any,
        temperature: float | Callable[[int], float] = 0.0,
        weight_decay: float = 0.0,
        seed: int = 0,
        check_finite: bool = True,
    ) -> None:
        self._skew = as_skew_operator(skew)
        self._checked_skew = False
        super().__init__(
            params,
            {"lr": lr, "weight_decay": weight_decay},
            temperature=temperature,
            seed=seed,
            check_finite=check_finite,
        )

    def _check_group(self, group: dict[str, Any], buckets: list[Bucket]) -> None:
        if self._skew.acts_on == "group" and (
            len(buckets) > 1 or len(buckets[0].parameters) < len(group["params"])
        ):
            raise InputError(
                "this skew operator acts on a whole parameter group: all its parameters need a gradient,"
                " one dtype and one device"
            )

    def _step_group(self, group: dict[str, Any], buckets: list[Bucket]) -> None:
        lr = float(group["lr"])
        update = first_order_update(lr, group["temperature"])
        for bucket in buckets:
            drift = torch._foreach_add(bucket.gradients, self._rotated(bucket.gradients))
            self._apply(update, bucket, [], list(drift))

    def _rotated(self, gradients: list[Tensor]) -> list[Tensor]:
        if self._skew.acts_on == "group":
            flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
            parts = torch.split(self._checked_apply(flat), [gradient.numel() for gradient in gradients])
            return [part.view(gradient.shape) for part, gradient in zip(parts, gradients, strict=True)]
        if self._skew.acts_on == "flat":
            return [self._checked_apply(gradient.reshape(-1)).view(gradient.shape) for gradient in gradients]
        return [self._checked_apply(gradient) for gradient in gradients]

    def _checked_apply(self, gradient: Tensor) -> Tensor:
        if not self._checked_skew:
            check_skew_operator(self._skew, gradient)
            self._checked_skew = True
        return self._skew.apply(gradient)

    def _scales(self, group: dict[str, Any]) -> tuple[float, float]:
        lr = float(group["lr"])
        return (2 * lr * group["temperature"]) ** 0.5, lr
