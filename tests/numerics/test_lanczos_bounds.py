import math
from collections.abc import Callable

import pytest
import torch

from localmin.errors import InputError
from localmin.numerics import (
    extreme_eigenpairs,
    lanczos_failure_probability,
    lanczos_relative_error,
    smallest_eigenvalue_lower_bound,
)


def test_worked_example() -> None:
    assert lanczos_failure_probability(1e-3, size=1210, num_steps=300) == pytest.approx(3.4e-7, rel=0.02)


def test_every_symbol_moves_the_probability_as_the_formula_says() -> None:
    epsilon, size, steps = 0.02, 500, 40
    one = 1.648 * math.sqrt(size) * math.exp(-math.sqrt(epsilon) * (2 * steps - 1))
    assert lanczos_failure_probability(epsilon, size=size, num_steps=steps) == pytest.approx(one)
    three = lanczos_failure_probability(epsilon, size=size, num_steps=steps, num_starts=3)
    assert three == pytest.approx(one**3)


def test_the_probability_is_capped_and_does_not_underflow_to_an_error() -> None:
    assert lanczos_failure_probability(1e-6, size=10**9, num_steps=2) == 1.0
    assert lanczos_failure_probability(0.5, size=10, num_steps=10**6, num_starts=9) == 0.0


@pytest.mark.parametrize("num_starts", [1, 3])
def test_relative_error_inverts_the_probability(num_starts: int) -> None:
    epsilon = lanczos_relative_error(1e-4, size=3000, num_steps=120, num_starts=num_starts)
    again = lanczos_failure_probability(epsilon, size=3000, num_steps=120, num_starts=num_starts)
    assert again == pytest.approx(1e-4)


def test_failures_are_no_more_frequent_than_the_bound() -> None:
    # The hardest spectrum for few steps: a dense interval, with the end not separated.
    size, num_steps, num_runs = 60, 8, 300
    spectrum = torch.linspace(0.0, 1.0, size, dtype=torch.float64)
    epsilon = lanczos_relative_error(0.2, size=size, num_steps=num_steps)
    assert 0.05 < epsilon < 0.5

    def num_misses(steps: int) -> int:
        return sum(
            extreme_eigenpairs(
                lambda v: spectrum * v, size, num_steps=steps, num_starts=1, seed=seed
            ).smallest.value
            > epsilon
            for seed in range(num_runs)
        )

    # Binomial with p <= 0.2 exceeds 87 of 300 with probability below 1e-4.
    assert num_misses(num_steps) <= 87
    assert num_misses(3) > 87


def test_the_lower_bound_holds_and_is_attained_by_the_worst_case() -> None:
    # Both ends missed by exactly epsilon times the spread: the bound is then the smallest eigenvalue itself.
    smallest, largest, epsilon = -2.0, 8.0, 0.1
    spread = largest - smallest
    bound = smallest_eigenvalue_lower_bound(smallest + epsilon * spread, largest - epsilon * spread, epsilon)
    assert bound == pytest.approx(smallest)
    assert smallest_eigenvalue_lower_bound(-1.0, 3.0, 0.0) == -1.0
    assert smallest_eigenvalue_lower_bound(-1.0, 3.0, 0.5) == -math.inf


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: lanczos_failure_probability(0.0, size=2, num_steps=1), "between 0 and 1, got 0.0"),
        (lambda: lanczos_failure_probability(0.1, size=0, num_steps=1), "at least 1, got 0, 1 and 1"),
        (lambda: lanczos_relative_error(1.0, size=2, num_steps=1), "between 0 and 1, got 1.0"),
        (lambda: lanczos_relative_error(0.5, size=2, num_steps=0), "at least 1, got 2, 0 and 1"),
        (lambda: smallest_eigenvalue_lower_bound(1.0, 0.0, 0.1), "Ritz values in order"),
        (lambda: smallest_eigenvalue_lower_bound(0.0, 1.0, -0.1), "not negative"),
        (lambda: smallest_eigenvalue_lower_bound(math.nan, 1.0, 0.1), "Ritz values in order"),
    ],
)
def test_arguments_out_of_range_are_refused(call: Callable[[], float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()
