"""Every case of the sentence, from a real result that is bent where the case needs it."""

from __future__ import annotations

from typing import Any

from localmin.reports import story
from localmin.reports.quantities import Result


def scores(summary: dict[str, Any], arm: str, values: list[float], se: float | None) -> None:
    summary[arm] = {"test": {"mean": sum(values) / len(values), "se": se, "values": values}}


def outcome_of(summary: dict[str, Any], before: float, after: float, *, se: float | None) -> dict[str, Any]:
    count = len(summary["seeds"])
    scores(summary, "uniform", [before] * count, None if count == 1 else 0.01)
    scores(summary, "searched", [after] * count, None if count == 1 else 0.01)
    summary["gain"] = {"test": {"mean": after - before, "se": se, "values": [after - before] * count}}
    summary["rarely_drawn"]["share"]["mean"] = 0.31
    accept(summary, [True] * count)
    return summary


def accept(summary: dict[str, Any], accepted: list[bool]) -> None:
    for one, good in zip(summary["per_seed"], accepted, strict=True):
        one["recommendation"] = "searched" if good else "uniform"
        one["guard"]["accepted"] = good
    summary["recommendation"] = "searched" if 2 * sum(accepted) > len(accepted) else "uniform"
    wanted = [
        one["seed"] for one in summary["per_seed"] if one["recommendation"] == summary["recommendation"]
    ]
    summary["policy_seed"] = wanted[0]


def headline(summary: dict[str, Any]) -> str:
    return str(story.headline(Result(summary)))


def test_rise_with_oracle(summary: dict[str, Any]) -> None:
    outcome_of(summary, 0.839, 0.941, se=0.01)
    scores(summary, "oracle", [0.952] * 3, 0.01)
    assert headline(summary) == (
        "With 31.0 % of the examples drawn rarely or never, test accuracy rose from 83.9 % to 94.1 % "
        "(mean of 3 seeds); training on the correctly labelled examples alone, which no search can know, "
        "gives 95.2 %."
    )


def test_rise_without_oracle_on_one_seed(one_seed: dict[str, Any]) -> None:
    outcome_of(one_seed, 0.5, 0.6, se=None)
    one_seed["oracle"] = None
    assert headline(one_seed) == (
        "With 31.0 % of the examples drawn rarely or never, test accuracy rose from 50.0 % to 60.0 % "
        "(one seed)."
    )


def test_worse_than_uniform_is_said_and_doubted(summary: dict[str, Any]) -> None:
    outcome_of(summary, 0.9, 0.85, se=0.01)
    assert "test accuracy fell from 90.0 % to 85.0 %" in headline(summary)
    assert "disagree" in str(story.recommendation_sentence(Result(summary)))
    outcome_of(summary, 0.85, 0.9, se=0.01)
    assert "disagree" not in str(story.recommendation_sentence(Result(summary)))


def test_change_within_its_error_is_no_change(summary: dict[str, Any]) -> None:
    outcome_of(summary, 0.9, 0.905, se=0.02)
    assert story.outcome(Result(summary)) == "unchanged"
    assert "went from 90.0 % to 90.5 %, no further than the error" in headline(summary)


def test_equal_scores_stay(one_seed: dict[str, Any]) -> None:
    outcome_of(one_seed, 0.9, 0.9, se=None)
    assert "test accuracy stayed at 90.0 % (one seed)" in headline(one_seed)


def test_nothing_found(summary: dict[str, Any]) -> None:
    outcome_of(summary, 0.9, 0.9, se=0.0)
    accept(summary, [False] * 3)
    summary["oracle"] = None
    assert headline(summary) == (
        "The search found nothing that reliably beats drawing all examples equally often: test accuracy is "
        "90.0 % (mean of 3 seeds)."
    )
    assert "Recommended: draw uniformly; what the search picked passed its check on 0 of 3 seeds" in str(
        story.recommendation_sentence(Result(summary))
    )


def test_minority_of_seeds(summary: dict[str, Any]) -> None:
    outcome_of(summary, 0.9, 0.91, se=0.02)
    accept(summary, [False, False, True])
    assert "On only 1 of 3 seeds did the searched sampler pass its check" in headline(summary)
    assert "91.0 %, against 90.0 % with uniform everywhere" in headline(summary)


def test_balanced_accuracy_and_class_prior(summary: dict[str, Any]) -> None:
    outcome_of(summary, 0.6, 0.7, se=0.01)
    summary["metric"] = "balanced-accuracy"
    summary["policy"]["class_prior"] = True
    summary["policy"]["parameters"]["class prior"] = 0.5
    assert headline(summary).startswith(
        "With small classes drawn more often and 31.0 % of the examples drawn rarely or never, balanced test "
        "accuracy rose from"
    )
    summary["rarely_drawn"]["share"]["mean"] = 0.0
    assert headline(summary).startswith("With small classes drawn more often, balanced test accuracy")
    summary["policy"]["parameters"]["class prior"] = 0.0
    assert headline(summary).startswith("With the searched probabilities, balanced test accuracy")


def test_cost_names_the_guard_only_where_there_was_one(
    summary: dict[str, Any], one_seed: dict[str, Any]
) -> None:
    summary["cost"] |= {"ratio": 11.0, "guard_ratio": 3.2, "seconds": 754.0, "training_epochs": 40}
    assert str(story.cost_sentence(Result(summary))) == (
        "The search cost as much as 11 trainings of 40 epochs, the guard 3.2 more (mean of the seeds); "
        "12 min 34 s for all seeds, final trainings included."
    )
    one_seed["cost"] |= {"ratio": 1.75, "guard_ratio": 0.0, "seconds": 5.0, "training_epochs": 40}
    assert str(story.cost_sentence(Result(one_seed))) == (
        "The search cost as much as 1.75 trainings of 40 epochs; 5.0 s in all, final trainings included."
    )


def test_unchecked_pick_is_called_that(one_seed: dict[str, Any]) -> None:
    outcome_of(one_seed, 0.5, 0.6, se=None)
    assert "Not checked: no guard was asked for." in str(story.recommendation_sentence(Result(one_seed)))


def test_noise_of_validation_is_told(summary: dict[str, Any]) -> None:
    assert "40.0 % of the training labels and 40.0 % of the validation labels." in str(
        story.noise_sentence(Result(summary))
    )
    summary["noise"]["validation_realised"] = 0.0
    assert "the validation labels are right." in str(story.noise_sentence(Result(summary)))
    summary["noise"] = None
    assert story.noise_sentence(Result(summary)) is None


def test_gap_needs_an_oracle(summary: dict[str, Any]) -> None:
    summary["gap_closed"] = {"mean": 0.841, "se": 0.01, "values": [0.841] * 3}
    assert str(story.gap_sentence(Result(summary))) == (
        "84.1 ± 1.0 % of the gap between uniform and oracle is closed."
    )
    summary["gap_closed"] = None
    assert story.gap_sentence(Result(summary)) is None
