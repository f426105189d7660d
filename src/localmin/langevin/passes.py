"""Run the operations of a step: in place, on lists of tensors, with noise drawn where it is used.

On the CPU the noise is drawn block by block, and a block of positions, velocities and gradients is finished
while it is in the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from localmin.errors import InputError
from localmin.langevin.updates import Update

__all__ = ["NoiseRoom", "Push", "apply_update", "move", "push_along_gradient"]

Push = Callable[[list[Tensor], list[Tensor], float], None]

# Numbers per block: five such blocks of float32 fit into 2 MiB of cache.
_BLOCK = 65536
# 1 - (1 + kick) must keep its digits for the fused operation.
_SMALLEST_FUSED_KICK = {torch.float32: 1e-7, torch.float64: 1e-3}


class _Block(NamedTuple):
    """A stretch of all numbers of a list of tensors, in order.

    Attributes:
        tensors: Index of the tensor that each piece belongs to.
        flats: Where to draw, one tensor per draw.
        noises: The same cut and shaped like the pieces, one list per draw.
    """

    tensors: list[int]
    flats: list[Tensor]
    noises: list[list[Tensor]]


class NoiseRoom:
    """Where the noise for a list of tensors is drawn: on the CPU one block per draw, used again and again.

    Args:
        like: Tensors of one device and dtype.
        num_draws: Independent normals per number.
    """

    def __init__(self, like: Sequence[Tensor], num_draws: int) -> None:
        self.num_draws = num_draws
        self._like = like[0]
        self._shapes = [tensor.shape for tensor in like]
        self._sizes = [tensor.numel() for tensor in like]
        self._blocks: list[_Block] | None = None
        self._cuts: dict[int, list[int]] = {}

    def fill(self, scales: Sequence[float], generator: torch.Generator) -> list[list[Tensor]]:
        """Draw all noise at once: the numbers that `blocks` gives one after the other."""
        total = sum(self._sizes)
        flats = [self._like.new_empty(total) for _ in scales]
        size = _BLOCK if self._like.is_cpu else max(total, 1)
        for start in range(0, total, size):
            _draw([flat[start : start + size] for flat in flats], scales, generator)
        return [
            [
                part.view(shape)
                for part, shape in zip(torch.split(flat, self._sizes), self._shapes, strict=True)
            ]
            for flat in flats
        ]

    def blocks(
        self, lists: Sequence[list[Tensor]], scales: Sequence[float], generator: torch.Generator
    ) -> Iterator[tuple[list[list[Tensor]], list[list[Tensor]]]]:
        """Give block after block of contiguous tensors, with its noise.

        Args:
            lists: Lists of tensors of the shapes that the room was made for, or empty.
            scales: Standard deviation of each draw.
            generator: On the tensors' device.

        Yields:
            The pieces of each list, and the noise for them, one list per draw. Valid until the next block.
        """
        if self._blocks is None:
            self._blocks = self._plan()
        cut = [
            {index: iter(torch.split(one[index].view(-1), sizes)) for index, sizes in self._cuts.items()}
            if one
            else {}
            for one in lists
        ]
        for block in self._blocks:
            _draw(block.flats, scales, generator)
            pieces = [
                [next(parts[i]) if i in parts else one[i] for i in block.tensors] if one else []
                for one, parts in zip(lists, cut, strict=True)
            ]
            yield pieces, block.noises

    def _plan(self) -> list[_Block]:
        """Lay the tensors end to end and cut at every multiple of the block's size."""
        room = min(_BLOCK, sum(self._sizes))
        flats = [self._like.new_empty(room) for _ in range(self.num_draws)]
        pieces: list[list[tuple[int, int]]] = [[]]
        free = room
        for index, size in enumerate(self._sizes):
            lengths = []
            while size:
                if not free:
                    pieces.append([])
                    free = room
                lengths.append(min(size, free))
                pieces[-1].append((index, lengths[-1]))
                size -= lengths[-1]
                free -= lengths[-1]
            if len(lengths) > 1:
                self._cuts[index] = lengths
        return [self._block(one, flats) for one in pieces if one]

    def _block(self, pieces: list[tuple[int, int]], flats: list[Tensor]) -> _Block:
        lengths = [length for _, length in pieces]
        drawn = [flat[: sum(lengths)] for flat in flats]
        noises = [
            [
                part if index in self._cuts else part.view(self._shapes[index])
                for part, (index, _) in zip(torch.split(flat, lengths), pieces, strict=True)
            ]
            for flat in drawn
        ]
        return _Block([index for index, _ in pieces], drawn, noises)


def _draw(flats: Sequence[Tensor], scales: Sequence[float], generator: torch.Generator) -> None:
    for flat, scale in zip(flats, scales, strict=True):
        flat.normal_(0.0, scale, generator=generator)


def push_along_gradient(positions: list[Tensor], gradients: list[Tensor], step_size: float) -> None:
    """Move positions against gradients, x -= step g, in place.

    Args:
        positions: x.
        gradients: g.
        step_size: eta.
    """
    torch._foreach_add_(positions, gradients, alpha=-step_size)


