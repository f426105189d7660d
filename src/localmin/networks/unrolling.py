"""Write the affine maps between two ReLUs as one matrix, convolutions included."""

import copy
from collections.abc import Callable, Sequence
from math import prod

import torch
from torch import Tensor

from localmin.errors import InputError
from localmin.networks.parts import Part, affine_parts

__all__ = ["fold_chain"]

_MAX_ENTRIES = 50_000_000


def fold_chain(
    parts: Sequence[Part], *, input_shape: Sequence[int] | None
) -> list[tuple[Tensor, Tensor | None]]:
    """Multiply out everything between two ReLUs, as copies without gradient history.

    A ReLU that comes first or last gets an identity layer, a ReLU right after another one is dropped.

    Args:
        parts: The chain.
        input_shape: Shape of one example, without the batch; needed for anything but linear layers.

    Returns:
        ``(weight, bias)`` for each layer, computed in float64 and rounded to the dtype of the parameters;
        bias None where no part has one.

    Raises:
        InputError: If a part is unknown or needs the shape, or a matrix would be too large.
    """
    segments: list[list[Part]] = [[]]
    for part in parts:
        if part.kind == "unknown":
            raise InputError(f"{part} cannot be read; {part.advice or 'it is neither affine nor a ReLU'}")
        if part.kind == "affine" and input_shape is None:
            raise InputError(
                f"{part} needs the shape of an example to become a matrix; give input_shape "
                f"({affine_parts()} can be unrolled for small inputs)"
            )
        if part.kind == "relu":
            if segments[-1] or len(segments) == 1:
                segments.append([])
        elif part.kind != "nothing":
            segments[-1].append(part)
    shape = (_first_width(segments),) if input_shape is None else tuple(input_shape)
    parameter = _any_parameter(parts)
    layers = []
    for segment in segments:
        weight, bias, shape = _matrix_of(segment, shape)
        layers.append(
            (
                weight.to(parameter.dtype).to(parameter.device),
                None if bias is None else bias.to(parameter.dtype).to(parameter.device),
            )
        )
    return layers


def _matrix_of(
    segment: Sequence[Part], shape: tuple[int, ...]
) -> tuple[Tensor, Tensor | None, tuple[int, ...]]:
    if (layer := _single_linear(segment, shape)) is not None:
        return layer
    num_inputs = prod(shape)
    probe = torch.zeros(1, *shape, dtype=torch.float64)
    steps = [_in_float64(part) for part in segment]
    constant = _run(steps, segment, probe)
    num_outputs = constant[0].numel()
    if num_inputs * num_outputs > _MAX_ENTRIES:
        gigabytes = 8 * num_inputs * num_outputs / 1e9
        raise InputError(
            f"unrolling up to {segment[-1] if segment else 'a ReLU'} would need a matrix of {num_outputs} x "
            f"{num_inputs} entries, {gigabytes:.1f} GB; give smaller inputs (at most {_MAX_ENTRIES} entries)"
        )
    columns = []
    # The map is affine: its values at the basis vectors are the columns.
    for start in range(0, num_inputs, 1024):
        stop = min(start + 1024, num_inputs)
        basis = torch.zeros(stop - start, num_inputs, dtype=torch.float64)
        basis[torch.arange(stop - start), torch.arange(start, stop)] = 1.0
        images = _run(steps, segment, basis.view(-1, *shape))
        columns.append((images - constant).flatten(1))
    weight = torch.cat(columns).T.contiguous() if columns else torch.zeros(num_outputs, 0).double()
    bias = constant.flatten()
    return weight, (bias if _has_bias(segment) else None), tuple(constant.shape[1:])


def _single_linear(
    segment: Sequence[Part], shape: tuple[int, ...]
) -> tuple[Tensor, Tensor | None, tuple[int, ...]] | None:
    """Take one linear layer as it is, bit for bit, where it sees rows."""
    linears = [part for part in segment if part.kind == "linear"]
    sees_rows = len(shape) == 1 or (len(segment) > 0 and segment[0].kind == "flatten")
    if len(linears) != 1 or not sees_rows or any(part.kind == "affine" for part in segment):
        return None
    weight, bias = linears[0].weight, linears[0].bias
    if weight is None or weight.shape[1] != prod(shape):
        return None
    copy_of_bias = None if bias is None else bias.detach().clone()
    return weight.detach().clone(), copy_of_bias, (weight.shape[0],)


def _run(steps: Sequence[Callable[[Tensor], Tensor]], segment: Sequence[Part], x: Tensor) -> Tensor:
    for step, part in zip(steps, segment, strict=True):
        try:
            x = step(x)
        except (RuntimeError, ValueError) as error:
            raise InputError(
                f"{part} does not take an example of shape {tuple(x.shape[1:])}: {str(error).splitlines()[0]}"
            ) from None
    return x


def _in_float64(part: Part) -> Callable[[Tensor], Tensor]:
    if part.kind == "linear":
        assert part.weight is not None
        weight = part.weight.detach().to("cpu", torch.float64)
        bias = None if part.bias is None else part.bias.detach().to("cpu", torch.float64)
        return lambda x: torch.nn.functional.linear(x, weight, bias)
    if part.module is not None:
        module = copy.deepcopy(part.module).to("cpu", torch.float64).requires_grad_(False)
        return lambda x: torch.as_tensor(module(x))
    assert part.apply is not None
    return part.apply


def _has_bias(segment: Sequence[Part]) -> bool:
    return any(
        part.bias is not None if part.kind == "linear" else getattr(part.module, "bias", None) is not None
        for part in segment
    ) or any(part.type_name.startswith("BatchNorm") for part in segment)


def _first_width(segments: Sequence[Sequence[Part]]) -> int:
    for segment in segments:
        for part in segment:
            if part.weight is not None and part.kind == "linear":
                return part.weight.shape[1]
    raise InputError("expected at least one linear layer")


def _any_parameter(parts: Sequence[Part]) -> Tensor:
    for part in parts:
        if part.weight is not None:
            return part.weight
        if part.module is not None:
            for parameter in part.module.parameters():
                return parameter
    return torch.zeros(())
