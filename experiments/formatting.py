"""Numbers, intervals and tables as the pages of docs/results show them."""

import math
from collections.abc import Iterable, Sequence

NONE = "–"
"""Stands where there is nothing to show."""


def number(value: float | None, digits: int = 1) -> str:
    """A number with so many decimals, a real minus sign, and no minus before a zero.

    >>> number(-1173.52), number(-0.0004, 2), number(None)
    ('−1,173.5', '0.00', '–')
    """
    if value is None:
        return NONE
    text = f"{value:,.{digits}f}"
    return text.lstrip("-") if not text.strip("-0.") else text.replace("-", "−")


def rounded(value: float, to: int) -> str:
    """A number rounded to a multiple of ``to``.

    >>> rounded(55_581.8, 100)
    '55,600'
    """
    return f"{to * round(value / to):,}"


def decimals(values: Iterable[float]) -> int:
    """How many decimals the largest of these numbers needs for two digits that say something.

    >>> decimals([0.015, 0.001]), decimals([0.82, 0.015]), decimals([4.1]), decimals([-693.0])
    (3, 2, 2, 1)
    """
    largest = max(map(abs, values), default=0.0)
    if largest >= 10:
        return 1
    return 2 if largest == 0 else max(2, 1 - math.floor(math.log10(largest)))


def with_ends(interval: Sequence[float | None] | None, digits: int = 1) -> str:
    """A value and its interval, of ``low, value, high``.

    >>> with_ends((0.64, 0.65, 0.66), 2), with_ends((None, 3.0, None))
    ('0.65 [0.64, 0.66]', '3.0')
    """
    if interval is None:
        return NONE
    low, value, high = interval
    if low is None:
        return number(value, digits)
    return f"{number(value, digits)} [{number(low, digits)}, {number(high, digits)}]"


def percent(share: float | None, digits: int = 1) -> str:
    """A share in percent.

    >>> percent(0.0072), percent(0.66, 0)
    ('0.7 %', '66 %')
    """
    return NONE if share is None else f"{number(100 * share, digits)} %"


def short_percent(share: float | None) -> str:
    """A share in percent, with a decimal only where it is below ten percent.

    >>> short_percent(0.0954), short_percent(0.09998), short_percent(1.7)
    ('9.5 %', '10 %', '170 %')
    """
    return percent(share, 1 if share is not None and round(100 * share, 1) < 10 else 0)


def short(values: Iterable[float | None]) -> str:
    """Numbers of two digits, one after another.

    >>> short([1.0, 0.5714, 0.0, None])
    '1, 0.57, 0, –'
    """
    each = (NONE if value is None else f"{value:.2g}".replace("-", "−") for value in values)
    return ", ".join(each)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table."""
    first, *others = ("|".join(["", *map(_cell, row), ""]) for row in (head, *rows))
    return [first, "|" + "---|" * len(head), *others]


def _cell(text: str) -> str:
    return f" {text} " if text else " "


def bold(text: str) -> str:
    """Bold."""
    return f"**{text}**"
