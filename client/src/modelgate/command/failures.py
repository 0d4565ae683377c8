"""The verb `failures`: why requests to a model fail."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from rich.console import RenderableType

from modelgate.command.models import Name
from modelgate.command.session import Session, segment
from modelgate.command.terminal import count, moment, table
from modelgate.command.times import point
from modelgate.command.verbs import option


def failures(
    session: Session,
    name: Name,
    since: Annotated[str | None, option("Only later ones: 2h, 7d, tuesday, or a time.", metavar="TIME")] = None,
    version: Annotated[str | None, option("Only requests to this version, or to this alias.")] = None,
) -> None:
    """Show why requests to a model fail, the most frequent cause first."""
    report = session.get(f"/v1/models/{segment(name)}/failures", since=point("--since", since), version=version)
    session.show(report, lambda: _lines(report))


def _lines(report: Mapping[str, Any]) -> Iterable[RenderableType]:
    if not report["items"]:
        yield f"No request has failed since {moment(report['since'])}."
        return
    yield f"of {count(report['requests'], 'request')} since {moment(report['since'])}:"
    rows = [
        (
            item["message"],
            item["count"],
            f"{100 * item['share']:.1f} %",
            moment(item["first_at"]),
            ", ".join(str(part["version"] or "?") for part in item["versions"]),
            ", ".join(_sender(key) for key in item["keys"]),
        )
        for item in report["items"]
    ]
    yield table(("WHY", "REQUESTS", "SHARE", "SINCE", "VERSIONS", "KEYS"), rows, ("REQUESTS", "SHARE"))


def _sender(key: Mapping[str, Any]) -> str:
    if key["name"]:
        return str(key["name"])
    return "other keys" if key["owner"] is None else f"keys of {key['owner']}" if key["owner"] else "no key"
