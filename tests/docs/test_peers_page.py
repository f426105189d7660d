"""The page beside other libraries is what its records say."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("benchmarks/peers_page.py")


def test_the_page_is_written_from_the_records(script: ModuleType) -> None:
    assert script.PAGE.read_text() == script.page(), "run python benchmarks/peers_page.py"


def test_every_section_has_its_record_and_its_command(script: ModuleType) -> None:
    for _, name, _, _, command in script.SECTIONS:
        assert script.load(name) is not None, name
        assert (ROOT / command).exists(), command
