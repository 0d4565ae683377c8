"""The verb `outcomes`: sends what came true, or shows how good the predictions were."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from modelgate.command.exits import ExitCode, Failed
from modelgate.command.models import Name, words
from modelgate.command.session import Session, segment
from modelgate.command.terminal import count, figure, moment, table
from modelgate.command.verbs import option
from modelgate.outcomes import sent
from modelgate.progress import ProgressBar, is_watched


def outcomes(
    session: Session,
    name: Name,
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="A CSV of what came true; without it, what is known.")
    ] = None,
    identity: Annotated[str | None, option("The column with your id (id_field).", "--id", metavar="COLUMN")] = None,
    outcome: Annotated[str, option("The column with what came true.", metavar="COLUMN")] = "outcome",
    at: Annotated[str | None, option("The column with the time until which it counts.", metavar="COLUMN")] = None,
    version: Annotated[str, option("The version or alias to measure.", metavar="VERSION")] = "current",
) -> None:
    """Say what came true of predictions, or show how good they were. Needs a key with the scope log.

    The file has your ids (`--id customer`), or the columns `job` and `row`.
    """
    if file is None:
        path = f"/v1/models/{segment(name)}/outcomes"
        found = session.client.request("GET", path, params={"version": version})
        session.show(found, lambda: _measured(found))
        return
    totals: Counter[str] = Counter()
    of = {"id": identity, "at": at} if identity else {"job": "job", "row": "row"}
    with ProgressBar(is_watched()) as bar:
        for counts in sent(session.client, segment(name), _rows(file, {**of, "outcome": outcome})):
            totals.update(counts)
            bar.show({"phase": f"{count(sum(totals.values()), 'outcome')} sent"})
    kept = {word: totals[word] for word in ("new", "corrected", "repeated")}
    session.show(kept, lambda: [f"{', '.join(f'{number:,} {word}' for word, number in kept.items())}"])


def _rows(file: Path, columns: Mapping[str, str | None]) -> Iterator[dict[str, Any]]:
    """Yield the outcomes in a CSV. Lines without one are left out: it is not known yet."""
    with file.open(newline="", encoding="utf-8-sig") as lines:
        reader = csv.DictReader(lines)
        wanted = {member: column for member, column in columns.items() if column is not None}
        if missing := [column for column in wanted.values() if column not in (reader.fieldnames or ())]:
            known = ", ".join(reader.fieldnames or ())
            raise Failed(f"{file} has no column {missing[0]!r}; it has {known}", ExitCode.USAGE)
        for row in reader:
            if row[wanted["outcome"]]:
                sent_row: dict[str, Any] = {member: row[column] for member, column in wanted.items() if row[column]}
                if "row" in sent_row and sent_row["row"].isdigit():
                    sent_row["row"] = int(sent_row["row"])
                yield sent_row


def _measured(found: Mapping[str, Any]) -> Iterator[Any]:
    which = f"{found['name']}@{found['version']}"
    if found.get("reason"):
        yield f"{which}: {found['reason']}"
        return
    yield f"{which}: {count(found['outcomes'], 'outcome')} of {count(found['predictions'], 'logged prediction')} known"
    if unread := found["unread"]:
        texts = ", ".join(f"{text} ({number:,})" for text, number in unread.items())
        yield f"no label or number of the model, and left out: {texts}"
    if found["unknown"]:
        yield f"{count(found['unknown'], 'outcome')} of {found['name']} of no logged prediction"
    if estimated := (found["estimated"] or {}).get("accuracy"):
        low, high = estimated["low"], estimated["high"]
        yield f"accuracy by its probabilities alone: {figure(estimated['value'])} ({figure(low)} to {figure(high)})"
    if not found["outcomes"]:
        yield f"Send what came true: modelgate outcomes {found['name']} FILE --id COLUMN --outcome COLUMN"
        return
    if promise := found["promise"]:
        worse = "worse than" if promise["worse"] else "no worse than"
        now = found["metrics"][promise["metric"]]["value"]
        promised = figure(promise["promised"])
        yield f"{words(promise['metric'])} {figure(now)}: {worse} the report promised ({promised})"
    metrics = [(words(name), *_interval(one), f"{one['outcomes']:,}") for name, one in found["metrics"].items()]
    yield table(("METRIC", "VALUE", "95 %", "OUTCOMES"), metrics, ("VALUE", "OUTCOMES"))
    yield _periods(found)
    if found["slices"]:
        slices = [
            (one["name"], figure(one["loss"]), figure(one["elsewhere"]), f"{one['outcomes']:,}")
            for one in found["slices"]
        ]
        yield table(("WORST WHERE", "LOSS", "ELSEWHERE", "OUTCOMES"), slices, ("LOSS", "ELSEWHERE", "OUTCOMES"))


def _periods(found: Mapping[str, Any]) -> Any:
    headline = found["headline"]
    rows = [
        (
            moment(one["start"]),
            *(_interval(one["metrics"][headline]) if headline in one["metrics"] else ("-", "-")),
            f"{one['outcomes']:,} of {one['predictions']:,}",
        )
        for one in found["periods"]
    ]
    return table((found["period"].upper(), words(headline).upper(), "95 %", "OUTCOMES"), rows, ("OUTCOMES",))


def _interval(one: Mapping[str, float]) -> tuple[str, str]:
    return figure(one["value"]), f"{figure(one['low'])} to {figure(one['high'])}"
