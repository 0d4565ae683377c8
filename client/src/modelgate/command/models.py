"""The verbs about models and their versions: `models`, `model`, `describe`, `versions`, `report`, `card`."""

from __future__ import annotations

import json
import sys
import tempfile
import webbrowser
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from rich.markdown import Markdown

from modelgate import Client
from modelgate.command.session import Session, segment, without_none
from modelgate.command.terminal import count, figure, moment, table
from modelgate.command.verbs import flag, option
from modelgate.errors import ModelgateError
from modelgate.files import replacing
from modelgate.text import visible


def complete(incomplete: str) -> list[str]:
    """Return the names of models that begin so, for the completion of a shell; none if Modelgate does not answer."""
    with suppress(ModelgateError):
        return [model["name"] for model in Client(timeout=_PATIENCE).models() if model["name"].startswith(incomplete)]
    return []


Reference = Annotated[
    str,
    typer.Argument(metavar="MODEL", help="A model: loan, loan@3 (a version) or loan@canary.", autocompletion=complete),
]
Name = Annotated[str, typer.Argument(metavar="MODEL", help="The name of a model.", autocompletion=complete)]
_PATIENCE = 1
"""Seconds that a completion may take."""


def models(session: Session) -> None:
    """List the served models."""
    models = session.get("/v1/models")["items"]
    heads = ["MODEL", "CURRENT", "OTHER ALIASES", "METRIC", "MADE"]
    rows = [_summary(item) for item in models]
    if any(item.get("environment") for item in models):
        heads.append("ENVIRONMENT")
        rows = [[*row, environment(item)] for row, item in zip(rows, models, strict=True)]
    session.show(models, lambda: [table(heads, rows)] if models else ["There are no models yet."])


def model(session: Session, reference: Reference) -> None:
    """Show a model: what it takes and answers, its metrics, and a request that works."""
    version = session.get(f"/v1/models/{segment(reference)}")
    session.show(version, lambda: _description(version))


def describe(
    session: Session,
    name: Name,
    description: Annotated[
        str | None, option("What the model is for; the first paragraph is its purpose.", metavar="TEXT")
    ] = None,
    owner: Annotated[str | None, option("The person or the team that owns it.", metavar="TEXT")] = None,
    tag: Annotated[
        list[str] | None,
        option("A tag, instead of those that it has; give it again for more, or '' for none.", metavar="TAG"),
    ] = None,
    history: Annotated[bool, flag("Show what was said before, too.", "--history")] = False,
) -> None:
    """Show what people say of a model, or change it: its description, its owner and its tags."""
    path = f"/v1/models/{segment(name)}"
    said = {"description": description, "owner": owner, "tags": None if tag is None else [one for one in tag if one]}
    if changes := without_none(said):
        session.client.request("PATCH", path, json=changes)
    about = session.get(f"{path}/about")
    edits = about["history"] if history else []
    shown = about if history else {name: about[name] for name in said}
    session.show(shown, lambda: [*_said(about), *(line for edit in edits for line in _edit(edit))])


def versions(session: Session, name: Name) -> None:
    """List the versions of a model. Admins see whose key made each."""
    items = session.get(f"/v1/models/{segment(name)}/versions")["items"]
    aliases = _aliases_of(session, name)
    data = [{**item, "aliases": aliases.get(item["version"], [])} for item in items]
    rows = [
        (item["version"], ", ".join(item["aliases"]), metric(item), *map(item.get, ("recipe", "made_by")), _made(item))
        for item in data
    ]
    session.show(data, lambda: [table(("VERSION", "ALIASES", "METRIC", "RECIPE", "BY", "MADE"), rows, ("VERSION",))])
    if sum(bool(item.get("metrics")) for item in items) > 1:
        how = f"`modelgate report {name}@{rows[-1][0]}` compares it with another one on the same rows"
        session.note(f"METRIC ranks no versions, because each was measured on other rows; {how}")


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


def card(
    session: Session,
    reference: Reference,
    markdown: Annotated[bool, flag("Print it as Markdown, as a pipe gets it.", "--markdown")] = False,
    output: Annotated[
        Path | None,
        option("Save it as Markdown to this file; - is standard output.", "--output", "-o", metavar="FILE"),
    ] = None,
) -> None:
    """Show the model card of a version: what it predicts, how good it is, where its limits are, and what is known
    since."""
    name, version = split(reference)
    path = f"/v1/models/{segment(name)}/versions/{segment(version or 'current')}/card"
    if session.as_json and not output:
        session.show(session.get(path), tuple)
        return
    text = session.client.send("GET", path, headers={"Accept": "text/markdown"}).content
    if output and str(output) != "-":
        with replacing(output) as saved:
            saved.write(text)
        session.show({"file": str(output)}, lambda: [f"card of {reference} → {output}"])
    elif markdown or output or not session.out.is_terminal:
        sys.stdout.buffer.write(text)
    else:
        session.print(Markdown(visible(text.decode())))


