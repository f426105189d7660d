"""Policies of earlier tasks as the starting design."""

from pathlib import Path

import pytest

from localmin.errors import InputError
from localmin.sampling import Policy, SearchSettings, get_form, preset_settings, search
from localmin.sampling.starts import with_starts
from localmin.tasks import digits

CUT = (0.15, 1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.0, 0.0, 0.0)


def made(name: str = "d", z: tuple[float, ...] = CUT, *, class_prior: bool = False) -> Policy:
    form = get_form(name, class_prior=class_prior)
    return Policy(form, z, "cdf", (), class_counts=(2, 1) if class_prior else ())


def test_starts_are_tried_right_after_uniform(tmp_path: Path) -> None:
    settings = with_starts(preset_settings("quick"), [made()])
    assert settings.num_trials == 6
    result = search(digits(noise=0.4, seed=0, epochs=2), seed=0, settings=settings)
    assert [trial.kind for trial in result.trials] == ["uniform", "carried", "cut", "cut", "cut", "cut"]
    assert result.trials[1].z == pytest.approx(CUT)


def test_files_repetitions_and_uniform(tmp_path: Path) -> None:
    result = search(digits(noise=0.4, seed=0, epochs=2), preset="quick", trials=2, seed=0)
    result.candidate.save(tmp_path / "policy.json")
    settings = with_starts(SearchSettings(), [tmp_path / "policy.json", made(), made(z=(0.3, *(1.0,) * 9))])
    assert settings.form == "d"
    assert len(settings.starts) == 1 + (result.candidate.z != CUT) - (len(set(result.candidate.z[1:])) == 1)


def test_no_policies_change_nothing() -> None:
    assert with_starts(SearchSettings(), []) == SearchSettings()


@pytest.mark.parametrize(
    ("form", "policies", "message"),
    [
        ("a", [made()], "share one form"),
        (None, [made(), made("a")], "share one form"),
        (None, [made(class_prior=True)], "class prior"),
    ],
)
def test_refuses_what_does_not_fit(form: str | None, policies: list[Policy], message: str) -> None:
    with pytest.raises(InputError, match=message):
        with_starts(preset_settings("standard", form=form), policies)


def test_unequal_classes_refuse_starts() -> None:
    settings = with_starts(preset_settings("quick"), [made()])
    with pytest.raises(InputError, match="unequal"):
        search(digits(seed=0, epochs=2, imbalance=20), settings=settings)


def test_settings_refuse_other_numbers() -> None:
    with pytest.raises(InputError, match="10 numbers"):
        SearchSettings(starts=((0.5,) * 9,))
