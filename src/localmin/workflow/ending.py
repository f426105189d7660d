"""Where did training end? A certificate of the trained point, and what lies further down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.certification import Certificate, certificate_figures, certify, descend, settle
from localmin.charts import Figure
from localmin.objective import Objective
from localmin.tasks.trained import TrainedModel
from localmin.tasks.trained_objective import trained_objective

__all__ = ["Ending", "find_ending"]

# Curvature below this, in nats per squared unit of a parameter, is flat for every practical purpose.
_CURVATURE_TOLERANCE = 1e-6
# Largest entry of the gradient at which a descent stops; far below what a certificate asks for.
_GRADIENT_TOLERANCE = 1e-6
# For the pictures: products for the spectrum, values along each side of the plane.
_NUM_PRODUCTS, _NUM_PLANE = 60, 15


@dataclass(frozen=True, eq=False)
class Ending:
    """A trained network's point on its training loss, and the point that descent and escapes lead to.

    Args:
        trained: Certificate of the trained point.
        settled: Certificate of the point after full-batch descent and escapes from saddles.
        num_descents: Full-batch descents.
        num_escapes: Steps along witnesses that lowered the loss.
        distance: From the trained to the settled point, over the norm of the trained one.
        settled_point: Parameters of the settled point, shape ``(n,)``.
        figures: Spectrum, loss along the witness, and a plane through it, at the trained point.
        num_examples: Training examples that the loss is an average of.
        is_unbounded: Whether the settled network classifies every drawn example right without weight decay:
            then growing its weights lowers the cross-entropy for ever, and no minimum exists at any finite
            distance.
    """

    trained: Certificate
    settled: Certificate
    num_descents: int
    num_escapes: int
    distance: float
    settled_point: Float[Tensor, " n"]
    figures: tuple[Figure, ...]
    num_examples: int
    is_unbounded: bool

    def to_dict(self) -> dict[str, Any]:
        """Convert to JSON types; witnesses and the point are left out."""
        return {
            "trained": _plain(self.trained),
            "settled": _plain(self.settled),
            "num_descents": self.num_descents,
            "num_escapes": self.num_escapes,
            "distance_relative": self.distance,
            "figures": [figure.to_dict() for figure in self.figures],
            "num_examples": self.num_examples,
            "is_unbounded": self.is_unbounded,
        }


def find_ending(
    trained: TrainedModel,
    *,
    limit: int | None = 2000,
    max_hvps: int = 200,
    max_rounds: int = 3,
    max_iterations: int = 100,
    seed: int = 0,
) -> Ending:
    """Certify the trained point, then descend over all data and escape saddles until nothing leads down.

    Training with small batches usually stops where the gradient is small but not zero; the second certificate
    says what kind of point lies below.

    Args:
        trained: Network and task.
        limit: At most so many training examples, evenly spaced; the verdicts are about their loss.
        max_hvps: Budget of Hessian-vector products of each certificate.
        max_rounds: Certificates after descents, at most.
        max_iterations: Of each descent.
        seed: Of the certificates.

    Returns:
        Both certificates.

    Cost:
        ``max_rounds`` times ``max_hvps`` products and ``max_iterations`` gradients over the examples.
    """
    objective = trained_objective(trained, limit=limit)
    first = certify(objective, max_hvps=max_hvps, seed=seed, curvature_tolerance=_CURVATURE_TOLERANCE)
    lower = descend(objective, max_iterations=max_iterations, gradient_tolerance=_GRADIENT_TOLERANCE)
    below = settle(
        lower,
        train=lambda point: descend(
            point, max_iterations=max_iterations, gradient_tolerance=_GRADIENT_TOLERANCE
        ),
        max_rounds=max_rounds,
        seed=seed + 1,
        options={"max_hvps": max_hvps, "curvature_tolerance": _CURVATURE_TOLERANCE},
    )
    point, start = below.objective.point.double(), objective.point.double()
    return Ending(
        trained=first,
        settled=below.certificate,
        num_descents=1 + len(below.escapes),
        num_escapes=sum(one.has_decreased for one in below.escapes),
        distance=float((point - start).norm() / start.norm().clamp(min=1e-300)),
        settled_point=point.cpu(),
        figures=certificate_figures(
            objective, first, num_products=_NUM_PRODUCTS, num_plane=_NUM_PLANE, seed=seed
        ),
        num_examples=objective.num_examples,
        is_unbounded=_fits_every_example(trained, below.objective, limit),
    )


def _fits_every_example(trained: TrainedModel, settled: Objective, limit: int | None) -> bool:
    if (
        not trained.task.has_plain_cross_entropy
        or trained.task.recipe.label_smoothing
        or settled.weight_decay
    ):
        return False
    inputs, labels = trained.examples("train", limit=limit)
    model = settled.model_at(settled.point)
    with torch.no_grad():
        logits = model(inputs.to(settled.dtype))
    if logits.ndim != 2:
        return False
    wrong = logits.argmax(1) != labels
    weights = trained.relative_weights(limit=limit)
    return not bool((wrong & (weights > 0)).any())


def _plain(certificate: Certificate) -> dict[str, Any]:
    plain = certificate.to_dict()
    plain.pop("witness", None)
    return plain
