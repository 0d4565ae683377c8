"""Numbers, times and names as people read them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup, escape

from broker.metrics.table import MODEL_SECONDS
from contract.model.manifest import TrainingData
from contract.model.version_metrics import baseline_of
from contract.wording import decimals_of, fixed, kind_in_words, metric_in_words, number, significant

TITLES = {
    400: "That request cannot be read",
    403: "That is not allowed",
    404: "There is nothing here",
    409: "That is not possible now",
    413: "That is too large",
    422: "That needs a correction",
    429: "Too much at once",
    503: "Not available right now",
}
"""The titles of error pages, by status."""

_JOINT = re.compile("([-_.])(?=[^-_.])")
_CODE = re.compile("`([^`]+)`")
_UNITS = (("day", 86400), ("h", 3600), ("min", 60))


def quartiles(values: Sequence[float]) -> str:
    """Format quartiles: 7.1 · 9.0 · 13.0, or 2 · 4 · 5."""
    decimals = 0 if all(value == round(value) for value in values) else decimals_of(max(map(abs, values)))
    return " · ".join(fixed(value, decimals) for value in values)


def seconds(value: float | None) -> str:
    """Format a time span: 340 µs, 12 ms, 1.4 s, 3 min, 5 h, 2 days."""
    if value is None:
        return "–"
    if value < 0.001:
        return f"{value * 1e6:.0f} µs"
    if value < 1:
        return f"{value * 1e3:.{1 if value < 0.01 else 0}f} ms"
    if value < 60:
        return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"
    name, length = next((unit for unit in _UNITS if value >= unit[1]), ("s", 1))
    count = math.floor(value / length)
    return f"{count} {name}{'s' if name == 'day' and count > 1 else ''}"


def within(bound: float | None) -> str:
    """Format a quantile, which is the bound of a bucket: ≤ 50 ms, > 5 s; – for None."""
    if bound is None:
        return "–"
    if bound == math.inf:
        return f"> {MODEL_SECONDS.buckets[-1]:g} s"
    return f"≤ {bound:g} s" if bound >= 1 else f"≤ {bound * 1e3:g} ms"


def at_least(count: int) -> str:
    """Format a number of which more may have been unseen: ≥ 3; 0."""
    return f"≥ {count:,}" if count else "0"


def ago(stamp: str | None) -> Markup:
    """Return a time in RFC 3339 as a `time` element: "5 min ago", or "in 3 h"."""
    if stamp is None:
        return Markup("–")
    moment = datetime.fromisoformat(stamp)
    passed = (datetime.now(UTC) - moment).total_seconds()
    words = "just now" if 0 <= passed < 5 else f"{seconds(passed)} ago" if passed > 0 else f"in {seconds(-passed)}"
    if abs(passed) >= 60 * 86400:
        words = f"on {moment:%-d %B %Y}"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(stamp, in_utc(stamp, "full"), words)


_FORMS = {
    "full": "%Y-%m-%d %H:%M UTC",
    "moment": "%d %b %H:%M",
    "hour": "%-d %b %H:%M",
    "minute": "%H:%M",
    "day": "%d %b",
}


def in_utc(stamp: str, form: str) -> str:
    """Format a time in RFC 3339 in UTC. The script of the pages knows the same forms in the zone of the browser."""
    return datetime.fromisoformat(stamp).astimezone(UTC).strftime(_FORMS[form])


def clock(stamp: str, form: str = "full") -> Markup:
    """Return a time in RFC 3339 as a `time` element: 2026-01-02 03:04 UTC, which a script writes in the local zone."""
    return Markup('<time datetime="{}" data-form="{}">{}</time>').format(stamp, form, in_utc(stamp, form))


def size(amount: int) -> str:
    """Format bytes."""
    for unit, length in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if amount >= length:
            return f"{amount / length:.{0 if amount >= 10 * length else 1}f} {unit}"
    return f"{amount} bytes"


def share(value: float) -> str:
    """Format a fraction: 12.3 %, 0.04 %."""
    percent = 100 * value
    return f"{percent:.{0 if percent in (0, 100) else 1 if percent >= 0.1 else 2}f} %"


def count(amount: int, noun: str, many: str | None = None) -> str:
    """Return `1 row` or `3 rows`."""
    return f"{amount:,} {noun if amount == 1 else many or noun + 's'}"


def trained_on(data: TrainingData) -> str:
    """Return `120 rows of CSV file loan.csv`, or what is known of an import, whose rows are unknown."""
    return f"{count(data.rows, 'row')} of {data.source}" if data.rows else data.source


def cell(value: object) -> str:
    """Format a value of a row."""
    return "–" if value is None else significant(value) if isinstance(value, float) else str(value)


def exact(value: object) -> str:
    """Format a value of a row in a sentence, with all digits of a number: 3,420, 0.25, Urban, yes; nothing for None."""
    if value is None or isinstance(value, bool):
        return "nothing" if value is None else "yes" if value else "no"
    if isinstance(value, int):
        return number(value)
    return significant(value, 12) if isinstance(value, float) else str(value)


def sentence(text: str) -> str:
    """Return the text of a problem as a sentence."""
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '?', '!')) else '.'}"


def breakable(name: str) -> Markup:
    """Return a name that breaks after its -, _ and . alone, and elsewhere only where a part is longer than the line."""
    return Markup(_JOINT.sub(r"\1<wbr>", str(escape(name))))  # noqa: S704


def coded(text: str) -> Markup:
    """Return the text as HTML, in which what backticks enclose is code."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704


FILTERS: Mapping[str, Callable[..., Any]] = {
    "n": number,
    "fixed": fixed,
    "quartiles": quartiles,
    "seconds": seconds,
    "within": within,
    "at_least": at_least,
    "ago": ago,
    "clock": clock,
    "in_utc": in_utc,
    "words": metric_in_words,
    "size": size,
    "share": share,
    "count": count,
    "sentence": lambda text: coded(sentence(text)),
    "breakable": breakable,
    "coded": coded,
    "trained_on": trained_on,
    "cell": cell,
    "exact": exact,
    "kind": kind_in_words,
    "baseline": baseline_of,
}
