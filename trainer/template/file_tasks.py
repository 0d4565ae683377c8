"""The tasks with files of users and with versions. Their libraries are imported here, once for all forks."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import IO, Any

from trainer.forks import ForkTask
from trainer.importing import import_main
from trainer.importing.inbox import sample_comparison
from trainer.publishing import asking, verify
from trainer.template.process import Task


def _as_in_a_worker(task: Task) -> Task:
    """Return the task without the recipes: a worker has none, so a file that needs one must not load here either."""

    def run(answer: IO[str], arguments: Mapping[str, Any]) -> None:
        recipes = [name for name in sys.modules if name.startswith(f"{verify.RECIPES}.")]
        sys.modules.update(dict.fromkeys([verify.RECIPES, *recipes]))  # type: ignore[arg-type]
        task(answer, arguments)

    return run


TASKS: Mapping[ForkTask, Task] = {
    ForkTask.EXAMINE: _as_in_a_worker(import_main.main),
    ForkTask.COMPARE: _as_in_a_worker(sample_comparison.main),
    ForkTask.VERIFY: _as_in_a_worker(verify.main),
    ForkTask.ASK: _as_in_a_worker(asking.main),
}
