"""The verbs of the prediction log: `logging`, `predictions`, `replay`, `forget`."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any

from modelgate.command.exits import ExitCode, Failed
from modelgate.command.models import Name
from modelgate.command.session import Session, segment
from modelgate.command.terminal import count, moment, table
from modelgate.command.times import point
from modelgate.command.verbs import flag, option
from modelgate.errors import Forbidden
from modelgate.prediction_log import Replay, cells, logged
from modelgate.prediction_log import replay as replayed

_WIDEST = 60
"""Characters of a cell with the inputs of a row."""


@dataclass
class LoggedRows:
    """The options that say which rows of the log are meant."""

    identity: Annotated[str | None, option("Only rows with this id of yours (id_field).", "--id", metavar="ID")] = None
    job: Annotated[str | None, option("Only rows of this job.", metavar="ID")] = None
    since: Annotated[str | None, option("Only later ones: 2h, 7d, tuesday, or a time.", metavar="TIME")] = None
    until: Annotated[str | None, option("Only earlier ones: 2h, 7d, tuesday, or a time.", metavar="TIME")] = None

    def of(self, session: Session, name: str, limit: int) -> Iterator[dict[str, Any]]:
        """Yield at most `limit` of these rows of a model."""
        times = {"since": point("--since", self.since), "until": point("--until", self.until)}
        return logged(session.client, segment(name), limit, id=self.identity, job=self.job, **times)


def logging(
    session: Session,
    name: Name,
    share: Annotated[
        float | None, option("The share of requests to log, from 0 (none) to 1 (all).", min=0, max=1, metavar="SHARE")
    ] = None,
    leave_out: Annotated[
        list[str] | None, option("An input that the log must not have; give it again for more.", metavar="INPUT")
    ] = None,
    keep_days: Annotated[int | None, option("Days after which a row is removed.", min=1, metavar="DAYS")] = None,
) -> None:
    """Show what the prediction log keeps of a model, or change it. Nothing is logged by default."""
    path = f"/v1/models/{segment(name)}/logging"
    kept = session.get(path)
    if share is not None or leave_out is not None or keep_days is not None:
        wanted = {"share": share, "leave_out": leave_out, "keep_days": keep_days}
        body = {**kept, **{key: value for key, value in wanted.items() if value is not None}}
        kept = session.client.request("PUT", path, json=body)
    session.show(kept, lambda: [_kept(name, kept)])


def predictions(
    session: Session,
    name: Name,
    which: LoggedRows,
    limit: Annotated[int, option("How many rows at most.", "--limit", "-n", min=1)] = 50,
    as_csv: Annotated[bool, flag("Print CSV, with a column for each input.", "--csv")] = False,
) -> None:
    """Show what a model was asked and answered, newest first. Needs a key with the scope log."""
    rows = which.of(session, name, limit)
    if as_csv:
        _print_csv(rows)
        return
    items = list(rows)
    session.show(items, lambda: [_table(items) if items else _nothing(session, name)])


def replay(
    session: Session,
    name: Name,
    which: LoggedRows,
    limit: Annotated[int, option("How many rows at most.", "--limit", "-n", min=1)] = 10,
) -> None:
    """Send logged rows to the versions that have answered them, and say whether the answers are the same to the bit.

    The exit code is 1 if one is not, or a version cannot be asked.
    """
    replays = list(replayed(session.client, name, which.of(session, name, limit)))
    if not replays:
        raise Failed(_nothing(session, name), ExitCode.FAILED)
    session.show([one.to_json() for one in replays], lambda: map(_line, replays))
    if others := sum(not one.equal for one in replays):
        differ = "differs" if others == 1 else "differ"
        raise Failed(f"{others} of {count(len(replays), 'row')} {differ} or cannot be replayed", ExitCode.FAILED)


def forget(
    session: Session,
    name: Name,
    identity: Annotated[str, option("The id of yours whose rows are to be deleted.", "--id", metavar="ID")],
) -> None:
    """Delete what the prediction log has of a person. Needs a key with the scope log."""
    answer = session.client.request("DELETE", f"/v1/models/{segment(name)}/predictions", params={"id": identity})
    session.show(answer, lambda: [f"{count(answer['deleted'], 'row')} of {name} deleted"])


def _kept(name: str, kept: Mapping[str, Any]) -> str:
    if not kept["share"]:
        return f"nothing is logged of {name}; log a tenth of its requests: modelgate logging {name} --share 0.1"
    left_out = f", without {', '.join(kept['leave_out'])}" if kept["leave_out"] else ""
    share = "all" if kept["share"] == 1 else f"{100 * kept['share']:.4g} % of the"
    return f"{share} requests to {name} are logged{left_out}, for {count(kept['keep_days'], 'day')}"


def _nothing(session: Session, name: str) -> str:
    try:
        kept = session.get(f"/v1/models/{segment(name)}/logging")
    except Forbidden:  # the scope log is enough for rows
        return "There are no such rows."
    return "There are no such rows." if kept["share"] else f"There are no such rows: {_kept(name, kept)}"


def _table(items: Iterable[Mapping[str, Any]]) -> Any:
    rows = [
        (
            moment(item["time"]),
            item["id"],
            item["model"]["version"],
            item["prediction"] if isinstance(item["prediction"], str) else json.dumps(item["prediction"]),
            _short(json.dumps(item["inputs"], ensure_ascii=False)),
            item["job"] if item["row"] == 0 else f"{item['job']} row {item['row']}",
        )
        for item in items
    ]
    return table(("TIME", "ID", "VERSION", "PREDICTION", "INPUTS", "JOB"), rows, ("VERSION",))


def _short(text: str) -> str:
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


def _print_csv(rows: Iterable[Mapping[str, Any]]) -> None:
    """Print rows as CSV, with the columns of the first thousand."""
    rows = iter(rows)
    head = [_cells(row) for row in islice(rows, 1000)]
    if not head:
        raise Failed("there are no such rows", ExitCode.FAILED)
    names = dict.fromkeys(name for row in head for name in row)
    writer = csv.DictWriter(sys.stdout, list(names), extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(head)
    writer.writerows(map(_cells, rows))


def _cells(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: json.dumps(value) if isinstance(value, list | dict) else value for name, value in cells(row)}


def _line(one: Replay) -> str:
    row = one.row
    which = f"{moment(row['time'])} {row['id'] or row['job']} version {row['model']['version']}"
    if one.reason:
        return f"{which}: cannot be replayed, because {one.reason}"
    return f"{which}: equal to the bit" if one.equal else f"{which}: differs: {'; '.join(one.differences)}"
