"""From minima over parameters to minima over functions, and how good those are."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from localmin.errors import InputError
from localmin.networks import ReLUNetwork
from localmin.realization.inverse_stability import SHARP_CONSTANT
from localmin.realization.neurons import as_network
from localmin.realization.restricted_space import restricted_space_membership

__all__ = [
    "AlmostOptimality",
    "MinimumTransfer",
    "ParameterMinimum",
    "almost_optimality",
    "parameter_minimum_example",
    "transfer_minimum",
    "transfer_radius",
]


@dataclass(frozen=True)
class MinimumTransfer:
    """Radius of a minimum over parameters, and of the minimum over functions that it implies.

    Args:
        applies: The point lies in the space on which the stability constants were proved.
        parameter_radius: Radius in the largest parameter entry.
        function_radius: Radius in the semi-norm; zero where the transfer does not apply.
        constant: ``s``.
        exponent: ``alpha``.
        reason: One sentence.
    """

    applies: bool
    parameter_radius: float
    function_radius: float
    constant: float
    exponent: float
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain numbers."""
        return asdict(self)


@dataclass(frozen=True)
class AlmostOptimality:
    """The bound ``L(g*) <= L(g) + (2 c / r) |g - g*| eta`` and its terms.

    Args:
        applies: ``function_radius >= 2 approximation``, without which the bound is not shown.
        excess_bound: ``(2 c / r) |g - g*| eta``; infinity where it does not apply.
        lipschitz: ``c``.
        function_radius: ``r``.
        distance: ``|g - g*|``.
        approximation: ``eta``.
    """

    applies: bool
    excess_bound: float
    lipschitz: float
    function_radius: float
    distance: float
    approximation: float

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain numbers."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class ParameterMinimum:
    """A local minimum over parameters that is none over functions.

    Args:
        network: ``a = (r, 0)``, ``c = 0``.
        x: Inputs, shape ``(2, 2)``.
        y: Targets, shape ``(2, 1)``.
        parameter_radius: The loss does not fall below its value within this radius.
    """

    network: ReLUNetwork
    x: Float[Tensor, "2 2"]
    y: Float[Tensor, "2 1"]
    parameter_radius: float

    def loss(self, network: ReLUNetwork) -> float:
        """Compute half the sum of squared residuals.

        Args:
            network: Two inputs, one output, float64.

        Returns:
            The loss.
        """
        return float((network(self.x) - self.y).square().sum()) / 2

    def better_function(self, size: float) -> ReLUNetwork:
        """Build a network whose function is at semi-norm ``size`` and has a smaller loss.

        Args:
            size: Between 0 and 2, both excluded.

        Returns:
            ``size * relu(x_2)``, of loss ``(1 - size)^2 / 2`` instead of ``1 / 2``.
        """
        return ReLUNetwork([self.x.new_tensor([[0.0, 1.0]]), self.x.new_tensor([[size]])])


def transfer_radius(
    parameter_radius: float, *, constant: float = SHARP_CONSTANT, exponent: float = 0.5
) -> float:
    """Compute ``(radius / s) ** (1 / alpha)``, the radius of the minimum over functions.

    If the realisation map is ``(s, alpha)`` inverse stable on a set, every function of the set closer than
    this has parameters within ``parameter_radius``, where the loss is no smaller.

    Args:
        parameter_radius: Radius of the local minimum over parameters, not negative.
        constant: ``s``, positive.
        exponent: ``alpha``, positive.

    Returns:
        The radius in the (semi-)norm of the stability.

    Raises:
        InputError: If an argument is out of range.

    Source:
        [berner2019] for the statement (numbering from memory); the proof fits in the lines above.

    Example:
        >>> transfer_radius(2.0, constant=4.0)
        0.25
        >>> transfer_radius(6.0, constant=2.0, exponent=1.0)
        3.0
    """
    if not (parameter_radius >= 0 and constant > 0 and exponent > 0):
        raise InputError(
            "expected parameter_radius >= 0, constant > 0 and exponent > 0, got "
            f"{parameter_radius}, {constant} and {exponent}"
        )
    return float((parameter_radius / constant) ** (1.0 / exponent))


