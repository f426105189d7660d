"""What a search found, what it bought and what it cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor, nn

from localmin.sampling.drop_report import DropReport
from localmin.sampling.evidence import Evidence
from localmin.sampling.feature_table import FeatureTable
from localmin.sampling.policy import Policy
from localmin.sampling.rounds import Trial
from localmin.tasks.metrics import describe_metric
from localmin.tasks.storage import finite
from localmin.tasks.task import Task

__all__ = ["Arm", "Cost", "Guard", "SearchResult"]

ArmName = Literal["uniform", "searched", "oracle"]


@dataclass(frozen=True)
class Arm:
    """One final training and its score on the test set.

    Args:
        name: ``"uniform"``, ``"searched"`` or ``"oracle"``.
        test: Score on the test examples after the last epoch.
        validation: Score on the validation examples, with their labels as given.
        losses: Mean training loss per epoch, nats.
        num_steps: Optimiser steps; equal for all arms.
        diverged: Whether the loss became infinite.
    """

    name: ArmName
    test: float
    validation: float
    losses: tuple[float, ...]
    num_steps: int
    diverged: bool

    def to_dict(self) -> dict[str, Any]:
        """List the values, for JSON."""
        return {
            "test": self.test,
            "validation": self.validation,
            "losses": list(self.losses),
            "num_steps": self.num_steps,
            "diverged": self.diverged,
        }


@dataclass(frozen=True)
class Guard:
    """The verdict on whether to use what the search picked.

    Args:
        kind: ``"halves"``, ``"four-fifths"``, ``"safe-rule"`` or ``"none"``.
        accepted: Whether the pick is recommended.
        difference: Score of the pick minus that of uniform; None where nothing was compared.
        standard_error: Of the difference, over items.
        epochs: Cost.
        reason: In words.
    """

    kind: str
    accepted: bool
    difference: float | None
    standard_error: float | None
    epochs: float
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """List the values, for JSON."""
        return {
            "kind": self.kind,
            "accepted": self.accepted,
            "difference": self.difference,
            "se": self.standard_error,
            "epochs": self.epochs,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class Cost:
    """What a search cost, in epochs of the training set and in seconds.

    Args:
        search_epochs: Features and trials.
        guard_epochs: The guard.
        training_epochs: One training.
        seconds: Of this process, all stages; a resumed search counts only its own.
    """

    search_epochs: float
    guard_epochs: float
    training_epochs: int
    seconds: float

    @property
    def ratio(self) -> float:
        """Search epochs, without the guard, over one training."""
        return self.search_epochs / self.training_epochs

    def to_dict(self) -> dict[str, Any]:
        """List the values, for JSON."""
        return {
            "search_epochs": self.search_epochs,
            "training_epochs": self.training_epochs,
            "ratio": self.ratio,
            "guard_epochs": self.guard_epochs,
            "guard_ratio": self.guard_epochs / self.training_epochs,
            "seconds": self.seconds,
        }


@dataclass(frozen=True, eq=False)
class SearchResult:
    """Everything a search on one seed leaves.

    Args:
        task: What was searched.
        seed: Of everything random.
        settings: Of the search, as JSON types.
        arms: Final trainings by name; ``"searched"`` follows the recommendation.
        policy: The recommended policy: uniform when the guard refused the candidate.
        candidate: What the search picked.
        weights: Relative drawing weights of the recommended policy, shape ``(n,)``.
        candidate_weights: Those of the candidate.
        features: Of all training examples, of the last round.
        trials: All of them.
        posterior_means: Estimated true score per trial.
        guard: Why the candidate is recommended or not.
        cost: In epochs and seconds.
        drop_report: Examples the candidate (nearly) never draws.
        evidence: How sure it is that an example is bad.
        recommendation: ``"searched"`` or ``"uniform"``.
        model: Trained by the recommendation, in evaluation mode.
        notes: Warnings, in words.
    """

    task: Task
    seed: int
    settings: dict[str, Any]
    arms: dict[str, Arm]
    policy: Policy
    candidate: Policy
    weights: Float[Tensor, " n"]
    candidate_weights: Float[Tensor, " n"]
    features: FeatureTable
    trials: tuple[Trial, ...]
    posterior_means: tuple[float, ...]
    guard: Guard
    cost: Cost
    drop_report: DropReport
    evidence: Evidence
    recommendation: Literal["searched", "uniform"]
    model: nn.Module
    notes: tuple[str, ...] = ()

    @property
    def gap_closed(self) -> float | None:
        """Share of the way from uniform to oracle; None without an oracle or without a gap.

        Noise of the two scores makes the ratio meaningless when the oracle is not better.
        """
        if "oracle" not in self.arms:
            return None
        improvement = describe_metric(self.task.metric).improvement
        gap = improvement(self.arms["oracle"].test, self.arms["uniform"].test)
        return self.gain / gap if gap > 0 else None

    @property
    def gain(self) -> float:
        """Improvement of the searched test score over the uniform one; positive is better in any metric."""
        improvement = describe_metric(self.task.metric).improvement
        return improvement(self.arms["searched"].test, self.arms["uniform"].test)

    def to_dict(self) -> dict[str, Any]:
        """List everything but arrays and the model, in JSON types; what is not finite becomes None."""
        described: dict[str, Any] = finite(self._described())
        return described

    def _described(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "task": self.task.to_dict(),
            "settings": self.settings,
            "arms": {name: arm.to_dict() for name, arm in self.arms.items()},
            "gap_closed": self.gap_closed,
            "policy": self.policy.describe(),
            "candidate": self.candidate.describe(),
            "trials": [
                trial.to_dict() | {"posterior_mean": mean}
                for trial, mean in zip(self.trials, self.posterior_means, strict=True)
            ],
            "guard": self.guard.to_dict(),
            "cost": self.cost.to_dict(),
            "drop_report": self.drop_report.to_dict(),
            "recommendation": self.recommendation,
            "notes": list(self.notes),
        }
