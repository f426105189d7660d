"""Whether the negative curvature of a witness is there on examples that did not choose it."""

from dataclasses import replace

import torch

from localmin.certification.certificate import Certificate
from localmin.errors import InputError, ShapeError
from localmin.objective import Objective

__all__ = ["confirm_on_held_out"]

_NUM_STANDARD_ERRORS = 3.0


def confirm_on_held_out(certificate: Certificate, objective: Objective, held_out: Objective) -> Certificate:
    """Ask for negative curvature along the witness on other examples too, beyond their noise.

    On the examples that chose it a witness looks better than it is. On others ``vᵀ H v`` is unbiased for the
    population, with a standard error that they show themselves.

    Args:
        certificate: "strict-saddle", from ``objective``.
        objective: The certified objective.
        held_out: The same over other examples, at the same point.

    Returns:
        The certificate with ``held_out_curvature`` and a margin that has three standard errors in it;
        "undecided" where the held-out curvature is not below it, or no curvature is known (a kink).

    Raises:
        ShapeError: If the parameters are others.
        InputError: If the point is another one.

    Source:
        Derived here; the factor three is our choice.

    Cost:
        One product and three forward sweeps over the held-out examples.
    """
    if held_out.parameter_names != objective.parameter_names:
        raise ShapeError(
            f"held_out has the parameters {held_out.parameter_names}, the objective "
            f"{objective.parameter_names}"
        )
    if not torch.equal(held_out.point.cpu(), objective.point.cpu()):
        raise InputError("held_out stands at another point; use held_out.at(objective.point)")
    if certificate.witness is None or certificate.curvature is None:
        return replace(
            certificate,
            verdict="undecided",
            reason=f"{certificate.reason}; on a kink held-out data cannot confirm it",
        )
    witness = certificate.witness
    curvature = float(witness @ held_out.hvp(witness).double().cpu())
    data_margin = _NUM_STANDARD_ERRORS * held_out.curvature_standard_error(witness)
    margin = certificate.margin + data_margin
    found = (
        f"on {held_out.num_examples} held-out examples the curvature along the witness is {curvature:.3g}, "
        f"three standard errors are {data_margin:.2g}"
    )
    certificate = replace(
        certificate, held_out_curvature=curvature, data_margin=data_margin, num_hvps=certificate.num_hvps + 1
    )
    if curvature < -margin:
        return replace(certificate, reason=f"{certificate.reason}; {found}")
    return replace(
        certificate,
        verdict="undecided",
        reason=f"{certificate.reason}; but {found}: for the population it is not shown",
    )
