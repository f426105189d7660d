from __future__ import annotations

import pytest

from localmin.reports.quantities import Quantity, Result, Sentence, describe, duration

RESULT = Result({
    "mean": 0.12345, "se": 0.004, "none": None, "loss": -0.0312, "zero": 0.0001, "list": [{"n": 50_000}],
    "plus": 0.1, "exact": 1.75, "whole": 11.0,
})  # fmt: skip


def test_keys_lead_through_names_and_positions() -> None:
    assert RESULT["list.0.n"] == 50_000
    assert RESULT.count("list.0.n").text == "50\N{NARROW NO-BREAK SPACE}000"


def test_shares_and_differences_are_written_with_unit_and_sign() -> None:
    assert RESULT.percent("mean").text == "12.3 %"
    assert RESULT.points("loss").text == "\N{MINUS SIGN}3.1 points"
    assert RESULT.points("plus").text == "+10.0 points"
    assert RESULT.points("zero").text == "0.0 points"


def test_error_stands_before_the_unit() -> None:
    assert str(RESULT.with_error("mean", "se")) == "12.3 ± 0.4 %"
    assert str(RESULT.with_error("loss", "se", signed=True)) == "\N{MINUS SIGN}3.1 ± 0.4 points"
    assert str(RESULT.with_error("mean", "none")) == "12.3 %"


def test_missing_numbers_say_so() -> None:
    assert RESULT.percent("none").text == "not known"
    assert RESULT.text("none").text == "none"


def test_trainings_drop_zeros() -> None:
    assert [RESULT.trainings(key).text for key in ("exact", "whole")] == ["1.75", "11"]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (True, "yes"),
        (False, "no"),
        (0.30000000000000004, "0.3"),
        ([1.2, 0.9], "1.2, 0.9"),
        ({"a": None}, "a none"),
    ],
)
def test_settings_are_written_for_people(value: object, written: str) -> None:
    assert describe(value) == written


def test_duration_changes_its_unit() -> None:
    assert [duration(s) for s in (0.04, 59.6, 119.0, 121.0, 7_199.0, 90_000.0)] == [
        "0.0 s", "60 s", "119 s", "2 min 1 s", "119 min 59 s", "25 h 0 min",
    ]  # fmt: skip


def test_markup_is_escaped_and_carries_the_key() -> None:
    sentence = Sentence(("<i> & ", Quantity("a.b", "<x>", "<y>")))
    assert sentence.__html__() == '&lt;i&gt; &amp; <data value="&lt;x&gt;" data-key="a.b">&lt;y&gt;</data>'
    assert str(sentence) == "<i> & <y>"


def test_markup_holds_the_exact_value() -> None:
    assert 'value="0.12345"' in RESULT.percent("mean").__html__()
    assert 'value="null"' in RESULT.percent("none").__html__()
