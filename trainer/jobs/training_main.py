"""`python -m trainer.jobs.training_main REPORTS`: the process of one training.

It reads the job's payload and the settings from stdin. REPORTS is a file descriptor: it writes a line of JSON there for
each progress, and a last one with the output or the failure.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import traceback
from collections.abc import Mapping
from typing import Any

from broker.link.connection import connect
from contract.errors import Code, Failure, ModelgateError
from contract.settings import Settings
from contract.work.training import Progress, TrainingRequest
from runtime.limits import limit_memory
from trainer.console import print_line
from trainer.processes import hide_memory
from trainer.publishing import promotion
from trainer.publishing.promotion import Promote
from trainer.recipe import Log
from trainer.training.phases import ReportProgress

NICE = 15
"""The niceness of a training: serving goes first on a shared machine."""


def train(
    payload: Mapping[str, Any],
    settings: Settings,
    report_progress: ReportProgress,
    log: Log,
    promote: Promote,
    job: str,
) -> dict[str, Any]:
    """Return the output of a training job. Raises what `trainer.training.train` raises."""
    from trainer.training.train import train  # after the limits are set: scikit-learn takes memory, too

    request = TrainingRequest.from_json(payload)
    return train(request, settings, report_progress, log, promote, job=job).to_json()


def outcome(payload: Mapping[str, Any], job: str, settings: Settings, reports: int) -> Mapping[str, Any]:
    """Return the last report: `output` or `failure`. A traceback goes into the log."""
    connection = connect(settings.redis_url)
    promote = functools.partial(promotion.promote, settings, connection)

    def report_progress(progress: Progress) -> None:
        report(reports, {"progress": progress.to_json()})

    try:
        return {"output": train(payload, settings, report_progress, print_line, promote, job)}
    except MemoryError:
        code, message = Code.OUT_OF_MEMORY, f"the training needs more than {settings.train_memory_mb} MB"
        return _failure(code, f"{message} (TRAIN_MEMORY_MB); give it fewer rows or columns, or more memory")
    except ModelgateError as error:
        return {"failure": error.failure.to_json()}
    except Exception as error:
        traceback.print_exc()
        return _failure(Code.TRAINING_FAILED, f"{type(error).__name__}: {error}")


def _failure(code: Code, message: str) -> Mapping[str, Any]:
    return {"failure": Failure(code, message[:2000]).to_json()}


def report(descriptor: int, message: Mapping[str, Any]) -> None:
    # An exception's text may hold lone surrogates, which UTF-8 cannot.
    rest = memoryview(json.dumps(message, ensure_ascii=False).encode(errors="replace") + b"\n")
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def main(reports: int) -> None:
    hide_memory()
    os.nice(NICE)
    os.set_inheritable(reports, False)
    job = json.load(sys.stdin)
    settings = Settings.from_environ(job["settings"])
    limit_memory(settings.train_memory_mb)
    last = outcome(job["payload"], job["id"], settings, reports)
    report(reports, last)
    if "failure" in last:
        print_line(f"failed: {last['failure']['message']}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
