"""What changes of a model, apart from the files that hold it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from contract.errors import Code, ModelgateError
from contract.model.repository import RemovedModel


@dataclass
class ModelState:
    """What changes of a model: all but the contents of its versions.

    `history` has the versions that were current before `previous`, the oldest first, without those that were rolled
    back from. A version that is taken out of `versions` is deleted. `schedule` is that of a model that is about to be
    removed, or was just restored, as Redis had it.
    """

    aliases: dict[str, int] = field(default_factory=dict)
    history: list[int] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    schedule: bytes | None = None


class NumberTaken(Exception):
    """Another publisher has taken the number of a version first."""


Edit = Callable[[ModelState], object]
"""Changes the state of a model. It may run more than once, each time on what the others have made of the state."""


def restorable(model: str, removals: Sequence[RemovedModel], version: int | None) -> RemovedModel:
    """Return the removal to restore: the last one, or that with `version`. Raises `model_not_found`."""
    for removal in removals:
        if version is None or version in removal.versions:
            return removal
    listed = ", ".join(str(number) for removal in removals for number in removal.versions)
    kept = f"; versions that can be restored: {listed}" if removals else ""
    raise unknown(model, f" that was removed{f' with version {version}' if version else ''}{kept}")


def model_exists(model: str, versions: Sequence[int], removed: RemovedModel) -> ModelgateError:
    """Return the error for a model that cannot be restored because there is one of its name."""
    newest = max(removed.versions, default=0)
    return ModelgateError(
        Code.MODEL_EXISTS,
        f"there is a model {model!r} again, with the versions {list(versions)}; remove it first"
        f' (it is kept as well), then restore the other one with {{"version": {newest}}}',
        model=model,
    )


def unknown(model: str, what: str = "") -> ModelgateError:
    """Return the error for a model that does not exist (`model_not_found`)."""
    return ModelgateError(Code.MODEL_NOT_FOUND, f"there is no model {model[:64]!r}{what}", model=model[:64])
