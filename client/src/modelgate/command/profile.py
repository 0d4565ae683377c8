"""The verbs about profiles: `profile add`, `use`, `list`, `remove`. A key is stored and never shown."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from modelgate import Client, profiles
from modelgate.command.session import Session
from modelgate.command.terminal import table
from modelgate.command.verbs import option, verb
from modelgate.text import without_password

Name = Annotated[str, typer.Argument(metavar="NAME", help="The name of the profile.")]


group = typer.Typer(name="profile", help="Keep the addresses of Modelgates, and the keys for them.")


@verb(group)
def add(
    session: Session,
    name: Name,
    check: Annotated[bool, option("Try the address and the key first.")] = True,
) -> None:
    """Add a profile with the address of `--url`, and the key that is typed or comes on standard input.

    Without a key, press Enter. Only you can read the file that it is kept in.
    """
    url = session.url or profiles.LOCAL
    api_key = _read_key()
    if check:
        _check(url, api_key)
    profiles.save(name, url, api_key)
    chosen = profiles.default() == name
    shown = without_password(url)
    data = {"name": name, "url": shown, "has_key": api_key is not None, "default": chosen}
    remarks = f"{' with a key' if api_key else ''}{', the default' if chosen else ''}"
    session.show(data, lambda: [f"{name}: {shown}{remarks}"])


@verb(group)
def use(session: Session, name: Name) -> None:
    """Use a profile wherever none is named."""
    profiles.use(name)
    session.show({"default": name}, lambda: [f"{name} is the default"])


@verb(group, "list")
def list_profiles(session: Session) -> None:
    """List the profiles, without their keys."""
    chosen = profiles.default()
    listed = [
        {
            "name": name,
            "url": without_password(profile.url),
            "has_key": profile.api_key is not None,
            "default": name == chosen,
        }
        for name, profile in sorted(profiles.read().items())
    ]
    rows = [(profile["name"], profile["url"], _yes(profile["has_key"]), _yes(profile["default"])) for profile in listed]
    session.show(listed, lambda: [table(("NAME", "ADDRESS", "KEY", "DEFAULT"), rows)] if listed else [_NONE])


@verb(group)
def remove(session: Session, name: Name) -> None:
    """Remove a profile and its key."""
    profiles.remove(name)
    session.show({"removed": name}, lambda: [f"{name} is removed"])


_PATIENCE = 3
"""Seconds that the address has to answer."""
_NONE = "There are no profiles; add one: modelgate profile add NAME --url URL"


def _read_key() -> str | None:
    if sys.stdin.isatty():
        return typer.prompt("API key", default="", hide_input=True, show_default=False).strip() or None
    return sys.stdin.readline().strip() or None


def _check(url: str, api_key: str | None) -> None:
    """Raise `ModelgateError` unless a Modelgate answers there and accepts the key."""
    client = Client(url, api_key or "")
    client.request("GET", "/v1/jobs", params={"limit": 1}, timeout=_PATIENCE)


def _yes(value: object) -> str:
    return "yes" if value else ""
