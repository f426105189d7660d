"""From a raw feature to its place in the data: cdf and cgf, with knots that serve unseen examples too."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from localmin.errors import DataError, InputError

__all__ = ["MAX_KNOTS", "TRANSFORMS", "Transform", "TransformKind", "fit_transform", "mid_rank"]

TransformKind = Literal["cdf", "cgf"]
TRANSFORMS: tuple[TransformKind, ...] = ("cdf", "cgf")
MAX_KNOTS = 4_096
_LARGEST = float(np.finfo(np.float64).max)


@dataclass(frozen=True, eq=False)
class Transform:
    """Map feature values to [0, 1] by interpolation between knots.

    Args:
        kind: ``"cdf"`` or ``"cgf"``.
        values: Knot positions on the feature axis, shape ``(k,)``, increasing, float64.
        places: Their images, shape ``(k,)``, in [0, 1], non-decreasing, float64.
    """

    kind: TransformKind
    values: Float[Tensor, " k"]
    places: Float[Tensor, " k"]

    def __call__(self, feature: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        """Place feature values, seen or unseen; outside the knots the ends hold."""
        placed = np.interp(_array(feature), self.values.numpy(), self.places.numpy())
        return torch.from_numpy(np.asarray(placed, dtype=np.float64))

    def to_dict(self) -> dict[str, Any]:
        """List the knots, for JSON."""
        return {"kind": self.kind, "values": self.values.tolist(), "places": self.places.tolist()}

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> Transform:
        """Rebuild from `to_dict`.

        Args:
            stored: What `to_dict` gave.

        Returns:
            The transform.

        Raises:
            InputError: If the kind is unknown or the knots are not increasing finite numbers with
                non-decreasing places in [0, 1].
        """
        kind, values, places = stored["kind"], _knots(stored["values"]), _knots(stored["places"])
        if kind not in TRANSFORMS:
            raise InputError(f"unknown transform {kind!r}; choose one of {', '.join(TRANSFORMS)}")
        if not 1 <= len(values) == len(places):
            raise InputError(f"a transform needs a place for each knot, got {len(values)} and {len(places)}")
        if bool((values.diff() <= 0).any()) or bool((places.diff() < 0).any()):
            raise InputError("the knots of a transform must increase")
        if float(places[0]) < 0 or float(places[-1]) > 1:
            raise InputError("the places of a transform lie in [0, 1]")
        return cls(kind, values, places)


def mid_rank(feature: Float[Tensor, " n"], mass: Float[Tensor, " n"] | None = None) -> Float[Tensor, " n"]:
    """Compute ``u_i = (mass below i + half the mass at i's value) / total``, in float64.

    Tied values share one place. With equal masses this is the mid-rank divided by n.

    Args:
        feature: Shape ``(n,)``, finite.
        mass: Shape ``(n,)``, not negative, not all zero; None gives every example the same.

    Returns:
        Shape ``(n,)``, in (0, 1), float64; an end is reached where all mass beyond it is zero.

    Cost:
        One sort.

    Example:
        >>> mid_rank(torch.tensor([3.0, 1.0, 3.0, 2.0])).tolist()
        [0.75, 0.125, 0.75, 0.375]
    """
    values, inverse = np.unique(_array(feature), return_inverse=True)
    weights = None if mass is None else _array(mass)
    tied = np.bincount(inverse, weights=weights, minlength=len(values)).astype(np.float64)
    upper = np.cumsum(tied)
    return torch.from_numpy(((upper - tied / 2) / upper[-1])[inverse])


def fit_transform(
    feature: Float[Tensor, " n"],
    *,
    kind: TransformKind = "cdf",
    gradient: Float[Tensor, " n"] | None = None,
    max_knots: int = MAX_KNOTS,
) -> Transform:
    """Fit a transform to the examples of a training set.

    cdf gives equal parts of [0, 1] equal numbers of examples; cgf gives them equal parts of the
    gradient mass, so that moving any node of a policy can move the expected gradient by equally much.

    Args:
        feature: Shape ``(n,)``.
        kind: ``"cdf"`` or ``"cgf"``.
        gradient: Gradient norms or bounds, shape ``(n,)``, not negative; needed for cgf.
        max_knots: More distinct values are thinned to about this many, evenly in u; at least 4.

    Returns:
        The transform; exact at the examples while they have at most ``max_knots`` distinct values,
        within ``1 / (max_knots // 2 - 1)`` of it otherwise.

    Raises:
        DataError: If the feature is not finite.
        InputError: If the kind is unknown or cgf lacks gradients.

    Source:
        cdf and cgf are named in [yao2024]; these formulas are reconstructed.

    Example:
        >>> fit_transform(torch.tensor([0.0, 1.0]), kind="cgf", gradient=torch.tensor([1.0, 3.0]))(
        ...     torch.tensor([0.0, 1.0, 9.0])
        ... ).tolist()
        [0.125, 0.625, 0.625]
    """
    if kind not in TRANSFORMS:
        raise InputError(f"unknown transform {kind!r}; choose one of {', '.join(TRANSFORMS)}")
    if not bool(torch.isfinite(feature).all()):
        index = int(torch.nonzero(~torch.isfinite(feature))[0])
        raise DataError(
            f"the feature of example {index} is {float(feature[index])}; the network that computed it "
            "diverged or its input is not finite: try a lower learning rate"
        )
    mass = None
    if kind == "cgf":
        if gradient is None:
            raise InputError("the cgf transform needs the gradient-norm bounds")
        if float(gradient.sum()) > 0:
            mass = gradient
        else:
            warnings.warn("all gradient norms are zero: using cdf in place of cgf", stacklevel=2)
            kind = "cdf"
    places = mid_rank(feature, mass)
    values, first = np.unique(_array(feature), return_index=True)
    knots = places.numpy()[first]
    if len(values) > max_knots:
        wanted = np.linspace(knots[0], knots[-1], max_knots // 2)
        reached = np.searchsorted(knots, wanted).clip(0, len(values) - 1)
        # With its left neighbour a heavy tie stays a step; alone it would become a ramp.
        kept = np.union1d(reached, [*(reached - 1).clip(0), len(values) - 1])
        values, knots = values[kept], knots[kept]
    return Transform(kind, torch.from_numpy(values), torch.from_numpy(knots.copy()))


def _array(feature: Float[Tensor, " n"]) -> npt.NDArray[np.float64]:
    return feature.detach().cpu().double().numpy()


def _knots(numbers: Any) -> Float[Tensor, " k"]:
    if not isinstance(numbers, list) or not all(_is_number(number) for number in numbers):
        raise InputError("the knots of a transform must be a list of finite numbers")
    return torch.tensor([float(number) for number in numbers], dtype=torch.float64)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST
