"""Unpickles a file and tries the model in a throwaway process with limits.

The process is no sandbox: a pickle runs as the trainer's user, with its files and its network. The limits are against
accidents.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from contract.errors import ModelgateError
from contract.manifest import ManifestDraft
from trainer.importing import Refused
from trainer.processes import PROJECT, ContainedProcess, environment

FILE, SAMPLE, ARTIFACT = "file", "sample.csv", "artifact"
"""Files in the folder that both processes share."""

_MOST_ANSWER = 64_000_000


@dataclass(frozen=True)
class ImportTask:
    """Examine the folder's `FILE` (and `SAMPLE`) as the model `name`, within these limits; 0 MB: no limit.

    `sha256` and `sample_sha256`, in hex, are those of the files: other bytes are refused. None: there is no sample.
    """

    name: str
    sha256: str
    sample_sha256: str | None
    seconds: int
    memory_mb: int
    file_mb: int

    def dumps(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def loads(cls, text: str) -> ImportTask:
        return cls(**json.loads(text))


@dataclass(frozen=True)
class ImportResult:
    """What examining a file has found.

    The bytes to publish are in `ARTIFACT`, if that file exists, or else in `FILE`; `sha256`, in hex, is theirs. `facts`
    are those of the report, if any.
    """

    draft: ManifestDraft
    sha256: str
    facts: dict[str, Any] | None


def examine_in_process(folder: Path, task: ImportTask) -> ImportResult:
    """Examine a file in a process of its own. Raises `Refused` and OSError."""
    # Task and answer have no file names, so no other process can write them.
    with TemporaryFile() as stdin, TemporaryFile() as answer, TemporaryFile() as output:
        stdin.write(task.dumps().encode())
        stdin.seek(0)
        process = ContainedProcess(
            [sys.executable, "-m", "trainer.importing", str(folder.resolve()), str(answer.fileno())],
            env=environment(),
            pass_fds=(answer.fileno(),),
            cwd=PROJECT,
            stdin=stdin,
            stdout=output,
            stderr=output,
        )
        try:
            code = process.wait(task.seconds)
        except subprocess.TimeoutExpired:
            raise Refused(
                f"takes more than {task.seconds} s to load and to predict a few rows; make the model smaller"
            ) from None
        finally:
            process.kill()
        return _answer(answer, output, code)


def _answer(file: IO[bytes], output: IO[bytes], code: int) -> ImportResult:
    """Read the answer without trusting it: a pickle may have written it."""
    if os.fstat(file.fileno()).st_size > _MOST_ANSWER:
        raise Refused("needs a manifest that is too large; use fewer sample rows")
    file.seek(0)
    text = file.read()
    if not text.endswith(b"\n"):
        raise Refused(_how_it_ended(output, code))
    try:
        answer = json.loads(text)
        if "draft" in answer:
            return ImportResult(ManifestDraft.loads(answer["draft"]), str(answer["sha256"]), answer.get("facts"))
        refused = str(answer["refused"])
    except (ValueError, KeyError, TypeError, ModelgateError) as error:
        refused = f"results in an invalid manifest ({error})"
    raise Refused(refused)


def _how_it_ended(output: IO[bytes], code: int) -> str:
    if code == -signal.SIGKILL:
        return "was being read when the process was killed, most likely because memory ran out; make the model smaller"
    if code < 0:
        return (
            f"crashes the process that reads it ({signal.Signals(-code).name}), which can happen with a file of another"
            " release of a library; fit and save it again with the releases that run here"
        )
    output.seek(0)
    lines = output.read(1_000_000).decode(errors="replace").strip().splitlines()
    last = f": {lines[-1][:300]}" if lines else ""
    return f"ends the process that reads it (exit code {code}){last}; save the fitted model and nothing else"
