"""Examines a file in the throwaway process: limits the process, and writes the answer."""

from __future__ import annotations

import json
import resource
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from contract.settings import MB
from runtime.limits import limit_memory, prefer_for_oom_kill
from scoring.artifacts import library_versions
from trainer.importing import LivesElsewhere, Refused
from trainer.importing.edits.signature_trial import try_edit
from trainer.importing.import_process import ARTIFACT, CODE, FILE, SAMPLE, ImportTask, SignatureEdit
from trainer.importing.trial.examine import examine


def main(answer_file: IO[str], arguments: Mapping[str, Any]) -> None:
    """Examine the file in `arguments["folder"]` as `arguments["task"]` asks, and write the answer as JSON."""
    folder, task = Path(arguments["folder"]), ImportTask(**arguments["task"])
    _limit(task)
    rows = folder / SAMPLE if task.sample_sha256 else None
    code = folder / CODE if task.code_sha256 else None
    try:
        if task.edit is None:
            hashes = (task.sha256, task.sample_sha256, code, task.code_sha256)
            known = (task.nulls, task.columns, task.elsewhere, task.target)
            examined = examine(task.name, folder / FILE, rows, *hashes, *known)
        else:
            examined = try_edit(folder / FILE, SignatureEdit.from_json(task.edit))
        if examined.artifact is not None:
            (folder / ARTIFACT).write_bytes(examined.artifact)
        answer: Mapping[str, Any] = {
            "draft": examined.draft.dumps(),
            "sha256": examined.sha256,
            "facts": examined.facts,
            "background": examined.background,
            "libraries": library_versions(),
        }
    except LivesElsewhere as found:
        answer = {"environment": found.environment}
    except Refused as refused:
        answer = {"refused": str(refused)}
    except MemoryError:
        answer = {
            "refused": f"needs more than the {task.memory_mb} MB that a scorer may take (SCORER_MEMORY_MB);"
            " make the model smaller, or raise it"
        }
    answer_file.write(f"{json.dumps(answer)}\n")  # the line end marks the answer as complete


def _limit(task: ImportTask) -> None:
    signal.alarm(task.seconds + 1)  # the trainer gives up first and says why
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    most = task.file_mb * MB
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    prefer_for_oom_kill(1000)
    limit_memory(task.memory_mb)
