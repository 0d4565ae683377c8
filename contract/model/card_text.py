"""A model card in words: its sections, which pages show, and Markdown."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
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

MOST_NAMED = 10
"""Parameters, libraries and values of an input that the words name; the JSON has more."""

Row = Mapping[str, str]


@dataclass(frozen=True)
class CardSection:
    """A part of a card: `lines` are paragraphs, `facts` terms with what is said of them, `points` a list, and `rows`
    those of a table, whose cells are by the heads. `key` names it."""

    key: str
    title: str
    lines: Sequence[str] = ()
    facts: Row = field(default_factory=dict)
    points: Sequence[str] = ()
    rows: Sequence[Row] = ()


def sections(card: Card) -> Iterator[CardSection]:
    """Yield the sections of a card that say something. Facts of another shape than those of reports say nothing."""
    for make in _SECTIONS:
        with suppress(LookupError, TypeError, ValueError, AttributeError):
            section = make(card)
            if section.lines or section.facts or section.points or section.rows:
                yield section


def markdown(card: Card) -> str:
    """Return the card as Markdown (GitHub's, for its tables)."""
    blocks = [f"# {_escaped(card['name'])}, version {card['version']}"]
    for section in sections(card):
        facts = [["", ""], *map(list, section.facts.items())] if section.facts else []
        rows = [[*section.rows[0]], *([*row.values()] for row in section.rows)] if section.rows else []
        points = "\n".join(f"- {_escaped(point)}" for point in section.points)
        blocks += [f"## {section.title}", *map(_escaped, section.lines), _table(facts), points, _table(rows)]
    return "\n\n".join(filter(None, blocks)) + "\n"


def _table(rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(map(_escaped, row))} |" for row in rows]
    return "\n".join([*lines[:1], f"|{' --- |' * len(rows[0])}", *lines[1:]]) if rows else ""


_ACTIVE = re.compile(
    r"[\\`*\[\]<>|~&#!$@]|(?<![A-Za-z0-9_])_+|_+(?![A-Za-z0-9_])"  # an underscore within a word is text anyway
    r"|(?<=[A-Za-z]):(?=//)|(?<=www)\.|^[-+=]|(?<=[0-9])[.)](?= )",
    re.IGNORECASE,
)


def _escaped(text: str) -> str:
    """Return a text as one line of Markdown that shows its characters, and does nothing else."""
    return _ACTIVE.sub(lambda found: "".join(f"\\{mark}" for mark in found[0]), " ".join(text.split()))


def card_files(card: Card) -> dict[str, bytes]:
    """Return the files of a card by name."""
    text = json.dumps(card, indent=1, allow_nan=False, ensure_ascii=False)
    return {CARD_JSON: f"{text}\n".encode(), CARD_MARKDOWN: markdown(card).encode()}


def _purpose(card: Card) -> CardSection:
    signature, facts = card["signature"], {}
    for output in signature["outputs"]:
        labels, extras = (
            output["label_names"] or output["labels"],
            [n for n in ("probabilities", "scores") if output[n]],
        )
        answer = f"one of {listed(labels)}" if labels else f"a {output['kind']}"
        facts[output["name"] or card["training_data"]["target"] or "answer"] = ", with ".join([answer, *extras])
    facts["from"] = {"table": counted(card["inputs"], "input"), "texts": "a text"}.get(signature["format"], "records")
    if signature["id_field"]:
        facts["id"] = f"{signature['id_field']}: answers repeat it, and the model does not use it"
    return CardSection("purpose", "What it predicts", facts=facts)


def _figures(card: Card) -> CardSection:
    tested, lines = card["tested"], [card["verdict"]] if card["verdict"] else []
    if tested:
        of_training = "that its training held out" if tested["held_out"] else "that it was trained on"
        which = "of the sample of its import" if tested["sample"] else of_training
        lines.append(f"Measured on {counted(tested['rows'], 'row')} {which}. A baseline always gives the same answer.")
    rows = [
        {
            "metric": metric_in_words(one["name"]),
            "value (95 % interval)": _figure(one),
            "baseline": number(one["baseline"]),
            "cross-validated": number(one["cross_validated"]),
        }
        for one in card["metrics"]
    ]
    return CardSection("figures", "How good it is", lines, rows=rows)


def _figure(one: Mapping[str, Any], write: Callable[[Any], str] = number) -> str:
    """Return a value with its interval, if that is known."""
    limits = "" if one["low"] is None else f" ({write(one['low'])} to {write(one['high'])})"
    return f"{write(one['value'])}{limits}"


def _slices(card: Card) -> CardSection:
    metric = f"{metric_in_words(card['slices']['metric'])} (95 % interval)"
    rows = [
        {
            "where": f"{one['input']} is {one['slice']}",
            metric: f"{_figure(one)}{', worse than elsewhere' * one['worse']}",
            "rows": f"{one['rows']:,}",
        }
        for one in card["slices"]["items"]
    ]
    return CardSection("slices", "By slice", rows=rows)


def _calibration(card: Card) -> CardSection:
    found = card["calibration"]
    of = "the answers" if found["label"] is None else shown(found["label"])
    names = {"predicted": "said", "observed": "value", "low": "low", "high": "high", "rows": "rows"}
    bins = [dict(zip(names.values(), one, strict=True)) for one in zip(*(found[name] for name in names), strict=True)]
    rows = [
        {
            "probability": percent(one["said"]),
            "came true (95 % interval)": _figure(one, percent),
            "rows": f"{one['rows']:,}",
        }
        for one in bins
    ]
    lines = [f"The probabilities of {of} are {percent(found['gap'])} from what came true, on average."]
    return CardSection("calibration", "Calibration", lines, rows=rows)


def _inputs(card: Card) -> CardSection:
    seen, rows = card["seen"] or {}, []
    for one, column in zip_longest(card["signature"]["inputs"], seen.get("inputs", ())):
        nulls = f"; {percent(column['nulls'] / seen['rows'])} of the rows" if column and column["nulls"] else ""
        rows.append(
            {
                "input": one["name"],
                "kind": kind_in_words(one["kind"]),
                "accepts": "any" if one["categories"] is None else listed(one["categories"]),
                "its sample has" if seen.get("sample") else "training saw": _range(column or {}),
                "null": f"{'yes' if one['nullable'] else 'no'}{nulls}",
            }
        )
    left = card["inputs"] - len(rows)
    return CardSection("inputs", "Inputs", [f"{left:,} more are not shown."] if left else (), rows=rows)


def _range(column: Mapping[str, Any]) -> str:
    if values := column.get("values"):
        return _named({value: f"({rows:,})" for value, rows in values.items()})
    ends = (column.get("low"), column.get("high"))
    return " to ".join(dict.fromkeys(six_digits(end) if isinstance(end, float) else str(end or "–") for end in ends))


def _origin(card: Card) -> CardSection:
    data = card["training_data"]
    facts = {
        "published": _moment(card["created_at"]),
        "recipe": card["recipe"],
        "data": rows_of(data["rows"], data["source"]),
        "fingerprint": data["fingerprint"],
        "parameters": _named(card["parameters"]),
        "libraries": _named(card["libraries"]),
        "environment": card["environment"],
        "notes": card["notes"],
    }
    return CardSection("origin", "How it was made", facts={name: text for name, text in facts.items() if text})


def _named(entries: Mapping[str, Any]) -> str:
    named = [f"{name} {value if isinstance(value, str) else shown(value)}" for name, value in entries.items()]
    more = [f"{len(named) - MOST_NAMED} more"] if len(named) > MOST_NAMED else []
    return ", ".join([*named[:MOST_NAMED], *more])


def _changes(card: Card) -> CardSection:
    changes = card["changes"]
    rows = [
        {
            "on rows new to both": metric_in_words(one["name"]),
            f"version {changes['version']}": number(one["before"]),
            f"version {card['version']}": number(one["now"]),
        }
        for one in changes["metrics"] or ()
        if not one["name"].startswith(BASELINE)
    ]
    lines = [f"The two cannot be compared: {changes['reason']}."] if changes["reason"] else []
    title = f"Beside version {changes['version']}"
    return CardSection("changes", title, lines, points=changes["differences"], rows=rows)


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
        {
            "metric": metric_in_words(name),
            "of what came true (95 % interval)": _figure(one),
            "outcomes": f"{one['outcomes']:,}",
        }
        for name, one in (outcomes["metrics"] or {}).items()
    ]
    return CardSection("health", "Drift and outcomes", lines, rows=rows)


