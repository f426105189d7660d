"""Everything about a pair of networks at once: same function, distance, and which kinks differ."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from localmin.networks import ReLUNetwork
from localmin.realization.equality import FunctionEquality, same_function
from localmin.realization.invariants import default_tolerance, invariants_of
from localmin.realization.neurons import Neurons, as_network, read_neurons
from localmin.realization.seminorm import SeminormDistance, seminorm_distance

__all__ = ["Comparison", "KinkDifference", "compare_networks", "kink_differences"]


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
    """

    kind: Literal["only-a", "only-b", "both"]
    normal: tuple[float, ...]
    offset: float
    jump_a: tuple[float, ...]
    jump_b: tuple[float, ...]
    size: float


@dataclass(frozen=True, eq=False)
class Comparison:
    """What is known about a pair of networks.

    Args:
        equality: Same function or not, with evidence.
        seminorm: Distance of the gradients; None for networks with more than one hidden layer.
        differences: Kinks that differ, largest first; empty for deeper networks.
        num_common_kinks: Kinks that agree.
    """

    equality: FunctionEquality
    seminorm: SeminormDistance | None
    differences: tuple[KinkDifference, ...]
    num_common_kinks: int

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain lists and numbers."""
        return {
            "equality": self.equality.to_dict(),
            "seminorm": None if self.seminorm is None else self.seminorm.to_dict(),
            "differences": [asdict(each) for each in self.differences],
            "num_common_kinks": self.num_common_kinks,
        }


def compare_networks(
    a: ReLUNetwork | nn.Module, b: ReLUNetwork | nn.Module, *, max_work: int = 100_000_000
) -> Comparison:
    """Compare two networks: equality, distance, and the kinks that differ.

    Args:
        a: First network.
        b: Second network, same input and output sizes.
        max_work: As in `seminorm_distance`.

    Returns:
        The three answers; for networks with more than one hidden layer only the first.

    Cost:
        `same_function` and `seminorm_distance`.

    Example:
        >>> one = ReLUNetwork([torch.tensor([[1.0], [-1.0]]), torch.tensor([[1.0, 1.0]])])
        >>> two = ReLUNetwork([torch.tensor([[1.0]]), torch.tensor([[1.0]])])
        >>> found = compare_networks(one, two)
        >>> found.equality.verdict, found.seminorm.value, [kink.kind for kink in found.differences]
        ('different', 1.0, ['both'])
    """
    first, second = as_network(a), as_network(b)
    equality = same_function(first, second)
    if max(first.depth, second.depth) > 2:
        return Comparison(equality, None, (), 0)
    differences, num_common = kink_differences(first, second)
    seminorm = seminorm_distance(first, second, max_work=max_work)
    return Comparison(equality, seminorm, differences, num_common)


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
        differences.append(
            KinkDifference(
                kind="both" if is_in_a and is_in_b else "only-a" if is_in_a else "only-b",
                normal=tuple(found.normals[index].tolist()),
                offset=float(found.offsets[index]),
                jump_a=tuple(jumps_a[index].tolist()),
                jump_b=tuple(jumps_b[index].tolist()),
                size=float(gaps[index]),
            )
        )
    return tuple(differences), int((~differs).sum())


def _block_diagonal(first: Tensor, second: Tensor) -> Tensor:
    pad = torch.nn.functional.pad
    return torch.cat([pad(first, (0, second.shape[1])), pad(second, (first.shape[1], 0))])


def _largest(rows: Float[Tensor, "K outputs"]) -> Float[Tensor, " K"]:
    return rows.abs().amax(dim=1) if rows.numel() else rows.new_zeros(len(rows))
