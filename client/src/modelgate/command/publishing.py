"""The verbs that change what there is and what is served: `publish`, `promote`, `rollback`, `remove`, `restore`."""

from __future__ import annotations

import json
import re
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import RenderableType

from modelgate import mlflow_models
from modelgate.command.backup import Folder, save_or_restore
from modelgate.command.exits import ExitCode, Failed
from modelgate.command.models import Name, split
from modelgate.command.session import Session, segment
from modelgate.command.terminal import count, moment, table
from modelgate.command.verbs import flag, option
from modelgate.errors import Conflict, Forbidden, ModelgateWarning, NotFound
from modelgate.text import visible

Force = Annotated[bool, flag("Even if its gate refused it or no worker can load it.", "--force")]


def publish(
    session: Session,
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="A pickle, joblib, cloudpickle or skops file; or a model of MLflow: its folder, or a URI such as"
            " models:/loan/3.",
        ),
    ],
    name: Annotated[str | None, option("The name of the model; by default that of the file.", metavar="MODEL")] = None,
    code: Annotated[Path | None, option("The script or module that defines the model's classes.", metavar="PY")] = None,
    sample: Annotated[
        Path | None, option("Rows to try it with; with the target, it gets a report.", metavar="CSV")
    ] = None,
    target: Annotated[str | None, option("The column of the sample with what it predicts.", metavar="COLUMN")] = None,
    signature: Annotated[
        Path | None, option("Its signature, where imports are signed; by default FILE.sig.", metavar="SIG")
    ] = None,
    signing_key: Annotated[
        Path | None, option("The private key to sign it with; else MODELGATE_SIGNING_KEY.", metavar="PEM")
    ] = None,
    environment: Annotated[
        str | None,
        option(
            "The environment to serve it in, by default that of the release that saved it; today: today's.",
            metavar="NAME",
        ),
    ] = None,
    alias: Annotated[str | None, option("The alias that the version gets; by default current.", metavar="NAME")] = None,
    no_promote: Annotated[bool, flag("Publish it under no alias.", "--no-promote")] = False,
    accept_signature: Annotated[
        bool, flag("Promote it even if callers have to change something.", "--accept-signature")
    ] = False,
    notes: Annotated[str, option("A remark that the version keeps.", metavar="TEXT")] = "",
) -> None:
    """Publish a saved model, and make it current once the workers have loaded it, if it passes the gate.

    A pickle is a program that Modelgate runs: publish only what you would run.
    """
    with warnings.catch_warnings(action="ignore", category=ModelgateWarning):
        state = session.client.publish(
            name or likely_name(file),
            file,
            code=code,
            sample=sample,
            target=target,
            signature=signature or _beside(file),
            signing_key=signing_key,
            environment=environment,
            alias=alias,
            promote=not no_promote,
            accept=["signature"] if accept_signature else [],
            notes=notes,
        )
    session.notes(state["warnings"])
    made = f"{state['name']}@{state['version']}"
    wanted = alias or "current"
    promoted = state["aliases"].get(wanted) == state["version"]
    how = f"and {wanted}" if promoted else "under no alias" if no_promote else f"but not {wanted}"
    lines = [f"{made} is published{' ' if promoted or no_promote else ', '}{how}"]
    session.show(state, lambda: [*lines, *filter(None, [visible(state.get("verdict") or "")])])
    if not promoted and not no_promote:
        raise typer.Exit(ExitCode.NOT_PROMOTED)


def _beside(file: str) -> Path | None:
    """Return the signature that lies beside a file, if there is one."""
    signature = Path(f"{file}.sig")
    return signature if signature.exists() else None


def likely_name(file: str) -> str:
    """Return the name of a model for a file, as the inbox makes it: `Loan Model.pkl` becomes `loan_model`. A model of
    MLflow keeps its own."""
    called = mlflow_models.name_of(file) if mlflow_models.is_mlflow(file) else Path(file).name.partition(".")[0]
    return re.sub(r"[^a-z0-9_-]+", "_", called.lower()).strip("_-")[:64]


def export(
    session: Session,
    reference: Annotated[
        str, typer.Argument(metavar="MODEL", help="A version: loan@3 or loan@canary; loan is the current one.")
    ],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder.")],
) -> None:
    """Export a version as a folder that MLflow reads: `mlflow.pyfunc.load_model` gives the same answers.

    It holds the saved model, which may be a pickle: a program that loading it runs.
    """
    exported = session.client.export(reference, folder)
    session.show({"folder": str(exported)}, lambda: [f"{reference} is exported to {exported}"])


def migrate(
    session: Session,
    reference: Annotated[
        str, typer.Argument(metavar="MODEL", help="A version: loan@3 or loan@canary; loan is the current one.")
    ],
    to: Annotated[
        str | None, option("Publish it in this environment, and make it current; today: today's.", metavar="NAME")
    ] = None,
    rows: Annotated[
        Path | None, option("Rows to try it on; by default those that it was verified with.", metavar="JSON")
    ] = None,
    accept_differences: Annotated[
        bool, flag("Publish it although some of these rows get other answers.", "--accept-differences")
    ] = False,
) -> None:
    """Try a version in the environments of newer releases of scikit-learn, or publish it in one of them."""
    name, version = split(reference)
    body: dict[str, Any] = {"from": int(version) if version.isdigit() else version} if version else {}
    body |= {"to": to} if to else {}
    body |= {"instances": json.loads(rows.read_text())} if rows else {}
    body |= {"accept_differences": True} if accept_differences else {}
    answer = session.client.request("POST", f"/v1/models/{segment(name)}/migrate", json=body)
    session.notes(answer["warnings"])
    if to is None:
        session.show(answer, lambda: _trials(answer))
        return
    how = "and current" if answer["promoted"] else "but not current"
    session.show(answer, lambda: [f"{name}@{answer['version']} is published in {to} {how}"])
    if not answer["promoted"]:
        raise typer.Exit(ExitCode.NOT_PROMOTED)


