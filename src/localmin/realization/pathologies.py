"""Explicit pairs of close functions whose parameters are far apart, and the pair that attains the bound."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.errors import InputError
from localmin.networks import ReLUNetwork

__all__ = [
    "Pathology",
    "complete_unbalancedness",
    "exploding_gradient",
    "opposite_directions_one",
    "opposite_directions_two",
    "redundant_directions",
    "sharp_pair",
]


@dataclass(frozen=True, eq=False)
class Pathology:
    """A network, a target function, and their distances as known in closed form.

    Args:
        name: Name of the example.
        network: Parameters to start from.
        target: Some parameters of the target function.
        epsilon: Semi-norm of the difference of the functions.
        distance: Distance of the network's parameters from all parameters of the target's function with the
            same number of neurons.
        distance_kind: Whether ``distance`` is exact or a lower bound.
    """

    name: str
    network: ReLUNetwork
    target: ReLUNetwork
    epsilon: float
    distance: float
    distance_kind: Literal["exact", "lower-bound"]


def exploding_gradient(k: float) -> Pathology:
    """Build ``k relu(k x_1) - k relu(k x_1 - x_2 / k^2)`` against zero parameters, two neurons.

    On the unit box the function is at most ``1 / k``, its semi-norm is ``k^2``, and so are its parameters at
    least ``k / sqrt(2)``: in the uniform norm nothing is stable.

    Args:
        k: At least 1.

    Returns:
        The pair.

    Raises:
        InputError: If ``k`` is below 1.

    Source:
        [berner2019] for the phenomenon; the network is from memory, its figures are derived here.

    Example:
        >>> exploding_gradient(10.0).epsilon
        100.0
    """
    if not (k >= 1 and math.isfinite(k)):
        raise InputError(f"expected a finite k >= 1, got {k}")
    target = _network([[k, 0.0], [k, -1 / k**2]], [k, -k])
    zero = _network([[0.0, 0.0], [0.0, 0.0]], [0.0, 0.0])
    return Pathology("exploding gradient", zero, target, k**2, k / math.sqrt(2.0), "lower-bound")


def complete_unbalancedness(k: float, *, r: float = 1.0) -> Pathology:
    """Build ``relu(x_2) / k`` against one neuron ``a = (r, 0)``, ``c = 0``, at distance ``r``.

    Args:
        k: Positive; the semi-norm is ``1 / k``.
        r: Size of the dead neuron, at least ``1 / k``.

    Returns:
        The pair.

    Source:
        [berner2019] for the phenomenon; the network is from memory, its figures are derived here.

    Example:
        >>> complete_unbalancedness(100.0, r=5.0).distance
        5.0
    """
    _check_positive(k=k, r=r)
    network = _network([[r, 0.0]], [0.0])
    return Pathology("complete unbalancedness", network, _network([[0.0, 1.0]], [1 / k]), 1 / k, r, "exact")


def redundant_directions(k: float) -> Pathology:
    """Build ``2 relu(x_1) + relu(x_2) / k`` against two equal neurons ``relu(x_1)``, at distance 1.

    Args:
        k: At least 1; the semi-norm is ``1 / k``.

    Returns:
        The pair.

    Source:
        [berner2019] for the phenomenon; the network is from memory, its figures are derived here.

    Example:
        >>> redundant_directions(4.0).epsilon
        0.25
    """
    _check_positive(k=k)
    network = _network([[1.0, 0.0], [1.0, 0.0]], [1.0, 1.0])
    target = _network([[1.0, 0.0], [0.0, 1.0]], [2.0, 1 / k])
    return Pathology("redundant directions", network, target, 1 / k, 1.0, "exact")


def opposite_directions_one(k: float, *, direction: tuple[float, float] = (1.0, 2.0)) -> Pathology:
    """Build ``relu(<v, x>) / k`` against six neurons whose sum is the zero function.

    The neurons are ``relu(b_i x)`` and ``-relu(-b_i x)`` with ``b = (-1, 0), (0, -1), (1, 1)``.

    Args:
        k: Positive; the semi-norm is ``max|v| / k``.
        direction: ``v``, not parallel to any ``b_i``.

    Returns:
        The pair, with a lower bound: some neuron must turn to ``v``.

    Raises:
        InputError: If ``v`` is parallel to some ``b_i``.

    Source:
        [berner2019] for the phenomenon; the network is from memory, its figures are derived here.

    Example:
        >>> opposite_directions_one(10.0).epsilon
        0.2
    """
    _check_positive(k=k)
    star = _star()
    v = torch.tensor(direction, dtype=torch.float64)
    if ((star[:, 0] * v[1] - star[:, 1] * v[0]).abs() == 0).any():
        raise InputError(f"expected a direction parallel to none of {star.tolist()}, got {direction}")
    network = ReLUNetwork([torch.cat([star, -star]), torch.tensor([[1.0] * 3 + [-1.0] * 3]).double()])
    neurons = torch.cat([v[None], torch.zeros(5, 2, dtype=torch.float64)])
    outputs = torch.zeros(1, 6, dtype=torch.float64)
    outputs[0, 0] = 1 / k
    distance = min(_distance_to_line(b, v) for b in star)
    epsilon = float(v.abs().max()) / k
    return Pathology(
        "opposite directions I", network, ReLUNetwork([neurons, outputs]), epsilon, distance, "lower-bound"
    )


def opposite_directions_two(k: float) -> Pathology:
    """Build the star ``sum relu(b_i x)`` against ``(1 + 1/k) relu(-b_1 x) + relu(-b_2 x) + relu(-b_3 x)``.

    For ``k`` to infinity both are the same function with two parametrisations at distance 1; for finite
    ``k`` the kinks leave only the far one.

    Args:
        k: Positive; the semi-norm is ``1 / k``.

    Returns:
        The pair.

    Source:
        [berner2019] for the phenomenon; the network is from memory, its figures are derived here.

    Example:
        >>> opposite_directions_two(100.0).distance
        1.0
    """
    _check_positive(k=k)
    star = _star()
    ones = torch.ones(1, 3, dtype=torch.float64)
    outputs = ones.clone()
    outputs[0, 0] += 1 / k
    return Pathology(
        "opposite directions II",
        ReLUNetwork([star, ones]),
        ReLUNetwork([-star, outputs]),
        1 / k,
        1.0,
        "exact",
    )


def sharp_pair(
    epsilon: float, *, height: float = 0.5, spread: float = 1e-3, weight: float = 50.0
) -> Pathology:
    """Build the pair in the restricted space with ``distance = 2 sqrt(2) sqrt(epsilon)``.

    Four heavy neurons share an ``epsilon`` of gradient between them in such a way that one light neuron on
    either side hides in it; that one must move all the way.

    Args:
        epsilon: Semi-norm of the difference, positive.
        height: Last two coordinates ``y`` of the directions ``(+-1, y, y)``.
        spread: ``0 < spread < height`` and ``height + spread < 1``: distance of heavy and light directions.
        weight: Product of a heavy neuron, large against ``epsilon``.

    Returns:
        The pair.

    Raises:
        InputError: If a parameter is out of its range.

    Source:
        Derived here.

    Example:
        >>> pair = sharp_pair(1e-2)
        >>> round(pair.distance / pair.epsilon**0.5, 6)
        2.828427
    """
    _check_positive(epsilon=epsilon, height=height, spread=spread, weight=weight)
    if spread >= height or height + spread >= 1:
        raise InputError(
            f"expected spread < height and height + spread < 1, got spread {spread} and height {height}"
        )
    light = math.sqrt(2 * epsilon)

    def build(heavy: float, side: float) -> ReLUNetwork:
        rows, outputs = [], []
        for sigma in (1.0, -1.0):
            for y in (height - spread, height + spread):
                rows.append([sigma * math.sqrt(heavy), y * math.sqrt(heavy), y * math.sqrt(heavy)])
                outputs.append(math.sqrt(heavy))
        rows.append([side * light, height * light, height * light])
        outputs.append(side * light)
        return _network(rows, outputs)

    return Pathology(
        "sharp pair", build(weight, 1.0), build(weight + epsilon, -1.0), epsilon, 2 * light, "exact"
    )


def _star() -> Float[Tensor, "3 2"]:
    return torch.tensor([[-1.0, 0.0], [0.0, -1.0], [1.0, 1.0]], dtype=torch.float64)


def _network(directions: list[list[float]], outputs: list[float]) -> ReLUNetwork:
    return ReLUNetwork(
        [torch.tensor(directions, dtype=torch.float64), torch.tensor([outputs], dtype=torch.float64)]
    )


def _distance_to_line(b: Tensor, v: Tensor) -> float:
    # min over s of max_i |s v_i - b_i|, at a crossing of two of the lines or at a zero of one.
    scales = [b[i] / v[i] for i in range(2) if v[i] != 0]
    for sign in (1.0, -1.0):
        if v[0] - sign * v[1] != 0:
            scales.append((b[0] - sign * b[1]) / (v[0] - sign * v[1]))
    return min(float((scale * v - b).abs().max()) for scale in scales)


def _check_positive(**values: float) -> None:
    for name, value in values.items():
        if not (value > 0 and math.isfinite(value)):
            raise InputError(f"expected a positive number for {name}, got {value}")
