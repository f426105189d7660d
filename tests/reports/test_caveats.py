from __future__ import annotations

from typing import Any

from localmin.reports.caveats import caveats, warnings
from localmin.reports.quantities import Result


def test_notes_name_their_seeds_once(summary: dict[str, Any]) -> None:
    for one in summary["per_seed"]:
        one["notes"] = ["all scores are noise"]
    summary["per_seed"][2]["notes"].append("odd")
    assert warnings(Result(summary)) == ["all scores are noise (seeds 0, 1, 4)", "odd (seed 4)"]


def test_divergence_is_a_warning(one_seed: dict[str, Any]) -> None:
    assert warnings(Result(one_seed)) == []
    one_seed["per_seed"][0]["arms"]["searched"]["diverged"] = True
    assert warnings(Result(one_seed)) == ["the searched training diverged: its score means nothing"]


def test_points_depend_on_the_result(summary: dict[str, Any], one_seed: dict[str, Any]) -> None:
    many, one = (" ".join(str(c) for c in caveats(Result(s))) for s in (summary, one_seed))
    assert "over 3 seeds" in many
    assert "those of seed" in many
    assert "One seed was run" in one
    assert "those of seed" not in one
    assert "oracle" in one
    one_seed["oracle"] = one_seed["noise"] = None
    bare = " ".join(str(c) for c in caveats(Result(one_seed)))
    assert "oracle" not in bare
    assert "labels as given" not in bare


def test_refusal_is_explained(summary: dict[str, Any]) -> None:
    for one in summary["per_seed"]:
        one["recommendation"] = "searched"
    assert not any("follows the recommendation" in str(c) for c in caveats(Result(summary)))
    summary["per_seed"][1]["recommendation"] = "uniform"
    assert any("follows the recommendation" in str(c) for c in caveats(Result(summary)))
