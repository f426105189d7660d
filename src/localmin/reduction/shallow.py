"""Two-layer L2-regularised ReLU networks trained to a certified global gap."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.errors import InputError, ShapeError
from localmin.networks import ReLUNetwork
from localmin.reduction.group_lasso import solve_group_lasso
from localmin.reduction.neuron_search import NeuronSearch
from localmin.reduction.neuron_turning import turn_neurons

__all__ = ["ShallowSolution", "solve_shallow"]

_MAX_NEW_NEURONS = 16


@dataclass(frozen=True)
class ShallowSolution:
    """Result of `solve_shallow`.

    Attributes:
        network: Two layers, no biases, float64.
        value: Its regularised loss.
        lower_bound: No two-layer network of any width has a smaller loss.
        gap_relative: ``(value - lower_bound) / value``.
        num_iterations: Times that neurons were added.
        num_cells: Activation patterns visited; 0 where there are too many and the bound is a coarse one.
        status: "optimal": the gap is within the tolerance. "stalled": no neuron that helps was found, but
            the bound does not prove that there is none. "limit": iterations ran out.
    """

    network: ReLUNetwork
    value: float
    lower_bound: float
    gap_relative: float
    num_iterations: int
    num_cells: int
    status: str

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain values, with the width instead of the network."""
        plain = {name: value for name, value in vars(self).items() if name != "network"}
        return {**plain, "width": self.network.widths[1]}


def solve_shallow(
    x: Float[Tensor, "n inputs"],
    y: Float[Tensor, "n outputs"],
    penalty: float,
    *,
    gap_tolerance_relative: float = 1e-8,
    max_iterations: int = 100,
    max_cells: int = 4000,
    seed: int = 0,
) -> ShallowSolution:
    """Minimise ``(1/n) sum of squares + penalty * squared norm`` over two-layer ReLU networks of any width.

    After balance the problem is convex in the measure over neurons: unit neurons ``u_j`` with outgoing
    vectors ``v_j`` cost ``2 penalty ||v_j||``. Neurons are added where the residual R asks for them, and
    the restricted problem is solved to rounding. Any upper bound Q on ``||Rᵀ relu(X u)||`` gives the
    lower bound ``(2t/n) <R, Y> - (t²/n) ||R||²`` for ``t <= n penalty / Q``.

    Args:
        x: Inputs, shape ``(n, d)``. Add a column of ones for a (regularised) bias in the first layer.
        y: Targets, shape ``(n, c)`` or ``(n,)``.
        penalty: Factor of the squared norm of all weights, above 0. From torch's ``weight_decay = w`` on
            this loss: ``w / 2``.
        gap_tolerance_relative: Stop at this certified gap.
        max_iterations: Limit on rounds of adding neurons.
        max_cells: The bound is sharp if the points cut the input space into at most this many cells;
            always so for few points or inputs of small rank.
        seed: Seed of the search where cells are too many.

    Returns:
        Network, value and certified bound.

    Raises:
        ShapeError: If shapes do not fit.
        InputError: If the penalty is not above 0 or entries are not finite.

    Source:
        Derived here; the restricted problem is the convex two-layer problem of Jacot et al. 2022 (their
        covariance form is jointly convex for two layers). The second bound is by the nuclear norm:
        ``||W||² >= 2 ||f(X)||_* / ||X||_2``.

    Cost:
        Number of cells about ``2 n^(rank - 1)``, each a small singular value decomposition a round.

    Example:
        >>> x, y = torch.tensor([[1.0], [-1.0]]), torch.tensor([[1.0], [1.0]])
        >>> solution = solve_shallow(x, y, 0.05)
        >>> round(solution.value, 9), round(solution.lower_bound, 9), solution.network.widths
        (0.19, 0.19, (1, 2, 1))
    """
    inputs, targets = _check(x, y, penalty)
    num_points = inputs.shape[0]
    search = NeuronSearch(inputs, max_cells=max_cells, seed=seed)
    directions = inputs.new_zeros(0, inputs.shape[1])
    outgoing = targets.new_zeros(0, targets.shape[1])
    bound, status = _nuclear_bound(inputs, targets, penalty), "limit"
    value = float(targets.square().sum()) / num_points
    num_iterations = 0
    while True:
        features = torch.relu(inputs @ directions.T)
        outgoing = solve_group_lasso(features, targets, penalty, outgoing)
        directions, outgoing = turn_neurons(inputs, targets, penalty, directions, outgoing)
        features = torch.relu(inputs @ directions.T)
        outgoing = solve_group_lasso(features, targets, penalty, outgoing)
        residual = targets - features @ outgoing
        value = float(residual.square().sum()) / num_points + 2 * penalty * float(outgoing.norm(dim=1).sum())
        found = search.strongest(residual.T)
        bound = max(bound, _dual_bound(residual, targets, penalty, found.upper_bound))
        if value - bound <= gap_tolerance_relative * value:
            status = "optimal"
            break
        if num_iterations == max_iterations:
            break
        helpful = found.directions[found.strengths > num_points * penalty * (1 + 1e-11)]
        used = outgoing.norm(dim=1) > 0
        fresh = _without_copies(helpful[:_MAX_NEW_NEURONS], directions[used])
        if len(fresh) == 0:
            status = "stalled"
            break
        num_iterations += 1
        directions = torch.cat([directions[used], fresh])
        outgoing = torch.cat([outgoing[used], outgoing.new_zeros(len(fresh), outgoing.shape[1])])
    network = _network(directions, outgoing)
    gap = (value - bound) / value if value > 0 else 0.0
    return ShallowSolution(network, value, bound, gap, num_iterations, search.num_cells, status)


