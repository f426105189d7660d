"""The page that compares is what the recorded measurements say."""

from collections.abc import Callable
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def script(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("benchmarks/sampling_comparison_page.py")


def test_the_page_is_up_to_date(script: ModuleType) -> None:
    assert script.PAGE.read_text() == script.page(), "run python benchmarks/sampling_comparison_page.py"
    for name in script.charts():
        assert (script.FIGURES / f"{name}.svg").exists()


def row(gain: float, cost: float) -> dict[str, object]:
    return {"gain": {"mean": gain}, "cost": cost}


def test_a_loss_against_a_peer_is_said(script: ModuleType) -> None:
    rows = {"quick": row(3.0, 2.75), "cleanlab": row(4.0, 5.0), "SuperLoss": row(-2.0, 1.0)}
    said = script.verdict(rows)
    assert "Better than every preset here: cleanlab" in said
    assert "Worse than uniform by more than half a point: SuperLoss" in said


def test_a_cheaper_peer_is_said(script: ModuleType) -> None:
    rows = {"quick": row(3.0, 2.75), "trimming": row(2.5, 1.5)}
    assert "No peer beats" in script.verdict(rows)
    assert "cheaper: trimming" in script.verdict(rows)
