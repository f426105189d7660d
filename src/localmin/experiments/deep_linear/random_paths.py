"""dl-nonlinear: the mean of the random-path model is linear; a real ReLU network has bad local minima."""

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from localmin.certification import Certificate, certify, descend
from localmin.certification.deep_linear import random_path_mean
from localmin.charts import Chart, Level, Series
from localmin.experiments.claim import Claim, ClaimCheck
from localmin.experiments.deep_linear.problems import normal
from localmin.numerics import as_generator
from localmin.objective import Objective

__all__ = ["CLAIM", "check_random_paths"]

_WIDTHS = (3, 2, 3, 2)
_MAX_STANDARD_ERRORS = 5.0
_WEIGHT_DECAY = 1e-2


def check_random_paths(*, seed: int = 0, quick: bool = False) -> ClaimCheck:
    """Simulate the random-path model, and train real ReLU networks for contrast.

    Args:
        seed: Of everything random.
        quick: Take 1000 draws and 3 trainings instead of 100,000 and 60.

    Returns:
        The outcome. Only the model is tested against the claim; the real networks are shown because the
        claim is easily misread as one about them.
    """
    generator = as_generator(seed)
    num_draws, num_trainings = (1000, 3) if quick else (100_000, 60)
    rows = []
    for probability in (0.1, 0.5, 0.9):
        weights = [normal(generator, after, before) for before, after in itertools.pairwise(_WIDTHS)]
        x = normal(generator, 5, _WIDTHS[0])
        mean = random_path_mean(weights, x, probability=probability, num_draws=num_draws, seed=generator)
        rows.append(
            {
                "probability_of_a_path": probability,
                "draws": num_draws,
                "largest_deviation_in_standard_errors": mean.largest_deviation,
                "largest_standard_error": float(mean.standard_error.max()),
            }
        )
    worst = max(row["largest_deviation_in_standard_errors"] for row in rows)
    trained = [_train(generator) for _ in range(num_trainings)]
    best = min(found.value for found in trained)
    minima = [found.value for found in trained if found.verdict == "local-minimum"]
    return ClaimCheck(
        "dl-nonlinear",
        "holds" if worst < _MAX_STANDARD_ERRORS else "does-not-hold",
        "the expected output of the random-path model is that of the deep linear network with its weights",
        {
            "largest_deviation_in_standard_errors": worst,
            "real_relu_trainings": num_trainings,
            "ended_at_a_certified_local_minimum": len(minima),
            "of_these_above_the_best_loss_found_by_5_percent": sum(value > 1.05 * best for value in minima),
            "loss_of_a_dead_network_that_no_step_nearby_lowers": _dead_loss(generator),
        },
        f"{_MAX_STANDARD_ERRORS:g} standard errors for the largest of thirty outputs",
        remark="the model opens paths at random, independently of input and weights; a ReLU network opens "
        "them as a function of both, and the statements do not carry over: some trainings end at certified "
        "local minima above losses that others reach",
        rows=tuple(rows),
        figures=(_picture(trained),),
    )


def _problem() -> tuple[Tensor, Tensor]:
    fixed = as_generator(12345)
    x = normal(fixed, 12, 2)
    return x, torch.sin(2.0 * x[:, :1]) + x[:, 1:].abs()


def _network(generator: torch.Generator) -> nn.Sequential:
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1)).double()
    for parameter in model.parameters():
        parameter.data = 0.7 * normal(generator, *parameter.shape)
    return model


def _train(generator: torch.Generator) -> Certificate:
    """Train a ReLU network with two units on twelve examples; say where it ended."""
    # Weight decay takes the flat directions of rescaling away, so that minima can be certified.
    objective = Objective(_network(generator), F.mse_loss, _problem(), weight_decay=_WEIGHT_DECAY)
    return certify(descend(objective, max_iterations=400), gradient_tolerance=1e-4)


def _dead_loss(generator: torch.Generator) -> float:
    """Switch all units off on all data: the loss is then the variance of the target, and cannot feel them.

    Returns:
        The loss; NaN if a step nearby lowers it after all.
    """
    x, y = _problem()
    model = _network(generator)
    first, last = model.get_submodule("0"), model.get_submodule("2")
    first.bias.data.fill_(-100.0)  # type: ignore[operator]
    last.bias.data = y.mean(0)
    objective = Objective(model, F.mse_loss, (x, y))
    steps = normal(generator, 200, objective.num_parameters)
    lowest = min(objective.value_at(objective.point + 0.1 * step) for step in steps)
    return objective.value() if lowest >= objective.value() else math.nan


def _picture(trained: list[Certificate]) -> Chart:
    ordered = sorted(trained, key=lambda found: found.value)
    minima = {number: found.value for number, found in enumerate(ordered) if found.verdict == "local-minimum"}
    others = {number: found.value for number, found in enumerate(ordered) if number not in minima}
    series = []
    if others:
        series.append(Series("other", list(others), list(others.values()), kind="points", emphasis="muted"))
    if minima:
        certified = list(minima.values())
        series.append(
            Series("certified local minimum", list(minima), certified, kind="points", emphasis="accent")
        )
    return Chart(
        "real-networks",
        "Where trainings of a real ReLU network end",
        "training, in the order of the loss",
        "loss",
        series,
        levels=[Level(ordered[0].value, "best found")],
        note="A certified local minimum above the line is not global.",
    )


CLAIM = Claim(
    "dl-nonlinear",
    "Under an assumption of independence the loss of a model with random ReLU paths equals that of a deep "
    "linear network, so the same statements hold for it.",
    check_random_paths,
)
