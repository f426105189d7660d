"""`localmin reproduce [CLAIM...]`: check what the papers claim, by experiments."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from localmin.cli import exit_codes, options
from localmin.cli.printing import print_json

__all__ = ["reproduce"]


def reproduce(
    claims: Annotated[
        list[str] | None,
        typer.Argument(metavar="[CLAIM]...", help="Names of claims, or of a paper's package; none for all."),
    ] = None,
    list_only: Annotated[bool, typer.Option("--list", help="List the claims and stop.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Small sizes that take seconds each.")] = False,
    seed: Annotated[int, typer.Option(metavar="SEED", help="Of everything random.")] = 0,
    threads: options.Threads = None,
    out: options.Out = None,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> int:
    """Check the papers' claims one by one; exit code 1 if one does not hold here."""
    del debug  # read by the program before commands are
    from localmin.cli.session import typed_command, use_threads
    from localmin.cli.terminal_progress import stderr_console
    from localmin.experiments import PAPERS, Claim, list_claims
    from localmin.experiments.campaign import code_digest
    from localmin.experiments.campaign import reproduce as check_all

    if list_only:
        known = [(paper, claim) for paper in PAPERS for claim in list_claims(paper)]
        if as_json:
            rows = [
                {"claim": claim.name, "paper": PAPERS[paper], "statement": claim.statement}
                for paper, claim in known
            ]
            print_json(rows)
        else:
            for _, claim in known:
                print(f"{claim.name:28} {claim.statement}")
        return 0
    use_threads(threads)
    console = stderr_console()

    def show(position: int, total: int, claim: Claim) -> None:
        console.print(f"{position + 1} of {total}: {claim.name}", highlight=False)

    folder = out or Path("runs") / f"claims-{'quick' if quick else 'full'}-{seed}-{code_digest()}"
    result = check_all(tuple(claims or ()), seed=seed, quick=quick, out=folder, on_claim=show)
    from rich.console import Console

    from localmin.reports.claims_page import render_claims, write_claims_page

    page = write_claims_page(folder, result, command=typed_command())
    if as_json:
        print_json(result.to_dict())
    else:
        render_claims(result, Console())
        print(f"report: {page}")
    return exit_codes.NO if result.num_failed else 0
