"""Rounds of a search: features, a design of cuts, steps of Bayesian optimisation, a pick."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from localmin.sampling.context import SearchContext
from localmin.sampling.engines import Observation, make_engine
from localmin.sampling.execution import TrialRequest, TrialStage
from localmin.sampling.feature_run import FeatureSource, run_features
from localmin.sampling.feature_table import FeatureTable
from localmin.sampling.forms import Form
from localmin.sampling.policy import PolicySpace
from localmin.sampling.second_opinion import average_tables
from localmin.sampling.settings import thinned_cuts
from localmin.sampling.shared_trial_log import SharedTrialLog
from localmin.sampling.surrogate import SamplerProcess, embed
from localmin.sampling.trial import TrialOutcome, TrialPlan, untried
from localmin.sampling.trial_log import TrialLog
from localmin.sampling.weight_table import effective_sample_size
from localmin.tasks.run_folder import Stage
from localmin.tasks.training import Start

__all__ = ["Candidate", "FeatureStage", "RoundState", "Trial", "feature_stage", "pick_top", "run_round"]

TrialKind = Literal["uniform", "cut", "class-prior", "carried", "search"]

_MAX_EMBEDDED = 4_096
_BO_MIN_EFFECTIVE_SHARE = 0.1
_PRIOR_DESIGN = (1 / 3, 2 / 3, 1.0)


@dataclass(frozen=True)
class Trial:
    """One candidate and what its trial showed.

    Args:
        number: From 0; 0 is always uniform.
        round: From 1.
        kind: ``"uniform"``, ``"cut"``, ``"class-prior"``, ``"carried"`` (from an earlier task) or
            ``"search"``.
        z: The ten numbers.
        score: Higher is better; 0 for a failed trial.
        standard_error: Of the score, over items.
        num_effective: Effective number of examples of the sampler.
        epochs: Cost in epochs of the whole training set.
        status: ``"done"``, ``"diverged"`` or ``"rejected"``.
        cut: Place of the cut, for cuts.
    """

    number: int
    round: int
    kind: TrialKind
    z: tuple[float, ...]
    score: float
    standard_error: float
    num_effective: float
    epochs: float
    status: str
    cut: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """List the values, for JSON."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Candidate:
    """A sampler that is to be tried.

    Args:
        z: The ten numbers.
        kind: As in `Trial`.
        cut: Place of the cut, for cuts.
    """

    z: Float[Tensor, " k"]
    kind: TrialKind
    cut: float | None = None


@dataclass(frozen=True, eq=False)
class FeatureStage:
    """A table of features, what it cost, and the network that gave it (for warm starts)."""

    table: FeatureTable
    epochs: float
    start: Start | None


@dataclass(eq=False)
class RoundState:
    """What a search knows so far; grows by one trial at a time."""

    trials: list[Trial]
    observations: list[Observation]
    outcomes: list[TrialOutcome]

    def process(self) -> SamplerProcess:
        """Fit the surrogate to all trials that ended well."""
        done = [o for o, t in zip(self.observations, self.trials, strict=True) if t.status == "done"]
        return SamplerProcess(
            np.stack([o.point.numpy() for o in done]), np.array([o.score for o in done], dtype=np.float64)
        )

    def posterior_means(self) -> np.ndarray:
        """Estimate the true score of every trial's sampler; failed ones get minus infinity."""
        done = np.array([trial.status == "done" for trial in self.trials])
        if not done.any():
            return np.full(len(self.trials), -np.inf)
        means = self.process().posterior(np.stack([o.point.numpy() for o in self.observations])).mean
        return np.where(done, means, -np.inf)


