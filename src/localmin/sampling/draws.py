"""Turn a table of weights into drawn indices, in float64 and without a size limit.

Three draws share one signature, ``(weights, num_samples, generator) -> indices``:

* `systematic_draw`: every item as often as its share, rounded down or up; the default of training;
* `independent_draw`: with replacement, what ``torch.multinomial(..., replacement=True)`` means;
* `distinct_draw`: without replacement, what ``torch.multinomial(..., replacement=False)`` means.

None of them ever draws an item of weight zero. Their trusting twins stand in `DRAWS`: these take a
`WeightTable`, which exists only for weights that passed the checks, and give the indices block by block, so
that the first ones are there before the last ones are in order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from localmin.errors import InputError
from localmin.sampling.weight_table import WeightsLike, WeightTable, require_nonzero

__all__ = ["DRAWS", "distinct_draw", "independent_draw", "systematic_draw"]

# Tables are worked through in pieces whose buffers (8 bytes an item) stay in the second-level cache. The
# length is part of the algorithm: another one gives another order from the same generator.
_PIECE = 32_768
# Up to this many draws are shuffled in one go; more are first dealt out to blocks of about the second length,
# at most 256 of them (a block number is one byte).
_MAX_UNSPLIT = 524_288
_BLOCK = 131_072
# An expected count is a fixed-point number with at most this many binary digits after the point: so few
# that the rounding of N p_i vanishes (an expected count of 3 is exactly 3), so many that nobody can tell
# 2^-41 draws an epoch from none.
_MAX_FRACTION_BITS = 40


def systematic_draw(
    weights: WeightsLike,
    num_samples: int,
    generator: torch.Generator,
    *,
    dtype: torch.dtype = torch.int64,
) -> Int[Tensor, " num_samples"]:
    """Draw each item ``floor(N p_i)`` or ``ceil(N p_i)`` times, ``E[count_i] = N p_i``, and shuffle.

    One random offset decides all roundings, one random permutation the order. With equal weights and
    ``num_samples`` equal to n, an epoch is exactly a random permutation. Offset and permutation do not
    depend on the weights, so two tables under equally seeded generators meet the same chance.

    Expected counts are held in units of ``2^-40`` draws (``2^-b`` with ``N 2^b`` just below ``2^62`` when
    N is above ``2^22``), so cumulative sums are exact whatever their length, and the result does not
    depend on the processor or its number of threads. What that costs: expected counts are off by at most
    about n / 2 units (``6e-7`` draws for a million items), as a rule by far less, and an item that should
    come less than half a unit an epoch never comes. Systematic sampling rounds neighbours together: of
    two items with fractional expected counts the one may come only in epochs without the other.

    Args:
        weights: Drawing weights, shape ``(n,)``, finite, >= 0, not all zero; ``p = weights / sum``.
        num_samples: Number N of draws, >= 1; may be above or below n.
        generator: Source of the offset and of the order; on the CPU.
        dtype: ``torch.int64``, or ``torch.int32`` for half the memory.

    Returns:
        Indices into the weights in random order, shape ``(num_samples,)``.

    Source:
        Systematic sampling is classical; its fixed-point form is derived here.

    Cost:
        Two passes over the weights, two over the draws. Memory: 4 bytes a draw beside the result.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> systematic_draw([1.0, 0.0, 3.0], 4, generator).sort().values
        tensor([0, 2, 2, 2])
        >>> sorted(systematic_draw([0.1] * 5, 5, generator).tolist())
        [0, 1, 2, 3, 4]
    """
    table = WeightTable.of(weights)
    _check_request(len(table.values), num_samples, generator, dtype)
    return _joined(_draw_systematic(table, num_samples, generator), num_samples, dtype)


def independent_draw(
    weights: WeightsLike,
    num_samples: int,
    generator: torch.Generator,
    *,
    dtype: torch.dtype = torch.int64,
) -> Int[Tensor, " num_samples"]:
    """Draw ``num_samples`` times independently with ``P(i) = p_i`` (with replacement).

    Sorted uniform points come from sums of exponential variables, so that the cumulative weights are read
    in order instead of at random; the shuffle then makes the draws independent of their position.

    Args:
        weights: Drawing weights, shape ``(n,)``, finite, >= 0, not all zero; ``p = weights / sum``.
        num_samples: Number of draws, >= 1.
        generator: Source of the draws; on the CPU.
        dtype: ``torch.int64``, or ``torch.int32`` for half the memory.

    Returns:
        Indices into the weights, shape ``(num_samples,)``, independent and identically distributed up to
        the rounding of float64 sums of n terms.

    Source:
        Sorted uniforms as normalised sums of exponential variables: classical.

    Cost:
        One binary search a draw, in increasing order, and a shuffle. Memory: 8 bytes a weight and 12 a
        draw beside the result.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> independent_draw([0.0, 2.0], 3, generator)
        tensor([1, 1, 1])
    """
    table = WeightTable.of(weights)
    _check_request(len(table.values), num_samples, generator, dtype)
    return _joined(_draw_independent(table, num_samples, generator), num_samples, dtype)


def distinct_draw(
    weights: WeightsLike,
    num_samples: int,
    generator: torch.Generator,
    *,
    dtype: torch.dtype = torch.int64,
) -> Int[Tensor, " num_samples"]:
    """Draw distinct items one after the other, each with ``P(i) = w_i / sum of the weights left``.

    An exponential race: with ``E_i`` independent and exponential, the items in increasing order of
    ``log E_i - log w_i`` have exactly that law. Logarithms keep weights of any size apart.

    Args:
        weights: Drawing weights, shape ``(n,)``, finite, >= 0.
        num_samples: Number of draws, from 1 to the number of non-zero weights (more is an `InputError`).
        generator: Source of the draws; on the CPU.
        dtype: ``torch.int64``, or ``torch.int32`` for half the memory.

    Returns:
        Distinct indices, shape ``(num_samples,)``, in the order of drawing: large weights tend to come
        first. Where every non-zero weight is drawn, the weights act on the order alone.

    Source:
        Efraimidis and Spirakis 2006, *Weighted random sampling with a reservoir*, the race in its
        exponential form.

    Cost:
        n logarithms of two numbers and a selection of ``num_samples`` keys. Memory: 8 bytes a weight and
        up to 32 a draw.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> distinct_draw([5.0, 0.0, 1.0], 2, generator).sort().values
        tensor([0, 2])
    """
    table = WeightTable.of(weights)
    _check_request(len(table.values), num_samples, generator, dtype)
    require_nonzero(table.values, num_samples)
    return _joined(_draw_distinct(table, num_samples, generator), num_samples, dtype)


def _check_request(
    num_weights: int, num_samples: int, generator: torch.Generator, dtype: torch.dtype
) -> None:
    """Refuse what no draw can do."""
    if isinstance(num_samples, bool) or not isinstance(num_samples, int) or num_samples < 1:
        raise InputError(f"num_samples: expected a whole number >= 1, got {num_samples!r}")
    if generator.device.type != "cpu":
        raise InputError(
            f"generator: expected one on the CPU, got one on {generator.device}; indices are drawn on the CPU"
        )
    if dtype not in (torch.int32, torch.int64) or num_weights > torch.iinfo(dtype).max:
        raise InputError(
            f"dtype: expected torch.int64, or torch.int32 for fewer than 2^31 weights, got {dtype} "
            f"for {num_weights} weights"
        )


def _pieces(length: int) -> Iterator[slice]:
    """Cut ``range(length)`` into slices of one piece each."""
    return (slice(start, min(start + _PIECE, length)) for start in range(0, length, _PIECE))


def _index_dtype(num_weights: int, num_samples: int) -> torch.dtype:
    """Choose the narrowest integers that hold both an index and a position."""
    return torch.int32 if max(num_weights, num_samples) <= torch.iinfo(torch.int32).max else torch.int64


def _draw_systematic(table: WeightTable, num_samples: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Draw an offset and an order; everything else is arithmetic."""
    bits = min(_MAX_FRACTION_BITS, 62 - num_samples.bit_length())
    offset = int(torch.randint(1 << bits, (1,), generator=generator))
    items = _systematic_items(table, num_samples, bits, offset)
    return _in_random_order(items, generator)


