"""What happened, in plain sentences with figures."""

from __future__ import annotations

from localmin.reports.quantities import Quantity, Result, Sentence
from localmin.reports.run_data import shown_seed

__all__ = [
    "cost_sentence", "gap_sentence", "headline", "metric_words", "noise_sentence", "outcome",
    "recommendation_sentence",
]  # fmt: skip

_NOTICEABLE = 0.01
_ANNOTATORS = "annotators"


def outcome(result: Result) -> str:
    """Say in one word what the searched sampler did to the score.

    With several seeds a change counts when it exceeds its standard error; with one seed nothing is known
    of its error, and its sign is taken as it is.

    Args:
        result: Of a search.

    Returns:
        ``"rose"``, ``"fell"`` or ``"unchanged"``; where the metric is an error, it is good that it fell.
    """
    gain, error = result["gain.test.mean"], result["gain.test.se"] or 0.0
    if abs(gain) <= error or gain == 0:
        return "unchanged"
    return "rose" if (gain > 0) == result.metric.higher_is_better else "fell"


def headline(result: Result) -> Sentence:
    """Tell the whole story in one sentence."""
    accepted = _num_accepted(result)
    if accepted == 0:
        begin = _kept_uniform(result)
    elif result["recommendation"] == "uniform":
        begin = _mostly_uniform(result, accepted)
    else:
        begin = _searched(result)
    return begin + _seeds(result) + _oracle(result) + Sentence((".",))


def _kept_uniform(result: Result) -> Sentence:
    return Sentence((
        "The search found nothing that reliably beats drawing all examples equally often: ",
        f"{metric_words(result)} is ",
        result.score("uniform.test.mean"),
    ))  # fmt: skip


def _mostly_uniform(result: Result, accepted: int) -> Sentence:
    return Sentence((
        f"On only {accepted} of {len(result['seeds'])} seeds did the searched sampler pass its check; ",
        f"taking it there and uniform elsewhere gives a {metric_words(result)} of ",
        result.score("searched.test.mean"),
        ", against ",
        result.score("uniform.test.mean"),
        " with uniform everywhere",
    ))  # fmt: skip


def _searched(result: Result) -> Sentence:
    before, after = result.score("uniform.test.mean"), result.score("searched.test.mean")
    change: tuple[str | Quantity, ...]
    kind = outcome(result)
    if kind == "unchanged" and before.value == after.value:
        change = ("stayed at ", before)
    elif kind == "unchanged":
        change = ("went from ", before, " to ", after, ", no further than the error of the comparison")
    else:
        change = (f"{kind} from ", before, " to ", after)
    return Sentence((*_what_was_done(result), f", {metric_words(result)} ", *change))


def _what_was_done(result: Result) -> tuple[str | Quantity, ...]:
    share = result.percent("rarely_drawn.share.mean")
    rarely = (share, " of the examples drawn rarely or never") if share.value >= _NOTICEABLE else ()
    if result["policy.class_prior"] and result["policy.parameters.class prior"] >= _NOTICEABLE:
        return ("With small classes drawn more often", *((" and ", *rarely) if rarely else ()))
    return ("With ", *(rarely or ("the searched probabilities",)))


def _seeds(result: Result) -> Sentence:
    count = len(result["seeds"])
    return Sentence((" (one seed)" if count == 1 else f" (mean of {count} seeds)",))


def _oracle(result: Result) -> Sentence:
    if result["oracle"] is None:
        return Sentence(())
    return Sentence((
        "; training on the correctly labelled examples alone, which no search can know, gives ",
        result.score("oracle.test.mean"),
    ))  # fmt: skip


def recommendation_sentence(result: Result) -> Sentence:
    """Say what to use from now on, and why."""
    accepted, count = _num_accepted(result), len(result["seeds"])
    key = shown_seed(result)
    guard = result[f"{key}.guard"]
    searched = result["recommendation"] == "searched"
    what = "draw with the searched policy (policy.json)" if searched else "draw uniformly"
    many = "" if count == 1 else f"; what the search picked passed its check on {accepted} of {count} seeds"
    where = "Reason" if count == 1 else f"On seed {result['policy_seed']}"
    if guard["kind"] == "none":
        where = "Not checked"
    parts: list[str | Quantity] = [f"Recommended: {what}{many}. {where}: {guard['reason']}"]
    if guard["difference"] is not None:
        difference = result.with_error(f"{key}.guard.difference", f"{key}.guard.se", signed=True)
        parts += [" (", *difference.parts, ")"]
    parts.append(".")
    if searched and outcome(result) != "unchanged" and result["gain.test.mean"] < 0:
        parts.append(
            " The test data, which have no say in the recommendation, disagree: take a closer look first."
        )
    return Sentence(tuple(parts))


def cost_sentence(result: Result) -> Sentence:
    """Say what the search cost, in trainings and in time."""
    parts: list[str | Quantity] = [
        "The search cost as much as ",
        result.trainings("cost.ratio"),
        " trainings of ",
        result.count("cost.training_epochs"),
        " epochs",
    ]
    if result["cost.guard_ratio"] > 0:
        parts += [", the guard ", result.trainings("cost.guard_ratio"), " more"]
    count = len(result["seeds"])
    parts += ["; " if count == 1 else " (mean of the seeds); ", result.duration("cost.seconds")]
    parts.append(
        " in all, final trainings included." if count == 1 else " for all seeds, final trainings included."
    )
    return Sentence(tuple(parts))


def gap_sentence(result: Result) -> Sentence | None:
    """Say how much of the way to the oracle was closed; None without an oracle or without a gap."""
    if result["gap_closed"] is None:
        return None
    share = result.with_error("gap_closed.mean", "gap_closed.se")
    return share + Sentence((" of the gap between uniform and oracle is closed.",))


def noise_sentence(result: Result) -> Sentence | None:
    """Say how many labels are wrong; None where that is not known."""
    if result["noise"] is None:
        return None
    parts: list[str | Quantity] = [
        *_how_wrong(result), result.percent("noise.realised"), " of the training labels",
    ]  # fmt: skip
    if result["noise.validation_realised"] == 0:
        parts.append("; the validation labels are right.")
    else:
        parts += [" and ", result.percent("noise.validation_realised"), " of the validation labels."]
    measured = result["noise.kind"] == _ANNOTATORS
    end = " The test is scored on the right labels." if measured else " Test labels are never touched."
    return Sentence((*parts, end))


def _how_wrong(result: Result) -> tuple[str | Quantity, ...]:
    if result["noise.kind"] == _ANNOTATORS:
        return ("Given labels differ from the column of right ones, which no search has seen, in ",)
    return ("Labels were made wrong on purpose (", result.text("noise.kind"), "): ")


def metric_words(result: Result) -> str:
    """Name the metric in words."""
    return result.metric.words


def _num_accepted(result: Result) -> int:
    return sum(one["recommendation"] == "searched" for one in result["per_seed"])
