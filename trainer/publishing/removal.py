"""Removes models and restores them. A removed model is renamed out of sight of readers and kept for `KEEP_DAYS`.

Both changes hold the lock of publishing and that of the aliases, in this order. Errors are `ModelgateError`s.
"""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

from contract.errors import Code, ModelgateError
from contract.model.repository import REMOVED, RemovedModel, Repository, valid_name
from trainer.publishing.aliases import lock_aliases
from trainer.publishing.disk import STAGING, locked, opened_folder, sync
from trainer.publishing.publish import record_numbers


def remove(root: Path, model: str) -> datetime:
    """Hide the model with all its versions, and return when. Its numbers are not used again. Raises
    `model_not_found`."""
    with _locked(root, model) as lock:
        if not Repository(root).versions(model):
            raise _unknown(model)
        record_numbers(root, model, lock)
        with opened_folder(root / REMOVED):
            (root / REMOVED / model).mkdir(exist_ok=True)
        now = time.time_ns() // 10**6
        _move(root / model, root / REMOVED / model / str(now))
    return datetime.fromtimestamp(now / 1000, UTC)


def restore(root: Path, model: str, version: int | None = None) -> Path:
    """Bring back the model that was removed last, or the one that was removed with `version`; return its folder.

    Raises `model_exists` if a model has this name, and `model_not_found` if there is nothing to restore.
    """
    with _locked(root, model):
        repository = Repository(root)
        removals = repository.removals(model)
        chosen = [removal for removal in removals if version is None or version in removal.versions]
        if not chosen:
            kept = f"; versions that can be restored: {_listed(removals)}" if removals else ""
            raise _unknown(model, f" that was removed{f' with version {version}' if version else ''}{kept}")
        if (root / model).exists():
            newest = max(chosen[0].versions, default=0)
            raise ModelgateError(
                Code.MODEL_EXISTS,
                f"there is a model {model!r} again, with the versions {repository.versions(model)}; remove it first"
                f' (it is kept as well), then restore the other one with {{"version": {newest}}}',
                model=model,
            )
        _move(chosen[0].folder, root / model)
    return root / model


def forget(root: Path, days: int) -> list[str]:
    """Delete for good what was removed more than `days` days ago, and return the names."""
    try:
        names = sorted(entry.name for entry in (root / REMOVED).iterdir() if valid_name(entry.name))
    except FileNotFoundError:
        return []
    oldest, forgotten = datetime.now(UTC) - timedelta(days=days), []
    for model in names:
        for removed in Repository(root).removals(model):
            if removed.removed_at < oldest:
                hidden = root / STAGING / f"{model}-{secrets.token_hex(4)}"
                with lock_aliases(root, model):
                    if removed.folder.exists():  # nobody has restored it meanwhile
                        _move(removed.folder, hidden)
                shutil.rmtree(hidden, ignore_errors=True)
                forgotten.append(model)
    return forgotten


@contextmanager
def _locked(root: Path, model: str) -> Iterator[IO[str]]:
    if not valid_name(model):
        raise _unknown(model)
    with locked(root, model) as lock, lock_aliases(root, model):
        yield lock


def _move(folder: Path, target: Path) -> None:
    folder.rename(target)
    for changed in (folder.parent, target.parent):
        sync(changed)


def _unknown(model: str, what: str = "") -> ModelgateError:
    return ModelgateError(Code.MODEL_NOT_FOUND, f"there is no model {model[:64]!r}{what}", model=model[:64])


def _listed(removals: list[RemovedModel]) -> str:
    return ", ".join(str(version) for removal in removals for version in removal.versions)
