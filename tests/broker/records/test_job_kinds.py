"""A kind of job is one entry of a table, and jobs that the release before has queued still run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from redis import Redis

from broker.link import scripts
from broker.records import job_kinds
from broker.records.job_kinds import FILE_PREDICTION, JOB_KINDS, PREDICTION, TRAINING, JobKind
from broker.records.job_records import common_parts
from broker.records.lease_groups import TRAINERS
from broker.sides.gateway.job_client import Jobs
from broker.sides.gateway.listing import JobFilter
from broker.sides.single_jobs import Ownership, SingleJobs
from broker.sides.supervisor import Leases
from broker.state import job_reading as reading
from broker.state.job_reading import parse_reply
from broker.state.trainer_jobs import enqueue, make_job
from contract.errors import Failure
from contract.work.jobs import Job, Status, reply_channel
from tests.broker.samples import read
from tests.support import PROJECT, SIGNER, until


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
    queue = SingleJobs(redis, "t-0-x", export, SIGNER)
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
    assert [job.id for job in jobs.list().items] == [canceled, failed, finished]
    assert jobs.list(JobFilter(model="iris")).items == []


def test_a_new_kind_survives_the_death_of_its_process(redis: Redis, jobs: Jobs, export: JobKind) -> None:
    leases, job_id = Leases(redis, group=TRAINERS), submitted(redis, export)
    for became in ("queued", "failed"):
        leases.register("t-0-x", queues=[export.queue])
        assert SingleJobs(redis, "t-0-x", export, SIGNER).begin([])
        assert leases.give_back("t-0-x", scored=None) == {job_id: became}
    assert read(jobs, job_id).error == TRAINERS.crashed


_WITH_EXPORT = """
from broker.records import job_kinds
from broker.records.lease_groups import TRAINERS
from contract.work.api_keys import Scope
export = job_kinds.JobKind("table_export", "export", "modelgate.export", TRAINERS, scope=Scope.PUBLISH, read=print)
job_kinds.JOB_KINDS[export.name] = export

from broker.metrics import reading
from broker.state.webhook_store import EVENTS
from contract.work.jobs import Job, Status
from events.service import _shown
from gateway.openapi.schemas import JOB_MEMBERS
from gateway.pages import job_pages
from gateway.problems.terse import terse_job
from gateway.routes.jobs import _INDEX
from gateway.serving.job_access import scope_for

assert [event for event in EVENTS if event.startswith("table_export.")] == [
    f"table_export.{end}" for end in ("succeeded", "failed", "canceled", "expired")
]
assert JOB_MEMBERS["kind"]["description"].endswith(", `file_prediction` or `table_export`.")
assert "table_export" in next(each for each in _INDEX.parameters if each.name == "kind").schema["enum"]
assert reading._TRAINER_QUEUES[-1] == "export"
gaps = ["'income' has gaps"]
job = Job("j", Status.SUCCEEDED, "loan", None, None, kind="table_export", warnings=gaps, public_warnings=())
assert scope_for(job) is Scope.PUBLISH
assert terse_job(job).warnings == _shown(job).warnings == ()
assert job_pages._filter({"status": "", "kind": "table_export", "model": ""}).kind == "table_export"
assert job_pages._KINDS["table_export"].title == "Table export"
"""


def test_webhooks_openapi_pages_and_metrics_follow_the_entry_of_a_new_kind() -> None:
    subprocess.run([sys.executable, "-c", _WITH_EXPORT], cwd=PROJECT, check=True, timeout=60)


@pytest.mark.parametrize("owner", ["", "risk", "a.b-c_d"])
def test_the_queue_of_a_prediction_names_its_model_and_its_owner(owner: str) -> None:
    queue = PREDICTION.queue_of("loan", owner)
    assert (PREDICTION.model_of(queue), PREDICTION.owner_of(queue)) == ("loan", owner)
    assert PREDICTION.owns(queue)
    assert TRAINING.queue_of("loan", owner) == TRAINING.queue


@pytest.mark.parametrize("kind", [PREDICTION, FILE_PREDICTION, TRAINING])
@pytest.mark.parametrize("owner", ["", "risk"])
def test_scripts_read_the_name_of_a_queue_as_python_does(redis: Redis, kind: JobKind, owner: str) -> None:
    queue = kind.queue_of("loan", owner)
    script = f"{job_kinds.lua_table()} local _, base = kind_of(ARGV[1]) return {{ base, model_of(ARGV[1]) }}"
    base, model = redis.eval(script, 0, queue)
    assert model.decode() == kind.model_of(queue)
    assert base.decode() == (kind.queue_of("loan") if kind.batched else queue)


def test_no_two_kinds_share_a_queue_or_a_function() -> None:
    kinds = JOB_KINDS.values()
    for kind in kinds:
        assert [other for other in kinds if other.owns(kind.queue_of("loan"))] == [kind]
    functions = [kind.function for kind in kinds]
    assert len(functions) == len(set(functions))
