"""Reduction of a two-layer block inside a larger model, on the activations that reach it."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from localmin.errors import InputError
from localmin.reduction.exact_reduction import reduce
from localmin.reduction.rank_decisions import ExactMode
from localmin.reduction.reduction_steps import Progress, ReductionSettings
from localmin.reduction.result import Reduction

__all__ = ["BlockReduction", "record", "reduce_block"]


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
    run_held_out: Callable[[nn.Module], object] | None = None,
    settings: ReductionSettings | None = None,
    progress: Progress | None = None,
) -> BlockReduction:
    """Shrink the hidden layer between two linear layers of any model, such as a transformer's MLP.

    The inputs of the first layer are recorded while ``run`` uses the model; on these the block's outputs
    stay the same, so everything else of the model does too. Every row counts as a point (every token of
    every sequence).

    Args:
        model: Any module; it is not changed.
        first: Name of the first `nn.Linear`, as in ``model.named_modules()``.
        second: Name of the `nn.Linear` that takes its activations. Between them there may be only a ReLU, a
            leaky ReLU, or nothing; that is checked on the recorded values.
        run: Calls the model (in evaluation mode, without dropout) on the inputs that matter.
        mode: As in `reduce`.
        run_held_out: Calls the model on other inputs, on which only the drift of the block's outputs is
            measured.
        settings: As in `reduce`.
        progress: As in `reduce`.

    Returns:
        A copy of the model, and the reduction of the block.

    Raises:
        InputError: If a name is no `nn.Linear`, nothing was recorded, or what lies between the two layers
            is none of the activations above.

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
    inputs, between = record(model, {first: layers[0], second: layers[1]}, run)
    held_out = None
    if run_held_out is not None:
        held_out = record(model, {first: layers[0], second: layers[1]}, run_held_out)[0]
    activation = _activation_between(layers[0], inputs, between)
    block = nn.Sequential(layers[0], *activation, layers[1])
    reduction = reduce(
        block, inputs, mode=mode, held_out_points=held_out, settings=settings, progress=progress
    )
    result = copy.deepcopy(model)
    for name, linear in ((first, reduction.network[0]), (second, reduction.network[-1])):
        parent, _, child = name.rpartition(".")
        setattr(result.get_submodule(parent), child, copy.deepcopy(linear))
    return BlockReduction(result, reduction)


def record(
    model: nn.Module, layers: dict[str, nn.Linear], run: Callable[[nn.Module], object]
) -> list[Tensor]:
    """Record the rows that reach some layers while a model runs.

    Args:
        model: Any module.
        layers: Layers of the model by name.
        run: Calls the model.

    Returns:
        One matrix for each layer, a row for each vector that reached it.

    Raises:
        InputError: If a layer received nothing.
    """
    received: dict[str, list[Tensor]] = {name: [] for name in layers}
    hooks = [layer.register_forward_pre_hook(_recorder(received[name])) for name, layer in layers.items()]
    try:
        with torch.no_grad():
            run(model)
    finally:
        for hook in hooks:
            hook.remove()
    for name, rows in received.items():
        if not rows:
            raise InputError(f"'{name}' received nothing while the model ran")
    return [torch.cat(rows) for rows in received.values()]


def _recorder(into: list[Tensor]) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
    def record(_: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        into.append(arguments[0].detach().flatten(0, -2))

    return record


def _activation_between(layer: nn.Linear, inputs: Tensor, between: Tensor) -> list[nn.Module]:
    with torch.no_grad():
        values = layer(inputs)
    if values.shape == between.shape:
        tolerance = 1e3 * torch.finfo(values.dtype).eps * float(values.abs().max())
        slope = _slope_below_zero(values, between)
        candidates: tuple[tuple[Tensor, list[nn.Module]], ...] = (
            (torch.relu(values), [nn.ReLU()]),
            (values, []),
            (nn.functional.leaky_relu(values, slope), [nn.LeakyReLU(slope)]),
        )
        for expected, activation in candidates:
            if float((expected - between).abs().max()) <= tolerance:
                return activation
    raise InputError(
        "what reaches the second layer is neither a ReLU or leaky ReLU of the first layer's output, nor that "
        "output itself: "
        "another activation, a normalisation, dropout or a skip connection lies between, and the neurons "
        "cannot be rescaled"
    )


def _slope_below_zero(values: Tensor, between: Tensor) -> float:
    lowest = int(values.argmin())
    value = float(values.flatten()[lowest])
    if value >= 0:
        return 0.0
    # Seven digits: the slope as it was written in the model, not with the rounding of this quotient.
    return float(f"{float(between.flatten()[lowest]) / value:.7g}")
