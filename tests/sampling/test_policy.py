from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localmin.errors import InputError
from localmin.sampling import Policy, PolicySpace, get_form
from localmin.sampling.feature_table import FeatureTable, table_from_sums
from localmin.sampling.forms import FORMS
from localmin.sampling.policy import class_prior
from localmin.sampling.transforms import TransformKind

MakeTable = Callable[..., FeatureTable]
COUNTS = (30, 60, 10)
LABELS = torch.arange(3).repeat_interleave(torch.tensor(COUNTS))


def random_z(seed: int) -> torch.Tensor:
    return torch.rand(10, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def make_space(
    table: FeatureTable, name: str, kind: TransformKind = "cdf", prior: bool = False
) -> PolicySpace:
    form = get_form(name, class_prior=prior)
    return PolicySpace.fit(form, table, LABELS, num_classes=3, kind=kind)


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("kind", ["cdf", "cgf"])
@pytest.mark.parametrize("prior", [False, True])
def test_constant_numbers_are_uniform(make_table: MakeTable, name: str, kind: Any, prior: bool) -> None:
    space = make_space(make_table(100), name, kind, prior)
    z = torch.full((10,), 0.37, dtype=torch.float64)
    if prior:
        z[-1] = 0.0
    weights = space.weights(z)
    assert bool((weights == weights[0]).all())
    assert float(weights[0]) > 0
    z[1] = 0.9
    assert not bool((space.weights(z) == space.weights(z)[0]).all())


def test_the_mixture_is_ranked_anew_for_every_angle(make_table: MakeTable) -> None:
    table = make_table(100)
    space = make_space(table, "d")
    for angle, column, sign in ((0.0, "loss", 1), (1.0, "renormed-entropy", -1)):
        z = get_form("d").uniform()
        z[0] = angle
        order = space.rank_feature(z)[:, 0].argsort()
        assert torch.equal(order, (sign * table.column(column)).argsort())


def test_the_class_prior_balances_the_classes(make_table: MakeTable) -> None:
    space = make_space(make_table(100), "d", prior=True)
    z = get_form("d", class_prior=True).uniform()
    z[-1] = 2 / 3  # exponent 1
    drawn = LABELS.bincount(weights=space.weights(z))
    torch.testing.assert_close(drawn, drawn[:1].expand(3))
    z[-1] = 1.0
    drawn = LABELS.bincount(weights=space.weights(z))
    assert float(drawn[2]) == pytest.approx(float(drawn[1]) * (60 / 10) ** 0.5)
    # classes without an example do not spoil the others
    assert class_prior(torch.tensor([0, 2]), torch.tensor([4, 0, 1]), 1.0).tolist() == [1.0, 4.0]


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("kind", ["cdf", "cgf"])
@pytest.mark.parametrize("prior", [False, True])
def test_a_stored_policy_draws_alike(
    make_table: MakeTable, tmp_path: Path, name: str, kind: Any, prior: bool
) -> None:
    table = make_table(100, tied=name == "e")
    space = make_space(table, name, kind, prior)
    policy = space.policy(random_z(4), origin={"task": "made up", "seed": 3})
    policy.save(tmp_path / "policy.json")
    back = Policy.load(tmp_path / "policy.json")
    assert back.to_dict() == policy.to_dict()
    assert back.origin == {"task": "made up", "seed": 3}
    assert len(back.parameters) == 10
    direct = space.weights(policy.parameter_vector)
    for refit in (True, False):
        found = back.weights(table, LABELS, num_classes=3, refit=refit)
        torch.testing.assert_close(found, direct)
    # the saved knots serve other examples; refitting places them among themselves
    other = make_table(100, seed=9)
    shifted = replace(other, values=other.values * 2 + 1)
    near = back.weights(shifted, LABELS, num_classes=3, refit=False)
    assert not torch.allclose(near, back.weights(shifted, LABELS, num_classes=3, refit=True))
    if kind == "cdf":
        refitted = back.weights(other, LABELS, num_classes=3, refit=True)
        torch.testing.assert_close(refitted, back.weights(shifted, LABELS, num_classes=3, refit=True))


@pytest.mark.parametrize("name", FORMS)
def test_thinned_knots_agree_with_refitting_to_their_accuracy(make_table: MakeTable, name: str) -> None:
    table = make_table(30_000)
    labels = torch.arange(30_000) % 3
    space = PolicySpace.fit(get_form(name), table, labels, num_classes=3)
    policy = space.policy(random_z(1))
    stored = policy.weights(table, labels, num_classes=3, refit=False)
    refitted = policy.weights(table, labels, num_classes=3, refit=True)
    # steepest possible slope of a form with nodes in [0, 1], times the accuracy of its places; a mixture
    # passes through three of them
    slope = {"a": 9, "b": 8, "d": 8 * 8, "e": 5}[name]
    assert float((stored - refitted).abs().max()) < slope / (4_096 // 2 - 1)


def test_a_thinned_space_agrees_with_the_whole(make_table: MakeTable) -> None:
    table = make_table(4_000)
    labels = torch.arange(4_000) % 3
    chosen = torch.randperm(4_000, generator=torch.Generator().manual_seed(0))[:1_000].sort().values
    for name in FORMS:
        space = PolicySpace.fit(get_form(name), table, labels, num_classes=3)
        part = space.thinned(chosen)
        assert len(part) == 1_000
        difference = (part.weights(random_z(2)) - space.weights(random_z(2))[chosen]).abs().max()
        assert float(difference) <= (0.0 if name != "d" else 0.25)


def good(make_table: MakeTable, name: str = "d", prior: bool = True) -> dict[str, Any]:
    stored: dict[str, Any] = json.loads(
        json.dumps(make_space(make_table(100), name, prior=prior).policy(random_z(0)).to_dict())
    )
    return stored


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "newer localmin"),
        ({"schema": "1"}, "damaged"),
        ({"schema": 0}, "damaged"),
        ({"kind": "pizza"}, "not a policy"),
        ({"form": "z"}, "damaged"),
        ({"form": "b"}, "damaged"),
        ({"form": ["d"]}, "damaged"),
        ({"class_prior": "yes"}, "damaged"),
        ({"z": [0.5] * 9}, "damaged"),
        ({"z": [0.5] * 9 + ["many"]}, "damaged"),
        ({"z": [0.5] * 9 + [1.5]}, "damaged"),
        ({"z": [0.5] * 9 + [float("nan")]}, "damaged"),
        ({"z": [0.5] + [0.0] * 8 + [0.5]}, "damaged"),
        ({"z": None}, "damaged"),
        ({"transform": "pdf"}, "damaged"),
        ({"transforms": []}, "damaged"),
        ({"transforms": [{}]}, "damaged"),
        ({"transforms": {"a": 1}}, "damaged"),
        ({"mixture": None}, "damaged"),
        ({"mixture": {"kind": "cdf", "values": [1, 0], "places": [0, 1]}}, "damaged"),
        ({"class_counts": []}, "damaged"),
        ({"class_counts": [0, 0]}, "damaged"),
        ({"class_counts": [-1, 5]}, "damaged"),
        ({"class_counts": [float("inf")]}, "damaged"),
        ({"origin": "abc"}, "damaged"),
        ({"origin": 3}, "damaged"),
    ],
)
def test_a_damaged_policy_is_one_clear_error(
    make_table: MakeTable, change: dict[str, Any], message: str
) -> None:
    Policy.from_dict(good(make_table))
    with pytest.raises(InputError, match=message) as caught:
        Policy.from_dict(good(make_table) | change, name="p.json")
    assert "p.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_no_policies_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    for content in ("", "{", "[]", "3", "null", '{"a": 1}', "[" * 100_000, "\0"):
        path.write_text(content)
        with pytest.raises(InputError):
            Policy.load(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError):
        Policy.load(path)
    with pytest.raises(InputError, match="does not exist"):
        Policy.load(tmp_path / "missing.json")
    with pytest.raises(InputError, match="cannot be read"):
        Policy.load(tmp_path)


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_content_whatever_makes_the_loader_crash(make_table: MakeTable, data: st.DataObject) -> None:
    stored = good(make_table, *data.draw(st.sampled_from([("d", True), ("a", False), ("b", True)])))
    for _ in range(data.draw(st.integers(1, 2))):
        place: Any = stored
        key: Any = data.draw(st.sampled_from(sorted(stored)))
        while isinstance(place[key], dict | list) and len(place[key]) and data.draw(st.booleans()):
            place = place[key]
            key = data.draw(st.sampled_from(sorted(place))) if isinstance(place, dict) else 0
        if isinstance(place, dict) and data.draw(st.booleans()):
            del place[key]
            if place is stored:
                break
        else:
            place[key] = data.draw(junk)
    try:
        policy = Policy.from_dict(stored)
    except InputError:
        return
    # what is let through works
    table = make_table(100)
    for refit in (True, False):
        try:
            weights = policy.weights(table, LABELS, num_classes=3, refit=refit)
        except InputError:
            continue
        assert bool(torch.isfinite(weights).all())
        assert float(weights.min()) >= 0


def test_policies_that_do_not_fit_the_classes_are_refused(make_table: MakeTable) -> None:
    table = make_table(100)
    policy = make_space(table, "d", prior=True).policy(random_z(0))
    labels = LABELS % 2
    for refit in (True, False):
        with pytest.raises(InputError, match="use form a"):
            policy.weights(table, labels, num_classes=2, refit=refit)
    with pytest.raises(InputError, match="found on 3 classes"):
        policy.weights(table, LABELS, num_classes=4, refit=False)
    assert len(policy.weights(table, LABELS, num_classes=4, refit=True)) == 100
    with pytest.raises(InputError, match="10 numbers"):
        Policy(get_form("a"), (0.5,) * 9, "cdf", ())
    with pytest.raises(InputError, match="draw nothing"):
        Policy(get_form("a"), (0.0,) * 10, "cdf", ())


@pytest.mark.parametrize("kind", ["cdf", "cgf"])
@pytest.mark.parametrize("name", ["a", "d"])
def test_a_cut_keeps_its_share_of_the_examples_under_either_transform(name: str, kind: TransformKind) -> None:
    generator = torch.Generator().manual_seed(0)
    # Three in ten examples have six tenths of the gradient: places by mass are not ranks.
    loss = torch.rand(400, generator=generator, dtype=torch.float64)
    gradient = torch.where(loss > 0.7, 1.0, 0.3)
    table = table_from_sums(loss, torch.zeros(400), gradient, torch.zeros(400).long(), source="made up")
    space = PolicySpace.fit(get_form(name), table, torch.arange(400) % 3, num_classes=3, kind=kind)
    for keep in (0.4, 0.8):
        kept = space.weights(space.cut(keep)) > 0.5
        assert abs(float(kept.double().mean()) - keep) < 0.03
    assert bool((space.weights(space.cut(1.2)) == 1).all())
