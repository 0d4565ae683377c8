"""What processes do alike that the template has forked."""

from __future__ import annotations

import os
import select
import signal
import warnings
from collections.abc import Callable
from contextlib import suppress

import numpy as np

from contract.settings import MB, Settings
from runtime.limits import limit_memory, prefer_for_oom_kill
from worker.activity import ActivityTable


def prepare(settings: Settings, oom_score: int) -> None:
    """Prepare this process for the code of models. The kernel ends those with a high `oom_score` first."""
    prefer_for_oom_kill(oom_score)
    limit_memory(settings.scorer_memory_mb)
    np.random.seed()  # all have inherited the state of the template
    # LightGBM gets arrays, which take less time, and would warn of each.
    warnings.filterwarnings("ignore", "X does not have valid feature names", UserWarning)


def compare_in_child(
    close: Callable[[], object], memory_mb: int, comparison: Callable[[], str | None], seconds: int = 30
) -> str | None:
    """Return what a comparison finds in a child of this process, which may ask no model. The child calls `close` first.
    One that dies or takes longer finds that the kernels cannot be compared."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            os.setpgid(0, 0)
            signal.alarm(seconds)  # this process may die first
            close()
            limit_memory(memory_mb)
            os.write(theirs, f"={comparison() or ''}".encode())
        os._exit(0)
    os.close(theirs)
    verdict = os.read(ours, 65_536) if select.select([ours], [], [], seconds)[0] else b""
    os.close(ours)
    with suppress(OSError):  # the template does not wait for its children
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
    why = "cannot be compared (the process that asked the model died, or took too long)"
    return verdict[1:].decode() or None if verdict else why


def stop_on_sigterm(stop: Callable[[], object]) -> None:
    """Call `stop` once the supervisor asks this process to end."""
    signal.signal(signal.SIGTERM, lambda *_: stop())
    # A process that a model forks has to end on SIGTERM as usual.
    os.register_at_fork(after_in_child=lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL))


def room_for_own_models(settings: Settings, activities: ActivityTable) -> int:
    """Return the bytes that the models of this process may take besides the shared ones."""
    shared = activities.shared_size(activities.template)
    left = max(0, settings.model_cache_mb * MB - shared) // len(activities.scorers)
    return min(left, settings.scorer_memory_mb * MB // 2) if settings.scorer_memory_mb else left
