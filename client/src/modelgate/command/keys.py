"""The verbs about API keys: `keys create`, `list`, `change`, `rotate`, `revoke`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from modelgate.command.exits import ExitCode, Failed
from modelgate.command.session import Session, segment, without_none
from modelgate.command.terminal import moment, table
from modelgate.command.verbs import flag, option, verb

Key = Annotated[str, typer.Argument(metavar="KEY", help="The name or the id of a key.")]
Expires = Annotated[str | None, option("When it expires: 90d, 12h, or a time; by default never.", metavar="90d")]


group = typer.Typer(
    name="keys", help="Create, list, change, rotate and revoke API keys. Needs a key with the scope admin."
)


@verb(group)
def create(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name that no other key has.")],
    scope: Annotated[
        list[str], option("What it may do: read, predict, train, publish, log, approve or admin. May be repeated.")
    ],
    model: Annotated[
        list[str] | None, option("A model that it may use; by default all. May be repeated.", metavar="NAME")
    ] = None,
    expires: Expires = None,
    owner: Annotated[str | None, option("Who owns its jobs; by default the name of the key.")] = None,
    user: Annotated[
        str | None,
        option("The person who gets these rights once your proxy signs them in (*: everybody); without a secret."),
    ] = None,
    limit: Annotated[
        list[str] | None, option("A limit, such as rows_per_second=100. May be repeated.", metavar="NAME=N")
    ] = None,
    detail: Annotated[str | None, option("terse: its errors reveal nothing of a model; or full.")] = None,
) -> None:
    """Create a key and print its secret, which is shown only now; or the entry of a person."""
    body = {
        "name": name,
        "scopes": _listed(scope),
        "models": _listed(model) or None,
        "expires": expires,
        "owner": owner,
        "user": user,
        "limits": dict(map(_limit, _listed(limit))) or None,
        "detail": detail,
    }
    made = session.client.request("POST", "/v1/keys", json=without_none(body))
    if user:
        note = f"{made['user']} has the rights {made['name']} ({made['id']}) when your proxy signs them in"
        session.show(made, lambda: [note])
    else:
        _show_secret(session, made)


@verb(group, "list")
def list_keys(session: Session) -> None:
    """List the keys, without their secrets, with the requests and errors of the last 30 days."""
    keys = session.get("/v1/keys")["items"]
    numbers = ("REQUESTS", "ERRORS")
    heads = ("NAME", "ID", "OWNER", "SCOPES", "MODELS", "EXPIRES", "LAST USED", *numbers, "USER")
    session.show(keys, lambda: [table(heads, map(_row, keys), numbers)] if keys else ["There are no keys."])


@verb(group)
def change(
    session: Session,
    key: Key,
    scope: Annotated[list[str] | None, option("What it may do from now on, in all. May be repeated.")] = None,
    model: Annotated[
        list[str] | None, option("A model that it may use from now on, in all. May be repeated.", metavar="NAME")
    ] = None,
    all_models: Annotated[bool, flag("It may use all models.", "--all-models")] = False,
    expires: Annotated[str | None, option("When it expires: 90d, 12h, a time, or never.", metavar="90d")] = None,
    limit: Annotated[
        list[str] | None,
        option("A limit, such as rows_per_second=100, or =none; the others stay. May be repeated.", metavar="NAME=N"),
    ] = None,
    detail: Annotated[str | None, option("terse: its errors reveal nothing of a model; or full.")] = None,
) -> None:
    """Change a key under all its secrets. What is not named stays."""
    changed: dict[str, Any] = without_none({"scopes": _listed(scope) or None, "detail": detail})
    if model or all_models:
        changed["models"] = None if all_models else _listed(model)
    if expires:
        changed["expires"] = None if expires == "never" else expires
    if limit:
        changed["limits"] = dict(map(_limit, _listed(limit)))
    entry = session.client.request("PATCH", f"/v1/keys/{segment(_named(session, key)['id'])}", json=changed)
    session.show(entry, lambda: [f"{entry['name']} ({entry['id']}) is changed"])
    session.notes(entry["warnings"])


@verb(group)
def rotate(
    session: Session,
    key: Key,
    overlap: Annotated[
        str | None, option("How long the old secret still works; by default not at all.", metavar="1h")
    ] = None,
    expires: Expires = None,
) -> None:
    """Give a key a new secret and print it, which is shown only now."""
    path = f"/v1/keys/{segment(_named(session, key)['id'])}/rotate"
    made = session.client.request("POST", path, json=without_none({"overlap": overlap, "expires": expires}))
    _show_secret(session, made)
    if old := made.get("previous_secret"):
        session.note(f"the old secret works until {moment(old['expires_at'])}")


@verb(group)
def revoke(session: Session, key: Key) -> None:
    """Remove a key. Within seconds no gateway accepts it."""
    entry = _named(session, key)
    session.client.request("DELETE", f"/v1/keys/{segment(entry['id'])}")
    session.show(entry, lambda: [f"{entry['name']} ({entry['id']}) is revoked"])


def _named(session: Session, key: str) -> Mapping[str, Any]:
    """Return the key with this name or id."""
    keys = session.get("/v1/keys")["items"]
    named: list[Mapping[str, Any]] = [item for item in keys if key in (item["name"], item["id"])]
    if not named:
        names = ", ".join(item["name"] for item in keys)
        raise Failed(f"there is no key {key!r}; there are: {names}" if keys else f"there is no key {key!r}")
    return named[0]


def _show_secret(session: Session, made: Mapping[str, Any]) -> None:
    """Print a secret alone on standard output, so that `KEY=$(modelgate keys create …)` works."""
    if made["secret"] is None:  # a repeated request, whose first answer was lost
        raise Failed(f"the key {made['name']} was made, but its secret was lost; modelgate keys rotate {made['name']}")
    expires = f", expires {moment(made['expires_at'])}" if made["expires_at"] else ""
    session.note(f"the key {made['name']} ({made['id']}) of {made['owner']}{expires}; it is shown only now:")
    session.show(made, lambda: [made["secret"]])
    session.notes(made.get("warnings") or ())


def _listed(texts: Sequence[str] | None) -> list[str]:
    """Return the parts of `--scope read --scope predict`, or of `--scope read,predict`."""
    return [part.strip() for text in texts or () for part in text.split(",") if part.strip()]


def _limit(text: str) -> tuple[str, int | None]:
    name, _, number = text.partition("=")
    if number == "none":
        return name, None
    if not number.isascii() or not number.isdigit():
        raise Failed(f"--limit {text!r} is not NAME=N, such as rows_per_second=100", ExitCode.USAGE)
    return name, int(number)


def _row(key: Mapping[str, Any]) -> Sequence[object]:
    models = "all" if key["models"] is None else ",".join(key["models"])
    expires = moment(key["expires_at"]) if key["expires_at"] else "never"
    used = moment(key["last_used_at"]) if key["last_used_at"] else "never"
    use = key.get("use") or {}  # servers of release 1.0 count none
    rights = ",".join(key["scopes"]), models, expires, used
    return key["name"], key["id"], key["owner"], *rights, use.get("requests"), use.get("errors"), key.get("user")
