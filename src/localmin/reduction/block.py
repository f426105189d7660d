"""Reduction of a two-layer block inside a larger model, on the activations that reach it."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from localmin.errors import InputError
from localmin.reduction.exact_reduction import reduce
from localmin.reduction.rank_decisions import ExactMode
from localmin.reduction.reduction_steps import ReductionSettings
from localmin.reduction.result import Reduction

__all__ = ["BlockReduction", "reduce_block"]


@dataclass(frozen=True)
class BlockReduction:
    """Result of `reduce_block`.

    Attributes:
        model: Copy of the model with the narrower block.
        reduction: What was done to the block; its figures speak of the block's outputs.
    """

    model: nn.Module
    reduction: Reduction[nn.Sequential]


def reduce_block(
    model: nn.Module,
    first: str,
    second: str,
    run: Callable[[nn.Module], object],
    *,
    mode: ExactMode = "design",
    settings: ReductionSettings | None = None,
) -> BlockReduction:
    """Shrink the hidden layer between two linear layers of any model, such as a transformer's MLP.

    The inputs of the first layer are recorded while ``run`` uses the model; on these the block's outputs
    stay the same, so everything else of the model does too. Every row counts as a point (every token of
    every sequence).

    Args:
        model: Any module; it is not changed.
        first: Name of the first `nn.Linear`, as in ``model.named_modules()``.
        second: Name of the `nn.Linear` that takes its activations. Between them there may be only a ReLU, or
            nothing; that is checked on the recorded values.
        run: Calls the model (in evaluation mode, without dropout) on the inputs that matter.
        mode: As in `reduce`.
        settings: As in `reduce`.

    Returns:
        A copy of the model, and the reduction of the block.

    Raises:
        InputError: If a name is no `nn.Linear`, nothing was recorded, or what lies between the two layers
            is neither a ReLU nor nothing.

    Source:
        Derived here from the layer-wise form of Jacot et al. 2022.

    Cost:
        As `reduce` with the number of recorded rows as points.
    """
    parts = dict(model.named_modules())
    layers: list[nn.Linear] = []
    for name in (first, second):
        part = parts.get(name)
        if type(part) is not nn.Linear:
            raise InputError(
                f"'{name}' is {type(part).__name__}, expected the name of an nn.Linear in the model"
            )
        layers.append(part)
    received: dict[str, list[Tensor]] = {first: [], second: []}
    hooks = [
        layer.register_forward_pre_hook(_recorder(received[name]))
        for name, layer in zip((first, second), layers, strict=True)
    ]
    try:
        with torch.no_grad():
            run(model)
    finally:
        for hook in hooks:
            hook.remove()
    if not received[first] or not received[second]:
        raise InputError(f"'{first}' or '{second}' received nothing while the model ran")
    inputs, between = torch.cat(received[first]), torch.cat(received[second])
    activation = _activation_between(layers[0], inputs, between)
    block = nn.Sequential(layers[0], *activation, layers[1])
    reduction = reduce(block, inputs, mode=mode, settings=settings)
    result = copy.deepcopy(model)
    for name, linear in ((first, reduction.network[0]), (second, reduction.network[-1])):
        parent, _, child = name.rpartition(".")
        setattr(result.get_submodule(parent), child, copy.deepcopy(linear))
    return BlockReduction(result, reduction)


def _recorder(into: list[Tensor]) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
    def record(_: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        into.append(arguments[0].detach().flatten(0, -2))

    return record


def _activation_between(layer: nn.Linear, inputs: Tensor, between: Tensor) -> list[nn.Module]:
    with torch.no_grad():
        values = layer(inputs)
    if values.shape == between.shape:
        tolerance = 1e3 * torch.finfo(values.dtype).eps * float(values.abs().max())
        candidates: tuple[tuple[Tensor, list[nn.Module]], ...] = (
            (torch.relu(values), [nn.ReLU()]),
            (values, []),
        )
        for expected, activation in candidates:
            if float((expected - between).abs().max()) <= tolerance:
                return activation
    raise InputError(
        "what reaches the second layer is not the ReLU of the first layer's output, nor that output itself: "
        "another activation, a normalisation, dropout or a skip connection lies between, and the neurons "
        "cannot be rescaled"
    )
