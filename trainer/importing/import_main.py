"""The throwaway process: limits itself, examines the file, and writes its answer."""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contract.settings import MB
from runtime.limits import limit_memory, prefer_for_oom_kill
from trainer.importing import Refused
from trainer.importing.examine import examine
from trainer.importing.import_process import ARTIFACT, FILE, SAMPLE, ImportTask
from trainer.publishing.verify import RECIPES


def main() -> None:
    folder, answers = Path(sys.argv[1]), int(sys.argv[2])
    task = ImportTask.loads(sys.stdin.read())
    os.set_inheritable(answers, False)
    _limit(task)
    # A worker has no recipes, so a file that needs one must not load here either.
    sys.modules[RECIPES] = None  # type: ignore[assignment]
    rows = folder / SAMPLE if task.sample_sha256 else None
    try:
        examined = examine(task.name, folder / FILE, rows, task.sha256, task.sample_sha256)
        if examined.artifact is not None:
            (folder / ARTIFACT).write_bytes(examined.artifact)
        answer: Mapping[str, Any] = {
            "draft": examined.draft.dumps(),
            "sha256": examined.sha256,
            "facts": examined.facts,
        }
    except Refused as refused:
        answer = {"refused": str(refused)}
    except MemoryError:
        answer = {
            "refused": f"needs more than the {task.memory_mb} MB that a scorer may take (SCORER_MEMORY_MB);"
            " make the model smaller, or raise it"
        }
    with os.fdopen(answers, "w") as file:
        file.write(f"{json.dumps(answer)}\n")  # the line end marks the answer as complete


def _limit(task: ImportTask) -> None:
    signal.alarm(task.seconds)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    most = task.file_mb * MB
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    prefer_for_oom_kill(1000)
    limit_memory(task.memory_mb)
