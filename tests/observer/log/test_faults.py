"""Neither a kill nor a full disk loses or repeats a row of the log."""

from __future__ import annotations

import errno
import itertools
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from redis import Redis

from broker.sides.gateway.job_client import Jobs
from broker.state.prediction_log import LOG
from observer.log import store as log_store
from observer.log.deletion import Deletions
from observer.log.intake import Intake
from observer.log.store import LogStore
from observer.log.upkeep import merge
from tests.observer.conftest import YESTERDAY, predict, rows_of
from tests.observer.log.files import add_file, jobs_in, opened
from tests.support import Sum, numbers, write_version
from worker.scorer import Scorer

STEPS = {"os.rename", "os.remove", "os.rmdir", "os.mkdir"}
"""Events of `sys.audit` before which a process is killed."""


def killed_before(step: int, work: Callable[[], object]) -> bool:
    """Do `work` in a process that kills itself before this step with files; returns whether it had as many."""
    child = os.fork()
    if child == 0:
        steps = itertools.count()

        def kill(event: str, _: Any) -> None:
            if event in STEPS and next(steps) == step:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(kill)
        try:
            work()
            os._exit(0)
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or status == 0
    return os.WIFSIGNALED(status)


def merges(folder: Path) -> None:
    """Add and merge twice, so that a change follows one of the same kind."""
    with opened(folder) as store:
        for jobs in (["c"], ["d", "e"]):
            add_file(store, YESTERDAY, jobs)
            merge(store)


def deletes(folder: Path) -> None:
    with opened(folder) as store:
        for identity in ("Erika", "Max"):
            Deletions(store).delete("sum", identity, None)


@pytest.mark.slow
def test_a_kill_at_any_step_of_a_merge_leaves_each_row_once(tmp_path: Path) -> None:
    logged = 0
    for step in itertools.count():
        folder = tmp_path / str(step)
        with opened(folder) as store:
            for job in ("a", "b"):
                add_file(store, YESTERDAY, [job])
        killed = killed_before(step, lambda folder=folder: merges(folder))  # type: ignore[misc]
        with opened(folder) as store:
            jobs = jobs_in(folder)
            assert jobs in (["a", "b"], ["a", "b", "c"], ["a", "b", "c", "d", "e"]), f"step {step}"
            assert len(jobs) >= logged, "what was logged once stays"
            logged = len(jobs)
            merge(store)
            assert jobs_in(folder) == jobs
            assert [len(store.files(partition)) for partition in store.partitions()] == [1]
            assert [path.name for path in store.draft.iterdir()] == []
        if not killed:
            break
    assert logged == 5
    assert step > 10


@pytest.mark.slow
def test_a_kill_at_any_step_of_a_deletion_leaves_the_rows_of_others(tmp_path: Path) -> None:
    for step in itertools.count():
        folder = tmp_path / str(step)
        with opened(folder) as store:
            for number in range(2):
                for identity in ("Erika", "Max", "Eva"):
                    add_file(store, YESTERDAY, [f"{identity}-{number}"], identity=identity)
            merge(store)
            add_file(store, YESTERDAY, ["Eva-2"], identity="Eva")
        killed = killed_before(step, lambda folder=folder: deletes(folder))  # type: ignore[misc]
        with opened(folder):
            jobs = jobs_in(folder)
        erika, maxs, eva = ([job for job in jobs if job.startswith(name)] for name in ("Erika", "Max", "Eva"))
        assert eva == ["Eva-0", "Eva-1", "Eva-2"], f"step {step}"
        assert (len(erika), len(maxs)) in ((2, 2), (0, 2), (0, 0)), f"step {step}"
        if not killed:
            break
    assert jobs == ["Eva-0", "Eva-1", "Eva-2"]
    assert step > 10


def test_a_change_whose_files_have_not_moved_is_completed_at_the_start(folder: Path) -> None:
    with opened(folder) as store:
        paths = [add_file(store, YESTERDAY, [job]) for job in ("a", "b", "c")]
        with patch.object(store, "_complete", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
            merge(store)
        assert all(path.exists() for path in paths)
    with opened(folder) as store:
        assert jobs_in(folder) == ["a", "b", "c"]
        assert not any(path.exists() for path in paths)


@contextmanager
def disk_full_at(step: int) -> Iterator[list[str]]:
    """Fail one step that needs room on the disk; yields the steps that there were until now."""
    steps: list[str] = []

    def failing(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            steps.append(name)
            if len(steps) == step + 1:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(*arguments, **options)

        return call

    with (
        patch.object(log_store, "write", failing("write", log_store.write)),
        patch.object(log_store, "sync", failing("sync", log_store.sync)),
        patch.object(log_store, "_flush", failing("flush", log_store._flush)),
        patch.object(Path, "mkdir", failing("mkdir", Path.mkdir)),
        patch.object(Path, "replace", failing("replace", Path.replace)),
        patch.object(Path, "write_bytes", failing("write_bytes", Path.write_bytes)),
    ):
        yield steps


def test_a_disk_that_is_full_at_any_step_loses_and_repeats_no_row(
    jobs: Jobs, scorer: Scorer, redis: Redis, intake: Intake, store: LogStore, folder: Path, models: Path
) -> None:
    write_version(models, "sum", Sum(), numbers("a", "b"))
    answered = []
    for step in itertools.count():
        model, job = f"m{step}", f"j{step:03}"
        write_version(models, model, Sum(), numbers("a", "b"))  # its folders are made at this step
        for name in ("sum", model):
            predict(jobs, scorer, f"{job}-{name}", model=name)
            answered.append(f"{job}-{name}")
        full = False
        with disk_full_at(step) as steps:
            try:
                intake.run()
            except OSError as error:
                full = error.errno == errno.ENOSPC
        predict(jobs, scorer, f"{job}-later")
        answered.append(f"{job}-later")
        intake.run()
        assert jobs_in(folder) == sorted(answered), f"step {step}, after {steps}"
        assert redis.xlen(LOG) == 0
        if not full:
            break
    assert step == len(steps) > 10


def test_rows_whose_files_could_not_be_moved_are_there_for_the_next_question(
    jobs: Jobs, scorer: Scorer, intake: Intake, store: LogStore, models: Path
) -> None:
    write_version(models, "sum", Sum(), numbers("a", "b"))
    predict(jobs, scorer, "a")
    with (
        patch.object(store, "_complete", side_effect=OSError(errno.ENOSPC, "full")),
        pytest.raises(OSError, match="full"),
    ):
        intake.run()
    assert [row["job"] for row in rows_of(store)] == ["a"]


def test_a_merge_that_fails_leaves_no_draft(store: LogStore, folder: Path) -> None:
    for job in ("a", "b"):
        add_file(store, YESTERDAY, [job])
    with (
        patch.object(store, "_write_state", side_effect=OSError(errno.ENOSPC, "full")),
        pytest.raises(OSError, match="full"),
    ):
        merge(store)
    assert list(store.draft.iterdir()) == []
    merge(store)
    assert jobs_in(folder) == ["a", "b"]
