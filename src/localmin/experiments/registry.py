"""All claims by name."""

from __future__ import annotations

from importlib import import_module

from localmin.errors import InputError
from localmin.experiments.claim import Claim, ClaimCheck

__all__ = ["PAPERS", "check_claim", "find_claim", "list_claims"]

# In the order of the pages: package of experiments, and the paper in words. Each package has `CLAIMS`.
PAPERS = {
    "swift_sampler": "Swift Sampler",
    "realization": "ReLU realization space",
    "langevin": "Non-reversible Langevin",
    "regularized_networks": "L2-regularised networks",
    "deep_linear": "Deep linear networks",
}


def list_claims(paper: str | None = None) -> tuple[Claim, ...]:
    """List the claims, of one paper or of all.

    Args:
        paper: A key of `PAPERS`; None lists all.

    Returns:
        The claims in the order of the papers.

    Raises:
        InputError: If there is no such paper.

    Example:
        >>> len({claim.name for claim in list_claims()}) == len(list_claims())
        True
    """
    if paper is not None and paper not in PAPERS:
        raise InputError(f"unknown paper {paper!r}; choose one of {', '.join(PAPERS)}")
    found: list[Claim] = []
    for name in PAPERS if paper is None else (paper,):
        found += import_module(f"localmin.experiments.{name}").CLAIMS
    return tuple(found)


def find_claim(name: str) -> Claim:
    """Find a claim by name.

    Args:
        name: Such as ``"dl-saddles"``.

    Returns:
        The claim.

    Raises:
        InputError: If there is no such claim.
    """
    claims = {claim.name: claim for claim in list_claims()}
    if name not in claims:
        raise InputError(f"unknown claim {name!r}; choose one of {', '.join(claims)}")
    return claims[name]


def check_claim(name: str, *, seed: int = 0, quick: bool = False) -> ClaimCheck:
    """Check one claim by its experiment.

    Args:
        name: Such as ``"dl-saddles"``.
        seed: Of everything random.
        quick: Check the same at a size that takes seconds.

    Returns:
        Expected, measured and verdict. An unknown name is an `InputError`.

    Cost:
        Seconds with ``quick``; up to some minutes without.
    """
    return find_claim(name).experiment(seed=seed, quick=quick)
