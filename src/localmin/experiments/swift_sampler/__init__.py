"""The claims about Swift Sampler (Yao, Li, Xiao 2024), as experiments."""

from localmin.experiments.claim import Claim

__all__ = ["CLAIMS"]

CLAIMS: tuple[Claim, ...] = ()
