"""The verb `report`: what is known about a version."""

from __future__ import annotations

import sys
import tempfile
import webbrowser
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

from rich.console import RenderableType

from modelgate.command.models import Reference, split, words
from modelgate.command.session import Session, segment
from modelgate.command.terminal import count, table
from modelgate.command.verbs import flag, option
from modelgate.files import replacing


def report(
    session: Session,
    reference: Reference,
    opens: Annotated[bool, flag("Open the page in a browser.", "--open")] = False,
    output: Annotated[
        Path | None, option("Save the page to this file; - is standard output.", "--output", "-o", metavar="FILE")
    ] = None,
) -> None:
    """Show the report of a version: how good it is, and beside which one it was compared."""
    name, version = split(reference)
    path = f"/v1/models/{segment(name)}/versions/{segment(version or 'current')}/report"
    if not opens and not output:
        facts = session.get(path, format="json")
        session.show(facts, lambda: _facts(facts))
        return
    page = session.client.stream(path, headers={"Accept": "text/html"})
    if str(output) == "-":
        sys.stdout.buffer.writelines(page)
        return
    # A browser cannot send a key, so it gets a file, which needs nothing else.
    file = output or Path(tempfile.mkdtemp(prefix="modelgate-")) / f"{name}-{version or 'current'}.html"
    with replacing(file) as saved:
        saved.writelines(page)
    opened = opens and webbrowser.open(file.resolve().as_uri())
    session.show({"file": str(file), "opened": opened}, lambda: [f"report of {reference} → {file}"])
    if opens and not opened:
        session.note(f"no browser can be opened here; open {file} yourself")


def _facts(facts: Mapping[str, Any]) -> Iterable[RenderableType]:
    yield f"{facts['model']}@{facts['version']}: {facts['verdict']}"
    if facts.get("refused"):
        yield f"not promoted: {facts['refused']}"
    tested = facts.get("tested") or {}
    if isinstance(tested.get("rows"), int):
        yield f"tested on {count(tested['rows'], 'row')}"
    for remark in facts.get("remarks") or ():
        yield f"note: {remark}"
    yield ""
    yield table(("METRIC", "VALUE"), [(words(n), _figure(v)) for n, v in facts["metrics"].items()], ("VALUE",))
    compared = facts.get("comparison") or {}
    if compared.get("metrics"):
        yield ""
        yield f"beside version {compared['version']}, on {count(compared['rows'], 'row')} neither has seen:"
        rows = [(words(m["name"]), _figure(m["now"]), _figure(m["before"])) for m in compared["metrics"]]
        yield table(("METRIC", "NOW", "BEFORE"), rows, ("NOW", "BEFORE"))
    inputs = (facts.get("importance") or {}).get("columns")
    if inputs:
        yield ""
        yield table(("INPUT", "IMPORTANCE"), [(i["name"], _figure(i["mean"])) for i in inputs], ("IMPORTANCE",))


def _figure(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else "-"
