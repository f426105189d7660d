"""What kind of point an objective stands at: a verdict with a witness, for any twice differentiable model."""

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from localmin.certification.certificate import Certificate
from localmin.certification.global_theorems import (
    certify_convex,
    certify_deep_linear,
    is_known_convex,
    known_gap,
)
from localmin.certification.held_out import confirm_on_held_out
from localmin.certification.kinks import find_kinks
from localmin.certification.newton_check import check_newton_step
from localmin.certification.on_a_kink import certify_on_kink, kink_tolerance
from localmin.certification.open_questions import open_questions
from localmin.certification.spectrum_search import SpectrumSearch, search_spectrum
from localmin.errors import InputError
from localmin.numerics import as_generator
from localmin.objective import HessianOperator, Objective
from localmin.tasks.environment import versions

__all__ = ["certify"]

_SMALLEST_BUDGET = 10


def certify(
    objective: Objective,
    *,
    gradient_tolerance: float = 1e-3,
    max_hvps: int = 1000,
    seed: int | torch.Generator = 0,
    value_lower_bound: float | None = None,
    value_tolerance: float = 1e-9,
    curvature_tolerance: float = 0.0,
    failure_probability: float = 1e-6,
    convex: bool = False,
    held_out: Objective | None = None,
    on_product: Callable[[int], None] | None = None,
) -> Certificate:
    """Say whether the point is critical, a saddle, a minimum, or that this budget cannot tell.

    The gradient is compared with its tolerance first. Then negative curvature is searched for, and the search
    stops at the first direction that a product of its own confirms. If there is none, the smallest eigenvalue
    is bounded from below: by the dense Hessian where the budget covers it (up to 3000 parameters), else by
    Lanczos from random starts with a stated failure probability. A small negative eigenvalue
    that the budget cannot exclude makes the verdict "undecided". Positive semi-definite is not called
    a minimum: over-parametrised models have flat directions, and degenerate saddles look alike.

    Theorems come first where they apply: convex objectives (declared, or one linear layer under a convex
    loss), and deep linear networks under the squared error (`classify_deep_linear`). On a kink of a two-layer
    ReLU network all pieces around the point are examined by one-sided derivatives.

    Args:
        objective: Stands at the point in question; float64 is advised, because the margin grows with
            rounding.
        gradient_tolerance: Gradient norm, loss per unit of parameter, up to which the point counts as
            critical.
        max_hvps: Budget of Hessian-vector products, at least 10. A dense Hessian of n parameters takes ``1.2
            n``.
        seed: Integer or CPU generator for the random starts.
        value_lower_bound: A number that the objective is known to be never below, such as 0 for a squared
            loss; where it is attained the verdict is "global-minimum".
        value_tolerance: Distance from that bound that counts as attained, absolute.
        curvature_tolerance: Negative curvature, absolute, that does not count: with ``ε`` a
            "second-order-point" has no curvature below ``-ε``, and a saddle must have some.
        failure_probability: For lower bounds by Lanczos.
        convex: Whether the objective is known to be convex; a critical point is then a global minimum.
        held_out: The same objective over other examples from the same population, standing at the same point.
            A saddle must then have negative curvature there too, beyond three standard errors.
        on_product: Told the number of products so far, after each.

    Returns:
        The certificate; `Certificate.recheck` repeats the evidence with one product.

    Raises:
        InputError: If an option is out of range, the model cannot be differentiated twice, the objective is
            below ``value_lower_bound``, or is declared convex and is not.
        ShapeError: If ``held_out`` has other parameters.

    Source:
        Derived here from the second-order conditions; sources of the bounds stand at the steps.

    Cost:
        Two values, one gradient, at most ``max_hvps`` products. Deterministic for a seed.

    Example:
        >>> saddle = Objective.from_function(lambda p: p[0] ** 2 - 0.1 * p[1] ** 2, torch.zeros(2).double())
        >>> certificate = certify(saddle)
        >>> certificate.verdict, round(certificate.curvature, 9), certificate.recheck(saddle).holds
        ('strict-saddle', -0.2, True)
        >>> certify(Objective.from_function(lambda p: (p**2).sum(), torch.zeros(2).double())).verdict
        'local-minimum'
        >>> certify(Objective.from_function(lambda p: (p**3).sum(), torch.zeros(2).double())).verdict
        'second-order-point'
    """
    if not isinstance(objective, Objective):
        raise InputError(
            f"expected a localmin.Objective, got {type(objective).__name__}; "
            "build one with Objective(model, loss, (x, y)) or Objective.from_function"
        )
    _check_options(gradient_tolerance, max_hvps, value_tolerance, curvature_tolerance, failure_probability)
    generator = as_generator(seed)
    value, gradient = objective.value(), objective.gradient().double().cpu()
    blank = Certificate(
        verdict="undecided",
        reason="",
        method="none",
        witness=None,
        curvature=None,
        margin=0.0,
        lower_bound=-math.inf,
        failure_probability=0.0,
        blind_spot=None,
        largest_curvature=None,
        newton_distance=None,
        value=value,
        gradient_norm=float(gradient.norm()),
        gradient_tolerance=gradient_tolerance,
        curvature_tolerance=curvature_tolerance,
        kinks=(),
        kink_distance=math.inf,
        num_hvps=0,
        num_steps=0,
        num_starts=0,
        num_parameters=objective.num_parameters,
        num_examples=objective.num_examples,
        dtype=str(objective.dtype).removeprefix("torch."),
        seed=seed if isinstance(seed, int) else None,
        versions=versions(),
    )
    hessian = HessianOperator(objective, on_product=on_product)
    certificate = _from_values(blank, value_lower_bound, value_tolerance)
    if certificate is None:
        kinks = find_kinks(objective)
        blank = replace(blank, kinks=kinks.names, kink_distance=kinks.distance)
        certificate = _from_slope(blank, objective, gradient, convex or is_known_convex(objective))
    if certificate is None:
        certificate = certify_deep_linear(blank, objective)
    if certificate is None:
        certificate = _from_curvature(blank, objective, hessian, max_hvps, failure_probability, generator)
    if held_out is not None and certificate.verdict == "strict-saddle":
        certificate = confirm_on_held_out(certificate, objective, held_out)
    return replace(certificate, products=objective.curvature, not_shown=open_questions(certificate))


