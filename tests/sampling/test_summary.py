from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from localmin.sampling import SearchResult, search
from localmin.sampling.result import Arm
from localmin.sampling.settings import PRESETS
from localmin.sampling.summary import mean_and_error, policy_seed, recommend, summarize
from localmin.tasks import Task

MakeTask = Callable[..., Task]
QUICK = replace(PRESETS["quick"], cuts=(1.2, 0.6))


@pytest.fixture
def result(make_task: MakeTask) -> SearchResult:
    return search(make_task(noise=0.3), settings=QUICK)


def with_scores(result: SearchResult, uniform: float, searched: float, oracle: float | None) -> SearchResult:
    def arm(name: str, test: float) -> Arm:
        return replace(result.arms["uniform"], name=name, test=test)  # type: ignore[arg-type]

    arms = {"uniform": arm("uniform", uniform), "searched": arm("searched", searched)}
    if oracle is not None:
        arms["oracle"] = arm("oracle", oracle)
    return replace(result, arms=arms)


def test_means_and_errors() -> None:
    assert mean_and_error([0.5]) == {"mean": 0.5, "se": None, "values": [0.5]}
    three = mean_and_error([0.1, 0.2, 0.6])
    assert three["mean"] == pytest.approx(0.3)
    assert three["se"] == pytest.approx((((0.2**2 + 0.1**2 + 0.3**2) / 2) ** 0.5) / 3**0.5)


def test_the_gap_is_a_mean_of_ratios_where_there_is_a_gap(result: SearchResult) -> None:
    results = [
        with_scores(result, 0.80, 0.86, 0.90),
        with_scores(result, 0.80, 0.84, 1.00),
        with_scores(result, 0.90, 0.95, 0.88),
    ]
    assert results[2].gap_closed is None
    summary = summarize(results, command="x")
    assert summary["gap_closed"]["values"] == pytest.approx([0.6, 0.2])
    assert summary["gain"]["test"]["values"] == pytest.approx([0.06, 0.04, 0.05])
    assert summary["oracle"]["test"]["mean"] == pytest.approx((0.9 + 1.0 + 0.88) / 3)
    without = summarize([with_scores(result, 0.8, 0.9, None)], command="x")
    assert without["oracle"] is None
    assert without["gap_closed"] is None


def test_the_majority_of_the_guards_decides(result: SearchResult) -> None:
    yes = replace(result, recommendation="searched", seed=1)
    no = replace(result, recommendation="uniform", seed=2)
    assert recommend([yes]) == recommend([yes, yes, no]) == "searched"
    assert recommend([no]) == recommend([yes, no]) == recommend([no, no, yes]) == "uniform"
    # the test scores have no say
    assert recommend([with_scores(no, 0.1, 0.9, 1.0)]) == "uniform"
    assert policy_seed([yes, no, no]) == 1
    assert policy_seed([no, yes, yes]) == 1
    assert summarize([no, yes, yes], command="x")["policy_seed"] == 1


def test_what_is_drawn_rarely_and_by_class(result: SearchResult) -> None:
    weights = torch.ones(160).double()
    weights[:40] = 0.1
    summary = summarize([replace(result, weights=weights, candidate_weights=weights)], command="x")
    assert summary["rarely_drawn"]["share"]["mean"] == 0.25
    classes = summary["per_seed"][0]["classes"]
    assert [one["num_examples"] for one in classes] == result.task.train.labels.bincount().tolist()
    total = sum(one["num_examples"] * one["mean_draws"] for one in classes)
    assert total == pytest.approx(160)


def test_a_summary_is_json_and_holds_what_readers_count_on(result: SearchResult) -> None:
    summary = summarize([result], command="localmin search x", device="cpu")
    back = json.loads(json.dumps(summary, allow_nan=False))
    promised = {"command", "data", "seeds", "noise", "uniform", "searched", "oracle", "gap_closed", "policy"}
    assert set(back) >= promised | {"num_trials", "cost", "recommendation", "versions"}
    assert set(back["cost"]) >= {"search_epochs", "training_epochs", "ratio", "seconds"}
    assert back["noise"]["kind"] == "symmetric"
    assert back["noise"]["realised"] == pytest.approx(0.3)
    assert back["settings"]["cuts"] == [1.2, 0.6]
