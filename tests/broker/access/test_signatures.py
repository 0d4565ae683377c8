"""The trainer runs each job that a gateway signed, once, and refuses all other jobs."""

from __future__ import annotations

import json
import re
import stat
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from redis import Redis
from rq import Queue
from rq.job import Job as RQJob
from rq.serializers import JSONSerializer

from broker.access.signatures import Signer
from broker.records.job_kinds import REPOSITORY_COMMAND, TRAINING, JobKind
from broker.records.lease_groups import TRAINERS
from broker.sides.gateway.job_client import Jobs
from broker.sides.gateway.trainer_client import TrainerClient
from broker.sides.single_jobs import SingleJobs
from broker.sides.supervisor import Leases
from broker.state.schedules import KEY, Schedules
from contract.errors import Failure, ModelgateError, SettingsError
from contract.settings import Settings
from contract.work.training import RepositoryAction, RepositoryCommand, TrainingRequest
from tests.broker.samples import read
from tests.support import SECRET, SIGNER, state_dir

REQUEST = TrainingRequest("loan", "loan", parameters={"depth": 3})
OTHER = Signer([b"6" * 64])
heard: list[tuple[str, Failure]] = []


def trainer(redis: Redis, kind: JobKind = TRAINING, signer: Signer = SIGNER, done: tuple[str, ...] = ()) -> SingleJobs:
    Leases(redis, group=TRAINERS).register("t-0-x", queues=[kind.queue])
    heard.clear()
    return SingleJobs(
        redis,
        "t-0-x",
        kind,
        signer,
        done=done,
        on_refused=lambda *told: heard.append(told),
    )


def refusal(jobs: Jobs, job_id: str) -> str:
    """Return why a training failed with `not_trusted`."""
    error = read(jobs, job_id).error
    assert error and error.code == "not_trusted"
    assert heard == [(job_id, error)]
    return error.message


def test_an_unsigned_job_is_refused(redis: Redis, jobs: Jobs) -> None:
    queue = Queue(TRAINING.queue, connection=redis, serializer=JSONSerializer)
    job_id = queue.enqueue(TRAINING.function, REQUEST.to_json()).id
    assert trainer(redis).begin([]) is None
    assert "no gateway with this trainer's secret signed it; give gateway and trainer the same" in refusal(jobs, job_id)


def change(redis: Redis, job_id: str) -> str:
    other = REQUEST.to_json() | {"path": "../../etc/passwd"}
    redis.hset(f"rq:job:{job_id}", "data", json.dumps([TRAINING.function, None, [other], {}]))
    return job_id


def rename(redis: Redis, job_id: str) -> str:
    redis.rename(f"rq:job:{job_id}", f"rq:job:{'f' * 32}")
    redis.lset(f"rq:queue:{TRAINING.queue}", 0, "f" * 32)
    return "f" * 32


def postpone(redis: Redis, job_id: str) -> str:
    until, _, signature = (redis.hget(f"rq:job:{job_id}", "signature") or b"").decode().partition(".")
    redis.hset(f"rq:job:{job_id}", "signature", f"{int(until) + 1}.{signature}")
    return job_id


def no_text(redis: Redis, job_id: str) -> str:
    redis.hset(f"rq:job:{job_id}", "signature", b"\xff.\xff")
    return job_id


@pytest.mark.parametrize("forge", [change, rename, postpone, no_text])
def test_a_signature_is_valid_for_its_own_job_alone(
    trainings: TrainerClient, redis: Redis, jobs: Jobs, forge: Callable[[Redis, str], str]
) -> None:
    job_id = forge(redis, trainings.submit(REQUEST).id)
    assert trainer(redis).begin([]) is None
    refusal(jobs, job_id)


def test_a_training_cannot_run_as_a_command(trainings: TrainerClient, redis: Redis) -> None:
    job_id = trainings.submit(REQUEST).id
    redis.rename(f"rq:queue:{TRAINING.queue}", f"rq:queue:{REPOSITORY_COMMAND.queue}")
    redis.hset(f"rq:job:{job_id}", "origin", REPOSITORY_COMMAND.queue)
    assert trainer(redis, REPOSITORY_COMMAND).begin([]) is None
    assert [failure.code for _, failure in heard] == ["not_trusted"]


def test_a_command_runs_only_while_its_caller_may_wait(redis: Redis) -> None:
    trainings = TrainerClient(redis, SIGNER, timeout=1, result_ttl=60)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(
            trainings.run_command, RepositoryCommand(RepositoryAction.MOVE_ALIAS, "loan", "current", 2), 30
        )
        trainer_queue = trainer(redis, REPOSITORY_COMMAND)
        while not (begun := trainer_queue.begin([])):
            trainer_queue.wait_for_work(1)
        record = redis.hgetall(f"rq:job:{begun.id}")
        trainer_queue.finish(begun.id, {})
        assert answer.result() == {}
    for minutes, obeyed in ((1, True), (5, False)):
        redis.delete(f"rq:job:{begun.id}")
        redis.hset(f"rq:job:{begun.id}", mapping={**record, "status": "queued"})
        redis.rpush(f"rq:queue:{REPOSITORY_COMMAND.queue}", begun.id)
        later = Signer([SECRET.encode()], clock=lambda m=minutes: time.time() + 60 * m)  # type: ignore[misc]
        trainer_queue = trainer(redis, REPOSITORY_COMMAND, later)
        again = trainer_queue.begin([])
        assert (again is not None) is obeyed
        trainer_queue.finish(begun.id, {})
    assert "its signature ended at 20" in heard[0][1].message