def _glide(
    positions: list[Tensor],
    velocities: list[Tensor],
    gradients: list[Tensor],
    decay: float,
    kick: float,
    drift: float,
    fits: bool,
) -> None:
    """Compute v = decay v - kick g, then x += drift v, in one pass where torch's fused SGD fits."""
    # At kick = -1, for noise, nothing is lost.
    if fits and (kick == -1 or kick >= _SMALLEST_FUSED_KICK[positions[0].dtype]):
        # SGD with the velocity as its buffer: buffer = momentum buffer + (1 - dampening) g, x -= lr buffer.
        torch._fused_sgd_(
            positions,
            gradients,
            velocities,
            weight_decay=0.0,
            momentum=decay,
            lr=-drift,
            dampening=1 + kick,
            nesterov=False,
            maximize=False,
            is_first_step=False,
        )
        return
    if decay != 1:
        torch._foreach_mul_(velocities, decay)
    torch._foreach_add_(velocities, gradients, alpha=-kick)
    torch._foreach_add_(positions, velocities, alpha=drift)


def _fits_fused(*lists: list[Tensor]) -> bool:
    # The fused operation walks through memory, whatever the strides. Noise buffers are contiguous.
    dtype = lists[0][0].dtype
    return dtype in _SMALLEST_FUSED_KICK and all(
        tensor.is_cpu and tensor.is_contiguous() and tensor.dtype is dtype
        for tensors in lists
        for tensor in tensors
    )


def apply_update(
    update: Update,
    positions: list[Tensor],
    velocities: list[Tensor],
    gradients: list[Tensor],
    noises: Sequence[list[Tensor]],
    push: Push = push_along_gradient,
) -> None:
    """Run the operations in place.

    Args:
        update: What to do.
        positions: x, changed in place.
        velocities: v, changed in place; empty for first-order dynamics.
        gradients: g at the positions before the step.
        noises: One list per draw, normals with the update's scales.
        push: What "push" does; a skew drift puts its own here.

    Cost:
        One pass over the tensors per operation, no allocation.
    """
    fits = bool(velocities) and _fits_fused(positions, velocities, gradients)
    for name, coefficient, index, kick, drift in update.operations:
        if name == "glide":
            _glide(positions, velocities, gradients, coefficient, kick, drift, fits)
        elif name == "glide_noise":
            _glide(positions, velocities, noises[index], coefficient, -1.0, drift, fits)
        elif name == "kick":
            torch._foreach_add_(velocities, gradients, alpha=-coefficient)
        elif name == "drift":
            torch._foreach_add_(positions, velocities, alpha=coefficient)
        elif name == "decay":
            torch._foreach_mul_(velocities, coefficient)
        elif name == "blend":
            torch._foreach_lerp_(velocities, noises[index], coefficient)
        elif name == "push":
            push(positions, gradients, coefficient)
        elif name == "velocity_noise":
            torch._foreach_add_(velocities, noises[index], alpha=coefficient)
        else:
            torch._foreach_add_(positions, noises[index], alpha=coefficient)


def move(
    update: Update,
    positions: list[Tensor],
    velocities: list[Tensor],
    gradients: list[Tensor],
    generator: torch.Generator | None = None,
    *,
    push: Push = push_along_gradient,
    room: NoiseRoom | None = None,
) -> None:
    """Make one step in place: draw the noise that the update asks for, and run its operations.

    Args:
        update: What to do.
        positions: x, of one device and dtype, changed in place.
        velocities: v, changed in place; empty for first-order dynamics.
        gradients: g at the positions before the step.
        generator: On the tensors' device; needed if the update has noise.
        push: What "push" does; a skew drift, whose update begins with it, puts its own here.
        room: For these tensors, from an earlier step; None makes one.

    Raises:
        InputError: If noise is asked for and there is no generator.

    Cost:
        One normal per number and draw. Contiguous tensors on the CPU pass through the cache once, and the
        noise takes the memory of one block; others take one pass per operation and the noise a copy of x.
    """
    scales = update.noise_scales
    if not scales:
        apply_update(update, positions, velocities, gradients, [], push)
        return
    if generator is None:
        raise InputError("a step at temperature above 0 needs a torch.Generator")
    if room is None:
        room = NoiseRoom(positions, len(scales))
    if push is not push_along_gradient:  # it acts on whole tensors
        push(positions, gradients, update.operations[0].coefficient)
        update, gradients = update._replace(operations=update.operations[1:]), []
    if not all(one.is_cpu and one.is_contiguous() for one in (*positions, *velocities, *gradients)):
        noises = room.fill(scales, generator)
        apply_update(update, positions, velocities, gradients, noises)
        return
    for (x, v, g), noises in room.blocks((positions, velocities, gradients), scales, generator):
        apply_update(update, x, v, g, noises)
