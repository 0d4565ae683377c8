"""The verb `audit`: who did what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from modelgate.command.session import Session
from modelgate.command.terminal import moment, table
from modelgate.command.times import point
from modelgate.command.verbs import option


def audit(
    session: Session,
    actor: Annotated[str | None, option("Only entries of this key.", metavar="KEY")] = None,
    action: Annotated[str | None, option("Only this action, such as train or move_alias.")] = None,
    model: Annotated[str | None, option("Only entries about this model.", metavar="NAME")] = None,
    outcome: Annotated[str | None, option("Only this outcome: done, refused or failed.")] = None,
    since: Annotated[str | None, option("Only later ones: 2h, 7d, tuesday, or a time.", metavar="TIME")] = None,
    until: Annotated[str | None, option("Only earlier ones: 2h, 7d, tuesday, or a time.", metavar="TIME")] = None,
    limit: Annotated[int, option("How many entries at most.", "--limit", "-n", min=1)] = 50,
) -> None:
    """Show who did what, newest first. Needs a key with the scope admin."""
    filters = {"actor": actor, "action": action, "model": model, "outcome": outcome}
    entries = session.items("/v1/audit", limit, since=point("--since", since), until=point("--until", until), **filters)
    heads = ("TIME", "ACTOR", "ACTION", "ON", "OUTCOME", "FROM", "COUNT")
    session.show(
        entries, lambda: [table(heads, map(_row, entries), ("COUNT",))] if entries else ["There are no such entries."]
    )


def _row(entry: Mapping[str, Any]) -> tuple[object, ...]:
    model, version = entry.get("model"), entry.get("version")
    on = f"{model}@{version}" if model and version else model or entry.get("on_key") or entry.get("job_id") or ""
    outcome = f"{entry['outcome']} ({entry['code']})" if entry.get("code") else entry["outcome"]
    action = f"{entry['action']} {entry['alias']}" if entry.get("alias") else entry["action"]
    return moment(entry["time"]), entry["actor"], action, on, outcome, entry.get("client"), entry.get("count")
