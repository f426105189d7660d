"""ss-transfer: ten numbers found with a narrow network, used on a wider one."""

from __future__ import annotations

from typing import Any

from localmin.charts import Chart, Series
from localmin.experiments.claim import ClaimCheck
from localmin.experiments.swift_sampler.noisy_digits import noisy_digits
from localmin.experiments.swift_sampler.peers import train_arm
from localmin.sampling import search
from localmin.sampling.transfer import train_run

__all__ = ["check_transfer"]

_NARROW, _WIDE, _QUICK_WIDE = (64, 64), (256, 256), (128, 128)
_ENOUGH = 0.7
_ARMS = ("uniform", "found on itself", "carried numbers", "carried probabilities")


def check_transfer(*, seed: int = 0, quick: bool = False) -> ClaimCheck:
    """Compare a carried policy with one that was searched on the target network.

    Args:
        seed: The first of one (quick) or four seeds.
        quick: A target of width 128 in place of 256.

    Returns:
        The check: share of the target's own gain that carrying over keeps, for the ten numbers (features
        recomputed) and for the probabilities of the examples.
    """
    rows = [_measure(number, quick) for number in ((seed,) if quick else range(seed, seed + 4))]
    means = {arm: sum(row[arm] for row in rows) / len(rows) for arm in _ARMS}
    gain = means["found on itself"] - means["uniform"]
    kept = {arm: (means[arm] - means["uniform"]) / gain if gain > 0 else 0.0 for arm in _ARMS[2:]}
    good = [share >= _ENOUGH for share in kept.values()]
    return ClaimCheck(
        "ss-transfer",
        "holds" if all(good) else ("partly" if any(good) else "does-not-hold"),
        f"both ways of carrying over keep at least {_ENOUGH:.0%} of the gain of a search on the target",
        {"share_of_gain": kept, "test": means},
        "a single seed's share is uncertain by about 0.1",
        "digits with 40 % symmetric noise, perceptrons of width 64 and 256 (quick: 128); which of the two "
        "ways the paper means is not known",
        rows=tuple(rows),
        figures=(_chart(means),),
    )


def _measure(seed: int, quick: bool) -> dict[str, Any]:
    plain: dict[str, Any] = {"preset": "quick", "guard": "none", "safe_rule": False}
    source = search(noisy_digits(seed, widths=_NARROW), seed=seed, **plain)
    target = noisy_digits(seed, widths=_QUICK_WIDE if quick else _WIDE)
    own = search(target, seed=seed, **plain)
    return {
        "seed": seed,
        "uniform": own.arms["uniform"].test,
        "found on itself": own.arms["searched"].test,
        "carried numbers": train_run(target, policy=source.candidate, seed=seed).scores["test"],
        "carried probabilities": train_arm(target, source.candidate_weights, seed=seed).test,
    }


def _chart(means: dict[str, float]) -> Chart:
    return Chart(
        "ss-carried",
        "A policy found on a narrow network, used on a wide one",
        "policy",
        "test accuracy",
        (Series("", range(len(_ARMS)), [means[arm] for arm in _ARMS], "bars", "accent"),),
        categories=_ARMS,
        note="Digits with 40 % wrong labels.",
    )
