"""A file prediction: what its job asks for, and where its files are."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract.model.signature import PREDICT
from contract.rows.file_formats import FileFormat


@dataclass(frozen=True)
class FileRequest:
    """The payload of a file prediction: the rows of a file in the format `input` for a method of the pinned version.

    `lenient`: rows that cannot be used stay without a prediction; otherwise they fail the job. `escape`: cells of a CSV
    that a spreadsheet would run as formulas get a "'".
    """

    model: str
    version: int
    input: FileFormat
    output: FileFormat
    method: str = PREDICT.name
    lenient: bool = True
    escape: bool = False

    def to_json(self) -> dict[str, object]:
        return {
            "model": self.model,
            "version": self.version,
            "input": self.input,
            "output": self.output,
            "method": self.method,
            "lenient": self.lenient,
            "escape": self.escape,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> FileRequest:
        """Raises `ValueError`, `KeyError` and `TypeError` for another payload."""
        return cls(**{**data, "input": FileFormat(data["input"]), "output": FileFormat(data["output"])})


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

    @property
    def job_id(self) -> str:
        return self.path.name.removesuffix(SUFFIX)

    @property
    def input(self) -> Path:
        return self.path / "input"

    @property
    def owner(self) -> Path:
        """The file with the tag of the owner; there is none without one."""
        return self.path / "owner"

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


SUFFIX = ".job"
"""The end of the name of each such folder."""


def tag_of(owner: str) -> str:
    """Return what stands for an owner in SPOOL_DIR: 16 letters of any owner, "" without one."""
    return hashlib.sha256(owner.encode()).hexdigest()[:16] if owner else ""


def tag_of_upload(name: str) -> str:
    """Return the tag of the owner in the name of an upload, `<id>-<tag>.upload`."""
    return name.partition(".")[0].partition("-")[2]
