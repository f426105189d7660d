"""The search: features, rounds of trials, pick, guard, final trainings."""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from localmin.errors import DataError, InputError
from localmin.sampling.context import SearchContext, check_task, shares_weights, wanted_class_mix
from localmin.sampling.drop_report import make_drop_report
from localmin.sampling.evidence import Evidence, gather_evidence
from localmin.sampling.execution import Database, InProcess, ProcessPool, SharedStages, Stages, TrialExecutor
from localmin.sampling.execution.joint_trials import probe
from localmin.sampling.final_training import final_arm, oracle_weights
from localmin.sampling.forms import get_form
from localmin.sampling.guard import guard, guard_kind, safe_rule
from localmin.sampling.policy import PolicySpace
from localmin.sampling.progress import EpochMeter, SearchProgress, Silent
from localmin.sampling.result import Arm, Cost, Guard, SearchResult
from localmin.sampling.rounds import (
    FeatureStage,
    RoundRunner,
    RoundState,
    Trial,
    feature_stage,
    pick_top,
    run_round,
)
from localmin.sampling.run_files import write_run
from localmin.sampling.second_opinion import plan_opinion
from localmin.sampling.settings import SearchSettings, preset_settings
from localmin.sampling.shared_trial_log import SharedTrialLog
from localmin.sampling.summary import summarize, write_summary
from localmin.sampling.trial import ScoreWeights, TrialPlan, cross_fit_folds
from localmin.sampling.trial_log import TrialLog
from localmin.sampling.warm_start import gated_plan, warm_start_plan
from localmin.tasks.data_parallel import is_launched
from localmin.tasks.run_folder import RunFolder, task_identity
from localmin.tasks.storage import read_json, write_json
from localmin.tasks.task import Task

__all__ = ["search"]

# Largest class over smallest from which a class prior is worth one of the ten numbers and three trials.
_UNEQUAL = 1.5
_PRIOR_NOTE = "classes are unequal: one of the ten numbers is the exponent of a class prior"


def search(
    task: Task,
    *,
    seed: int = 0,
    preset: str = "standard",
    trials: int | None = None,
    settings: SearchSettings | None = None,
    out: str | Path | None = None,
    device: torch.device | str = "cpu",
    workers: int | None = None,
    executor: TrialExecutor | None = None,
    together: int = 1,
    storage: str | Database | None = None,
    progress: SearchProgress | None = None,
    **changes: Any,
) -> SearchResult:
    """Search a sampler for a task, guard it, and train with it.

    Args:
        task: Data, network, recipe, metric. Its test part is used once per final training.
        seed: Of everything random; equal seeds give equal results on the same machine.
        preset: ``"standard"``, ``"quick"`` or ``"paper"``; see `PRESETS`.
        trials: Number of trials in all, uniform included; None is the preset's. Unequal classes add three
            that try a class prior.
        settings: Complete settings, in place of preset, trials and changes, which must not be given then.
        out: Run folder; a search that was killed goes on there. None keeps nothing on disk.
        device: Where networks are trained: ``"cpu"`` or ``"cuda"``.
        workers: Processes that run the trials, one thread each; None runs them in this process. Any number
            gives the same result.
        executor: Runs the trials, in place of ``workers``; the caller closes it. See
            `sampling.execution` and `integrations.ray`.
        together: Networks of different trials that are trained at once in this process, where measuring shows
            that it pays; results are then the same up to rounding.
        storage: URL of a database, for several launchers that divide the trials of one search among them,
            each with a run folder of its own.
        progress: Hears how far the search is.
        **changes: Fields of `SearchSettings`, such as ``form="a"`` or ``rounds=3``.

    Returns:
        The recommended policy, the arms with their test scores, all trials, the cost.

    Raises:
        InputError: If a setting is out of range or cannot work on this task.
        DataError: If there are too few validation examples.
        RunFolderError: If the folder holds another search.
        WorkerError: If workers die again and again.

    Source:
        [yao2024] for the shape of the method; the default proxy, surrogate, refresh and guard are ours.

    Cost:
        In trainings: standard 11 and a guard of 2 (3.2 with convolutions); quick 1.5 and a second opinion of
        at most 0.1, or 1.75 without one (3 and 3.2 with convolutions); paper at most 3; and the final
        trainings.
    """
    began = time.perf_counter()
    if settings is None:
        settings = preset_settings(preset, trials=trials, **changes)
    elif trials is not None or changes:
        given = ", ".join([*(["trials"] if trials is not None else []), *changes])
        raise InputError(f"settings are complete; change them with dataclasses.replace, not with {given}")
    check_task(task, settings)
    progress = progress or Silent()
    identity = {"job": "search", "task": task_identity(task), "seed": seed, "settings": settings.to_dict()}
    path = None if out is None else Path(out)
    with (
        RunFolder(path, identity) as folder,
        _executor(workers, executor, together) as where,
        _shared(storage, task, identity, folder) as shared,
    ):
        stages = Stages(folder, where, shared)
        context = _context(task, settings, seed, stages, torch.device(device), progress)
        notes = _join_trainings(stages, task, context.device, together)
        where.use(task, device=context.device, on_draws=context.meter.draws)
        progress.begin(planned_epochs(context))
        try:
            result = _Search(context, notes).run(began)
        finally:
            progress.end()
        if folder.path is not None:
            write_run(folder.path, result)
            # Last, because a folder with a result counts as finished.
            write_summary(folder.path, summarize([result], command="localmin.search", device=str(device)))
    return result


