"""Moves aliases, changes settings of models and removes versions: the only writer of aliases.json and settings.json.

Both are here because a version with an alias must not be removed. Each change holds the lock of the model's aliases. It
is separate from the lock of publishing, so an alias can move while a version is being published. Errors are
`ModelgateError`s, whose codes the gateway maps to statuses.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from contract.errors import Code, ModelgateError, version_error
from contract.model.repository import (
    ALIASES_FILE,
    CURRENT,
    PREVIOUS,
    SETTINGS_FILE,
    Repository,
    not_in_repository,
    valid_alias,
    valid_name,
)
from trainer.publishing.disk import STAGING, locked, sync, write

HISTORY, MOST_KEPT = "_history", 20
"""A key of aliases.json that cannot be an alias: the versions that were current before `previous`, the oldest first,
without those that were rolled back from."""


@dataclass(frozen=True)
class _Names:
    """What aliases.json holds."""

    aliases: dict[str, int]
    history: list[int]


def move_alias(root: Path, model: str, alias: str, version: int, before: int | None = None) -> dict[str, int]:
    """Point `alias` at `version` and return all aliases. `previous` then names the former `current` version.

    Raises `model_not_found`, `invalid_alias`, and `alias_moved` unless the alias names `before`, if that is given.
    """
    check_move(root, model, alias, version)
    return _change(root, model, lambda names: _moved(root, model, names, alias, version, before))


def check_move(root: Path, model: str, alias: str, version: int) -> None:
    """Raise what `move_alias` would raise."""
    if not valid_alias(alias):
        raise ModelgateError(
            Code.INVALID_ALIAS,
            f"{alias[:64]!r} cannot be an alias: use up to 64 of a-z, 0-9, _ and -, and not digits alone",
            alias=alias[:64],
        )
    _check_version(root, model, version)


def delete_alias(root: Path, model: str, alias: str) -> dict[str, int]:
    """Delete an alias and return the others. Raises `alias_not_found`, and `current_required` for `current`."""
    if alias == CURRENT:
        raise ModelgateError(
            Code.CURRENT_REQUIRED,
            f"{model!r} needs the alias {CURRENT!r}, which requests without a version use; move it instead",
        )
    return _change(root, model, lambda aliases: _without(model, aliases, alias))


def change_settings(root: Path, model: str, settings: Mapping[str, Any]) -> None:
    """Write the settings of a model. Raises `model_not_found`."""
    with lock_aliases(root, model):
        if not Repository(root).versions(model):
            raise ModelgateError(Code.MODEL_NOT_FOUND, f"there is no model {model!r}", model=model)
        new = root / STAGING / f"{model}.{SETTINGS_FILE}"
        write(new, (json.dumps(settings) + "\n").encode())
        new.replace(root / model / SETTINGS_FILE)
        sync(root / model)


def previous(root: Path, model: str) -> int:
    """Return the version to roll back to. Raises `no_previous`."""
    return _previous(model, Repository(root).aliases(model))


def roll_back(root: Path, model: str, version: int, before: int | None) -> dict[str, int]:
    """Point `current` from the version `before` to the `previous` one, and `previous` to the one that was current
    before that. Nothing names the version `before` then. Returns all aliases.

    Raises `no_previous`, and `alias_moved` unless they name `before` and `version`.
    """

    def change(names: _Names) -> _Names:
        previous = _previous(model, names.aliases)
        _check_unmoved(model, names.aliases, CURRENT, before)
        _check_unmoved(model, names.aliases, PREVIOUS, version)
        kept = [number for number in names.history if number != before and Repository(root).has_version(model, number)]
        aliases = {name: number for name, number in names.aliases.items() if name != PREVIOUS}
        return _Names(aliases | ({PREVIOUS: kept.pop()} if kept else {}) | {CURRENT: previous}, kept)

    return _change(root, model, change)


def delete_version(root: Path, model: str, version: int) -> None:
    """Delete a version. Raises `model_not_found`, and `version_in_use` while an alias names it.

    Readers no longer see it at once; its files are removed afterwards.
    """
    with lock_aliases(root, model):
        _check_version(root, model, version)
        names = sorted(alias for alias, named in _read(root, model).items() if named == version)
        if names:
            what = f"has the alias {' and '.join(map(repr, names))}; move the alias first"
            raise version_error(Code.VERSION_IN_USE, model, version, what, aliases=names)
        gone = _hide(root, model, version)
    shutil.rmtree(gone, ignore_errors=True)


def retain(root: Path, model: str, keep: int) -> list[int]:
    """Remove all but `keep` of the versions without an alias, and return the removed ones: those stay that were
    current last, up to half of `keep`, and the newest. So refused versions do not use up what a rollback goes to.

    Raises `version_in_use` if the aliases cannot be read.
    """
    with lock_aliases(root, model):
        named = set(_read(root, model).values())
        versions = [version for version in Repository(root).versions(model) if version not in named]
        were_current = [version for version in _history(root, model) if version in versions]
        stay = were_current[max(0, len(were_current) - keep // 2) :]
        free = [version for version in versions if version not in stay]
        removed = free[: max(0, len(free) + len(stay) - keep)]
        gone = [_hide(root, model, version) for version in removed]
    for folder in gone:
        shutil.rmtree(folder, ignore_errors=True)
    return removed


def _check_version(root: Path, model: str, version: int) -> None:
    if not Repository(root).has_version(model, version):
        raise not_in_repository(model, version)


def _moved(root: Path, model: str, names: _Names, alias: str, version: int, before: int | None) -> _Names:
    _check_version(root, model, version)  # another process may have deleted it while we waited for the lock
    aliases, old = names.aliases, names.aliases.get(alias)
    if before is not None:
        _check_unmoved(model, aliases, alias, before)
    if alias != CURRENT or old is None or old == version:
        return _Names({**aliases, alias: version}, names.history)
    further = [*names.history, *([aliases[PREVIOUS]] if PREVIOUS in aliases else [])]
    history = [number for number in further if number not in (old, version)][-MOST_KEPT:]
    return _Names({**aliases, PREVIOUS: old, alias: version}, history)


def _check_unmoved(model: str, aliases: dict[str, int], alias: str, version: int | None) -> None:
    if (now := aliases.get(alias)) != version:
        detail = f"{alias!r} of {model!r} names {'no version' if now is None else f'version {now}'} by now"
        what = f"{detail}, not {'none' if version is None else version}; look at its versions, and decide again"
        raise ModelgateError(Code.ALIAS_MOVED, what, model=model)


def _previous(model: str, aliases: dict[str, int]) -> int:
    if PREVIOUS not in aliases:
        raise ModelgateError(Code.NO_PREVIOUS, f"{model!r} has no {PREVIOUS!r} version to roll back to", model=model)
    return aliases[PREVIOUS]


def _without(model: str, names: _Names, alias: str) -> _Names:
    aliases = names.aliases
    if alias not in aliases:
        raise ModelgateError(
            Code.ALIAS_NOT_FOUND,
            f"{model!r} has no alias {alias[:64]!r}; it has {', '.join(sorted(aliases)) or 'none'}",
            model=model,
        )
    return _Names({name: version for name, version in aliases.items() if name != alias}, names.history)


def _change(root: Path, model: str, change: Callable[[_Names], _Names]) -> dict[str, int]:
    with lock_aliases(root, model):
        old = _Names(Repository(root).aliases(model), _history(root, model))
        new = change(old)
        if new != old:
            _write(root, model, new)
    return new.aliases


def _history(root: Path, model: str) -> list[int]:
    try:
        history = json.loads((root / model / ALIASES_FILE).read_bytes())[HISTORY]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return []
    return [version for version in history if type(version) is int] if isinstance(history, list) else []


def lock_aliases(root: Path, model: str) -> AbstractContextManager[IO[str]]:
    """Hold the lock of a model's aliases. Raises `model_not_found` for an invalid name."""
    if not valid_name(model):
        raise ModelgateError(Code.MODEL_NOT_FOUND, f"{model[:64]!r} cannot be the name of a model")
    # Model names have no dot, so this is not the lock of another model.
    return locked(root, f"{model}.aliases")


