"""Certified minima over parameters: while the data switches no neuron, training is a convex problem."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from localmin.errors import InputError, ShapeError
from localmin.networks import ReLUNetwork
from localmin.realization.neurons import read_neurons
from localmin.realization.normal_form import balanced

__all__ = ["PatternMinimum", "pattern_minimum", "polish_in_pattern"]

Loss = Callable[[Tensor], Tensor]

_MAX_NEWTON_STEPS = 50
_STATIONARY_RELATIVE = 1e-13


@dataclass(frozen=True)
class PatternMinimum:
    """A radius in which a network is a minimum over all parameters, up to a stated defect.

    Args:
        radius: In the largest parameter entry: the smallest ``|<a_i, x_n>| / sum|x_n|``. Zero if some input
            lies on a kink.
        defect: No parameters within the radius have a loss below the network's minus this.
        loss: Loss of the network.
        network: The balanced network, whose parameters are the centre.
    """

    radius: float
    defect: float
    loss: float
    network: ReLUNetwork

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain numbers, without the network."""
        return {"radius": self.radius, "defect": self.defect, "loss": self.loss}


def pattern_minimum(network: ReLUNetwork | nn.Module, x: Float[Tensor, "n d"], loss: Loss) -> PatternMinimum:
    """Certify the radius of a minimum over parameters, for one output and a convex loss.

    While no input of the data switches a neuron, the outputs on the data are linear in the products
    ``v_i = c_i a_i``, so a convex loss is convex in them: a stationary point is a minimum of the whole
    region, whatever the products look like. Parameters stay in the region as long as no entry moves by as
    much as the radius. The gradient that is left, because training is never exact, bounds the defect.

    Args:
        network: One hidden layer without biases (`lift` brings biased ones here), one output. It is balanced
            first.
        x: Data, shape ``(n, d)``.
        loss: Convex function of the outputs ``(n, 1)``, a scalar, differentiable twice.

    Returns:
        Radius and defect.

    Raises:
        InputError: If the network has biases, several outputs or no hidden layer.
        ShapeError: If ``x`` does not fit.

    Source:
        Derived here.

    Cost:
        One gradient.

    Example:
        >>> network = ReLUNetwork([torch.tensor([[1.0, 1.0]]), torch.tensor([[1.0]])])
        >>> x = torch.tensor([[1.0, 1.0], [-1.0, 0.0]])
        >>> found = pattern_minimum(network, x, lambda y: (y - torch.tensor([[2.0], [5.0]])).square().sum())
        >>> found.radius, found.defect  # the second input cannot switch the neuron on within the radius
        (1.0, 0.0)
    """
    directions, outputs, rows = _balanced_neurons(network, x)
    heights = rows @ directions.T
    sizes = rows.abs().sum(dim=1, keepdim=True).clamp_min(1e-300)
    radius = float((heights.abs() / sizes).min()) if heights.numel() else float("inf")
    value, gradient = _gradient(directions * outputs, rows, heights > 0, loss)
    # |c' a' - c a| <= radius (|c| + |a| + radius), and |a| = |c|.
    reach = radius * (2 * outputs.abs()[:, 0] + radius)
    defect = float((gradient.abs().sum(dim=1) * reach).sum()) if len(reach) else 0.0
    centre = ReLUNetwork([directions, outputs.T.contiguous()])
    return PatternMinimum(radius, defect, value, centre)


