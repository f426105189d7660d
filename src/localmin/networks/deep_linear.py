"""Deep linear networks: a product of matrices, kept as its factors."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from localmin.errors import InputError
from localmin.networks.modules import build_sequential, read_layers
from localmin.networks.weight_chains import check_rows, check_weights, convert, widths_of
from localmin.numerics import flatten_tensors, split_vector

__all__ = ["DeepLinear"]


@dataclass(frozen=True, eq=False, init=False)
class DeepLinear:
    """Hold the weights of ``x -> W_N ⋯ W_1 x``, applied to the rows of a matrix.

    The object keeps the tensors it is given: it neither copies nor detaches them, so gradients flow
    through its methods to weights that require them. Two objects are equal only if they are the same
    object. Products over part of the chain belong to the callers that need them.

    Args:
        weights: ``W_1, ..., W_N`` with ``N >= 1``; ``W_k`` of shape ``(d_k, d_{k-1})``, finite, all of one
            floating-point dtype and on one device. Widths may be zero.

    Raises:
        ShapeError: If a weight is no floating-point matrix, dtypes differ, or shapes do not chain.
        InputError: If devices differ or an entry is not finite.

    Example:
        >>> network = DeepLinear([torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0], [4.0]])])
        >>> network.widths
        (2, 1, 2)
        >>> network.product.tolist()
        [[3.0, 6.0], [4.0, 8.0]]
        >>> network(torch.tensor([[1.0, 1.0]])).tolist()
        [[9.0, 12.0]]
    """

    weights: tuple[Float[Tensor, "_ _"], ...]

    # Written out instead of generated: any sequence comes in, a tuple is kept.
    def __init__(self, weights: Sequence[Tensor]) -> None:
        check_weights(weights)
        object.__setattr__(self, "weights", tuple(weights))

    @classmethod
    def from_module(cls, module: nn.Module) -> "DeepLinear":
        """Read an `nn.Linear`, or a chain of linear layers, without biases.

        The chain is an `nn.Sequential` or a forward that is traced; `nn.Flatten()`, `nn.Identity` and dropout
        in eval mode change nothing on rows and are not stored.

        Args:
            module: Module to read; it is not modified, and its parameters are copied.

        Returns:
            The same linear map, in the dtype and on the device of the module.

        Raises:
            InputError: If a module of another kind occurs (named in the message), or a layer has a bias.
        """
        layers = read_layers(module, activation="none")
        for index, (_, bias) in enumerate(layers, start=1):
            if bias is not None:
                raise InputError(
                    f"linear layer {index} has a bias, so the module is affine, not linear; "
                    "build the layers with bias=False"
                )
        return cls(tuple(weight for weight, _ in layers))

    def to_module(self) -> nn.Sequential:
        """Build an `nn.Sequential` of `nn.Linear` without bias; its parameters are trainable copies.

        Returns:
            Module in the dtype and on the device of the weights.
        """
        return build_sequential(self.weights, [None] * self.depth, rectified=False, flatten=False)

    def __call__(self, x: Float[Tensor, "n inputs"]) -> Float[Tensor, "n outputs"]:
        """Apply the network to the rows of ``x``; the same as `forward`."""
        return self.forward(x)

    def forward(self, x: Float[Tensor, "n inputs"]) -> Float[Tensor, "n outputs"]:
        """Apply the network to the rows of ``x``: ``x W_1ᵀ ⋯ W_Nᵀ``.

        Args:
            x: Inputs, shape ``(n, d_0)``, one example a row, dtype of the weights.

        Returns:
            Outputs, shape ``(n, d_N)``.

        Raises:
            ShapeError: If the shape or dtype of ``x`` does not fit.
        """
        check_rows(x, self.weights[0])
        for weight in self.weights:
            x = x @ weight.T
        return x

    @property
    def product(self) -> Float[Tensor, "outputs inputs"]:
        """The end-to-end matrix ``W_N ⋯ W_1``, shape ``(d_N, d_0)``."""
        return functools.reduce(lambda product, weight: weight @ product, self.weights)

    @property
    def widths(self) -> tuple[int, ...]:
        """Layer widths ``(d_0, ..., d_N)``."""
        return widths_of(self.weights)

    @property
    def depth(self) -> int:
        """Number ``N`` of weight matrices."""
        return len(self.weights)

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of all weights."""
        return self.weights[0].dtype

    @property
    def device(self) -> torch.device:
        """Device of all weights."""
        return self.weights[0].device

    @property
    def num_parameters(self) -> int:
        """Number of entries of all weights."""
        return sum(weight.numel() for weight in self.weights)

    @property
    def squared_norm(self) -> Float[Tensor, ""]:
        """Sum of the squares of all entries, a differentiable scalar."""
        return self.parameter_vector().square().sum()

    def parameter_vector(self) -> Float[Tensor, " p"]:
        """Concatenate ``W_1, ..., W_N``, each in row-major order.

        Returns:
            Vector of shape ``(num_parameters,)``, in the order of the parameters of `to_module`.
        """
        return flatten_tensors(self.weights)

    def with_parameter_vector(self, vector: Float[Tensor, " p"]) -> "DeepLinear":
        """Build the network of the same widths with the parameters of a vector.

        Args:
            vector: Shape ``(num_parameters,)``, ordered as in `parameter_vector`. Its dtype and device
                are kept.

        Returns:
            A new network whose weights are views of the vector.

        Raises:
            ShapeError: If the size does not fit.
        """
        return DeepLinear(tuple(split_vector(vector, [tuple(weight.shape) for weight in self.weights])))

    def to(
        self, *, dtype: torch.dtype | None = None, device: torch.device | str | None = None
    ) -> "DeepLinear":
        """Convert all weights to a dtype, a device or both; what is None stays.

        Args:
            dtype: Floating-point dtype.
            device: Device.

        Returns:
            A new network; tensors that already fit are shared, not copied.
        """
        return DeepLinear(tuple(convert(weight, dtype, device) for weight in self.weights))
