"""A model card in words: its sections, which pages show, and Markdown.

The words follow from the facts, whatever these are: an object becomes terms with what is said of them, a list of
sentences a list, a list of objects a table. What is null or empty says nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contract.model.model_card import Card
from contract.model.version_files import CARD_JSON, CARD_MARKDOWN
from contract.wording import metric_in_words, number

TITLES = {
    "predicts": "What it predicts",
    "figures": "How good it is",
    "limits": "Limits",
    "warnings": "Warnings",
    "drift": "Drift",
    "outcomes": "Outcomes",
    "slices": "By slice",
    "calibration": "Calibration",
    "inputs": "Inputs",
    "experiments": "Experiments",
    "training": "How it was made",
    "lineage": "Lineage",
}
"""The sections, in this order: of the card, and of what is known `since`."""

_WORDS = {
    "interval": "95 % interval",
    "nullable": "may be null",
    "range": "seen from",
    "values": "seen in rows",
    "nulls": "nulls seen",
    "unknown": "not known, because",
    "at": "when",
    "by": "who",
}
_SENTENCES = ("limits", "warnings", "findings")
_MOST = 10
"""Entries of a list or an object that one text names."""

Table = Sequence[Sequence[str]]


@dataclass(frozen=True)
class CardSection:
    """A part of a card: its `facts` by their terms, `points` of a list, and `tables`, each with its heads first."""

    key: str
    facts: Mapping[str, str]
    points: Sequence[str]
    tables: Sequence[Table]

    @property
    def title(self) -> str:
        return TITLES[self.key]


def sections(card: Card) -> Iterator[CardSection]:
    """Yield the sections of a card that say something."""
    known = {**card, **card.get("since", {})}
    for key in TITLES:
        part = known.get(key)
        facts: dict[str, str] = {}
        points: list[str] = []
        tables: list[Table] = []
        for name, value in (part if isinstance(part, Mapping) else {key: part}).items():
            items = value if isinstance(value, list) else []
            if items and all(isinstance(one, Mapping) for one in items):
                tables.append(_table(items))
            elif name in _SENTENCES:
                points += map(str, items)
            elif value not in _NOTHING:
                facts[_words(name)] = _text(name, value)
        if facts or points or tables:
            yield CardSection(key, facts, points, tables)


_NOTHING: Sequence[object] = (None, "", [], {})


def _table(items: Sequence[Mapping[str, Any]]) -> Table:
    """Return the heads and the rows of a table, without columns that say nothing or `no`."""
    said = [name for one in items for name, value in one.items() if value not in _NOTHING and value is not False]
    names = [name for name in dict.fromkeys(name for one in items for name in one) if name in said]
    return [[*map(_words, names)], *([_text(name, one.get(name)) for name in names] for one in items)]


def _words(name: str) -> str:
    return _WORDS.get(name) or metric_in_words(name)


def _text(name: str, value: object) -> str:
    """Return the value of what has this name."""
    if value in _NOTHING:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:,}" if isinstance(value, int) else number(value)
    if isinstance(value, Mapping):
        value = [f"{entry} {_text('', one)}" for entry, one in value.items()]
    if isinstance(value, list):
        texts = [_text("", one) for one in value]
        more = [f"{len(texts) - _MOST} more"] if len(texts) > _MOST else []
        return (" to " if name in ("interval", "range") else ", ").join([*texts[:_MOST], *more])
    text = str(value)
    if name == "at" or name.endswith("_at"):
        return f"{text[:16].replace('T', ' ')} UTC"
    return metric_in_words(text) if name == "metric" else text


def markdown(card: Card) -> str:
    """Return the card as Markdown (GitHub's, for its tables)."""
    blocks = [f"# {_escaped(card['name'])}, version {card['version']}"]
    for section in sections(card):
        facts = [["", ""], *map(list, section.facts.items())] if section.facts else []
        points = "\n".join(f"- {_escaped(point)}" for point in section.points)
        blocks += [f"## {section.title}", points, *map(_written, (facts, *section.tables))]
    return "\n\n".join(filter(None, blocks)) + "\n"


def _written(table: Table) -> str:
    lines = [f"| {' | '.join(map(_escaped, row))} |" for row in table]
    return "\n".join([*lines[:1], f"|{' --- |' * len(table[0])}", *lines[1:]]) if table else ""


_ACTIVE = re.compile(
    r"[\\`*\[\]<>|~&#!$@]|(?<![A-Za-z0-9_])_+|_+(?![A-Za-z0-9_])"  # an underscore within a word is text anyway
    r"|(?<=[A-Za-z]):(?=//)|(?<=www)\.|^[-+=]",
    re.IGNORECASE,
)
_NUMBERED = re.compile(r"^([0-9]{1,9})([.)])(?= |$)")


def _escaped(text: str) -> str:
    """Return a text as one line of Markdown that shows its characters, and does nothing else."""
    line = _ACTIVE.sub(lambda found: "".join(f"\\{mark}" for mark in found[0]), " ".join(text.split()))
    return _NUMBERED.sub(r"\1\\\2", line)


def card_files(card: Card) -> dict[str, bytes]:
    """Return the files of a card by name."""
    text = json.dumps(card, indent=1, allow_nan=False, ensure_ascii=False)
    return {CARD_JSON: f"{text}\n".encode(), CARD_MARKDOWN: markdown(card).encode()}
