"""Feed-forward networks with positively homogeneous activations, read from models and written back."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Generic, TypeVar, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from localmin.errors import InputError, ShapeError
from localmin.networks import DeepLinear, ReLUNetwork

__all__ = ["HomogeneousNetwork", "ModelReading", "read_model", "read_points"]

_HOMOGENEITY = (
    "exact reduction needs activations with sigma(c z) = c sigma(z) for c > 0, nothing else between layers: "
    "nn.Linear with nn.ReLU, nn.LeakyReLU or nn.Identity in an nn.Sequential"
)


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


ModelT = TypeVar("ModelT", bound=nn.Module | ReLUNetwork | DeepLinear | HomogeneousNetwork)


@dataclass(frozen=True)
class ModelReading(Generic[ModelT]):
    """A network read from a model, and the way back.

    Attributes:
        network: The model's function, in float64 on the CPU.
        rebuild: Turns a network of the same depth into a model of the kind that was read, in its dtype and
            on its device.
        flattens: The model flattens its input itself.
    """

    network: HomogeneousNetwork
    rebuild: Callable[[HomogeneousNetwork], ModelT]
    flattens: bool = False


def read_model(model: ModelT) -> ModelReading[ModelT]:
    """Read a model as a `HomogeneousNetwork`.

    Args:
        model: `nn.Sequential` (nested ones too) of `nn.Linear` with `nn.ReLU`, `nn.LeakyReLU` or nothing
            between, one `nn.Flatten()` in front if wanted; a `ReLUNetwork`; a `DeepLinear`; or a
            `HomogeneousNetwork` (rebuilt in float64). It is not modified.

    Returns:
        The reading. An `nn.Sequential` is rebuilt as a copy with the same names in its state dict.

    Raises:
        InputError: If the model holds anything else; the message names the module and the reason.

    Example:
        >>> reading = read_model(nn.Sequential(nn.Linear(3, 4), nn.LeakyReLU(0.1), nn.Linear(4, 2)))
        >>> reading.network.widths, reading.network.negative_slopes
        ((3, 4, 2), (0.1,))
    """
    if isinstance(model, nn.Module):
        return cast(ModelReading[ModelT], _read_module(model))
    if isinstance(model, ReLUNetwork | DeepLinear):
        return cast(ModelReading[ModelT], _read_data(model))
    if isinstance(model, HomogeneousNetwork):
        exact = replace(model, weights=_exact(model.weights), biases=_exact(model.biases))
        return cast(ModelReading[ModelT], ModelReading(exact, lambda new: new))
    raise InputError(
        f"expected an nn.Sequential, a ReLUNetwork or a DeepLinear, got {type(model).__name__}; "
        f"{_HOMOGENEITY}"
    )


def read_points(name: str, points: Tensor, reading: ModelReading[ModelT]) -> Float[Tensor, "n inputs"]:
    """Check input points and turn them into float64 rows on the CPU.

    Args:
        name: Name of the argument, for the message.
        points: Shape ``(n, n_0)``, or ``(n, ...)`` for a model that flattens.
        reading: The model they belong to.

    Returns:
        Shape ``(n, n_0)``.

    Raises:
        ShapeError: If the shape does not fit or the dtype is not floating point.
        InputError: If an entry is not finite.
    """
    num_inputs = reading.network.widths[0]
    if not isinstance(points, Tensor) or not points.is_floating_point():
        came = points.dtype if isinstance(points, Tensor) else type(points).__name__
        raise ShapeError(f"{name}: expected a floating-point tensor (n, {num_inputs}), got {came}")
    rows = points.flatten(1) if reading.flattens and points.ndim > 2 else points
    if rows.ndim != 2 or rows.shape[0] == 0 or rows.shape[1] != num_inputs:
        raise ShapeError(
            f"{name}: expected shape (n, {num_inputs}), n >= 1, one example a row, got {tuple(points.shape)}"
        )
    if not bool(torch.isfinite(rows).all()):
        raise InputError(f"{name}: every entry must be finite, got NaN or infinity")
    return rows.detach().to(device="cpu", dtype=torch.float64)


def _exact(tensors: Sequence[Tensor | None]) -> tuple[Tensor, ...]:
    # Entries may be None (no bias); they pass through. The cast keeps that out of every caller.
    moved = (
        None if part is None else part.detach().to(device="cpu", dtype=torch.float64) for part in tensors
    )
    return tuple(moved)  # type: ignore[arg-type]


def _read_data(model: ReLUNetwork | DeepLinear) -> ModelReading[Any]:
    dtype, device = model.dtype, model.device
    if isinstance(model, DeepLinear):
        slopes = (1.0,) * (model.depth - 1)
        network = HomogeneousNetwork(_exact(model.weights), (None,) * model.depth, slopes)
        return ModelReading(network, lambda new: DeepLinear(new.weights).to(dtype=dtype, device=device))
    biases = model.biases if model.biases is not None else (None,) * model.depth
    network = HomogeneousNetwork(_exact(model.weights), _exact(biases), (0.0,) * (model.depth - 1))
    return ModelReading(
        network, lambda new: ReLUNetwork(new.weights, new.biases).to(dtype=dtype, device=device)
    )


def _read_module(model: nn.Module) -> ModelReading[nn.Module]:
    parts = list(_flat_parts(model, ""))
    linears: list[tuple[str, nn.Linear]] = []
    slopes: list[float | None] = []
    flattens = False
    for name, part in parts:
        if part._forward_hooks or part._forward_pre_hooks:
            raise InputError(f"{_describe(name, part)} carries forward hooks; remove them first")
        if type(part) is nn.Linear:
            linears.append((name, part))
            slopes.append(None)
        elif type(part) is nn.Flatten and (part.start_dim, part.end_dim) == (1, -1) and not linears:
            flattens = True
        else:
            slope = _slope_of(name, part)
            if slope is None:
                continue
            if not linears or slopes[-1] is not None:
                raise InputError(f"{_describe(name, part)} must follow a linear layer; {_HOMOGENEITY}")
            slopes[-1] = slope
    _check_layers(linears, slopes)
    network = HomogeneousNetwork(
        _exact([linear.weight for _, linear in linears]),
        _exact([linear.bias for _, linear in linears]),
        tuple(1.0 if slope is None else slope for slope in slopes[:-1]),
    )
    names = [name for name, _ in linears]
    return ModelReading(network, lambda new: _rebuild_module(model, names, new), flattens)


def _check_layers(linears: list[tuple[str, nn.Linear]], slopes: list[float | None]) -> None:
    if not linears:
        raise InputError(f"expected at least one nn.Linear; {_HOMOGENEITY}")
    if slopes[-1] is not None:
        raise InputError(
            f"an activation follows the last linear layer '{linears[-1][0]}'; expected a linear "
            "output layer: hand over the model without its last activation, which reduction does not touch"
        )
    if len({id(linear.weight) for _, linear in linears}) < len(linears):
        raise InputError(
            "two layers share one weight, and reduction changes layers separately: copy the layer first"
        )
    for (_, before), (name, after) in pairwise(linears):
        if after.in_features != before.out_features:
            raise ShapeError(
                f"layer '{name}' takes {after.in_features} inputs, the one before gives {before.out_features}"
            )


def _slope_of(name: str, part: nn.Module) -> float | None:
    # None: the module does nothing at all.
    if type(part) is nn.ReLU:
        return 0.0
    if type(part) is nn.LeakyReLU:
        return float(part.negative_slope)
    if type(part) is nn.Identity:
        return None
    if type(part) is nn.Dropout:
        if part.training and part.p > 0:
            raise InputError(f"{_describe(name, part)} is active; call model.eval() before reducing")
        return None
    kind = type(part).__name__
    if "Norm" in kind:
        reason = "normalisation makes a neuron's output depend on the others or on statistics; fold it first"
    elif "Conv" in kind:
        reason = "each spatial position would act as a further data point, so exactness is out of reach"
    elif kind in {"GELU", "SiLU", "Tanh", "Sigmoid", "ELU", "Softplus", "Mish", "SELU", "CELU", "Hardswish"}:
        reason = "its activation is not positively homogeneous, so neurons cannot be rescaled"
    else:
        reason = "what it computes cannot be read from its weights (skip connections, attention and the like)"
    raise InputError(
        f"{_describe(name, part)}: {reason}; {_HOMOGENEITY}. Inside a larger model, take out the plain block "
        "and use localmin.reduction.reduce_block on its recorded activations"
    )


def _flat_parts(module: nn.Module, name: str) -> list[tuple[str, nn.Module]]:
    # A subclass that only fills a Sequential is read like one; a forward of its own is refused later.
    if not (isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward):
        return [(name, module)]
    if module._forward_hooks or module._forward_pre_hooks:
        raise InputError(f"{_describe(name, module)} carries forward hooks; remove them first")
    parts: list[tuple[str, nn.Module]] = []
    for child_name, child in module._modules.items():
        if child is not None:
            parts += _flat_parts(child, f"{name}.{child_name}" if name else child_name)
    return parts


def _rebuild_module(model: nn.Module, names: list[str], network: HomogeneousNetwork) -> nn.Module:
    rebuilt = copy.deepcopy(model)
    for name, weight, bias in zip(names, network.weights, network.biases, strict=True):
        linear = rebuilt.get_submodule(name)
        assert isinstance(linear, nn.Linear)
        linear.out_features, linear.in_features = weight.shape
        linear.weight = nn.Parameter(weight.to(linear.weight), requires_grad=linear.weight.requires_grad)
        if bias is not None:
            linear.bias = nn.Parameter(bias.to(linear.bias), requires_grad=linear.bias.requires_grad)
    return rebuilt


def _describe(name: str, part: nn.Module) -> str:
    return f"module '{name}' ({type(part).__name__})" if name else f"the model ({type(part).__name__})"
