from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from localmin.sampling.surrogate import Posterior, SamplerProcess, embed, expected_improvement


def random_weights(count: int, seed: int = 0, size: int = 30) -> np.ndarray:
    return np.random.default_rng(seed).random((count, size)) ** 3


def kernel(first: np.ndarray, second: np.ndarray, amplitude: float, length: float) -> np.ndarray:
    """Written out pair by pair, over probabilities."""
    table = np.zeros((len(first), len(second)))
    for i, p in enumerate(first):
        for j, q in enumerate(second):
            distance = sum((math.sqrt(a) - math.sqrt(b)) ** 2 for a, b in zip(p, q, strict=True))
            table[i, j] = amplitude**2 * math.exp(-distance / (2 * length**2))
    return table


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_posterior_is_that_of_universal_kriging(seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights, new = random_weights(9, seed), random_weights(5, seed + 50)
    scores = 0.8 + 0.03 * rng.standard_normal(9)
    process = SamplerProcess(embed(weights), scores)
    found = process.posterior(embed(new))
    p, q = weights / weights.sum(1, keepdims=True), new / new.sum(1, keepdims=True)
    prior = kernel(p, p, process.amplitude, process.length) + process.noise**2 * np.eye(9)
    cross = kernel(p, q, process.amplitude, process.length)
    # Best linear unbiased prediction: weights that add up to 1, by a Lagrange multiplier.
    system = np.block([[prior, np.ones((9, 1))], [np.ones((1, 9)), np.zeros((1, 1))]])
    solution = np.linalg.solve(system, np.vstack([cross, np.ones((1, 5))]))
    share, multiplier = solution[:9], solution[9]
    mean = share.T @ scores
    variance = process.amplitude**2 - (share * cross).sum(0) - multiplier
    np.testing.assert_allclose(found.mean, mean, rtol=1e-9)
    np.testing.assert_allclose(found.deviation, np.sqrt(variance), rtol=1e-6)


def test_hyper_parameters_are_those_of_the_largest_likelihood() -> None:
    rng = np.random.default_rng(3)
    weights = random_weights(12, 4)
    p = weights / weights.sum(1, keepdims=True)
    scores = 0.7 + 0.5 * np.sqrt(p)[:, 0] + 0.01 * rng.standard_normal(12)
    process = SamplerProcess(embed(weights), scores)
    best, chosen = -math.inf, (0.0, 0.0, 0.0)
    for length, amplitude, noise in itertools.product(
        (0.15, 0.3, 0.6), (0.01, 0.03, 0.06), (0.004, 0.008, 0.015)
    ):
        covariance = kernel(p, p, amplitude, length) + noise**2 * np.eye(12)
        inverse = np.linalg.inv(covariance)
        mean = (inverse @ scores).sum() / inverse.sum()
        value = multivariate_normal.logpdf(scores, np.full(12, mean), covariance)
        if value > best:
            best, chosen = value, (length, amplitude, noise)
    assert (process.length, process.amplitude, process.noise) == chosen
    assert process.log_likelihood == pytest.approx(best + 6 * math.log(2 * math.pi), rel=1e-9)


def test_samplers_that_draw_alike_are_one_point() -> None:
    weights = random_weights(6)
    scores = np.linspace(0.7, 0.8, 6)
    scaled = weights * np.array([[1], [7], [0.01], [3], [1], [2]])
    np.testing.assert_allclose(embed(scaled), embed(weights))
    np.testing.assert_allclose(np.square(embed(weights)).sum(1), 1.0)
    first = SamplerProcess(embed(weights), scores).posterior(embed(weights))
    second = SamplerProcess(embed(scaled), scores).posterior(embed(weights))
    np.testing.assert_allclose(first.mean, second.mean)


def test_nothing_is_drawn_by_a_zero_row() -> None:
    assert embed(np.array([[0.0, 0.0], [0.0, 2.0]])).tolist() == [[0.0, 0.0], [0.0, 1.0]]


def test_repeated_trials_are_averaged_and_shrink_the_deviation() -> None:
    points = embed(random_weights(4))
    scores = np.array([0.70, 0.74, 0.80, 0.72])
    once = SamplerProcess(points, scores).posterior(points)
    again = np.vstack([points, points[:1], points[:1]])
    often = SamplerProcess(again, np.append(scores, [0.76, 0.76])).posterior(points)
    assert often.mean[0] > once.mean[0]
    assert often.deviation[0] < once.deviation[0]
    # one trial alone, and equal scores, are no trouble
    assert SamplerProcess(points[:1], scores[:1]).posterior(points).mean == pytest.approx(0.70)
    assert SamplerProcess(points, np.full(4, 0.5)).posterior(points).mean == pytest.approx(0.5)


def test_the_best_posterior_mean_is_not_the_best_raw_score() -> None:
    # Two clusters; the luckiest trial lies in the worse one.
    rng = np.random.default_rng(0)
    good, bad = np.zeros((8, 40)), np.zeros((8, 40))
    good[:, :20], bad[:, 20:] = 1 + 0.05 * rng.random((8, 20)), 1 + 0.05 * rng.random((8, 20))
    scores = np.concatenate([np.full(8, 0.80), np.full(8, 0.76)]) + 0.002 * rng.standard_normal(16)
    scores[15] = 0.81
    points = embed(np.vstack([good, bad]))
    means = SamplerProcess(points, scores).posterior(points).mean
    assert int(np.argmax(scores)) == 15
    assert int(np.argmax(means)) < 8


@pytest.mark.parametrize(
    ("mean", "deviation", "incumbent"), [(0.1, 0.5, 0.3), (1.0, 0.2, 0.3), (-2.0, 0.7, 0.0)]
)
def test_expected_improvement_is_the_mean_of_the_improvement(
    mean: float, deviation: float, incumbent: float
) -> None:
    draws = np.random.default_rng(0).normal(mean, deviation, 1_000_000)
    improvement = np.maximum(0, draws - incumbent)
    error = improvement.std() / 1_000
    found = expected_improvement(Posterior(np.array([mean]), np.array([deviation])), incumbent)
    assert abs(float(found[0]) - improvement.mean()) < 4 * error
