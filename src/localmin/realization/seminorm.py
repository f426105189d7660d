"""The Lipschitz semi-norm of the difference of two networks, exactly."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from localmin.errors import InputError
from localmin.networks import ReLUNetwork
from localmin.numerics import as_generator
from localmin.realization.arrangements import arrangement_work, maximise_over_regions
from localmin.realization.invariants import Invariants, default_tolerance, invariants_of
from localmin.realization.neurons import Neurons, difference, read_neurons

__all__ = ["SeminormDistance", "seminorm", "seminorm_distance", "seminorm_work"]

_CHECK_TOLERANCE_RELATIVE = 1e-8


@dataclass(frozen=True, eq=False)
class SeminormDistance:
    """The semi-norm ``ess sup_x max_jk |d e_j / d x_k|`` of ``e = f_a - f_b``, or bounds of it.

    Args:
        value: The semi-norm if ``exact``, else the same as ``lower``. Output per input unit.
        lower: Attained at ``point``, found again there from the signs of the neurons.
        upper: Bound over all inputs.
        exact: All regions were covered and the point confirms the maximum, up to rounding.
        point: Input inside a region where the gradient of ``e`` has an entry of size ``lower``.
        output_index: Output of that entry.
        input_index: Input of that entry.
        num_kinks: Hyperplanes across which the gradient of ``e`` jumps.
        work: Steps that the exact enumeration takes.
        resolution: Semi-norms below this cannot be told from zero: the tolerance times the size of the
            neurons.
    """

    value: float
    lower: float
    upper: float
    exact: bool
    point: Float[Tensor, " d"]
    output_index: int
    input_index: int
    num_kinks: int
    work: int
    resolution: float

    def recheck(self, a: ReLUNetwork | nn.Module, b: ReLUNetwork | nn.Module) -> bool:
        """Compute the gradient entry at the point from both networks again and compare with ``lower``.

        Args:
            a: First network.
            b: Second network.

        Returns:
            True if the entry is as large as stated, up to rounding.
        """
        joint = difference(read_neurons(a), read_neurons(b))
        entry = _gradient(joint, self.point)[self.output_index, self.input_index].abs()
        return float(entry) >= self.lower - _CHECK_TOLERANCE_RELATIVE * max(self.lower, joint.scale)

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain lists and numbers."""
        return {**vars(self), "point": self.point.tolist()}


