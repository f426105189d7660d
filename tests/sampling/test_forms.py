from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import RegularGridInterpolator

from localmin.errors import InputError
from localmin.sampling.forms import FORMS, NUM_PARAMETERS, Form, get_form, piecewise_linear

ALL = [(name, prior) for name in FORMS for prior in (False, True)]
unit = st.floats(0, 1)


def draw_z(seed: int) -> torch.Tensor:
    return torch.rand(NUM_PARAMETERS, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def draw_places(seed: int, form: Form, count: int = 40) -> torch.Tensor:
    columns = 1 if form.has_angle else len(form.features)
    generator = torch.Generator().manual_seed(seed + 1)
    return torch.rand(count, columns, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize(("name", "prior"), ALL)
def test_every_form_has_exactly_ten_numbers_and_uses_each(name: str, prior: bool) -> None:
    form = get_form(name, class_prior=prior)
    nodes = math.prod(form.nodes) if name == "e" else sum(form.nodes)
    assert nodes + form.has_angle + form.has_prior == 10 == form.num_parameters == NUM_PARAMETERS
    assert len(set(form.parameter_names)) == 10
    assert form.has_prior == prior
    # moving any one number changes the policy: none of the ten is idle
    z = 0.2 + 0.6 * draw_z(3)
    features = torch.rand(300, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def outcome(z: torch.Tensor) -> torch.Tensor:
        places = form.combine(z, features)[:, None] if form.has_angle else features
        if form.has_angle:
            places = (places - places.min()) / (places.max() - places.min())
        weights = form.feature_weights(z, places)
        return torch.cat([weights / weights.sum(), torch.tensor([form.prior_exponent(z)])])

    for k in range(10):
        moved = z.clone()
        moved[k] += 0.1
        assert float((outcome(moved) - outcome(z)).abs().max()) > 1e-5, form.parameter_names[k]


@given(nodes=st.lists(unit, min_size=2, max_size=12), places=st.lists(unit, min_size=1, max_size=20))
@settings(max_examples=60, deadline=None)
def test_the_function_is_linear_between_its_nodes(nodes: list[float], places: list[float]) -> None:
    at = torch.tensor([*places, *np.linspace(0, 1, len(nodes))], dtype=torch.float64)
    values = piecewise_linear(at, torch.tensor(nodes, dtype=torch.float64))
    expected = np.interp(at.numpy(), np.linspace(0, 1, len(nodes)), nodes)
    np.testing.assert_allclose(values, expected, atol=1e-12)
    np.testing.assert_allclose(values[len(places) :], nodes, atol=1e-12)
    steepest = (len(nodes) - 1) * max(abs(b - a) for a, b in itertools.pairwise(nodes))
    rise = (values[:, None] - values[None]).abs()
    assert bool((rise <= steepest * (at[:, None] - at[None]).abs() + 1e-12).all())
    assert steepest <= len(nodes) - 1


@pytest.mark.parametrize("prior", [False, True])
def test_the_grid_form_is_bilinear(prior: bool) -> None:
    form = get_form("e", class_prior=prior)
    z, places = draw_z(0), draw_places(0, form)
    rows, columns = form.nodes
    grid = (z[: rows * columns] / z[: rows * columns].max()).view(rows, columns).numpy()
    reference = RegularGridInterpolator((np.linspace(0, 1, rows), np.linspace(0, 1, columns)), grid)
    np.testing.assert_allclose(form.feature_weights(z, places), reference(places.numpy()), atol=1e-12)
    corners = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], dtype=torch.float64)
    expected = [grid[0, 0], grid[-1, 0], grid[0, -1], grid[-1, -1]]
    np.testing.assert_allclose(form.feature_weights(z, corners), expected)


def test_the_product_form_is_a_product() -> None:
    form = get_form("b", class_prior=True)
    z, places = draw_z(5), draw_places(5, form)
    first, second = z[:5] / z[:5].max(), z[5:9] / z[5:9].max()
    expected = np.interp(places[:, 0], np.linspace(0, 1, 5), first) * np.interp(
        places[:, 1], np.linspace(0, 1, 4), second
    )
    np.testing.assert_allclose(form.feature_weights(z, places), expected, atol=1e-12)


def test_the_angle_turns_from_loss_to_entropy() -> None:
    form = get_form("d")
    places = torch.tensor([[0.3, 0.9]], dtype=torch.float64)
    z = form.uniform()
    for angle, expected in ((0.0, 0.3), (1.0, -0.9), (1 / 3, 0.3 * math.cos(math.pi / 6) - 0.9 * 0.5)):
        z[0] = angle
        assert float(form.combine(z, places)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("name", "prior"), ALL)
@pytest.mark.parametrize("seed", [0, 1])
def test_scaled_copies_are_one_canonical_point_and_one_policy(name: str, prior: bool, seed: int) -> None:
    form = get_form(name, class_prior=prior)
    z = draw_z(seed)
    scaled = z.clone()
    start = 1 if form.has_angle else 0
    factors = form.nodes if name == "b" else (10 - start - prior,)
    for length, scale in zip(factors, (0.5, 0.125), strict=False):
        scaled[start : start + length] *= scale
        start += length
    assert float((scaled - z).abs().max()) > 0.01
    torch.testing.assert_close(form.canonical(scaled), form.canonical(z))
    torch.testing.assert_close(form.canonical(form.canonical(z)), form.canonical(z))
    places = draw_places(seed, form)
    torch.testing.assert_close(form.feature_weights(scaled, places), form.feature_weights(z, places))
    weights = form.feature_weights(z, places)
    assert float(weights.min()) >= 0
    assert float(weights.max()) <= 1


@pytest.mark.parametrize(("name", "prior"), ALL)
def test_uniform_and_cuts(name: str, prior: bool) -> None:
    form = get_form(name, class_prior=prior)
    places = draw_places(2, form, count=2_000)
    assert bool((form.feature_weights(form.uniform(), places) == 1).all())
    assert torch.equal(form.cut(1.2), form.uniform())
    assert form.prior_exponent(form.cut(0.5, prior=0.4)) == (pytest.approx(0.6) if prior else 0.0)
    kept_before = 1.0
    for keep in (0.9, 0.6, 0.3):
        weights = form.feature_weights(form.cut(keep), places)
        falling = weights[places[:, 0].argsort()].diff()
        assert bool((falling <= 1e-12).all())
        share = float(weights.mean())
        assert share == pytest.approx(keep, abs=0.12)
        assert share < kept_before
        kept_before = share


def test_the_cut_of_the_default_form_is_the_clipped_ramp() -> None:
    z = get_form("d").cut(0.6)
    expected = [min(1.0, max(0.0, 12 * (0.6 - j / 8) + 0.5)) for j in range(9)]
    np.testing.assert_allclose(z, [0.15, *expected])


def test_a_factor_that_is_zero_everywhere_is_not_valid() -> None:
    form = get_form("b")
    z = torch.ones(10, dtype=torch.float64)
    assert form.is_valid(z)
    z[5:] = 0
    assert not form.is_valid(z)
    assert not torch.isnan(form.canonical(z)).any()
    angle_only = torch.zeros(10, dtype=torch.float64)
    angle_only[0] = 1
    assert not get_form("d").is_valid(angle_only)


def test_two_classes_and_unknown_names_are_refused() -> None:
    get_form("a").check_classes(2)
    get_form("d").check_classes(3)
    with pytest.raises(InputError, match="use form a"):
        get_form("d").check_classes(2)
    with pytest.raises(InputError, match="unknown policy form 'c'"):
        get_form("c")
