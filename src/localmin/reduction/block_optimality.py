"""Block optimality: could a neuron that is not there lower the regularised loss?"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.errors import InputError
from localmin.reduction.homogeneous_network import HomogeneousNetwork
from localmin.reduction.model_reading import ModelT, read_model, read_points
from localmin.reduction.neuron_search import NeuronSearch
from localmin.reduction.projection import RANK_TOLERANCE_RELATIVE

__all__ = ["BlockCertificate", "LayerCertificate", "certificate"]


@dataclass(frozen=True)
class LayerCertificate:
    """Block optimality of one hidden layer.

    Attributes:
        layer: Number of the hidden layer.
        verdict: "refuted": ``witness`` lowers the loss. "proved": no neuron does. "undecided": none was
            found, but the bound does not exclude one.
        strength: Largest ``q`` found; above 1 a neuron in that direction lowers the loss.
        upper_bound: No neuron has a larger ``q``.
        witness: Incoming weights (bias last) of the strongest neuron found, of norm 1.
        used: ``q`` of the neurons that are there, shape ``(n_l,)``; 1 at an optimum, 0 for zero neurons.
        num_cells: Activation patterns visited; 0 where there were too many.
    """

    layer: int
    verdict: Literal["refuted", "proved", "undecided"]
    strength: float
    upper_bound: float
    witness: Float[Tensor, " inputs"]
    used: Float[Tensor, " width"]
    num_cells: int


@dataclass(frozen=True)
class BlockCertificate:
    """Result of `certificate`.

    Attributes:
        layers: One entry for each hidden layer.
        scope: "global": two layers and a loss that was said to be convex; a "proved" verdict of a
            stationary network then proves a global minimum. "block": each layer with the others fixed.
        stationarity_relative: ``||W_L - Delta_L sigma(Z_{L-1})|| / ||W_L||`` for the last layer; small only
            at a minimum over the last weights. None without a loss.
    """

    layers: tuple[LayerCertificate, ...]
    scope: Literal["global", "block"]
    stationarity_relative: float | None

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain values."""
        layers = [
            {
                name: value.tolist() if isinstance(value, Tensor) else value
                for name, value in vars(layer).items()
            }
            for layer in self.layers
        ]
        return {"layers": layers, "scope": self.scope, "stationarity_relative": self.stationarity_relative}


def certificate(
    model: ModelT,
    x: Float[Tensor, "n inputs"],
    loss: Callable[[Tensor], Tensor] | None = None,
    *,
    penalty: float | None = None,
    tolerance_relative: float = 1e-6,
    max_cells: int = 4000,
    seed: int = 0,
) -> BlockCertificate:
    """Search each hidden layer for a neuron that would lower ``loss + penalty * squared norm``.

    A neuron with incoming weights u lowers it if and only if
    ``q(u) = ||G sigma(Z_{l-1}^s u)|| / ||u|| > 1``; ``G = Z_{l+1} (K_l^s)^+``, and for the last hidden layer
    with a loss ``G = -(1 / (2 penalty)) dC/dZ_L``. Finding the largest q is NP-hard: a search can refute;
    only a visit of all cells with a bound can prove.

    Args:
        model: As in `read_model`.
        x: Points, shape ``(n, n_0)``.
        loss: Maps the outputs ``(n, n_L)`` to the unregularised loss (a scalar); convex for scope "global".
            None: the outputs are taken as fixed.
        penalty: Factor of the squared norm, above 0; needed with a loss.
        tolerance_relative: q up to ``1 + tolerance_relative`` counts as 1.
        max_cells: As in `solve_shallow`.
        seed: Seed of the search.

    Returns:
        A verdict for each layer, with witness and bound.

    Raises:
        InputError: If a loss comes without a penalty above 0.

    Source:
        Derived here from the convexity of the covariance form of Jacot et al. 2022 in each block.

    Cost:
        As one round of `solve_shallow` for each hidden layer.

    Example:
        >>> from localmin.reduction import bipartite_example
        >>> example = bipartite_example(4)
        >>> layer = certificate(example.network, example.x).layers[0]
        >>> layer.verdict, round(layer.upper_bound, 9)
        ('proved', 1.0)
    """
    if loss is not None and not (penalty is not None and penalty > 0):
        raise InputError(f"a loss needs a penalty above 0, got {penalty}")
    reading = read_model(model)
    network, points = reading.network, read_points("x", x, reading)
    values = network.preactivations(points)
    delta = None if loss is None else _output_pull(loss, values[-1], float(penalty or 0.0))
    layers = []
    for layer in range(1, network.depth):
        features = _augment(network, layer + 1, network.activate(layer, values[layer - 1]))
        if layer == network.depth - 1 and delta is not None:
            gains = delta.T
        else:
            pseudo = torch.linalg.pinv(features, rtol=RANK_TOLERANCE_RELATIVE)
            gains = (pseudo @ values[layer]).T @ pseudo
        below = points if layer == 1 else network.activate(layer - 1, values[layer - 2])
        inputs = _augment(network, layer, below)
        search = NeuronSearch(
            inputs, negative_slope=network.negative_slopes[layer - 1], max_cells=max_cells, seed=seed
        )
        layers.append(_judge(network, layer, gains, values[layer - 1], search, tolerance_relative))
    stationarity = None
    if delta is not None:
        below = points if network.depth == 1 else network.activate(network.depth - 1, values[-2])
        weight = network.weights[-1]
        stationarity = float((weight - delta.T @ below).norm() / weight.norm().clamp(min=1e-300))
    scope: Literal["global", "block"] = "global" if loss is not None and network.depth == 2 else "block"
    return BlockCertificate(tuple(layers), scope, stationarity)


def _judge(
    network: HomogeneousNetwork,
    layer: int,
    gains: Tensor,
    values: Tensor,
    search: NeuronSearch,
    tolerance_relative: float,
) -> LayerCertificate:
    found = search.strongest(gains)
    strength = float(found.strengths[0]) if len(found.strengths) else 0.0
    lengths = network.incoming_norms_squared(layer).sqrt()
    pulls = (gains @ network.activate(layer, values)).norm(dim=0)
    used = torch.where(lengths > 0, pulls / lengths, 0.0)
    verdict: Literal["refuted", "proved", "undecided"] = "undecided"
    if strength > 1 + tolerance_relative:
        verdict = "refuted"
    elif found.upper_bound <= 1 + tolerance_relative:
        verdict = "proved"
    witness = found.directions[0] if len(found.directions) else found.directions.new_zeros(0)
    return LayerCertificate(layer, verdict, strength, found.upper_bound, witness, used, search.num_cells)


def _output_pull(loss: Callable[[Tensor], Tensor], outputs: Tensor, penalty: float) -> Tensor:
    leaf = outputs.detach().clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(loss(leaf), leaf)
    return -gradient / (2 * penalty)


def _augment(network: HomogeneousNetwork, layer: int, features: Tensor) -> Tensor:
    if network.biases[layer - 1] is None:
        return features
    return torch.cat([features, features.new_ones(features.shape[0], 1)], dim=1)
