from __future__ import annotations

import numpy as np
import pytest

from localmin.errors import DataError
from localmin.tasks.readers.labels import Classes, RawLabels, labels_from_array


def name(row: int) -> str:
    return f"row {row}"


def read(values: object) -> RawLabels:
    labels = labels_from_array(np.array(values), where="column 'y' of a.csv", row=name)
    assert isinstance(labels, RawLabels)
    return labels


def number(values: object) -> tuple[tuple[str, ...], list[int]]:
    labels = read(values)
    classes = Classes.of(labels, where="a.csv")
    return classes.names, classes.number(labels, where="a.csv", describe=name).tolist()


@pytest.mark.parametrize(
    ("values", "names", "numbers"),
    [
        ([2, 0, 1, 1, 0, 2], ("0", "1", "2"), [2, 0, 1, 1, 0, 2]),
        ([10, 2, 10, 2], ("2", "10"), [1, 0, 1, 0]),
        ([-1, 1, 1, -1], ("-1", "1"), [0, 1, 1, 0]),
        ([1.0, 3.0, 1.0, 3.0], ("1", "3"), [0, 1, 0, 1]),
        ([True, False, False, True], ("false", "true"), [1, 0, 0, 1]),
        (["dog", "cat", "cat", "dog"], ("cat", "dog"), [1, 0, 0, 1]),
        ([b"b", b"a", b"b", b"a"], ("a", "b"), [1, 0, 1, 0]),
        (["10", "9", "9", "10"], ("9", "10"), [1, 0, 0, 1]),
        (["10", "x9", "x9", "10"], ("10", "x9"), [0, 1, 1, 0]),
        (["01", "1", "1", "01"], ("01", "1"), [0, 1, 1, 0]),
        (np.array([3, 200, 3, 200], dtype=np.uint8), ("3", "200"), [0, 1, 0, 1]),
    ],
)
def test_classes_are_numbered_in_order(values: object, names: tuple[str, ...], numbers: list[int]) -> None:
    assert number(values) == (names, numbers)


def test_a_test_set_is_numbered_as_the_training_data() -> None:
    classes = Classes.of(read(["a", "c", "b", "a", "b", "c"]), where="train")
    found = classes.number(read(["c", "c"]), where="test", describe=name)
    assert found.tolist() == [2, 2]


def test_numbers_and_their_texts_are_the_same_label() -> None:
    classes = Classes.of(read([3, 10, 3, 10]), where="train")
    assert classes.number(read(["10", "3"]), where="test", describe=name).tolist() == [1, 0]
    # Read on its own the first file has texts, the second only whole numbers.
    classes = Classes.of(read(["x", "1", "1", "x"]), where="train")
    assert classes.number(read([1, 1]), where="test", describe=name).tolist() == [0, 0]


def test_an_unknown_label_of_the_test_set_is_named_with_its_row() -> None:
    classes = Classes.of(read([0, 1, 0, 1]), where="train")
    with pytest.raises(DataError, match=r"row 2 of test\.csv has the label 7, which .* its labels are 0, 1"):
        classes.number(read([0, 1, 7, 7]), where="test.csv", describe=name)


def test_a_long_list_of_classes_is_cut() -> None:
    classes = Classes.of(read(list(range(12)) * 3), where="train")
    with pytest.raises(DataError, match=r"its labels are 0, 1, .*, 9, \.\.\."):
        classes.number(read([99]), where="test.csv", describe=name)


def test_a_single_class_is_refused() -> None:
    with pytest.raises(DataError, match=r"every example of a.csv has the label 'x'"):
        number(["x", "x", "x"])


def test_nearly_as_many_classes_as_examples_are_refused() -> None:
    with pytest.raises(DataError, match="60 different labels for 100 examples"):
        number(list(range(60)) + list(range(40)))
    assert len(number(list(range(50)) * 2)[0]) == 50
    assert number([5, 9])[0] == ("5", "9")


def test_a_quantity_is_no_label() -> None:
    with pytest.raises(DataError, match=r"holds 2.5 in row 1.*regression"):
        read([1.0, 2.5, 3.0])


@pytest.mark.parametrize("missing", [np.nan, np.inf])
def test_a_missing_number_is_named(missing: float) -> None:
    with pytest.raises(DataError, match=r"column 'y' of a.csv is empty in row 2"):
        read([1.0, 2.0, missing])


@pytest.mark.parametrize("blank", ["", "  "])
def test_a_blank_text_is_named(blank: str) -> None:
    with pytest.raises(DataError, match=r"column 'y' of a.csv is empty in row 1"):
        read(["a", blank, "b", blank])


def test_other_types_are_no_labels() -> None:
    with pytest.raises(DataError, match="complex128"):
        read([1j, 2j])


def test_stored_names_are_shown() -> None:
    labels = RawLabels((1, 0), np.array([0, 1, 0, 1]), {0: "cat", 1: "dog"})
    assert Classes.of(labels, where="a").names == ("cat", "dog")
