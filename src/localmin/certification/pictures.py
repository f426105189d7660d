"""Pictures of a certified point as data: spectrum with witness, loss along it, the landscape around."""

import math

import numpy as np
import torch
from torch import Tensor

from localmin.certification.certificate import WITH_WAY_DOWN, Certificate
from localmin.certification.escape import SettledPoint, escape
from localmin.certification.slices import LineSlice, PlaneSlice, line_slice, plane_slice
from localmin.charts import Chart, Figure, HeatMap, Level, Series
from localmin.errors import InputError
from localmin.numerics import SpectralDensity, as_generator, normal_vector
from localmin.objective import HessianOperator, Objective

__all__ = ["certificate_figures", "line_chart", "plane_map", "settling_chart", "spectrum_chart"]

_NUM_POINTS = 201
_WIDTH_RELATIVE = 0.01
# Without a way down the parabola is followed until it has risen by this part of the value.
_RISE = 0.2


def certificate_figures(
    objective: Objective,
    certificate: Certificate,
    *,
    num_products: int = 100,
    num_line: int = 61,
    num_plane: int = 21,
    seed: int | torch.Generator = 0,
) -> tuple[Figure, ...]:
    """Draw what a certificate is about: the spectrum, the loss along the witness, and a plane through it.

    Args:
        objective: Stands at the certified point.
        certificate: Its certificate.
        num_products: Hessian-vector products for the spectrum, at least 2; 0 leaves it out.
        num_line: Values along the witness.
        num_plane: Values along each side of the plane; 0 leaves it out.
        seed: Integer or CPU generator for the spectrum and the second direction of the plane.

    Returns:
        The spectrum (not on a kink) and, with a witness, the loss along it and on the plane of the witness
        and the negative gradient, or a random direction where the gradient vanishes.

    Raises:
        InputError: If the certificate is about another number of parameters.

    Cost:
        ``num_products + 1`` products, ``num_line + num_plane²`` values, about a hundred more for the scale.
    """
    if certificate.num_parameters != objective.num_parameters:
        raise InputError(
            f"the certificate is about {certificate.num_parameters} parameters, the objective has "
            f"{objective.num_parameters}"
        )
    generator = as_generator(seed)
    figures: list[Figure] = []
    if num_products >= 2 and certificate.method != "piecewise" and math.isfinite(certificate.value):
        starts = 1 if num_products < 40 else 2
        density = HessianOperator(objective).spectral_density(
            num_steps=num_products // starts, num_starts=starts, seed=generator
        )
        figures.append(spectrum_chart(density, certificate))
    if certificate.witness is None:
        return tuple(figures)
    reach = _reach(objective, certificate)
    steps = np.linspace(-reach, reach, num_line).tolist()
    figures.append(line_chart(line_slice(objective, certificate.witness, steps), certificate))
    if num_plane >= 2:
        sides = np.linspace(-reach, reach, num_plane).tolist()
        second, name = _second_direction(objective, certificate, generator)
        if second is not None:
            figures.append(plane_map(plane_slice(objective, certificate.witness, second, sides, sides), name))
    return tuple(figures)


def spectrum_chart(density: SpectralDensity, certificate: Certificate | None = None) -> Chart:
    """Draw the smoothed spectrum on a logarithmic axis, with the curvature along the witness in it.

    Args:
        density: From `HessianOperator.spectral_density`.
        certificate: Whose witness is marked; None marks none.

    Returns:
        A chart. A single eigenvalue among n shows as a bump of height ``1/n``.
    """
    nodes = [node for row in density.nodes for node in row]
    low, high = min(nodes), max(nodes)
    spread = high - low if high > low else max(1.0, abs(high))
    width = _WIDTH_RELATIVE * spread
    points = np.linspace(low - 4.0 * width, high + 4.0 * width, _NUM_POINTS)
    values, _ = density.smoothed(points.tolist(), width)
    # A tenth of one eigenvalue: what is lower is the tail of the smoothing.
    floor = 0.1 / (density.size * width * math.sqrt(2.0 * math.pi))
    shown = [value if value >= floor else math.nan for value in values]
    series = [Series("eigenvalues", points.tolist(), shown)]
    note = f"Density of the {density.size} eigenvalues, estimated by {density.num_products} products."
    if certificate is not None and certificate.curvature is not None:
        at = certificate.curvature
        height = max(floor, density.smoothed([at], width)[0][0])
        series.append(Series("witness", [at], [height], kind="points", emphasis="accent"))
        note += f" The curvature along the witness is {at:.3g}."
    return Chart(
        "spectrum",
        "Spectrum of the Hessian",
        "eigenvalue",
        "density",
        series,
        y_log=True,
        note=note,
    )


