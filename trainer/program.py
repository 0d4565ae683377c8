"""What the processes of the trainer do alike: logs, a watchdog, and answers about their health."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from runtime import logs
from runtime.health import serve_health
from runtime.liveness import Watchdog
from trainer.processes import hide_memory


class Program:
    """A process of the trainer, from its start on."""

    def __init__(self, *names: str) -> None:
        """`names` are those of its arguments besides the options of all."""
        hide_memory()
        logs.configure("trainer", sys.stdout)
        parser = argparse.ArgumentParser()
        for name in names:
            parser.add_argument(name)
        parser.add_argument("--health-socket", type=Path, metavar="PATH", help="for `python -m runtime.health PATH`")
        self.arguments = parser.parse_args()

    def watch(self, stuck_after: float, problems: Callable[[], Sequence[str]] = list) -> Callable[[], None]:
        """Return a function to call in each turn of the main loop. Without a call for `stuck_after` seconds, the
        process ends, and is started again. `problems` returns what is wrong, in sentences."""
        watchdog = Watchdog(stuck_after)
        if self.arguments.health_socket:
            serve_health(self.arguments.health_socket, lambda: [*watchdog.problems(), *problems()])
        return watchdog.beat
