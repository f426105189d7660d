"""Fewer channels between two layers of a convolutional network: approximate, with measured error."""

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from localmin.errors import InputError
from localmin.numerics import as_generator
from localmin.reduction.layer_sizes import resize

__all__ = ["ConvolutionReduction", "reduce_convolution"]

_NUM_WEIGHTINGS = 30
_RIDGE_RELATIVE = 1e-8
_PER_CHANNEL = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@dataclass(frozen=True)
class ConvolutionReduction:
    """Result of `reduce_convolution`: **not exact**.

    Attributes:
        model: Copy of the model with fewer channels.
        channels_before: Channels of the first layer before.
        channels_after: Channels after.
        kept: Indices of the channels that stay, ascending.
        output_error_relative: Root mean square change of the second layer's outputs on the recorded rows over
            their root mean square.
        drift_relative: The same where ``run_held_out`` went; None without it.
        norm_before: Squared norm of both layers before.
        norm_after: Squared norm after; it can be larger.
        num_rows: Spatial positions (each a data point for the second layer) used for the refit.
        seconds: Wall-clock time.
    """

    model: nn.Module
    channels_before: int
    channels_after: int
    kept: Int[Tensor, " k"]
    output_error_relative: float
    drift_relative: float | None
    norm_before: float
    norm_after: float
    num_rows: int
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain values; the model is left out."""
        plain = {name: value for name, value in vars(self).items() if name != "model"}
        return {**plain, "kept": self.kept.tolist()}


def reduce_convolution(
    model: nn.Module,
    first: str,
    second: str,
    run: Callable[[nn.Module], object],
    num_channels: int,
    *,
    between: Sequence[str] = (),
    run_held_out: Callable[[nn.Module], object] | None = None,
    max_rows: int = 20_000,
    seed: int = 0,
) -> ConvolutionReduction:
    """Keep the channels of a convolution that the next layer needs most, and refit that layer.

    Every spatial position is a data point for the next layer, so exactness is out of reach. The channels are
    weighed as the neurons of `reweight` are (a group lasso by re-weighted least squares, with a ridge), the
    strongest stay, and the second layer is fitted to its old outputs.

    Args:
        model: Any module, in evaluation mode; it is not changed.
        first: Name of an `nn.Conv1d`, `nn.Conv2d` or `nn.Conv3d`, as in ``model.named_modules()``.
        second: Name of the `nn.Conv2d` (ungrouped, zero padding) or, behind a flattening, the `nn.Linear`
            that reads its channels. What lies between may mix positions (pooling), not channels.
        run: Calls the model on the inputs that matter.
        num_channels: Channels to keep, from 1 to what is there.
        between: Names of batch normalisations between the two, which lose the same channels.
        run_held_out: Calls the model on other inputs, on which only the drift is measured.
        max_rows: Largest number of positions for the fit; drawn if there are more.
        seed: Of the draw.

    Returns:
        The smaller model and its measured errors.

    Raises:
        InputError: If a name or a number does not fit.

    Source:
        Derived here from the re-weighting of `reweight`; group lasso by re-weighted least squares, textbook.

    Cost:
        About 30 solves with (channels times kernel size) unknowns, and ``max_rows`` times their square.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 2, 3))
        >>> images = torch.randn(20, 1, 8, 8)
        >>> result = reduce_convolution(model, "0", "2", lambda m: m(images), 6)
        >>> result.model[0].out_channels, result.output_error_relative < 0.5
        (6, True)
    """
    started = time.perf_counter()
    front, back = _layers(model, first, second, num_channels)
    channels = front.weight.shape[0]
    rows, targets = _drawn(_rows_of(model, back, run, channels), back, max_rows, seed)
    costs = front.weight.detach().double().flatten(1).square().sum(dim=1)
    if front.bias is not None:
        costs = costs + front.bias.detach().double().square()
    kept = _strongest(rows, targets, costs, channels, num_channels)
    group = rows.shape[1] // channels
    columns = (kept[:, None] * group + torch.arange(group)).flatten()
    solution, offset = _ridge(rows[:, columns], targets, back.bias is not None)
    smaller = _cut(model, (first, second, *between), kept, solution, offset)
    result = smaller.get_submodule(second)

    def error(used: Callable[[nn.Module], object]) -> float:
        before, wanted = _drawn(_rows_of(model, back, used, channels), back, max_rows, seed)
        bias = 0.0 if offset is None else offset
        return float((before[:, columns] @ solution + bias - wanted).norm() / wanted.norm().clamp(min=1e-300))

    return ConvolutionReduction(
        smaller,
        channels,
        num_channels,
        kept,
        error(run),
        None if run_held_out is None else error(run_held_out),
        _norm(front) + _norm(back),
        _norm(smaller.get_submodule(first)) + _norm(result),
        len(rows),
        time.perf_counter() - started,
    )


def _layers(
    model: nn.Module, first: str, second: str, num_channels: int
) -> tuple[nn.Conv1d | nn.Conv2d | nn.Conv3d, nn.Conv2d | nn.Linear]:
    parts = dict(model.named_modules())
    front, back = parts.get(first), parts.get(second)
    if not isinstance(front, nn.Conv1d | nn.Conv2d | nn.Conv3d) or front.groups != 1:
        raise InputError(f"'{first}' is {type(front).__name__}, expected an ungrouped convolution")
    if not isinstance(back, nn.Conv2d | nn.Linear) or (
        isinstance(back, nn.Conv2d)
        and (back.groups != 1 or back.padding_mode != "zeros" or isinstance(back.padding, str))
    ):
        raise InputError(
            f"'{second}' is {type(back).__name__}, expected an nn.Linear or an ungrouped nn.Conv2d with "
            "padding by zeros, given as numbers"
        )
    channels = front.out_channels
    reads = back.in_channels if isinstance(back, nn.Conv2d) else back.in_features
    if reads % channels or (isinstance(back, nn.Conv2d) and reads != channels):
        raise InputError(
            f"'{second}' reads {reads} values, which are not the {channels} channels of '{first}'"
        )
    if not 1 <= num_channels <= channels:
        raise InputError(f"expected from 1 to {channels} channels to keep, got {num_channels}")
    return front, back


def _rows_of(
    model: nn.Module, back: nn.Conv2d | nn.Linear, run: Callable[[nn.Module], object], channels: int
) -> Float[Tensor, "n k"]:
    received: list[Tensor] = []

    def record(_: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        values = arguments[0].detach().double()
        if isinstance(back, nn.Conv2d):
            assert not isinstance(back.padding, str)  # checked
            patches = nn.functional.unfold(
                values,
                back.kernel_size,
                dilation=back.dilation,
                padding=back.padding,
                stride=back.stride,
            )
            received.append(patches.transpose(1, 2).flatten(0, 1))
        else:
            received.append(values.flatten(0, -2))

    hook = back.register_forward_pre_hook(record)
    try:
        with torch.no_grad():
            run(model)
    finally:
        hook.remove()
    if not received:
        raise InputError("the second layer received nothing while the model ran")
    return torch.cat(received).cpu()


def _drawn(
    rows: Tensor, back: nn.Conv2d | nn.Linear, max_rows: int, seed: int
) -> tuple[Float[Tensor, "n k"], Float[Tensor, "n outputs"]]:
    if len(rows) > max_rows:
        rows = rows[torch.randperm(len(rows), generator=as_generator(seed))[:max_rows]]
    targets = rows @ back.weight.detach().double().cpu().flatten(1).T
    return rows, targets if back.bias is None else targets + back.bias.detach().double().cpu()


def _strongest(
    rows: Tensor, targets: Tensor, costs: Tensor, channels: int, num_channels: int
) -> Int[Tensor, " k"]:
    centred, wanted = rows - rows.mean(dim=0), targets - targets.mean(dim=0)
    gram, inner = centred.T @ centred, centred.T @ wanted
    group = rows.shape[1] // channels
    ridge = _RIDGE_RELATIVE * float(gram.diagonal().max())
    lengths = costs.cpu().sqrt().clamp(min=1e-150)
    weights = torch.ones(channels, dtype=torch.float64)
    strength = weights
    for _ in range(_NUM_WEIGHTINGS):
        scale = weights.sqrt().repeat_interleave(group)
        matrix = scale[:, None] * gram * scale
        matrix.diagonal().add_(ridge)
        solution = scale[:, None] * torch.linalg.solve(matrix, scale[:, None] * inner)
        strength = solution.reshape(channels, -1).norm(dim=1)
        weights = (strength / lengths).clamp(min=1e-12)
    kept: Tensor = (lengths * strength).argsort(descending=True, stable=True)[:num_channels].sort().values
    return kept


def _ridge(rows: Tensor, targets: Tensor, with_bias: bool) -> tuple[Tensor, Tensor | None]:
    shift = (rows.mean(dim=0), targets.mean(dim=0)) if with_bias else (0.0, 0.0)
    centred, wanted = rows - shift[0], targets - shift[1]
    gram = centred.T @ centred
    gram.diagonal().add_(_RIDGE_RELATIVE * float(gram.diagonal().max()))
    solution = torch.linalg.solve(gram, centred.T @ wanted)
    return solution, targets.mean(dim=0) - rows.mean(dim=0) @ solution if with_bias else None


def _cut(
    model: nn.Module, names: tuple[str, ...], kept: Tensor, solution: Tensor, offset: Tensor | None
) -> nn.Module:
    smaller = copy.deepcopy(model)
    front, back = smaller.get_submodule(names[0]), smaller.get_submodule(names[1])
    assert isinstance(front, nn.Conv1d | nn.Conv2d | nn.Conv3d)
    assert isinstance(back, nn.Conv2d | nn.Linear)
    front.weight = _parameter(front.weight[kept], front.weight)
    if front.bias is not None:
        front.bias = _parameter(front.bias[kept], front.bias)
    old = back.weight
    back.weight = _parameter(solution.T.reshape(old.shape[0], -1, *old.shape[2:]).to(old), old)
    if offset is not None:
        back.bias = _parameter(offset.to(old), old)
    for layer in (front, back):
        resize(layer)
    for name in names[2:]:
        norm = smaller.get_submodule(name)
        if not isinstance(norm, _PER_CHANNEL) or norm.num_features <= int(kept.max()):
            raise InputError(
                f"'{name}' is {type(norm).__name__}, expected a batch normalisation of the channels"
            )
        for part in ("weight", "bias", "running_mean", "running_var"):
            value = getattr(norm, part)
            if isinstance(value, nn.Parameter):
                setattr(norm, part, _parameter(value[kept], value))
            elif value is not None:
                setattr(norm, part, value[kept])
        norm.num_features = len(kept)
    return smaller


def _parameter(value: Tensor, like: Tensor) -> nn.Parameter:
    return nn.Parameter(value.detach().clone(), requires_grad=like.requires_grad)


def _norm(layer: nn.Module) -> float:
    return sum(float(part.detach().double().square().sum()) for part in layer.parameters())
