"""What a reader should know before trusting the figures."""

from __future__ import annotations

from localmin.reports.quantities import Result, Sentence
from localmin.reports.run_data import shown_seed

__all__ = ["caveats", "warnings"]

_ORACLE = Sentence((
    "The oracle knows which labels are wrong: a yardstick that a search need not reach.",
))  # fmt: skip
_NOISY_SCORES = Sentence((
    "Trials and guard are scored on labels as given, wrong ones included: their scores lie below the "
    "test score. They rank samplers and do not measure accuracy.",
))  # fmt: skip
_REFUSED = Sentence((
    "The searched arm follows the recommendation of its seed: where that is uniform, it is that training.",
))  # fmt: skip
_SUSPICION = Sentence((
    "An example that is left out is one the network disagreed with. Without known clean labels that is a "
    "suspicion: a rare but right example can look the same.",
))  # fmt: skip
_TRANSFER = Sentence((
    "Nothing here says how the policy does on another network or data set; localmin train DATA --policy "
    "policy.json tries it.",
))  # fmt: skip
_SECONDS = Sentence(("The time of a search that was interrupted is that of its last part only.",))


def warnings(result: Result) -> list[str]:
    """List what went wrong or was noted during the search, each once.

    Args:
        result: Of a search.

    Returns:
        In words; with several seeds each names its own.
    """
    found: dict[str, list[int]] = {}
    for one in result["per_seed"]:
        for note in [*one["notes"], *_diverged(one["arms"])]:
            found.setdefault(note, []).append(one["seed"])
    many = len(result["seeds"]) > 1
    return [
        note + (f" (seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))})" if many else "")
        for note, seeds in found.items()
    ]


def _diverged(arms: dict[str, dict[str, object]]) -> list[str]:
    return [
        f"the {name} training diverged: its score means nothing"
        for name, arm in arms.items()
        if arm["diverged"]
    ]


def caveats(result: Result) -> list[Sentence]:
    """List what the figures do not show.

    Args:
        result: Of a search.

    Returns:
        One sentence or two for each point, those that apply to this result.
    """
    found = [_spread(result)]
    if result["oracle"] is not None:
        found.append(_ORACLE)
    if result["noise"] is not None and result["noise.validation_realised"] > 0:
        found.append(_NOISY_SCORES)
    if any(one["recommendation"] == "uniform" for one in result["per_seed"]):
        found.append(_REFUSED)
    found.append(_SUSPICION)
    if len(result["seeds"]) > 1:
        begin = "Policy, examples left out and trials are those of seed "
        found.append(Sentence((begin, result.text("policy_seed"), "; each seed has its own in its folder.")))
    return [*found, _TRANSFER, _SECONDS]


def _spread(result: Result) -> Sentence:
    size = result.count(f"{shown_seed(result)}.task.sizes.test")
    count = len(result["seeds"])
    if count == 1:
        begin = "One seed was run: how much the scores vary between seeds is not known. The test set has "
    else:
        begin = (
            f"The standard errors are over {count} seeds, which differ in split, noise, initial weights and "
            "order. They say nothing about other data. Each test set has "
        )
    return Sentence((begin, size, " examples."))
