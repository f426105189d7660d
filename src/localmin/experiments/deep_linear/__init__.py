"""The claims about deep linear networks (Kawaguchi 2016), as experiments."""

from localmin.experiments.claim import Claim

__all__ = ["CLAIMS"]

CLAIMS: tuple[Claim, ...] = ()
