"""Makes the files of a report from its facts: `report.json`, and the page with the pictures, one self-contained file,
escaped throughout."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from contract.model.manifest import ModelManifest
from contract.model.report_placeholders import ADDRESS, ADDRESS_ELEMENT, STATUS
from contract.model.version_files import REPORT_HTML, REPORT_JSON
from contract.model.version_metrics import CROSS_VALIDATED, TRAINING, baseline_of, headline_first, lower_is_better
from contract.wording import kind_in_words, percent, six_digits
from trainer.report.facts import published
from trainer.report.parts import MISSING, Facts, part
from trainer.report.pictures import DASHES, draw_all

TEMPLATE = "page.html"
_MIDNIGHT = "T00:00:00+00:00"
WORDS = {"r2": "R²", "roc": "ROC", "auc": "AUC", "f1": "F1"}

SCHEMA_VERSION = 2


def draw_report(facts: Facts) -> Callable[[ModelManifest], dict[str, bytes]]:
    """Draw the pictures of the `facts` of `gather`, which takes seconds. Return the function that makes the files of
    the report of a version.

    Other facts may raise any exception.
    """
    pictures = draw_all(facts)

    def files(manifest: ModelManifest) -> dict[str, bytes]:
        known = {"schema_version": SCHEMA_VERSION, **facts, **published(manifest)}
        text = json.dumps(known, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        page = render(known, pictures)
        return {REPORT_JSON: f"{text}\n".encode(), REPORT_HTML: f"{page}\n".encode()}

    return files


def render(facts: Facts, pictures: Facts) -> str:
    """Return the HTML, or a page with the reason if it cannot be made."""
    context = {"facts": facts, "pictures": pictures, "status": Markup(STATUS)}  # noqa: S704
    made = part("page", lambda: {"html": _environment().get_template(TEMPLATE).render(context)})
    return str(made.get("html") or f"<!doctype html><title>report</title><p>{escape(made[MISSING])}")


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "n": shown,
        "measured": _measured,
        "fixed": _fixed,
        "sig": _significant,
        "share": percent,
        "percent": _percent,
        "difference": _difference,
        "aligned": _aligned,
        "alike": _alike,
        "ends": _ends,
        "metrics": _metrics,
        "changed": _changed,
        "value": _value,
        "words": _words,
        "kind": kind_in_words,
        "size": _size,
        "time": _time,
        "dashes": _dashes,
        "zip": lambda names, values: list(zip(names, values, strict=True)),
        "addressed": _addressed,
        "coded": _coded,
    }
    environment.tests |= {"missing": lambda facts: MISSING in facts, "lower_is_better": lower_is_better}
    return environment


def shown(value: Any) -> str:
    """Format a number for reading: 1,234,567, 123.5, 12.35, 0.123, 0.0012; – for None."""
    if value is None:
        return "–"
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, int) or (value == int(value) and abs(value) < 1e15):
        return f"{int(value):,}"
    return _measured(value)


def _measured(value: float | None) -> str:
    """Format a measured number: like `shown`, but 1 is 1.000."""
    if value is None:
        return "–"
    size = abs(value)
    if size >= 1e15 or 0 < size < 0.01:
        return f"{value:#.2g}".replace("-", "−", int(value < 0))
    return _signed(value, 0 if size >= 1000 else 1 if size >= 100 else 2 if size >= 10 else 3)


def _fixed(value: float | None) -> str:
    """Format a number between 0 and 1 for a column of such numbers."""
    return "–" if value is None else f"{value:.3f}"


def _significant(value: float) -> str:
    return f"{value:.3g}"


def _percent(part: int, whole: int) -> str:
    return percent(part / whole if whole else 0.0)


def _difference(metric: Facts) -> str:
    """Format the difference of a metric's two values, with as many decimals as they have."""
    now, before = metric["now"], metric["before"]
    if now is None or before is None:
        return "–"
    decimals = 3 if max(abs(now), abs(before)) < 10 else _decimals([now, before])
    return _signed(now - before, decimals, plus="+")


def _decimals(values: Sequence[float]) -> int:
    """Return the number of decimals that gives the largest value three digits."""
    largest = max(map(abs, values), default=0.0)
    return min(8, max(0, 2 - math.floor(math.log10(largest)))) if largest > 0 else 0


def _aligned(items: Sequence[Facts]) -> Iterator[tuple[Facts, str, str]]:
    """Yield each item with its mean and spread as text, all with the same number of decimals."""
    decimals = _decimals([item["mean"] for item in items if item["mean"] is not None])
    for item in items:
        mean, spread = ("–" if item[k] is None else _signed(item[k], decimals) for k in ("mean", "spread"))
        yield item, mean, spread


def _alike(values: Sequence[float], others: Sequence[float]) -> list[str]:
    """Format `values` with the decimals that suit them and `others`."""
    decimals = _decimals([*values, *others])
    return [_signed(value, decimals) for value in values]


def _signed(value: float, decimals: int, plus: str = "") -> str:
    """Format a number with a proper minus sign, and without a sign if it is rounded to 0."""
    text = f"{abs(value):,.{decimals}f}"
    return text if not text.strip("0.") else f"−{text}" if value < 0 else plus + text


def _ends(items: Sequence[Facts], *others: float) -> tuple[float, float]:
    """Return the range of the means with their spreads, and of `others`."""
    known = [(item["mean"], item["spread"] or 0.0) for item in items if item["mean"] is not None]
    if not known:
        return 0.0, 1.0
    reached = [*others, *(end for mean, spread in known for end in (mean - spread, mean + spread))]
    return min(reached), max(reached)


def _metrics(facts: Facts) -> list[Facts]:
    """Return the metrics, the headline first, each with its `baseline` and cross-validated value (`cv`, `spread`)."""
    metrics = facts["metrics"]
    return [
        {
            "name": name,
            "value": metrics[name],
            "baseline": metrics.get(baseline_of(name)),
            "cv": metrics.get(CROSS_VALIDATED + name.removeprefix(TRAINING)),
            "spread": metrics.get(f"{CROSS_VALIDATED}{name.removeprefix(TRAINING)}_spread"),
        }
        for name in headline_first(metrics, facts["headline"])
    ]


def _changed(inputs: Facts) -> bool:
    return any(change["names"] for change in inputs.values())


def _value(value: Any) -> str:
    """Format a cell of the data: floats as `six_digits` writes them, dates without midnight."""
    return (
        "–" if value is None else six_digits(value) if isinstance(value, float) else str(value).removesuffix(_MIDNIGHT)
    )


def _words(name: str) -> str:
    """Return a metric's name as words."""
    return " ".join(WORDS.get(word, word) for word in name.split("_"))


def _size(amount: int) -> str:
    return f"{amount:,} bytes" if amount < 10_000 else f"{amount / 1000:,.0f} kB"


def _time(stamp: str) -> str:
    return f"{stamp[:16].replace('T', ' ')} UTC"


def _dashes(index: int) -> str:
    """Return the dashes of a line as `stroke-dasharray`."""
    return " ".join(f"{2 * length:g}" for length in DASHES[index % len(DASHES)])


def _coded(text: str) -> Markup:
    """Return the text as HTML, in which what backticks enclose is code."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704


def _addressed(text: str) -> Markup:
    """Return the text as HTML, with an element that the gateway fills with its address."""
    return Markup(str(escape(text)).replace(ADDRESS, ADDRESS_ELEMENT, 1))  # noqa: S704
