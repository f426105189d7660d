"""Release trained models under several dynamics at equal gradient budget and temperature, and compare."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from localmin.charts import Chart, Level, Series
from localmin.errors import InputError
from localmin.langevin.basins import SameBasin
from localmin.langevin.release import Descent, ReleaseResult, release_from_minimum

__all__ = ["Release", "ReleaseStudy", "compare_releases"]

Problem = Callable[[int], tuple[Sequence[Tensor], Callable[[], Tensor]]]
Dynamics = Callable[[Sequence[Tensor], float, int], torch.optim.Optimizer]

_QUANTITIES = (
    "num_escapes",
    "loss_at_start",
    "loss_at_end",
    "best_loss",
    "highest_loss",
    "distance",
    "highest_barrier",
)


@dataclass(frozen=True)
class Release:
    """One release.

    Args:
        dynamics: Its name.
        temperature: T.
        seed: Of the minimum and of the noise.
        result: What happened.
    """

    dynamics: str
    temperature: float
    seed: int
    result: ReleaseResult


@dataclass(frozen=True)
class ReleaseStudy:
    """Releases of several dynamics from the same minima.

    Args:
        releases: All of them.
        num_steps: Gradients that each dynamics had.
    """

    releases: tuple[Release, ...]
    num_steps: int

    def table(self) -> list[dict[str, Any]]:
        """Sum up per dynamics and temperature.

        Returns:
            One row each: ``left`` of ``num_seeds``, the mean number of gradients until the first check that
            found it had left (censored at the budget), and mean and standard error over seeds of escapes,
            losses, distance and, where barriers were asked for, the highest barrier.
        """
        rows = []
        for dynamics, temperature in dict.fromkeys((one.dynamics, one.temperature) for one in self.releases):
            results = self._results(dynamics, temperature)
            waits = [one.steps_to_leave or self.num_steps for one in results]
            row: dict[str, Any] = {
                "dynamics": dynamics,
                "temperature": temperature,
                "num_seeds": len(results),
                "left": sum(one.left for one in results),
                "gradients_to_leave": statistics.mean(waits),
            }
            for name in _QUANTITIES:
                values = [getattr(one, name) for one in results]
                if None in values:
                    continue
                row[name] = statistics.mean(map(float, values))
                row[f"{name}_standard_error"] = _standard_error(values) if len(values) > 1 else math.nan
            rows.append(row)
        return rows

    def figures(self) -> tuple[Chart, ...]:
        """Show, per temperature, the mean loss of the minimum below the path, with standard errors."""
        temperatures = dict.fromkeys(one.temperature for one in self.releases)
        return tuple(self._figure(number, one) for number, one in enumerate(temperatures))

    def to_dict(self) -> dict[str, Any]:
        """Convert to JSON types."""
        releases = [{**vars(one), "result": one.result.to_dict()} for one in self.releases]
        return {"num_steps": self.num_steps, "releases": releases, "table": self.table()}

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> ReleaseStudy:
        """Rebuild from `to_dict`, directly or after a round trip through JSON."""
        releases = (
            Release(**{**one, "result": ReleaseResult.from_dict(one["result"])}) for one in stored["releases"]
        )
        return cls(tuple(releases), stored["num_steps"])

    def _results(self, dynamics: str, temperature: float) -> list[ReleaseResult]:
        return [
            one.result for one in self.releases if one.dynamics == dynamics and one.temperature == temperature
        ]

    def _figure(self, number: int, temperature: float) -> Chart:
        series = []
        names = [*dict.fromkeys(one.dynamics for one in self.releases if one.temperature == temperature)]
        for index, name in enumerate(names):
            results = self._results(name, temperature)
            paths = [[one.loss_at_start, *(check.loss for check in one.checks)] for one in results]
            columns = [*zip(*paths, strict=True)]
            means = [statistics.mean(column) for column in columns]
            errors = [_standard_error(column) for column in columns]
            series.append(
                Series(
                    name,
                    [0, *(check.step for check in results[0].checks)],
                    means,
                    emphasis="accent" if index == 1 else "plain",
                    low=[mean - error for mean, error in zip(means, errors, strict=True)],
                    high=[mean + error for mean, error in zip(means, errors, strict=True)],
                )
            )
        start = statistics.mean(r.loss_at_start for r in self._results(names[0], temperature))
        return Chart(
            f"langevin-release-{number}",
            f"Loss of the minimum below the path at temperature {temperature:g}",
            "gradients",
            "loss, mean over seeds",
            series,
            levels=(Level(start, "first minimum"),),
            note="All dynamics start from the same minima and spend the same gradients.",
        )


def compare_releases(
    problem: Problem,
    dynamics: dict[str, Dynamics],
    *,
    temperatures: Sequence[float],
    seeds: Sequence[int],
    num_steps: int,
    check_every: int,
    descent: Descent,
    same: SameBasin | float = 0.05,
    earlier: ReleaseStudy | None = None,
    save: Callable[[ReleaseStudy], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ReleaseStudy:
    """Release the same minima under each dynamics at each temperature, for the same number of gradients.

    Args:
        problem: Maps a seed to parameters at a minimum and a closure as in `release_from_minimum`. Called
            once a seed; the parameters are put back before each release.
        dynamics: Optimisers by name, each made from (parameters, temperature, seed).
        temperatures: T, each at least 0.
        seeds: Of problems and noise.
        num_steps: Gradients for each release.
        check_every: Steps between checks.
        descent: How to descend at a check.
        same: When two minima are one, as in `release_from_minimum`.
        earlier: What a stopped run has saved, under the same settings: its releases are not made again.
        save: Called after each release with all releases made so far.
        progress: Called as progress(releases made, releases to make).

    Returns:
        All releases, in the order seeds, temperatures, dynamics: the same with and without a stop.

    Raises:
        InputError: If a list is empty, or the earlier study had another number of steps.

    Cost:
        Per release ``num_steps`` gradients and a descent per check.

    Example:
        >>> from localmin.langevin import DoubleWell, LangevinDynamics
        >>> def problem(seed):
        ...     x = torch.nn.Parameter(torch.tensor([-1.0]))
        ...     def closure():
        ...         x.grad = DoubleWell().gradient(x.detach())
        ...         return DoubleWell().value(x.detach())
        ...     return [x], closure
        >>> study = compare_releases(
        ...     problem, {"overdamped": lambda p, t, s: LangevinDynamics(p, lr=0.1, temperature=t, seed=s)},
        ...     temperatures=[0.0, 0.2], seeds=[0], num_steps=200, check_every=50, descent=Descent(0.1))
        >>> [row["left"] for row in study.table()]
        [0, 1]
    """
    if not (dynamics and temperatures and seeds):
        raise InputError("compare_releases needs at least one dynamics, temperature and seed")
    known = {} if earlier is None else {_key(one): one for one in earlier.releases}
    if earlier is not None and earlier.num_steps != num_steps:
        raise InputError(f"the earlier study has num_steps = {earlier.num_steps}, not {num_steps}")
    total, releases = len(dynamics) * len(temperatures) * len(seeds), []
    for seed in seeds:
        start: _Start | None = None
        for temperature, name in itertools.product(temperatures, dynamics):
            release = known.get((name, temperature, seed))
            if release is None:
                start = start or _Start(problem, seed)
                result = release_from_minimum(
                    start.parameters,
                    start.closure,
                    dynamics[name](start.put_back(), temperature, seed),
                    num_steps=num_steps,
                    check_every=check_every,
                    descent=descent,
                    same=same,
                )
                release = Release(name, temperature, seed, result)
            releases.append(release)
            if save is not None and _key(release) not in known:
                save(ReleaseStudy(tuple(releases), num_steps))
            if progress is not None:
                progress(len(releases), total)
    return ReleaseStudy(tuple(releases), num_steps)


class _Start:
    """The minimum of one seed."""

    def __init__(self, problem: Problem, seed: int) -> None:
        self.parameters, self.closure = problem(seed)
        self._minimum = [parameter.detach().clone() for parameter in self.parameters]

    def put_back(self) -> Sequence[Tensor]:
        with torch.no_grad():
            torch._foreach_copy_(list(self.parameters), self._minimum)
        return self.parameters


def _key(release: Release) -> tuple[str, float, int]:
    return release.dynamics, release.temperature, release.seed


def _standard_error(values: Sequence[float]) -> float:
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0