def seminorm_distance(
    a: ReLUNetwork | nn.Module,
    b: ReLUNetwork | nn.Module,
    *,
    max_work: int = 100_000_000,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> SeminormDistance:
    """Compute the semi-norm ``|f_a - f_b|`` in ``W^{1,infinity}``, the largest entry of the gradient.

    It ignores constants: two networks that differ by one are at distance zero. It is taken over all of
    the input space; without biases every neighbourhood of the origin gives the same. Kinks whose
    directions agree within 256 roundings of the coarser dtype count as one: in float32, turning a neuron
    by less than about 3e-5 does not show.

    Args:
        a: First network, at most one hidden layer, with or without biases.
        b: Second network, same input and output sizes.
        max_work: Most steps of the exact enumeration (about ``10**7`` a second for few outputs);
            `seminorm_work` tells them beforehand. Beyond, bounds are given: from below at
            random points, from above by the sum of all jumps.
        seed: Seed of those points.
        progress: Called with the planes done and their number.

    Returns:
        The semi-norm or bounds of it, with the point that attains the lower one.

    Raises:
        InputError: If a network is deeper, or ``max_work`` is not positive.

    Source:
        [berner2019] for the semi-norm (largest entry as the norm of a matrix is our choice); the
        algorithm is derived here.

    Cost:
        ``O(K (K choose r - 2) log K)`` for ``K`` kinks and ``r`` inputs, one more with biases.

    Example:
        >>> halves = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
        >>> absolute = ReLUNetwork([halves, halves.new_tensor([[1.0, 1.0]])])
        >>> identity = ReLUNetwork([halves, halves.new_tensor([[1.0, -1.0]])])
        >>> seminorm_distance(absolute, identity).value
        2.0
    """
    if max_work < 1:
        raise InputError(f"expected max_work >= 1, got {max_work}")
    joint = difference(read_neurons(a), read_neurons(b))
    found = invariants_of(joint, default_tolerance(a, b))
    resolution = default_tolerance(a, b) * joint.scale
    return _seminorm(joint, found, max_work, seed, progress, resolution)


def seminorm(network: ReLUNetwork | nn.Module, *, max_work: int = 100_000_000) -> SeminormDistance:
    """Compute the semi-norm of one network: its distance to the zero function.

    Args:
        network: At most one hidden layer.
        max_work: As in `seminorm_distance`.

    Returns:
        As in `seminorm_distance`.

    Example:
        >>> seminorm(ReLUNetwork([torch.tensor([[3.0, 1.0]]), torch.tensor([[2.0]])])).value
        6.0
    """
    neurons = read_neurons(network)
    zero = ReLUNetwork([neurons.affine.new_zeros(neurons.num_outputs, neurons.num_inputs)])
    return seminorm_distance(network, zero, max_work=max_work)


def seminorm_work(a: ReLUNetwork | nn.Module, b: ReLUNetwork | nn.Module) -> int:
    """Count the steps of the exact semi-norm before it is computed.

    Args:
        a: First network.
        b: Second network.

    Returns:
        Number to compare with ``max_work``.
    """
    joint = difference(read_neurons(a), read_neurons(b))
    return _work(invariants_of(joint, default_tolerance(a, b)))


def _seminorm(
    joint: Neurons,
    found: Invariants,
    max_work: int,
    seed: int,
    progress: Callable[[int, int], None] | None,
    resolution: float,
) -> SeminormDistance:
    normals, coefficients, offset, marker = _problem(found)
    shape = found.linear.shape
    if offset.numel() == 0:
        return SeminormDistance(0.0, 0.0, 0.0, True, found.linear.new_zeros(shape[1]), 0, 0, 0, 0, 0.0)
    work = _work(found)
    is_exact = work <= max_work
    if is_exact:
        best = maximise_over_regions(normals, coefficients, offset, marker=marker, progress=progress)
        point, upper = _made_generic(_unlifted(best.point, shape[1], marker), found, seed), best.value
    else:
        point = _best_random_point(joint, found, max_work // 100, seed)
        upper = float((offset.abs() + coefficients.abs().sum(dim=0)).max())
    gradient = _gradient(joint, point).abs()
    lower = float(gradient.max())
    output_index, input_index = divmod(int(gradient.argmax()), shape[1])
    slack = _CHECK_TOLERANCE_RELATIVE * max(upper, float(offset.abs().max()))
    is_confirmed = abs(lower - upper) <= slack
    return SeminormDistance(
        value=upper if is_exact and is_confirmed else lower,
        lower=min(lower, upper),
        upper=upper,
        exact=is_exact and is_confirmed,
        point=point,
        output_index=output_index,
        input_index=input_index,
        num_kinks=found.num_kinks,
        work=work,
        resolution=resolution,
    )


def _problem(found: Invariants) -> tuple[Tensor, Tensor, Tensor, int | None]:
    # Entries of (linear + sum sigma_h v_h hᵀ) / 2; with offsets, the cone over the plane x_{d+1} = 1.
    coefficients = torch.einsum("ko,kd->kod", found.jumps, found.normals).flatten(1) / 2
    offset = found.linear.flatten() / 2
    if not (found.offsets != 0).any():
        return found.normals, coefficients, offset, None
    infinity = torch.zeros(1, found.normals.shape[1] + 1, dtype=torch.float64)
    infinity[0, -1] = 1.0
    normals = torch.cat([found.lifted_normals, infinity])
    return normals, torch.cat([coefficients, torch.zeros_like(coefficients[:1])]), offset, found.num_kinks


def _work(found: Invariants) -> int:
    num_hyperplanes = found.num_kinks + int((found.offsets != 0).any())
    dimension = found.normals.shape[1] + int((found.offsets != 0).any())
    return arrangement_work(num_hyperplanes, min(dimension, num_hyperplanes))


def _unlifted(point: Tensor, num_inputs: int, marker: int | None) -> Tensor:
    return point if marker is None else point[:num_inputs] / point[num_inputs]


def _made_generic(point: Tensor, found: Invariants, seed: int) -> Tensor:
    # The region's point may lie on hyperplanes whose neurons cancel; there the signs would mislead.
    turn = torch.randn(len(point), generator=as_generator(seed), dtype=torch.float64)
    heights = (found.normals @ point + found.offsets).abs()
    steps = heights / (found.normals @ turn).abs().clamp_min(1e-300)
    room = 1.0 + float(torch.linalg.vector_norm(point))
    return point + turn * min(room, float(steps.min()) if len(steps) else room) / 4


def _gradient(neurons: Neurons, x: Tensor) -> Tensor:
    active = neurons.directions[:, :-1] @ x + neurons.directions[:, -1] > 0
    gradient: Tensor = neurons.affine[:, :-1] + neurons.outputs[active].T @ neurons.directions[active, :-1]
    return gradient


def _best_random_point(joint: Neurons, found: Invariants, max_work: int, seed: int) -> Tensor:
    generator = as_generator(seed)
    num_inputs = found.normals.shape[1]
    num_points = min(max(max_work // max(found.num_kinks, 1), 64), 4096)
    points = torch.randn(num_points, num_inputs, generator=generator, dtype=torch.float64)
    radius = 1.0 + (float(found.offsets.abs().median()) if found.num_kinks else 0.0)
    # Far points see the directions alone, near ones the offsets too.
    points = torch.cat([radius * points, 1e3 * radius * points])
    active = (points @ joint.directions[:, :-1].T + joint.directions[:, -1] > 0).to(torch.float64)
    slopes = torch.einsum("mo,md->mod", joint.outputs, joint.directions[:, :-1]).flatten(1)
    values = (active @ slopes + joint.affine[:, :-1].flatten()).abs().amax(dim=1)
    return points[int(values.argmax())]
