"""Lists of seeds become numbers, or one clear error."""

import pytest

from localmin.errors import InputError
from localmin.tasks.seed_lists import parse_seeds


@pytest.mark.parametrize(
    ("text", "seeds"), [("3", [3]), ("0-2", [0, 1, 2]), ("0,4-5, 9", [0, 4, 5, 9]), ("7-7", [7])]
)
def test_seeds_are_numbers_and_ranges(text: str, seeds: list[int]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "1-", "-3", "3-1", "1,,2", "0.5"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="--seeds expects"):
        parse_seeds(text)
