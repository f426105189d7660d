"""Between `torch.nn` modules and lists of layers."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from localmin.errors import InputError
from localmin.networks.parts import Part, affine_parts, chain_of_parts, describe
from localmin.networks.unrolling import fold_chain

__all__ = ["build_sequential", "linear_modules", "read_layers"]


def read_layers(
    module: nn.Module,
    *,
    activation: Literal["relu", "none"],
    fold: bool = False,
    input_shape: Sequence[int] | None = None,
) -> list[tuple[Tensor, Tensor | None]]:
    """Read the linear layers of a plain feed-forward module, as copies without gradient history.

    Accepted are `nn.Linear`, `nn.ReLU` (when asked for), their functional forms in a forward of the user's
    own, `nn.Sequential` of these at any depth, and what changes nothing on rows: `nn.Flatten`, `nn.Identity`,
    dropout in eval mode.

    Args:
        module: Module to read.
        activation: "relu": one ReLU between every two linear layers and none elsewhere. "none": linear
            layers only.
        fold: Multiply layers without a ReLU between, and add identity layers before a first and after a
            last ReLU. The parameters are then no longer those of the module.
        input_shape: Shape of one example; unrolls convolutions and the like into matrices, and folds.

    Returns:
        ``(weight, bias)`` for each linear layer, first layer first; bias is None where the layer has none.
        Layers that share their parameters come out as separate copies.

    Raises:
        InputError: If anything else occurs; the message names the offending module.
    """
    parts = chain_of_parts(module)
    if fold or input_shape is not None:
        return fold_chain(parts, input_shape=input_shape)
    return [
        (
            part.weight.detach().clone() if part.weight is not None else torch.empty(0),
            None if part.bias is None else part.bias.detach().clone(),
        )
        for part in _checked_linear_parts(parts, module, activation)
    ]


def linear_modules(module: nn.Module) -> list[nn.Linear]:
    """List the linear layers of a module in the order in which it applies them.

    Args:
        module: Module that `read_layers` accepts with ReLUs.

    Returns:
        The layers themselves, not copies; one that is used twice occurs twice.

    Raises:
        InputError: If the module cannot be read, or uses weights outside `nn.Linear`.
    """
    found = []
    for part in _checked_linear_parts(chain_of_parts(module), module, "relu"):
        if not isinstance(part.module, nn.Linear):
            raise InputError(f"{part} uses weights outside nn.Linear; expected nn.Linear layers only")
        found.append(part.module)
    return found


def _checked_linear_parts(parts: Sequence[Part], module: nn.Module, activation: str) -> list[Part]:
    linears: list[Part] = []
    previous: Part | None = None
    for part in parts:
        _refuse_unreadable(part, activation)
        if part.kind in ("nothing", "flatten"):
            continue
        is_after_linear = previous is not None and previous.kind == "linear"
        if part.kind == "linear":
            if is_after_linear and activation == "relu":
                raise InputError(
                    f"{part} follows linear layer '{previous.name if previous else ''}' without a ReLU "
                    "between; fold=True multiplies the two into one layer, and a purely linear module is a "
                    "DeepLinear"
                )
            linears.append(part)
        elif not is_after_linear:
            raise InputError(f"{part} must follow a linear layer; fold=True adds an identity layer")
        previous = part
    if previous is not None and previous.kind == "relu":
        raise InputError(
            f"'{previous.name}' (ReLU) is the last module; expected a linear output layer after it, "
            "because the output of a ReLUNetwork is not rectified; fold=True adds an identity layer"
        )
    if not linears:
        raise InputError(f"expected at least one nn.Linear, {describe('', type(module).__name__)} has none")
    return linears


def _refuse_unreadable(part: Part, activation: str) -> None:
    if part.kind == "affine" and activation == "relu":
        raise InputError(
            f"{part} cannot be read as a layer of its own weights; give input_shape, the shape of one "
            f"example, to unroll it into a matrix (works for {affine_parts()}, on small inputs)"
        )
    if part.kind in ("unknown", "affine") or (part.kind == "relu" and activation == "none"):
        allowed = "nn.Linear and nn.ReLU" if activation == "relu" else "nn.Linear"
        raise InputError(
            f"{part} cannot be read; "
            + (f"{part.advice}; " if part.advice else "")
            + f"expected {allowed} in nn.Sequential or in a forward that is a chain of them, nn.Flatten(), "
            "nn.Identity, and dropout in eval mode"
        )


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
