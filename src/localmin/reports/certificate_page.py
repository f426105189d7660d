"""A certificate as one HTML file: verdict in words, numbers, pictures."""

from __future__ import annotations

from pathlib import Path

from localmin.certification import Certificate
from localmin.charts import Figure
from localmin.reports.plots import draw_figure
from localmin.reports.templating import page_assets, template_environment
from localmin.tasks.storage import write_text

__all__ = ["VERDICT_SENTENCES", "write_certificate_page"]

VERDICT_SENTENCES = {
    "not-critical": "The loss still falls along its gradient: training has not arrived.",
    "strict-saddle": "This is a saddle: there is a direction along which the loss falls.",
    "non-strict-saddle": "This is a saddle without negative curvature, yet the loss falls nearby.",
    "local-minimum": "This is a local minimum: the loss curves upwards in every direction.",
    "second-order-point": "No direction curves downwards, but some are flat: perhaps a minimum, perhaps not.",
    "global-minimum": "This is a global minimum.",
    "undecided": "What kind of point this is was not shown.",
}


def write_certificate_page(folder: Path, certificate: Certificate, figures: tuple[Figure, ...]) -> Path:
    """Write ``certificate.html``.

    Args:
        folder: Where to.
        certificate: The verdict.
        figures: Its pictures, see `localmin.certification.certificate_figures`.

    Returns:
        The page. It needs no network and no other file.
    """
    environment = template_environment()
    page = environment.get_template("certificate.html").render(
        sentence=VERDICT_SENTENCES[certificate.verdict],
        verdict=certificate.verdict,
        reason=certificate.reason,
        not_shown=certificate.not_shown,
        quantities=_quantities(certificate),
        figures=[(draw_figure(figure), figure.title, figure.note) for figure in figures],
        versions=certificate.versions,
        **page_assets(environment),
    )
    path = folder / "certificate.html"
    write_text(path, page)
    return path


def _quantities(certificate: Certificate) -> list[tuple[str, str]]:
    found: list[tuple[str, object]] = [
        ("loss", certificate.value),
        ("gradient norm", certificate.gradient_norm),
        ("curvature along the witness", certificate.curvature),
        ("margin of rounding and data", certificate.margin),
        ("largest curvature found", certificate.largest_curvature),
        ("at most above the global minimum", certificate.gap),
        ("method", certificate.method),
        ("Hessian-vector products", certificate.num_hvps),
        ("parameters", certificate.num_parameters),
        ("examples", certificate.num_examples),
        ("precision", certificate.dtype),
    ]
    return [
        (name, f"{value:.4g}" if isinstance(value, float) else str(value))
        for name, value in found
        if value is not None
    ]
