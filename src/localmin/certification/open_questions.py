"""What a certificate leaves open, in words."""

import math

from localmin.certification.certificate import Certificate

__all__ = ["open_questions"]

_OF_VERDICT = {
    "not-critical": "which kind of critical point is near, if any",
    "strict-saddle": "that the witness is the direction of smallest curvature",
    "non-strict-saddle": "which of the ways down is the steepest",
    "local-minimum": "that it is the global minimum",
    "global-minimum": "that it is the only one",
    "second-order-point": "that it is a minimum: flat directions may lead down at higher order",
    "undecided": "what kind of point this is",
}


def open_questions(certificate: Certificate) -> str:
    """Say what was not shown.

    Args:
        certificate: With its verdict.

    Returns:
        One line.
    """
    parts = [_OF_VERDICT[certificate.verdict]]
    is_critical = certificate.verdict not in ("not-critical", "undecided", "global-minimum")
    if is_critical and certificate.method != "deep-linear" and certificate.gradient_norm > 0.0:
        if certificate.verdict == "local-minimum" and certificate.newton_distance is not None:
            parts.append(
                "a proof that the minimum exists: that it lies within about "
                f"{certificate.newton_distance:.1g} rests on one Newton step"
            )
        else:
            parts.append(
                f"that an exactly critical point is near (gradient norm {certificate.gradient_norm:.1g})"
            )
    if certificate.failure_probability > 0.0 and math.isfinite(certificate.lower_bound):
        parts.append(
            f"the bound with certainty (fails with probability {certificate.failure_probability:.0e})"
        )
    if certificate.kinks and certificate.method != "piecewise":
        parts.append("anything beyond the smooth piece around the point")
    examples = (
        "this function" if certificate.num_examples == 1 else f"these {certificate.num_examples} examples"
    )
    beyond = "the held-out ones" if certificate.held_out_curvature is not None else examples
    parts.append(f"anything about data beyond {beyond}")
    return "; ".join(parts)