def _trials(answer: Mapping[str, Any]) -> list[RenderableType]:
    made = f"{answer['name']}@{answer['version']}"
    if not answer["items"]:
        return [f"{made} lives in the newest environment that is here"]
    rows = [(item["environment"] or "today", item["scikit_learn"] or "", item["detail"]) for item in answer["items"]]
    lines: list[RenderableType] = [table(("ENVIRONMENT", "SCIKIT-LEARN", made), rows)]
    good = [name for (name, *_), item in zip(rows, answer["items"], strict=True) if item["outcome"] == "identical"]
    return [*lines, f"publish it there: modelgate migrate {made} --to {good[-1]}"] if good else lines


def promote(
    session: Session,
    reference: Annotated[str, typer.Argument(metavar="MODEL@VERSION", help="The version, such as churn@4.")],
    alias: Annotated[str, option("The alias to move.", metavar="NAME")] = "current",
    force: Force = False,
    note: Annotated[str, option("What the second person of a protected model reads.", metavar="TEXT")] = "",
) -> None:
    """Move `current`, or another alias, to a version. Requests get that version from now on.

    `current` of a protected model does not move yet: this asks a second person, who runs `modelgate approve`.
    """
    name, version = split(reference)
    if not version.isascii() or not version.isdigit():
        raise Failed(f"{reference!r} names no version; name one, such as {name}@4", ExitCode.USAGE)
    if not force:
        _check_gate(session, name, int(version))
    path = f"/v1/models/{segment(name)}/aliases/{segment(alias)}"
    try:
        state = session.client.request("PUT", path, json={"version": int(version), "force": force})
    except Conflict as error:
        if error.code != "approval_required" or alias != "current":
            raise
        wanted = {"version": int(version), "note": note}
        request = session.client.request("POST", f"/v1/models/{segment(name)}/promotions", json=wanted)
        session.notes(request["warnings"])
        session.show(request, lambda: [asked(name, request)])
    else:
        _show(session, state, alias)


def rollback(session: Session, name: Name, force: Force = False) -> None:
    """Go back to the last version that was current and was not rolled back from: the one that `previous` names."""
    path = f"/v1/models/{segment(name)}/rollback"
    _show(session, session.client.request("POST", path, json={"force": force}), "current")


def remove(
    session: Session, name: Name, yes: Annotated[bool, flag("Do not ask for the name once more.", "--yes")] = False
) -> None:
    """Remove a model with all its versions and its schedule. `restore` brings it back for some weeks."""
    if not yes:
        if not sys.stdin.isatty():
            raise Failed(f"nobody can confirm this here; add --yes: modelgate remove {name} --yes", ExitCode.USAGE)
        if typer.prompt(f"Enter {name} to remove it with all its versions", default="", show_default=False) != name:
            raise Failed(f"{name} is not removed: another name was entered", ExitCode.USAGE)
    state = session.client.remove(name)
    session.notes(state["warnings"])
    until = moment(state["restorable_until"])
    session.show(state, lambda: [f"{name} is removed; until {until}: modelgate restore {name}"])


def restore(
    session: Session,
    name: Annotated[
        str,
        typer.Argument(
            metavar="MODEL|FILE", help="The name of a removed model; or a backup, such as backup.tar.gz or ./backup."
        ),
    ],
    folder: Folder = None,
    version: Annotated[
        int | None, option("The model that was removed with this version; by default the last one.", metavar="N")
    ] = None,
) -> None:
    """Restore a removed model with its versions, aliases and schedule; or a whole backup on this machine.

    A backup is unpacked where there is neither a model nor a job yet; `modelgate up` then goes on from there. Where
    VERIFY_KEY names a key, the backup has to be signed with it.
    """
    if "." in name or "/" in name:  # no name of a model
        save_or_restore("restore", Path(name), folder)
        return
    state = session.client.restore(name, version)
    session.notes(state["warnings"])
    session.show(state, lambda: [f"{name} is restored with {count(len(state['versions']), 'version')}"])


def asked(name: str, request: Mapping[str, Any]) -> str:
    """Return what has been asked for, and what happens next."""
    return f"{what_waits(name, request)} waits for a second person, who runs: modelgate approve {name}"


def what_waits(name: str, request: Mapping[str, Any]) -> str:
    return f"{name}@{request['version']}" if request["version"] else f"the wish to protect {name} no more"


def _check_gate(session: Session, name: str, version: int) -> None:
    """Raise `Failed` for a version that the gate of its training refused."""
    try:
        reason = session.get(f"/v1/models/{segment(name)}/versions/{version}/report", format="json")["refused"]
    except (NotFound, Forbidden):
        return  # it has no report, or the key may publish and not read
    if reason:
        how = f"promote all the same: modelgate promote {name}@{version} --force"
        raise Failed(f"{name}@{version} not promoted: its gate refused it: {reason}; {how}")


def _show(session: Session, state: Mapping[str, Any], alias: str) -> None:
    session.notes(state["warnings"])
    name, aliases = state["name"], state["aliases"]
    before = f", {name}@{aliases['previous']} is previous" if alias == "current" and "previous" in aliases else ""
    session.show(state, lambda: [f"{name}@{aliases[alias]} is {alias}{before}"])
