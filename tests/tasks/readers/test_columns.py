from __future__ import annotations

from pathlib import Path

import pytest

from localmin.errors import DataError
from localmin.tasks.readers.columns import Column, Columns, choose_columns, choose_label, show_names

PATH = Path("a.csv")


def choose(
    *columns: tuple[str, str], label: str | None = None, training: tuple[str, ...] | None = None
) -> Columns:
    described = [Column(name, kind) for name, kind in columns]
    return choose_columns(described, label=label, path=PATH, training=training)


@pytest.mark.parametrize("name", ["label", "Label", "TARGET", "class", "y", "Y"])
def test_usual_label_names_are_found_in_any_case(name: str) -> None:
    assert choose_label(["a", name, "b"], label=None, path=PATH) == name


def test_y_is_the_label_only_when_nothing_better_is_there() -> None:
    assert choose_label(["x", "y", "label"], label=None, path=PATH) == "label"


@pytest.mark.parametrize(
    "names", [["label", "target"], ["Label", "label"], ["y", "Y"], ["class", "target", "y"]]
)
def test_a_guess_that_is_not_clear_is_an_error(names: list[str]) -> None:
    with pytest.raises(DataError, match="could be it"):
        choose_label(names, label=None, path=PATH)
    assert choose_label(names, label=names[1], path=PATH) == names[1]


def test_no_usual_name_lists_the_columns() -> None:
    with pytest.raises(DataError, match=r"none has a usual name; its columns are a, \(no name\), kind"):
        choose_label(["a", "", "kind"], label=None, path=PATH)


def test_a_label_that_is_not_there_lists_the_columns() -> None:
    with pytest.raises(DataError, match=r"a\.csv has no column 'Kind'; its columns are a, kind"):
        choose_label(["a", "kind"], label="Kind", path=PATH)


def test_numbers_are_features_and_counters_are_not() -> None:
    found = choose(
        *[("", "number"), ("Id", "number"), ("b", "number"), ("label", "text"), ("a", "number")],
        *[("Unnamed: 0", "number"), ("__index_level_0__", "number"), ("name", "number")],
    )
    assert found == Columns(
        "label", None, ("b", "a", "name"), None, ("", "Id", "Unnamed: 0", "__index_level_0__")
    )


def test_texts_are_ignored_only_when_they_name_the_example() -> None:
    found = choose(("Name", "text"), ("a", "number"), ("label", "number"), ("uuid", "text"))
    assert found.ignored == ("Name", "uuid")
    assert found.names == "Name"
    with pytest.raises(DataError, match=r"not numbers: 'city' \(text\), 'when' \(timestamp\[s\]\)"):
        choose(("city", "text"), ("when", "timestamp[s]"), ("a", "number"), ("label", "number"))


def test_a_date_is_refused_under_any_name() -> None:
    with pytest.raises(DataError, match=r"'id' \(date32\)"):
        choose(("id", "date32"), ("a", "number"), ("label", "number"))


def test_an_odd_value_is_shown_when_there_is_one_to_show() -> None:
    columns = [Column("age", "text", lambda: "'?' in row 27"), Column("label", "number")]
    with pytest.raises(DataError, match=r"'age' \('\?' in row 27\)"):
        choose_columns(columns, label=None, path=PATH)


def test_beside_an_image_everything_but_the_label_is_ignored() -> None:
    found = choose(
        ("image", "image"), ("label", "number"), ("path", "text"), ("width", "number"), ("t", "text")
    )
    assert found == Columns("label", "image", (), "path", ("width", "t"))
    with pytest.raises(DataError, match=r"several image columns \(image, mask\)"):
        choose(("image", "image"), ("mask", "image"), ("label", "number"))


def test_a_table_without_features_is_refused() -> None:
    with pytest.raises(DataError, match="no column of numbers or images beside the label 'label'"):
        choose(("label", "number"), ("id", "number"), ("name", "text"))


def test_a_name_twice_is_refused() -> None:
    with pytest.raises(DataError, match="more than one column named 'a'"):
        choose(("a", "number"), ("a", "number"), ("label", "number"))


def test_a_test_file_gives_the_training_columns_in_their_order() -> None:
    columns = [("b", "number"), ("label", "number"), ("a", "number"), ("id", "number")]
    assert choose(*columns, training=("a", "b")).features == ("a", "b")
    with pytest.raises(DataError, match="it lacks c and also has b"):
        choose(*columns, training=("a", "c"))
    with pytest.raises(DataError, match=r"it lacks c$"):
        choose(*columns, training=("a", "b", "c"))
    with pytest.raises(DataError, match=r"it also has a$"):
        choose(*columns, training=("b",))


def test_long_lists_are_cut() -> None:
    shown = show_names([f"c{i}" for i in range(100)])
    assert shown.endswith("c29, ... (100 in all)")
    assert show_names([f"c{i}" for i in range(30)]).endswith("c28, c29")
