"""`localmin certify RUN`, or a checkpoint and DATA: what kind of point training ended at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from localmin.cli import exit_codes, options
from localmin.cli.option_groups import expand_groups
from localmin.cli.printing import print_json

if TYPE_CHECKING:
    from rich.console import Console

    from localmin.certification import Certificate, SettledPoint
    from localmin.objective import Objective

__all__ = ["certify"]

_HINTS = {
    "not-critical": "train on, let --escape do it, or say with --gradient-tolerance what you count as small",
    "strict-saddle": "--escape follows the witness down",
    "non-strict-saddle": "--escape follows the witness down",
    "undecided": "more --max-hvps, or --curvature-tolerance if values that small do not matter to you",
}
_YES = ("local-minimum", "global-minimum", "second-order-point")


@expand_groups
def certify(
    source: Annotated[
        Path,
        typer.Argument(metavar="RUN", help="A run folder, or a checkpoint (.safetensors, .pt) with DATA."),
    ],
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="[DATA]", help="What a checkpoint was trained on, read as for `localmin search`."
        ),
    ] = None,
    *,
    escape: Annotated[
        bool,
        typer.Option("--escape", help="Follow witnesses down, train and certify again, until none is left."),
    ] = False,
    max_rounds: Annotated[int, typer.Option(metavar="K", help="Largest number of rounds of --escape.")] = 10,
    gradient_tolerance: Annotated[
        float, typer.Option(metavar="G", help="Gradient norm up to which the point counts as critical.")
    ] = 1e-3,
    curvature_tolerance: Annotated[
        float, typer.Option(metavar="C", help="Negative curvature that is ignored; 0 ignores none.")
    ] = 0.0,
    max_hvps: Annotated[int, typer.Option(metavar="K", help="Budget of Hessian-vector products.")] = 1000,
    failure_probability: Annotated[
        float, typer.Option(metavar="P", help="Of bounds on the spectrum by Lanczos.")
    ] = 1e-6,
    examples: Annotated[
        int | None,
        typer.Option(metavar="N", help="Certify the loss over N training examples, evenly spaced."),
    ] = None,
    figures: Annotated[
        bool, typer.Option(help="Also compute spectrum and slices, about a hundred products more.")
    ] = True,
    reading: options.DataOptions,
    seed: Annotated[
        int, typer.Option(metavar="SEED", help="Of the random starts; with DATA of its split too.")
    ] = 0,
    threads: options.Threads = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Where certificate.json and its files go; a run's own folder by default."
        ),
    ] = None,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> int:
    """Say whether training ended at a minimum, a saddle or neither, with evidence that can be checked again.

    Exit code 0: a minimum, or no negative curvature. 1: a saddle, not critical, or undecided.

    Returns:
        The exit code.
    """
    del debug  # read by the program before commands are
    from localmin.certification import certify as certify_point
    from localmin.certification import settle
    from localmin.cli.session import use_threads
    from localmin.cli.terminal_progress import stderr_console
    from localmin.tasks import open_trained, trained_objective
    from localmin.tasks.storage import check_writable, one_writer

    use_threads(threads)
    console = stderr_console()
    trained = open_trained(source, request=reading.checkpoint_request(data), seed=seed)
    folder = _folder(source, out)
    check_writable(folder)
    objective = trained_objective(trained, limit=examples)
    settings: dict[str, Any] = {
        "gradient_tolerance": gradient_tolerance,
        "curvature_tolerance": curvature_tolerance,
        "max_hvps": max_hvps,
        "failure_probability": failure_probability,
    }
    settled = None
    with _products_shown(console, objective, max_hvps) as show:
        if escape:
            settled = settle(
                objective, max_rounds=max_rounds, seed=seed, options={**settings, "on_product": show}
            )
            objective, certificate = settled.objective, settled.certificate
        else:
            certificate = certify_point(objective, seed=seed, on_product=show, **settings)
    # The certificate is saved first: a kill while pictures are computed loses the pictures alone.
    with one_writer(folder):
        certificate.save(folder)
        if settled is not None:
            _save_better_weights(folder, objective, settled)
        if figures:
            _save_figures(folder, objective, certificate, settled, seed)
    if as_json:
        print_json(_plain(certificate, settled))
    else:
        _tell(certificate, settled, folder)
    return 0 if certificate.verdict in _YES else exit_codes.NO


@contextmanager
def _products_shown(console: Console, objective: Objective, max_hvps: int) -> Iterator[Callable[[int], None]]:
    """Show how many products are done, in a terminal; say beforehand what a dense Hessian takes."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    size = objective.num_parameters
    megabytes = size * size * objective.dtype.itemsize / 2**20
    fits = 1.2 * size <= max_hvps
    dense = f"; a dense Hessian, if needed, takes {megabytes:.1f} MiB" if fits else ""
    console.print(f"{size} parameters, {objective.num_examples} examples{dense}", highlight=False)
    columns = (TextColumn("Hessian-vector products"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=max_hvps)
        yield lambda done: bar.update(task, completed=done)


def _folder(source: Path, out: Path | None) -> Path:
    if out is not None:
        return out
    return source if source.is_dir() else Path("runs") / f"certificate-{source.stem}"


def _save_better_weights(folder: Path, objective: Objective, settled: SettledPoint) -> None:
    from localmin.tasks.storage import write_tensors

    if settled.escapes:
        model = objective.model_at(objective.point)
        write_tensors(folder / "escaped.safetensors", model.state_dict())


def _save_figures(
    folder: Path, objective: Objective, certificate: Certificate, settled: SettledPoint | None, seed: int
) -> None:
    from localmin.certification import certificate_figures, settling_chart
    from localmin.reports.certificate_page import write_certificate_page
    from localmin.tasks.schemas import write_versioned

    found = list(certificate_figures(objective, certificate, seed=seed))
    if settled is not None and len(settled.certificates) > 1:
        found.append(settling_chart(settled))
    plain = {"figures": [figure.to_dict() for figure in found]}
    write_versioned(folder / "certificate_figures.json", "figures", plain)
    write_certificate_page(folder, certificate, tuple(found))


def _plain(certificate: Certificate, settled: SettledPoint | None) -> dict[str, Any]:
    plain = certificate.to_dict()
    if settled is not None:
        plain["rounds"] = [
            {"verdict": one.verdict, "value": one.value, "curvature": one.curvature, "num_hvps": one.num_hvps}
            for one in settled.certificates
        ]
    return plain


def _tell(certificate: Certificate, settled: SettledPoint | None, folder: Path) -> None:
    if settled is not None:
        for number, one in enumerate(settled.certificates[:-1], start=1):
            print(f"round {number}: {one.verdict} at loss {one.value:.6g}; {one.reason}")
    print(f"{certificate.verdict}: {certificate.reason}")
    print(
        f"loss {certificate.value:.6g}, gradient norm {certificate.gradient_norm:.3g}, "
        f"{certificate.num_hvps} Hessian-vector products"
    )
    print(f"not shown: {certificate.not_shown}")
    hint = _HINTS.get(certificate.verdict)
    if hint is not None and settled is None:
        print(f"next: {hint}")
    if settled is not None and settled.escapes:
        print(f"better weights: {folder / 'escaped.safetensors'}")
    print(f"certificate: {folder / 'certificate.json'}")
