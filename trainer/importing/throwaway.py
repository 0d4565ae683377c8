"""Has a file unpickled and tried in a process of its own, with limits, that is thrown away afterwards.

No sandbox: what a pickle does, it does as the trainer's user, with its files and its network. The limits are against
accidents.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract.errors import ModelgateError
from contract.manifest import ModelManifest
from trainer.importing import Refused
from trainer.processes import ONE_THREAD, PROJECT

FILE, SAMPLE, ARTIFACT, ANSWER = "file", "sample.csv", "artifact", "answer.json"
"""In the folder that this process shares with that one."""
_QUESTION, _SAID = "question.json", "said"

_MOST_ANSWER = 64_000_000


@dataclass(frozen=True)
class Question:
    """What to examine the folder's `FILE` (and `SAMPLE`) for: the model `name`, within these limits; 0 MB: none."""

    name: str
    seconds: int
    memory_mb: int
    file_mb: int

    def dumps(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def loads(cls, text: str) -> Question:
        return cls(**json.loads(text))


def ask(folder: Path, question: Question) -> tuple[ModelManifest, dict[str, Any] | None]:
    """The manifest as far as it is known, and the facts of a report, if there is one.

    What to publish lies in `FILE`, or in `ARTIFACT` if there is one.

    Raises `Refused`, and OSError.
    """
    (folder / _QUESTION).write_text(question.dumps())
    with (folder / _SAID).open("wb") as said:
        # In a group with the processes that it starts, so that none of them stays.
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "trainer.importing", str(folder.resolve())],
            cwd=PROJECT,
            env={**os.environ, **ONE_THREAD},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            process_group=0,
        )
        try:
            code = process.wait(question.seconds)
        except subprocess.TimeoutExpired:
            raise Refused(
                f"takes more than {question.seconds} s to load and to predict a few rows; make the model smaller"
            ) from None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return _answer(folder, code)


def _answer(folder: Path, code: int) -> tuple[ModelManifest, dict[str, Any] | None]:
    """What that process wrote is data, whoever wrote it."""
    try:
        if (folder / ANSWER).stat().st_size > _MOST_ANSWER:
            raise Refused("gives rise to a manifest that is too large; give fewer sample rows")
        answer = json.loads((folder / ANSWER).read_bytes())
        if "draft" in answer:
            return ModelManifest.loads(answer["draft"]), answer.get("facts")
        refused = str(answer["refused"])
    except FileNotFoundError:
        refused = _how_it_ended(folder, code)
    except (ValueError, KeyError, TypeError, ModelgateError) as error:
        refused = f"gives rise to a manifest that cannot be used ({error})"
    raise Refused(refused)


def _how_it_ended(folder: Path, code: int) -> str:
    if code == -signal.SIGKILL:
        return "was being read when the process was killed, most likely because memory ran out; make the model smaller"
    if code < 0:
        return (
            f"crashes the process that reads it ({signal.Signals(-code).name}), as files of another release of a"
            " library can; fit and save it again with the releases that run here"
        )
    lines = (folder / _SAID).read_text(errors="replace").strip().splitlines()
    last = f": {lines[-1][:300]}" if lines else ""
    return f"ends the process that reads it (exit code {code}){last}; save the fitted model and nothing else"
