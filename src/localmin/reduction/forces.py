"""Attraction and repulsion: what pulls a hidden representation together, and what keeps it apart."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.errors import InputError
from localmin.reduction.homogeneous_network import HomogeneousNetwork
from localmin.reduction.layer_representations import LayerRepresentation, representations
from localmin.reduction.model_reading import ModelT, read_model
from localmin.reduction.projection import RANK_TOLERANCE_RELATIVE

__all__ = ["LayerForces", "attraction_repulsion", "neuron_balance"]


@dataclass(frozen=True)
class LayerForces:
    """Losses and gradients that act on one hidden representation, its neighbours fixed.

    Attributes:
        layer: Number of the hidden layer.
        attraction_loss: ``A = Tr[Z_lᵀ (K_{l-1}^s)^+ Z_l]``, the norm of the weights into the layer.
        repulsion_loss: ``B = Tr[K_{l+1} (K_l^s)^+]``, the norm of the weights out of it.
        attraction: Gradient of A with respect to ``Z_l``, shape ``(n, n_l)``; the force is its negative.
        repulsion: Gradient of B, shape ``(n, n_l)``. At exact kinks the slope for positive values is not
            used; the negative slope is.
    """

    layer: int
    attraction_loss: float
    repulsion_loss: float
    attraction: Float[Tensor, "n width"]
    repulsion: Float[Tensor, "n width"]


def attraction_repulsion(
    model: ModelT, x: Float[Tensor, "n inputs"], *, smoothing_relative: float = 0.0
) -> tuple[LayerForces, ...]:
    """Compute the two opposing gradients on every hidden representation.

    At a stationary point of the regularised loss they cancel on the span of the layer below, as far as moves
    leave the layer above expressible (all of it if both spans have the same rank). At minima of ReLU networks
    many pre-activations sit exactly at zero, where the gradient is only one of many subgradients: there the
    sum need not be small.

    Args:
        model: As in `read_model`.
        x: Points, shape ``(n, n_0)``.
        smoothing_relative: Tikhonov's smoothing of the inverses, ``(K + s k_max)^-1`` with k_max the largest
            eigenvalue of K: for pictures, where directions that hardly exist would dominate. 0 gives the
            gradients themselves.

    Returns:
        One entry for each hidden layer, first layer first.

    Raises:
        InputError: If the smoothing is negative.

    Source:
        Jacot et al. 2022, attraction and repulsion; gradient formulas derived here:
        ``grad A = 2 (K_{l-1}^s)^+ Z_l`` and
        ``grad B = -2 sigma'(Z_l) o [(K_l^s)^+ K_{l+1} (K_l^s)^+ sigma(Z_l)]`` for one row a point.

    Cost:
        Singular value decompositions ``(n, n_l)`` and products ``n n_l n_{l+1}``.

    Example:
        >>> from localmin.networks import DeepLinear
        >>> scalar = DeepLinear([torch.tensor([[2.0]]), torch.tensor([[2.0]])])
        >>> forces = attraction_repulsion(scalar, torch.tensor([[1.0]]))[0]
        >>> forces.attraction.item(), forces.repulsion.item()
        (4.0, -4.0)
    """
    if smoothing_relative < 0:
        raise InputError(f"expected a smoothing of at least 0, got {smoothing_relative}")
    network = read_model(model).network
    layers = representations(model, x).layers
    return tuple(_forces(network, layers, layer, smoothing_relative) for layer in range(1, network.depth))


def _forces(
    network: HomogeneousNetwork,
    layers: tuple[LayerRepresentation, ...],
    layer: int,
    smoothing_relative: float,
) -> LayerForces:
    below, here, above = layers[layer - 1], layers[layer], layers[layer + 1]
    # Through the pseudo-inverses of the features: those of the Gram matrices square the condition number.
    inverse_below = _inverse(below.features, smoothing_relative)
    inverse_here = _inverse(here.features, smoothing_relative)
    values = here.preactivations
    slope = torch.full_like(values, network.negative_slopes[layer - 1]).masked_fill(values > 0, 1.0)
    into, out_of = inverse_below @ values, inverse_here @ above.preactivations
    attraction = 2.0 * inverse_below.T @ into
    neurons = out_of[: values.shape[1]]  # without the bias row
    repulsion = -2.0 * slope * (inverse_here.T @ out_of @ neurons.T)
    return LayerForces(
        layer,
        float(into.square().sum()),
        float(out_of.square().sum()),
        attraction,
        repulsion,
    )


def _inverse(features: Tensor, smoothing_relative: float) -> Tensor:
    if smoothing_relative == 0.0:
        pseudo: Tensor = torch.linalg.pinv(features, rtol=RANK_TOLERANCE_RELATIVE)
        return pseudo
    left, values, right = torch.linalg.svd(features, full_matrices=False)
    gains = values / (values.square() + smoothing_relative * values[0].square())
    inverse: Tensor = (right.T * gains) @ left.T
    return inverse


def neuron_balance(model: ModelT) -> tuple[Float[Tensor, " width"], ...]:
    """Compare incoming and outgoing norms of every hidden neuron, ``(in^2 - out^2) / (in^2 + out^2)``.

    At a stationary point of an L2-regularised homogeneous network all are zero.

    Args:
        model: As in `read_model`.

    Returns:
        One vector ``(n_l,)`` for each hidden layer, between -1 and 1; 0 for neurons without any weight.

    Source:
        Derived here.

    Example:
        >>> from localmin.networks import ReLUNetwork
        >>> neuron_balance(ReLUNetwork([torch.tensor([[2.0]]), torch.tensor([[1.0]])]))[0].item()
        0.6
    """
    network = read_model(model).network
    result = []
    for layer in range(1, network.depth):
        incoming = network.incoming_norms_squared(layer)
        outgoing = network.weights[layer].square().sum(dim=0)
        total = incoming + outgoing
        result.append(torch.where(total > 0, (incoming - outgoing) / total, 0.0))
    return tuple(result)
