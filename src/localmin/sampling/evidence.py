"""How sure it is that an example is bad: policies drawn from the posterior, and networks that never saw it.

Two questions, both answered from trials that were made anyway. *Would another search of the same scores
have dropped it too?* Scores are drawn from the surrogate's posterior again and again, each time the best
samplers are picked and averaged as the search does, and the draws of an example get an interval. *Does its
label look wrong to networks that were not trained on it?* The credit that held-out networks of all trials
gave it is compared with the credits of the examples that are kept: the share of those that did no better
is a conformal p-value of "this example is like the kept ones".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from localmin.sampling.forms import Form
from localmin.sampling.policy import PolicySpace
from localmin.sampling.rounds import RoundState

__all__ = ["LEVEL", "NEARLY_NEVER", "Evidence", "conformal_p_values", "gather_evidence"]

NEARLY_NEVER = 0.05
LEVEL = 0.05

_KEPT = 0.5
_MAX_POLICIES = 100
_MIN_POLICIES = 20
_MAX_NUMBERS = 20_000_000


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known of each training example beside the pick itself.

    Args:
        draws_low: 5 % quantile of the expected draws per epoch over posterior policies, shape ``(n,)``.
        draws_high: 95 % quantile, shape ``(n,)``.
        held_out_credit: Mean credit by networks that were not trained on it: the share that agree with its
            label; NaN where no trial held it out. Shape ``(n,)``.
        p_value: Of being like the kept examples, shape ``(n,)``; NaN where no trial held it out.
        surely_bad: Dropped by at least 95 % of the posterior policies, and predicted by held-out networks no
            better than the worst 5 % of the kept examples, shape ``(n,)``.
        num_policies: Policies drawn from the posterior.
    """

    draws_low: Float[Tensor, " n"]
    draws_high: Float[Tensor, " n"]
    held_out_credit: Float[Tensor, " n"]
    p_value: Float[Tensor, " n"]
    surely_bad: Bool[Tensor, " n"]
    num_policies: int


def gather_evidence(
    state: RoundState,
    numbers: list[int],
    space: PolicySpace,
    form: Form,
    weights: Float[Tensor, " n"],
    *,
    top: int,
    seed: int,
) -> Evidence:
    """Judge every training example with the trials that were made.

    Args:
        state: All trials.
        numbers: Trials of the last round, among which the search picked.
        space: Policies over the features of that round.
        form: Of the policies.
        weights: Of the pick, shape ``(n,)``.
        top: Samplers averaged by a pick.
        seed: Of the posterior draws.

    Returns:
        The evidence.

    Cost:
        One evaluation of a policy for each posterior draw, up to 100; no training.

    Source:
        Conformal p-values for outliers: [bates2023]. The kept examples were chosen with the same trials and
        hold some bad ones themselves, so the level is no guarantee; how often the flag is right was measured.
    """
    policies = _posterior_policies(state, numbers, form, top=top, count=_count(len(space)), seed=seed)
    # Where every trial failed there is only the pick itself.
    drawn = [_draws(space.weights(z)) for z in policies] or [_draws(weights)]
    table = np.stack([draws.numpy().astype(np.float32) for draws in drawn])
    low, high = np.quantile(table, (0.05, 0.95), axis=0)
    credit = held_out_credit(state, len(weights))
    kept = _draws(weights) >= _KEPT
    p_value = conformal_p_values(credit, kept)
    high_draws = torch.from_numpy(np.asarray(high, dtype=np.float64))
    # A comparison with NaN is false: what no trial held out is never called sure.
    surely = (high_draws < NEARLY_NEVER) & (p_value <= LEVEL)
    low_draws = torch.from_numpy(np.asarray(low, dtype=np.float64))
    return Evidence(low_draws, high_draws, credit, p_value, surely, len(policies))


def held_out_credit(state: RoundState, num_examples: int) -> Float[Tensor, " n"]:
    """Average the credit of each training example over all trials that held it out.

    Args:
        state: All trials.
        num_examples: n.

    Returns:
        Shape ``(n,)``; NaN where no trial held it out.
    """
    total, looks = (torch.zeros(num_examples, dtype=torch.float64) for _ in range(2))
    for trial, outcome in zip(state.trials, state.outcomes, strict=True):
        if trial.status == "done":
            total += (outcome.hits * outcome.looks)[:num_examples]
            looks += outcome.looks[:num_examples]
    return torch.where(looks > 0, total / looks.clamp_min(1), torch.nan)


def conformal_p_values(credit: Float[Tensor, " n"], reference: Bool[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Compute ``(1 + #{reference j: credit_j <= credit_i}) / (1 + m)``.

    Args:
        credit: Shape ``(n,)``, NaN where unknown.
        reference: The m examples to compare with, shape ``(n,)``.

    Returns:
        Shape ``(n,)``, in (0, 1]; NaN where the credit is unknown. Uniform for an example that is
        exchangeable with the reference; small where it is worse.

    Example:
        >>> credit = torch.tensor([0.9, 0.8, 0.7, 0.1], dtype=torch.float64)
        >>> conformal_p_values(credit, torch.tensor([True, True, True, False])).tolist()
        [1.0, 0.75, 0.5, 0.25]
    """
    known = credit[reference & ~credit.isnan()].sort().values
    below = torch.searchsorted(known, credit.nan_to_num(0.0), right=True).double()
    return torch.where(credit.isnan(), torch.nan, (1 + below) / (1 + len(known)))


def _posterior_policies(
    state: RoundState, numbers: list[int], form: Form, *, top: int, count: int, seed: int
) -> list[Float[Tensor, " k"]]:
    done = [i for i in numbers if state.trials[i].status == "done"]
    if not done:
        return []
    points = np.stack([state.observations[i].point.numpy() for i in done])
    posterior = state.process().posterior(points)
    generator = np.random.default_rng(seed)
    policies = []
    for _ in range(count):
        scores = posterior.mean + posterior.deviation * generator.standard_normal(len(done))
        best = np.argsort(-scores, kind="stable")[:top]
        policies.append(
            form.canonical(torch.stack([state.observations[done[int(i)]].z for i in best]).mean(0))
        )
    return policies


def _count(num_examples: int) -> int:
    return max(_MIN_POLICIES, min(_MAX_POLICIES, _MAX_NUMBERS // max(1, num_examples)))


def _draws(weights: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    return weights * (len(weights) / weights.sum())
