"""Is the chain at the temperature it should be, does it mix, is the step too large, which basin is it in?"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from localmin.errors import InputError, ShapeError

__all__ = [
    "basin_labels",
    "configurational_temperature",
    "count_escapes",
    "effective_sample_size",
    "kinetic_temperature",
    "mala_acceptance",
    "split_r_hat",
]


def kinetic_temperature(velocity: Float[Tensor, "*chains d"]) -> Float[Tensor, " *chains"]:
    """Compute ``|v|^2 / d``, whose mean at equilibrium is T (BAOAB reads low by h^2 curvature / 4 by design).

    Args:
        velocity: v ``(..., d)``.

    Returns:
        One value per chain [unit of F].

    Example:
        >>> kinetic_temperature(torch.tensor([1.0, 3.0]))
        tensor(5.)
    """
    return velocity.square().mean(-1)


def configurational_temperature(
    position: Float[Tensor, "*chains d"],
    gradient: Float[Tensor, "*chains d"],
    reference: Tensor | float = 0.0,
) -> Float[Tensor, " *chains"]:
    """Compute (x - c) . gradient / d, whose mean at equilibrium is T for every smooth F and fixed c.

    Args:
        position: x ``(..., d)``.
        gradient: Gradient at x ``(..., d)``.
        reference: c, for example the mean of the chain.

    Returns:
        One value per chain [unit of F].

    Example:
        >>> configurational_temperature(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.0]))
        tensor(2.5000)
    """
    return ((position - reference) * gradient).mean(-1)


def mala_acceptance(
    value: Tensor,
    gradient: Float[Tensor, "*chains d"],
    position: Float[Tensor, "*chains d"],
    next_value: Tensor,
    next_gradient: Float[Tensor, "*chains d"],
    next_position: Float[Tensor, "*chains d"],
    *,
    step_size: float,
    temperature: float,
) -> Float[Tensor, " *chains"]:
    """Compute the probability with which the Metropolis test would accept an overdamped step.

    Nothing is rejected; a mean below about 0.9 says that the step is too large for the temperature.

    Args:
        value: F at x ``(...)``.
        gradient: Gradient at x.
        position: x.
        next_value: F at the next point y.
        next_gradient: Gradient at y.
        next_position: y.
        step_size: eta of the step from x to y.
        temperature: T > 0.

    Returns:
        Probability per chain, in [0, 1].

    Raises:
        InputError: If the temperature or the step is not above 0.

    Source:
        Metropolis-adjusted Langevin algorithm.

    Example:
        >>> x, y = torch.tensor([0.0]), torch.tensor([0.0])
        >>> zero = torch.tensor(0.0)
        >>> mala_acceptance(zero, x, x, zero, y, y, step_size=0.1, temperature=1.0)
        tensor(1.)
    """
    if not (temperature > 0 and step_size > 0):
        raise InputError(f"expected temperature and step_size above 0, got {temperature!r} and {step_size!r}")
    forward = (next_position - position + step_size * gradient).square().sum(-1)
    backward = (position - next_position + step_size * next_gradient).square().sum(-1)
    logarithm = (value - next_value) / temperature + (forward - backward) / (4 * step_size * temperature)
    return logarithm.clamp(max=0).exp()


def split_r_hat(draws: Float[Tensor, "chains draws"]) -> float:
    """Compute split R-hat of one quantity: 1 when halves of all chains agree.

    Args:
        draws: ``(chains, draws)``, at least four draws.

    Returns:
        R-hat; above about 1.01 the chains have not mixed.

    Raises:
        ShapeError: If the shape does not fit.

    Source:
        Gelman and co-authors, Bayesian Data Analysis.

    Example:
        >>> split_r_hat(torch.tensor([[0.0, 1.0, 0.0, 1.0], [5.0, 6.0, 5.0, 6.0]])) > 3
        True
    """
    if draws.dim() != 2 or draws.shape[1] < 4:
        raise ShapeError(
            f"draws must have shape (chains, draws) with at least 4 draws, got {tuple(draws.shape)}"
        )
    half = draws.shape[1] // 2
    halves = torch.cat([draws[:, :half], draws[:, -half:]]).double()
    within = float(halves.var(dim=1, unbiased=True).mean())
    between = float(halves.mean(dim=1).var(unbiased=True)) if halves.shape[0] > 1 else 0.0
    if within == 0:
        return 1.0 if between == 0 else math.inf
    return math.sqrt((half - 1) / half + between / within)


def effective_sample_size(draws: Float[Tensor, "chains draws"]) -> float:
    """Estimate how many independent draws the chains are worth, for the mean of one quantity.

    Args:
        draws: ``(chains, draws)``, at least four draws.

    Returns:
        Effective sample size over all chains, at most a few times their number of draws.

    Raises:
        ShapeError: If the shape does not fit.

    Source:
        Geyer's initial monotone sequence of paired autocorrelations, averaged over chains.

    Cost:
        One fast Fourier transform per chain.

    Example:
        >>> x = torch.randn(4, 2000, generator=torch.Generator().manual_seed(0))
        >>> 6000 < effective_sample_size(x) < 10000
        True
    """
    if draws.dim() != 2 or draws.shape[1] < 4:
        raise ShapeError(
            f"draws must have shape (chains, draws) with at least 4 draws, got {tuple(draws.shape)}"
        )
    chains, length = draws.shape
    # Around the common mean, so that chains stuck in different places count as correlated.
    centred = draws.double() - draws.double().mean()
    spectrum = torch.fft.rfft(centred, n=2 * length)
    covariance = torch.fft.irfft(spectrum.abs().square(), n=2 * length)[:, :length].mean(0) / length
    if float(covariance[0]) == 0:
        return float(chains * length)
    correlation = covariance / covariance[0]
    pairs = correlation[: length - length % 2].view(-1, 2).sum(1)
    negative = torch.nonzero(pairs < 0)
    kept = pairs[: int(negative[0])] if negative.numel() else pairs
    time = 2 * float(kept.cummin(0).values.sum()) - 1 if kept.numel() else 1.0
    return chains * length / max(time, 1 / math.log10(max(chains * length, 11)))


def basin_labels(
    points: Float[Tensor, "chains d"],
    gradient: Callable[[Tensor], Tensor],
    *,
    step_size: float,
    num_steps: int = 2000,
    merge_radius: float = 1e-2,
) -> tuple[Int[Tensor, " chains"], Float[Tensor, "minima d"]]:
    """Find which minimum each point belongs to, by gradient descent.

    Args:
        points: ``(chains, d)``.
        gradient: Maps ``(chains, d)`` to gradients.
        step_size: Step of the descent, below 2 / largest curvature.
        num_steps: Steps of the descent.
        merge_radius: End points closer than this are one minimum.

    Returns:
        Labels 0, 1, ... in order of first appearance, and the end point of each label.

    Raises:
        ShapeError: If there are no points.

    Cost:
        ``num_steps`` batched gradients.

    Example:
        >>> from localmin.langevin import DoubleWell
        >>> points = torch.tensor([[-0.4], [0.7], [-1.5]])
        >>> basin_labels(points, DoubleWell().gradient, step_size=0.2)[0]
        tensor([0, 1, 0])
    """
    if points.dim() != 2 or not points.numel():
        raise ShapeError(f"points must have shape (chains, d) and not be empty, got {tuple(points.shape)}")
    ends = points.detach().clone()
    for _ in range(num_steps):
        ends -= step_size * gradient(ends)
    minima: list[Tensor] = []
    labels = torch.empty(len(ends), dtype=torch.long)
    for index, end in enumerate(ends):
        distances = [float((end - known).norm()) for known in minima]
        nearest = min(range(len(minima)), key=distances.__getitem__, default=-1)
        if nearest < 0 or distances[nearest] > merge_radius:
            minima.append(end)
            nearest = len(minima) - 1
        labels[index] = nearest
    return labels, torch.stack(minima)


def count_escapes(labels: Int[Tensor, draws * chains], *, min_stay: int = 1) -> int:
    """Count changes of basin along time, ignoring visits shorter than a minimum.

    Args:
        labels: Basin labels, time first: ``(draws,)`` or ``(draws, chains)``.
        min_stay: Number of consecutive draws in the new basin before a change counts.

    Returns:
        Number of escapes over all chains.

    Raises:
        InputError: If ``min_stay`` is below 1.

    Example:
        >>> count_escapes(torch.tensor([0, 0, 1, 0, 0, 1, 1, 1]), min_stay=2)
        1
    """
    if min_stay < 1:
        raise InputError(f"min_stay must be at least 1, got {min_stay!r}")
    columns = labels.reshape(labels.shape[0], -1).T.tolist()
    total = 0
    for column in columns:
        current, candidate, stay = column[0], column[0], 0
        for label in column[1:]:
            stay = stay + 1 if label == candidate else 1
            candidate = label
            if label != current and stay >= min_stay:
                current = label
                total += 1
    return total
