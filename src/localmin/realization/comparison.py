"""Everything about a pair of networks at once: same function, distance, and what differs."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from localmin.errors import ShapeError
from localmin.networks import ReLUNetwork
from localmin.realization.alignment import Alignment, align
from localmin.realization.deep_symmetries import NeuronMatch, match_neurons
from localmin.realization.equality import FunctionEquality, same_function
from localmin.realization.invariants import default_tolerance, invariants_of
from localmin.realization.neurons import Neurons, as_network, read_neurons
from localmin.realization.seminorm import SeminormDistance, seminorm_distance

__all__ = [
    "Comparison",
    "DataGap",
    "KinkDifference",
    "compare_networks",
    "kink_differences",
]

# Alignment solves a quartic for every pair of neurons of a layer.
_MAX_ALIGNED_PAIRS = 300_000


@dataclass(frozen=True)
class KinkDifference:
    """A hyperplane at which the gradients of two functions jump differently.

    Args:
        kind: In which network the gradient jumps there: "only-a", "only-b", or "both", by different amounts.
        normal: Unit normal.
        offset: ``beta`` of ``<normal, x> + beta = 0``.
        jump_a: Jump vector of the first function, zeros if it has none.
        jump_b: Jump vector of the second.
        size: Largest entry of ``jump_a - jump_b``.
        neurons_a: Neurons of the first network on this hyperplane, of either orientation.
        neurons_b: Neurons of the second.
    """

    kind: Literal["only-a", "only-b", "both"]
    normal: tuple[float, ...]
    offset: float
    jump_a: tuple[float, ...]
    jump_b: tuple[float, ...]
    size: float
    neurons_a: tuple[int, ...] = ()
    neurons_b: tuple[int, ...] = ()


@dataclass(frozen=True)
class DataGap:
    """How much two networks differ on given inputs.

    Args:
        num_rows: Number of inputs.
        largest: Largest difference of an output.
        mean: Mean over inputs of the largest difference of an output.
        same_prediction: Share of inputs whose largest output is the same one; NaN for a single output.
    """

    num_rows: int
    largest: float
    mean: float
    same_prediction: float


@dataclass(frozen=True, eq=False)
class Comparison:
    """What is known about a pair of networks.

    Args:
        equality: Same function or not, with evidence.
        seminorm: Distance of the gradients; None for networks with more than one hidden layer.
        differences: Kinks that differ, largest first; empty for deeper networks.
        num_common_kinks: Kinks that agree.
        neurons: Neurons matched layer by layer, and a bound of the difference; None for affine networks.
        alignment: The second network permuted and rescaled towards the first, with the distances of their
            parameters before and after; None for different architectures or very wide layers.
        on_data: Difference on given inputs, or None.
    """

    equality: FunctionEquality
    seminorm: SeminormDistance | None
    differences: tuple[KinkDifference, ...]
    num_common_kinks: int
    neurons: NeuronMatch | None = None
    alignment: Alignment | None = None
    on_data: DataGap | None = None

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain lists and numbers."""
        return {
            "equality": self.equality.to_dict(),
            "seminorm": None if self.seminorm is None else self.seminorm.to_dict(),
            "differences": [asdict(each) for each in self.differences],
            "num_common_kinks": self.num_common_kinks,
            "neurons": None if self.neurons is None else self.neurons.to_dict(),
            "alignment": None if self.alignment is None else self.alignment.to_dict(),
            "on_data": None if self.on_data is None else asdict(self.on_data),
        }


