"""Between `torch.nn` modules and lists of layers."""

from collections.abc import Iterator, Sequence
from typing import Literal

from torch import Tensor, nn

from localmin.errors import InputError

__all__ = ["build_sequential", "read_layers"]


def read_layers(
    module: nn.Module, *, activation: Literal["relu", "none"]
) -> list[tuple[Tensor, Tensor | None]]:
    """Read the linear layers of a plain feed-forward module, as copies without gradient history.

    Accepted are `nn.Linear`, `nn.ReLU` (when asked for), `nn.Sequential` of these at any depth, and
    one `nn.Flatten` in front.

    Args:
        module: Module to read.
        activation: "relu": one ReLU between every two linear layers and none elsewhere. "none": linear
            layers only.

    Returns:
        ``(weight, bias)`` for each linear layer, first layer first; bias is None where the layer has none.
        Layers that share their parameters come out as separate copies.

    Raises:
        InputError: If anything else occurs; the message names the offending module.
    """
    if not isinstance(module, nn.Module):
        raise InputError(f"expected a torch.nn.Module, got {type(module).__name__}")
    layers: list[tuple[Tensor, Tensor | None]] = []
    previous: str | None = None
    previous_name = ""
    for name, part in _flat_parts(module, ""):
        kind = _kind_of(name, part, activation)
        _refuse_hooks(name, part)
        if kind == "flatten" and previous is not None:
            raise InputError(f"{_describe(name, part)} must come first, before any other layer")
        if kind == "linear" and previous == "linear" and activation == "relu":
            raise InputError(
                f"{_describe(name, part)} follows linear layer '{previous_name}' without a ReLU between; "
                "multiply the two into one layer, or read a purely linear module as DeepLinear"
            )
        if kind == "relu" and previous != "linear":
            raise InputError(f"{_describe(name, part)} must follow a linear layer")
        if isinstance(part, nn.Linear):
            bias = None if part.bias is None else part.bias.detach().clone()
            layers.append((part.weight.detach().clone(), bias))
        previous, previous_name = kind, name
    if previous == "relu":
        raise InputError(
            f"'{previous_name}' (ReLU) is the last module; expected a linear output layer after it, "
            "because the output of a ReLUNetwork is not rectified"
        )
    if not layers:
        raise InputError(f"expected at least one nn.Linear, {_describe('', module)} has none")
    return layers


def build_sequential(
    weights: Sequence[Tensor], biases: Sequence[Tensor | None], *, rectified: bool, flatten: bool
) -> nn.Sequential:
    """Build the `nn.Sequential` of linear layers with copies of the given parameters.

    Args:
        weights: Checked weights.
        biases: Checked biases, one entry for each weight.
        rectified: Put a ReLU between every two linear layers.
        flatten: Put an `nn.Flatten` in front.

    Returns:
        Module in the dtype and on the device of the weights, with trainable parameters.
    """
    parts: list[nn.Module] = [nn.Flatten()] if flatten else []
    for index, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        if rectified and index > 0:
            parts.append(nn.ReLU())
        # Built small on the meta device: torch's random initialisation would only be thrown away,
        # and it warns about layers of width zero, which are legitimate here.
        linear = nn.Linear(1, 1, bias=bias is not None, device="meta")
        linear.out_features, linear.in_features = weight.shape
        linear.weight = nn.Parameter(weight.detach().clone())
        if bias is not None:
            linear.bias = nn.Parameter(bias.detach().clone())
        parts.append(linear)
    return nn.Sequential(*parts)


def _flat_parts(module: nn.Module, name: str) -> Iterator[tuple[str, nn.Module]]:
    # A subclass that only fills a Sequential is read like one; a forward of its own is refused later.
    if isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward:
        _refuse_hooks(name, module)
        # Not named_children(): it skips a module that occurs twice.
        for child_name, child in module._modules.items():
            yield from _flat_parts(child, f"{name}.{child_name}" if name else child_name)
    else:
        yield name, module


def _kind_of(name: str, part: nn.Module, activation: str) -> Literal["linear", "relu", "flatten"]:
    # Exact types: a subclass may compute something else with the same parameters.
    if type(part) is nn.Linear:
        return "linear"
    if type(part) is nn.ReLU and activation == "relu":
        return "relu"
    if type(part) is nn.Flatten and (part.start_dim, part.end_dim) == (1, -1):
        return "flatten"
    allowed = "nn.Linear and nn.ReLU" if activation == "relu" else "nn.Linear"
    raise InputError(
        f"{_describe(name, part)} cannot be read; expected {allowed}, nn.Sequential of these, "
        "and at most one nn.Flatten() in front"
    )


def _refuse_hooks(name: str, part: nn.Module) -> None:
    # Hooks change what a module computes; the old weight_norm even leaves a stale weight behind.
    if part._forward_hooks or part._forward_pre_hooks:
        raise InputError(
            f"{_describe(name, part)} carries forward hooks, so its weights alone do not say "
            "what it computes; remove the hooks (torch.nn.utils.remove_weight_norm for weight norm)"
        )


def _describe(name: str, part: nn.Module) -> str:
    return f"module '{name}' ({type(part).__name__})" if name else f"the module ({type(part).__name__})"
