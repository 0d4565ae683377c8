"""A kind of job is one entry of a table, and jobs that the release before has queued still run."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from broker import job_kinds, reading, scripts
from broker.gateway.jobs import Jobs
from broker.gateway.listing import JobFilter
from broker.job_kinds import JOB_KINDS, PREDICTION, REPOSITORY_COMMAND, TRAINING, JobKind
from broker.lease_groups import TRAINERS
from broker.reading import parse_reply
from broker.records import common_parts, job_data
from broker.scorer import BatchLimits, ScorerQueue
from broker.signatures import Signer
from broker.supervisor import Leases
from broker.trainer import Ownership, TrainerQueue
from broker.trainer_jobs import enqueue, make_job
from contract.errors import Failure
from contract.jobs import Job, Status, reply_channel
from contract.training import RepositoryAction, RepositoryCommand, TrainingRequest
from tests.broker.samples import job, outcome, read, take
from tests.support import SECRET, SIGNER, until


def read_export(data: Mapping[str, Any], kind: str, _: str) -> Job:
    return Job(
        kind=kind,
        model=data["subject"],
        version=None,
        output=data.get("result"),
        **common_parts(data, TRAINERS.crashed),
    )


@pytest.fixture
def export() -> Iterator[JobKind]:
    """A fourth kind, which nothing but its entry knows."""
    kind = JobKind(
        "export", "export", "modelgate.export", TRAINERS, logged=True, fields={"subject": str}, read=read_export
    )
    derived = (job_kinds.kind_of, reading.job_fields, scripts.source)
    JOB_KINDS[kind.name] = kind
    for function in derived:
        function.cache_clear()
    yield kind
    del JOB_KINDS[kind.name]
    for function in derived:
        function.cache_clear()


def submitted(redis: Redis, kind: JobKind, subject: str = "loan") -> str:
    made = make_job(redis, kind, {"path": "out.csv"}, "an export", timeout=60, result_ttl=60)
    enqueue(redis, SIGNER, kind, made, ttl=60, start_timeout=60)
    redis.hset(made.key, "subject", subject)
    return made.id


def test_a_new_kind_needs_an_entry_and_nothing_else(redis: Redis, jobs: Jobs, export: JobKind) -> None:
    leases, channel = Leases(redis, group=TRAINERS), reply_channel("x")
    leases.register("t-0-x", queues=[export.queue])
    queue = TrainerQueue(redis, "t-0-x", export, SIGNER)
    finished, failed, canceled = (submitted(redis, export) for _ in range(3))
    assert redis.zcard("mg:deadlines:trainer") == 3

    with redis.pubsub(ignore_subscribe_messages=True) as subscription:
        subscription.subscribe(channel)
        until(lambda: redis.pubsub_numsub(channel)[0][1], "the subscription")
        assert jobs.wait([finished], channel) == {}
        queue.wait_for_work(1)
        begun = queue.begin([])
        assert begun and (begun.id, begun.payload) == (finished, {"path": "out.csv"})
        assert queue.report_progress(finished, None, b"one\n", 0) is Ownership.MINE
        assert read(jobs, finished).status is Status.RUNNING
        assert queue.finish(finished, {"rows": 3})
        message = until(lambda: subscription.get_message(timeout=0.1), "the message")
    assert parse_reply(message["data"]) == [(finished, None)]
    assert 0 < redis.ttl(f"mg:log:{finished}") <= 60

    assert queue.begin([])
    queue.finish(failed, Failure("export_failed", "the disk is full"))
    cancellation = jobs.cancel(canceled)
    assert cancellation and cancellation[0]
    leases.expire()
    leases.reconcile()
    assert redis.smembers("rq:workers:export") == {b"rq:worker:t-0-x"}
    assert redis.zcard("mg:deadlines:trainer") == 0

    ended = read(jobs, finished)
    assert (ended.kind, ended.model, ended.status, ended.output) == ("export", "loan", Status.SUCCEEDED, {"rows": 3})
    assert read(jobs, failed).error == Failure("export_failed", "the disk is full")
    assert [one.id for one in jobs.list().items] == [canceled, failed, finished]
    assert jobs.list(JobFilter(model="iris")).items == []


def test_a_new_kind_survives_the_death_of_its_process(redis: Redis, jobs: Jobs, export: JobKind) -> None:
    leases, job_id = Leases(redis, group=TRAINERS), submitted(redis, export)
    for became in ("queued", "failed"):
        leases.register("t-0-x", queues=[export.queue])
        assert TrainerQueue(redis, "t-0-x", export, SIGNER).begin([])
        assert leases.give_back("t-0-x", scored=None) == {job_id: became}
    assert read(jobs, job_id).error == TRAINERS.crashed


@pytest.mark.parametrize("owner", ["", "risk", "a.b-c_d"])
def test_the_queue_of_a_prediction_names_its_model_and_its_owner(owner: str) -> None:
    queue = PREDICTION.queue_of("loan", owner)
    assert (PREDICTION.model_of(queue), PREDICTION.owner_of(queue)) == ("loan", owner)
    assert PREDICTION.owns(queue)
    assert TRAINING.queue_of("loan", owner) == TRAINING.queue


def test_no_two_kinds_share_a_queue_or_a_function() -> None:
    kinds = JOB_KINDS.values()
    for kind in kinds:
        assert [other for other in kinds if other.owns(kind.queue_of("loan"))] == [kind]
    functions = [function for kind in kinds for function in kind.functions]
    assert len(functions) == len(set(functions))


# The release before

QUEUED = json.loads(Path(__file__).with_name("jobs-of-0.2.json").read_text(encoding="latin-1"))
"""Hashes of jobs as 0.2 queued them, by kind; characters up to U+00FF stand for bytes."""


@pytest.fixture
def queued(redis: Redis, jobs: Jobs) -> dict[str, str]:
    """Puts these jobs into Redis as 0.2 did, and returns their ids by kind."""
    deadline = int(time.time() * 1000) + 60_000
    for one in QUEUED.values():
        key = f"rq:queue:{one['fields']['origin']}"
        fields = {name: value.encode("latin-1") for name, value in one["fields"].items()}
        redis.hset(f"rq:job:{one['id']}", mapping=fields | ({"deadline": deadline} if "deadline" in fields else {}))
        redis.rpush(key, one["id"])
        redis.sadd("rq:queues", key)
    redis.zadd("mg:ready", {"predict:sum": 1})
    redis.hset("mg:rows", "predict:sum", 1)
    redis.zadd("mg:deadlines", {QUEUED["prediction"]["id"]: deadline})
    redis.zadd("mg:deadlines:trainer", {QUEUED["repository command"]["id"]: deadline})
    return {kind: one["id"] for kind, one in QUEUED.items()}


def test_a_prediction_of_the_release_before_is_scored(
    redis: Redis, jobs: Jobs, leases: Leases, queue: ScorerQueue, queued: dict[str, str]
) -> None:
    leases.reconcile()
    job_id = queued["prediction"]
    waiting = read(jobs, job_id)
    assert (waiting.status, waiting.model, waiting.version, waiting.kind) == (Status.QUEUED, "sum", 1, "prediction")
    batch = queue.take(BatchLimits())
    assert batch and [(one.id, one.rows) for one in batch.jobs] == [(job_id, [[1.0, 2.0]])]
    assert queue.finish({job_id: outcome(3.0)}) == []
    ended = read(jobs, job_id)
    assert ended.output == {"predictions": [3.0], "probabilities": None, "ids": ["x"]}
    assert ended.warnings == ["extra columns are ignored: c", "late"]


@pytest.mark.parametrize(
    ("kind", "task"),
    [
        (TRAINING, TrainingRequest("loan", "loan", parameters={"depth": 3})),
        (REPOSITORY_COMMAND, RepositoryCommand(RepositoryAction.MOVE_ALIAS, "loan", "current", 2)),
    ],
)
def test_a_job_for_the_trainer_of_the_release_before_is_run(
    redis: Redis, jobs: Jobs, queued: dict[str, str], kind: JobKind, task: TrainingRequest | RepositoryCommand
) -> None:
    job_id = queued[kind.name]
    signed_until = float(QUEUED[kind.name]["fields"]["signature"].partition(".")[0])
    signer = Signer([SECRET.encode()], clock=lambda: signed_until)
    Leases(redis, group=TRAINERS).register("t-0-x", queues=[kind.queue])
    trainer_queue = TrainerQueue(redis, "t-0-x", kind, signer)
    begun = trainer_queue.begin([])
    assert begun and (begun.id, type(task).from_json(begun.payload)) == (job_id, task)
    assert trainer_queue.finish(job_id, {"version": 4})
    assert redis.hget(f"rq:job:{job_id}", "status") == b"finished"
    (ended,) = jobs.read([job_id])
    shown = ended and (ended.model, ended.version, ended.kind)
    assert shown == (("loan", 4, "training") if kind is TRAINING else None)


def test_a_worker_or_trainer_of_the_release_before_accepts_the_functions_of_new_jobs() -> None:
    written = [kind.written_function for kind in (PREDICTION, TRAINING, REPOSITORY_COMMAND)]
    assert written == ["worker.scorer.predict", "trainer.tasks.train", "trainer.tasks.order"]


def test_a_prediction_that_names_the_later_function_is_scored(redis: Redis, jobs: Jobs, queue: ScorerQueue) -> None:
    jobs.submit([job("a")])
    redis.hset("rq:job:a", "data", job_data(PREDICTION.function, {"model": "sum", "version": 1, "rows": [[1.0, 2.0]]}))
    assert take(queue) == ["a"]


@pytest.mark.parametrize("kind", [TRAINING, REPOSITORY_COMMAND])
def test_a_job_for_the_trainer_that_names_the_later_function_is_run(redis: Redis, kind: JobKind) -> None:
    later = dataclasses.replace(kind, former_function=None)
    enqueue(redis, SIGNER, later, make_job(redis, later, {"a": 1}, "later", timeout=60, result_ttl=60), ttl=60)
    Leases(redis, group=TRAINERS).register("t-0-x", queues=[kind.queue])
    begun = TrainerQueue(redis, "t-0-x", kind, SIGNER).begin([])
    assert begun and begun.payload == {"a": 1}
