"""Least squares with a norm penalty on each row of the coefficients, to rounding."""

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["solve_group_lasso"]

_SWEEPS_A_ROUND = 5
_MAX_ROUNDS = 60
_STATIONARY_RELATIVE = 1e-13
_STAGNANT_RELATIVE = 1e-15


def solve_group_lasso(
    features: Float[Tensor, "n k"],
    targets: Float[Tensor, "n c"],
    penalty: float,
    start: Float[Tensor, "k c"],
) -> Float[Tensor, "k c"]:
    """Minimise ``(1/n) ||S V - Y||² + 2 penalty sum_j ||v_j||``.

    Sweeps over the rows find which are zero; Newton steps on the others bring the rest to rounding.

    Args:
        features: ``S``, shape ``(n, k)``, float64.
        targets: ``Y``, shape ``(n, c)``, float64.
        penalty: Above 0.
        start: Where to begin, shape ``(k, c)``.

    Returns:
        ``V``, rows that do not help exactly zero, shape ``(k, c)``.

    Source:
        Block coordinate descent and Newton's method, textbook.

    Cost:
        ``O(k² c)`` a sweep, ``O((k c)³)`` a Newton step on the rows in use.

    Example:
        >>> eye = torch.eye(2).double()
        >>> solve_group_lasso(eye, torch.tensor([[3.0], [0.5]]).double(), 0.5, torch.zeros(2, 1).double())
        tensor([[2.],
                [0.]], dtype=torch.float64)
    """
    if features.shape[1] == 0:
        return start
    num_points = features.shape[0]
    gram, inner = features.T @ features / num_points, features.T @ targets / num_points
    solution = start.clone()
    previous = float("inf")
    for _ in range(_MAX_ROUNDS):
        for _ in range(_SWEEPS_A_ROUND):
            change = _sweep(gram, inner, penalty, solution)
            if change <= _STATIONARY_RELATIVE:
                return solution
        for _ in range(20):
            if not _newton(gram, inner, penalty, solution):
                break
        objective = _objective(gram, inner, penalty, solution)
        if previous - objective <= _STAGNANT_RELATIVE * abs(objective):
            break
        previous = objective
    return solution


def _sweep(gram: Tensor, inner: Tensor, penalty: float, solution: Tensor) -> float:
    """One pass over the rows, in place; the largest relative change."""
    largest = 0.0
    for row in range(len(solution)):
        curvature = float(gram[row, row])
        if curvature == 0.0:
            solution[row] = 0.0
            continue
        rest = inner[row] - gram[row] @ solution + curvature * solution[row]
        length = float(rest.norm())
        updated = rest * (max(length - penalty, 0.0) / (max(length, 1e-300) * curvature))
        largest = max(largest, float((updated - solution[row]).abs().max()))
        solution[row] = updated
    return largest / max(float(solution.abs().max()), 1e-300)


def _objective(gram: Tensor, inner: Tensor, penalty: float, solution: Tensor) -> float:
    quadratic = (solution * (gram @ solution - 2 * inner)).sum()
    return float(quadratic + 2 * penalty * solution.norm(dim=1).sum())


def _newton(gram: Tensor, inner: Tensor, penalty: float, solution: Tensor) -> bool:
    """One damped Newton step on the rows that are not zero, in place; whether it lowered the objective."""
    used = torch.nonzero(solution.norm(dim=1) > 0).flatten()
    if len(used) == 0:
        return False
    rows = solution[used]
    lengths = rows.norm(dim=1, keepdim=True)
    unit = rows / lengths
    local = gram[used][:, used]
    gradient = 2 * (local @ rows - inner[used]) + 2 * penalty * unit
    num_rows, num_columns = rows.shape
    identity = torch.eye(num_columns, dtype=rows.dtype)
    hessian = 2 * torch.einsum("ij,ab->iajb", local, identity)
    bend = 2 * penalty / lengths[:, :, None] * (identity - unit[:, :, None] * unit[:, None, :])
    index = torch.arange(num_rows)
    hessian[index, :, index, :] += bend
    size = num_rows * num_columns
    matrix = hessian.reshape(size, size)
    matrix = matrix + 1e-13 * float(matrix.diagonal().max()) * torch.eye(size, dtype=rows.dtype)
    step = torch.linalg.solve(matrix, gradient.flatten()).reshape(rows.shape)
    before = _objective(gram, inner, penalty, solution)
    for exponent in range(13):
        moved = rows - 0.5**exponent * step
        # A row that would pass through zero stops there.
        moved[(moved * rows).sum(dim=1) <= 0] = 0.0
        candidate = solution.clone()
        candidate[used] = moved
        if _objective(gram, inner, penalty, candidate) < before:
            solution.copy_(candidate)
            return True
    return False
