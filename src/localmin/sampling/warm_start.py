"""The paper's proxy: fine-tune shared weights under each candidate, score on validation.

Cheap, because a trial starts from an approximated local minimum. Where it fails: the shared weights have
seen every example, so a trial cannot show the price of dropping hard but right ones; without noise, and
with a score sharp enough, it recommends dropping them. The pilot gate guards against the opposite: trials
too short for memorisation to show, which cannot tell any sampler from uniform.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from localmin.sampling.context import SearchContext
from localmin.sampling.execution import TrialRequest, TrialStage
from localmin.sampling.policy import PolicySpace
from localmin.sampling.rounds import FeatureStage
from localmin.sampling.trial import TrialOutcome, TrialPlan

__all__ = ["Gate", "gated_plan", "warm_start_plan"]

_PILOT_CUT = 0.6
_MAX_DOUBLINGS = 1
_START_LR = 0.5


@dataclass(frozen=True, eq=False)
class Gate:
    """The plan that is to be used, and what finding it took.

    Args:
        plan: Of the trials.
        pilots: Outcomes under that plan by place of the cut: trials of the design that are made already.
        epochs: Cost of pilots at other lengths.
        note: A warning if no length passed.
    """

    plan: TrialPlan
    pilots: dict[float, TrialOutcome]
    epochs: float
    note: str | None


def warm_start_plan(context: SearchContext, features: FeatureStage) -> TrialPlan:
    """Plan trials that fine-tune the network of the feature run on all examples.

    Args:
        context: Of the search.
        features: Of the round; its network is the shared start.

    Returns:
        The plan: fresh optimiser, the learning rate at which the shared run stopped, cosine to zero.
    """
    everything = torch.arange(len(context.task.train))
    return TrialPlan(
        (everything,),
        context.epochs(context.settings.trial_share),
        seed=context.stream(0, 6),
        start=features.start,
        lr_scale=_START_LR,
    )


def gated_plan(context: SearchContext, space: PolicySpace, plan: TrialPlan, *, spent: float) -> Gate:
    """Lengthen trials until uniform and one cut differ by two standard errors, at most doubling once.

    Trials are not lengthened where the design at the new length would cost more than the search may.

    Args:
        context: Of the search.
        space: Gives the weights of the pilots.
        plan: To start from.
        spent: Epochs of the search so far.

    Returns:
        The plan to use.

    Cost:
        The pilots at the length that is used are trials of the design; those at the other length are
        extra.
    """
    epochs = 0.0
    for doubling in range(_MAX_DOUBLINGS + 1):
        pilots = _pilots(context, space, plan, doubling)
        if _told_apart(context, pilots):
            return Gate(plan, pilots, epochs, None)
        cost = sum(outcome.num_draws for outcome in pilots.values()) / len(space)
        longer = replace(plan, epochs=2 * plan.epochs)
        if doubling == _MAX_DOUBLINGS or not _affordable(context, longer, spent + epochs + cost):
            break
        plan, epochs = longer, epochs + cost
    note = (
        f"trials of {plan.epochs} epochs could not tell a cut from uniform by two standard errors: the "
        "scores of this search are mostly noise; use the standard preset"
    )
    return Gate(plan, pilots, epochs, note)


def _affordable(context: SearchContext, plan: TrialPlan, spent: float) -> bool:
    limit = context.settings.max_cost
    design = len(context.settings.cuts) * plan.num_draws / len(context.task.train)
    return limit is None or spent + design <= limit * context.task.epochs * (1 + 1e-9)


def _told_apart(context: SearchContext, pilots: dict[float, TrialOutcome]) -> bool:
    uniform, cut = pilots.values()
    if uniform.status != "done" or cut.status != "done":
        return False
    difference, error = context.score_weights.paired_difference(cut, uniform)
    # Strictly: trials too short to change any prediction differ by zero, with an error of zero.
    return abs(difference) > 2 * error


def _pilots(
    context: SearchContext, space: PolicySpace, plan: TrialPlan, doubling: int
) -> dict[float, TrialOutcome]:
    cuts = context.settings.cuts
    pilot = min(cuts[1:], default=_PILOT_CUT, key=lambda cut: abs(cut - _PILOT_CUT))
    stages = []
    for cut in (cuts[0], pilot):
        name = f"pilot-{doubling}-{'uniform' if cut == cuts[0] else 'cut'}"
        weights = space.weights(space.form.canonical(space.cut(cut)))
        request = TrialRequest(name, weights, plan)
        stages.append(TrialStage(name, (request,), lambda outcomes: outcomes[0].to_stage()))
    found = context.stages.trials(stages)
    return {cut: TrialOutcome.from_stage(*stage) for cut, stage in zip((cuts[0], pilot), found, strict=True)}