def decide(
    session: Session,
    reference: Reference,
    label: Annotated[str, option("The class to answer.", metavar="CLASS")],
    threshold: Annotated[float, option("From which probability on: above 0, below 1.")],
) -> None:
    """Make a new version that answers a class of two from a probability on. Promote it to serve it."""
    name, version = split(reference)
    edit = {"outputs": [{"decision": {"label": label, "threshold": threshold}}]}
    body = {"from": version or "current", "signature": edit}
    made = session.client.request("POST", f"/v1/models/{segment(name)}/versions", json=body)
    decided = f"{name}@{made['version']}"
    session.notes(made["warnings"])
    session.show(
        made,
        lambda: [f"{decided} decides for {label} from {threshold:g} on", f"Promote it: modelgate promote {decided}"],
    )


def split(reference: str) -> tuple[str, str]:
    """Return name and version of `churn@4`; the version is "" without one."""
    name, _, version = reference.partition("@")
    return name, version


def metric(item: Mapping[str, Any]) -> str:
    """Return the most telling metric of a version, or why it cannot be used."""
    if item.get("error"):
        return f"cannot be used: {item['error'].get('message')}"
    name, value = next(iter((item.get("metrics") or {}).items()), ("", None))
    return f"{words(name)} {figure(value)}" if isinstance(value, int | float) else ""


def words(name: str) -> str:
    """Return the name of a metric as words."""
    return "R²" if name == "r2" else name.replace("_", " ")


def _summary(item: Mapping[str, Any]) -> Sequence[object]:
    aliases = dict(item["aliases"])
    current = aliases.pop("current", item["version"])
    others = ", ".join(f"{alias} {version}" for alias, version in sorted(aliases.items()))
    return item["name"], current, others, metric(item), _made(item)


def environment(item: Mapping[str, Any]) -> str:
    """Return the environment in which a version lives, and since when its release is without support; '' for
    today's."""
    lives_in = item.get("environment")
    if not lives_in:
        return ""
    since = lives_in.get("unsupported_since")
    return f"{lives_in['name']}{f', without support since {since}' if since else ''}"


def _made(item: Mapping[str, Any]) -> str:
    return moment(item.get("created_at"))


def _aliases_of(session: Session, name: str) -> dict[int, list[str]]:
    """Return the aliases of a model by version. A model without a current version has none."""
    aliases: dict[int, list[str]] = {}
    for item in session.get("/v1/models")["items"]:
        if item["name"] == name:
            for alias, version in sorted(item["aliases"].items()):
                aliases.setdefault(version, []).append(alias)
    return aliases


def _description(version: Mapping[str, Any]) -> Iterable[RenderableType]:
    signature = version["signature"]
    yield f"{version['name']}@{version['version']}, made {_made(version)} by {version['recipe']}"
    yield f"aliases: {', '.join(f'{a} {v}' for a, v in sorted(version['aliases'].items())) or 'none'}"
    yield f"versions: {', '.join(map(str, version['versions']))}"
    if lives_in := environment(version):
        yield f"environment: {lives_in}"
    yield f"methods: {', '.join(method['name'] for method in signature['methods'])}"
    for output in signature["outputs"]:
        yield f"answers: {_output(output)}"
    if version["metrics"]:
        yield "metrics: " + ", ".join(f"{words(n)} {figure(v)}" for n, v in version["metrics"].items())
    for warning in version.get("warnings") or ():
        yield f"warning: {warning}"
    rows = [
        (field["name"], field["kind"], "yes" if field["nullable"] else "", _values(field))
        for field in signature["inputs"]
    ]
    yield f"example: {json.dumps(version['example'], ensure_ascii=False)}"
    yield ""
    yield table(("INPUT", "KIND", "MAY BE NULL", "VALUES"), rows)


def _said(about: Mapping[str, Any]) -> Iterable[str]:
    for member in ("description", "owner", "tags"):
        if member in about:
            text = about[member] if isinstance(about[member], str) else ", ".join(about[member])
            yield f"{member}: {text or '-'}"


def _edit(edit: Mapping[str, Any]) -> Iterable[str]:
    yield f"\n{moment(edit['at'])}{' by ' if edit['by'] else ''}{edit['by']}, before that:"
    yield from _said(edit["before"])


def _output(output: Mapping[str, Any]) -> str:
    labels = output.get("label_names") or output.get("labels")
    values = f" of {', '.join(map(str, labels[:20]))}{', …' if len(labels) > 20 else ''}" if labels else ""
    named = f"{output['name']}, " if output.get("name") else ""
    return f"{named}a {output['kind']}{values}{', with probabilities' if output.get('probabilities') else ''}"


def _values(field: Mapping[str, Any]) -> str:
    known = field.get("categories") or ()
    return ", ".join(known[:10]) + (f", … ({len(known)})" if len(known) > 10 else "")


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
    return figure(value) if isinstance(value, int | float) else "-"
