"""Maximise over the regions of a central hyperplane arrangement, without listing the regions.

Every region of an arrangement of rank ``r`` has a two-dimensional face, which lies in a plane that ``r - 2``
of the hyperplanes cut out. So it is enough to walk once around each such plane: the hyperplanes that
cross it flip one after the other, and those that contain it (exactly ``r - 2`` in general position) may
take every sign. That is ``K choose (r - 2)`` walks of ``K`` steps. If more hyperplanes contain a plane,
their signs are those of the regions of a smaller arrangement, and the method calls itself.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["RegionMaximum", "arrangement_work", "maximise_over_regions"]

Progress = Callable[[int, int], None]

# A normal whose part within a plane is shorter than this belongs to a hyperplane that contains the plane.
_ON_PLANE = 1e-9
_ROUNDINGS = 64 * torch.finfo(torch.float64).eps
_BATCH_ENTRIES = 4_000_000


@dataclass(frozen=True, eq=False)
class RegionMaximum:
    """The largest entry over all regions, and where it is attained.

    Args:
        value: ``max |offset_q + sum_k sigma_k coefficients_kq|`` over entries and realised sign vectors.
        entry: Index ``q`` of the entry.
        point: A point inside the region, shape ``(r,)``.
    """

    value: float
    entry: int
    point: Float[Tensor, " r"]


@dataclass(frozen=True, eq=False)
class _Found:
    value: float
    entry: int
    # Where: a direction inside the plane, and a displacement that leaves it to give the others their signs.
    direction: Tensor
    displacement: Tensor
    num_on_plane: int


def arrangement_work(num_hyperplanes: int, rank: int) -> int:
    """Count the steps of `maximise_over_regions` in general position, ``K * (K choose (r - 2))``.

    Args:
        num_hyperplanes: ``K``.
        rank: Rank ``r`` of the normals.

    Returns:
        Steps; each costs a handful of operations for each entry.

    Example:
        >>> arrangement_work(30, 3)
        900
    """
    if num_hyperplanes <= rank:
        return num_hyperplanes
    return num_hyperplanes * math.comb(num_hyperplanes, max(rank - 2, 0))


def maximise_over_regions(
    normals: Float[Tensor, "K r"],
    coefficients: Float[Tensor, "K q"],
    offset: Float[Tensor, " q"],
    *,
    marker: int | None = None,
    progress: Progress | None = None,
) -> RegionMaximum:
    """Maximise ``|offset_q + sum_k sigma_k coefficients_kq|`` over entries ``q`` and regions ``sigma``.

    ``sigma_k = sign <normal_k, x>`` runs over the sign vectors of points on no hyperplane. Sign vectors that
    no point has do not count. Hyperplanes that meet within rounding count as meeting.

    Args:
        normals: Pairwise not parallel, not zero, float64.
        coefficients: One row for each hyperplane.
        offset: Constant part.
        marker: Index of a hyperplane whose sign must be +1; its coefficients must be zero. It turns an
            affine arrangement, lifted by one coordinate, into a central one.
        progress: Called with the planes done and their number.

    Returns:
        The maximum with a point of the region.

    Cost:
        `arrangement_work` steps; memory bounded by batching.

    Example:
        >>> cross = torch.eye(2, dtype=torch.float64)
        >>> maximise_over_regions(cross, cross, torch.tensor([0.0, 0.5], dtype=torch.float64)).value
        1.5
    """
    num_hyperplanes, dimension = normals.shape
    if num_hyperplanes == 0:
        return RegionMaximum(*_largest(offset.abs()), torch.zeros(dimension, dtype=torch.float64))
    units = normals / torch.linalg.vector_norm(normals, dim=1, keepdim=True)
    _, values, right = torch.linalg.svd(units, full_matrices=False)
    # Two hyperplanes that differ at all span a plane, however close they are.
    rank = max(int((values > _ON_PLANE * values[0]).sum()), min(2, num_hyperplanes, dimension))
    span = right[:rank]
    found = _maximise(units @ span.T, coefficients, offset, marker, progress)
    return RegionMaximum(found.value, found.entry, found.point @ span)


def _maximise(
    units: Tensor, coefficients: Tensor, offset: Tensor, marker: int | None, progress: Progress | None
) -> RegionMaximum:
    num_hyperplanes, rank = units.shape
    if num_hyperplanes == rank:
        return _independent(units, coefficients, offset, marker)
    num_planes = math.comb(num_hyperplanes, rank - 2)
    batch_size = max(1, _BATCH_ENTRIES // (num_hyperplanes * (coefficients.shape[1] + rank)))
    best: _Found | None = None
    seen: set[tuple[int, ...]] = set()
    subsets = itertools.combinations(range(num_hyperplanes), rank - 2)
    num_done = 0
    for batch in _batches(subsets, batch_size):
        planes = _planes(units, batch)
        found = _walk(units, coefficients, offset, marker, planes, best, seen)
        if found is not None:
            best = found
        num_done += len(batch)
        if progress is not None:
            progress(num_done, num_planes)
    assert best is not None, "some subset of the normals spans, so some plane exists"
    return RegionMaximum(best.value, best.entry, _combine(units, best))


def _independent(units: Tensor, coefficients: Tensor, offset: Tensor, marker: int | None) -> RegionMaximum:
    # Linearly independent hyperplanes realise every sign vector.
    value, entry = _largest(offset.abs() + coefficients.abs().sum(dim=0))
    side = -1.0 if offset[entry] < 0 else 1.0
    signs = torch.where(coefficients[:, entry] * side < 0, -1.0, 1.0).to(torch.float64)
    if marker is not None:
        signs[marker] = 1.0
    point: Tensor = torch.linalg.solve(units, signs)
    return RegionMaximum(value, entry, point)


def _planes(units: Tensor, subsets: list[tuple[int, ...]]) -> Tensor:
    # Orthonormal bases (n, 2, r) of the planes orthogonal to independent subsets of the normals.
    rank = units.shape[1]
    if rank == 2:
        return torch.eye(2, dtype=torch.float64)[None]
    chosen = units[torch.tensor(subsets)].transpose(1, 2)
    bases, triangles = torch.linalg.qr(chosen, mode="complete")
    smallest = triangles[:, : rank - 2].diagonal(dim1=1, dim2=2).abs().amin(dim=1)
    planes: Tensor = bases[smallest > _ON_PLANE][:, :, rank - 2 :].transpose(1, 2)
    return planes


def _walk(
    units: Tensor,
    coefficients: Tensor,
    offset: Tensor,
    marker: int | None,
    planes: Tensor,
    best: _Found | None,
    seen: set[tuple[int, ...]],
) -> _Found | None:
    """Walk around planes; give the best find if it beats ``best``, else None."""
    if len(planes) == 0:
        return None
    rank = units.shape[1]
    parts = torch.einsum("kr,nir->nki", units, planes)
    lengths = torch.linalg.vector_norm(parts, dim=2)
    is_on = lengths <= _ON_PLANE
    angles = torch.atan2(parts[..., 1], parts[..., 0])
    # A hyperplane is crossed at right angles to its normal; angles count modulo pi, as -x follows from x.
    starts_positive = (angles >= -math.pi / 2) & (angles < math.pi / 2)
    crossings = torch.where(
        starts_positive, angles, torch.where(angles < 0, angles + math.pi, angles - math.pi)
    )
    crossings = torch.where(is_on, math.inf, crossings + math.pi / 2)
    signs = torch.where(is_on, 0.0, torch.where(starts_positive, 1.0, -1.0).to(torch.float64))
    crossings, order = torch.sort(crossings, dim=1)
    signs = signs.gather(1, order)
    errors = (_ROUNDINGS / lengths.clamp_min(_ON_PLANE)).gather(1, order)
    num_off = (~is_on).sum(dim=1)

    sums = signs[..., None] * coefficients[order]
    totals = sums.sum(dim=1, keepdim=True) - 2 * (sums.cumsum(dim=1) - sums)
    # Interval k ends at crossing k; interval 0 starts where the last crossing was, half a turn before.
    last = (num_off - 1).clamp_min(0)[:, None]
    starts = torch.cat([crossings.gather(1, last) - math.pi, crossings[:, :-1]], dim=1)
    start_errors = torch.cat([errors.gather(1, last), errors[:, :-1]], dim=1)
    position = torch.arange(units.shape[0])
    is_open = (position < num_off[:, None]) & (crossings - starts > errors + start_errors)
    if marker is None:
        halves = [(1.0, is_open), (-1.0, is_open)]
    else:
        marker_position = (order == marker).to(torch.int64).argmax(dim=1, keepdim=True)
        marker_start = signs.gather(1, marker_position)
        marker_sign = torch.where(position <= marker_position, marker_start, -marker_start)
        halves = [(half, is_open & ((marker_sign == half) | (marker_start == 0))) for half in (1.0, -1.0)]
    free = is_on.to(torch.float64) @ coefficients.abs()
    improved: _Found | None = None
    for half, allowed in halves:
        values = (offset + half * totals).abs() + free[:, None]
        values = torch.where(allowed[..., None], values, -1.0)
        generic = is_on.sum(dim=1) == rank - 2
        for value, plane, interval, entry in _candidates(values, generic):
            current = improved or best
            if current is not None and value <= current.value:
                break
            middle = float(starts[plane, interval] + crossings[plane, interval]) / 2
            turn = torch.tensor([math.cos(middle), math.sin(middle)], dtype=torch.float64)
            direction = half * turn @ planes[plane]
            on_plane = is_on[plane]
            base = offset + half * totals[plane, interval]
            if generic[plane]:
                local_marker = _local_index(on_plane, marker)
                displacement = _free_displacement(
                    units[on_plane], coefficients[on_plane, entry], float(base[entry]), local_marker
                )
                improved = _Found(value, entry, direction, displacement, int(on_plane.sum()))
                break
            key = (*torch.nonzero(on_plane)[:, 0].tolist(), *torch.sign(units @ direction).tolist())
            if key in seen:
                continue
            seen.add(key)
            local = maximise_over_regions(
                units[on_plane], coefficients[on_plane], base, marker=_local_index(on_plane, marker)
            )
            if current is None or local.value > current.value:
                improved = _Found(local.value, local.entry, direction, local.point, int(on_plane.sum()))
    return improved


def _candidates(values: Tensor, generic: Tensor) -> Iterator[tuple[float, int, int, int]]:
    """Yield (value, plane, interval, entry), best first; degenerate planes once for each interval."""
    num_intervals, num_entries = values.shape[1:]
    exact = torch.where(generic[:, None, None], values, -1.0)
    value, index = _largest(exact.flatten())
    found = []
    if value >= 0:
        plane, rest = divmod(index, num_intervals * num_entries)
        found.append((value, plane, *divmod(rest, num_entries)))
    if not generic.all():
        bounds, entries = torch.where(generic[:, None, None], -1.0, values).max(dim=2)
        for plane, interval in torch.nonzero(bounds >= 0).tolist():
            found.append((float(bounds[plane, interval]), plane, interval, int(entries[plane, interval])))
    yield from sorted(found, reverse=True)


def _free_displacement(units: Tensor, coefficients: Tensor, base: float, marker: int | None) -> Tensor:
    if len(units) == 0:
        return torch.zeros(units.shape[1], dtype=torch.float64)
    signs = torch.where(coefficients * (-1.0 if base < 0 else 1.0) < 0, -1.0, 1.0).to(torch.float64)
    if marker is not None:
        signs[marker] = 1.0
    displacement: Tensor = torch.linalg.lstsq(units, signs[:, None], driver="gelsd").solution[:, 0]
    return displacement


def _combine(units: Tensor, found: _Found) -> Tensor:
    # Leave the plane by so little that no other hyperplane is crossed.
    heights = (units @ found.direction).abs()
    drops = (units @ found.displacement).abs()
    crosses = (heights > _ON_PLANE) & (drops > 0)
    if found.num_on_plane == 0 or not crosses.any():
        return found.direction + found.displacement
    step = 0.5 * float((heights[crosses] / drops[crosses]).min())
    return found.direction + step * found.displacement


def _local_index(is_member: Tensor, index: int | None) -> int | None:
    if index is None or not is_member[index]:
        return None
    return int(is_member[:index].sum())


def _largest(values: Tensor) -> tuple[float, int]:
    if values.numel() == 0:
        return 0.0, 0
    index = int(values.argmax())
    return float(values[index]), index


def _batches(subsets: Iterator[tuple[int, ...]], size: int) -> Iterator[list[tuple[int, ...]]]:
    while batch := list(itertools.islice(subsets, size)):
        yield batch
