"""Numbers that remember where in ``result.json`` they stand, and sentences made with them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

__all__ = ["MINUS", "UNKNOWN", "Quantity", "Result", "Sentence", "duration", "percent", "plain_number"]

MINUS = "\N{MINUS SIGN}"
UNKNOWN = "not known"
_NO_BREAK = "\N{NO-BREAK SPACE}"


@dataclass(frozen=True)
class Quantity:
    """A value of ``result.json`` and how it is written.

    Args:
        key: Where it stands: names and positions joined by dots, ``"uniform.test.mean"``.
        value: As stored.
        text: As shown.

    Example:
        >>> print(Quantity("cost.ratio", 2.0, "2.0").__html__())
        <data value="2.0" data-key="cost.ratio">2.0</data>
    """

    key: str
    value: Any
    text: str

    def __str__(self) -> str:
        return self.text

    def __html__(self) -> str:
        """Write the value with its origin; templates call this."""
        stored = self.value if isinstance(self.value, str) else json.dumps(self.value)
        shown = self.text.replace(" %", f"{_NO_BREAK}%").replace(" points", f"{_NO_BREAK}points")
        return Markup('<data value="{}" data-key="{}">{}</data>').format(stored, self.key, shown)


@dataclass(frozen=True)
class Sentence:
    """Words and quantities in a row: the same for a page, a terminal and Markdown.

    Args:
        parts: In order; strings are text, not markup.

    Example:
        >>> str(Sentence(("It cost ", Quantity("cost.ratio", 2.0, "2.0"), " trainings.")))
        'It cost 2.0 trainings.'
    """

    parts: tuple[str | Quantity, ...]

    def __str__(self) -> str:
        return "".join(str(part) for part in self.parts)

    def __html__(self) -> str:
        """Write the words escaped and the quantities with their origin; templates call this."""
        return (
            Markup("")
            .join(self.parts)
            .replace(" ± ", f"{_NO_BREAK}±{_NO_BREAK}")
            .replace(" %", f"{_NO_BREAK}%")
        )

    def __add__(self, other: Sentence) -> Sentence:
        return Sentence((*self.parts, *other.parts))


@dataclass(frozen=True)
class Result:
    """Read access to ``result.json`` by key.

    Args:
        content: The whole object.
    """

    content: Mapping[str, Any]

    def __getitem__(self, key: str) -> Any:
        found: Any = self.content
        for part in key.split("."):
            found = found[int(part)] if isinstance(found, list) else found[part]
        return found

    def percent(self, key: str, *, digits: int = 1) -> Quantity:
        """Write a share as ``81.9 %``."""
        return self._quantity(key, lambda value: percent(value, digits=digits))

    def points(self, key: str) -> Quantity:
        """Write a difference of shares in percentage points, with its sign."""
        return self._quantity(key, signed_points)

    def error(self, key: str) -> Quantity:
        """Write a standard error of a share, in percentage points without the unit."""
        return self._quantity(key, lambda value: f"{100 * value:.1f}")

    def number(self, key: str, *, digits: int = 1) -> Quantity:
        """Write a number with so many decimals."""
        return self._quantity(key, lambda value: plain_number(value, digits=digits))

    def trainings(self, key: str) -> Quantity:
        """Write a number of trainings, with at most two decimals."""
        return self._quantity(key, lambda value: f"{value:.2f}".rstrip("0").rstrip("."))

    def count(self, key: str) -> Quantity:
        """Write a whole number with thin groups of thousands."""
        return self._quantity(key, lambda value: f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}"))

    def duration(self, key: str) -> Quantity:
        """Write seconds as people say them."""
        return self._quantity(key, duration)

    def text(self, key: str) -> Quantity:
        """Write anything as it is."""
        return Quantity(key, self[key], describe(self[key]))

    def with_error(self, mean: str, error: str, *, signed: bool = False) -> Sentence:
        """Write a share with its standard error, ``94.1 ± 0.5 %``, or a difference, ``+6.5 ± 0.8 points``.

        Args:
            mean: Key of the share or difference.
            error: Key of its standard error; where that is None it is left out.
            signed: Whether it is a difference, in percentage points.

        Returns:
            The sentence.
        """
        unit = " points" if signed else " %"
        whole = (self.points if signed else self.percent)(mean)
        if self[error] is None or self[mean] is None:
            return Sentence((whole,))
        number = Quantity(mean, whole.value, whole.text.removesuffix(unit))
        return Sentence((number, " ± ", self.error(error), unit))

    def _quantity(self, key: str, write: Any) -> Quantity:
        value = self[key]
        return Quantity(key, value, UNKNOWN if value is None else write(value))


def percent(share: float, *, digits: int = 1) -> str:
    """Write a share as a percentage.

    Args:
        share: 0.819 is 81.9 %.
        digits: After the decimal point.

    Returns:
        Such as ``"81.9 %"``.

    Example:
        >>> percent(0.8189)
        '81.9 %'
    """
    return f"{100 * share:.{digits}f} %"


def signed_points(difference: float) -> str:
    """Write a difference of shares in percentage points, with a sign unless it rounds to zero."""
    number = f"{abs(100 * difference):.1f}"
    sign = "" if float(number) == 0 else "+" if difference > 0 else MINUS
    return f"{sign}{number} points"


def plain_number(value: float, *, digits: int) -> str:
    """Write a number with a true minus sign."""
    return f"{value:.{digits}f}".replace("-", MINUS)


def duration(seconds: float) -> str:
    """Write a time span.

    Args:
        seconds: Not negative.

    Returns:
        Seconds, minutes and seconds, or hours and minutes.

    Example:
        >>> duration(1.62), duration(38.6), duration(754), duration(7260)
        ('1.6 s', '39 s', '12 min 34 s', '2 h 1 min')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    if whole < 7_200:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3_600} h {whole % 3_600 // 60} min"


def describe(value: Any) -> str:
    """Write a setting: yes and no for truth values, lists with commas, short numbers."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return ", ".join(describe(item) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{name} {describe(item)}" for name, item in value.items())
    return str(value)
