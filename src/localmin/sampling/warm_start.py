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
from localmin.sampling.policy import PolicySpace
from localmin.sampling.rounds import FeatureStage
from localmin.sampling.trial import TrialPlan, run_trial
from localmin.tasks.run_folder import Stage

__all__ = ["Gate", "gated_plan", "warm_start_plan"]

_PILOT_CUT = 0.6
_MAX_DOUBLINGS = 1
_START_LR = 0.5


@dataclass(frozen=True, eq=False)
class Gate:
    """The plan that passed the gate, what finding it cost, and a warning if none passed."""

    plan: TrialPlan
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


def gated_plan(context: SearchContext, space: PolicySpace, plan: TrialPlan) -> Gate:
    """Lengthen trials until uniform and one cut differ by two standard errors, at most doubling once.

    Args:
        context: Of the search.
        space: Gives the weights of the pilots.
        plan: To start from.

    Returns:
        The plan to use.

    Cost:
        The pilots at the length that is used are repeated as trials of the design; those at other
        lengths are extra.
    """
    epochs = 0.0
    for doubling in range(_MAX_DOUBLINGS + 1):
        difference, error, cost = _pilot(context, space, plan, doubling)
        epochs += cost
        if abs(difference) >= 2 * error:
            return Gate(plan, epochs, None)
        if doubling < _MAX_DOUBLINGS:
            plan = replace(plan, epochs=2 * plan.epochs)
    note = (
        "trials could not tell a cut from uniform by two standard errors, even at twice the length: "
        "the scores of this search are mostly noise; use the standard preset"
    )
    return Gate(plan, epochs, note)


def _pilot(
    context: SearchContext, space: PolicySpace, plan: TrialPlan, doubling: int
) -> tuple[float, float, float]:
    def compute() -> Stage:
        outcomes = [
            run_trial(
                context.task, space.weights(z), plan, device=context.device, on_draws=context.meter.draws
            )
            for z in (space.form.uniform(), space.form.cut(_PILOT_CUT))
        ]
        epochs = sum(outcome.num_draws for outcome in outcomes) / len(space)
        if any(outcome.status != "done" for outcome in outcomes):
            return {"difference": 0.0, "se": 1.0, "epochs": epochs}, {}
        difference, error = context.score_weights.paired_difference(outcomes[1], outcomes[0])
        return {"difference": difference, "se": error, "epochs": epochs}, {}

    content, _ = context.folder.once(f"pilot-{doubling}", compute)
    return content["difference"], content["se"], content["epochs"]
