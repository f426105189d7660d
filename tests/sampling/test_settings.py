from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from localmin.errors import InputError
from localmin.sampling.settings import PRESETS, SearchSettings, preset_settings, thinned_cuts


@pytest.mark.parametrize("preset", list(PRESETS))
@pytest.mark.parametrize("rounds", [None, 1, 2, 3, 4])
def test_a_number_of_trials_is_exactly_that_number(preset: str, rounds: int | None) -> None:
    settings = preset_settings(preset, rounds=rounds)
    for trials in range(2, 60):
        spread = settings.with_trials(trials)
        assert spread.num_trials == trials
        assert spread.num_trials == spread.num_cuts + sum(
            spread.steps_of(number) for number in range(1, spread.rounds + 1)
        )
        assert spread.cuts[0] == settings.cuts[0] > 1
        assert spread.rounds <= settings.rounds
        assert spread.max_cost is None


def test_fewer_trials_leave_out_the_cheapest_things_first() -> None:
    standard = PRESETS["standard"]
    assert standard.num_trials == 20
    assert standard.with_trials(20) == standard
    assert (standard.with_trials(13).rounds, standard.with_trials(13).last_steps) == (2, 1)
    assert standard.with_trials(11).rounds == 1
    assert standard.with_trials(5).cuts == (1.2, 0.9, 0.7, 0.5, 0.3)
    assert standard.with_trials(2).cuts == (1.2, 0.6)
    with pytest.raises(InputError, match="at least 2"):
        standard.with_trials(1)


def test_rounds_that_were_asked_for_are_not_dropped_silently() -> None:
    assert preset_settings("standard", rounds=3, trials=16).rounds == 3
    with pytest.raises(InputError, match="3 rounds need at least 16 trials, got 15"):
        preset_settings("standard", rounds=3, trials=15)
    assert preset_settings("standard", trials=10).rounds == 1


def test_a_refresh_repeats_no_more_cuts_than_there_are() -> None:
    few = replace(SearchSettings(), cuts=(1.2, 0.7, 0.5))
    assert few.num_trials == 3 + 3 + 2 * 4
    assert few.with_trials(9).num_trials == 9


def test_thinning_keeps_the_ends_and_repeats_nothing() -> None:
    cuts = SearchSettings().cuts
    for count in range(1, len(cuts) + 1):
        kept = thinned_cuts(cuts, count)
        assert len(kept) == len(set(kept)) == count
        assert kept[0] == cuts[0]
        assert list(kept) == sorted(kept, reverse=True)
    assert thinned_cuts(cuts, 3) == (1.2, 0.9, 0.3)


def test_the_form_follows_the_classes_unless_one_was_asked_for() -> None:
    assert [PRESETS[name].form_for(10) for name in ("standard", "quick", "paper")] == ["d", "d", "e"]
    assert {settings.form_for(2) for settings in PRESETS.values()} == {"a"}
    assert preset_settings("standard", form="d").form_for(2) == "d"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"preset": "best"}, "unknown preset 'best'"),
        ({"form": "c"}, "unknown form 'c'"),
        ({"transform": "pdf"}, "unknown transform"),
        ({"feature_source": "eye"}, "unknown feature source"),
        ({"engine": "magic"}, "unknown engine"),
        ({"guard": "thirds"}, "unknown guard"),
        ({"proxy": "oracle"}, "unknown proxy"),
        ({"rounds": 0}, "rounds must be at least 1"),
        ({"steps": -1}, "steps must be at least 0"),
        ({"last_steps": -1}, "last_steps"),
        ({"batch": 0}, "batch must be at least 1"),
        ({"top": 0}, "top must be at least 1"),
        ({"num_folds": 0}, "num_folds"),
        ({"refresh_cuts": 0}, "refresh_cuts must be at least 1"),
        ({"trial_share": 0.0}, "trial_share"),
        ({"feature_share": float("nan")}, "feature_share"),
        ({"fold_share": 1.0}, "do not fit"),
        ({"fold_share": 0.5, "num_folds": 3}, "do not fit"),
        ({"fold_share": 0.8, "num_folds": 6}, "do not fit"),
        ({"fold_share": None, "num_folds": 4}, "give fold_share"),
        ({"max_cost": 0.0}, "max_cost"),
        ({"cuts": ()}, "first cut"),
        ({"cuts": (0.9, 0.5)}, "first cut"),
        ({"cuts": (1.2, 0.5, 0.5), "rounds": 1}, "distinct"),
        ({"cuts": (1.2, 1.1), "rounds": 1}, r"lie in \(0, 1\]"),
        ({"cuts": (1.2, 0.0), "rounds": 1}, r"lie in \(0, 1\]"),
    ],
)
def test_settings_out_of_range_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(SearchSettings(), **change)


def test_presets_and_changes() -> None:
    with pytest.raises(InputError, match="unknown preset 'fast'"):
        preset_settings("fast")
    with pytest.raises(InputError, match="unknown setting trails"):
        preset_settings("quick", trails=3)
    changed = preset_settings("quick", rounds=None, form="e", trials=7)
    assert (changed.rounds, changed.form, changed.num_trials) == (1, "e", 7)
    assert SearchSettings(**changed.to_dict()) == changed