def _systematic_items(
    table: WeightTable, num_samples: int, bits: int, offset: int
) -> Int[Tensor, " num_samples"]:
    """List the items drawn at one offset, in no particular order."""
    # Lay the items side by side on an axis that starts at the offset, item i with a whole number of units,
    # round(2^bits N p_i). An item is drawn once for every multiple of 2^bits in its interval (start, end]:
    # c or c + 1 times if it is between c and c + 1 multiples long, c times if it is exactly c long.
    # Rounding makes the axis a little too long or too short, so that at a few offsets in 2^bits one
    # multiple too many or too few is covered. Moving the offset by the difference mends just these.
    items = torch.empty(num_samples + 1, dtype=_index_dtype(len(table.values), num_samples))
    scale = float(num_samples << bits) / table.total
    end = _list_items(table.values, scale, bits, offset, items)
    if end >> bits != num_samples:
        shifted = offset + (num_samples << bits) - (end - offset)
        _list_items(table.values, scale, bits, shifted, items)
    return items[:num_samples]


def _list_items(values: Tensor, scale: float, bits: int, offset: int, items: Tensor) -> int:
    """Write the items drawn at one offset and tell where the axis ends."""
    # Multiplication, rounding and whole-number sums give the same bits on every processor.
    table, drawn = values.numpy(), items.numpy()
    expected = np.empty(min(_PIECE, len(table)))
    ends = torch.empty(len(expected), dtype=torch.int64)
    slots = np.zeros(len(expected) + 1, dtype=drawn.dtype)
    filled, position = 0, offset
    for piece in _pieces(len(table)):
        length = piece.stop - piece.start
        units = np.multiply(table[piece], scale, out=expected[:length])
        end = ends[:length].numpy()
        end[:] = np.rint(units, out=units)
        end[0] += position
        torch.cumsum(ends[:length], 0, out=ends[:length])
        position = int(end[-1]) & ((1 << bits) - 1)
        end >>= bits
        slots[1 : length + 1] = end
        num_drawn = int(slots[length])
        _list_piece(slots[: length + 1], piece.start, drawn[filled : filled + num_drawn])
        filled += num_drawn
    return (filled << bits) + position


