"""Feed-forward networks with positively homogeneous activations, as data."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from localmin.errors import ShapeError
from localmin.networks import ReLUNetwork

__all__ = ["HomogeneousNetwork"]


@dataclass(frozen=True, eq=False)
class HomogeneousNetwork:
    """Hold ``x -> W_L sigma(… sigma(W_1 x + b_1) …) + b_L`` with ``sigma(z) = max(z, 0) + slope min(z, 0)``.

    Slope 0 is the ReLU, 1 the identity, -1 the absolute value, anything else a leaky ReLU. These are, up to
    a factor, all positively homogeneous functions of one variable.

    Attributes:
        weights: ``W_1, ..., W_L``, shape ``(n_l, n_{l-1})``.
        biases: One vector ``(n_l,)`` or None for each weight; None says that the layer has no bias.
        negative_slopes: One slope for each of the ``L - 1`` hidden layers.

    Example:
        >>> import torch
        >>> weights = (torch.tensor([[1.0], [-1.0]]), torch.tensor([[1.0, 1.0]]))
        >>> network = HomogeneousNetwork(weights, (None, None), (0.5,))
        >>> network(torch.tensor([[2.0], [-4.0]])).tolist()
        [[1.0], [2.0]]
    """

    weights: tuple[Float[Tensor, "outputs inputs"], ...]
    biases: tuple[Float[Tensor, " outputs"] | None, ...]
    negative_slopes: tuple[float, ...]

    def __post_init__(self) -> None:
        ReLUNetwork(self.weights, self.biases)  # checks shapes, dtypes and finiteness
        if len(self.negative_slopes) != len(self.weights) - 1:
            raise ShapeError(
                f"expected {len(self.weights) - 1} negative slopes, one for each hidden layer, "
                f"got {len(self.negative_slopes)}"
            )

    @property
    def depth(self) -> int:
        """Number ``L`` of weight matrices."""
        return len(self.weights)

    @property
    def widths(self) -> tuple[int, ...]:
        """Layer widths ``(n_0, ..., n_L)``."""
        return (self.weights[0].shape[1], *(weight.shape[0] for weight in self.weights))

    @property
    def num_parameters(self) -> int:
        """Number of weights and of the biases that exist."""
        return sum(part.numel() for part in (*self.weights, *self.biases) if part is not None)

    @property
    def squared_norm(self) -> float:
        """Sum of the squares of all weights and biases."""
        return sum(float(part.square().sum()) for part in (*self.weights, *self.biases) if part is not None)

    def activate(self, layer: int, values: Float[Tensor, "n width"]) -> Float[Tensor, "n width"]:
        """Apply the activation of hidden layer ``layer`` (1 is the first).

        Args:
            layer: Number of the hidden layer.
            values: Pre-activations.

        Returns:
            Activations of the same shape.
        """
        slope = self.negative_slopes[layer - 1]
        return values if slope == 1.0 else values.clamp(min=0.0) + slope * values.clamp(max=0.0)

    def preactivations(self, x: Float[Tensor, "n inputs"]) -> list[Float[Tensor, "n width"]]:
        """Compute ``Z_1, ..., Z_L`` on rows.

        Args:
            x: Inputs, shape ``(n, n_0)``.

        Returns:
            One matrix ``(n, n_l)`` for each layer.
        """
        values: list[Tensor] = []
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            incoming = self.activate(layer, values[-1]) if values else x
            values.append(nn.functional.linear(incoming, weight, bias))
        return values

    def __call__(self, x: Float[Tensor, "n inputs"]) -> Float[Tensor, "n outputs"]:
        """Compute the outputs ``Z_L``, shape ``(n, n_L)``."""
        return self.preactivations(x)[-1]

    def incoming_norms_squared(self, layer: int) -> Float[Tensor, " width"]:
        """Compute ``a_j``, the squared norm of weights and bias into each neuron of a hidden layer.

        Args:
            layer: Number of the layer, 1 is the first.

        Returns:
            Shape ``(n_l,)``.
        """
        bias = self.biases[layer - 1]
        norms = self.weights[layer - 1].square().sum(dim=1)
        return norms if bias is None else norms + bias.square()

    def with_layers(
        self, layers: dict[int, tuple[Float[Tensor, "outputs inputs"], Float[Tensor, " outputs"] | None]]
    ) -> "HomogeneousNetwork":
        """Build the network with some layers exchanged.

        Args:
            layers: Weight and bias for each layer number (1 is the first) that changes.

        Returns:
            A new network.
        """
        weights, biases = list(self.weights), list(self.biases)
        for layer, (weight, bias) in layers.items():
            weights[layer - 1], biases[layer - 1] = weight, bias
        return HomogeneousNetwork(tuple(weights), tuple(biases), self.negative_slopes)
