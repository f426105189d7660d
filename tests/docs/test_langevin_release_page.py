"""The page about released classifiers is what its records say, and the records are complete."""

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from types import ModuleType

import pytest

from localmin.langevin import ReleaseStudy


@pytest.fixture(scope="module")
def script(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("benchmarks/langevin_release_page.py")


def test_the_page_is_written_from_the_records(script: ModuleType) -> None:
    assert script.PAGE.read_text() == script.page(), "run python benchmarks/langevin_release_page.py"


def test_every_record_has_all_seeds_dynamics_and_temperatures(script: ModuleType) -> None:
    for data in script.SECTIONS:
        record = script.load(data)
        study = ReleaseStudy.from_dict(record)
        kinds = {(one.dynamics, one.temperature) for one in study.releases}
        assert {dynamics for dynamics, _ in kinds} == set(script.NAMES)
        assert {one.seed for one in study.releases} == set(range(5))
        assert len(study.releases) == 5 * len(kinds) == 15 * len(record["settings"]["temperatures"])


def test_nothing_leaves_without_noise_and_all_spend_the_same(script: ModuleType) -> None:
    for data in script.SECTIONS:
        record = script.load(data)
        for one in ReleaseStudy.from_dict(record).releases:
            assert one.result.num_gradients == record["settings"]["num_steps"]
            assert one.temperature > 0 or not one.result.left


def test_what_the_introduction_says_holds(script: ModuleType) -> None:
    for data in script.SECTIONS:
        study = ReleaseStudy.from_dict(script.load(data))
        hottest = max(one.temperature for one in study.releases)
        left = {(row["dynamics"], row["temperature"]) for row in study.table() if row["left"]}
        assert left == {("underdamped", hottest)}
        for one in study.releases:
            beyond = [check.loss for check in one.result.checks if check.basin]
            assert all(loss > one.result.loss_at_start for loss in beyond)
        rows = {(row["dynamics"], row["temperature"]): row["best_loss"] for row in study.table()}
        for (dynamics, temperature), best in rows.items():
            assert temperature == 0 or best > rows[dynamics, 0.0]


def test_pictures_are_drawn(script: ModuleType) -> None:
    for name in script.charts():
        assert ElementTree.parse(script.FIGURES / f"{name}.svg").getroot().tag.endswith("svg")
