"""Numbers that remember where in ``result.json`` they stand, and sentences made with them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from localmin.tasks.metrics import MetricDescription, describe_metric

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

    @property
    def metric(self) -> MetricDescription:
        """How the scores of the test set are read."""
        return describe_metric(self["metric"])

    def score_text(self, value: float) -> str:
        """Write a score of the test set: a share in percent, anything else as a number of four digits."""
        return score_text(value, self.metric)

    def score(self, key: str) -> Quantity:
        """Write a score of the test set as its metric is written."""
        return self._quantity(key, self.score_text)

    def score_error(self, key: str) -> Quantity:
        """Write the standard error of a score, in its unit without the unit's name."""
        return self.error(key) if self.metric.is_share else self._quantity(key, significant)

    def score_with_error(self, mean: str, error: str) -> Sentence:
        """Write a score with its standard error, ``94.1 ± 0.5 %`` or ``5.51 ± 0.03``."""
        if self.metric.is_share:
            return self.with_error(mean, error)
        return self._plain_with_error(self.score(mean), error)

    def gain_with_error(self, mean: str, error: str) -> Sentence:
        """Write an improvement of a score, positive is better, with its standard error."""
        if self.metric.is_share:
            return self.with_error(mean, error, signed=True)
        return self._plain_with_error(self._quantity(mean, signed_number), error)

    def _plain_with_error(self, whole: Quantity, error: str) -> Sentence:
        if self[error] is None or whole.value is None:
            return Sentence((whole,))
        return Sentence((whole, " ± ", self._quantity(error, significant)))

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


def score_text(value: float, metric: MetricDescription) -> str:
    """Write a score as its metric is written: a share in percent, anything else with four digits."""
    return percent(value) if metric.is_share else significant(value)


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


def significant(value: float) -> str:
    """Write a number with three digits that count, more before the point where it has them.

    Args:
        value: Finite.

    Returns:
        Such as ``"5.51"``, ``"0.0123"``, ``"154"``.

    Example:
        >>> significant(5.5123), significant(0.01234), significant(154.3), significant(-0.5)
        ('5.51', '0.0123', '154', '−0.500')
    """
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return plain_number(value, digits=min(digits, 6))


def signed_number(difference: float) -> str:
    """Write a difference with three digits and its sign."""
    number = significant(abs(difference))
    return f"{'+' if difference > 0 else MINUS if difference < 0 else ''}{number}"


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