def feature_stage(context: SearchContext, number: int, weights: Float[Tensor, " n"] | None) -> FeatureStage:
    """Run the features of a round, or read them if they are stored.

    Args:
        context: Of the search.
        number: Of the round, from 1.
        weights: None for the first round; later the pick of the round before.

    Returns:
        The table of features.
    """
    settings, task = context.settings, context.task
    name = f"round-{number}-features"
    # Examples that are not drawn have no training step to be looked at.
    refreshed = weights is not None and settings.feature_source == "step-mean"
    source: FeatureSource = "epoch-mean" if refreshed else settings.feature_source

    def compute() -> Stage:
        table, trained = run_features(
            task,
            source=source,
            epochs=context.epochs(context.feature_share),
            seed=context.stream(number, 2),
            model_seed=context.model_seed,
            weights=weights,
            device=context.device,
            checkpoint=context.folder.checkpoint(name),
            on_epoch=context.meter.whole_epoch,
        )
        epochs = trained.num_draws / len(task.train)
        if context.opinion is not None:
            said = context.opinion.table(task, seed=context.stream(0, 7), weights=weights)
            table, epochs = average_tables(table, said), epochs + context.opinion.epochs
        tensors = {f"table.{key}": value for key, value in table.to_tensors().items()}
        if settings.proxy == "warm-start":
            tensors |= {f"model.{key}": value for key, value in trained.model.state_dict().items()}
        return {"names": list(table.names), "source": table.source, "epochs": epochs}, tensors

    content, tensors = context.stages.once(name, compute)
    parts = {key.removeprefix("table."): value for key, value in tensors.items() if key.startswith("table.")}
    model = {key.removeprefix("model."): value for key, value in tensors.items() if key.startswith("model.")}
    table = FeatureTable.from_tensors(parts, tuple(content["names"]), content["source"])
    return FeatureStage(table, content["epochs"], Start(model) if model else None)


@dataclass(eq=False)
class RoundRunner:
    """Tries samplers of one round, all under one plan and one set of features."""

    context: SearchContext
    space: PolicySpace
    plan: TrialPlan
    state: RoundState
    number: int
    logs: Sequence[TrialLog | SharedTrialLog]
    pilots: dict[float, TrialOutcome] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.space)
        if n > _MAX_EMBEDDED:
            generator = torch.Generator().manual_seed(self.context.stream(0, 3))
            self.looked_at = torch.randperm(n, generator=generator)[:_MAX_EMBEDDED].sort().values
        else:
            self.looked_at = torch.arange(n)
        self.thin_space = self.space.thinned(self.looked_at)

    def attempt(self, candidates: Sequence[Candidate]) -> list[Trial]:
        """Try samplers, all at once where there is room, and remember them in the order given."""
        first = len(self.state.trials)
        stages = [self._stage(first + place, candidate) for place, candidate in enumerate(candidates)]
        found = self.context.stages.trials(stages)
        return [self._remember(candidate, stage) for candidate, stage in zip(candidates, found, strict=True)]

    def _weights(self, candidate: Candidate) -> Float[Tensor, " n"]:
        return self.space.weights(self._canonical(candidate.z))

    def _canonical(self, z: Float[Tensor, " k"]) -> Float[Tensor, " k"]:
        return self.space.form.canonical(z.clamp(0, 1))

    def _stage(self, number: int, candidate: Candidate) -> TrialStage:
        context, name = self.context, f"trial-{number:03d}"
        z, weights = self._canonical(candidate.z), self._weights(candidate)
        # A narrow bump may miss every example where many share one feature value.
        effective = effective_sample_size(weights) if bool(weights.any()) else 0.0
        rejected = effective < context.min_effective
        pilot = None if candidate.cut is None else self.pilots.get(candidate.cut)
        known = untried(context.task) if rejected else pilot

        def assemble(outcomes: list[TrialOutcome]) -> Stage:
            outcome = outcomes[0] if known is None else known
            score, error = context.score_weights.score(outcome)
            trial = Trial(
                number, self.number, candidate.kind, tuple(z.tolist()), score, error, effective,
                outcome.num_draws / len(context.task.train), outcome.status, candidate.cut,
            )  # fmt: skip
            kept, arrays = outcome.to_stage()
            return {"trial": trial.to_dict(), "outcome": kept}, arrays

        requests = (TrialRequest(name, weights, self.plan),) if known is None else ()
        return TrialStage(name, requests, assemble)

    def _remember(self, candidate: Candidate, stage: Stage) -> Trial:
        content, arrays = stage
        trial = Trial(**(content["trial"] | {"z": tuple(content["trial"]["z"])}))
        outcome = TrialOutcome.from_stage(content["outcome"], arrays)
        if candidate.cut is not None and trial.status != "rejected":
            self.pilots.pop(candidate.cut, None)
        weights = self._weights(candidate)[self.looked_at]
        point = torch.from_numpy(embed(weights.numpy()[None])[0])
        z = self._canonical(candidate.z)
        self.state.trials.append(trial)
        self.state.outcomes.append(outcome)
        self.state.observations.append(Observation(z, point, trial.score, trial.standard_error))
        attributes = {
            key: value for key, value in trial.to_dict().items() if key not in ("z", "score", "number")
        }
        for log in self.logs:
            log.record(trial.number, list(trial.z), trial.score, attributes)
        return trial

    def search(self, steps: int) -> None:
        """Let the engine propose, in batches, and try what it proposes."""
        settings = self.context.settings
        acceptable = self.context.min_effective / len(self.space)
        engine = make_engine(
            settings.engine,
            seed=self.context.stream(self.number, 4),
            min_effective=max(_BO_MIN_EFFECTIVE_SHARE, acceptable),
        )
        left = steps
        while left > 0:
            batch = min(settings.batch, left)
            known = [
                o
                for o, t in zip(self.state.observations, self.state.trials, strict=True)
                if t.status == "done"
            ]
            if not known:
                return
            # How many are asked for at once is a setting: the number of workers must not show.
            self.attempt([Candidate(z, "search") for z in engine.ask(self.thin_space, known, batch)])
            left -= batch


