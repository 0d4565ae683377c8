"""Records in each version which job has trained it, so that a job that runs again after a crash finds its version."""

from __future__ import annotations

import json
from contextlib import suppress

from contract.model.repository import Repository
from contract.work.training import TrainingResult

JOB_FILE = "job.json"
"""The file beside the report: the id of the job, and its result before the alias moves."""


def job_file(job: str, result: TrainingResult) -> dict[str, bytes]:
    """Return the file that holds the result."""
    return {JOB_FILE: json.dumps({"job": job, "result": result.to_json()}).encode()}


def result_of(repository: Repository, model: str, job: str) -> TrainingResult | None:
    """Return the result of the version that `job` has published, or None."""
    for version in reversed(repository.versions(model)):
        with suppress(OSError, ValueError, KeyError, TypeError):
            record = json.loads(repository.files(model, version).report(JOB_FILE))
            if record["job"] == job:
                return TrainingResult(**record["result"])
    return None
