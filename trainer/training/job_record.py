"""Records in each version which job has trained it, so that a job that runs again after a crash finds its version."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from contract.model.repository import Repository
from contract.work.training import TrainingResult

JOB_FILE = "job.json"
"""The file beside the report: the id of the job, and its result before the alias moves."""


def save_result(folder: Path, job: str, result: TrainingResult) -> None:
    """Raises OSError."""
    (folder / JOB_FILE).write_text(json.dumps({"job": job, "result": result.to_json()}))


def result_of(root: Path, model: str, job: str) -> TrainingResult | None:
    """Return the result of the version that `job` has published, or None."""
    repository = Repository(root)
    for version in reversed(repository.versions(model)):
        with suppress(OSError, ValueError, KeyError, TypeError):
            record = json.loads((repository.report_dir(model, version) / JOB_FILE).read_bytes())
            if record["job"] == job:
                return TrainingResult(**record["result"])
    return None
