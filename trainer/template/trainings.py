"""`python -m trainer.template.trainings CONTROL`, started by `trainer.forks`: the template of trainings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

import trainer.training.train  # noqa: F401 - each training finds it imported
from trainer.forks import ForkTask
from trainer.jobs import training_main
from trainer.template import file_tasks, process


def _train(answer: IO[str], job: Mapping[str, Any]) -> None:
    training_main.main(answer, job, lambda: process.fork_template(file_tasks.TASKS, closed=[answer.fileno()]))


if __name__ == "__main__":
    process.main({ForkTask.TRAIN: _train})
