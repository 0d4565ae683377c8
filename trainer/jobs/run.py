"""The process of one training: `python -m trainer.jobs.run REPORTS` with the job's payload and the settings on stdin.

REPORTS is a descriptor, to which it writes a line of JSON for each progress, and for its output or failure.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Mapping
from typing import Any

from broker.connection import connect
from contract.errors import Code, Failure, ModelgateError
from contract.settings import Settings
from contract.training import Progress, TrainingRequest
from runtime.limits import limit_memory
from trainer.processes import hide_memory
from trainer.publishing import swap
from trainer.publishing.swap import Promote
from trainer.recipe import Say
from trainer.service import say
from trainer.training.phases import Tell

NICE = 15
"""Training shares the machine with what serves, which goes first."""


def train(payload: Mapping[str, Any], settings: Settings, tell: Tell, say: Say, promote: Promote) -> dict[str, Any]:
    """The output of a training job. Raises what training raises."""
    from trainer.training.train import train  # within the limits: scikit-learn takes memory, too

    return train(TrainingRequest.from_json(payload), settings, tell, say, promote).to_json()


def outcome(payload: Mapping[str, Any], settings: Settings, reports: int) -> Mapping[str, Any]:
    """The last line of the reports: `output` or `failure`. A traceback goes where the log is."""
    connection = connect(settings.redis_url)

    def promote(model: str, version: int, alias: str) -> str | None:
        return swap.promote(settings, connection, model, version, alias)

    def tell(progress: Progress) -> None:
        report(reports, {"progress": progress.to_json()})

    try:
        return {"output": train(payload, settings, tell, say, promote)}
    except MemoryError:
        code, message = Code.OUT_OF_MEMORY, f"the training needs more than {settings.train_memory_mb} MB"
        return failed(code, f"{message} (TRAIN_MEMORY_MB); give it fewer rows or columns, or more memory")
    except ModelgateError as error:
        return {"failure": error.failure.to_json()}
    except Exception as error:
        traceback.print_exc()
        return failed(Code.TRAINING_FAILED, f"{type(error).__name__}: {error}")


def failed(code: Code, message: str) -> Mapping[str, Any]:
    return {"failure": Failure(code, message[:2000]).to_json()}


def report(descriptor: int, message: Mapping[str, Any]) -> None:
    # An exception's text may hold half a character, which Redis cannot.
    rest = memoryview(json.dumps(message, ensure_ascii=False).encode(errors="replace") + b"\n")
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def main(reports: int) -> None:
    hide_memory()
    os.nice(NICE)
    os.set_inheritable(reports, False)
    given = json.load(sys.stdin)
    settings = Settings.from_environ(given["settings"])
    limit_memory(settings.train_memory_mb)
    last = outcome(given["payload"], settings, reports)
    report(reports, last)
    if "failure" in last:
        say(f"failed: {last['failure']['message']}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