def _list_piece(slots: np.ndarray, first_index: int, drawn: np.ndarray) -> None:
    """Write each item of a piece as often as its slots say: all drawn items once, then the repeats."""
    # numpy.repeat alone would do, but random zeros and ones defeat the branch prediction of its loop.
    counts = slots[1:] - slots[:-1]
    present = np.flatnonzero(counts > 0)
    drawn[: len(present)] = present
    if len(present) < len(drawn):
        repeated = np.flatnonzero(counts > 1)
        drawn[len(present) :] = np.repeat(repeated, counts.take(repeated) - 1)
    drawn += first_index


def _draw_independent(table: WeightTable, num_samples: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Look sorted uniform points up in the cumulative weights."""
    cumulative = table.values.cumsum(0)
    total = float(cumulative[-1])
    points = torch.empty(num_samples + 1, dtype=torch.float64).exponential_(generator=generator).cumsum_(0)
    points = points[:-1].mul_(total / float(points[-1])).clamp_(max=math.nextafter(total, 0.0))
    narrow = _index_dtype(len(cumulative), num_samples) == torch.int32
    # right=True finds the first item whose cumulative weight lies above the point: never a zero weight.
    items = torch.searchsorted(cumulative, points, right=True, out_int32=narrow)
    return _in_random_order(items, generator)


def _draw_distinct(table: WeightTable, num_samples: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Run the exponential race."""
    keys = torch.empty_like(table.values).exponential_(generator=generator).log_()
    for piece in _pieces(len(keys)):
        keys[piece] -= table.values[piece].log()
    items = torch.topk(keys, num_samples, largest=False, sorted=True).indices
    return iter((items.to(_index_dtype(len(keys), num_samples)),))


def _in_random_order(items: Int[Tensor, " num_samples"], generator: torch.Generator) -> Iterator[Tensor]:
    """Shuffle drawn items, with themselves as working memory: first between blocks, then within."""
    # Each item goes to a random block, each block into random order: every order has the same probability
    # (Rao 1961, Sandelius 1962). The second step fits into the cache and waits until a block's turn comes.
    bounds = np.array([[0, len(items)]])
    if len(items) > _MAX_UNSPLIT:
        num_blocks = min(256, 1 << ((len(items) - 1) // _BLOCK).bit_length())
        bounds = np.stack(
            [_deal_out(items[piece], num_blocks, generator) + piece.start for piece in _pieces(len(items))]
        )
    return _shuffled_blocks(items, bounds, generator)


def _deal_out(items: Int[Tensor, " piece"], num_blocks: int, generator: torch.Generator) -> np.ndarray:
    """Sort a piece by random block numbers, in place, and tell where each block's part begins and ends."""
    words = torch.empty(-(-len(items) // 8), dtype=torch.int64).random_(-(2**63), None, generator=generator)
    blocks = words.view(torch.uint8).numpy()[: len(items)] & np.uint8(num_blocks - 1)
    order = np.argsort(blocks, kind="stable")
    items.numpy()[:] = items.numpy().take(order)
    starts = np.searchsorted(blocks, np.arange(num_blocks, dtype=np.uint8), sorter=order)
    return np.append(starts, len(items))


def _shuffled_blocks(
    items: Int[Tensor, " num_samples"], bounds: np.ndarray, generator: torch.Generator
) -> Iterator[Tensor]:
    """Collect each block's parts and yield them in random order."""
    for block in range(bounds.shape[1] - 1):
        parts = [items[start:end] for start, end in bounds[:, block : block + 2].tolist()]
        collected = torch.cat(parts) if len(parts) > 1 else parts[0]
        order = torch.randperm(len(collected), generator=generator, dtype=torch.int32)
        yield collected.index_select(0, order)


def _joined(blocks: Iterator[Tensor], num_samples: int, dtype: torch.dtype) -> Int[Tensor, " num_samples"]:
    """Put the blocks of a draw into one tensor."""
    result, filled = torch.empty(num_samples, dtype=dtype), 0
    for block in blocks:
        result[filled : filled + len(block)] = block
        filled += len(block)
    return result


DRAWS: dict[str, Callable[[WeightTable, int, torch.Generator], Iterator[Tensor]]] = {
    "systematic": _draw_systematic,
    "independent": _draw_independent,
    "distinct": _draw_distinct,
}
