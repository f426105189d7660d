"""Models read as homogeneous networks, and written back in their own kind."""

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
from localmin.networks.parts import Part, chain_of_parts
from localmin.reduction.homogeneous_network import HomogeneousNetwork
from localmin.reduction.layer_sizes import resize

__all__ = ["ModelReading", "ModelT", "read_model", "read_points"]

_HOMOGENEITY = (
    "exact reduction needs activations with sigma(c z) = c sigma(z) for c > 0, nothing else between layers: "
    "nn.Linear with nn.ReLU, nn.LeakyReLU or nn.Identity, one after the other"
)


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
        model: A module whose forward is a chain of `nn.Linear` with `nn.ReLU` (also as a function),
            `nn.LeakyReLU` or nothing between, one flattening in front if wanted; a `ReLUNetwork`; a
            `DeepLinear`; or a `HomogeneousNetwork` (rebuilt in float64). It is not modified.

    Returns:
        The reading. A module is rebuilt as a copy with the same names in its state dict.

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
        f"expected an nn.Module, a ReLUNetwork or a DeepLinear, got {type(model).__name__}; {_HOMOGENEITY}"
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
    linears: list[tuple[str, nn.Linear]] = []
    slopes: list[float | None] = []
    flattens = False
    for part in chain_of_parts(model):
        if part.kind == "linear" and isinstance(part.module, nn.Linear):
            linears.append((part.name, part.module))
            slopes.append(None)
        elif part.kind == "flatten" and not linears:
            flattens = True
        elif part.kind != "nothing":
            slope = _slope_of(part)
            if not linears or slopes[-1] is not None:
                raise InputError(f"{part} must follow a linear layer; {_HOMOGENEITY}")
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


def _slope_of(part: Part) -> float:
    if part.kind == "relu":
        return 0.0
    if type(part.module) is nn.LeakyReLU:
        _refuse_hooks(part)
        return float(part.module.negative_slope)
    kind = part.type_name
    if "Norm" in kind:
        reason = "normalisation makes a neuron's output depend on the others or on statistics; fold it first"
    elif "Conv" in kind:
        reason = (
            "each spatial position would act as a further data point, so exactness is out of reach; "
            "localmin.reduction.reduce_convolution does it approximately"
        )
    elif kind in {"GELU", "SiLU", "Tanh", "Sigmoid", "ELU", "Softplus", "Mish", "SELU", "CELU", "Hardswish"}:
        reason = "its activation is not positively homogeneous, so neurons cannot be rescaled"
    else:
        reason = part.advice or (
            "what it computes cannot be read from its weights (skip connections, attention and the like)"
        )
    raise InputError(
        f"{part}: {reason}; {_HOMOGENEITY}. Inside a larger model, take out the plain block and use "
        "localmin.reduction.reduce_block on its recorded activations"
    )


def _refuse_hooks(part: Part) -> None:
    module = part.module
    if module is not None and (module._forward_hooks or module._forward_pre_hooks):
        raise InputError(f"{part} carries forward hooks; remove them first")


def _rebuild_module(model: nn.Module, names: list[str], network: HomogeneousNetwork) -> nn.Module:
    rebuilt = copy.deepcopy(model)
    for name, weight, bias in zip(names, network.weights, network.biases, strict=True):
        linear = rebuilt.get_submodule(name)
        assert isinstance(linear, nn.Linear)
        linear.weight = nn.Parameter(weight.to(linear.weight), requires_grad=linear.weight.requires_grad)
        if bias is not None:
            linear.bias = nn.Parameter(bias.to(linear.bias), requires_grad=linear.bias.requires_grad)
        resize(linear)
    return rebuilt
