"""Values, numbers, lists, counts and shares as words in messages; texts of others, cut and cleaned; and suggestions for
misspelt names, whose cost is bounded, because callers choose the names.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import SequenceMatcher

_KINDS = {
    "integer": "whole number",
    "string": "text",
    "boolean": "yes or no",
    "datetime": "date and time",
    "datetime_day_first": "date and time, day first",
    "datetime_month_first": "date and time, month first",
}

NAME = 80
"""Most characters of a name or a value in a report or a model card."""

UNSHOWN = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, lone surrogates, and characters that reverse the text beside them."""

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_LOSSES = {"accuracy": "share of wrong answers", "brier": "Brier score"}
_METRICS = {"r2": "R²", "roc": "ROC", "auc": "AUC", "f1": "F1", "mae": "MAE", "rmse": "RMSE", "cv": "cross-validated"}


def kind_in_words(kind: str) -> str:
    """Return the kind of an input or a column (`contract.work.training.KINDS`) as pages and reports call it."""
    return _KINDS.get(kind, kind)


def metric_in_words(name: str) -> str:
    """Return the name of a metric as pages and findings call it."""
    return " ".join(_METRICS.get(word, word) for word in name.split("_"))


def loss_in_words(metric: str) -> str:
    """Return what an experiment compares by a metric, of which less is better."""
    return _LOSSES.get(metric, metric_in_words(metric))


def decimals_of(value: float | None) -> int:
    """Return the decimals for three significant digits of `value`, at most 9."""
    return min(9, max(0, 2 - math.floor(math.log10(abs(value))))) if value else 3


def fixed(value: float | None, decimals: int, plus: str = "") -> str:
    """Format a number of a column, whose numbers all have these decimals; – for None. `plus`: what stands before a
    number above 0."""
    if value is None:
        return "–"
    text = f"{value:z,.{decimals}f}".replace("-", "−")
    return f"{plus}{text}" if value > 0 and text.strip("0.") else text


def number(value: float | None, *, measured: bool = False) -> str:
    """Format a number: 1,234,567, 123.5, 12.35, 0.123, 0.0012, 1.2 × 10⁻⁵; – for None. A `measured` one is 1.000, not
    1."""
    if value is None:
        return "–"
    size = abs(value)
    if not measured and (isinstance(value, int) or (size < 1e15 and value == int(value))):
        return fixed(int(value), 0)
    if size >= 1e15 or 0 < size < 0.01:
        return _general(value, 2)
    return fixed(value, 0 if size >= 1000 else 1 if size >= 100 else 2 if size >= 10 else 3)


def significant(value: float, digits: int = 6) -> str:
    """Format a value of a row with these significant digits, or all before its point: 12,345.6, 0.25, 1.5 × 10⁻⁷."""
    return fixed(value, 0) if 10**digits <= abs(value) < 1e15 else _general(value, digits)


def _general(value: float, digits: int) -> str:
    """Format a number with at most these digits, and a power of ten where it is very large or small."""
    mantissa, _, exponent = f"{value:,.{digits}g}".partition("e")
    power = f" × 10{str(int(exponent)).translate(_SUPERSCRIPTS)}" if exponent else ""
    return f"{mantissa}{power}".replace("-", "−")


def spelt_alike(texts: Iterable[object]) -> list[list[str]]:
    """Return the groups of texts that differ by case or by blanks around them alone."""
    groups: dict[str, list[str]] = {}
    for text in texts:
        if isinstance(text, str):
            groups.setdefault(text.strip().casefold(), []).append(text)
    return [group for group in groups.values() if len(group) > 1]


def listed(values: Sequence[object], most: int = 10) -> str:
    """Return the first `values` as `shown` writes them, and the number of the others."""
    text = ", ".join(map(shown, values[:most]))
    return text if len(values) <= most else f"{text} and {len(values) - most} more"


def shown(value: object) -> str:
    """Return a value in a few words. repr() would descend to any depth, and fails for an int of 5,000 digits."""
    if isinstance(value, str):
        return repr(value) if len(value) <= 40 else f"{value[:40]!r}… ({len(value)} characters)"
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, int) and value.bit_length() > 128:
        return f"a number of about {value.bit_length() * 301 // 1000} digits"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, (list, tuple)):
        return f"a list of {counted(len(value), 'value')}"
    return "an object" if isinstance(value, Mapping) else f"a {type(value).__name__}"[:40]


def clean(value: object, most: int = NAME, keep_lines: bool = False) -> str:
    """Return `value` as text of at most `most` characters, with unsafe characters replaced."""
    lines = str(value)[: most + 1].splitlines() if keep_lines else [str(value)[: most + 1]]
    text = "\n".join(UNSHOWN.sub("\ufffd", line) for line in lines)
    return text if len(text) <= most else text[: most - 1] + "…"


def percent(share: float) -> str:
    """Return a share from 0 to 1 as text, with more digits where it is small."""
    return f"{100 * share:.{2 if 0 < share < 0.01 else 1}f} %"


def counted(number: int, what: str) -> str:
    """Return `1 row`, `2 rows`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


LONGEST = 64
"""Longest name, in characters, that is compared."""


class Suggestions:
    """The suggestions of one request. All comparisons together take at most `steps` of about a tenth of a microsecond;
    after that there are no more suggestions."""

    def __init__(self, steps: int = 500_000) -> None:
        self._left = steps

    def closest(self, word: str, choices: Iterable[str], least: float) -> str | None:
        """Return the most similar of `choices`, the first of equals, with a similarity of at least `least` (0 to 1).
        Case does not matter."""
        if len(word) > LONGEST or self._left <= 0:
            return None
        matcher: SequenceMatcher[str] = SequenceMatcher()
        matcher.set_seq2(word.lower())
        best, closest = least, None
        for choice in choices:
            if not self._affords((len(word) + min(len(choice), LONGEST)) // 4 + 1):
                break
            if len(choice) > LONGEST:
                continue
            matcher.set_seq1(choice.lower())
            # The quick ratios are never too low.
            if matcher.real_quick_ratio() < best or matcher.quick_ratio() < best:
                continue
            if not self._affords(len(word) * len(choice)):
                break
            ratio = matcher.ratio()
            if ratio > best or (ratio == best and closest is None):
                best, closest = ratio, choice
        return closest

    def _affords(self, steps: int) -> bool:
        self._left -= steps
        return self._left > 0
