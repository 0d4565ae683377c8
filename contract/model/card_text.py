"""A model card in words: its sections, which pages show, and Markdown."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from contract.model.model_card import Card
from contract.model.version_files import CARD_JSON, CARD_MARKDOWN
from contract.model.version_metrics import BASELINE
from contract.wording import (
    counted,
    kind_in_words,
    listed,
    metric_in_words,
    number,
    percent,
    rows_of,
    shown,
    six_digits,
)

_MOST_NAMED = 10


@dataclass(frozen=True)
class CardSection:
    """A part of a card: `lines` are paragraphs, `points` a list, `facts` terms with what is said of them, and `rows`
    those of a table below `heads`. `key` names it."""

    key: str
    title: str
    lines: Sequence[str] = ()
    points: Sequence[str] = ()
    facts: Sequence[tuple[str, str]] = ()
    heads: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()


def sections(card: Card) -> Iterator[CardSection]:
    """Yield the sections of a card that say something. Facts of another shape than those of reports say nothing."""
    for make in _SECTIONS:
        with suppress(LookupError, TypeError, ValueError, AttributeError):
            section = make(card)
            if section.lines or section.points or section.facts or section.rows:
                yield section


def markdown(card: Card) -> str:
    """Return the card as Markdown (GitHub's, for its tables)."""
    blocks = [f"# {_escaped(card['name'])}, version {card['version']}"]
    for section in sections(card):
        blocks += [f"## {section.title}", *map(_escaped, section.lines)]
        blocks += _table(("", ""), section.facts)
        blocks += ["\n".join(f"- {_escaped(point)}" for point in section.points)] if section.points else []
        blocks += _table(section.heads, section.rows)
    return "\n\n".join(blocks) + "\n"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [heads, ["---"] * len(heads), *([*map(_escaped, row)] for row in rows)]
    return ["\n".join(f"| {' | '.join(line)} |" for line in lines)] if rows else []


def card_files(card: Card) -> dict[str, bytes]:
    """Return the files of a card by name."""
    text = json.dumps(card, indent=1, allow_nan=False, ensure_ascii=False)
    return {CARD_JSON: f"{text}\n".encode(), CARD_MARKDOWN: markdown(card).encode()}


_ACTIVE = re.compile(
    r"[\\`*\[\]<>|~&#!$@]|(?<![A-Za-z0-9_])_+|_+(?![A-Za-z0-9_])"  # an underscore within a word is text anyway
    r"|(?<=[A-Za-z]):(?=//)|(?<=www)\.|^[-+=]|(?<=[0-9])[.)](?= )",
    re.IGNORECASE,
)


def _escaped(text: str) -> str:
    """Return a text as one line of Markdown that shows its characters, and does nothing else."""
    return _ACTIVE.sub(lambda found: "".join(f"\\{mark}" for mark in found[0]), " ".join(text.split()))


# What is kept with the version


def _purpose(card: Card) -> CardSection:
    signature, facts = card["signature"], []
    for output in signature["outputs"]:
        labels = output["label_names"] or output["labels"]
        extras = " and ".join(word for word in ("probabilities", "scores") if output[word])
        answer = f"one of {listed(labels)}" if labels else f"a {output['kind']}"
        name = output["name"] or card["training_data"]["target"] or "answer"
        facts.append((name, answer + (f", with {extras}" if extras else "")))
    source = {"table": counted(card["inputs"], "input"), "texts": "a text"}.get(signature["format"], "records")
    facts.append(("from", source))
    if signature["id_field"]:
        facts.append(("id", f"{signature['id_field']}: answers repeat it, and the model does not use it"))
    return CardSection("purpose", "What it predicts", facts=facts)


def _inputs(card: Card) -> CardSection:
    seen, rows = card["seen"] or {}, []
    for field, column in zip_longest(card["signature"]["inputs"], seen.get("inputs", ())):
        accepts = "any" if field["categories"] is None else listed(field["categories"])
        nulls = "yes" if field["nullable"] else "no"
        if column and column["nulls"]:
            nulls += f"; {percent(column['nulls'] / seen['rows'])} of the rows"
        rows.append((field["name"], kind_in_words(field["kind"]), accepts, _range(column), nulls))
    left = card["inputs"] - len(rows)
    heads = ("input", "kind", "accepts", "its sample has" if seen.get("sample") else "training saw", "null")
    return CardSection("inputs", "Inputs", [f"{left:,} more are not shown."] if left else (), heads=heads, rows=rows)


def _range(column: Mapping[str, Any] | None) -> str:
    if column and column["values"]:
        return ", ".join(f"{value} ({rows:,})" for value, rows in [*column["values"].items()][:8])
    ends = (column["low"], column["high"]) if column else (None, None)
    return " to ".join(dict.fromkeys(six_digits(end) if isinstance(end, float) else str(end or "–") for end in ends))


def _origin(card: Card) -> CardSection:
    facts = {
        "published": _moment(card["created_at"]),
        "recipe": card["recipe"],
        "data": rows_of(card["training_data"]["rows"], card["training_data"]["source"]),
        "fingerprint": card["training_data"]["fingerprint"],
        "parameters": _listed(card["parameters"]),
        "libraries": _listed(card["libraries"]),
        "environment": card["environment"],
        "notes": card["notes"],
    }
    return CardSection("origin", "How it was made", facts=[(name, text) for name, text in facts.items() if text])


def _listed(entries: Mapping[str, Any]) -> str:
    named = [f"{name} {value if isinstance(value, str) else shown(value)}" for name, value in entries.items()]
    return ", ".join(named[:_MOST_NAMED]) + (
        f" and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
    )


def _figures(card: Card) -> CardSection:
    tested, lines = card["tested"], [card["verdict"]] if card["verdict"] else []
    if tested:
        which = "of its sample" if tested["sample"] else "held out" if tested["held_out"] else "that it was trained on"
        lines.append(f"Measured on {counted(tested['rows'], 'row')} {which}. The baseline is always the same answer.")
    rows = [
        (metric_in_words(one["name"]), _figure(one), number(one["baseline"]), number(one["cross_validated"]))
        for one in card["metrics"]
    ]
    heads = ("metric", "value (95 % interval)", "baseline", "cross-validated")
    return CardSection("figures", "How good it is", lines, heads=heads, rows=rows)


def _slices(card: Card) -> CardSection:
    rows = [
        (f"{one['input']} is {one['slice']}", _figure(one), f"{one['rows']:,}", "worse than elsewhere" * one["worse"])
        for one in card["slices"]["items"]
    ]
    heads = ("where", f"{metric_in_words(card['slices']['metric'])} (95 % interval)", "rows", "")
    return CardSection("slices", "By slice", heads=heads, rows=rows)


def _figure(one: Mapping[str, Any]) -> str:
    """Return a value with its interval, if that is known."""
    limits = "" if one["low"] is None else f" ({number(one['low'])} to {number(one['high'])})"
    return f"{number(one['value'])}{limits}"


def _calibration(card: Card) -> CardSection:
    bins = card["calibration"]
    of = "the answers" if bins["label"] is None else shown(bins["label"])
    rows = [
        (percent(said), f"{percent(true)} ({percent(low)} to {percent(high)})", f"{count:,}")
        for said, true, low, high, count in zip(
            *(bins[name] for name in ("predicted", "observed", "low", "high", "rows")), strict=True
        )
    ]
    lines = [f"The probabilities of {of} are {percent(bins['gap'])} from what came true, on average."]
    heads = ("probability", "came true (95 % interval)", "rows")
    return CardSection("calibration", "Calibration", lines, heads=heads, rows=rows)


def _changes(card: Card) -> CardSection:
    changes, title = card["changes"], f"Beside version {card['changes']['version']}"
    lines = [f"The two cannot be compared: {changes['reason']}."] if changes["reason"] else []
    rows = [
        (metric_in_words(one["name"]), number(one["before"]), number(one["now"]))
        for one in changes["metrics"] or ()
        if not one["name"].startswith(BASELINE)
    ]
    heads = ("on rows new to both", f"version {changes['version']}", f"version {card['version']}")
    return CardSection("changes", title, lines, changes["differences"], heads=heads, rows=rows)


# What is known since


def _lineage(card: Card) -> CardSection:
    since = card["since"]
    made = since["made"] or {}
    facts = {
        "data": card["training_data"]["fingerprint"],
        "made": f"{_moment(made['at'])}{_by(made)} ({made['action'].replace('_', ' ')})" if made else "",
        "training job": since["job"],
        "same data": f"also version {listed(since['same_data'])}" if since["same_data"] else "",
        "aliases now": ", ".join(since["aliases"]) or "none",
    }
    lines = [f"Who made it and moved its aliases is not known: {since['no_history']}."] if since["no_history"] else []
    points = [
        f"{_moment(one['at'])}: {one['alias']} "
        + (f"moved to version {one['version']}" if one["version"] else "was deleted")
        + _by(one)
        for one in since["moves"]
    ]
    known = [(name, text) for name, text in facts.items() if text]
    return CardSection("lineage", "Lineage", lines, points, known)


def _by(entry: Mapping[str, Any]) -> str:
    return f" by {entry['by']}" if entry["by"] else ""


def _experiments(card: Card) -> CardSection:
    rows = [
        (
            _moment(one["started_at"]),
            f"{one['plan']['kind']} of version {one['candidate']} beside version {one['baseline']}",
            (one["ending"] or "running").replace("_", " "),
            one["reason"],
        )
        for one in card["since"]["experiments"]
    ]
    return CardSection("experiments", "Experiments", heads=("started", "experiment", "ending", "reason"), rows=rows)


def _health(card: Card) -> CardSection:
    drift, outcomes = card["since"]["drift"], card["since"]["outcomes"]
    lines = [f"{finding}." for finding in card["since"]["findings"]]
    if drift["reason"]:
        lines.append(f"Whether its rows have drifted is not known: {drift['reason']}.")
    else:
        moved = listed([alarm["column"] for alarm in drift["alarms"]]) or "none"
        watched = counted(len(drift["watched"]), "column")
        lines.append(f"Columns that have drifted in {counted(drift['rows'], 'logged row')}, of {watched}: {moved}.")
    if outcomes["reason"]:
        lines.append(f"How good its answers were is not known: {outcomes['reason']}.")
    rows = [
        (metric_in_words(name), _figure(one), f"{one['outcomes']:,}")
        for name, one in (outcomes["metrics"] or {}).items()
    ]
    heads = ("metric", "of what came true (95 % interval)", "outcomes")
    return CardSection("health", "Drift and outcomes", lines, heads=heads, rows=rows)


def _moment(stamp: str) -> str:
    return f"{stamp[:16].replace('T', ' ')} UTC"


_SECTIONS: Sequence[Callable[[Card], CardSection]] = (
    *(_purpose, _figures),
    lambda card: CardSection("limits", "Limits", points=card["limits"]),
    lambda card: CardSection("warnings", "Warnings", points=card["warnings"]),
    *(_health, _slices, _calibration, _inputs, _changes, _experiments, _origin, _lineage),
)