def run_round(
    runner: RoundRunner, *, best_before: Trial | None, prior: float, steps: int, limit: int | None = None
) -> list[int]:
    """Run the design and the search of one round.

    Args:
        runner: Of the round.
        best_before: Best cut of the round before; None in the first round.
        prior: Class-prior number for the cuts of a refresh.
        steps: Trials of Bayesian optimisation.
        limit: Trials that may be made in all; None: no limit.

    Returns:
        Numbers of the trials of this round.
    """
    first = len(runner.state.trials)
    design = _design(runner, best_before, prior, limit)
    runner.attempt(design)
    runner.search(steps if limit is None else min(steps, limit - len(design)))
    return list(range(first, len(runner.state.trials)))


def _design(
    runner: RoundRunner, best_before: Trial | None, prior: float, limit: int | None
) -> list[Candidate]:
    settings, space, form = runner.context.settings, runner.space, runner.space.form
    if best_before is not None:
        cuts = nearest_cuts(settings.cuts, best_before.cut, settings.refresh_cuts)
        return [Candidate(space.cut(cut, prior=prior), "cut", cut) for cut in cuts[:limit]]
    # What has served on another task is worth a trial before the cuts are.
    carried = [Candidate(torch.tensor(z, dtype=torch.float64), "carried") for z in settings.starts]
    room = len(settings.cuts) if limit is None else max(1, limit - len(carried))
    uniform, *others = thinned_cuts(settings.cuts, min(room, len(settings.cuts)))
    design = [Candidate(space.cut(uniform), "uniform", uniform), *carried]
    design += [Candidate(space.cut(cut), "cut", cut) for cut in others]
    if form.has_prior:
        design += [Candidate(space.cut(uniform, prior=value), "class-prior") for value in _PRIOR_DESIGN]
    return design[:limit]


def nearest_cuts(cuts: tuple[float, ...], best: float | None, count: int) -> list[float]:
    """Choose the cuts nearest to the best one, itself included, in the order of the design.

    Args:
        cuts: Of the design.
        best: The best of them; None takes the middle.
        count: How many to choose.

    Returns:
        The chosen cuts.

    Example:
        >>> nearest_cuts((1.2, 0.9, 0.8, 0.7, 0.6, 0.5), 0.6, 3)
        [0.7, 0.6, 0.5]
    """
    around = cuts[len(cuts) // 2] if best is None else best
    nearest = sorted(cuts, key=lambda cut: (round(abs(cut - around), 9), -cut))[:count]
    return [cut for cut in cuts if cut in nearest]


def pick_top(state: RoundState, numbers: list[int], form: Form, top: int) -> Float[Tensor, " k"]:
    """Average the samplers of the largest posterior mean: never the best raw score, which is luck.

    Args:
        state: All trials so far.
        numbers: Trials to choose from; those of one round share their features.
        form: For the scale of the factors.
        top: How many to average.

    Returns:
        ``z``, canonical.
    """
    means = state.posterior_means()[numbers]
    order = np.argsort(-means, kind="stable")[:top]
    chosen = [state.observations[numbers[int(i)]].z for i in order if np.isfinite(means[int(i)])]
    if not chosen:
        return form.uniform()
    return form.canonical(torch.stack(chosen).mean(0))
