"""The papers' claims as experiments: expected, measured, verdict; one package a paper."""

from localmin.experiments.claim import VERDICTS, Claim, ClaimCheck, Verdict
from localmin.experiments.registry import PAPERS, check_claim, find_claim, list_claims

__all__ = ["PAPERS", "VERDICTS", "Claim", "ClaimCheck", "Verdict", "check_claim", "find_claim", "list_claims"]
