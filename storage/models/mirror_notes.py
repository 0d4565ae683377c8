"""What the mirror of this machine notes in the folder that it keeps; readers of these need no library for stores."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from contract.model.repository import valid_name
from storage.disk import write

NOTES = ".heads"
_COMPLETE = ".complete"


class MirrorNotes:
    """The notes in the model repository `root`: of each model, which head the folder is like."""

    def __init__(self, root: Path) -> None:
        self._folder = root / NOTES

    def is_complete(self) -> bool:
        """Whether the folder has had all models since it was made."""
        return (self._folder / _COMPLETE).exists()

    def set_complete(self) -> None:
        self._folder.mkdir(exist_ok=True)
        (self._folder / _COMPLETE).touch()

    def head(self, model: str) -> tuple[list[str | None], int] | None:
        """Return the tag of the head, and the last number that a version was given then; None if there is no note."""
        with suppress(OSError, ValueError, TypeError):
            *tag, last = json.loads((self._folder / model).read_bytes())
            return tag, int(last)
        return None

    def set_head(self, model: str, tag: tuple[str | None, ...], last: int) -> None:
        """Raises OSError."""
        self._folder.mkdir(exist_ok=True)
        write(self._folder / f"{model}.new", json.dumps([*tag, last]).encode())
        (self._folder / f"{model}.new").replace(self._folder / model)

    def may_come(self, model: str, version: int) -> bool:
        """Whether a version that is not in the folder may be in the store: it is younger than what was noted last."""
        known = self.head(model) if valid_name(model) else None
        return known is None or version > known[1]