def _read(root: Path, model: str) -> dict[str, int]:
    """Return the aliases. Raises `version_in_use` if they cannot be read: then no version may be removed."""
    aliases = Repository(root).aliases(model)
    if not aliases and (root / model / ALIASES_FILE).exists():
        raise ModelgateError(
            Code.VERSION_IN_USE,
            f"the {ALIASES_FILE} of {model!r} cannot be read, so any version may be in use; move an alias first",
            model=model,
        )
    return aliases


def _write(root: Path, model: str, names: _Names) -> None:
    new, old = root / STAGING / f"{model}.{ALIASES_FILE}", root / model / ALIASES_FILE
    data = {**names.aliases, **({HISTORY: names.history} if names.history else {})}
    write(new, (json.dumps(data) + "\n").encode())
    # Readers notice a new file by its modification time, which the system counts in milliseconds.
    at = max(time.time_ns(), old.stat().st_mtime_ns + 1 if old.exists() else 0)
    os.utime(new, ns=(at, at))
    new.replace(old)
    sync(root / model)


def _hide(root: Path, model: str, version: int) -> Path:
    """Hide a version from readers and return its new path. `sweep` removes it if this process dies."""
    hidden = root / STAGING / f"{model}-{secrets.token_hex(4)}"
    folder = Repository(root).version_dir(model, version)
    folder.rename(hidden)
    sync(folder.parent)
    return hidden