def compare_networks(
    a: ReLUNetwork | nn.Module,
    b: ReLUNetwork | nn.Module,
    *,
    x: Float[Tensor, "n d"] | None = None,
    tolerance_relative: float | None = None,
    max_work: int = 100_000_000,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Compare two networks: equality, distance, and the kinks and neurons that differ.

    Args:
        a: First network.
        b: Second network, same input and output sizes.
        x: Inputs on which outputs are compared too.
        tolerance_relative: As in `same_function`.
        max_work: As in `seminorm_distance`.
        seed: Of candidate witnesses and sampled bounds.
        progress: Told how far the exact semi-norm is, as in `seminorm_distance`.

    Returns:
        All answers; kinks and semi-norm for at most one hidden layer only.

    Raises:
        ShapeError: If sizes differ, or ``x`` does not fit.

    Cost:
        `same_function`, `seminorm_distance`, `match_neurons` and `align`.

    Example:
        >>> one = ReLUNetwork([torch.tensor([[1.0], [-1.0]]), torch.tensor([[1.0, 1.0]])])
        >>> two = ReLUNetwork([torch.tensor([[1.0]]), torch.tensor([[1.0]])])
        >>> found = compare_networks(one, two)
        >>> found.equality.verdict, found.seminorm.value, [kink.kind for kink in found.differences]
        ('different', 1.0, ['both'])
    """
    first, second = as_network(a), as_network(b)
    equality = same_function(first, second, tolerance_relative=tolerance_relative, seed=seed)
    is_deep = max(first.depth, second.depth) > 2
    differences, num_common = ((), 0) if is_deep else kink_differences(first, second)
    return Comparison(
        equality=equality,
        seminorm=None
        if is_deep
        else seminorm_distance(first, second, max_work=max_work, seed=seed, progress=progress),
        differences=differences,
        num_common_kinks=num_common,
        neurons=None if max(first.depth, second.depth) < 2 else match_neurons(first, second),
        alignment=_alignment(first, second),
        on_data=None if x is None else _data_gap(first, second, x),
    )


def kink_differences(
    a: ReLUNetwork | nn.Module, b: ReLUNetwork | nn.Module
) -> tuple[tuple[KinkDifference, ...], int]:
    """List the hyperplanes at which two functions have different kinks.

    Args:
        a: First network, at most one hidden layer.
        b: Second network, same sizes.

    Returns:
        The differences, largest first, and the number of kinks that agree.
    """
    tolerance = default_tolerance(a, b)
    first, second = read_neurons(a), read_neurons(b)
    # Side by side in the outputs: the kinks of (f_a, f_b) are those of either, grouped once.
    joint = Neurons(
        torch.cat([first.directions, second.directions]),
        _block_diagonal(first.outputs, second.outputs),
        torch.cat([first.affine, second.affine]),
        first.has_biases or second.has_biases,
    )
    found = invariants_of(joint, tolerance)
    num_outputs = first.num_outputs
    jumps_a, jumps_b = found.jumps[:, :num_outputs], found.jumps[:, num_outputs:]
    sizes_a, sizes_b = _largest(jumps_a), _largest(jumps_b)
    gaps, joint_sizes = _largest(jumps_a - jumps_b), torch.maximum(sizes_a, sizes_b)
    differs = gaps > tolerance * joint_sizes
    differences = []
    for index in torch.argsort(gaps, descending=True, stable=True).tolist():
        if not differs[index]:
            continue
        is_in_a = bool(sizes_a[index] > tolerance * joint_sizes[index])
        is_in_b = bool(sizes_b[index] > tolerance * joint_sizes[index])
        hyperplane = torch.nn.functional.normalize(found.lifted_normals[index], dim=0)
        differences.append(
            KinkDifference(
                kind="both" if is_in_a and is_in_b else "only-a" if is_in_a else "only-b",
                normal=tuple(found.normals[index].tolist()),
                offset=float(found.offsets[index]),
                jump_a=tuple(jumps_a[index].tolist()),
                jump_b=tuple(jumps_b[index].tolist()),
                size=float(gaps[index]),
                neurons_a=_neurons_on(first, hyperplane, tolerance),
                neurons_b=_neurons_on(second, hyperplane, tolerance),
            )
        )
    return tuple(differences), int((~differs).sum())


def _neurons_on(neurons: Neurons, hyperplane: Tensor, tolerance: float) -> tuple[int, ...]:
    units = torch.nn.functional.normalize(neurons.directions, dim=1)
    apart = torch.minimum(
        torch.linalg.vector_norm(units - hyperplane, dim=1),
        torch.linalg.vector_norm(units + hyperplane, dim=1),
    )
    # Clusters are chains, so a member may be a few tolerances from the mean.
    return tuple(torch.nonzero((apart <= 8 * tolerance) & (neurons.masses > 0))[:, 0].tolist())


def _alignment(first: ReLUNetwork, second: ReLUNetwork) -> Alignment | None:
    pairs = max((width**2 for width in first.widths[1:-1]), default=0)
    is_same = first.widths == second.widths and (first.biases is None) == (second.biases is None)
    return align(first, second) if is_same and pairs <= _MAX_ALIGNED_PAIRS else None


def _data_gap(first: ReLUNetwork, second: ReLUNetwork, x: Tensor) -> DataGap:
    if x.ndim != 2 or x.shape[1] != first.widths[0] or len(x) == 0:
        raise ShapeError(f"expected inputs of shape (n, {first.widths[0]}), n >= 1, got {tuple(x.shape)}")
    rows = x.detach().to("cpu", torch.float64)
    outputs = [net.to(dtype=torch.float64, device="cpu")(rows).detach() for net in (first, second)]
    gaps = _largest(outputs[0] - outputs[1])
    same = float("nan")
    if first.widths[-1] > 1:
        same = float((outputs[0].argmax(dim=1) == outputs[1].argmax(dim=1)).to(torch.float64).mean())
    return DataGap(len(rows), float(gaps.max()), float(gaps.mean()), same)


def _block_diagonal(first: Tensor, second: Tensor) -> Tensor:
    pad = torch.nn.functional.pad
    return torch.cat([pad(first, (0, second.shape[1])), pad(second, (first.shape[1], 0))])


def _largest(rows: Float[Tensor, "K outputs"]) -> Float[Tensor, " K"]:
    return rows.abs().amax(dim=1) if rows.numel() else rows.new_zeros(len(rows))
