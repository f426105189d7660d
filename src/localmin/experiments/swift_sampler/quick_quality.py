"""ss-quick-quality: do cheap trials rank samplers as full trainings do?"""

from __future__ import annotations

from typing import Any

import torch
from scipy.stats import spearmanr
from torch import Tensor

from localmin.charts import Chart, Series
from localmin.experiments.claim import ClaimCheck
from localmin.experiments.swift_sampler.noisy_digits import noisy_digits
from localmin.experiments.swift_sampler.peers import train_arm
from localmin.sampling.engines.random_engine import random_parameters
from localmin.sampling.feature_run import run_features
from localmin.sampling.forms import get_form
from localmin.sampling.policy import PolicySpace
from localmin.sampling.trial import ScoreWeights, TrialPlan, cross_fit_folds, run_trial
from localmin.tasks import Task
from localmin.tasks.training import Start, mix_seed

__all__ = ["check_quick_quality"]

_ENOUGH = 0.5
_CUTS = (1.2, 0.85, 0.7, 0.55, 0.4)
_NUM_RANDOM = 7
_FOLD, _FINE_TUNE, _WARM_LR = 0.25, 0.25, 0.5


def check_quick_quality(*, seed: int = 0, quick: bool = False) -> ClaimCheck:
    """Correlate the ranks of trial scores and of test accuracies after full trainings.

    Two kinds of trial, each at a quarter of a training: fine-tuning of shared weights (the paper's), and
    training from scratch on a quarter of the examples, scored on the others (ours).

    Args:
        seed: The first of one (quick) or two seeds.
        quick: Five samplers at one noise rate in place of twelve at three.

    Returns:
        The check: Spearman's correlation for each proxy and noise rate.
    """
    rates = (0.4,) if quick else (0.0, 0.2, 0.4)
    rows, points = [], {}
    for noise in rates:
        for number in (seed,) if quick else (seed, seed + 1):
            row, scores = _measure(noisy_digits(number, noise=noise), number, quick)
            rows.append({"noise": noise, "seed": number, **row})
            points[noise] = scores
    means = {
        proxy: {str(noise): _mean([row[proxy] for row in rows if row["noise"] == noise]) for noise in rates}
        for proxy in ("from scratch", "warm start")
    }
    good = [proxy for proxy, found in means.items() if found["0.4"] >= _ENOUGH]
    return ClaimCheck(
        "ss-quick-quality",
        "holds" if len(good) == 2 else ("partly" if good else "does-not-hold"),
        f"rank correlation of at least {_ENOUGH} at 40 % noise, for trials of a quarter of a training",
        means,
        "a correlation over five (quick) or twelve samplers is uncertain by 0.2 to 0.4",
        "digits; without noise all samplers that keep enough are alike: a correlation says little there",
        rows=tuple(rows),
        figures=(_chart(*points[0.4]),),
    )


def _measure(task: Task, seed: int, quick: bool) -> tuple[dict[str, Any], tuple[list[float], ...]]:
    table, trained = run_features(
        task,
        source="step-mean",
        epochs=max(1, task.epochs // 2),
        seed=mix_seed(seed, 1, 2),
        model_seed=mix_seed(seed, 0, 1),
    )
    space = PolicySpace.fit(get_form("d"), table, task.train.labels, num_classes=task.num_classes)
    start = Start(dict(trained.model.state_dict()))
    plans = {
        "from scratch": TrialPlan(
            cross_fit_folds(task.train.labels, share=_FOLD, num_folds=1, seed=mix_seed(seed, 0, 5)),
            epochs=task.epochs,
            seed=mix_seed(seed, 0, 6),
        ),
        "warm start": TrialPlan(
            (torch.arange(len(task.train)),),
            epochs=max(1, round(_FINE_TUNE * task.epochs)),
            seed=mix_seed(seed, 0, 6),
            start=start,
            lr_scale=_WARM_LR,
        ),
    }
    samplers = _samplers(space, seed, quick)
    full = [train_arm(task, weights, seed=seed).test for weights in samplers]
    judge = ScoreWeights.for_task(task, None)
    scores = {
        name: [judge.score(run_trial(task, weights, plan))[0] for weights in samplers]
        for name, plan in plans.items()
    }
    row = {name: float(spearmanr(values, full).statistic) for name, values in scores.items()}
    row["samplers"] = len(samplers)
    return row, (full, scores["from scratch"], scores["warm start"])


def _samplers(space: PolicySpace, seed: int, quick: bool) -> list[Tensor]:
    numbers = [space.cut(cut) for cut in _CUTS]
    if not quick:
        generator = torch.Generator().manual_seed(seed)
        numbers += list(random_parameters(space.form, _NUM_RANDOM, generator, monotone=_NUM_RANDOM // 2))
    return [space.weights(z) for z in numbers]


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _chart(full: list[float], scratch: list[float], warm: list[float]) -> Chart:
    return Chart(
        "ss-trials",
        "Score of a trial and accuracy after a full training, 40 % noise",
        "score of the trial on noisy labels",
        "test accuracy after a full training",
        (
            Series("from scratch", scratch, full, "points", "accent"),
            Series("warm start", warm, full, "points", "muted"),
        ),
        note="Each point is a sampler; a proxy is good if its points rise to the right.",
    )
