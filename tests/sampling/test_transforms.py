from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from localmin.errors import DataError, InputError
from localmin.sampling.transforms import MAX_KNOTS, Transform, fit_transform, mid_rank


def dense_places(feature: np.ndarray, mass: np.ndarray) -> np.ndarray:
    below = np.array([mass[feature < value].sum() for value in feature])
    at = np.array([mass[feature == value].sum() for value in feature])
    return np.asarray((below + at / 2) / mass.sum())


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.integers(-4, 4), min_size=1, max_size=30),
    masses=st.lists(st.floats(0.01, 9), min_size=30, max_size=30),
)
def test_places_are_mass_below_plus_half_the_mass_at(values: list[int], masses: list[float]) -> None:
    feature = torch.tensor(values, dtype=torch.float64)
    mass = torch.tensor(masses[: len(values)], dtype=torch.float64)
    np.testing.assert_allclose(mid_rank(feature, mass), dense_places(feature.numpy(), mass.numpy()))
    expected = (rankdata(values) - 0.5) / len(values)
    np.testing.assert_allclose(mid_rank(feature), expected)
    # the fitted transform agrees with the ranks it was fitted to, and is monotone
    for kind in ("cdf", "cgf"):
        fitted = fit_transform(feature, kind=kind, gradient=mass)
        np.testing.assert_allclose(fitted(feature), mid_rank(feature, mass if kind == "cgf" else None))
        assert bool((fitted(torch.linspace(-6, 6, 50)).diff() >= 0).all())


@pytest.mark.parametrize("segments", [4, 9])
def test_cgf_gives_equal_parts_of_the_axis_equal_parts_of_the_gradient(segments: int) -> None:
    generator = torch.Generator().manual_seed(0)
    losses = (torch.randn(50_000, generator=generator, dtype=torch.float64) * 1.5 - 3).exp()
    gradient = 2**0.5 * (1 - (-losses).exp())
    places = fit_transform(losses, kind="cgf", gradient=gradient, max_knots=10**6)(losses)
    bins = (places * segments).floor().clamp_max(segments - 1).long()
    mass = bins.bincount(weights=gradient, minlength=segments) / gradient.sum()
    tolerance = float(gradient.max() / gradient.sum())
    assert bool(((mass - 1 / segments).abs() <= tolerance + 1e-12).all())
    # cdf does not: easy examples carry next to no gradient
    counts = (fit_transform(losses)(losses) * segments).floor().long().bincount(weights=gradient)
    assert float(counts[0]) < 0.1 * float(counts[-1])


def test_tied_values_share_one_place_whatever_their_masses() -> None:
    feature = torch.tensor([1.0, 1.0, 0.0, 1.0])
    gradient = torch.tensor([5.0, 0.0, 2.0, 1.0])
    assert mid_rank(feature, gradient).tolist() == [0.625, 0.625, 0.125, 0.625]


def test_many_values_are_thinned_to_knots_that_keep_steps() -> None:
    generator = torch.Generator().manual_seed(1)
    n = 60_000
    feature = torch.rand(n, generator=generator, dtype=torch.float64)
    feature[: n // 3] = 0.5  # a heavy tie in the middle: the places jump there
    gradient = torch.rand(n, generator=generator, dtype=torch.float64) * feature
    for kind, mass in (("cdf", None), ("cgf", gradient)):
        fitted = fit_transform(feature, kind=kind, gradient=gradient)  # type: ignore[arg-type]
        assert len(fitted.values) <= MAX_KNOTS + 2
        error = (fitted(feature) - mid_rank(feature, mass)).abs().max()
        assert float(error) <= 1 / (MAX_KNOTS // 2 - 1)
        coarse = fit_transform(feature, kind=kind, gradient=gradient, max_knots=64)  # type: ignore[arg-type]
        assert len(coarse.values) <= 66
        assert float((coarse(feature) - mid_rank(feature, mass)).abs().max()) <= 1 / 31


def test_unseen_values_interpolate_and_the_ends_hold() -> None:
    fitted = fit_transform(torch.tensor([0.0, 2.0]))
    assert fitted(torch.tensor([-9.0, 0.0, 1.0, 2.0, 9.0])).tolist() == [0.25, 0.25, 0.5, 0.75, 0.75]


def test_sums_are_exact_where_single_precision_would_lose_them() -> None:
    n = 2**21
    feature = torch.arange(n, dtype=torch.float64)
    mass = torch.full((n,), 0.1, dtype=torch.float32)
    assert float((mid_rank(feature, mass) - mid_rank(feature)).abs().max()) < 1e-12


def test_no_gradient_at_all_falls_back_to_cdf_with_a_warning() -> None:
    feature = torch.tensor([3.0, 1.0])
    with pytest.warns(UserWarning, match="using cdf"):
        fitted = fit_transform(feature, kind="cgf", gradient=torch.zeros(2))
    assert fitted.kind == "cdf"
    assert fitted(feature).tolist() == [0.75, 0.25]


def test_features_that_are_not_finite_name_the_example() -> None:
    with pytest.raises(DataError, match="example 1 is nan"):
        fit_transform(torch.tensor([0.0, torch.nan]))
    with pytest.raises(InputError, match="unknown transform 'pdf'"):
        fit_transform(torch.tensor([0.0]), kind="pdf")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="gradient-norm"):
        fit_transform(torch.tensor([0.0]), kind="cgf")


def test_a_transform_survives_being_stored() -> None:
    feature = torch.randn(100, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    fitted = fit_transform(feature, kind="cgf", gradient=feature.abs())
    back = Transform.from_dict(fitted.to_dict())
    assert back.kind == "cgf"
    assert torch.equal(back(feature + 0.01), fitted(feature + 0.01))


@pytest.mark.parametrize(
    "damage",
    [
        {"kind": "pdf"},
        {"values": []},
        {"values": "abc"},
        {"values": [0.0, 0.0]},
        {"values": [1.0, 0.0]},
        {"values": [0.0, float("nan")]},
        {"values": [0.0, 10**400]},
        {"values": [0.0, True]},
        {"places": [0.5]},
        {"places": [0.5, 0.25]},
        {"places": [-0.5, 0.5]},
        {"places": [0.5, 1.5]},
    ],
)
def test_damaged_knots_are_refused(damage: dict[str, object]) -> None:
    good = {"kind": "cdf", "values": [0.0, 1.0], "places": [0.25, 0.75]}
    Transform.from_dict(good)
    with pytest.raises(InputError):
        Transform.from_dict(good | damage)
