"""The same expected number of draws, twice: how evenly two samplers deal it out."""

import torch
from torch.utils.data import WeightedRandomSampler

import localmin
from localmin.charts import Chart, Series
from localmin.reports.plots import write_svg


def draw(*, quick: bool = False) -> tuple[Chart, str]:
    """Count how often each example of expected count 2.5 is drawn in an epoch."""
    n = 2_000 if quick else 40_000
    weights = torch.ones(n)
    weights[: n // 2] = 5 / 3  # 2.5 draws each when the other half has 1.5
    ours = localmin.WeightedSampler(weights, num_samples=2 * n, seed=0)
    theirs = WeightedRandomSampler(
        weights.tolist(), num_samples=2 * n, generator=torch.Generator().manual_seed(0)
    )
    shares = {}
    for name, sampler in (("torch's WeightedRandomSampler", theirs), ("localmin's WeightedSampler", ours)):
        counts = torch.bincount(torch.tensor(list(sampler)), minlength=n)[: n // 2]
        shares[name] = torch.bincount(counts, minlength=9)[:9].double() / (n // 2)
    never = float(shares["torch's WeightedRandomSampler"][0])
    series = [
        Series(name, range(9), share.tolist(), "bars", "accent" if "localmin" in name else "muted")
        for name, share in shares.items()
    ]
    sentence = (
        "Examples that should be drawn 2.5 times an epoch are drawn two or three times by WeightedSampler; "
        f"independent draws scatter, and leave {never:.0%} of these examples out of the epoch."
    )
    return Chart(
        "even-draws",
        "Draws of an example in one epoch, expected 2.5",
        "draws of an example in one epoch",
        "share of examples",
        series,
        categories=[str(k) for k in range(9)],
        note=sentence,
    ), sentence


if __name__ == "__main__":
    write_svg(draw()[0], "even_draws.svg")
