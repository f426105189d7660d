"""ss-ten-parameters: how far ten numbers reach, against one weight for every example."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from localmin.charts import Figure, HeatMap
from localmin.experiments.claim import ClaimCheck
from localmin.experiments.swift_sampler.noisy_digits import noisy_digits
from localmin.experiments.swift_sampler.peers import train_arm
from localmin.sampling.feature_run import run_features
from localmin.sampling.forms import FORMS, get_form
from localmin.sampling.policy import PolicySpace
from localmin.sampling.second_opinion import average_tables, plan_opinion
from localmin.tasks import Task
from localmin.tasks.training import mix_seed

__all__ = ["check_ten_parameters"]

_CUTS = (0.8, 0.7, 0.6, 0.5, 0.4)
_QUICK_CUTS = (0.7, 0.6, 0.5)
_ENOUGH = 0.75
_BINS = 5


def check_ten_parameters(*, seed: int = 0, quick: bool = False) -> ClaimCheck:
    """Compare the best cut that ten numbers can express with weights that know every clean label.

    Args:
        seed: The first of one (quick) or three seeds.
        quick: Fewer cuts.

    Returns:
        The check: parameters of every form, share of the gap that the best cut closes, and two heat maps
        over loss and renormed entropy in the shape of the paper's first figure.
    """
    counts = {name: get_form(name).num_parameters for name in FORMS}
    rows: list[dict[str, Any]] = []
    figures: tuple[Figure, ...] = ()
    for number in (seed,) if quick else range(seed, seed + 3):
        task = noisy_digits(number)
        space = _space(task, number)
        row, best = _measure(task, space, number, _QUICK_CUTS if quick else _CUTS)
        rows.append(row)
        figures = figures or _maps(task, space, best)
    gap = sum(row["gap"] for row in rows) / len(rows)
    is_ten = set(counts.values()) == {10}
    return ClaimCheck(
        "ss-ten-parameters",
        "holds" if is_ten and gap >= _ENOUGH else ("partly" if is_ten and gap > 0 else "does-not-hold"),
        f"10 parameters in every form; at least {_ENOUGH:.0%} of the gap between uniform and clean labels",
        {"parameters": counts, "gap_closed": gap, "weights_per_example": len(task.train)},
        "the place of the cut is chosen by test accuracy: this is what the function class can do, not what a "
        "search finds; one seed is uncertain by about 0.1",
        "digits with 40 % symmetric noise; the oracle has one weight per example",
        rows=tuple(rows),
        figures=figures,
    )


def _space(task: Task, seed: int) -> PolicySpace:
    """Take the features that a search would: of half a training, averaged with the second opinion."""
    table, _ = run_features(
        task,
        source="step-mean",
        epochs=max(1, task.epochs // 2),
        seed=mix_seed(seed, 1, 2),
        model_seed=mix_seed(seed, 0, 1),
    )
    plan = plan_opinion(task)
    if plan is not None:
        table = average_tables(table, plan.table(task, seed=mix_seed(seed, 0, 7)))
    return PolicySpace.fit(get_form("d"), table, task.train.labels, num_classes=task.num_classes)


def _measure(
    task: Task, space: PolicySpace, seed: int, cuts: tuple[float, ...]
) -> tuple[dict[str, Any], Tensor]:
    clean = task.clean_train_labels
    assert clean is not None
    uniform = train_arm(task, seed=seed).test
    oracle = train_arm(task, (clean == task.train.labels).double(), seed=seed).test
    scores = {cut: train_arm(task, space.weights(space.cut(cut)), seed=seed).test for cut in cuts}
    best = max(scores, key=lambda cut: scores[cut])
    row = {
        "seed": seed,
        "uniform": uniform,
        "best of ten numbers": scores[best],
        "one weight each": oracle,
        "cut": best,
        "gap": (scores[best] - uniform) / (oracle - uniform) if oracle > uniform else 0.0,
    }
    return row, space.weights(space.cut(best))


def _maps(task: Task, space: PolicySpace, weights: Tensor) -> tuple[Figure, ...]:
    """Draw where wrong labels lie and what is drawn, over the ranks of both features."""
    clean = task.clean_train_labels
    assert clean is not None
    wrong = (clean != task.train.labels).double()
    cell = (space.places * _BINS).long().clamp_max(_BINS - 1)
    number = cell[:, 1] * _BINS + cell[:, 0]
    size = number.bincount(minlength=_BINS**2).double()
    centres = [(i + 0.5) / _BINS for i in range(_BINS)]

    def mean(values: Tensor) -> list[list[float]]:
        total = number.bincount(weights=values, minlength=_BINS**2)
        grid: list[list[float]] = torch.where(size > 0, total / size, torch.nan).view(_BINS, _BINS).tolist()
        return grid

    axes = ("rank of the loss", "rank of the renormed entropy")
    drawn = weights / weights.mean()
    return (
        HeatMap(
            "ss-wrong-labels", "Where wrong labels lie", *axes, "share of wrong labels",
            centres, centres, mean(wrong),
            note="Wrong labels gather at high loss, and there at low renormed entropy.",
        ),
        HeatMap(
            "ss-drawn", "What the best cut draws", *axes, "expected draws an epoch",
            centres, centres, mean(drawn),
            note="Examples of high loss are not drawn; the others make up for it.",
        ),
    )  # fmt: skip