def _experiments(card: Card) -> CardSection:
    rows = [
        {
            "started": f"{_moment(one['started_at'])}{_by(one['started_by'])}",
            "experiment": f"{one['plan']['kind']} of version {one['candidate']} beside version {one['baseline']}",
            "ending": (one["ending"] or "running").replace("_", " "),
            "reason": one["reason"],
        }
        for one in card["since"]["experiments"]
    ]
    return CardSection("experiments", "Experiments", rows=rows)


def _lineage(card: Card) -> CardSection:
    since = card["since"]
    made, others = since["made"], ", ".join(map(str, since["same_data"]))
    facts = {
        "data": card["training_data"]["fingerprint"],
        "made": f"{_moment(made['at'])}{_by(made['by'])} ({made['action'].replace('_', ' ')})" if made else "",
        "training job": since["job"],
        "same data": f"also version {others}" if others else "",
        "aliases now": ", ".join(since["aliases"]) or "none",
    }
    lines = [f"Who made it and moved its aliases is not known: {since['no_history']}."] if since["no_history"] else []
    points = [
        f"{_moment(one['at'])}: {one['alias']} {'to version ' + str(one['version']) if one['version'] else 'deleted'}"
        f"{_by(one['by'])}"
        for one in since["moves"]
    ]
    return CardSection("lineage", "Lineage", lines, {name: text for name, text in facts.items() if text}, points)


def _by(name: str | None) -> str:
    return f" by {name}" if name else ""


def _moment(stamp: str) -> str:
    return f"{stamp[:16].replace('T', ' ')} UTC"


_SECTIONS: Sequence[Callable[[Card], CardSection]] = (
    *(_purpose, _figures),
    lambda card: CardSection("limits", "Limits", points=card["limits"]),
    lambda card: CardSection("warnings", "Warnings", points=card["warnings"]),
    *(_health, _slices, _calibration, _inputs, _changes, _experiments, _origin, _lineage),
)