def line_chart(line: LineSlice, certificate: Certificate | None = None) -> Chart:
    """Draw the loss along a line, with the parabola that its slope and curvature predict.

    Args:
        line: From `line_slice`.
        certificate: Whose verdict is told in the note; None tells none.

    Returns:
        A chart.
    """
    centre = min(range(len(line.steps)), key=lambda index: abs(line.steps[index]))
    value = line.values[centre]
    parabola = [value + step * line.slope + 0.5 * step**2 * line.curvature for step in line.steps]
    low, high = min(line.values), max(line.values)
    room = 0.25 * (high - low)
    shown = [p if low - room <= p <= high + room else math.nan for p in parabola]
    series = [
        Series("loss", line.steps, line.values, emphasis="accent"),
        Series("slope and curvature", line.steps, shown, emphasis="dashed"),
        Series("certified point", [line.steps[centre]], [value], kind="points"),
    ]
    about = f" Verdict: {certificate.verdict}." if certificate is not None else ""
    return Chart(
        "witness",
        "Loss along the witness",
        "distance from the point",
        "loss",
        series,
        note=f"Slope {line.slope:.3g}, curvature {line.curvature:.3g} at the point.{about}",
    )


def plane_map(plane: PlaneSlice, second: str = "second direction") -> HeatMap:
    """Draw the loss on a plane through the point.

    Args:
        plane: From `plane_slice`, the witness first.
        second: Name of the second direction.

    Returns:
        A heat map, the witness along x.
    """
    values = [
        [plane.values[i][j] for i in range(len(plane.first_steps))] for j in range(len(plane.second_steps))
    ]
    return HeatMap(
        "plane",
        "Loss around the point",
        "along the witness",
        f"along the {second}",
        "loss",
        plane.first_steps,
        plane.second_steps,
        [[value if math.isfinite(value) else math.nan for value in row] for row in values],
        marks=[(0.0, 0.0, "point")],
        note="Distances are those of the parameters. What the plane shows does not hold beyond it.",
    )


def settling_chart(settled: SettledPoint) -> Chart:
    """Draw the loss at each certified point of `settle`.

    Args:
        settled: The history.

    Returns:
        A chart with the verdicts under the points.
    """
    values = [certificate.value for certificate in settled.certificates]
    after = [one.value_after for one in settled.escapes]
    series = [Series("certified", range(len(values)), values, emphasis="accent")]
    if after:
        series.append(Series("after escape", range(len(after)), after, kind="points", emphasis="muted"))
    return Chart(
        "settling",
        "Train, certify, escape",
        "round",
        "loss",
        series,
        categories=[f"{number + 1}: {one.verdict}" for number, one in enumerate(settled.certificates)],
        levels=[Level(values[-1], "last point")],
        note=f"From {values[0]:.4g} to {values[-1]:.4g} in {len(after)} escapes.",
    )


def _reach(objective: Objective, certificate: Certificate) -> float:
    if certificate.verdict in WITH_WAY_DOWN:
        step = abs(escape(objective, certificate).step)
        return 1.5 * step if step > 0.0 else 1e-3
    curvature = abs(certificate.curvature or 0.0)
    if curvature == 0.0:
        return 1.0
    return min(1.0, math.sqrt(2.0 * _RISE * max(abs(certificate.value), 1e-12) / curvature))


def _second_direction(
    objective: Objective, certificate: Certificate, generator: torch.Generator
) -> tuple[Tensor | None, str]:
    assert certificate.witness is not None  # the caller has looked
    witness = certificate.witness
    if objective.num_parameters < 2:
        return None, ""
    gradient = -objective.gradient().double().cpu()
    across = gradient - witness * (witness @ gradient)
    if certificate.verdict != "not-critical" and float(across.norm()) > 1e-8:
        return across, "negative gradient"
    return normal_vector(objective.num_parameters, generator), "random direction"
