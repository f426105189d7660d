"""The claims about Swift Sampler (Yao, Li, Xiao 2024), as experiments."""

from localmin.experiments.claim import Claim
from localmin.experiments.swift_sampler.improvement import check_improvement
from localmin.experiments.swift_sampler.large_scale import check_large_scale
from localmin.experiments.swift_sampler.network_transfer import check_transfer
from localmin.experiments.swift_sampler.quick_quality import check_quick_quality
from localmin.experiments.swift_sampler.ten_parameters import check_ten_parameters

__all__ = ["CLAIMS"]

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "ss-ten-parameters",
        "A data sampler can be written as a function of features of an example with about ten parameters.",
        check_ten_parameters,
    ),
    Claim(
        "ss-quick-quality",
        "Training from an approximated local minimum tells the quality of a sampler quickly.",
        check_quick_quality,
    ),
    Claim(
        "ss-improves",
        "Searched sampling improves performance on various tasks.",
        check_improvement,
    ),
    Claim(
        "ss-large-scale",
        "The search is cheap enough to be used on large data sets.",
        check_large_scale,
    ),
    Claim(
        "ss-transfer",
        "A sampler that was found with one network serves others too.",
        check_transfer,
    ),
)
