"""Facts and pictures → the page: one file that needs nothing else, escaped throughout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import escape

from trainer.report.facts import less_is_better
from trainer.report.parts import MISSING, Facts, part

TEMPLATE = "page.html"


def render(facts: Facts, pictures: Facts) -> str:
    """The HTML; like any part, it says why where it cannot be made."""
    made = part("page", lambda: {"html": _environment().get_template(TEMPLATE).render(facts=facts, pictures=pictures)})
    return str(made.get("html") or f"<!doctype html><title>report</title><p>{escape(made[MISSING])}")


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"n": shown, "signed": _signed, "percent": _percent, "words": _words, "size": _size}
    environment.tests["missing"] = lambda facts: MISSING in facts
    environment.tests["less_is_better"] = less_is_better
    return environment


def shown(value: Any) -> str:
    """A number as a reader wants it: 1,234,567, 12.35, 0.0001235; – for none."""
    if value is None:
        return "–"
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, int) or (value == int(value) and abs(value) < 1e15):
        return f"{int(value):,}"
    return f"{value:,.0f}" if 1e3 <= abs(value) < 1e15 else f"{value:.4g}"


def _signed(value: Any) -> str:
    return shown(value) if value is None or value <= 0 else f"+{shown(value)}"


def _percent(part: int, whole: int) -> str:
    share = 100 * part / whole if whole else 0.0
    return f"{share:.0f} %" if share >= 10 or share == 0 else f"{share:.1f} %"


def _words(name: str) -> str:
    """`mean_absolute_error` as words."""
    return name.replace("_", " ")


def _size(amount: int) -> str:
    return f"{amount:,} bytes" if amount < 10_000 else f"{amount / 1000:,.0f} kB"