@contextmanager
def _executor(workers: int | None, executor: TrialExecutor | None, together: int) -> Iterator[TrialExecutor]:
    """Give what runs the trials; close it only if it was made here."""
    if together < 1:
        raise InputError(f"at least 1 network is trained at once, got {together}")
    if together > 1 and (workers is not None or executor is not None or is_launched()):
        raise InputError("networks are trained together in this process; leave workers, Ray and torchrun out")
    if executor is not None:
        if workers is not None:
            raise InputError("give workers or an executor, not both")
        yield executor
    elif workers is None:
        yield InProcess()
    else:
        with ProcessPool(workers) as pool:
            yield pool


def _join_trainings(stages: Stages, task: Task, device: torch.device, together: int) -> list[str]:
    """Measure once whether training several networks at once pays, and do as it says; give it as a note."""
    if together == 1 or not isinstance(stages.executor, InProcess):
        return []
    # Stored, so that a search that is taken up again goes on in the same way.
    content, _ = stages.once(
        "probe-together", lambda: (probe(task, together, device=device).to_dict(), {}), is_shared=False
    )
    # Fewer may be wanted than were measured: memory ran out.
    stages.executor.max_together = min(content["count"], together)
    how = f"{content['count']} networks at once" if content["together"] else "networks one by one"
    return [f"trials trained {how}: {content['reason']}"]


@contextmanager
def _shared(
    storage: str | Database | None, task: Task, identity: dict[str, Any], folder: RunFolder
) -> Iterator[SharedStages | None]:
    """Join the study of all launchers that were given the same task, seed and settings."""
    if storage is None:
        yield None
        return
    database = Database(storage) if isinstance(storage, str) else storage
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]
    shared = SharedStages(database, study=f"{task.name}-{digest}", owner=_launcher(folder))
    try:
        yield shared
    finally:
        shared.close()


def _launcher(folder: RunFolder) -> str:
    """Name this launcher; one that is started again keeps its name, and with it what it had claimed."""
    if folder.path is None:
        return uuid.uuid4().hex
    file = folder.path / "launcher.json"
    if not file.exists():
        write_json(file, {"name": uuid.uuid4().hex})
    return str(read_json(file)["name"])


def planned_epochs(context: SearchContext) -> float:
    """Compute how many epochs the search, its guard and the final trainings take, as planned."""
    settings, e = context.settings, context.task.epochs
    fold_share = _fold_share(context) * settings.num_folds if settings.proxy == "cross-fit" else 1.0
    prior_trials = 3 if context.class_prior else 0
    trials = (settings.num_trials + prior_trials) * settings.trial_share * fold_share
    guards = {"halves": 2.0, "four-fifths": 3.2}.get(guard_kind(context), 0.0)
    arms = 2 + (oracle_weights(context) is not None)
    return e * (settings.rounds * context.feature_share + trials + guards + arms)


def _context(
    task: Task,
    settings: SearchSettings,
    seed: int,
    stages: Stages,
    device: torch.device,
    progress: SearchProgress,
) -> SearchContext:
    mix = wanted_class_mix(task)
    counts = task.train_groups.bincount(minlength=task.num_groups)
    prior = mix is not None and int(counts.max()) > _UNEQUAL * int(counts.min())
    return SearchContext(
        task=task,
        settings=settings,
        seed=seed,
        stages=stages,
        device=device,
        meter=EpochMeter(progress, len(task.train)),
        class_prior=prior,
        score_weights=ScoreWeights.for_task(task, mix),
        shares_weights=shares_weights(task),
        opinion=plan_opinion(task) if settings.second_opinion == "auto" else None,
    )