def _check(x: Tensor, y: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    targets = y[:, None] if y.ndim == 1 else y
    if x.ndim != 2 or targets.ndim != 2 or x.shape[0] != targets.shape[0] or x.shape[0] == 0:
        raise ShapeError(
            f"expected x (n, d) and y (n, c) with n >= 1, got {tuple(x.shape)}, {tuple(y.shape)}"
        )
    if not penalty > 0:
        raise InputError(
            f"expected a penalty above 0, got {penalty}; without one the minimum is zero or absent"
        )
    if not bool(torch.isfinite(x).all() and torch.isfinite(y).all()):
        raise InputError("x and y: every entry must be finite, got NaN or infinity")
    return x.detach().double().cpu(), targets.detach().double().cpu()


def _dual_bound(residual: Tensor, targets: Tensor, penalty: float, strength: float) -> float:
    num_points = residual.shape[0]
    square, inner = float(residual.square().sum()), float((residual * targets).sum())
    if square == 0.0:
        return 0.0
    scale = max(min(inner / square, num_points * penalty / strength if strength > 0 else float("inf")), 0.0)
    return (2 * scale * inner - scale**2 * square) / num_points


def _nuclear_bound(inputs: Tensor, targets: Tensor, penalty: float) -> float:
    norm = float(torch.linalg.matrix_norm(inputs, 2))
    num_points = inputs.shape[0]
    if norm == 0.0:
        return float(targets.square().sum()) / num_points
    values = torch.linalg.svdvals(targets)
    kept = (values - num_points * penalty / norm).clamp(min=0.0)
    return float(((values - kept).square() / num_points + 2 * penalty / norm * kept).sum())


def _without_copies(fresh: Tensor, known: Tensor) -> Tensor:
    chosen: list[Tensor] = []
    for direction in fresh:
        others = torch.cat([known, torch.stack(chosen)]) if chosen else known
        if len(others) == 0 or float((others - direction).norm(dim=1).min()) > 1e-9:
            chosen.append(direction)
    return torch.stack(chosen) if chosen else fresh[:0]


def _network(directions: Tensor, outgoing: Tensor) -> ReLUNetwork:
    norms = outgoing.norm(dim=1)
    used = norms > 0
    roots = norms[used].sqrt()
    return ReLUNetwork([directions[used] * roots[:, None], (outgoing[used] / roots[:, None]).T.contiguous()])
