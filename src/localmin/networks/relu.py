"""Fully connected ReLU networks of any depth, with or without biases."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from localmin.networks.modules import build_sequential, read_layers
from localmin.networks.weight_chains import check_biases, check_rows, check_weights, convert, widths_of
from localmin.numerics import flatten_tensors, split_vector

__all__ = ["ReLUNetwork"]


@dataclass(frozen=True, eq=False, init=False)
class ReLUNetwork:
    """Hold the parameters of ``x -> W_N relu(⋯ relu(W_1 x + b_1) ⋯) + b_N``, applied to rows.

    **No bias is not a bias of zero.** ``None`` says that the parameter does not exist: it is not
    counted, not trained, and `to_module` builds the layer with ``bias=False``. A vector of zeros is a
    parameter that happens to be zero. Both give the same function, but different neighbourhoods,
    counts and minimisers. ``biases=None`` means that no layer has one; a tuple has one entry for each
    layer, and single entries may be None. A tuple of None alone is stored as ``biases=None``, so that
    ``network.biases is None`` is the test for "no biases at all". `bias_vectors` puts zeros where
    there is none.

    The object keeps the tensors it is given: it neither copies nor detaches them, so gradients flow
    through its methods to parameters that require them. Two objects are equal only if they are the
    same object.

    Args:
        weights: ``W_1, ..., W_N`` with ``N >= 1``; ``W_k`` of shape ``(d_k, d_{k-1})``, finite, all of one
            floating-point dtype and on one device. Widths may be zero: all neurons were removed.
        biases: None, or one entry for each weight: a vector ``(d_k,)`` of the same kind, or None.

    Raises:
        ShapeError: If a parameter has the wrong shape or dtype, or shapes do not chain (says which).
        InputError: If devices differ or an entry is not finite.

    Example:
        >>> network = ReLUNetwork([torch.tensor([[1.0], [-1.0]]), torch.tensor([[1.0, 1.0]])])
        >>> network.widths, network.num_parameters, network.biases
        ((1, 2, 1), 4, None)
        >>> network(torch.tensor([[-3.0], [2.0]])).tolist()
        [[3.0], [2.0]]
    """

    weights: tuple[Float[Tensor, "_ _"], ...]
    biases: tuple[Float[Tensor, " _"] | None, ...] | None

    # Written out instead of generated: any sequence comes in, a tuple is kept.
    def __init__(self, weights: Sequence[Tensor], biases: Sequence[Tensor | None] | None = None) -> None:
        check_weights(weights)
        if biases is not None:
            check_biases(biases, weights)
            if all(bias is None for bias in biases):
                biases = None
        object.__setattr__(self, "weights", tuple(weights))
        object.__setattr__(self, "biases", None if biases is None else tuple(biases))

    @classmethod
    def from_module(
        cls, module: nn.Module, *, fold: bool = False, input_shape: Sequence[int] | None = None
    ) -> "ReLUNetwork":
        """Read a module whose graph is a chain of linear layers with one ReLU between every two of them.

        Read are `nn.Sequential` (nested too), a single `nn.Linear`, and modules with a forward of their own
        (traced with `torch.fx`) that call such layers or `torch.nn.functional.linear` and ``relu``.
        `nn.Flatten`, `nn.Identity` and dropout in eval mode change nothing on rows and are not stored.
        Parameters are copied without gradient history; layers that share parameters come out as
        separate copies. A layer with ``bias=False`` gets the bias None.

        Args:
            module: Module to read; it is not modified.
            fold: Multiply layers that follow each other without a ReLU, and add an identity layer before
                a first and after a last ReLU: the same function, but no longer the module's parameters.
            input_shape: Shape of one example, without the batch, for example ``(1, 8, 8)``. Convolutions,
                batch normalisation in eval mode and average pooling are then unrolled into matrices over the
                flattened example, and layers are folded. Meant for small inputs: at most ``5e7`` entries a
                matrix.

        Returns:
            The same function on rows, in the dtype and on the device of the module.

        Raises:
            InputError: If the graph is no chain (skip connections), any other part occurs, a ReLU is
                missing, doubled, first or last (without ``fold``), dropout is in training mode, a module
                carries forward hooks, or a matrix would be too large; the message names the module.

        Example:
            >>> module = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2, bias=False))
            >>> network = ReLUNetwork.from_module(module)
            >>> network.widths, [bias is None for bias in network.biases]
            ((3, 5, 2), [False, True])
            >>> convolution = nn.Sequential(nn.Conv2d(1, 2, 2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 1))
            >>> ReLUNetwork.from_module(convolution, input_shape=(1, 3, 3)).widths
            (9, 8, 1)
        """
        layers = read_layers(module, activation="relu", fold=fold, input_shape=input_shape)
        return cls(tuple(weight for weight, _ in layers), tuple(bias for _, bias in layers))

    def to_module(self, *, flatten: bool = False) -> nn.Sequential:
        """Build an `nn.Sequential` of `nn.Linear` and `nn.ReLU`; its parameters are trainable copies.

        Args:
            flatten: Put an `nn.Flatten()` in front, for inputs that are not rows.

        Returns:
            Module in the dtype and on the device of the weights; a layer without bias is built without.
        """
        return build_sequential(self.weights, self._bias_entries(), rectified=True, flatten=flatten)

    def __call__(self, x: Float[Tensor, "n inputs"]) -> Float[Tensor, "n outputs"]:
        """Apply the network to the rows of ``x``; the same as `forward`."""
        return self.forward(x)

    def forward(self, x: Float[Tensor, "n inputs"]) -> Float[Tensor, "n outputs"]:
        """Apply the network to the rows of ``x``.

        Args:
            x: Inputs, shape ``(n, d_0)``, one example a row, dtype of the weights.

        Returns:
            Outputs, shape ``(n, d_N)``: the last pre-activation, not rectified.

        Raises:
            ShapeError: If the shape or dtype of ``x`` does not fit.
        """
        return self.preactivations(x)[-1]

    def preactivations(self, x: Float[Tensor, "n inputs"]) -> list[Float[Tensor, "n _"]]:
        """Compute ``Z_k = relu(Z_{k-1}) W_kᵀ + b_k`` for every layer, on rows.

        Args:
            x: Inputs, shape ``(n, d_0)``, one example a row, dtype of the weights.

        Returns:
            ``[Z_1, ..., Z_N]``, ``Z_k`` of shape ``(n, d_k)``; the last is the output.

        Raises:
            ShapeError: If the shape or dtype of ``x`` does not fit.
        """
        check_rows(x, self.weights[0])
        values: list[Tensor] = []
        for weight, bias in zip(self.weights, self._bias_entries(), strict=True):
            incoming = torch.relu(values[-1]) if values else x
            values.append(torch.nn.functional.linear(incoming, weight, bias))
        return values

    def hidden(self, x: Float[Tensor, "n inputs"]) -> list[Float[Tensor, "n _"]]:
        """Compute the activations ``relu(Z_k)`` of every hidden layer, on rows.

        Args:
            x: Inputs, shape ``(n, d_0)``, one example a row, dtype of the weights.

        Returns:
            ``[relu(Z_1), ..., relu(Z_{N-1})]``, each of shape ``(n, d_k)``; empty for one layer.

        Raises:
            ShapeError: If the shape or dtype of ``x`` does not fit.

        Example:
            >>> network = ReLUNetwork([torch.tensor([[1.0], [-1.0]]), torch.tensor([[1.0, 1.0]])])
            >>> [layer.tolist() for layer in network.hidden(torch.tensor([[-3.0]]))]
            [[[0.0, 3.0]]]
        """
        return [torch.relu(value) for value in self.preactivations(x)[:-1]]

    @property
    def bias_vectors(self) -> tuple[Float[Tensor, " _"], ...]:
        """One bias vector ``(d_k,)`` for each layer, with zeros where the layer has none."""
        return tuple(
            weight.new_zeros(weight.shape[0]) if bias is None else bias
            for weight, bias in zip(self.weights, self._bias_entries(), strict=True)
        )

    @property
    def widths(self) -> tuple[int, ...]:
        """Layer widths ``(d_0, ..., d_N)``."""
        return widths_of(self.weights)

    @property
    def depth(self) -> int:
        """Number ``N`` of weight matrices; there are ``N - 1`` hidden layers."""
        return len(self.weights)

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of all parameters."""
        return self.weights[0].dtype

    @property
    def device(self) -> torch.device:
        """Device of all parameters."""
        return self.weights[0].device

    @property
    def num_parameters(self) -> int:
        """Number of entries of all weights and of the biases that exist."""
        return sum(parameter.numel() for parameter in self.parameters())

    @property
    def squared_norm(self) -> Float[Tensor, ""]:
        """Sum of the squares of all parameters, biases included, a differentiable scalar."""
        return self.parameter_vector().square().sum()

    def parameters(self) -> list[Tensor]:
        """List the parameters that exist: ``W_1, b_1, W_2, b_2, ...``.

        Returns:
            The tensors themselves, in the order of ``to_module().parameters()``.
        """
        return [
            parameter
            for layer in zip(self.weights, self._bias_entries(), strict=True)
            for parameter in layer
            if parameter is not None
        ]

    def parameter_vector(self) -> Float[Tensor, " p"]:
        """Concatenate `parameters`, each in row-major order.

        Returns:
            Vector of shape ``(num_parameters,)``, in the order of the parameters of `to_module`.
        """
        return flatten_tensors(self.parameters())

    def with_parameter_vector(self, vector: Float[Tensor, " p"]) -> "ReLUNetwork":
        """Build the network of the same architecture with the parameters of a vector.

        Args:
            vector: Shape ``(num_parameters,)``, ordered as in `parameter_vector`. Its dtype and device
                are kept.

        Returns:
            A new network whose parameters are views of the vector.

        Raises:
            ShapeError: If the size does not fit.
        """
        parts = iter(split_vector(vector, [tuple(parameter.shape) for parameter in self.parameters()]))
        weights: list[Tensor] = []
        biases: list[Tensor | None] = []
        for bias in self._bias_entries():
            weights.append(next(parts))
            biases.append(None if bias is None else next(parts))
        return ReLUNetwork(tuple(weights), tuple(biases))

    def to(
        self, *, dtype: torch.dtype | None = None, device: torch.device | str | None = None
    ) -> "ReLUNetwork":
        """Convert all parameters to a dtype, a device or both; what is None stays.

        Args:
            dtype: Floating-point dtype.
            device: Device.

        Returns:
            A new network; tensors that already fit are shared, not copied.
        """
        return ReLUNetwork(
            tuple(convert(weight, dtype, device) for weight in self.weights),
            tuple(None if bias is None else convert(bias, dtype, device) for bias in self._bias_entries()),
        )

    def _bias_entries(self) -> Sequence[Tensor | None]:
        return [None] * self.depth if self.biases is None else self.biases
