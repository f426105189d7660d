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
from localmin.reduction.homogeneous_network import HomogeneousNetwork
from localmin.reduction.layer_sizes import resize

__all__ = ["ModelReading", "ModelT", "read_model", "read_points"]

_HOMOGENEITY = (
    "exact reduction needs activations with sigma(c z) = c sigma(z) for c > 0, nothing else between layers: "
    "nn.Linear with nn.ReLU, nn.LeakyReLU or nn.Identity in an nn.Sequential"
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
        linear.weight = nn.Parameter(weight.to(linear.weight), requires_grad=linear.weight.requires_grad)
        if bias is not None:
            linear.bias = nn.Parameter(bias.to(linear.bias), requires_grad=linear.bias.requires_grad)
        resize(linear)
    return rebuilt


def _describe(name: str, part: nn.Module) -> str:
    return f"module '{name}' ({type(part).__name__})" if name else f"the model ({type(part).__name__})"
