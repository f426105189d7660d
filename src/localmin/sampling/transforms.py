"""From a raw feature to its place in the data: cdf and cgf, with knots that serve unseen examples too."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from localmin.errors import DataError, InputError

__all__ = ["MAX_KNOTS", "TRANSFORMS", "Transform", "TransformKind", "fit_transform", "mid_rank"]

TransformKind = Literal["cdf", "cgf"]
TRANSFORMS: tuple[TransformKind, ...] = ("cdf", "cgf")
MAX_KNOTS = 4_096


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
        placed = np.interp(feature.double().numpy(), self.values.numpy(), self.places.numpy())
        return torch.from_numpy(np.asarray(placed, dtype=np.float64))

    def to_dict(self) -> dict[str, Any]:
        """List the knots, for JSON."""
        return {"kind": self.kind, "values": self.values.tolist(), "places": self.places.tolist()}

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> Transform:
        """Rebuild from `to_dict`."""
        return cls(
            stored["kind"],
            torch.tensor(stored["values"], dtype=torch.float64),
            torch.tensor(stored["places"], dtype=torch.float64),
        )


def mid_rank(feature: Float[Tensor, " n"], mass: Float[Tensor, " n"] | None = None) -> Float[Tensor, " n"]:
    """Compute ``u_i = (mass below i + half the mass at i's value) / total``, in float64.

    Tied values share one place. With equal masses this is the mid-rank divided by n.

    Args:
        feature: Shape ``(n,)``, finite.
        mass: Shape ``(n,)``, not negative, not all zero; None gives every example the same.

    Returns:
        Shape ``(n,)``, in (0, 1), float64.

    Cost:
        One sort.

    Example:
        >>> mid_rank(torch.tensor([3.0, 1.0, 3.0, 2.0])).tolist()
        [0.75, 0.125, 0.75, 0.375]
    """
    values, inverse = np.unique(feature.double().numpy(), return_inverse=True)
    weights = None if mass is None else mass.double().numpy()
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
        max_knots: More distinct values are thinned to this many, evenly in u.

    Returns:
        The transform; exact at the examples while they have at most ``max_knots`` distinct values,
        within ``2 / max_knots`` of it otherwise.

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
    values, first = np.unique(feature.double().numpy(), return_index=True)
    knots = places.numpy()[first]
    if len(values) > max_knots:
        wanted = np.linspace(knots[0], knots[-1], max_knots)
        kept = np.unique(np.searchsorted(knots, wanted).clip(0, len(values) - 1))
        kept = np.union1d(kept, [0, len(values) - 1])
        values, knots = values[kept], knots[kept]
    return Transform(kind, torch.from_numpy(values), torch.from_numpy(knots.copy()))