def _from_values(blank: Certificate, bound: float | None, tolerance: float) -> Certificate | None:
    value, norm = blank.value, blank.gradient_norm
    if not (math.isfinite(value) and math.isfinite(norm)):
        return replace(blank, reason=f"the value {value} or the gradient norm {norm} is not finite")
    if bound is None or not _is_attained(value, bound, tolerance):
        return None
    reason = f"the value {value:.6g} attains the declared lower bound {bound:.6g}"
    gap = max(0.0, value - bound)
    return replace(blank, verdict="global-minimum", method="value", reason=reason, gap=gap)


def _from_slope(
    blank: Certificate, objective: Objective, gradient: Tensor, is_convex: bool
) -> Certificate | None:
    norm, tolerance = blank.gradient_norm, blank.gradient_tolerance
    if is_convex and norm <= tolerance:
        return certify_convex(blank, objective)
    if blank.kink_distance <= kink_tolerance(objective):
        return certify_on_kink(blank, objective)
    if norm <= tolerance:
        return None
    return replace(
        blank,
        verdict="not-critical",
        method="gradient",
        reason=f"the gradient norm {norm:.3g} is above the tolerance {tolerance:.3g}",
        witness=-gradient / norm,
        gap=known_gap(objective, is_convex),
    )


def _from_curvature(
    blank: Certificate,
    objective: Objective,
    hessian: HessianOperator,
    max_hvps: int,
    failure_probability: float,
    generator: torch.Generator,
) -> Certificate:
    # A part is kept for the Newton step that a minimum is checked with.
    budget = max(_SMALLEST_BUDGET, max_hvps - max_hvps // 20) if not _fits(objective, max_hvps) else max_hvps
    found = search_spectrum(
        hessian,
        max_hvps=budget,
        failure_probability=failure_probability,
        generator=generator,
        ignored=blank.curvature_tolerance,
    )
    certificate = replace(
        blank,
        method=found.method,
        witness=found.vector,
        curvature=None if found.vector is None else found.curvature,
        margin=found.margin,
        lower_bound=found.lower_bound,
        failure_probability=found.failure_probability,
        blind_spot=found.blind_spot,
        largest_curvature=found.largest,
        num_steps=found.num_steps,
        num_starts=found.num_starts,
        num_hvps=hessian.num_products,
    )
    piece = _piece(certificate)
    if found.status == "negative":
        below = "" if certificate.curvature_tolerance == 0.0 else " and the tolerance"
        reason = (
            f"curvature {found.curvature:.3g} is below the rounding margin -{found.margin:.2g}{below}{piece}"
        )
        return replace(certificate, verdict="strict-saddle", reason=reason)
    if found.status == "unreliable":
        reason = "Hessian-vector products contradict each other or are not finite: is the model stochastic?"
        return replace(certificate, reason=reason)
    certificate = _judge_bound(certificate, objective, hessian, found, max_hvps)
    return replace(certificate, reason=certificate.reason + piece, num_hvps=hessian.num_products)


def _judge_bound(
    certificate: Certificate,
    objective: Objective,
    hessian: HessianOperator,
    found: SpectrumSearch,
    max_hvps: int,
) -> Certificate:
    bound = found.lower_bound
    how = (
        "" if found.failure_probability == 0.0 else f" up to a probability of {found.failure_probability:.1g}"
    )
    if bound > 0.0:
        newton = check_newton_step(objective, hessian, found, max_hvps - hessian.num_products)
        certificate = replace(certificate, newton_distance=newton.distance)
        if newton.contracts:
            reason = f"all curvatures are at least {bound:.3g}{how}, and Newton's step of length "
            return replace(
                certificate, verdict="local-minimum", reason=f"{reason}{newton.distance:.2g} contracts"
            )
        return replace(
            certificate,
            reason=f"all curvatures are at least {bound:.3g}{how}, but Newton's step does not "
            "contract: the minimum may be far away; lower gradient_tolerance and train on",
        )
    if bound >= -certificate.curvature_tolerance - 2.0 * found.margin:
        reason = (
            f"no curvature below {bound:.3g}{how}; flat directions leave open what they do at higher order"
        )
        return replace(certificate, verdict="second-order-point", reason=reason)
    return replace(
        certificate,
        reason=f"no negative curvature found, but values down to {bound:.3g} are not excluded within "
        f"{hessian.num_products} products; raise max_hvps, or curvature_tolerance if that is small enough",
    )


def _fits(objective: Objective, max_hvps: int) -> bool:
    return 1.2 * objective.num_parameters <= max_hvps


def _piece(certificate: Certificate) -> str:
    if not certificate.kinks:
        return ""
    names = ", ".join(certificate.kinks)
    if math.isnan(certificate.kink_distance):
        return f"; on the smooth piece around the point ({names}; ties and kinks were not all examined)"
    return (
        f"; on the smooth piece around the point ({names}, relative distance {certificate.kink_distance:.1g})"
    )


def _is_attained(value: float, bound: float, tolerance: float) -> bool:
    if value < bound - tolerance:
        raise InputError(
            f"the objective is {value:.6g}, below the declared value_lower_bound = {bound:.6g}; "
            "a lower bound must hold everywhere (weight decay only raises it)"
        )
    return value <= bound + tolerance


def _check_options(
    gradient_tolerance: float,
    max_hvps: int,
    value_tolerance: float,
    curvature_tolerance: float,
    failure_probability: float,
) -> None:
    if not (math.isfinite(gradient_tolerance) and gradient_tolerance > 0.0):
        raise InputError(f"expected gradient_tolerance > 0, got {gradient_tolerance}")
    if max_hvps < _SMALLEST_BUDGET:
        raise InputError(f"expected max_hvps >= {_SMALLEST_BUDGET}, got {max_hvps}")
    for name, value in (("value_tolerance", value_tolerance), ("curvature_tolerance", curvature_tolerance)):
        if not (math.isfinite(value) and value >= 0.0):
            raise InputError(f"expected {name} >= 0, got {value}")
    if not 0.0 < failure_probability < 1.0:
        raise InputError(f"expected failure_probability between 0 and 1, got {failure_probability}")