def polish_in_pattern(
    network: ReLUNetwork | nn.Module, x: Float[Tensor, "n d"], loss: Loss, *, max_rounds: int = 50
) -> tuple[ReLUNetwork, bool]:
    """Bring a trained network to a stationary point of its activation pattern, where there is one near.

    In each round the convex loss is minimised over the products of the neurons with the pattern as it is.
    If the minimum switches neurons, the network goes as far towards it as the true loss falls, and the
    next round takes the pattern found there. Minima that lie on a kink are not found: rounds run out.

    Args:
        network: As in `pattern_minimum`.
        x: Data.
        loss: As in `pattern_minimum`.
        max_rounds: Most rounds.

    Returns:
        The balanced network, and whether it minimises the loss in its own pattern.

    Raises:
        InputError: As `pattern_minimum`, which lists it.

    Source:
        Derived here.

    Cost:
        One convex minimisation (Newton) a round, cubic in the number of first-layer weights.
    """
    directions, outputs, rows = _balanced_neurons(network, x)
    signs = torch.where(outputs < 0, -1.0, 1.0).to(torch.float64)
    products = directions * outputs
    for _ in range(max_rounds):
        pattern = rows @ (products * signs).T > 0
        goal = _minimum_of_pattern(products, rows, pattern, loss)
        if bool(((rows @ (goal * signs).T > 0) == pattern).all()):
            return _network_of(goal, signs), True
        moved = _step_towards(products, goal, signs, rows, loss)
        if moved is None:
            break
        products = moved
    return _network_of(products, signs), False


def _minimum_of_pattern(products: Tensor, rows: Tensor, pattern: Tensor, loss: Loss) -> Tensor:
    """Minimise the convex loss by Newton's method; steps of least norm where it is flat."""

    def value_of(vector: Tensor) -> Tensor:
        return loss(((rows @ vector.view(products.shape).T) * pattern).sum(dim=1, keepdim=True))

    vector = products.flatten()
    for _ in range(_MAX_NEWTON_STEPS):
        start, gradient = _gradient(vector.view(products.shape), rows, pattern, loss)
        slope = gradient.flatten()
        if float(slope.abs().max()) <= _STATIONARY_RELATIVE * max(start, 1e-300):
            break
        hessian = torch.autograd.functional.hessian(value_of, vector, vectorize=True)  # type: ignore[no-untyped-call]
        step = torch.linalg.lstsq(hessian, -slope[:, None], rcond=1e-12, driver="gelsd").solution[:, 0]
        share = 1.0
        while share > 1e-6 and float(value_of(vector + share * step)) > start:
            share /= 2
        vector = vector + share * step
    return vector.view(products.shape)


def _step_towards(products: Tensor, goal: Tensor, signs: Tensor, rows: Tensor, loss: Loss) -> Tensor | None:
    def true_loss(v: Tensor) -> float:
        pattern = rows @ (v * signs).T > 0
        return float(loss(((rows @ v.T) * pattern).sum(dim=1, keepdim=True)))

    start, share = true_loss(products), 1.0
    while share > 1e-8:
        moved = products + share * (goal - products)
        if true_loss(moved) < start * (1 - 1e-12):
            return moved
        share /= 2
    return None


def _network_of(products: Tensor, signs: Tensor) -> ReLUNetwork:
    directions, outputs = balanced(products * signs, signs.clone())
    return ReLUNetwork([directions, outputs.T.contiguous()])


def _balanced_neurons(network: ReLUNetwork | nn.Module, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    neurons = read_neurons(network)
    if neurons.num_outputs != 1 or neurons.affine.any() or neurons.directions[:, -1].any():
        raise InputError(
            "expected one hidden layer, one output and no biases; lift(network) turns biases into inputs"
        )
    if x.ndim != 2 or x.shape[1] != neurons.num_inputs:
        raise ShapeError(f"expected x of shape (n, {neurons.num_inputs}), got {tuple(x.shape)}")
    directions, outputs = balanced(neurons.directions[:, :-1], neurons.outputs)
    return directions, outputs, x.detach().to("cpu", torch.float64)


def _gradient(
    products: Float[Tensor, "m d"], rows: Float[Tensor, "n d"], pattern: Bool[Tensor, "n m"], loss: Loss
) -> tuple[float, Tensor]:
    outputs = ((rows @ products.T) * pattern).sum(dim=1, keepdim=True).requires_grad_()
    value = loss(outputs)
    (slopes,) = torch.autograd.grad(value, outputs)
    gradient: Tensor = (pattern * slopes).T @ rows
    return float(value.detach()), gradient
