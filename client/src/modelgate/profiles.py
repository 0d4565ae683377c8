"""Profiles: addresses of Modelgates and the keys for them, by name, in a file that only its owner can read."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelgate import local
from modelgate.errors import ModelgateError
from modelgate.text import without_password

LOCAL = "http://127.0.0.1:8080"
"""The address of a Modelgate that `make up` has started without a `PORT`."""


@dataclass(frozen=True)
class Profile:
    """An address and, where the Modelgate there needs one, an API key."""

    url: str
    api_key: str | None = None

    def __repr__(self) -> str:
        """The profile without its key, which would otherwise be in tracebacks and notebooks."""
        return f"Profile(url={without_password(self.url)!r}, api_key={self.api_key and '…'!r})"


def path() -> Path:
    """Return the file of the profiles: `~/.config/modelgate/profiles.toml`, or below `XDG_CONFIG_HOME`."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "modelgate" / "profiles.toml"


def read() -> dict[str, Profile]:
    """Return the profiles by name; none if there is no file. Raises `ModelgateError` for a file that is not one of
    profiles."""
    return {name: _profile(name, part) for name, part in _load().get("profiles", {}).items()}


def default() -> str | None:
    """Return the profile that is used if none is named: that of `MODELGATE_PROFILE`, else the chosen one, or None."""
    return os.environ.get("MODELGATE_PROFILE") or _load().get("default")


def save(name: str, url: str, api_key: str | None = None) -> None:
    """Add a profile, or replace the one of this name. The first one is used by default.

    >>> save("production", "https://models.example.org", "mg_secret")
    >>> read()["production"]
    Profile(url='https://models.example.org', api_key='…')
    >>> remove("production")
    """
    chosen = _load().get("default") or name
    _write({**read(), name: Profile(url, api_key)}, chosen)


def use(name: str) -> None:
    """Make a profile the one that is used by default. Raises `ModelgateError` if there is none of this name."""
    profiles = read()
    _named(profiles, name)
    _write(profiles, name)


def remove(name: str) -> None:
    """Remove a profile. Raises `ModelgateError` if there is none of this name."""
    profiles = read()
    _named(profiles, name)
    del profiles[name]
    chosen = _load().get("default")
    _write(profiles, chosen if chosen in profiles else None)


def resolve(url: str | None = None, api_key: str | None = None, profile: str | None = None) -> Profile:
    """Return the address and the key to use: those given, else `MODELGATE_URL` and `MODELGATE_API_KEY`, else the
    profile's, else the Modelgate that was started in this folder or with `modelgate up`, else the one at `LOCAL`.

    An empty `api_key` means none. The key of a profile only goes to the address of that profile. Raises
    `ModelgateError` if the profile does not exist, and for both an address and a profile.
    """
    if url and profile:
        shown = without_password(url)
        raise ModelgateError(f"the address {shown} and the profile {profile!r} may differ; give one of them")
    url = url or (None if profile else os.environ.get("MODELGATE_URL"))
    if api_key is None and not profile:
        api_key = os.environ.get("MODELGATE_API_KEY") or None
    if url:
        return Profile(url, api_key or None)
    name = profile or default()
    chosen = _named(read(), name) if name else Profile(_started_here() or LOCAL)
    return Profile(chosen.url, chosen.api_key if api_key is None else api_key or None)


def _started_here() -> str | None:
    """Return the address of the server that was started last in this folder, or that runs as `modelgate up` has started
    it; None if there is none."""
    here, home = Path.cwd(), local.default_home()
    return local.address_of(here) or (local.address_of(home) if local.process_of(home) else None)


def _named(profiles: Mapping[str, Profile], name: str) -> Profile:
    if name not in profiles:
        there_are = f"there are: {', '.join(sorted(profiles))}" if profiles else "there are none"
        raise ModelgateError(f"there is no profile {name!r} in {path()}; {there_are}")
    return profiles[name]


def _load() -> dict[str, Any]:
    try:
        content = tomllib.loads(path().read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ModelgateError(f"{path()} cannot be read: {error}") from error
    if not isinstance(content.get("profiles", {}), dict):
        raise ModelgateError(f"{path()} needs a table for each profile, such as [profiles.local]")
    return content


def _profile(name: str, part: Any) -> Profile:
    if not isinstance(part, dict) or not isinstance(part.get("url"), str):
        raise ModelgateError(f"{path()}: the profile {name!r} needs a url, such as url = {json.dumps(LOCAL)}")
    api_key = part.get("api_key")
    return Profile(part["url"], str(api_key) if api_key else None)


def _quoted(text: str) -> str:
    """Return a string of TOML. It is one of JSON, but TOML has no pairs of surrogates, and no plain DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _write(profiles: Mapping[str, Profile], chosen: str | None) -> None:
    lines = [f"default = {_quoted(chosen)}", ""] if chosen else []
    for name, profile in sorted(profiles.items()):
        lines += [f"[profiles.{_quoted(name)}]", f"url = {_quoted(profile.url)}"]
        lines += [f"api_key = {_quoted(profile.api_key)}"] if profile.api_key else []
        lines.append("")
    file = path()
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    written = file.with_suffix(f".{os.getpid()}.part")
    written.unlink(missing_ok=True)
    with os.fdopen(os.open(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
        stream.write("\n".join(lines))
    written.replace(file)
