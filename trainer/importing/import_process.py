"""Unpickles a file and tries the model in a throwaway process with limits.

The process is no sandbox: a pickle runs as the trainer's user, with its files and its network. The limits are against
accidents.
"""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract.errors import InvalidInstances, ModelgateError
from contract.model.manifest import ManifestDraft, ModelManifest
from contract.model.signature import Signature
from contract.model.signature_edits import edit_signature
from contract.row import Row
from contract.rows.background import rows_of
from trainer.forks import MOST_ANSWER, EndedTask, Forks, ForkTask
from trainer.importing import LivesElsewhere, Refused

FILE, SAMPLE, CODE, ARTIFACT = "file", "sample.csv", "code.py", "artifact"
"""Files in the folder that both processes share."""


@dataclass(frozen=True)
class SignatureEdit:
    """The version to edit, and a partial signature."""

    manifest: ModelManifest
    edits: Mapping[str, Any]

    @property
    def signature(self) -> Signature:
        """The edited signature, or that of the version if there are no edits. Raises `InvalidEdit`."""
        if not self.edits:
            return self.manifest.signature
        return edit_signature(self.manifest.signature, self.manifest.artifact.input_format, self.edits)

    def to_json(self) -> dict[str, Any]:
        return {"manifest": self.manifest.dumps(), "edits": self.edits}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SignatureEdit:
        return cls(ModelManifest.loads(data["manifest"]), data["edits"])


@dataclass(frozen=True)
class ImportTask:
    """Examine the folder's `FILE` (and `SAMPLE`, `CODE`) as the model `name`, within these limits; 0 MB: no limit.

    `sha256` and the others, in hex, are those of the files: other bytes are refused. None: there is no such file.
    `nulls`: what they were in the columns of the sample, `target`: its column with what the model predicts, `columns`:
    those of the model, if that is known. `edit`:
    `FILE` is the artifact of a version, to be tried under an edited signature (`SignatureEdit`). A file that was made
    with the release of an environment in `elsewhere` is not loaded.
    """

    name: str
    sha256: str
    sample_sha256: str | None
    code_sha256: str | None
    seconds: int
    memory_mb: int
    file_mb: int
    nulls: Mapping[str, Sequence[str]] | None = None
    columns: Sequence[Mapping[str, Any]] | None = None
    target: str | None = None
    edit: Mapping[str, Any] | None = None
    elsewhere: Sequence[str] = ()


@dataclass(frozen=True)
class ImportResult:
    """What examining a file has found.

    The bytes to publish are in `ARTIFACT`, if that file exists, or else in `FILE`; `sha256`, in hex, is theirs. `facts`
    are those of the report, if any. `libraries`: those with which it was examined. `background`: rows to
    explain its answers against.
    """

    draft: ManifestDraft
    sha256: str
    facts: dict[str, Any] | None
    libraries: Mapping[str, str]
    background: Sequence[Row]


def examine_in_process(folder: Path, task: ImportTask, forks: Forks) -> ImportResult:
    """Examine a file in a fork that ends with it. Raises `Refused`, `LivesElsewhere` and OSError."""
    arguments = {"folder": str(folder.resolve()), "task": dataclasses.asdict(task)}
    try:
        return _result(forks.run(ForkTask.EXAMINE, arguments, task.seconds))
    except subprocess.TimeoutExpired:
        of_code = "leave only what defines its classes and functions in the code beside it"
        remedy = of_code if task.code_sha256 else "make the model smaller"
        raise Refused(f"takes more than {task.seconds} s to load and to predict a few rows; {remedy}") from None


def _result(ended: EndedTask) -> ImportResult:
    """Read the answer without trusting it: a pickle may have written it."""
    if len(ended.answer) > MOST_ANSWER:
        raise Refused("needs a manifest that is too large; use fewer sample rows")
    if not ended.answer.endswith(b"\n"):
        raise Refused(_how_it_ended(ended))
    try:
        answer = json.loads(ended.answer)
        if "draft" in answer:
            libraries = {str(name): str(version) for name, version in answer["libraries"].items()}
            draft = ManifestDraft.loads(answer["draft"])
            background = answer["background"] and rows_of(answer["background"], draft.signature)
            return ImportResult(draft, str(answer["sha256"]), answer.get("facts"), libraries, background)
        if "environment" in answer:
            raise LivesElsewhere(str(answer["environment"]))
        refused = str(answer["refused"])
    except (ValueError, KeyError, TypeError, AttributeError, ModelgateError, InvalidInstances) as error:
        refused = f"results in an invalid manifest ({error})"
    raise Refused(refused)


def _how_it_ended(ended: EndedTask) -> str:
    if ended.code == -signal.SIGKILL:
        return "was being read when the process was killed, most likely because memory ran out; make the model smaller"
    if ended.code < 0:
        return (
            f"crashes the process that reads it ({signal.Signals(-ended.code).name}), which can happen with a file of"
            " another release of a library; fit and save it again with the releases that run here"
        )
    last = f": {ended.lines[-1][:300]}" if ended.lines else ""
    return f"ends the process that reads it (exit code {ended.code}){last}; save the fitted model and nothing else"
