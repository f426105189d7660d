"""Re-weighting the neurons of one layer: an L-optimal experimental design with a rigorous gap."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["DesignProblem", "DesignResult", "solve_design"]


@dataclass(frozen=True)
class DesignProblem:
    """Minimise the norm of two neighbouring layers over the weights ``alpha >= 0`` of the neurons between.

    ``F(alpha) = sum_j a_j alpha_j + Tr[T (sum_j alpha_j u_j u_jᵀ + v vᵀ)^+ Tᵀ]``, where ``u_j`` are the
    neurons' activations and ``v`` the bias column, both in any common coordinates;
    ``T`` holds the next pre-activations in the dual coordinates, so that ``T = W_next (u, v)``.

    Attributes:
        features: Rows ``u_j``, shape ``(m, r)``.
        bias_feature: ``v``, shape ``(r,)``; zero where the next layer has no bias.
        targets: ``T``, shape ``(k, r)``.
        costs: ``a_j > 0``, the squared norm of the weights into each neuron, shape ``(m,)``.
    """

    features: Float[Tensor, "m r"]
    bias_feature: Float[Tensor, " r"]
    targets: Float[Tensor, "k r"]
    costs: Float[Tensor, " m"]


@dataclass(frozen=True)
class DesignResult:
    """Weights found by `solve_design`.

    Attributes:
        weights: ``alpha``, shape ``(m,)``, not negative.
        value: ``F(alpha)``.
        lower_bound: A number that no design can go below.
        values: ``F`` after each step; never increases.
        lower_bounds: The bound after each step.
        optimality: ``q_j = ||G u_j|| / sqrt(a_j)``, shape ``(m,)``; 1 on the used neurons and at most 1 at
            an optimum.
    """

    weights: Float[Tensor, " m"]
    value: float
    lower_bound: float
    values: tuple[float, ...]
    lower_bounds: tuple[float, ...]
    optimality: Float[Tensor, " m"]

    @property
    def gap_relative(self) -> float:
        """``(F - bound) / F``; how far from optimal the weights can be at most."""
        return (self.value - self.lower_bound) / self.value if self.value > 0 else 0.0


@dataclass(frozen=True)
class _Point:
    weights: Tensor
    value: float
    optimality: Tensor
    lower_bound: float


def solve_design(
    problem: DesignProblem,
    *,
    weights: Float[Tensor, " m"] | None = None,
    gap_tolerance_relative: float = 1e-4,
    max_steps: int = 1000,
    accelerate: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> DesignResult:
    """Minimise the design functional by multiplicative steps ``alpha_j <- alpha_j q_j``.

    One step balances every neuron and then takes the smallest next layer with the same outputs; each half
    lowers the norm. Extrapolation of two steps (squared extrapolation in ``log alpha``) is kept only where
    it lowers F further, so F never increases.

    Args:
        problem: Features, targets and costs.
        weights: Start; all ones (the network as it is) by default.
        gap_tolerance_relative: Stop at this relative gap. The test "all q_j <= 1" alone would also pass
            where all weights are too large.
        max_steps: Limit on evaluations of F.
        accelerate: Extrapolate.
        progress: Called as ``progress(evaluations so far, max_steps)``.

    Returns:
        Weights with value, certified lower bound and history.

    Source:
        Derived here: F is the squared norm of two neighbouring layers after balance, convex in alpha; for
        ``G = T K^+``, ``P = Tr[T K^+ Tᵀ]`` and ``t <= 1 / max q`` every design has
        ``F >= 2 t P - t^2 ||G v||^2``. The multiplicative step is the one of optimal design (exponent 1/2).

    Cost:
        ``O(m r^2)`` a step, independent of the next width; deterministic.

    Example:
        >>> eye = torch.eye(2, dtype=torch.float64)
        >>> problem = DesignProblem(eye, torch.zeros(2).double(), 3 * eye, torch.ones(2).double())
        >>> result = solve_design(problem)
        >>> round(result.value, 6), round(result.lower_bound, 6), result.weights.round().tolist()
        (12.0, 12.0, [3.0, 3.0])
    """
    start = problem.costs.new_ones(problem.costs.shape) if weights is None else weights
    factor = torch.linalg.qr(problem.targets, mode="r").R  # same Gram matrix, at most r rows
    compressed = DesignProblem(problem.features, problem.bias_feature, factor, problem.costs)
    point = _evaluate(compressed, start)
    values, bounds = [point.value], [point.lower_bound]
    best_bound = point.lower_bound
    while len(values) < max_steps and point.value - best_bound > gap_tolerance_relative * point.value:
        point = _advance(compressed, point, accelerate)
        best_bound = max(best_bound, point.lower_bound)
        values.append(point.value)
        bounds.append(best_bound)
        if progress is not None:
            progress(len(values), max_steps)
    return DesignResult(
        point.weights, point.value, best_bound, tuple(values), tuple(bounds), point.optimality
    )


def _advance(problem: DesignProblem, point: _Point, accelerate: bool) -> _Point:
    first = _evaluate(problem, point.weights * point.optimality)
    if not accelerate:
        return _lower(point, first)
    second = _evaluate(problem, first.weights * first.optimality)
    step = point.optimality.clamp(min=1e-30).log()
    bend = first.optimality.clamp(min=1e-30).log() - step
    share = problem.costs * first.weights
    length = float((share @ step.square() / (share @ bend.square()).clamp(min=1e-300)).sqrt())
    best = _lower(point, _lower(first, second))
    if length <= 1.0:
        return best
    length = min(length, 64.0)
    logarithm = 2 * length * step + length**2 * bend
    jump = _evaluate(problem, point.weights * logarithm.clamp(-30.0, 5.0).exp())
    return _lower(best, _evaluate(problem, jump.weights * jump.optimality))


def _lower(first: _Point, second: _Point) -> _Point:
    return second if second.value <= first.value else first


def _evaluate(problem: DesignProblem, weights: Tensor) -> _Point:
    features, bias = problem.features, problem.bias_feature
    gram = features.T @ (weights[:, None] * features) + torch.outer(bias, bias)
    solved = _solve_positive(gram, problem.targets)
    if solved is None:
        infinite = float("inf")
        return _Point(weights, infinite, torch.ones_like(weights), -infinite)
    gain, trace = solved
    optimality = (features @ gain.T).norm(dim=1) / problem.costs.sqrt()
    value = float(problem.costs @ weights) + trace
    bias_part = float((gain @ bias).square().sum())
    scale = 1.0 / max(float(optimality.max()), 1e-300)
    if bias_part * scale > trace:
        scale = trace / bias_part
    return _Point(weights, value, optimality, 2 * scale * trace - scale**2 * bias_part)


def _solve_positive(gram: Tensor, targets: Tensor) -> tuple[Tensor, float] | None:
    # T K^+ and its trace with T; None where T leaves the range of K.
    factor, failed = torch.linalg.cholesky_ex(gram)
    diagonal = factor.diagonal()
    if int(failed) == 0 and float(diagonal.min()) > 1e-6 * float(diagonal.max()):
        half = torch.linalg.solve_triangular(factor, targets.T, upper=False)
        return torch.linalg.solve_triangular(factor.T, half, upper=True).T, float(half.square().sum())
    values, vectors = torch.linalg.eigh(gram)
    kept = values > 1e-13 * values[-1]
    coordinates = targets @ vectors
    if float(coordinates[:, ~kept].norm()) > 1e-7 * float(targets.norm()):
        return None
    scaled = coordinates[:, kept] / values[kept]
    return scaled @ vectors[:, kept].T, float((scaled * coordinates[:, kept]).sum())
