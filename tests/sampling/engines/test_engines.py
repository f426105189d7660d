from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from localmin.errors import InputError
from localmin.sampling.engines import ENGINES, Observation, SamplerProcessEngine, make_engine
from localmin.sampling.engines.random_engine import random_parameters
from localmin.sampling.feature_table import FeatureTable, table_from_sums
from localmin.sampling.forms import FORMS, get_form
from localmin.sampling.policy import PolicySpace
from localmin.sampling.surrogate import embed
from localmin.sampling.weight_table import effective_sample_size


def make_space(name: str = "a", prior: bool = False, count: int = 120) -> PolicySpace:
    generator = torch.Generator().manual_seed(0)
    loss, entropy, gradient = torch.rand(3, count, generator=generator, dtype=torch.float64)
    table: FeatureTable = table_from_sums(
        loss, entropy, gradient, torch.zeros(count, dtype=torch.int64), source="made up"
    )
    labels = torch.arange(count) % 3
    return PolicySpace.fit(get_form(name, class_prior=prior), table, labels, num_classes=3)


def observed(space: PolicySpace, z: Tensor, score: float) -> Observation:
    point = torch.from_numpy(embed(space.weights(z).numpy()[None])[0])
    return Observation(z, point, score, 0.004)


def smooth_score(space: PolicySpace) -> Callable[[Tensor], float]:
    """Fall off smoothly with the Hellinger distance from a sampler that the search does not know."""
    wanted = torch.tensor([1, 0.9, 0.9, 0.7, 0.8, 0.5, 0.2, 0.1, 0, 0.05], dtype=torch.float64)
    target = embed(space.weights(wanted).numpy()[None])[0]

    def score(z: Tensor) -> float:
        point = embed(space.weights(z).numpy()[None])[0]
        return 0.9 - 0.5 * float(np.square(point - target).sum())

    return score


def regret(name: str, seed: int, budget: int = 40, batch: int = 8) -> float:
    """Search with noisy scores; give the true score lost by the sampler whose noisy score was best."""
    space, rng = make_space(), np.random.default_rng(seed)
    score = smooth_score(space)
    engine, starter = make_engine(name, seed=seed), make_engine("random", seed=1_000 + seed)
    tried: list[Observation] = []
    while len(tried) < budget:
        asked = engine if tried and len(tried) >= 8 else starter
        for z in asked.ask(space, tried, batch):
            tried.append(observed(space, z, score(z) + 0.004 * rng.standard_normal()))
    best = max(tried, key=lambda trial: trial.score)
    return 0.9 - score(best.z)


@pytest.mark.parametrize("name", [name for name in ENGINES if name != "random"])
def test_bayesian_optimisation_beats_chance_at_forty_trials(name: str) -> None:
    seeds = range(3)
    chance = float(np.median([regret("random", seed) for seed in seeds]))
    assert float(np.median([regret(name, seed) for seed in seeds])) < 0.7 * chance


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("form", "prior"), [("a", False), ("b", True), ("d", True), ("e", False)])
def test_every_engine_keeps_the_contract(engine: str, form: str, prior: bool) -> None:
    space = make_space(form, prior)
    generator = torch.Generator().manual_seed(1)
    tried = [
        observed(space, z, 0.5 + 0.01 * i) for i, z in enumerate(random_parameters(space.form, 5, generator))
    ]
    before = torch.random.get_rng_state()
    proposals = make_engine(engine, seed=3).ask(space, tried, 3)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert len(proposals) == 3
    for z in proposals:
        assert z.shape == (10,)
        assert z.dtype == torch.float64
        assert float(z.min()) >= 0
        assert float(z.max()) <= 1
        assert space.form.is_valid(z)
        torch.testing.assert_close(space.form.canonical(z), z)
    assert len({tuple(z.tolist()) for z in proposals}) == 3
    # no state of its own: the same observations, the same proposals; others, others
    again = make_engine(engine, seed=3).ask(space, tried, 3)
    assert all(torch.equal(a, b) for a, b in zip(proposals, again, strict=True))
    other = make_engine(engine, seed=4).ask(space, tried, 3)
    assert not all(torch.equal(a, b) for a, b in zip(proposals, other, strict=True))


@pytest.mark.parametrize("engine", ENGINES)
def test_one_observation_is_enough(engine: str) -> None:
    space = make_space()
    (z,) = make_engine(engine, seed=0).ask(space, [observed(space, space.form.uniform(), 0.5)], 1)
    assert space.form.is_valid(z)


def test_the_default_engine_proposes_samplers_that_spread_their_draws() -> None:
    space = make_space()
    tried = [observed(space, space.form.uniform(), 0.5), observed(space, space.form.cut(0.5), 0.6)]
    for share in (0.1, 0.8):
        proposals = SamplerProcessEngine(seed=0, min_effective=share).ask(space, tried, 4)
        assert all(effective_sample_size(space.weights(z)) >= share * 120 for z in proposals)
    # an impossible demand still gives something to try
    assert len(SamplerProcessEngine(seed=0, min_effective=2.0).ask(space, tried, 2)) == 2


def test_a_batch_spreads_out() -> None:
    space = make_space()
    tried = [observed(space, space.form.cut(c), 0.5 + 0.1 * (1 - c)) for c in (1.2, 0.8, 0.6, 0.4)]
    first, second = SamplerProcessEngine(seed=0).ask(space, tried, 2)
    assert float((space.weights(first) - space.weights(second)).abs().max()) > 0.05


@pytest.mark.parametrize("form", FORMS)
def test_random_parameters_are_canonical_and_some_fall(form: str) -> None:
    made = get_form(form, class_prior=True)
    z = random_parameters(made, 20, torch.Generator().manual_seed(0), monotone=8)
    assert z.shape == (20, 10)
    torch.testing.assert_close(torch.stack([made.canonical(row) for row in z]), z)
    if form in ("a", "d"):
        nodes = z[:, int(made.has_angle) : -1]
        falling = (nodes.diff(dim=1) <= 0).all(1)
        assert bool(falling[:8].all())
        assert not bool(falling[8:].any())


def test_unknown_engines_are_refused() -> None:
    with pytest.raises(InputError, match="unknown engine 'oracle'"):
        make_engine("oracle", seed=0)