def transfer_minimum(
    network: ReLUNetwork | nn.Module,
    parameter_radius: float,
    *,
    constant: float = SHARP_CONSTANT,
    exponent: float = 0.5,
) -> MinimumTransfer:
    """Turn a local minimum over restricted parameters into one over their functions.

    Args:
        network: The minimum. It must lie in the restricted space; `lift` and `balance` help.
        parameter_radius: Radius within which no parameters of the restricted space have a smaller loss.
            That this is so is the caller's knowledge: nothing here evaluates a loss.
        constant: ``s`` of the stability on that space.
        exponent: ``alpha``.

    Returns:
        The radius, or zero with the reason why there is none.

    Example:
        >>> point = ReLUNetwork([torch.tensor([[1.0, 1.0]]), torch.tensor([[1.0]])])
        >>> round(transfer_minimum(point, 0.4).function_radius, 12)
        0.02
    """
    radius = transfer_radius(parameter_radius, constant=constant, exponent=exponent)
    network = as_network(network)
    if network.biases is not None:
        reason = "the network has biases; lift it first, and take the radius there"
    elif network.depth != 2 or network.widths[0] < 2:
        reason = "the stability is known for one hidden layer and at least two inputs"
    else:
        membership = restricted_space_membership(network)
        if membership.is_inside:
            reason = "the point lies in the restricted space"
            return MinimumTransfer(True, parameter_radius, radius, constant, exponent, reason)
        missing = [
            name
            for name, holds in (
                ("balanced", membership.is_balanced),
                ("distinct directions", membership.is_distinct),
                ("oriented", membership.is_oriented),
            )
            if not holds
        ]
        reason = f"the point is outside the restricted space: not {', not '.join(missing)}"
    return MinimumTransfer(False, parameter_radius, 0.0, constant, exponent, reason)


def almost_optimality(
    *, lipschitz: float, function_radius: float, distance: float, approximation: float
) -> AlmostOptimality:
    """Bound how much worse a local minimum over functions is than any other function of the set.

    Let the set be contained in a convex ``S`` (for example the functions with a norm up to some value),
    the loss convex and ``c``-Lipschitz on ``S``, every member of ``S`` within ``eta`` of the set, and
    ``g*`` a local minimum with radius ``r >= 2 eta``. Walk from ``g*`` a share ``r / (2 |g - g*|)`` of the
    way to ``g``: the nearest member of the set is still within ``r``, so convexity gives the bound.

    Args:
        lipschitz: ``c``.
        function_radius: ``r``, positive.
        distance: ``|g - g*|`` in the norm of the radius.
        approximation: ``eta`` in the same norm.

    Returns:
        The bound and its terms.

    Raises:
        InputError: If a term is negative, or the radius is not positive.

    Source:
        [berner2019] for the idea; this statement and its proof are derived here.

    Example:
        >>> terms = almost_optimality(
        ...     lipschitz=2.0, function_radius=0.5, distance=3.0, approximation=0.125)
        >>> terms.excess_bound
        3.0
    """
    if not (lipschitz >= 0 and function_radius > 0 and distance >= 0 and approximation >= 0):
        raise InputError(
            "expected function_radius > 0 and no negative term, got "
            f"{function_radius} and {lipschitz}, {distance}, {approximation}"
        )
    applies = function_radius >= 2 * approximation
    bound = 2 * lipschitz / function_radius * distance * approximation if applies else math.inf
    return AlmostOptimality(applies, bound, lipschitz, function_radius, distance, approximation)


def parameter_minimum_example(r: float = 1.0) -> ParameterMinimum:
    """Build the smallest example of a parameter minimum that is no function minimum.

    One neuron ``a = (r, 0)``, ``c = 0``, data ``(1, 0) -> 0`` and ``(-1, 1) -> 1``. The neuron is dead on the
    second point, and stays so under changes below ``r / 2``; hence the loss cannot fall. The function
    ``t relu(x_2)`` is at semi-norm ``t`` and has a smaller loss for every small ``t``.

    Args:
        r: Positive.

    Returns:
        Network, data and radius.

    Raises:
        InputError: If ``r`` is not positive.

    Source:
        Derived here.

    Example:
        >>> example = parameter_minimum_example()
        >>> example.loss(example.network), round(example.loss(example.better_function(0.1)), 6)
        (0.5, 0.405)
    """
    if not r > 0:
        raise InputError(f"expected r > 0, got {r}")
    network = ReLUNetwork(
        [torch.tensor([[r, 0.0]], dtype=torch.float64), torch.zeros(1, 1, dtype=torch.float64)]
    )
    x = torch.tensor([[1.0, 0.0], [-1.0, 1.0]], dtype=torch.float64)
    return ParameterMinimum(network, x, torch.tensor([[0.0], [1.0]], dtype=torch.float64), r / 2)
