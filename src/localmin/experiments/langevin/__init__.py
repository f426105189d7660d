"""The claims about non-reversible Langevin dynamics (Gao, Gurbuzbalaban, Zhu 2020), as experiments."""

from localmin.experiments.claim import Claim
from localmin.experiments.langevin.dichotomy import check_dichotomy
from localmin.experiments.langevin.exits import check_exits
from localmin.experiments.langevin.occupation import check_occupation
from localmin.experiments.langevin.recurrence import check_recurrence
from localmin.experiments.langevin.skew_recurrence import check_skew_recurrence

__all__ = ["CLAIMS"]

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "la-local-then-global",
        "Langevin dynamics find a local minimum first and visit the global one eventually",
        check_occupation,
    ),
    Claim(
        "la-dichotomy",
        "near a minimum a path either leaves within the recurrence time or settles in a small ball and stays"
        " for a time exponential in the inverse temperature",
        check_dichotomy,
    ),
    Claim(
        "la-recurrence-underdamped",
        "underdamped dynamics improve the dependence of the recurrence time on the smallest curvature",
        check_recurrence,
    ),
    Claim(
        "la-recurrence-skew",
        "a skew drift improves the recurrence time too, by the real parts of the spectrum",
        check_skew_recurrence,
    ),
    Claim(
        "la-exit",
        "non-reversible dynamics leave a basin faster, in discrete time too, by an amount known beforehand",
        check_exits,
    ),
)
