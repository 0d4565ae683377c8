"""The trainer's job runners: trainings progress, end and are cancelled, and no process outlives its parent."""

from __future__ import annotations

import errno
import json
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from redis import Redis

from broker.sides.gateway.trainer_client import TrainerClient
from broker.sides.single_jobs import OwnedJob
from contract.errors import ModelgateError
from contract.retention import Retention
from contract.settings import Settings
from contract.work.jobs import Status
from contract.work.training import RepositoryAction, RepositoryCommand
from storage.models.done_jobs import DONE, DoneJobs
from tests.stacks.redis_process import RedisProcess
from tests.support import DEADLINE, SIGNER, gone, state_dir, until
from tests.trainer.recipes.recipes_of_tests import OUTPUT
from tests.trainer.trainers import TrainerHost, marked, trainer_host
from trainer.jobs.runner import TrainingRunner


@pytest.fixture
def here(redis: Redis, redis_url: str, tmp_path: Path) -> Iterator[TrainerHost]:
    with trainer_host(redis, redis_url, tmp_path) as host:
        yield host


def test_progress_moves_and_the_log_grows_while_a_training_runs(here: TrainerHost) -> None:
    here.trainer()
    training = here.train("steps")
    for number in range(3):
        until(lambda n=number: (training.read().progress or {}).get("phase") == f"step {n}", f"step {number}")
        training.says(f"at step {number}\n")
        (here.folder / "spool" / str(number)).touch()
    ended = training.ended()
    assert (ended.status, ended.output) == (Status.SUCCEEDED, OUTPUT)
    assert (ended.progress or {})["fraction"] == pytest.approx(2 / 3)
    assert training.log() == "at step 0\nat step 1\nat step 2\n"
    context = f"request_id={training.id} job_id={training.id} model=m"
    assert f"trainer: m: at step 2 {context}" in here.log
    until(lambda: f"trainer: the training succeeded {context}" in here.log, "the line of its end")


SOON = pytest.mark.parametrize("seconds", [DEADLINE, pytest.param(2, marks=pytest.mark.slow)])
"""A trainer needs less than two seconds, unless the machine is busy."""


@SOON
def test_a_running_training_is_cancelled_with_its_children(here: TrainerHost, seconds: float) -> None:
    trainer = here.trainer()
    training = here.train("sleep", upload="data.upload")
    (here.folder / "spool" / "data.upload").touch()
    training.says("sleeps beside")
    family = trainer.family()
    assert len(family) == 4  # the reaper, the template, the training, its child
    training.jobs.cancel(training.id)
    until(lambda: gone(family), "all of it is gone", seconds)
    until(lambda: not (here.folder / "spool" / "data.upload").exists(), "its file is gone")
    assert training.read().status is Status.CANCELED


def test_a_training_leaves_no_process_behind_and_finds_no_secret_in_its_environment(
    here: TrainerHost, tmp_path: Path
) -> None:
    here.environment |= {"RECIPE_STORE": "/data", "PASSWORD": "hunter2"}
    here.trainer()
    training = here.train("scatter", mark=str(tmp_path / "mark"))
    assert training.ended().status is Status.SUCCEEDED
    assert marked(tmp_path / "mark") == []
    environment = json.loads(training.log())
    assert environment["RECIPE_STORE"] == "/data"
    assert not environment.keys() & {"PASSWORD", "REDIS_URL", "MODELS_DIR"}


@pytest.mark.slow
def test_trainings_share_a_template_that_ends_when_there_are_none(here: TrainerHost) -> None:
    trainer = here.trainer(KEEP_TEMPLATE=5)

    def templates() -> list[psutil.Process]:
        """Their reapers."""
        return psutil.Process(trainer.process.pid).children()

    first, second = here.train("steps"), here.train("sleep")
    first.says("at step 0")
    kept = templates()
    for number in range(3):
        (here.folder / "spool" / str(number)).touch()
    assert first.ended().status is Status.SUCCEEDED
    second.says("sleeps beside")
    assert templates() == kept and len(kept) == 1
    second.jobs.cancel(second.id)
    until(lambda: gone(kept), "the template ends")
    assert here.train("count", deaths=0).ended().status is Status.SUCCEEDED


