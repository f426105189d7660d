"""Policy forms: functions of [0, 1]-valued features with ten numbers.

Every form maps ``z`` in ``[0, 1]^10`` and placed features to relative drawing weights in [0, 1].
Multiplying a factor by a constant changes no probability, so each factor is scaled to maximum 1:
``z`` and its scaled copies are one policy.

* ``a``: one feature, ten nodes of a piecewise linear function of u_loss.
* ``b``: product of two such functions with five nodes each, of u_loss and of u_entropy.
* ``d``: an angle mixes the two ranks, ``cos(pi/2 z_0) u_loss - sin(pi/2 z_0) u_entropy``; nine nodes over
  the rank of the mixture. The default.
* ``e``: a bilinear map over (u_loss, u_entropy) on a grid of 5 x 2 nodes.

With a class prior one of the numbers is the exponent of the factor ``(n_y / n_max)^(-1.5 g)``, which
draws small classes more often; the forms give up a node for it (b and e: 5 + 4 nodes, 3 x 3 nodes).

Source: that the sampler is a smooth function of features with about ten parameters is [yao2024]; the
forms are ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.errors import InputError

__all__ = ["FORMS", "NUM_PARAMETERS", "PRIOR_POWER", "Form", "FormName", "get_form", "piecewise_linear"]

FormName = Literal["a", "b", "d", "e"]
NUM_PARAMETERS = 10
PRIOR_POWER = 1.5


@dataclass(frozen=True)
class Form:
    """Describe a form: which numbers it has and what it needs.

    Args:
        name: ``"a"``, ``"b"``, ``"d"`` or ``"e"``.
        features: Names of the features it reads, in order.
        nodes: Node counts: one per factor, or the shape of the grid.
        has_angle: Whether ``z[0]`` mixes the features into one rank.
        has_prior: Whether the last number is the exponent of the class prior.
    """

    name: FormName
    features: tuple[str, ...]
    nodes: tuple[int, ...]
    has_angle: bool = False
    has_prior: bool = False

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Name the ten numbers in the order of ``z``."""
        if self.name == "e":
            first, second = self.nodes
            names = [f"node {i},{j}" for i in range(first) for j in range(second)]
        elif self.name == "b":
            names = [
                f"{feature} node {j}"
                for feature, count in zip(self.features, self.nodes, strict=True)
                for j in range(count)
            ]
        else:
            names = [f"node {j}" for j in range(self.nodes[0])]
        return (*(["angle"] if self.has_angle else []), *names, *(["class prior"] if self.has_prior else []))

    @property
    def num_parameters(self) -> int:
        """Count the numbers of ``z``."""
        return len(self.parameter_names)

    def combine(self, z: Float[Tensor, " k"], places: Float[Tensor, "n f"]) -> Float[Tensor, " n"]:
        """Mix two placed features by the angle: ``cos(pi/2 z_0) u_1 - sin(pi/2 z_0) u_2`` (form d only)."""
        angle = float(z[0]) * math.pi / 2
        return math.cos(angle) * places[:, 0] - math.sin(angle) * places[:, 1]

    def feature_weights(self, z: Float[Tensor, " k"], places: Float[Tensor, "n f"]) -> Float[Tensor, " n"]:
        """Evaluate the form without its class prior.

        Args:
            z: The ten numbers, each in [0, 1].
            places: Placed features, shape ``(n, f)``; form d takes the placed mixture, ``(n, 1)``.

        Returns:
            Relative weights in [0, 1], shape ``(n,)``; the largest possible value is 1.
        """
        nodes = self._nodes(z)
        if self.name == "b":
            cut = self.nodes[0]
            return piecewise_linear(places[:, 0], _scaled(nodes[:cut])) * piecewise_linear(
                places[:, 1], _scaled(nodes[cut:])
            )
        if self.name == "e":
            return _bilinear(places[:, 0], places[:, 1], _scaled(nodes).view(self.nodes))
        return piecewise_linear(places[:, 0], _scaled(nodes))

    def prior_exponent(self, z: Float[Tensor, " k"]) -> float:
        """Give the exponent of the class prior, 0 if the form has none."""
        return PRIOR_POWER * float(z[-1]) if self.has_prior else 0.0

    def check_classes(self, num_classes: int) -> None:
        """Refuse a form that reads what two classes lack.

        Args:
            num_classes: Of the task; 1 for a regression.

        Raises:
            InputError: If the form reads the renormed entropy and there are no more than two classes.
        """
        if num_classes <= 2 and "renormed-entropy" in self.features:
            what = "two classes" if num_classes == 2 else "a task without classes"
            raise InputError(
                f"form {self.name} reads the renormed entropy, which is 0 for every example of {what}; "
                "use form a"
            )

    def is_valid(self, z: Float[Tensor, " k"]) -> bool:
        """Tell whether no factor is zero everywhere."""
        nodes = self._nodes(z)
        return all(float(factor.max()) > 0 for factor in self._factors(nodes))

    def canonical(self, z: Float[Tensor, " k"]) -> Float[Tensor, " k"]:
        """Scale every factor to maximum 1, so that equal policies have equal numbers."""
        nodes = self._nodes(z)
        start = 1 if self.has_angle else 0
        result = z.clone()
        result[start : start + len(nodes)] = torch.cat([_scaled(factor) for factor in self._factors(nodes)])
        return result

    def uniform(self) -> Float[Tensor, " k"]:
        """Give the numbers under which all examples are equally likely."""
        z = torch.ones(self.num_parameters, dtype=torch.float64)
        if self.has_angle:
            z[0] = DEFAULT_ANGLE
        if self.has_prior:
            z[-1] = 0.0
        return z

    def cut(self, keep: float, *, prior: float = 0.0) -> Float[Tensor, " k"]:
        """Give the numbers that keep about the share ``keep`` with the lowest loss and drop the rest.

        Args:
            keep: Place of the cut; above 1 nothing is dropped.
            prior: Value of the class-prior number, in [0, 1].

        Returns:
            ``z``, shape ``(10,)``.
        """
        z = self.uniform()
        count = self.nodes[0]
        at = torch.arange(count, dtype=torch.float64) / (count - 1)
        steepness = 1.5 * (count - 1)
        ramp = (steepness * (keep - at) + 0.5).clamp(0, 1)
        start = 1 if self.has_angle else 0
        if self.name == "e":
            z[: count * self.nodes[1]] = ramp.repeat_interleave(self.nodes[1])
        else:
            z[start : start + count] = ramp
        if self.has_prior:
            z[-1] = prior
        return z

    def _factors(self, nodes: Float[Tensor, " m"]) -> tuple[Tensor, ...]:
        return tuple(torch.split(nodes, list(self.nodes))) if self.name == "b" else (nodes,)

    def _nodes(self, z: Float[Tensor, " k"]) -> Float[Tensor, " m"]:
        return z[1 if self.has_angle else 0 : self.num_parameters - (1 if self.has_prior else 0)]


