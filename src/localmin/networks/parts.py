"""What a module computes, as a chain of parts: linear layers, ReLUs, reshapes and other affine maps.

Containers are walked, known layers are taken as they are, and a forward of the user's own is traced with
`torch.fx`. Whatever is no chain (skip connections) or no known part is refused by name.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from localmin.errors import InputError

__all__ = ["Part", "affine_parts", "chain_of_parts", "describe"]

Kind = Literal["linear", "relu", "flatten", "nothing", "affine", "unknown"]

# Affine maps that can be written as a matrix once the shape of an input is known.
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMALISATIONS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_OTHER_AFFINE = (
    nn.AvgPool1d,
    nn.AvgPool2d,
    nn.AvgPool3d,
    nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveAvgPool3d,
    nn.ZeroPad1d,
    nn.ZeroPad2d,
    nn.ZeroPad3d,
    nn.Unflatten,
    nn.Flatten,
)
_DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
_RELU_FUNCTIONS = {torch.relu, torch.relu_, functional.relu, functional.relu_}


@dataclass(frozen=True, eq=False)
class Part:
    """One step of the chain.

    Args:
        name: Dotted name of the module, or of the function call within it.
        type_name: Class of the module, or name of the function.
        kind: "linear": a weight and maybe a bias. "relu". "flatten": from dimension 1 on. "nothing": the
            identity. "affine": some other affine map of one example. "unknown": none of these.
        weight: Of a linear part.
        bias: Of a linear part.
        module: The module, if the part is one.
        apply: What it computes on a batch, for affine parts.
        advice: What to do where the part cannot be read.
    """

    name: str
    type_name: str
    kind: Kind
    weight: Tensor | None = None
    bias: Tensor | None = None
    module: nn.Module | None = None
    apply: Callable[[Tensor], Tensor] | None = None
    advice: str = ""

    def __str__(self) -> str:
        return describe(self.name, self.type_name)


def describe(name: str, type_name: str) -> str:
    """Name a module for a message.

    Args:
        name: Dotted name, empty for the outermost module.
        type_name: Its class.

    Returns:
        For example ``"module '0.weight' (Linear)"``.
    """
    return f"module '{name}' ({type_name})" if name else f"the module ({type_name})"


def chain_of_parts(module: nn.Module) -> list[Part]:
    """Read a module as a chain of parts, the first one first.

    Args:
        module: Module to read; it is not modified.

    Returns:
        All parts, also those that cannot be read further (kind "unknown").

    Raises:
        InputError: If a module carries forward hooks, a dropout is in training mode, or a forward is no
            chain.
    """
    if not isinstance(module, nn.Module):
        raise InputError(f"expected a torch.nn.Module, got {type(module).__name__}")
    return list(_parts_of(module, ""))


def affine_parts() -> str:
    """List the parts that need the shape of an input to become a matrix, for messages."""
    return "convolutions, batch normalisation in eval mode and average pooling"


def _parts_of(module: nn.Module, name: str) -> Iterator[Part]:
    # A subclass that only fills a Sequential is read like one; a forward of its own is traced.
    if isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward:
        _refuse_hooks(name, module)
        # Not named_children(): it skips a module that occurs twice.
        for child_name, child in module._modules.items():
            if child is not None:
                yield from _parts_of(child, f"{name}.{child_name}" if name else child_name)
    elif type(module).__module__.startswith("torch.nn."):
        part = _part_of_layer(module, name)
        if part.kind != "unknown":
            _refuse_hooks(name, module)
        yield part
    else:
        _refuse_hooks(name, module)
        yield from _traced_parts(module, name)


def _part_of_layer(module: nn.Module, name: str) -> Part:
    # Exact types: a subclass may compute something else with the same parameters.
    kind, type_name = type(module), type(module).__name__
    if kind is nn.Linear:
        assert isinstance(module, nn.Linear)
        return Part(name, type_name, "linear", module.weight, module.bias, module, module)
    if kind is nn.ReLU:
        return Part(name, type_name, "relu", module=module)
    if isinstance(module, nn.Flatten) and (module.start_dim, module.end_dim) == (1, -1):
        return Part(name, type_name, "flatten", module=module, apply=module)
    if kind is nn.Identity:
        return Part(name, type_name, "nothing", module=module)
    if kind in _DROPOUTS:
        _refuse_training(name, type_name, bool(module.training and getattr(module, "p", 0)))
        return Part(name, type_name, "nothing", module=module)
    if kind in _CONVOLUTIONS or (kind in _OTHER_AFFINE and kind is not nn.Flatten):
        return Part(name, type_name, "affine", module=module, apply=module)
    if kind in _NORMALISATIONS:
        if not module.training and getattr(module, "running_mean", None) is not None:
            return Part(name, type_name, "affine", module=module, apply=module)
        advice = "it depends on the batch; call .eval() on the model first"
        return Part(name, type_name, "unknown", module=module, advice=advice)
    return Part(name, type_name, "unknown", module=module)


def _traced_parts(module: nn.Module, name: str) -> Iterator[Part]:
    type_name = type(module).__name__
    try:
        graph = fx.Tracer().trace(module)
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{describe(name, type_name)} cannot be read: tracing its forward failed ({reason})"
        ) from None
    current: fx.Node | None = None
    for node in graph.nodes:
        if node.op == "placeholder":
            if current is None:
                current = node
            elif node.users:
                raise InputError(
                    f"{describe(name, type_name)} cannot be read: its forward has several inputs"
                )
        elif node.op == "output":
            if node.args[0] is not current:
                raise InputError(
                    f"{describe(name, type_name)} cannot be read: its forward gives several outputs, or not "
                    "the last one"
                )
        elif current is not None and node.op != "get_attr" and not _is_shape(node):
            if current not in node.all_input_nodes or _other_tensors(node, current):
                raise InputError(
                    f"{describe(name, type_name)} cannot be read: '{node.name}' in its forward is not one "
                    "step of a chain (skip connections and products of activations are no ReLUNetwork)"
                )
            yield from _parts_of_node(module, node, name)
            current = node


def _parts_of_node(module: nn.Module, node: fx.Node, name: str) -> Iterator[Part]:
    where = f"{name}.{node.target}" if name else str(node.target)
    if node.op == "call_module":
        yield from _parts_of(module.get_submodule(str(node.target)), where)
        return
    call = node.target if node.op == "call_function" else str(node.target)
    type_name = getattr(call, "__name__", str(call))
    where = f"{name}.{node.name}" if name else node.name
    found = _part_of_call(module, node, call, where, type_name)
    if found is None:
        advice = f"'{node.name}' in the forward of {type(module).__name__} is no known part"
        found = Part(name, type(module).__name__, "unknown", advice=advice)
    yield found


def _part_of_call(module: nn.Module, node: fx.Node, call: Any, where: str, type_name: str) -> Part | None:
    rest, options = node.args[1:], dict(node.kwargs)
    if call in _RELU_FUNCTIONS or call in ("relu", "relu_"):
        return Part(where, type_name, "relu")
    if call is functional.linear and node.args:
        weight = _attribute(module, rest[0] if rest else options.get("weight"))
        bias_node = rest[1] if len(rest) > 1 else options.get("bias")
        bias = _attribute(module, bias_node)
        if weight is None or (bias is None and bias_node is not None):
            return None
        return Part(
            where, type_name, "linear", weight, bias, None, lambda x: functional.linear(x, weight, bias)
        )
    if call is functional.dropout:
        share = rest[0] if rest else options.get("p", 0.5)
        is_training = rest[1] if len(rest) > 1 else options.get("training", True)
        _refuse_training(where, type_name, bool(is_training and share))
        return Part(where, type_name, "nothing")
    if (call is torch.flatten or call == "flatten") and (rest == (1,) or options == {"start_dim": 1}):
        return Part(where, type_name, "flatten", apply=lambda x: x.flatten(1))
    if call in ("view", "reshape") or call is torch.reshape:
        sizes = rest[0] if len(rest) == 1 and isinstance(rest[0], tuple | list) else rest
        keeps_rows = len(sizes) == 2 and (isinstance(sizes[0], fx.Node) or sizes[0] == -1)
        if keeps_rows and isinstance(sizes[1], int) and (sizes[0] != -1 or sizes[1] != -1):
            return Part(where, type_name, "flatten", apply=lambda x: x.flatten(1))
        return None
    if call == "contiguous":
        return Part(where, type_name, "nothing")
    if call in ("mean", torch.mean) and options.keys() <= {"dim", "keepdim"}:
        axes = rest[0] if rest else options.get("dim")
        axes = (axes,) if isinstance(axes, int) else axes
        if isinstance(axes, tuple | list) and all(isinstance(axis, int) and axis != 0 for axis in axes):
            keep = bool(rest[1] if len(rest) > 1 else options.get("keepdim", False))
            return Part(where, type_name, "affine", apply=lambda x: x.mean(dim=tuple(axes), keepdim=keep))
    return None


def _attribute(module: nn.Module, node: Any) -> Tensor | None:
    if not (isinstance(node, fx.Node) and node.op == "get_attr"):
        return None
    value: Any = module
    for step in str(node.target).split("."):
        value = getattr(value, step)
    return value if isinstance(value, Tensor) else None


def _is_shape(node: fx.Node) -> bool:
    # x.size(0), x.shape, x.shape[0]: numbers that say how to reshape.
    if node.op == "call_method" and node.target in ("size", "dim"):
        return True
    if node.op != "call_function" or getattr(node.target, "__name__", "") not in ("getattr", "getitem"):
        return False
    source = node.args[0]
    if getattr(node.target, "__name__", "") == "getattr":
        return node.args[1] == "shape"
    return isinstance(source, fx.Node) and _is_shape(source)


def _other_tensors(node: fx.Node, current: fx.Node) -> bool:
    return any(
        other is not current and other.op != "get_attr" and not _is_shape(other)
        for other in node.all_input_nodes
    )


def _refuse_training(name: str, type_name: str, is_active: bool) -> None:
    if is_active:
        raise InputError(
            f"{describe(name, type_name)} is in training mode, so the module is random; call .eval() first"
        )


def _refuse_hooks(name: str, part: nn.Module) -> None:
    # Hooks change what a module computes; the old weight_norm even leaves a stale weight behind.
    if part._forward_hooks or part._forward_pre_hooks:
        raise InputError(
            f"{describe(name, type(part).__name__)} carries forward hooks, so its weights alone do not say "
            "what it computes; remove the hooks (torch.nn.utils.remove_weight_norm for weight norm)"
        )
