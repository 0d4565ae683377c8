"""The names of files in SPOOL_DIR, and to whom they belong."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from contract.files import open_regular

OWNER = "owner"


@dataclass(frozen=True)
class FileFolder:
    """The folder of one job in SPOOL_DIR.

    The gateway writes `owner` and `input`. Scorers write all others, each but `claimed` under a name of its own first,
    and rename it into place: a file that exists is complete, and another scorer would write the same bytes.
    """

    path: Path

    @classmethod
    def of(cls, spool_dir: Path, job_id: str) -> FileFolder:
        """Return the folder of the job. `job_id` has no slash."""
        return cls(spool_dir / f"{job_id}{SUFFIX}")

    @classmethod
    def all(cls, spool_dir: Path) -> list[FileFolder]:
        """Return the folders of all jobs."""
        return [cls(path) for path in sorted(spool_dir.glob(f"*{SUFFIX}"))]

    @property
    def job_id(self) -> str:
        return self.path.name.removesuffix(SUFFIX)

    @property
    def input(self) -> Path:
        return self.path / "input"

    @property
    def owner(self) -> Path:
        """The file with the tag of the owner; there is none without one."""
        return self.path / OWNER

    @property
    def tag(self) -> str:
        """The tag of the owner, "" without one."""
        with suppress(OSError):
            return self.owner.read_text()
        return ""

    @property
    def claimed(self) -> Path:
        """The sparse file whose size is the room for all that scorers write. It is gone once only results are left."""
        return self.path / "claimed"

    @property
    def plan(self) -> Path:
        return self.path / "plan.json"

    @property
    def output(self) -> Path:
        return self.path / "output"

    @property
    def errors(self) -> Path:
        return self.path / "errors"

    def part(self, chunk: int) -> Path:
        """Return the file with the rows and predictions of a chunk."""
        return self.path / f"{chunk}.part"

    def errors_part(self, chunk: int) -> Path:
        """Return the file with the errors of a chunk, which is empty without any."""
        return self.path / f"{chunk}.errors"

    def draft(self, final: Path, writer: str) -> Path:
        """Return where `writer` writes a file, until it is complete. No other process has this name."""
        return final.with_name(f"{final.name}.{writer}")

    def names(self) -> Collection[str]:
        """Return the names of the files that all machines see."""
        with suppress(OSError):
            return os.listdir(self.path)
        return ()

    def fetch(self, path: Path) -> Path:
        """Have a file of the folder on this machine, and return its path. Raises OSError."""
        return path

    def share(self, path: Path) -> None:
        """Let the other machines see a file that was renamed into place. Raises OSError."""

    def open(self, path: Path) -> BinaryIO:
        """Open a file of the folder. Raises OSError."""
        return open_regular(path)

    def create(self, received: Path, tag: str) -> None:
        """Make the folder, with a file that was received from the owner with this tag."""
        self.path.mkdir(exist_ok=True)
        if tag:
            self.owner.write_text(tag)
        received.rename(self.input)

    def changed(self) -> float:
        """Return when the folder has last changed, or a file in it; 0 if it is gone."""
        with suppress(OSError):
            return max(file.stat().st_mtime for file in (self.path, *self.path.iterdir()))
        return 0.0

    def keep_results(self) -> None:
        """Remove all but the output, the errors and the owner."""
        if not self.input.exists():
            return
        for path in self.path.iterdir():
            if path not in (self.output, self.errors, self.owner, self.input):
                path.unlink(missing_ok=True)
        self.input.unlink(missing_ok=True)  # last: it says that there is something left to remove

    def remove(self) -> None:
        """Remove the folder, if it is there."""
        shutil.rmtree(self.path, ignore_errors=True)


SUFFIX = ".job"
"""The end of the name of each such folder."""


def tag_of(owner: str) -> str:
    """Return what stands for an owner in SPOOL_DIR: 16 letters of any owner, "" without one."""
    return hashlib.sha256(owner.encode()).hexdigest()[:16] if owner else ""


def upload_name(upload_id: str, tag: str) -> str:
    """Return the name of an upload, `<id>-<tag>.upload`."""
    return f"{upload_id}-{tag}.upload"


def tag_of_upload(name: str) -> str:
    """Return the tag of the owner in the name of an upload, also of one that is not complete."""
    return name.partition(".")[0].partition("-")[2]
