"""The claims about L2-regularised deep networks (Jacot, Golikov, Hongler, Gabriel 2022), as experiments."""

from localmin.experiments.claim import Claim

__all__ = ["CLAIMS"]

CLAIMS: tuple[Claim, ...] = ()