def test_a_training_that_hangs_in_c_code_fails_after_its_time(here: TrainerHost) -> None:
    trainer = here.trainer(TRAIN_TIMEOUT=1)
    training = here.train("hang")
    error = training.ended().error
    assert error and (error.code, "TRAIN_TIMEOUT" in error.message) == ("timeout", True)
    assert gone(trainer.family())


@pytest.mark.slow
def test_a_training_that_takes_too_much_memory_fails_with_that_reason(here: TrainerHost) -> None:
    here.trainer(TRAIN_MEMORY_MB=300)
    error = here.train("eat").ended().error
    assert error and (error.code, "TRAIN_MEMORY_MB" in error.message) == ("out_of_memory", True)


def test_a_training_that_dies_fails_with_the_signal_or_exit_code(here: TrainerHost) -> None:
    here.trainer()
    killed, left = here.train("die", signal=int(signal.SIGSEGV)), here.train("leave")
    error = killed.ended().error
    assert error and (error.code, "signal 11" in error.message) == ("trainer_crashed", True)
    assert killed.log() == "the last word\n"
    error = left.ended().error
    assert error and (error.code, "exit code 3" in error.message) == ("trainer_crashed", True)


@pytest.mark.slow
def test_a_training_that_raises_fails_with_its_reason(here: TrainerHost) -> None:
    here.trainer()
    trainings = {how: here.train("fail", how=how) for how in ("data", "code", "")}
    reasons = {
        "data": ("no_data", "no rows"),
        "code": ("not_trusted", "no key"),
        "": ("training_failed", "ValueError: it hurts"),
    }
    for how, training in trainings.items():
        error = training.ended().error
        assert error and (error.code, error.message) == reasons[how]
        assert training.log().endswith(f"failed: {error.message}\n")
        assert ("Traceback" in training.log()) is (how == "")


def test_a_training_that_cannot_be_started_fails_with_the_cause(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("trainer.forks.TemporaryFile", no_room)
    execution = TrainingRunner(Settings(redis_url=redis_url, state_dir=state_dir(tmp_path))).start(
        OwnedJob("1", {}, 0, 0)
    )
    failure = until(execution.poll, "it ends")
    assert failure.code == "training_failed"
    assert failure.message == "its process cannot be started (No space left on device); try again"


def test_a_reason_that_is_not_unicode_is_reported(here: TrainerHost) -> None:
    here.trainer()
    error = here.train("fail", how="half").ended().error
    assert error and (error.code, error.message) == ("no_data", "half a ? character")


@pytest.mark.slow
def test_a_training_that_never_stops_printing_is_not_blocked_and_keeps_only_the_end_of_its_log(
    here: TrainerHost,
) -> None:
    here.trainer()
    training = here.train("talk")
    assert training.ended().status is Status.SUCCEEDED
    assert training.log().endswith(f"line 29999 {'x' * 40}\n")
    assert len(training.log()) <= 1_048_576


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("not JSON\n", 1),
        ("[1]\n", 1),
        ('{"failure": {}}\n', 1),
        ('{"output": 1}\n', 1),
        ("\xff\n", 1),
        ("x", 2_000_000),
    ],
)
def test_a_training_that_writes_rubbish_to_its_report_pipe_fails_alone(
    here: TrainerHost, text: str, times: int
) -> None:
    here.trainer()
    error = here.train("scribble", text=text, times=times).ended().error
    assert error and (error.code, "a report that cannot be read" in error.message) == ("training_failed", True)
    assert "ended with" not in here.log


@pytest.mark.slow
def test_a_thread_that_a_training_leaves_delays_its_end_by_seconds_only(here: TrainerHost) -> None:
    here.trainer()
    assert here.train("linger").ended().status is Status.SUCCEEDED


@SOON
def test_kill_9_of_a_trainer_kills_its_training_and_another_trainer_starts_it_again(
    here: TrainerHost, seconds: float
) -> None:
    first = here.trainer(LEASE=5)
    training = here.train("count", deaths=1)
    training.says("began")
    family = first.family()
    first.kill()
    until(lambda: gone(family), "nothing is left of it", seconds)
    here.trainer(LEASE=5)
    assert training.ended().status is Status.SUCCEEDED
    assert training.log() == "began\nthe trainer died during this training, which now starts again\nbegan\n"


