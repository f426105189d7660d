from __future__ import annotations

from collections.abc import Callable

import torch
from scipy import stats

from localmin.sampling import SearchResult, SearchSettings, search
from localmin.sampling.evidence import conformal_p_values
from localmin.tasks import Task

MakeTask = Callable[..., Task]
SETTINGS = SearchSettings(cuts=(1.2, 0.8, 0.6), steps=1, refresh_cuts=2, top=2, guard="none")


def found(make_task: MakeTask, noise: float) -> SearchResult:
    task = make_task(noise=noise, sizes=(200, 60, 60), spread=0.8, recipe={"epochs": 8})
    return search(task, seed=0, settings=SETTINGS)


def test_p_values_of_exchangeable_examples_are_uniform() -> None:
    generator = torch.Generator().manual_seed(0)
    p = []
    for _ in range(400):
        credit = torch.rand(40, generator=generator, dtype=torch.float64)
        p.append(float(conformal_p_values(credit, torch.arange(40) > 0)[0]))
    # 400 draws of a discrete uniform: a level of 1 in 1,000 for a fixed seed.
    assert stats.kstest(p, stats.uniform(0, 1).cdf).pvalue > 0.001
    assert min(p) >= 1 / 40
    assert max(p) <= 1


def test_an_example_nobody_held_out_has_no_p_value() -> None:
    credit = torch.tensor([float("nan"), 0.5, 0.7]).double()
    p = conformal_p_values(credit, torch.tensor([True, True, True]))
    assert bool(p[0].isnan())
    # The reference has two known credits: both lie below or at 0.7.
    assert p[1:].tolist() == [2 / 3, 1.0]


def test_the_interval_holds_the_pick_of_nearly_every_example_and_the_flag_is_for_dropped_ones(
    make_task: MakeTask,
) -> None:
    result = found(make_task, 0.3)
    evidence, weights = result.evidence, result.candidate_weights
    draws = weights * (len(weights) / weights.sum())
    assert bool((evidence.draws_low <= evidence.draws_high).all())
    inside = (draws >= evidence.draws_low - 0.2) & (draws <= evidence.draws_high + 0.2)
    assert float(inside.double().mean()) > 0.8
    assert bool((evidence.draws_high[evidence.surely_bad] < 0.05).all())
    assert bool((evidence.p_value[evidence.surely_bad] <= 0.05).all())


def test_flagged_examples_are_wrong_more_often_than_dropped_ones(make_task: MakeTask) -> None:
    result = found(make_task, 0.3)
    wrong = result.task.wrong_labels
    assert wrong is not None
    report = result.drop_report
    assert report.num_surely_bad
    assert report.num_surely_bad_wrong is not None
    assert report.num_dropped_wrong is not None
    flagged = report.num_surely_bad_wrong / report.num_surely_bad
    assert flagged >= report.num_dropped_wrong / report.num_dropped
    assert flagged > 0.85
    # Held-out networks agree with right labels and not with wrong ones.
    credit = result.evidence.held_out_credit
    assert float(credit[~wrong].mean()) > float(credit[wrong].mean()) + 0.3


def test_exports_agree_with_the_report(make_task: MakeTask) -> None:
    report = found(make_task, 0.3).drop_report
    rows = report.to_csv().splitlines()
    assert rows[0].split(",")[:6] == [
        "id", "index", "given_label", "predicted_label", "confidence", "surely_bad",
    ]  # fmt: skip
    assert len(rows) == report.num_dropped + 1
    flags = [bool(example.surely_bad) for example in report.examples]
    assert flags == sorted(flags, reverse=True), "surely bad ones come first"
    text = report.to_markdown()
    assert f"{report.num_dropped} of 200 training examples" in text
    assert text.count("| yes |") == min(50, report.num_surely_bad or 0)
