"""Two rules that let uniform win: the safe rule on the trials made, the guard on trainings of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.sampling.context import SearchContext
from localmin.sampling.execution import TrialRequest, TrialStage
from localmin.sampling.result import Guard
from localmin.sampling.rounds import RoundState
from localmin.sampling.trial import TrialOutcome, TrialPlan, cross_fit_folds
from localmin.tasks.run_folder import Stage
from localmin.tasks.training import mix_seed

__all__ = ["guard", "guard_kind", "guard_plan", "safe_rule"]

_CLEAR = 2.0
_ARMS = ("candidate", "uniform")


def guard_kind(context: SearchContext) -> str:
    """Decide which guard is run.

    Networks with convolutions and language models memorise slowly: a network on half of the data cannot tell
    hard from wrong, so they are compared on four fifths. With the quick preset other networks rely on the
    safe rule, which costs nothing.

    Args:
        context: Of the search.

    Returns:
        ``"halves"``, ``"four-fifths"`` or ``"none"``.
    """
    settings = context.settings
    if settings.guard != "auto":
        return settings.guard
    if context.shares_weights:
        return "four-fifths"
    return "none" if settings.safe_rule else "halves"


def guard_plan(context: SearchContext, kind: str) -> TrialPlan:
    """Plan the guard's trainings: full length, from scratch, two networks an arm."""
    share = 0.5 if kind == "halves" else 0.8
    return TrialPlan(
        cross_fit_folds(context.task.train_groups, share=share, num_folds=2, seed=context.stream(9, 1)),
        epochs=context.task.epochs,
        seed=context.stream(9, 2),
    )


def guard(context: SearchContext, weights: Float[Tensor, " n"], *, is_uniform: bool) -> Guard:
    """Train under uniform and under the candidate, and compare them on what they have not seen.

    Args:
        context: Of the search.
        weights: Of the candidate, shape ``(n,)``.
        is_uniform: Whether the candidate is uniform; nothing is trained then.

    Returns:
        The verdict: accepted if the mean difference exceeds one paired standard error.

    Cost:
        Two trainings (halves); four fifths take 1.6 where the first pair of networks is clear (above two
        standard errors, or not above zero), else 3.2.
    """
    kind = guard_kind(context)
    if is_uniform:
        return Guard(kind, False, None, None, 0.0, "the search picked uniform")
    if kind == "none":
        return Guard(kind, True, None, None, 0.0, "no guard was asked for")
    plan = guard_plan(context, kind)
    if kind == "halves":
        return _verdict(context, kind, [_train_pair(context, weights, "guard", plan)])
    # One network of each arm decides where it can: the second pair is trained only in between.
    plans = [replace(plan, folds=(fold,), seed=mix_seed(plan.seed, i)) for i, fold in enumerate(plan.folds)]
    pairs = [_train_pair(context, weights, "guard-first", plans[0])]
    begun = _verdict(context, kind, pairs)
    # After a failure there is no difference, and nothing more to train.
    if 0 < (begun.difference or 0.0) <= _CLEAR * (begun.standard_error or 0.0):
        pairs.append(_train_pair(context, weights, "guard-second", plans[1]))
        return _verdict(context, kind, pairs)
    return begun


def _train_pair(
    context: SearchContext, weights: Float[Tensor, " n"], name: str, plan: TrialPlan
) -> tuple[TrialOutcome, TrialOutcome]:
    """Train under the candidate and under uniform, as the plan says."""

    def assemble(outcomes: list[TrialOutcome]) -> Stage:
        kept: dict[str, Any] = {}
        arrays: dict[str, Tensor] = {}
        for arm, outcome in zip(_ARMS, outcomes, strict=True):
            kept[arm], parts = outcome.to_stage()
            arrays |= {f"{arm}.{key}": value for key, value in parts.items()}
        return kept, arrays

    requests = (
        TrialRequest(f"{name}-candidate", weights, plan),
        TrialRequest(f"{name}-uniform", torch.ones_like(weights), plan),
    )
    ((content, arrays),) = context.stages.trials([TrialStage(name, requests, assemble)])
    candidate, uniform = (
        TrialOutcome.from_stage(
            content[arm],
            {key.removeprefix(f"{arm}."): value for key, value in arrays.items() if key.startswith(arm)},
        )
        for arm in _ARMS
    )
    return candidate, uniform


def _verdict(context: SearchContext, kind: str, pairs: list[tuple[TrialOutcome, TrialOutcome]]) -> Guard:
    """Compare the arms item by item, over all networks that looked at an item."""
    epochs = sum(outcome.num_draws for pair in pairs for outcome in pair) / len(context.task.train)
    for pair in pairs:
        for arm, outcome in zip(_ARMS, pair, strict=True):
            if outcome.status != "done":
                return Guard(kind, False, None, None, epochs, f"in the guard the {arm} {outcome.status}")
    candidate, uniform = (_joined([pair[i] for pair in pairs]) for i in range(2))
    difference, error = context.score_weights.paired_difference(candidate, uniform)
    accepted = difference > error
    beats = "beats uniform by more than" if accepted else "does not beat uniform by"
    reason = f"trained in full, it {beats} one standard error on unseen examples"
    return Guard(kind, accepted, difference, error, epochs, reason)


def _joined(outcomes: list[TrialOutcome]) -> TrialOutcome:
    looks = torch.stack([outcome.looks for outcome in outcomes]).sum(0)
    hits = torch.stack([outcome.hits * outcome.looks for outcome in outcomes]).sum(0)
    last = torch.stack([outcome.last_hits * outcome.looks for outcome in outcomes]).sum(0)
    seen = looks.clamp_min(1)
    return TrialOutcome(hits / seen, last / seen, looks, sum(outcome.num_draws for outcome in outcomes))


def safe_rule(context: SearchContext, state: RoundState, best: int) -> Guard:
    """Compare the best trial with the uniform one item by item, at no cost.

    Args:
        context: Of the search.
        state: Trial 0 is uniform.
        best: Number of the trial with the largest posterior mean.

    Returns:
        The verdict: accepted if the last pass of the best trial beats that of uniform by more than one
        paired standard error.
    """
    if best == 0:
        return Guard("safe-rule", False, None, None, 0.0, "uniform has the best estimated score")
    uniform: TrialOutcome = state.outcomes[0]
    if uniform.status != "done":
        return Guard("safe-rule", False, None, None, 0.0, f"the uniform trial {uniform.status}")
    difference, error = context.score_weights.paired_difference(state.outcomes[best], uniform, last=True)
    if difference > error:
        reason = "its trial beats the uniform one by more than one paired standard error"
        return Guard("safe-rule", True, difference, error, 0.0, reason)
    reason = "its trial does not beat the uniform one by one paired standard error"
    return Guard("safe-rule", False, difference, error, 0.0, reason)