@pytest.mark.slow
def test_sigterm_puts_a_training_back_into_its_queue_without_a_death(here: TrainerHost) -> None:
    training = here.train("count", deaths=3)
    for begun in (1, 2, 3):
        trainer = here.trainer()
        until(lambda n=begun: training.log().count("began\n") == n, f"it was begun {begun} times")
        family = trainer.family()
        assert trainer.stop() == 0
        assert gone(family)
        assert training.read().status is Status.QUEUED
    here.trainer()
    assert training.ended().status is Status.SUCCEEDED


@pytest.mark.slow
def test_a_training_outlives_its_redis(tmp_path: Path) -> None:
    with RedisProcess(tmp_path) as server, trainer_host(server.connect(), server.url, tmp_path) as here:
        here.trainer()
        training = here.train("steps")
        training.says("at step 0\n")
        server.stop()
        for number in range(3):
            (tmp_path / "spool" / str(number)).touch()
        until(lambda: "lost Redis" in here.log, "the trainer notices")
        server.start()
        assert training.ended().status is Status.SUCCEEDED
        assert training.log() == "at step 0\nat step 1\nat step 2\n"
        until(lambda: "has Redis again" in here.log, "the trainer says so")
        assert "Traceback" not in here.log and here.log.count("lost Redis") == 1


def test_a_training_that_succeeded_is_not_run_again_by_another_trainer(here: TrainerHost) -> None:
    first = here.trainer()
    training = here.train("count", deaths=0)
    signed: Any = here.redis.hgetall(f"rq:job:{training.id}")
    assert b"signature" in signed
    assert training.ended().status is Status.SUCCEEDED
    until((here.done / training.id).exists, "it is noted")
    first.kill()
    here.redis.delete(f"rq:job:{training.id}")
    here.redis.hset(f"rq:job:{training.id}", mapping={**signed, b"status": b"queued"})
    here.redis.rpush("rq:queue:training", training.id)
    here.trainer()
    until(lambda: training.read().status is Status.FAILED, "it is refused")
    assert f"trainer: training: '{training.id}': not_trusted: the job is refused: it has run" in here.log
    assert (here.folder / "spool" / "begun").read_text() == "."


def test_the_record_of_a_job_is_removed_after_its_signature_has_expired(tmp_path: Path) -> None:
    done = DoneJobs(tmp_path)
    done.sweep(Retention.done_jobs)
    for name, days in (("a" * 32, 29), ("b" * 32, 34)):
        done.add(name)
        os.utime(tmp_path / DONE / name, (time.time() - days * 86_400,) * 2)
    done.sweep(Retention.done_jobs)
    assert ["a" * 32 in done, "b" * 32 in done] == [True, False]


# Repository commands


@pytest.mark.usefixtures("patient_callers")
def test_commands_run_in_parallel_and_finish_before_a_stop(here: TrainerHost) -> None:
    trainer = here.trainer("publishing", STOP_GRACE=60)
    trainings = TrainerClient(here.redis, SIGNER, timeout=1, result_ttl=60)
    until(lambda: here.redis.scard("mg:trainers"), "the trainer is there")
    with ThreadPoolExecutor(1) as pool:
        moved = pool.submit(trainings.run_command, RepositoryCommand(RepositoryAction.MOVE_ALIAS, "m"), DEADLINE)
        until(lambda: here.redis.zcard("rq:wip:publishing"), "it is begun")
        rolled_back = trainings.run_command(RepositoryCommand(RepositoryAction.ROLL_BACK, "m"), DEADLINE)
        assert rolled_back == {"done": True}
        assert not moved.done()
        trainer.process.terminate()
        (here.folder / "spool" / "go").touch()
        assert trainer.process.wait(DEADLINE) == 0
        assert moved.result() == {"slow": True}


@pytest.mark.usefixtures("patient_callers")
def test_a_failed_command_reports_the_cause(here: TrainerHost) -> None:
    here.trainer("publishing", ALLOW_UPLOAD=1)
    trainings = TrainerClient(here.redis, SIGNER, timeout=1, result_ttl=60)
    until(lambda: here.redis.scard("mg:trainers"), "the trainer is there")
    with pytest.raises(ModelgateError, match="never") as raised:
        trainings.run_command(RepositoryCommand(RepositoryAction.DELETE_ALIAS, "m"), DEADLINE)
    assert raised.value.failure.details == {"why": "because"}
    with pytest.raises(ModelgateError, match="is not a file of SPOOL_DIR"):
        trainings.run_command(RepositoryCommand(RepositoryAction.IMPORT, "m"), DEADLINE)
