"""Facts and pictures → the page: one file that needs nothing else, escaped throughout."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from contract.reports import ADDRESS, ADDRESS_ELEMENT, STATUS
from trainer.report.facts import less_is_better
from trainer.report.parts import MISSING, Facts, part
from trainer.report.pictures import DASHES

TEMPLATE = "page.html"
MOST_TILES = 4
BASELINE, TRAINING = "baseline_", "training_"
WORDS = {"r2": "R²", "roc": "ROC", "auc": "AUC", "cv": "cross-validated", "f1": "F1"}


def render(facts: Facts, pictures: Facts) -> str:
    """The HTML; like any part, it says why where it cannot be made."""
    given = {"facts": facts, "pictures": pictures, "status": Markup(STATUS)}  # noqa: S704
    made = part("page", lambda: {"html": _environment().get_template(TEMPLATE).render(given)})
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
        "fixed": _fixed,
        "sig": _significant,
        "share": _share,
        "percent": _percent,
        "difference": _difference,
        "aligned": _aligned,
        "ends": _ends,
        "tiles": _tiles,
        "changed": _changed,
        "value": _value,
        "words": _words,
        "size": _size,
        "time": _time,
        "dashes": _dashes,
        "zip": lambda names, values: list(zip(names, values, strict=True)),
        "addressed": _addressed,
    }
    environment.tests |= {"missing": lambda facts: MISSING in facts, "less_is_better": less_is_better}
    return environment


def shown(value: Any) -> str:
    """A number as a reader wants it: 1,234,567, 123.5, 12.35, 0.123, 0.0012; – for none."""
    if value is None:
        return "–"
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, int) or (value == int(value) and 1 < abs(value) < 1e15):
        return f"{int(value):,}"
    size = abs(value)
    if size >= 1e15 or 0 < size < 0.01:
        return f"{value:.2g}"
    return f"{value:,.{0 if size >= 1000 else 1 if size >= 100 else 2 if size >= 10 else 3}f}"


def _fixed(value: float | None) -> str:
    """Such as are between 0 and 1, one below the other."""
    return "–" if value is None else f"{value:.3f}"


def _significant(value: float) -> str:
    return f"{value:.3g}"


def _share(value: float) -> str:
    return f"{100 * value:.{2 if 0 < value < 0.01 else 1}f} %"


def _percent(part: int, whole: int) -> str:
    return _share(part / whole if whole else 0.0)


def _difference(metric: Facts) -> str:
    """Of two that are shown beside it, with as many digits as they have."""
    now, before = metric["now"], metric["before"]
    if now is None or before is None:
        return "–"
    text = shown(now - before) if abs(now - before) >= 0.0005 or max(abs(now), abs(before)) < 0.01 else "0.000"
    return text if text.startswith("-") or now - before < 0.0005 else f"+{text}"


def _decimals(values: Sequence[float]) -> int:
    """After the point, so that the largest has three digits."""
    largest = max(map(abs, values), default=0.0)
    return min(8, max(0, 2 - math.floor(math.log10(largest)))) if largest > 0 else 0


def _aligned(items: Sequence[Facts]) -> Iterator[tuple[Facts, str, str]]:
    """Each with its mean and its spread as text, all with the same number of decimals."""
    decimals = _decimals([item["mean"] for item in items if item["mean"] is not None])
    for item in items:
        mean, spread = ("–" if item[k] is None else f"{item[k]:,.{decimals}f}" for k in ("mean", "spread"))
        yield item, mean, spread


def _ends(items: Sequence[Facts]) -> tuple[float, float]:
    """From where to where the means with their spreads reach."""
    known = [(item["mean"], item["spread"] or 0.0) for item in items if item["mean"] is not None]
    if not known:
        return 0.0, 1.0
    return min(mean - spread for mean, spread in known), max(mean + spread for mean, spread in known)


def _tiles(facts: Facts) -> list[Facts]:
    """The metrics to begin with: the headline first, each with its baseline, if it has one."""
    metrics = facts["metrics"]
    names = [name for name in metrics if not name.removeprefix(TRAINING).startswith((BASELINE, "cv_"))]
    names.sort(key=lambda name: name != facts["headline"])
    return [
        {"name": name, "value": metrics[name], "baseline": metrics.get(_baseline(name))} for name in names[:MOST_TILES]
    ]


def _baseline(name: str) -> str:
    bare = name.removeprefix(TRAINING)
    return f"{name[: len(name) - len(bare)]}{BASELINE}{bare}"


def _changed(inputs: Facts) -> bool:
    return any(change["names"] for change in inputs.values())


def _value(value: Any) -> str:
    """A cell of the data: as it is, a number without what floats add to it."""
    return "–" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def _words(name: str) -> str:
    """`mean_absolute_error` as words."""
    return " ".join(WORDS.get(word, word) for word in name.split("_"))


def _size(amount: int) -> str:
    return f"{amount:,} bytes" if amount < 10_000 else f"{amount / 1000:,.0f} kB"


def _time(stamp: str) -> str:
    return f"{stamp[:16].replace('T', ' ')} UTC"


def _dashes(place: int) -> str:
    """As `stroke-dasharray`."""
    return " ".join(f"{2 * length:g}" for length in DASHES[place % len(DASHES)])


def _addressed(text: str) -> Markup:
    """With the gateway's address, which comes first in it, where the gateway finds it."""
    return Markup(str(escape(text)).replace(ADDRESS, ADDRESS_ELEMENT, 1))  # noqa: S704
