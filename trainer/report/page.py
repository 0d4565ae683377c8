"""Makes the files of a report from its facts: `report.json`, and the page with the pictures, one self-contained file,
escaped throughout."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from contract.model.manifest import ModelManifest
from contract.model.report_placeholders import ADDRESS, ADDRESS_ELEMENT, PARTS, STATUS
from contract.model.version_files import REPORT_HTML, REPORT_JSON
from contract.model.version_metrics import CROSS_VALIDATED, TRAINING, baseline_of, headline_first, lower_is_better
from contract.wording import decimals_of, fixed, kind_in_words, metric_in_words, number, percent, significant
from trainer.report.facts import published
from trainer.report.parts import MISSING, Facts, part
from trainer.report.pictures import DASHES, MARKS, draw_all

TEMPLATE = "page.html"
_MIDNIGHT = "T00:00:00+00:00"

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
    context = {"facts": facts, "pictures": pictures, "status": Markup(STATUS), "contents": PARTS.items()}  # noqa: S704
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
        "measured": partial(number, measured=True),
        "fixed": partial(fixed, decimals=3),
        "sig": partial(significant, digits=3),
        "share": percent,
        "percent": _percent,
        "difference": _difference,
        "aligned": _aligned,
        "alike": _alike,
        "ends": _ends,
        "metrics": _metrics,
        "changed": _changed,
        "value": _value,
        "words": metric_in_words,
        "kind": kind_in_words,
        "size": _size,
        "time": _time,
        "dashes": _dashes,
        "mark": lambda index: list(MARKS.values())[index % len(MARKS)],
        "zip": lambda names, values: list(zip(names, values, strict=True)),
        "addressed": _addressed,
        "coded": _coded,
    }
    environment.tests |= {"missing": lambda facts: MISSING in facts, "lower_is_better": lower_is_better}
    return environment


def shown(value: Any) -> str:
    """Format a number, a word, or whether something is so."""
    return str(value) if isinstance(value, bool | str) else number(value)


def _percent(part: int, whole: int) -> str:
    return percent(part / whole if whole else 0.0)


def _difference(metric: Facts) -> str:
    """Format the difference of a metric's two values, with as many decimals as they have."""
    now, before = metric["now"], metric["before"]
    if now is None or before is None:
        return "–"
    decimals = 3 if max(abs(now), abs(before)) < 10 else decimals_of(max(abs(now), abs(before)))
    return fixed(now - before, decimals, plus="+")


def _aligned(items: Sequence[Facts]) -> Iterator[tuple[Facts, str, str]]:
    """Yield each item with its mean and spread as text, all with the same number of decimals."""
    decimals = decimals_of(max((abs(item["mean"]) for item in items if item["mean"] is not None), default=None))
    for item in items:
        yield item, fixed(item["mean"], decimals), fixed(item["spread"], decimals)


def _alike(values: Sequence[float], others: Sequence[float]) -> list[str]:
    """Format `values` with the decimals that suit them and `others`."""
    decimals = decimals_of(max(map(abs, [*values, *others]), default=None))
    return [fixed(value, decimals) for value in values]


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
    """Format a cell of the data: floats as `significant` writes them, dates without midnight."""
    return (
        "–" if value is None else significant(value) if isinstance(value, float) else str(value).removesuffix(_MIDNIGHT)
    )


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
