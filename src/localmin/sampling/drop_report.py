"""Which examples a policy (nearly) never draws: the list of suspects."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.sampling.feature_table import FeatureTable
from localmin.tasks.task import Task

__all__ = ["DropReport", "DroppedExample", "make_drop_report"]

NEARLY_NEVER = 0.05
_MAX_LISTED = 200


@dataclass(frozen=True)
class DroppedExample:
    """An example that is (nearly) never drawn.

    Args:
        index: In the training part.
        identifier: File or row.
        label: Class name as given.
        prediction: Class name the feature network preferred.
        relative_probability: ``n p_i``: expected draws per epoch; 1 is uniform.
        loss: Feature, nats.
        renormed_entropy: Feature, nats.
        clean_label: Class name before injected noise, where known.
    """

    index: int
    identifier: str
    label: str
    prediction: str
    relative_probability: float
    loss: float
    renormed_entropy: float
    clean_label: str | None = None


@dataclass(frozen=True)
class DropReport:
    """List the dropped examples, surest first, and say how the policy treats wrong labels where known.

    Args:
        threshold: Expected draws per epoch below which an example counts as dropped.
        num_dropped: How many there are.
        num_examples: n.
        examples: All of them, highest loss first.
        mean_probability_wrong: Mean of ``n p`` over examples with a wrong label; None where unknown.
        mean_probability_right: Mean of ``n p`` over the others.
        num_dropped_wrong: Dropped examples whose label is wrong.
        feature_auc: Probability that a wrong label has a higher loss than a right one.
    """

    threshold: float
    num_dropped: int
    num_examples: int
    examples: tuple[DroppedExample, ...]
    mean_probability_wrong: float | None = None
    mean_probability_right: float | None = None
    num_dropped_wrong: int | None = None
    feature_auc: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """List counts and the first 200 examples; the CSV has them all."""
        return {
            "threshold": self.threshold,
            "num_dropped": self.num_dropped,
            "num_examples": self.num_examples,
            "share_dropped": self.num_dropped / self.num_examples,
            "mean_probability_wrong": self.mean_probability_wrong,
            "mean_probability_right": self.mean_probability_right,
            "num_dropped_wrong": self.num_dropped_wrong,
            "feature_auc": self.feature_auc,
            "examples": [asdict(example) for example in self.examples[:_MAX_LISTED]],
        }

    def to_csv(self) -> str:
        """Write all dropped examples as CSV with a header."""
        names = list(DroppedExample.__dataclass_fields__)
        stream = io.StringIO()
        writer = csv.DictWriter(stream, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(example) for example in self.examples)
        return stream.getvalue()


def make_drop_report(
    task: Task, features: FeatureTable, weights: Float[Tensor, " n"], *, threshold: float = NEARLY_NEVER
) -> DropReport:
    """List the examples that a sampler draws less than ``threshold`` times an epoch.

    Args:
        task: Gives labels, names and, where noise was injected, the clean labels.
        features: Of the training examples.
        weights: Relative drawing weights, shape ``(n,)``.
        threshold: In expected draws per epoch.

    Returns:
        The report.
    """
    n = len(task.train)
    probability = weights * (n / weights.sum())
    loss, entropy = features.column("loss"), features.column("renormed-entropy")
    dropped = torch.nonzero(probability < threshold).flatten()
    dropped = dropped[torch.argsort(loss[dropped], descending=True, stable=True)]
    labels, clean = task.train.labels.cpu(), task.clean_train_labels
    names, kind, wrong = task.class_names, task.kind, task.wrong_labels
    examples = tuple(
        DroppedExample(
            i,
            task.train.identifier(i),
            kind.show_label(labels[i], names),
            kind.show_prediction(features.predictions[i], names),
            float(probability[i]),
            float(loss[i]),
            float(entropy[i]),
            None if clean is None else kind.show_label(clean[i], names),
        )
        for i in dropped.tolist()
    )
    report = DropReport(threshold, len(dropped), n, examples)
    if wrong is None or not bool(wrong.any()):
        return report
    return DropReport(
        threshold,
        len(dropped),
        n,
        examples,
        mean_probability_wrong=float(probability[wrong].mean()),
        mean_probability_right=float(probability[~wrong].mean()),
        num_dropped_wrong=int(wrong[dropped].sum()),
        feature_auc=_area_under_curve(loss, wrong),
    )


def _area_under_curve(feature: Float[Tensor, " n"], positive: Tensor) -> float:
    from localmin.sampling.transforms import mid_rank

    ranks = mid_rank(feature) * len(feature)
    num_positive, num_negative = int(positive.sum()), int((~positive).sum())
    above = float(ranks[positive].sum()) - num_positive**2 / 2
    return above / (num_positive * num_negative)
