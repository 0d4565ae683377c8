"""Removes models and restores them. A removed model is renamed out of sight of readers and kept for `KEEP_DAYS`.

Both changes hold the lock of publishing and that of the aliases, in this order. Errors are `ModelgateError`s.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import IO

from contract.errors import Code, ModelgateError
from contract.model.repository import RemovedModel, valid_name
from storage.models.repository_writer import RepositoryWriter
from trainer.publishing.publish import record_numbers


def remove(repository: RepositoryWriter, model: str) -> datetime:
    """Hide the model with all its versions, and return when. Its numbers are not used again. Raises
    `model_not_found`."""
    with _locked(repository, model) as lock:
        if not repository.versions(model):
            raise _unknown(model)
        record_numbers(repository, model, lock)
        return repository.remove(model)


def restore(repository: RepositoryWriter, model: str, version: int | None = None) -> None:
    """Bring back the model that was removed last, or the one that was removed with `version`.

    Raises `model_exists` if a model has this name, and `model_not_found` if there is nothing to restore.
    """
    with _locked(repository, model):
        removals = repository.removals(model)
        chosen = [removal for removal in removals if version is None or version in removal.versions]
        if not chosen:
            kept = f"; versions that can be restored: {_listed(removals)}" if removals else ""
            raise _unknown(model, f" that was removed{f' with version {version}' if version else ''}{kept}")
        if repository.exists(model):
            newest = max(chosen[0].versions, default=0)
            raise ModelgateError(
                Code.MODEL_EXISTS,
                f"there is a model {model!r} again, with the versions {repository.versions(model)}; remove it first"
                f' (it is kept as well), then restore the other one with {{"version": {newest}}}',
                model=model,
            )
        repository.restore(model, chosen[0])


def forget(repository: RepositoryWriter, days: int) -> list[str]:
    """Delete for good what was removed more than `days` days ago, and return the names."""
    oldest, forgotten = datetime.now(UTC) - timedelta(days=days), []
    for model in repository.removed_models():
        for removed in repository.removals(model):
            if removed.removed_at < oldest:
                repository.delete_removed(model, removed)
                forgotten.append(model)
    return forgotten


@contextmanager
def _locked(repository: RepositoryWriter, model: str) -> Iterator[IO[str]]:
    if not valid_name(model):
        raise _unknown(model)
    with repository.locked(model) as lock, repository.aliases_locked(model):
        yield lock


def _unknown(model: str, what: str = "") -> ModelgateError:
    return ModelgateError(Code.MODEL_NOT_FOUND, f"there is no model {model[:64]!r}{what}", model=model[:64])


def _listed(removals: list[RemovedModel]) -> str:
    return ", ".join(str(version) for removal in removals for version in removal.versions)
