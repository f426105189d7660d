"""The claims about non-reversible Langevin dynamics (Gao, Gurbuzbalaban, Zhu 2020), as experiments."""

from localmin.experiments.claim import Claim

__all__ = ["CLAIMS"]

CLAIMS: tuple[Claim, ...] = ()
