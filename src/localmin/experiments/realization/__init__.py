"""The claims about ReLU realization space (Berner, Elbraechter, Grohs 2019), as experiments."""

from localmin.experiments.claim import Claim

__all__ = ["CLAIMS"]

CLAIMS: tuple[Claim, ...] = ()