def test_a_job_that_has_run_does_not_run_again(trainings: TrainerClient, redis: Redis, jobs: Jobs) -> None:
    job_id = trainings.submit(REQUEST).id
    assert trainer(redis, done=(job_id,)).begin([]) is None
    assert "it has run already" in refusal(jobs, job_id)


def test_a_job_that_decompresses_to_too_many_bytes_is_refused(
    trainings: TrainerClient, redis: Redis, jobs: Jobs
) -> None:
    job_id = trainings.submit(REQUEST).id
    redis.hset(f"rq:job:{job_id}", "data", zlib.compress(b" " * 50_000_000))
    assert trainer(redis).begin([]) is None
    assert "more than 32000000 bytes" in read(jobs, job_id).error.message  # type: ignore[union-attr]


# Schedules


def due(redis: Redis, model: str = "loan") -> RQJob:
    """Return the run that waits."""
    job_id = json.loads(redis.hget(KEY, model) or "{}")["job"]
    return RQJob.fetch(job_id, connection=redis, serializer=JSONSerializer)


def test_a_run_of_a_schedule_is_signed(schedules: Schedules, redis: Redis) -> None:
    schedules.put("loan", "0 3 * * 1", REQUEST)
    for _ in range(2):
        job = due(redis)
        Queue(TRAINING.queue, connection=redis, serializer=JSONSerializer)._enqueue_job(job)
        trainer_queue = trainer(redis)
        begun = trainer_queue.begin([])
        assert begun and (begun.id, begun.payload) == (job.id, REQUEST.to_json())
        trainer_queue.finish(job.id, {})
        redis.zrem("rq:scheduled:training", job.id)
        schedules.advance()  # which makes the next
        assert due(redis).id != job.id


@pytest.mark.parametrize(
    "forged",
    [
        {"cron": "* * * * *"},
        {"request": REQUEST.to_json() | {"path": "../secret.csv"}},
        {"signature": ""},
        {"signature": None},
        {"request": None},
    ],
)
def test_an_unsigned_schedule_never_runs(schedules: Schedules, redis: Redis, forged: dict[str, object]) -> None:
    made = schedules.put("loan", "0 3 * * 1", REQUEST)
    redis.delete("rq:scheduled:training", f"rq:job:{made.job}")
    redis.hset(KEY, "loan", json.dumps(made.to_json() | forged))
    redis.hset(KEY, "iris", json.dumps(made.to_json()))  # signed for another model
    redis.hset(KEY, "deep", "[" * 100_000)
    told: list[str] = []
    schedules.advance(told.append)
    assert sorted(told) == ["deep", "iris", "loan"]
    assert not redis.exists("rq:scheduled:training")


def test_a_new_secret_replaces_the_old_one_step_by_step(
    schedules: Schedules, trainings: TrainerClient, redis: Redis
) -> None:
    job_id, made = trainings.submit(REQUEST).id, schedules.put("loan", "0 3 * * 1", REQUEST)
    both = Signer([b"6" * 64, SECRET.encode()])
    begun = trainer(redis, signer=both).begin([])
    assert begun and begun.id == job_id
    redis.zrem("rq:scheduled:training", made.job)
    Schedules(redis, both, timeout=600, result_ttl=60).advance()
    redis.zrem("rq:scheduled:training", due(redis).id)
    Schedules(redis, OTHER, timeout=600, result_ttl=60).advance(pytest.fail)
    assert redis.zcard("rq:scheduled:training") == 1


# The secret


def test_the_secret_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path / "state")
    with ThreadPoolExecutor(8) as pool:
        signers = list(pool.map(lambda _: Signer.from_settings(settings), range(8)))
    assert len({signer.sign_schedule("m", "* * * * *", {}) for signer in signers}) == 1
    (path,) = (tmp_path / "state" / "shared").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert re.fullmatch(r"[0-9a-f]{64}\n", path.read_text())


@pytest.mark.parametrize("text", ["", "\n", "short", f"{SECRET}\nshort"])
def test_a_short_secret_is_refused(tmp_path: Path, text: str) -> None:
    settings = Settings(state_dir=state_dir(tmp_path))
    settings.trainer_secret_path.write_text(text)
    with pytest.raises(SettingsError, match=r"/trainer.secret, .* has a secret of less than 32 characters, or none"):
        Signer.from_settings(settings)


def test_machines_without_a_common_folder_are_given_the_secret(tmp_path: Path) -> None:
    new, old = "n" * 32, "o" * 32
    gateway, trainer = Settings(state_dir=tmp_path, trainer_secret=f"{new} {old}"), Settings(trainer_secret=old)
    until = time.time() + 9
    signature = Signer.from_settings(trainer).sign_job("training", "a", b"x", until)
    Signer.from_settings(gateway).check_job("training", "a", b"x", signature)
    assert not list(tmp_path.iterdir())
    with pytest.raises(SettingsError, match="TRAINER_SECRET has a secret of less than 32 characters"):
        Signer.from_settings(Settings(trainer_secret=f"{new} short"))


def test_an_unreadable_secret_is_named(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path)
    settings.trainer_secret_path.mkdir(parents=True)
    with pytest.raises(
        SettingsError, match=r"/trainer.secret, cannot be read or created \(Is a directory\); set STATE_"
    ):
        Signer.from_settings(settings)


def test_different_jobs_have_different_signatures() -> None:
    def refused(queue: str, job_id: str, text: bytes) -> bool:
        with pytest.raises(ModelgateError) as raised:
            SIGNER.check_job(queue, job_id, text, signature)
        return raised.value.failure.code == "not_trusted"

    signature = SIGNER.sign_job("training", "a", b"x", time.time() + 9)
    SIGNER.check_job("training", "a", b"x", signature)
    assert refused("training", "b", b"x") and refused("publishing", "a", b"x") and refused("training", "a", b"y")