DEFAULT_ANGLE = 0.15

_PLAIN = {
    "a": Form("a", ("loss",), (10,)),
    "b": Form("b", ("loss", "renormed-entropy"), (5, 5)),
    "d": Form("d", ("loss", "renormed-entropy"), (9,), has_angle=True),
    "e": Form("e", ("loss", "renormed-entropy"), (5, 2)),
}
_WITH_PRIOR = {
    "a": Form("a", ("loss",), (9,), has_prior=True),
    "b": Form("b", ("loss", "renormed-entropy"), (5, 4), has_prior=True),
    "d": Form("d", ("loss", "renormed-entropy"), (8,), has_angle=True, has_prior=True),
    "e": Form("e", ("loss", "renormed-entropy"), (3, 3), has_prior=True),
}
FORMS: tuple[FormName, ...] = ("a", "b", "d", "e")


def get_form(name: str, *, class_prior: bool = False) -> Form:
    """Look up a form by name.

    Args:
        name: ``"a"``, ``"b"``, ``"d"`` or ``"e"``.
        class_prior: Whether one of the ten numbers is the exponent of a class prior.

    Returns:
        The form; it has exactly ten parameters.

    Raises:
        InputError: If the name is unknown.

    Example:
        >>> [get_form(name, class_prior=prior).num_parameters for name in "abde" for prior in (False, True)]
        [10, 10, 10, 10, 10, 10, 10, 10]
    """
    if name not in FORMS:
        raise InputError(f"unknown policy form {name!r}; choose one of {', '.join(FORMS)}")
    return (_WITH_PRIOR if class_prior else _PLAIN)[name]


def piecewise_linear(places: Float[Tensor, " n"], nodes: Float[Tensor, " m"]) -> Float[Tensor, " n"]:
    """Evaluate the function that is linear between equally spaced nodes on [0, 1].

    Args:
        places: Shape ``(n,)``, in [0, 1].
        nodes: Values at ``0, 1/(m-1), ..., 1``.

    Returns:
        Shape ``(n,)``; Lipschitz with constant ``(m - 1) max |nodes[j+1] - nodes[j]|``.

    Example:
        >>> piecewise_linear(torch.tensor([0.0, 0.25, 1.0]), torch.tensor([1.0, 0.0, 4.0])).tolist()
        [1.0, 0.5, 4.0]
    """
    segments = len(nodes) - 1
    left = (places * segments).floor().clamp(0, segments - 1).long()
    fraction = places * segments - left
    return (1 - fraction) * nodes[left] + fraction * nodes[left + 1]


def _bilinear(
    first: Float[Tensor, " n"], second: Float[Tensor, " n"], grid: Float[Tensor, "r c"]
) -> Float[Tensor, " n"]:
    rows, columns = grid.shape[0] - 1, grid.shape[1] - 1
    i = (first * rows).floor().clamp(0, rows - 1).long()
    j = (second * columns).floor().clamp(0, columns - 1).long()
    s, t = first * rows - i, second * columns - j
    lower = (1 - t) * grid[i, j] + t * grid[i, j + 1]
    upper = (1 - t) * grid[i + 1, j] + t * grid[i + 1, j + 1]
    return (1 - s) * lower + s * upper


def _scaled(nodes: Float[Tensor, " m"]) -> Float[Tensor, " m"]:
    largest = nodes.max()
    return nodes / largest if float(largest) > 0 else nodes
