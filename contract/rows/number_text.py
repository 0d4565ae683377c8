"""Reads numbers as spreadsheets write them: `$1,234.56`, `12.5%`, `5 kg`, `(3.2)`, `12-`, `1'234`, `1 234`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeVar, cast

_SYMBOL = r"[A-Z]{0,3}[$€£¥₹₽₩₺₪₴₫₱]"
_MONEY = rf"{_SYMBOL}|USD|EUR|GBP|CHF|JPY|CNY|INR|AUD|CAD|NZD|SEK|NOK|DKK|PLN|CZK|HUF|BRL|ZAR|[Kk]r\.?|R[sp]\.?|Fr\.?"
_WORD = r"[^\W\d_]+[23]?"
_UNIT = (
    rf"[%‰]|°[CFK]?|{_SYMBOL}"
    # 5A is a code, 5k is not 5, and 5 PM is a time.
    rf"|(?:(?<= )|(?=[ghlms]\b|[^\W\d_]{{2}}))(?![AaPp]\.?[Mm]\.?$){_WORD}(?:[/ ]{_WORD})?\.?"
)
_NUMBER_TEXT = re.compile(
    rf"(\(?)([-+]?) ?(?P<before>{_MONEY})? ?([-(]?) ?"
    r"(?P<number>[1-9][0-9]{0,2}(?P<gap>[ '])[0-9]{3}(?:(?P=gap)[0-9]{3})*(?:[.,][0-9]+)?"
    r"|[0-9.,]*[0-9][.,]?(?:[eE][+-]?[0-9]+)?)"
    rf"(\)?|-(?!\w)) ?(?P<after>{_UNIT})?(\)?)"
)
_NO_MONEY = re.compile(rf"(?P<before>{_SYMBOL}) -|- (?P<after>{_SYMBOL})")
"""How accounts write 0."""
T = TypeVar("T")


def number_and_unit(cell: str) -> tuple[str, str] | None:
    """Return a number as JSON has it, but for its commas, and its unit in the singular, `''` without one. None for
    other text. A space or an apostrophe stands between thousands only."""
    text = " ".join(cell.split()).replace("\u2019", "'").replace("\u2212", "-")
    if match := _NO_MONEY.fullmatch(text):
        return "0", match["before"] or match["after"]
    match = _NUMBER_TEXT.fullmatch(text)
    if not match or (match["before"] and match["after"]):
        return None
    sign, gap = "".join(match.group(1, 2, 4, 7, 9)), match["gap"] or ""
    if sign not in ("", "+", "-", "()") or (sign == "+" and gap == " "):
        return None  # +49 300 123 456 is a telephone number
    number = match["number"].replace(gap, "") if gap else match["number"]
    unit = (match["before"] or match["after"] or "").rstrip(".")
    return ("-" if sign in ("-", "()") else "") + number, unit.removesuffix("s") if len(unit) > 2 else unit


def is_money(unit: str) -> bool:
    """Return whether the unit is a currency: people often leave it out."""
    return re.fullmatch(_MONEY, unit) is not None


def are_plain(column: Sequence[object]) -> bool:
    """Return whether all numbers in the column are as JSON has them. Looking for one mark after the other beats any
    pattern and any loop."""
    text = "\n".join([cell for cell in column if isinstance(cell, str)]) + "\n"
    marked = "," in text or " " in text or "(" in text or "'" in text or "-\n" in text or "\t" in text
    return text.isascii() and not marked


def without_unit(column: list[T], unit: str | None) -> list[T | str]:
    """Return a column of numbers with each number in this unit, or without one, as JSON has it but for its commas.
    Other cells stay."""
    if unit is None and are_plain(column):
        return cast("list[T | str]", column)
    return [_without_unit(cell, unit) if isinstance(cell, str) else cell for cell in column]


def _without_unit(cell: str, unit: str | None) -> str:
    found = number_and_unit(cell)
    return found[0] if found and found[1] in ("", unit) else cell
