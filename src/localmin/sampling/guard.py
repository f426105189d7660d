"""Two rules that let uniform win: the safe rule on the trials made, the guard on trainings of its own."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.sampling.context import SearchContext
from localmin.sampling.execution import TrialRequest, TrialStage
from localmin.sampling.result import Guard
from localmin.sampling.rounds import RoundState
from localmin.sampling.trial import TrialOutcome, TrialPlan, cross_fit_folds
from localmin.tasks.run_folder import Stage

__all__ = ["guard", "guard_kind", "guard_plan", "safe_rule"]


def guard_kind(context: SearchContext) -> str:
    """Decide which guard is run.

    Networks with convolutions memorise slowly: a network on half of the data cannot tell hard from wrong,
    so they are compared on four fifths. With the quick preset other networks rely on the safe rule, which
    costs nothing.

    Args:
        context: Of the search.

    Returns:
        ``"halves"``, ``"four-fifths"`` or ``"none"``.
    """
    settings = context.settings
    if settings.guard != "auto":
        return settings.guard
    if context.convolutional:
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
        Two trainings (halves) or 3.2 (four fifths).
    """
    kind = guard_kind(context)
    if is_uniform:
        return Guard(kind, False, None, None, 0.0, "the search picked uniform")
    if kind == "none":
        return Guard(kind, True, None, None, 0.0, "no guard was asked for")
    plan = guard_plan(context, kind)

    def assemble(outcomes: list[TrialOutcome]) -> Stage:
        candidate, uniform = outcomes
        epochs = (candidate.num_draws + uniform.num_draws) / len(weights)
        for name, outcome in (("candidate", candidate), ("uniform", uniform)):
            if outcome.status != "done":
                failure = f"{name} {outcome.status}"
                return {"difference": None, "se": None, "epochs": epochs, "status": failure}, {}
        difference, error = context.score_weights.paired_difference(candidate, uniform)
        return {"difference": difference, "se": error, "epochs": epochs, "status": "done"}, {}

    requests = (
        TrialRequest("guard-candidate", weights, plan),
        TrialRequest("guard-uniform", torch.ones_like(weights), plan),
    )
    ((content, _),) = context.stages.trials([TrialStage("guard", requests, assemble)])
    difference, error, epochs = content["difference"], content["se"], content["epochs"]
    if difference is None:
        return Guard(kind, False, None, None, epochs, f"in the guard the {content['status']}")
    if difference > error:
        reason = "trained in full, it beats uniform by more than one standard error on unseen examples"
        return Guard(kind, True, difference, error, epochs, reason)
    reason = "trained in full, it does not beat uniform by one standard error on unseen examples"
    return Guard(kind, False, difference, error, epochs, reason)


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