def _fold_share(context: SearchContext) -> float:
    share = context.settings.fold_share
    if share is not None:
        return share
    return 0.5 if context.shares_weights else 0.25


class _Search:
    """One search, step by step; every step is a stage of the run folder."""

    def __init__(self, context: SearchContext, notes: Sequence[str] = ()) -> None:
        self.context = context
        self.settings = context.settings
        self.state = RoundState([], [], [])
        name = self.settings.form_for(context.task.num_classes)
        self.form = get_form(name, class_prior=context.class_prior)
        if self.settings.starts and self.form.has_prior:
            raise InputError(
                "policies of earlier tasks (starts) have no class prior, and the classes of this task are "
                "unequal; search without them"
            )
        path = context.folder.path
        names, shared = self.form.parameter_names, context.stages.shared
        journal = None if path is None else path / "trials.log"
        self.logs: list[TrialLog | SharedTrialLog] = [
            TrialLog(journal, study_name=context.task.name, parameter_names=names)
        ]
        if shared is not None:
            self.logs.append(SharedTrialLog(shared, parameter_names=names))
        self.notes: list[str] = [*notes, *([_PRIOR_NOTE] if context.class_prior else [])]
        self.search_epochs = 0.0

    def run(self, began: float) -> SearchResult:
        context = self.context
        context.meter.progress.stage("training the uniform arm")
        uniform, uniform_model = final_arm(context, "uniform", None)
        if uniform.diverged:
            # Samplers would be compared with nothing.
            raise DataError(
                f"the uniform training diverged in epoch {len(uniform.losses)} of {context.task.epochs}; "
                "lower the learning rate (--lr)"
            )
        features, runner, z, verdict = self._rounds()
        weights = runner.space.weights(z)
        if verdict is None:
            context.meter.progress.stage("guard: pick against uniform, in full")
            verdict = guard(context, weights, is_uniform=bool((weights == weights[0]).all()))
        candidate = runner.space.policy(z, origin=self._origin(features))
        evidence = self._evidence(runner, weights)
        arms, model = self._arms(uniform, uniform_model, weights, verdict)
        self._complete_logs()
        accepted = verdict.accepted
        uniform_policy = runner.space.policy(self.form.uniform(), origin=self._origin(features))
        return SearchResult(
            task=context.task,
            seed=context.seed,
            settings=self.settings.to_dict(),
            arms=arms,
            policy=candidate if accepted else uniform_policy,
            candidate=candidate,
            weights=weights if accepted else torch.ones_like(weights),
            candidate_weights=weights,
            features=features.table,
            trials=tuple(self.state.trials),
            posterior_means=tuple(float(m) for m in self.state.posterior_means()),
            guard=verdict,
            cost=Cost(self.search_epochs, verdict.epochs, context.task.epochs, time.perf_counter() - began),
            drop_report=make_drop_report(context.task, features.table, weights, evidence=evidence),
            evidence=evidence,
            recommendation="searched" if accepted else "uniform",
            model=model,
            notes=tuple(self.notes),
        )

    def _complete_logs(self) -> None:
        for log in self.logs:
            while not log.is_complete():
                time.sleep(1.0)

    def _evidence(self, runner: RoundRunner, weights: Float[Tensor, " n"]) -> Evidence:
        numbers = [trial.number for trial in self.state.trials if trial.round == runner.number]
        seed, top = self.context.stream(9, 3), self.settings.top
        return gather_evidence(self.state, numbers, runner.space, self.form, weights, top=top, seed=seed)

    def _origin(self, features: FeatureStage) -> dict[str, Any]:
        task = self.context.task
        return {
            "task": task.name,
            "model": task.model_name,
            "num_examples": len(task.train),
            "epochs": task.epochs,
            "feature_source": features.table.source,
            "seed": self.context.seed,
        }

    def _rounds(self) -> tuple[FeatureStage, RoundRunner, Float[Tensor, " k"], Guard | None]:
        """Run all rounds; give the last features, their runner, the pick and the safe rule's verdict."""
        weights: Tensor | None = None
        best_cut: Trial | None = None
        prior = 0.0
        for number in range(1, self.settings.rounds + 1):
            if number > 1 and not self._can_afford_round():
                self.notes.append(f"round {number} was left out: it would cost more than max_cost")
                break
            progress = self.context.meter.progress
            progress.stage(f"round {number}: features")
            try:
                features = feature_stage(self.context, number, weights)
            except DataError as error:
                if number == 1:
                    raise
                self.notes.append(f"round {number} was left out: {error}")
                break
            self.search_epochs += features.epochs
            runner = self._runner(number, features)
            progress.stage(f"round {number}: trials")
            numbers = run_round(
                runner,
                best_before=best_cut,
                prior=prior,
                steps=self.settings.steps_of(number),
                limit=self._trials_left(runner),
            )
            self.search_epochs += sum(self.state.trials[i].epochs for i in numbers)
            self.search_epochs += sum(o.num_draws for o in runner.pilots.values()) / len(runner.space)
            z = pick_top(self.state, numbers, self.form, self.settings.top)
            best_cut = self._best_cut(numbers)
            prior = float(z[-1]) if self.form.has_prior else 0.0
            weights = runner.space.weights(z)
        verdict = self._safe_verdict() if self.settings.safe_rule else None
        return features, runner, z, verdict

    def _runner(self, number: int, features: FeatureStage) -> RoundRunner:
        context = self.context
        space = PolicySpace.fit(
            self.form,
            features.table,
            context.task.train_groups,
            num_classes=context.task.num_groups,
            kind=self.settings.transform,
        )
        if self.settings.proxy == "cross-fit":
            return RoundRunner(context, space, self._cross_fit_plan(), self.state, number, self.logs)
        plan = warm_start_plan(context, features)
        if number > 1 or not self.settings.pilot_gate:
            return RoundRunner(context, space, plan, self.state, number, self.logs)
        gate = gated_plan(context, space, plan, spent=self.search_epochs)
        self.search_epochs += gate.epochs
        if gate.note is not None:
            self.notes.append(gate.note)
        return RoundRunner(context, space, gate.plan, self.state, number, self.logs, dict(gate.pilots))

    def _cross_fit_plan(self) -> TrialPlan:
        context = self.context
        folds = cross_fit_folds(
            context.task.train_groups,
            share=_fold_share(context),
            num_folds=self.settings.num_folds,
            seed=context.stream(0, 5),
        )
        return TrialPlan(folds, context.epochs(self.settings.trial_share), seed=context.stream(0, 6))

    def _trials_left(self, runner: RoundRunner) -> int | None:
        limit = self.settings.max_cost
        if limit is None:
            return None
        trial = runner.plan.num_draws / len(runner.space)
        left = int((limit * self.context.task.epochs - self.search_epochs) / trial + 1e-9)
        # Uniform and one candidate: less is no search.
        return max(left, 2 if not self.state.trials else 0)

    def _can_afford_round(self) -> bool:
        limit, settings = self.settings.max_cost, self.settings
        if limit is None:
            return True
        trial = settings.trial_share * (
            _fold_share(self.context) * settings.num_folds if settings.proxy == "cross-fit" else 1.0
        )
        planned = self.context.feature_share + trial
        return self.search_epochs / self.context.task.epochs + planned <= limit * (1 + 1e-9)

    def _best_cut(self, numbers: list[int]) -> Trial | None:
        means = self.state.posterior_means()
        cuts = [i for i in numbers if self.state.trials[i].cut is not None]
        return self.state.trials[max(cuts, key=lambda i: means[i])] if cuts else None

    def _safe_verdict(self) -> Guard | None:
        best = int(np.argmax(self.state.posterior_means()))
        verdict = safe_rule(self.context, self.state, best)
        # A refusal is final; an approval still has to pass the guard where one is due.
        return None if verdict.accepted and guard_kind(self.context) != "none" else verdict

    def _arms(
        self, uniform: Arm, uniform_model: nn.Module, weights: Tensor, verdict: Guard
    ) -> tuple[dict[str, Arm], nn.Module]:
        arms, model = {"uniform": uniform}, uniform_model
        if verdict.accepted:
            arms["searched"], model = final_arm(self.context, "searched", weights)
        else:
            # Following the recommendation means training uniformly: the same run, not trained twice.
            arms["searched"] = Arm(
                "searched",
                uniform.test,
                uniform.validation,
                uniform.losses,
                uniform.num_steps,
                uniform.diverged,
            )
        oracle = oracle_weights(self.context)
        if oracle is not None:
            arms["oracle"], _ = final_arm(self.context, "oracle", oracle)
        return arms, model
