"""Hidden representations of a network, and its norm in weights, in representations and in covariances."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.numerics import numerical_rank
from localmin.reduction.model_reading import ModelT, read_model, read_points
from localmin.reduction.projection import RANK_TOLERANCE_RELATIVE

__all__ = ["LayerRepresentation", "Representations", "pseudo_inverse", "representations"]


@dataclass(frozen=True)
class LayerRepresentation:
    """One layer on the points; layer 0 is the input.

    Attributes:
        preactivations: ``Z_l``, one row a point, shape ``(n, n_l)``; the inputs for layer 0.
        features: What feeds the next layer: ``sigma(Z_l)``, with a column of ones if the next layer has a
            bias. Empty for the output layer.
        gram: ``K_l``, inner products of the rows of ``Z_l``, shape ``(n, n)``.
        feature_gram: ``K_l^s``, inner products of the rows of the features, shape ``(n, n)``.
        rank: Numerical rank of ``Z_l``.
        feature_rank: Numerical rank of the features.
    """

    preactivations: Float[Tensor, "n width"]
    features: Float[Tensor, "n augmented"]
    gram: Float[Tensor, "n n"]
    feature_gram: Float[Tensor, "n n"]
    rank: int
    feature_rank: int


@dataclass(frozen=True)
class Representations:
    """All layers, and three ways to write the squared norm.

    Attributes:
        layers: Layers 0 (input) to L (output).
        parameter_norm: ``sum_l ||W_l||^2``, biases included.
        representation_norm: ``sum_l ||Z_l (Z_{l-1}^s)^+||^2``; never above the parameter norm, and equal to
            it for weights without a part that acts on no point.
        covariance_norm: ``sum_l Tr[K_l (K_{l-1}^s)^+]``; equal to the representation norm.
    """

    layers: tuple[LayerRepresentation, ...]
    parameter_norm: float
    representation_norm: float
    covariance_norm: float

    def losses(self, loss: Callable[[Tensor], Tensor], penalty: float) -> tuple[float, float, float]:
        """Write the regularised loss in weights, in representations and in covariances.

        All three share the unregularised loss, which sees the outputs only. The first is never below the
        second, and equal to it after `project`; the last two are equal for homogeneous activations.

        Args:
            loss: Maps the outputs ``(n, n_L)`` to a scalar.
            penalty: Factor of the squared norm.

        Returns:
            The three values.
        """
        shared = float(loss(self.layers[-1].preactivations))
        norms = self.parameter_norm, self.representation_norm, self.covariance_norm
        return shared + penalty * norms[0], shared + penalty * norms[1], shared + penalty * norms[2]


def representations(model: ModelT, x: Float[Tensor, "n inputs"]) -> Representations:
    """Compute representations, covariances and ranks of every layer on the points ``x``.

    Args:
        model: As in `read_model`.
        x: Points, shape ``(n, n_0)``.

    Returns:
        Everything in float64.

    Source:
        Jacot et al. 2022, Proposition 1 and the reformulation in covariances (homogeneous activations).

    Cost:
        One singular value decomposition and one eigenvalue decomposition ``(n, n)`` a layer.

    Example:
        >>> from localmin.networks import ReLUNetwork
        >>> network = ReLUNetwork([torch.tensor([[2.0, 1.0]]), torch.tensor([[3.0]])])
        >>> result = representations(network, torch.tensor([[1.0, 0.0]]))
        >>> result.parameter_norm, round(result.representation_norm, 9), round(result.covariance_norm, 9)
        (14.0, 13.0, 13.0)
    """
    reading = read_model(model)
    network, points = reading.network, read_points("x", x, reading)
    values = [points, *network.preactivations(points)]
    layers: list[LayerRepresentation] = []
    representation_norm = covariance_norm = 0.0
    for layer, value in enumerate(values):
        features = value[:, :0]
        if layer < network.depth:
            features = value if layer == 0 else network.activate(layer, value)
            if network.biases[layer] is not None:
                features = torch.cat([features, features.new_ones(features.shape[0], 1)], dim=1)
        if layer > 0:
            before = layers[-1]
            solution = torch.linalg.pinv(before.features, rtol=RANK_TOLERANCE_RELATIVE) @ value
            representation_norm += float(solution.square().sum())
            inverse = pseudo_inverse(before.feature_gram, before.feature_rank)
            covariance_norm += float((inverse * (value @ value.T)).sum())
        layers.append(
            LayerRepresentation(
                value,
                features,
                value @ value.T,
                features @ features.T,
                _rank(value),
                _rank(features),
            )
        )
    return Representations(tuple(layers), network.squared_norm, representation_norm, covariance_norm)


def pseudo_inverse(gram: Float[Tensor, "n n"], rank: int) -> Float[Tensor, "n n"]:
    """Invert a positive semi-definite matrix on its leading ``rank`` eigenvectors.

    The rank comes from the factor of the matrix: from the matrix itself, whose spectrum is squared, small
    directions could not be told from rounding.

    Args:
        gram: Shape ``(n, n)``.
        rank: Number of directions.

    Returns:
        Shape ``(n, n)``.
    """
    values, vectors = torch.linalg.eigh(gram)
    leading = vectors[:, len(values) - rank :]
    inverse: Tensor = (leading / values[len(values) - rank :]) @ leading.T
    return inverse


def _rank(matrix: Tensor) -> int:
    return numerical_rank(matrix, tolerance_relative=RANK_TOLERANCE_RELATIVE)
