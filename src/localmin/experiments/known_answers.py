"""Numbers that are known in closed form, computed again on the user's own machine and device."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from localmin import certification, langevin, networks, numerics, objective, realization, reduction
from localmin.errors import LocalminError
from localmin.sampling.draws import systematic_draw
from localmin.sampling.features import example_features
from localmin.sampling.transforms import fit_transform
from localmin.tasks.environment import describe_device, versions

__all__ = ["KNOWN_ANSWERS", "KnownAnswer", "SelfCheck", "selfcheck"]

_DOUBLE = torch.float64
_NUM_CHAINS = 20_000
_NUM_STEPS = 60
# A Monte Carlo figure may be off by so many of its standard errors; 1e-6 of honest runs are off by more.
_MAX_ERRORS = 5.0


@dataclass(frozen=True)
class KnownAnswer:
    """One number whose value is known.

    Args:
        package: That computes it.
        question: In words.
        expected: The value, in closed form.
        tolerance_absolute: How far off it may be.
        compute: Called with a device.
    """

    package: str
    question: str
    expected: float
    tolerance_absolute: float
    compute: Callable[[torch.device], float]


@dataclass(frozen=True)
class Answer:
    """What one check found.

    Args:
        package: That computed it.
        question: In words.
        expected: The known value.
        measured: The value here; NaN if the computation failed.
        tolerance_absolute: How far off it may be.
        is_right: Whether it is within the tolerance.
        error: What went wrong, if anything.
        seconds: Wall clock.
    """

    package: str
    question: str
    expected: float
    measured: float
    tolerance_absolute: float
    is_right: bool
    error: str
    seconds: float


@dataclass(frozen=True)
class SelfCheck:
    """All answers, and what they were computed with.

    Args:
        answers: One for each known answer.
        device: In words.
    """

    answers: tuple[Answer, ...]
    device: str

    @property
    def num_wrong(self) -> int:
        """Count the answers outside their tolerance."""
        return sum(not answer.is_right for answer in self.answers)

    def to_dict(self) -> dict[str, Any]:
        """Convert to JSON types."""
        return {
            "answers": [asdict(answer) for answer in self.answers],
            "num_wrong": self.num_wrong,
            "device": self.device,
            "versions": versions(),
        }


def selfcheck(
    device: torch.device | str = "cpu", *, known: tuple[KnownAnswer, ...] | None = None
) -> SelfCheck:
    """Compute every known answer.

    Args:
        device: Where; what runs on the CPU by design (certificates of linear algebra) stays there.
        known: The answers to check; None takes `KNOWN_ANSWERS`.

    Returns:
        Expected and measured; a computation that fails counts as a wrong answer with its error.

    Cost:
        Some seconds.
    """
    place = torch.device(device)
    return SelfCheck(
        tuple(_answers(KNOWN_ANSWERS if known is None else known, place)), describe_device(place)
    )


def _answers(known: tuple[KnownAnswer, ...], device: torch.device) -> Iterator[Answer]:
    for one in known:
        began, measured, error = time.perf_counter(), math.nan, ""
        try:
            measured = one.compute(device)
        except (LocalminError, RuntimeError, ValueError, ArithmeticError) as failure:
            error = f"{type(failure).__name__}: {failure}".splitlines()[0]
        # NaN compares as false.
        is_right = abs(measured - one.expected) <= one.tolerance_absolute
        seconds = time.perf_counter() - began
        yield Answer(
            one.package,
            one.question,
            one.expected,
            measured,
            one.tolerance_absolute,
            is_right,
            error,
            seconds,
        )


def _rank_of_nearly_singular(device: torch.device) -> float:
    matrix = torch.diag(torch.tensor([1.0, 1e-3, 1e-18], dtype=_DOUBLE, device=device))
    return float(numerics.numerical_rank(matrix))


def _smallest_curvature(device: torch.device) -> float:
    """Take ``x1² - 3 x2²``, whose Hessian has the eigenvalues 2 and -6."""
    point = torch.zeros(2, dtype=_DOUBLE, device=device)
    saddle = objective.Objective.from_function(lambda p: p[0] ** 2 - 3.0 * p[1] ** 2, point)
    return float(objective.HessianOperator(saddle).dense().diagonal().min())


def _gradient_of_mean_loss(device: torch.device) -> float:
    model = nn.Linear(1, 1, bias=False, dtype=_DOUBLE, device=device)
    model.weight.data.fill_(3.0)
    x = torch.tensor([[1.0], [2.0]], dtype=_DOUBLE, device=device)
    loss = objective.Objective(model, nn.functional.mse_loss, (x, torch.zeros_like(x)), batch_size=1)
    return float(loss.gradient())


def _counts_are_within_one(device: torch.device) -> float:
    """Draw a million times; every count must be within one of its expectation."""
    generator = torch.Generator().manual_seed(0)
    weights = torch.rand(1000, generator=generator, dtype=_DOUBLE)
    counts = systematic_draw(weights, 1_000_000, generator).to(device).bincount(minlength=1000).cpu()
    off = (counts - 1e6 * weights / weights.sum()).abs().max()
    return float(off < 1.0)


def _repeats_in_uniform_epoch(device: torch.device) -> float:
    indices = systematic_draw(torch.ones(10_007), 10_007, torch.Generator().manual_seed(1)).to(device)
    return float(10_007 - len(torch.unique(indices)))


def _flat_renormed_entropy(device: torch.device) -> float:
    logits, labels = torch.zeros(1, 10, device=device), torch.zeros(1, dtype=torch.int64, device=device)
    return float(example_features(logits, labels).renormed_entropy)


def _gradient_mass_in_first_fifth(device: torch.device) -> float:
    loss = torch.linspace(0.01, 5.0, 5000, dtype=_DOUBLE, device=device)
    gradient = math.sqrt(2) * -torch.expm1(-loss)
    places = fit_transform(loss.cpu(), kind="cgf", gradient=gradient.cpu())(loss.cpu())
    return float(gradient.cpu()[places <= 0.2].sum() / gradient.sum().cpu())


def _kramers_time(device: torch.device) -> float:
    del device
    return langevin.theory.eyring_kramers(2.0, -1.0, 0.25, 12.0, "overdamped")


def _passage_time(device: torch.device) -> float:
    del device
    return langevin.theory.mean_first_passage_1d(lambda x: (x**2 - 1) ** 2 / 4, 12.0, -1.0, 1.0)


def _errors_of_stationary_variance(device: torch.device) -> float:
    """Simulate chains in a well of curvature 2 at temperature 1/3; BAOAB has variance T/m exactly."""
    curvature, temperature = 2.0, 1 / 3
    kernel = langevin.UnderdampedKernel(0.5, friction=2 * math.sqrt(curvature), temperature=temperature)
    generator = torch.Generator(device=device).manual_seed(0)
    state = kernel.init(torch.zeros(_NUM_CHAINS, 1, dtype=_DOUBLE, device=device))
    for _ in range(_NUM_STEPS):
        state, _ = kernel.step(state, curvature * state.position, generator)
    variance = float(state.position.square().mean())
    expected = temperature / curvature
    return (variance - expected) / (expected * math.sqrt(2 / _NUM_CHAINS))


def _distance_to_momentum_sgd(device: torch.device) -> float:
    """Minimise ``x²`` by both; at temperature 0 they are the same method."""
    lr, momentum = 0.05, 0.9
    first, second = (
        torch.full((3,), 2.0, dtype=_DOUBLE, device=device, requires_grad=True) for _ in range(2)
    )
    friction = langevin.friction_from_momentum(momentum, lr)
    mine = langevin.UnderdampedLangevin([first], lr, friction=friction, scheme="symplectic_euler")
    torchs = torch.optim.SGD([second], lr, momentum=momentum)
    for _ in range(50):
        for point, optimizer in ((first, mine), (second, torchs)):
            optimizer.zero_grad()
            (point.grad,) = torch.autograd.grad(point.square().sum(), point)
            optimizer.step()
    return float((first - second).detach().abs().max())


def _witness_curvature(device: torch.device) -> float:
    point = torch.zeros(2, dtype=_DOUBLE, device=device)
    saddle = objective.Objective.from_function(lambda p: p[0] ** 2 - 3.0 * p[1] ** 2, point)
    certificate = certification.certify(saddle)
    curvature = certificate.recheck(saddle).curvature
    return math.nan if curvature is None else curvature


def _curvature_at_zero_weights(device: torch.device) -> float:
    """Check the erratum: two zero layers under a free last one have negative curvature."""
    del device
    zero, eye = torch.zeros(2, 2, dtype=_DOUBLE), torch.eye(2, dtype=_DOUBLE)
    last = torch.diag(torch.tensor([2.0, 1.0], dtype=_DOUBLE))
    found = certification.classify_deep_linear([zero, zero, last], eye, eye)
    return math.nan if found.curvature is None else found.curvature


def _seminorm_of_identity(device: torch.device) -> float:
    """Measure ``relu(x) - relu(-x) = x``."""
    del device
    net = networks.ReLUNetwork(
        [torch.tensor([[1.0], [-1.0]], dtype=_DOUBLE), torch.tensor([[1.0, -1.0]], dtype=_DOUBLE)]
    )
    zero = networks.ReLUNetwork([torch.zeros(1, 1, dtype=_DOUBLE), torch.zeros(1, 1, dtype=_DOUBLE)])
    return realization.seminorm_distance(net, zero).value


def _flipped_is_equal(device: torch.device) -> float:
    """Compare the sum of ``relu(b_i x)`` with that of ``relu(-b_i x)``, where the ``b_i`` sum to zero."""
    del device
    b = torch.tensor([[-1.0, 0.0], [0.0, -1.0], [1.0, 1.0]], dtype=_DOUBLE)
    ones = torch.ones(1, 3, dtype=_DOUBLE)
    found = realization.same_function(networks.ReLUNetwork([b, ones]), networks.ReLUNetwork([-b, ones]))
    return float(found.verdict == "equal")


def _sharp_ratio(device: torch.device) -> float:
    del device
    pair = realization.sharp_pair(1e-2)
    return realization.inverse_stability(pair.network, pair.target).ratio


def _shallow_optimum(device: torch.device) -> float:
    del device
    x, y = torch.tensor([[1.0], [-1.0]], dtype=_DOUBLE), torch.ones(2, 1, dtype=_DOUBLE)
    return reduction.solve_shallow(x, y, 0.1).value


def _neurons_of_split_network(device: torch.device) -> float:
    """Split each of the 9 edges of the tight example in two; the reduction must find 9 again."""
    del device
    example = reduction.bipartite_example(6)
    first, last = example.network.weights
    split = networks.ReLUNetwork([first.repeat(2, 1) / math.sqrt(2), last.repeat(1, 2) / math.sqrt(2)])
    return float(reduction.reduce(split, example.x, mode="vertex-b").widths_after[1])


KNOWN_ANSWERS = (
    KnownAnswer("numerics", "rank of diag(1, 1e-3, 1e-18)", 2.0, 0.0, _rank_of_nearly_singular),
    KnownAnswer("objective", "smallest curvature of x1^2 - 3 x2^2", -6.0, 1e-12, _smallest_curvature),
    KnownAnswer("objective", "gradient of a mean over two batches", 15.0, 1e-12, _gradient_of_mean_loss),
    KnownAnswer(
        "sampling", "all of 1000 counts within one of n p (1 is yes)", 1.0, 0.0, _counts_are_within_one
    ),
    KnownAnswer(
        "sampling", "repeated items in an epoch of equal weights", 0.0, 0.0, _repeats_in_uniform_epoch
    ),
    KnownAnswer(
        "sampling", "renormed entropy of equal logits, 10 classes", math.log(9), 1e-6, _flat_renormed_entropy
    ),
    KnownAnswer(
        "sampling", "gradient mass in the first fifth of the cgf", 0.2, 1e-3, _gradient_mass_in_first_fifth
    ),
    KnownAnswer(
        "langevin",
        "Eyring-Kramers time of the double well, beta 12",
        math.sqrt(2) * math.pi * math.exp(3),
        1e-9,
        _kramers_time,
    ),
    KnownAnswer("langevin", "exact passage time of the double well, beta 12", 106.5604, 1e-3, _passage_time),
    KnownAnswer(
        "langevin",
        "simulated variance T/m, in standard errors",
        0.0,
        _MAX_ERRORS,
        _errors_of_stationary_variance,
    ),
    KnownAnswer(
        "langevin", "distance to torch's SGD with momentum at T = 0", 0.0, 1e-14, _distance_to_momentum_sgd
    ),
    KnownAnswer("certification", "rechecked curvature of a saddle's witness", -6.0, 1e-6, _witness_curvature),
    KnownAnswer(
        "certification", "curvature at two zero layers of three", -2.0, 1e-9, _curvature_at_zero_weights
    ),
    KnownAnswer(
        "realization", "W^(1,inf) semi-norm of relu(x) - relu(-x)", 1.0, 1e-12, _seminorm_of_identity
    ),
    KnownAnswer(
        "realization", "flipped neurons give the same function (1 is yes)", 1.0, 0.0, _flipped_is_equal
    ),
    KnownAnswer("realization", "sharp constant of inverse stability", 2 * math.sqrt(2), 1e-5, _sharp_ratio),
    KnownAnswer("reduction", "optimal loss of the two-point example", 0.36, 1e-8, _shallow_optimum),
    KnownAnswer("reduction", "neurons left of the tight example, N = 6", 9.0, 0.0, _neurons_of_split_network),
)
