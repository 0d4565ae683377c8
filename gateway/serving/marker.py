"""The marker: a file outside Redis that keeps the gateway closed, even if Redis loses all keys."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

_TEXT = """\
While this file exists, Modelgate serves no request without a key, even if Redis has lost all keys.
docs/how-to/give-out-keys.md says how to open it again.
"""


class Marker:
    """A file that is made before the first key and never removed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._text = str(path)

    def is_seen(self) -> bool:
        """Return whether the file is there, in a microsecond: every request without a key asks."""
        return os.access(self._text, os.F_OK)

    def exists(self) -> bool:
        """Return whether the file is there. A folder that cannot be searched may hold it."""
        try:
            self.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True
        return True

    def make(self) -> None:
        """Make the file, so that it outlasts a power cut. Repeat-safe. Raises OSError; then there is no file."""
        if self.exists():
            return
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Renamed once it is whole: on a full disk, a part of the file would close the gateway before there is a key.
        whole = self.path.with_name(f"{self.path.name}-{secrets.token_hex(8)}")  # each thread has its own
        try:
            with whole.open("w") as file:
                file.write(_TEXT)
                file.flush()
                os.fsync(file.fileno())
            whole.replace(self.path)
        finally:
            whole.unlink(missing_ok=True)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
