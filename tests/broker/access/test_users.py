"""The Redis users of `broker/acl`: each service can do its work, and a worker cannot use the trainer's keys."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError

from broker.access.audit_log import AuditEntry, AuditLog, Stream
from broker.access.key_store import Keys, KeyUses
from broker.access.key_use import UseCounts, UseReader
from broker.link.connection import connect
from broker.link.outbox import Outbox
from broker.metrics.counts import Counts
from broker.metrics.reading import MetricsReader
from broker.metrics.table import (
    LOG_ROWS,
    LOG_WAITING,
    METRICS,
    PREFIX,
    QUEUE_JOBS,
    REFUSED_FIELDS,
    SHADOW_ROWS,
    WEBHOOK_TRIES,
    WEBHOOKS,
    CountedBy,
    Type,
)
from broker.metrics.traffic import Period, TrafficReader, TrafficRecorder
from broker.records.job_kinds import EXPLANATION, OBSERVATION, PREDICTION, REPOSITORY_COMMAND, TRAINING, JobKind
from broker.records.lease_groups import OBSERVERS, TRAINERS
from broker.sides.file_tasks import FileTasks
from broker.sides.gateway.file_submission import FileJobs, FileSubmission
from broker.sides.gateway.job_client import Jobs, Limit
from broker.sides.gateway.listing import JobFilter
from broker.sides.gateway.trainer_client import TrainerClient
from broker.sides.observer import BEGINNING, Fate, LogStream, RequestCounts
from broker.sides.scorer import BatchLimits, ScorerQueue
from broker.sides.shadow import ShadowQueue
from broker.sides.single_jobs import SingleJobs
from broker.sides.supervisor import Leases
from broker.sides.trainer import Scheduler, publish_recipes, unfinished
from broker.state.boards import ExperimentBoard, HealthBoard
from broker.state.load_status import (
    LoadRequests,
    LoadStatus,
    LoadStatusPublisher,
    load_statuses,
    request_load,
    withdraw_request,
)
from broker.state.mirrors import MirrorLink, MirrorReport, announce, wait_for_mirrors
from broker.state.pools import PoolWork
from broker.state.prediction_log import LOG, LOG_BYTES
from broker.state.schedules import Schedules
from broker.state.starts import GATEWAY, WORKER, ProcessStart, StartReader
from broker.state.waited_jobs import WaitedJobs
from broker.state.webhook_store import Webhooks
from contract.errors import Failure
from contract.model.environments import TODAY
from contract.model.experiments import Decision, ExperimentFindings
from contract.model.model_health import HealthState, ModelHealth
from contract.model.repository import Repository
from contract.rows.file_formats import FileFormat
from contract.settings import Settings
from contract.work.api_keys import Key, Limits, Scope
from contract.work.explanations import ExplainRequest
from contract.work.jobs import FileRequest, Status, reply_channel
from contract.work.prediction_log import LogRecord
from contract.work.training import RepositoryAction, RepositoryCommand, TrainingRequest
from contract.work.webhooks import AllowedTargets, Subscription
from events import sender
from events.sender import Sender
from events.service import Service
from launcher.redis_server import executable
from tests.broker.samples import job, key, outcome, read
from tests.stacks.receiver import receiver
from tests.support import DEADLINE, PROJECT, SIGNER, numbers, until, write_version

SERVICES = ("gateway", "worker", "trainer", "observer", "events", "mirror")
REQUEST = TrainingRequest("sum", "sum")


@dataclass
class Protected:
    """A Redis with the users that `broker/acl/start` creates."""

    folder: Path
    process: subprocess.Popen[bytes]

    def connect(self, user: str) -> Redis:
        """Connect as a service does, with a file that has the password."""
        file = self.folder / user / "password" if user in SERVICES else self.folder / "operator"
        environ = {"REDIS_URL": f"unix://{user}@{self.folder}/r.sock", "REDIS_PASSWORD_FILE": str(file)}
        return connect(Settings.from_environ(environ).redis_url, check=user in ("gateway", "trainer"))


@contextmanager
def started(folder: Path) -> Iterator[Protected]:
    for user in SERVICES:
        (folder / user).mkdir(exist_ok=True)
    options = ["--port", "0", "--unixsocket", str(folder / "r.sock"), "--dir", str(folder), "--save", ""]
    process = subprocess.Popen(
        ["sh", "broker/acl/start", str(folder), str(folder), executable(), *options],
        cwd=PROJECT,
        stdout=subprocess.DEVNULL,
    )
    try:
        until((folder / "r.sock").exists, "Redis listens")
        yield Protected(folder, process)
    finally:
        process.terminate()
        process.wait(DEADLINE)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Protected]:
    with started(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def users(server: Protected) -> Iterator[dict[str, Redis]]:
    """Yield a connection to an empty Redis by user. Fail the test if Redis refused a command of one."""
    operator: Any = server.connect("default")
    operator.flushall()
    operator.acl_log_reset()
    users = {user: server.connect(user) for user in SERVICES}
    yield users
    # Redis below 7.2 has no CLIENT SETINFO; redis-py ignores that.
    assert [entry for entry in operator.acl_log() if entry["object"] != "client"] == []
    for connection in (operator, *users.values()):
        connection.close()


@pytest.mark.parametrize("user", ["gateway", "trainer"])
def test_gateway_and_trainer_write_the_audit_log(users: dict[str, Redis], user: str) -> None:
    entry = AuditEntry("train", "schedule", model="loan")
    assert AuditLog(users[user], 90, of_trainer=user == "trainer").add(entry) is None
    (item,) = AuditLog(users["gateway"], 90).page({}, 10, None).items
    assert (item["action"], item["model"]) == ("train", "loan")


@pytest.mark.parametrize("user", ["worker", "trainer"])
def test_no_other_user_removes_entries_of_gateways_from_the_audit_log(server: Protected, user: str) -> None:
    other = server.connect(user)
    assert AuditLog(other, 90).add(AuditEntry("train", "schedule")) is not None
    for command, *arguments in (
        ("XREVRANGE", "+", "-"),
        ("XADD", "*", "entry", "{}"),
        ("DEL",),
        ("XTRIM", "MAXLEN", 0),
    ):
        for stream in (Stream.PRIVILEGED, Stream.OTHERS, Stream.ANYBODY):
            with pytest.raises(NoPermissionError):
                other.execute_command(command, stream, *arguments)


def gateway_of(users: dict[str, Redis]) -> Jobs:
    return Jobs(users["gateway"], max_queue_rows=10, timeout=30, result_ttl=60)


def trainer_of(users: dict[str, Redis], kind: JobKind) -> tuple[Leases, SingleJobs]:
    leases = Leases(users["trainer"], group=TRAINERS)
    leases.register(f"t-{kind.queue}-x", queues=[kind.queue])
    return leases, SingleJobs(users["trainer"], f"t-{kind.queue}-x", kind, SIGNER)


def keep(leases: Leases, inc: str) -> None:
    """Do what a supervisor does periodically."""
    leases.renew([inc])
    leases._unbroken_since = float("-inf")
    leases.reap()
    leases.expire()
    leases.reconcile()
    leases.remaining()


def test_a_prediction_passes_gateway_and_worker(users: dict[str, Redis]) -> None:
    jobs, leases = gateway_of(users), Leases(users["worker"])
    leases.register("w-0-x")
    queue, channel = ScorerQueue(users["worker"], "w-0-x"), reply_channel("x")
    with users["gateway"].pubsub() as subscription:
        subscription.subscribe(channel)
        jobs.submit([job(name, expires_after=60, reply_to=channel) for name in "abcd"] + [job("e", expires_after=0)])
        jobs.wait(["a", "b"], channel)
        jobs.backlog("sum"), jobs.workers(), jobs.list(), jobs.list(JobFilter("sum", Status.QUEUED))
        queue.wait_for_work(BatchLimits())
        queue.wait_for_work(BatchLimits(skip=["x"]), 0.01)
        assert jobs.cancel("d")
        batch = queue.take(BatchLimits())
        assert batch and [job.id for job in batch.jobs] == ["a", "b", "c"]
        keep(leases, "w-0-x")
        queue.finish({"a": outcome(3.0), "b": Failure("model_error", "it hurts")})
    assert leases.give_back("w-0-x", ["c"]) == {"c": "queued"}
    trainer = Leases(users["trainer"], group=TRAINERS)  # which also expires predictions, because there may be no worker
    jobs.submit([job("f", expires_after=0)])
    keep(trainer, "t-0-x")
    statuses = {job_id: read(jobs, job_id).status.value for job_id in "abcdef"}
    assert statuses == {"a": "succeeded", "b": "failed", "c": "queued", "d": "canceled", "e": "expired", "f": "expired"}
    assert jobs.delete("a")


def test_a_time_out_passes_worker_and_gateway(users: dict[str, Redis]) -> None:
    jobs, leases = gateway_of(users), Leases(users["worker"])
    for slot in (0, 1):
        leases.register(f"w-{slot}-x")
        jobs.submit([job(f"{slot}")])
        assert ScorerQueue(users["worker"], f"w-{slot}-x").take(BatchLimits())
        assert leases.spare(["predict:*"], ["slow"], [f"w-{slot}-x"]).models == {"slow", "sum"}
        assert leases.give_back(f"w-{slot}-x", [f"{slot}"], Failure("timeout", "too long")) == {f"{slot}": "failed"}
    assert jobs.submit([job("2")])[0].refused_by is Limit.TIMED_OUT


def test_predictions_of_owners_pass_gateway_and_worker(users: dict[str, Redis]) -> None:
    jobs, leases = gateway_of(users), Leases(users["worker"])
    leases.register("w-0-x")
    queue, limits = ScorerQueue(users["worker"], "w-0-x"), Limits(100, 100, 100)
    risk, sales = (key(owner, owner, limits) for owner in ("risk", "sales"))
    jobs.submit([job("a", caller=risk), job("b", caller=risk), job("c", caller=sales), job("d")])
    jobs.submit([job("e", caller=sales, expires_after=0)])
    batch = queue.take(BatchLimits(jobs=24, homes={"sum": "w-1"}, patience=0))
    assert batch and {job.id for job in batch.jobs} == {"a", "c", "d"}
    jobs.backlog("sum"), jobs.backlog("sum", "risk"), jobs.list(JobFilter(owner="risk"))
    queue.finish({"a": outcome(3.0)})
    assert leases.give_back("w-0-x", ["c"]) == {"d": "queued", "c": "queued"}
    keep(leases, "w-1-x")
    keep(Leases(users["trainer"], group=TRAINERS), "t-0-x")
    assert jobs.cancel("b")
    statuses = {job_id: read(jobs, job_id).status.value for job_id in "abcde"}
    assert statuses == {"a": "succeeded", "b": "canceled", "c": "queued", "d": "queued", "e": "expired"}


def test_explanations_of_owners_pass_gateway_and_worker(users: dict[str, Redis]) -> None:
    jobs, leases = gateway_of(users), Leases(users["worker"])
    leases.register("w-0-x")
    queue, risk, why = (
        ScorerQueue(users["worker"], "w-0-x"),
        key("risk", "risk", Limits(100, 100, 100)),
        ExplainRequest(),
    )
    jobs.submit([job(name, caller=risk, explain=why, counts=4) for name in "abc"] + [job("d", explain=why, counts=4)])
    jobs.submit([job("e", explain=why, expires_after=0)])
    queue.wait_for_work(BatchLimits())
    queue.wait_for_work(BatchLimits(skip=["x"]), 0.01)
    batch = queue.take(BatchLimits(kind=EXPLANATION, jobs=1, rows=100, homes={"sum": "w-1"}, patience=0))
    assert batch and [job.explain for job in batch.jobs] == [why]
    taken = batch.jobs[0].id
    jobs.backlog("sum", kind=EXPLANATION), jobs.list(JobFilter(kind="explanation"))
    queue.release(batch)
    assert queue.take(BatchLimits(kind=EXPLANATION, jobs=1, rows=100))
    assert leases.give_back("w-0-x", []) in ({"a": "queued"}, {"d": "queued"})
    leases.register("w-1-x")
    second = ScorerQueue(users["worker"], "w-1-x")
    assert second.take(BatchLimits(kind=EXPLANATION, jobs=1, rows=100))
    assert set(second.finish({taken: outcome(3.0)})) <= {taken}
    keep(leases, "w-1-x")
    keep(Leases(users["trainer"], group=TRAINERS), "t-0-x")
    assert jobs.cancel("b")
    assert read(jobs, "e").status.value == "expired"


def test_jobs_and_files_of_another_environment_pass_gateway_and_worker(users: dict[str, Redis]) -> None:
    jobs, leases = gateway_of(users), Leases(users["worker"])
    files, work = FileJobs(users["gateway"], timeout=30, result_ttl=60), PoolWork(users["worker"])
    LoadStatusPublisher(users["worker"], 60).publish("w~old", LoadStatus(environment="old"))
    risk = key("risk", "risk", Limits(100, 100, 100))
    jobs.submit([job("a", environment="old"), job("b", environment="old", caller=risk)])
    jobs.submit([job("c", environment="old", expires_after=0)])
    file_request = FileRequest("sum", 1, FileFormat.CSV, FileFormat.CSV)
    assert files.submit(FileSubmission("f", "2026-01-02T03:04:05.000006Z", file_request, "old", "risk"), 1)
    jobs.backlog("sum"), jobs.backlog("sum", "risk"), jobs.list(JobFilter("sum", owner="risk"))
    assert work.waits_for(["old", "older"]) == {"old"}
    leases.register("w~old-0-x", queues=PREDICTION.queues(None, "old"))
    queue, lane = ScorerQueue(users["worker"], "w~old-0-x"), FileTasks(users["worker"], "w~old-0-x", environment="old")
    for limits in (BatchLimits(environment="old"), BatchLimits(models=["sum"], environment="old")):
        queue.wait_for_work(limits, 0.01)
    batch = queue.take(BatchLimits(environment="old", homes={"other": "w~old-1"}, patience=0))
    assert batch and {job.id for job in batch.jobs} == {"a", "b"}
    queue.finish({"a": outcome(3.0)})
    task = lane.take()
    assert task
    leases.spare(PREDICTION.queues(None, "old"), ["sum"], [])
    keep(leases, "w~old-0-x")
    leases.give_back("w~old-0-x", [])
    keep(Leases(users["trainer"], group=TRAINERS), "t-0-x")
    statuses = {job_id: read(jobs, job_id).status.value for job_id in "abcf"}
    assert statuses == {"a": "succeeded", "b": "queued", "c": "expired", "f": "running"}
    assert jobs.cancel("b") and jobs.cancel("f")
    assert MetricsReader(users["gateway"]).read(["sum"]).values[QUEUE_JOBS] == {("sum",): 0}


def test_a_training_passes_gateway_and_trainer(users: dict[str, Redis]) -> None:
    jobs, trainings = gateway_of(users), TrainerClient(users["gateway"], SIGNER, timeout=60, result_ttl=60)
    leases, trainer_queue = trainer_of(users, TRAINING)
    publish_recipes(users["trainer"], ["sum"], {"sum": []})
    assert trainings.recipes() == ["sum"] and trainings.parameters("sum") == [] and trainings.waiting() == 0
    for end in ("finish", "give back", "cancel"):
        job_id = trainings.submit(REQUEST).id
        assert jobs.ahead(TRAINING, job_id) == 0
        assert trainer_queue.begin([])
        keep(leases, "t-training-x")
        trainer_queue.report_progress(job_id, {"fraction": 0.5}, b"x\n" * 700_000, 0)
        assert trainings.log(job_id, 0)[1]
        if end == "finish":
            trainer_queue.finish(job_id, {"version": 1})
        if end == "give back":
            leases.give_back("t-training-x")
            leases.register("t-training-x", queues=[TRAINING.queue])
        jobs.list()
        jobs.cancel(job_id)
        jobs.delete(job_id)
    assert unfinished(users["trainer"], TRAINING) == []
    trainer_queue.wait_for_work(0.01)


def test_a_command_passes_gateway_and_trainer(users: dict[str, Redis]) -> None:
    trainings = TrainerClient(users["gateway"], SIGNER, timeout=60, result_ttl=60)
    leases, trainer_queue = trainer_of(users, REPOSITORY_COMMAND)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(trainings.run_command, RepositoryCommand(RepositoryAction.ROLL_BACK, "sum"), 5)
        begun = until(lambda: trainer_queue.begin([]), "the command")
        keep(leases, "t-publishing-x")
        trainer_queue.finish(begun.id, {"done": True})
        assert answer.result() == {"done": True}


def test_a_schedule_passes_gateway_and_trainer(users: dict[str, Redis], server: Protected) -> None:
    ttls = {"timeout": 60, "result_ttl": 60}
    schedules, clock = Schedules(users["gateway"], SIGNER, **ttls), Scheduler(users["trainer"], TRAINING.queue)
    made = schedules.put("sum", "0 3 * * 1", REQUEST)
    schedules.put("other", "0 3 * * 1", REQUEST)
    assert schedules.delete("other") and schedules.all() == [made]
    server.connect("default").zadd("rq:scheduled:training", {made.job: 1})
    assert clock.enqueue_due()
    _, trainer_queue = trainer_of(users, TRAINING)
    assert trainer_queue.begin([])
    Schedules(users["trainer"], SIGNER, **ttls).advance(pytest.fail)
    assert (schedules.get("sum") or made).job != made.job
    clock.stop()


@pytest.mark.parametrize(
    "commands",
    [
        ["DEL rq:job:{id}", "RPUSH rq:job:{id} x"],
        ["HSET rq:job:{id} deaths x"],
        ["HSET rq:job:{id} deadline nan"],
        ["HSET rq:job:{id} result_ttl 1.5"],
        ["HSET rq:job:{id} reply other"],
        ["HSET rq:job:{id} log_start x"],
    ],
)
@pytest.mark.parametrize("dies", [False, True])
def test_what_a_worker_writes_to_a_training_stops_no_other(
    users: dict[str, Redis], commands: list[str], dies: bool
) -> None:
    client = TrainerClient(users["gateway"], SIGNER, timeout=60, result_ttl=60)
    first, second = client.submit(REQUEST), client.submit(REQUEST)
    leases, trainer_queue = trainer_of(users, TRAINING)
    assert trainer_queue.begin([])
    for command in commands:
        users["worker"].execute_command(*command.format(id=first.id).split())
    trainer_queue.report_progress(first.id, {"done": 1}, b"a line\n", 0)
    if dies:
        users["trainer"].delete("mg:lease:t-training-x")
        keep(leases, "another")
        leases, trainer_queue = trainer_of(users, TRAINING)
    else:
        trainer_queue.finish(first.id, {"done": True})
    keep(leases, "t-training-x")
    begun = {job.id for job in iter(lambda: trainer_queue.begin([]), None) if trainer_queue.finish(job.id, {})}
    assert second.id in begun
    assert second.id in {job.id for job in gateway_of(users).list().items}


@pytest.mark.parametrize("environment", [TODAY, "old"])
@pytest.mark.parametrize("asking", ["gateway", "trainer"])
def test_a_version_is_requested_and_reported(users: dict[str, Redis], asking: str, environment: str) -> None:
    request_load(users[asking], "sum@2", environment, 60)
    assert LoadRequests(users["worker"]).read() == {environment: {"sum@2"}}
    side = LoadStatusPublisher(users["worker"], 60)
    side.publish("w", LoadStatus(["sum@2"], environment=environment))
    assert list(load_statuses(users[asking], "sum", environment)) == ["w"]
    side.withdraw("w")
    assert load_statuses(users[asking], "sum", environment) == {}
    withdraw_request(users[asking], "sum@2", environment)
    assert LoadRequests(users["worker"]).read() == {}


def test_each_service_counts_and_the_gateway_reads_the_metrics(users: dict[str, Redis]) -> None:
    gateway_of(users).submit([job("a"), job("b")])
    counted = [metric for metric in METRICS if metric.counted_by in SERVICES and metric.type is Type.COUNTER]
    assert {metric.counted_by for metric in counted} == set(CountedBy) - {CountedBy.SCRIPTS}
    for metric in set(counted) - {of_version.of_model for of_version in METRICS}:
        outbox = Outbox(users[str(metric.counted_by)])
        counts = Counts()
        counts.add(metric, tuple("sum" if label == "model" else label for label in metric.labels))
        outbox.add_source(counts.steps)
        outbox.flush()
    snapshot = MetricsReader(users["gateway"]).read(["sum"])
    assert {
        metric.name.removeprefix(PREFIX): snapshot.total(metric) for metric in counted if snapshot.total(metric) != 1
    } == {}
    assert snapshot.total(QUEUE_JOBS) == 2
    assert TrafficRecorder(users["gateway"], lambda: ["sum"], lambda _: snapshot).record()
    (points,) = TrafficReader(users["gateway"]).read(Period.HOURS, ["sum"])
    assert 2 in {point.waiting for point in points[-2:]}  # a minute may have ended


def test_gateways_and_workers_say_that_they_have_started(users: dict[str, Redis]) -> None:
    for kind in (GATEWAY, WORKER):
        outbox = Outbox(users[kind])
        outbox.add_source(ProcessStart(kind, "host-1").steps)
        outbox.flush()
    said = {start[1:] for start in StartReader(users["gateway"]).read()}
    assert said == {("Redis", ""), ("gateway", "host-1"), ("worker", "host-1")}


def test_webhooks_are_sent_and_counted(users: dict[str, Redis], models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "PAUSES", (0.01,))
    allowed = AllowedTargets(["127.0.0.1"])
    service = Service(users["events"], Repository(models), Sender([b"s" * 32], allowed))
    with receiver() as hook:
        hook.answers = [(500, {}), (204, {})]
        url = f"http://127.0.0.1:{hook.port}/"
        subscription = Subscription("ops", url, ("model.published",), "2026-01-02T03:04:05.000006Z")
        assert Webhooks(users["gateway"]).replace("ops", None, subscription)
        service.step()
        write_version(models, "sum", None, numbers("a"))
        jobs = gateway_of(users)
        jobs.submit([job("a", webhook=url), job("b", webhook=url)])
        jobs.cancel("a"), jobs.cancel("b")

        def counted() -> bool:
            service.step()
            values = MetricsReader(users["gateway"]).read([]).values
            delivered, tries = values[WEBHOOKS]["delivered",], values[WEBHOOK_TRIES]
            return delivered == 3 and tries == {("delivered",): 3, ("failed",): 1}

        until(counted, "four tries are counted", 60)
        assert [delivery["status"] for delivery in Webhooks(users["gateway"]).deliveries("b")]
        assert Webhooks(users["gateway"]).last_tries()
        assert jobs.delete("a")
    service.close(lambda: 0)


def test_a_worker_cannot_change_what_the_gateway_counts(users: dict[str, Redis], server: Protected) -> None:
    with pytest.raises(NoPermissionError):
        users["worker"].hincrby("mg:counts:gateway", "uploads_total", 1)
    server.connect("default").acl_log_reset()


def test_the_gateway_keeps_keys_and_no_other_service_can_read_or_make_one(
    users: dict[str, Redis], server: Protected
) -> None:
    keys, outbox, uses, counts = Keys(users["gateway"]), Outbox(users["gateway"]), KeyUses(), UseCounts()
    key = Key("k1", "ci", "ci", frozenset({Scope.ADMIN}))
    keys.add("f1", key)
    keys.rotate(key.id, "f2", 60)
    for source in (uses, counts.steps):
        outbox.add_source(source)
    uses.note("f2")
    counts.add("k1", "loan", 3, failed=False)
    outbox.flush()
    assert keys.find("f1") and keys.exist() and keys.all()[0].current.last_used_at
    assert UseReader(users["gateway"]).read()["k1"]["loan"].rows == 3
    for user in ("worker", "trainer"):
        keys_of_user = Keys(users[user])
        for attempt in (
            keys_of_user.exist,
            keys_of_user.all,
            UseReader(users[user]).read,
            lambda keys_of_user=keys_of_user: keys_of_user.find("f2"),
            lambda keys_of_user=keys_of_user: keys_of_user.add("f3", key),
        ):
            with pytest.raises(NoPermissionError):
                attempt()
    assert keys.revoke("k1") and not keys.exist()
    server.connect("default").acl_log_reset()


ADMINISTRATION = [
    "CONFIG GET dir",
    "CONFIG SET maxmemory 0",
    "ACL LIST",
    "ACL SETUSER worker +@all",
    "FLUSHALL",
    "FLUSHDB",
    "KEYS *",
    "SCAN 0",
    "MONITOR",
    "DEBUG SLEEP 0",
    "SHUTDOWN NOSAVE",
    "SAVE",
    "CLIENT LIST",
    "CLIENT KILL TYPE normal",
    "SCRIPT FLUSH",
    "REPLICAOF 127.0.0.1 1",
    "MODULE LIST",
    "FUNCTION LIST",
    "SLOWLOG GET",
    "RESTORE rq:job:x 0 x",
    "MIGRATE 127.0.0.1 1 x 0 1",
    "SWAPDB 0 1",
    "SET other x",
    "PUBLISH other x",
    "SUBSCRIBE __keyspace@0__:x",
]
OF_THE_TRAINER = [
    "RPUSH rq:queue:training x",
    "RPUSH rq:queue:publishing x",
    "LRANGE rq:queue:training 0 -1",
    "ZADD rq:scheduled:training 1 x",
    "HGET mg:schedules loan",
    "HSET mg:schedules loan x",
    "SET mg:trainer:recipes []",
    "GET mg:log:x",
    "DEL mg:trainers",
    "ZADD mg:deadlines:trainer 1 x",
    "RPUSH mg:bell:training 1",
    "EVAL return(redis.call('RPUSH','rq:queue:publishing','x')) 0",
    "EVAL return(redis.call('FLUSHALL')) 0",
]


@pytest.mark.parametrize("user", SERVICES)
def test_only_the_operator_administers_redis(server: Protected, user: str) -> None:
    with server.connect(user) as connection:
        for line in ADMINISTRATION:
            with pytest.raises(ResponseError, match=r"(?i)no permission|unknown command|not allowed"):
                connection.execute_command(*line.split())


def test_a_worker_reaches_none_of_the_trainers_keys(server: Protected) -> None:
    with server.connect("worker") as connection:
        for line in OF_THE_TRAINER:
            with pytest.raises(ResponseError, match=r"(?i)no permission|can't (access|run)|ACL failure"):
                connection.execute_command(*line.split())


def test_redis_asks_for_the_password_of_a_user(server: Protected) -> None:
    for url in (f"unix://{server.folder}/r.sock", f"unix://worker:wrong@{server.folder}/r.sock"):
        with Redis.from_url(url) as connection, pytest.raises(AuthenticationError):
            connection.ping()


def test_each_service_keeps_a_password_of_its_own(tmp_path: Path) -> None:
    def passwords() -> dict[str, str]:
        return {user: (tmp_path / user / "password").read_text() for user in SERVICES}

    with started(tmp_path):
        first, operator = passwords(), (tmp_path / "operator").read_text()
    with started(tmp_path) as again:
        assert passwords() == first and len({operator, *first.values()}) == 1 + len(SERVICES)
        assert all(len(text) == 64 for text in first.values())
        assert (tmp_path / "operator").stat().st_mode & 0o077 == 0
        with again.connect("gateway") as connection:
            assert connection.ping()


def test_an_operator_runs_rq_info_as_the_trainer(users: dict[str, Redis], server: Protected) -> None:
    jobs = gateway_of(users)
    Leases(users["worker"]).register("w-0-x")
    jobs.submit([job("a")])
    password = (server.folder / "trainer" / "password").read_text()
    url = f"unix://trainer:{password}@{server.folder / 'r.sock'}"
    command = [sys.executable, "-m", "rq.cli", "info", "--raw", "--url", url]
    info = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (info.returncode, "queue predict:sum 1" in info.stdout) == (0, True), info.stderr[-500:]


def test_a_mirror_hears_what_changes_and_reports_and_does_nothing_else(server: Protected) -> None:
    number = announce(server.connect("trainer"), "sum")
    mirror = server.connect("mirror")
    link = MirrorLink(mirror)
    assert link.changes(0) == (number, ["sum"])
    link.report("north", MirrorReport(number))
    assert wait_for_mirrors(server.connect("trainer"), "sum", number, time.monotonic() + DEADLINE) == {}
    for forbidden in (
        lambda: mirror.get("rq:job:a"),
        lambda: mirror.set("mg:wanted", "x"),
        lambda: mirror.hgetall("mg-gateway:keys"),
        lambda: mirror.keys("*"),
    ):
        with pytest.raises(NoPermissionError):
            forbidden()
    link.withdraw("north")


def test_a_logged_prediction_passes_worker_and_observer_and_the_worker_cannot_read_it(users: dict[str, Redis]) -> None:
    jobs, scorer = gateway_of(users), ScorerQueue(users["worker"], "w-0-x")
    Leases(users["worker"]).register("w-0-x")
    jobs.submit([job("a"), job("b")])
    assert scorer.take(BatchLimits())
    assert jobs.cancel("b")
    record = LogRecord(2, b'{"job_id":["a","b"]}')
    scorer.finish({"a": outcome(3.0), "b": outcome(3.0)}, "sum@1", [record])
    stream = LogStream(users["observer"])
    (entry,) = stream.read(BEGINNING, 10)
    assert (entry.version, entry.records) == ("sum@1", [b'{"job_id":["a","b"],"without":["b"]}'])
    stream.forget(entry.position, entry.size, {("sum", Fate.KEPT): 1})
    assert stream.read(BEGINNING, 10) == []
    snapshot = MetricsReader(users["gateway"]).read(["sum"])
    assert snapshot.values[LOG_ROWS] == {("sum", "kept"): 1} and snapshot.values[LOG_WAITING][()] == 0


def test_rows_of_a_shadow_experiment_pass_from_worker_to_worker_and_on_to_the_observer(users: dict[str, Redis]) -> None:
    jobs, scorer = gateway_of(users), ScorerQueue(users["worker"], "w-0-x")
    Leases(users["worker"]).register("w-0-x")
    jobs.submit([job("a")])
    assert scorer.take(BatchLimits())
    scorer.finish({"a": outcome(3.0)}, "sum@1", [LogRecord(1, b"{}", "e"), LogRecord(1, b" " * 2**23, "e")])
    shadows = [ShadowQueue(users["worker"], name, patience=0) for name in "vw"]
    entries = [shadow.take(["none", "e"]) for shadow in shadows]
    assert entries[0] and entries[1] and entries[1].taken == 1
    assert shadows[0].end(entries[0], 2, LogRecord(1, b"{}"))
    assert [entry.version for entry in LogStream(users["observer"]).read(BEGINNING, 10)] == ["sum@1", "sum@2"]
    counted = MetricsReader(users["gateway"]).read(["sum"]).values[SHADOW_ROWS]
    assert counted == {("sum", "scored"): 1, ("sum", "dropped"): 1}


def test_a_logged_file_waits_for_the_observer_with_the_rights_of_both(users: dict[str, Redis]) -> None:
    files, lane = FileJobs(users["gateway"], timeout=30, result_ttl=60), FileTasks(users["worker"], "w-0-x")
    Leases(users["worker"]).register("w-0-x")
    file_request = FileRequest("sum", 1, FileFormat.CSV, FileFormat.CSV)
    job = FileSubmission("f", "2026-01-02T03:04:05.000006Z", file_request, logged={"owner": "risk"})
    assert files.submit(job, 10)
    plan, stream = lane.take(), LogStream(users["observer"])
    assert plan and lane.finish(plan, {"tasks": 1, "rows": 2})
    chunk = lane.take()
    assert chunk and chunk.logged == {"owner": "risk"}
    scored, records = {"rows": 2, "refused": 0, "nulls": 0}, [LogRecord(2, b'{"job_id":["f"]}')]
    users["worker"].set(LOG_BYTES, 2**25)
    assert not lane.finish(chunk, scored, records)
    stream.forget("1-1", 0, {})
    assert lane.finish(chunk, scored, records)
    assert [entry.version for entry in stream.read(BEGINNING, 10)] == ["sum@1"]


@pytest.mark.parametrize("command", [("XREAD", "STREAMS", LOG, "0"), ("XRANGE", LOG, "-", "+"), ("XLEN", LOG)])
def test_a_worker_reads_nothing_of_the_prediction_log(server: Protected, command: tuple[str, ...]) -> None:
    with pytest.raises(NoPermissionError):
        server.connect("worker").execute_command(*command)


def test_what_an_observer_finds_is_read_by_all_who_need_it_and_changed_by_none_of_them(
    users: dict[str, Redis], server: Protected
) -> None:
    users["gateway"].hset(REFUSED_FIELDS.key(("sum", "a", "")), REFUSED_FIELDS.field(("sum", "a", "")), 7)
    assert RequestCounts(users["observer"]).read("sum") == ({("a", ""): 7}, 0)
    found = ModelHealth(HealthState.DRIFTED, ("a: moved",), "2026-11-27T09:00:00+00:00")
    HealthBoard(users["observer"]).say("sum@1", found)
    for reader in ("gateway", "events", "trainer"):
        assert HealthBoard(users[reader]).read() == {"sum@1": found}
    for other in ("events", "worker"):
        with pytest.raises(NoPermissionError):
            HealthBoard(users[other]).say("sum@1", None)
    HealthBoard(users["observer"]).say("sum@1", None)
    findings = ExperimentFindings("e1", Decision.PROMOTE, "It is better.", "", "2026-11-27T09:00:00Z")
    ExperimentBoard(users["observer"]).say("sum", findings)
    for reader in ("gateway", "trainer", "observer"):
        assert ExperimentBoard(users[reader]).read() == {"sum": findings}
    with pytest.raises(NoPermissionError):
        ExperimentBoard(users["worker"]).say("sum", None)
    ExperimentBoard(users["observer"]).say("sum", None)
    server.connect("default").acl_log_reset()


@pytest.mark.parametrize("asks", ["gateway", "trainer"])
@pytest.mark.parametrize("end", ["finish", "give back"])
def test_a_question_passes_its_asker_and_the_observer(users: dict[str, Redis], end: str, asks: str) -> None:
    waited = WaitedJobs(users[asks], SIGNER, OBSERVATION, ttl=60, keyed_ttl=60, once=asks == "gateway")
    leases = Leases(users["observer"], group=OBSERVERS)
    leases.register("o-observing-x", queues=[OBSERVATION.queue])
    queue = SingleJobs(users["observer"], "o-observing-x", OBSERVATION, SIGNER)
    with ThreadPoolExecutor(1) as asking:
        answer = asking.submit(waited.run, {"action": "read_predictions"}, "read", 60)
        until(lambda: users["gateway"].llen("rq:queue:observing"), "the question waits")
        leases.reconcile()
        queue.wait_for_work(0.1)
        owned = queue.begin([])
        assert owned and owned.payload == {"action": "read_predictions"}
        keep(leases, "o-observing-x")
        leases.expire()
        leases.reconcile_in_parts()
        if end == "give back":
            leases.give_back("o-observing-x")
            leases.register("o-observing-x", queues=[OBSERVATION.queue])
            assert queue.begin([])
        queue.finish(owned.id, {"items": []})
        assert answer.result(DEADLINE) == {"items": []}
    assert users["gateway"].exists(f"rq:job:{owned.id}") == (asks != "gateway")
