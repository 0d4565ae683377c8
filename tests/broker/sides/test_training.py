"""Trainings, repository commands and schedules between gateway and trainer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis import Redis
from rq import Queue
from rq.job import Job as RQJob
from rq.job import JobStatus
from rq.registry import StartedJobRegistry
from rq.serializers import JSONSerializer

from broker.link.scripts import FencedError
from broker.records.job_kinds import REPOSITORY_COMMAND, TRAINING, JobKind
from broker.records.lease_groups import TRAINERS
from broker.sides.gateway.job_client import Jobs
from broker.sides.gateway.listing import JobFilter
from broker.sides.gateway.trainer_client import TrainerClient
from broker.sides.scorer import BatchLimits, ScorerQueue
from broker.sides.single_jobs import OwnedJob, Ownership, SingleJobs
from broker.sides.supervisor import Leases
from broker.sides.trainer import Scheduler, unfinished
from broker.state import waited_jobs
from broker.state.job_reading import parse_reply
from broker.state.schedules import KEY, Schedule, Schedules, next_run
from broker.state.trainer_jobs import TooManyWaiting, TrainerUnavailable, enqueue, training_job
from broker.state.waited_jobs import Asker
from contract.errors import Failure, ModelgateError
from contract.work.jobs import Job, Status, reply_channel, timestamp
from contract.work.training import RepositoryAction, RepositoryCommand, TrainingRequest
from tests.broker.samples import read
from tests.support import DEADLINE, SIGNER, until

REQUEST = TrainingRequest("loan", "loan", parameters={"depth": 3})
OUTPUT = {"model": "loan", "version": 4, "metrics": {"accuracy": 0.8}, "promoted": True, "reason": None}


@pytest.fixture
def leases(redis: Redis) -> Leases:
    return Leases(redis, lease=60, group=TRAINERS)


def trainer(redis: Redis, leases: Leases, name: str = "t-0-x", kind: JobKind = TRAINING) -> SingleJobs:
    leases.register(name, queues=[kind.queue])
    return SingleJobs(redis, name, kind, SIGNER)


@pytest.fixture
def trainer_queue(redis: Redis, leases: Leases) -> SingleJobs:
    """The queue of the trainer t-0-x."""
    return trainer(redis, leases)


def begin(trainer_queue: SingleJobs, *known: str) -> OwnedJob:
    begun = trainer_queue.begin(known)
    assert begun is not None
    return begun


@pytest.fixture
def running(trainings: TrainerClient, trainer_queue: SingleJobs) -> str:
    """The id of a training that the trainer has begun."""
    job_id = trainings.submit(REQUEST).id
    begin(trainer_queue)
    return job_id


def fetch(redis: Redis, job_id: str) -> RQJob:
    return RQJob.fetch(job_id, connection=redis, serializer=JSONSerializer)


def test_a_training_goes_from_the_gateway_to_the_trainer_and_back(
    trainings: TrainerClient, trainer_queue: SingleJobs, jobs: Jobs
) -> None:
    submitted = trainings.submit(REQUEST)
    queued = read(jobs, submitted.id)
    assert queued == submitted
    assert queued.to_json()["model"] == {"name": "loan", "version": None}
    begun = begin(trainer_queue)
    assert (begun.id, TrainingRequest.from_json(begun.payload), begun.deaths) == (queued.id, REQUEST, 0)
    assert trainer_queue.report_progress(begun.id, {"phase": "fitting", "fraction": 0.5}, b"", 0) is Ownership.MINE
    running = read(jobs, begun.id)
    assert (running.status, running.progress) == (Status.RUNNING, {"phase": "fitting", "fraction": 0.5})
    assert trainer_queue.finish(begun.id, OUTPUT)
    ended = read(jobs, begun.id)
    assert (ended.kind, ended.status, ended.version, ended.output) == ("training", Status.SUCCEEDED, 4, OUTPUT)
    assert ended.started_at and ended.completed_at and ended.created_at
    assert ended.created_at <= ended.started_at <= ended.completed_at


def test_a_training_belongs_to_its_owner_until_after_its_end(
    redis: Redis, trainer_queue: SingleJobs, jobs: Jobs
) -> None:
    submitted(redis, "a", owner="risk")
    assert read(jobs, "a").owner == "risk"
    assert trainer_queue.finish(begin(trainer_queue).id, OUTPUT)
    assert read(jobs, "a").owner == "risk"


def test_the_waiting_trainings_of_an_owner_are_limited(redis: Redis, trainer_queue: SingleJobs) -> None:
    for name in ("a", "b", "a"):  # a repeated one is no further one
        submitted(redis, name, owner="risk", most_waiting=2)
    with pytest.raises(TooManyWaiting):
        submitted(redis, "c", owner="risk", most_waiting=2)
    assert not redis.exists("rq:job:c")
    submitted(redis, "d", owner="sales", most_waiting=1)
    begin(trainer_queue)
    submitted(redis, "c", owner="risk", most_waiting=2)


def test_owners_of_trainings_take_turns(redis: Redis, trainer_queue: SingleJobs, jobs: Jobs) -> None:
    for name in ("a0", "a1", "a2"):
        submitted(redis, name, owner="a")
    order = [begin(trainer_queue).id]
    submitted(redis, "b0", owner="b")
    assert jobs.ahead(TRAINING, "b0") == 1, "the one that runs"
    for name in ("b1", "c0"):
        submitted(redis, name, owner=name[0])
        redis.lrem("rq:queue:training", 1, name)
        redis.rpush("rq:queue:training", name)  # as a schedule's run comes
    while trainer_queue.finish(order[-1], OUTPUT) and (begun := trainer_queue.begin([])):
        order.append(begun.id)
    assert order == ["a0", "b0", "a1", "c0", "b1", "a2"]


def test_a_training_is_unfinished_also_while_it_begins_and_is_given_back(redis: Redis, leases: Leases) -> None:
    submitted(redis, "a")

    def move() -> None:
        for _ in range(200):
            begin(queue := trainer(redis, leases))
            leases.give_back(queue.incarnation)

    with ThreadPoolExecutor() as threads:
        moving = threads.submit(move)
        seen = {len(unfinished(redis, TRAINING))}
        while not moving.done():
            seen.add(len(unfinished(redis, TRAINING)))
        moving.result()
    assert seen == {1}


def submitted(redis: Redis, job_id: str, **options: Any) -> None:
    """Enqueue a training with this id."""
    job = training_job(redis, REQUEST, timeout=600, result_ttl=60)
    job.id = job_id
    enqueue(redis, SIGNER, TRAINING, job, ttl=60, **options)


def test_stock_rq_reads_a_training_in_every_state(
    trainings: TrainerClient, trainer_queue: SingleJobs, redis: Redis
) -> None:
    job_id = trainings.submit(REQUEST).id
    queue = Queue(TRAINING.queue, connection=redis, serializer=JSONSerializer)
    rq_job = fetch(redis, job_id)
    assert queue.job_ids == [job_id]
    assert (rq_job.func_name, rq_job.args, rq_job.meta) == (
        TRAINING.function,
        [REQUEST.to_json()],
        {"model": "loan"},
    )
    assert (rq_job.get_status(), rq_job.timeout, rq_job.result_ttl) == (JobStatus.QUEUED, 600, 60)
    begin(trainer_queue)
    assert fetch(redis, job_id).get_status() == JobStatus.STARTED
    assert StartedJobRegistry(queue=queue).get_job_ids() == [job_id]
    trainer_queue.finish(job_id, OUTPUT)
    rq_job = fetch(redis, job_id)
    assert (rq_job.get_status(), rq_job.func_name, rq_job.args) == (JobStatus.FINISHED, TRAINING.function, [])
    assert (rq_job.meta, rq_job.worker_name) == ({"model": "loan"}, "t-0-x")
    assert rq_job.started_at and rq_job.ended_at and rq_job.started_at <= rq_job.ended_at


def test_a_training_that_stock_rq_queued_is_begun_and_its_duplicate_dropped(
    trainings: TrainerClient, trainer_queue: SingleJobs, redis: Redis
) -> None:
    job = fetch(redis, trainings.submit(REQUEST).id)
    queue = Queue(TRAINING.queue, connection=redis, serializer=JSONSerializer)
    redis.delete(queue.key)
    queue.enqueue_job(job)
    queue.push_job_id(job.id)
    assert begin(trainer_queue).id == job.id
    assert trainer_queue.begin([job.id]) is None


def test_a_training_that_stock_rq_queued_in_its_own_format_does_not_hide_the_others(
    jobs: Jobs, trainings: TrainerClient, redis: Redis
) -> None:
    job_id = trainings.submit(REQUEST).id
    foreign = Queue(TRAINING.queue, connection=redis).enqueue(TRAINING.function, meta={"model": "sum"})
    assert {job.id: job.model for job in jobs.list().items} == {job_id: REQUEST.model, foreign.id: ""}


def test_a_failure_has_its_code_and_details(trainer_queue: SingleJobs, jobs: Jobs, redis: Redis, running: str) -> None:
    failure = Failure("timeout", "it took too long", {"seconds": 3})
    trainer_queue.finish(running, failure)
    ended = read(jobs, running)
    assert (ended.status, ended.error, ended.output) == (Status.FAILED, failure, None)
    assert redis.zrange("mg:ended:failed:training", 0, -1) == [running.encode()]


def test_a_lost_reply_neither_loses_a_training_nor_doubles_it(
    trainings: TrainerClient, trainer_queue: SingleJobs, redis: Redis
) -> None:
    job_id = trainings.submit(REQUEST).id
    assert begin(trainer_queue).id == begin(trainer_queue).id == job_id
    trainer_queue.report_progress(job_id, None, b"one\n", 0)
    trainer_queue.report_progress(job_id, None, b"one\n", 0)
    trainer_queue.report_progress(job_id, None, b"two\n", 4)
    assert trainings.log(job_id, 0) == (0, b"one\ntwo\n")
    assert trainer_queue.finish(job_id, OUTPUT) and trainer_queue.finish(job_id, OUTPUT)
    assert redis.zrange("mg:ended:finished:training", 0, -1) == [job_id.encode()]


def test_a_log_keeps_its_end_and_knows_where_it_begins(
    trainings: TrainerClient, trainer_queue: SingleJobs, redis: Redis, running: str
) -> None:
    lines = b"".join(b"%06d %s\n" % (number, b"x" * 92) for number in range(20_000))
    for start in range(0, len(lines), 100_000):
        trainer_queue.report_progress(running, None, lines[start : start + 100_000], start)
    first, kept = trainings.log(running, 0)
    assert first > 0 and kept == lines[first:] and len(kept) <= 1_048_576
    assert trainings.log(running, len(lines) - 100) == (len(lines) - 100, lines[-100:])
    assert trainings.log(running, -100) == (len(lines) - 100, lines[-100:])
    assert trainings.log(running, -2_000_000) == (first, kept)
    trainer_queue.finish(running, OUTPUT)
    assert 0 < redis.ttl(f"mg:log:{running}") <= 60


def test_a_cancelled_training_never_begins(trainings: TrainerClient, trainer_queue: SingleJobs, jobs: Jobs) -> None:
    job_id = trainings.submit(REQUEST).id
    canceled, job = jobs.cancel(job_id) or (False, None)
    assert canceled and job is not None and job.status is Status.CANCELED
    assert trainer_queue.begin([]) is None


def test_a_running_training_that_is_cancelled_ends_at_once_and_its_result_is_dropped(
    trainer_queue: SingleJobs, jobs: Jobs, running: str
) -> None:
    jobs.cancel(running)
    assert trainer_queue.report_progress(running, {"phase": "late"}, b"late\n", 0) is Ownership.ENDED
    assert not trainer_queue.finish(running, OUTPUT)
    ended = read(jobs, running)
    assert (ended.status, ended.output, ended.progress) == (Status.CANCELED, None, None)
    assert jobs.delete(running) and jobs.read([running]) == [None]


def test_the_training_of_a_stopped_trainer_returns_without_a_death(
    trainer_queue: SingleJobs, leases: Leases, redis: Redis, running: str
) -> None:
    assert leases.give_back("t-0-x") == {running: "queued"}
    with pytest.raises(FencedError):
        trainer_queue.finish(running, OUTPUT)
    assert begin(trainer(redis, leases, "t-0-y")) == OwnedJob(running, REQUEST.to_json(), 0, 0)


def test_a_training_starts_again_once_and_fails_at_the_second_death(
    trainings: TrainerClient, redis: Redis, leases: Leases, jobs: Jobs
) -> None:
    job_id = trainings.submit(REQUEST).id
    for deaths, became in ((0, "queued"), (1, "failed")):
        trainer_queue = trainer(redis, leases, f"t-0-{deaths}")
        assert begin(trainer_queue).deaths == deaths
        assert leases.give_back(f"t-0-{deaths}", scored=None) == {job_id: became}
        assert trainer_queue.report_progress(job_id, None, b"", 0) is (
            Ownership.LOST if became == "queued" else Ownership.ENDED
        )
    ended = read(jobs, job_id)
    assert ended.error is not None and ended.error.code == "trainer_crashed"


def test_supervisors_of_workers_leave_trainers_alone(redis: Redis, running: str) -> None:
    redis.delete("mg:lease:t-0-x")
    now = 0.0
    workers = Leases(redis, clock=lambda: now)
    for now in range(0, 20, 2):  # noqa: B007
        workers.renew([])
    assert workers.reap() == []
    workers.reconcile()
    assert fetch(redis, running).get_status() == JobStatus.STARTED
    assert Jobs(redis, max_queue_rows=1, timeout=1, result_ttl=1).workers() == 0


def test_scorers_never_take_trainings(trainings: TrainerClient, redis: Redis, jobs: Jobs) -> None:
    Leases(redis, lease=60).register("w-0-x")
    job_id = trainings.submit(REQUEST).id
    assert ScorerQueue(redis, "w-0-x").take(BatchLimits()) is None
    assert read(jobs, job_id).status is Status.QUEUED
    assert redis.zcard("mg:ready") == 0


def test_a_job_that_names_another_function_is_refused(trainer_queue: SingleJobs, redis: Redis, jobs: Jobs) -> None:
    queue = Queue(TRAINING.queue, connection=redis, serializer=JSONSerializer)
    job = queue.enqueue("os.system", "true")
    job_id, until = job.id, time.time() + 60
    redis.hset(job.key, "signature", SIGNER.sign_job(TRAINING.queue, job_id, job.data, until))
    assert trainer_queue.begin([]) is None
    assert "names 'os.system'" in read(jobs, job_id).error.message  # type: ignore[union-attr]


def test_the_list_has_trainings_beside_predictions(
    trainings: TrainerClient, trainer_queue: SingleJobs, jobs: Jobs
) -> None:
    def listed(**wanted: Any) -> list[str]:
        return [job.id for job in jobs.list(JobFilter(**wanted)).items]

    ended, running, other = (trainings.submit(TrainingRequest(model, "x")).id for model in ("loan", "loan", "iris"))
    begin(trainer_queue)
    trainer_queue.finish(ended, OUTPUT)
    begin(trainer_queue)
    assert listed(model="loan") == [running, ended]
    assert listed() == [other, running, ended]
    assert listed(model="iris", status=Status.QUEUED) == [other]
    assert listed(status=Status.SUCCEEDED) == [ended]


def test_the_end_of_a_training_is_published(
    trainings: TrainerClient, trainer_queue: SingleJobs, jobs: Jobs, redis: Redis
) -> None:
    channel = reply_channel("x")
    with redis.pubsub(ignore_subscribe_messages=True) as subscription:
        subscription.subscribe(channel)
        until(lambda: redis.pubsub_numsub(channel)[0][1], "the subscription")
        job_id = trainings.submit(REQUEST).id
        assert jobs.wait([job_id], channel) == {}
        begin(trainer_queue)
        trainer_queue.finish(job_id, OUTPUT)
        message = until(lambda: subscription.get_message(timeout=0.1), "the message")
    assert parse_reply(message["data"]) == [(job_id, None)]


# Repository commands

ROLL_BACK = RepositoryCommand(RepositoryAction.ROLL_BACK, "loan")


@contextmanager
def publisher(
    redis: Redis, leases: Leases, outcome: Any, when: Callable[[], object] = lambda: True
) -> Iterator[list[RepositoryCommand]]:
    """Run a trainer that begins the first command at once, and answers with `outcome` once `when` returns true."""
    trainer_queue, commands = trainer(redis, leases, kind=REPOSITORY_COMMAND), list[RepositoryCommand]()
    stop = threading.Event()

    def work() -> None:
        while not (begun := trainer_queue.begin([])):
            if stop.is_set():
                return
            trainer_queue.wait_for_work(1)
        commands.append(RepositoryCommand.from_json(begun.payload))
        until(lambda: stop.is_set() or when(), "the moment to answer")
        trainer_queue.finish(begun.id, outcome)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield commands
    finally:
        stop.set()
        thread.join()


def is_awaited(redis: Redis) -> bool:
    """Return whether somebody waits for the end of a job."""
    return any(redis.hget(key, "reply") for key in redis.scan_iter("rq:job:*"))


def calls_of(redis: Redis, command: str) -> int:
    statistics: Any = redis.info("commandstats")
    return int(statistics.get(f"cmdstat_{command}", {"calls": 0})["calls"])


@pytest.mark.usefixtures("patient_callers")
def test_the_answer_to_a_command_wakes_its_caller(
    trainings: TrainerClient, redis: Redis, leases: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waited_jobs, "_CHECK", DEADLINE)
    redis.config_resetstat()
    with publisher(redis, leases, {"current": 2}, lambda: is_awaited(redis)) as commands:
        assert trainings.run_command(ROLL_BACK, wait=DEADLINE) == {"current": 2}
    assert commands == [ROLL_BACK]
    # The subscription's confirmation, the answer; a caller that polls would look more often.
    assert calls_of(redis, "zrangebyscore") <= 3


@pytest.mark.usefixtures("patient_callers")
def test_a_command_that_fails_has_the_trainers_reason(trainings: TrainerClient, redis: Redis, leases: Leases) -> None:
    failure = Failure("version_in_use", "an alias points at it", {"aliases": ["current"]})
    with publisher(redis, leases, failure), pytest.raises(ModelgateError) as raised:
        trainings.run_command(ROLL_BACK, wait=DEADLINE)
    assert raised.value.failure == failure


def test_a_command_may_run_longer_than_the_start_timeout(
    trainings: TrainerClient, redis: Redis, leases: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waited_jobs, "START_TIMEOUT", 3.0)
    monkeypatch.setattr(waited_jobs, "_CHECK", 0.1)
    redis.config_resetstat()
    # The caller looks every 0.1 s whether the command has to be withdrawn.
    with publisher(redis, leases, {"current": 2}, lambda: calls_of(redis, "zrangebyscore") >= 40):
        assert trainings.run_command(ROLL_BACK, wait=DEADLINE) == {"current": 2}


def test_without_a_trainer_a_command_is_withdrawn_and_never_runs(
    trainings: TrainerClient, redis: Redis, leases: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waited_jobs, "START_TIMEOUT", 0.2)
    with pytest.raises(TrainerUnavailable, match="no trainer answers"):
        trainings.run_command(ROLL_BACK, wait=5)
    assert trainer(redis, leases, kind=REPOSITORY_COMMAND).begin([]) is None


# Schedules


def waiting(redis: Redis) -> list[str]:
    return [job_id.decode() for job_id in redis.zrange("rq:scheduled:training", 0, -1)]


def test_a_schedule_has_a_job_as_stock_rq_schedules_one(schedules: Schedules, redis: Redis) -> None:
    made = schedules.put("loan", "0 3 * * 1", REQUEST)
    assert schedules.get("loan") == made and schedules.all() == [made]
    run_at = datetime.fromisoformat(made.next_run)
    assert (run_at.weekday(), run_at.hour, run_at.minute, run_at.tzinfo) == (0, 3, 0, UTC)
    assert waiting(redis) == [made.job]
    rq_job = fetch(redis, made.job)
    assert (rq_job.get_status(), rq_job.args, rq_job.origin) == (
        JobStatus.SCHEDULED,
        [REQUEST.to_json()],
        TRAINING.queue,
    )


@pytest.mark.parametrize("entry", [b"\xff", b"[]", b"[" * 100_000, b'{"request": {}}'])
def test_an_entry_that_is_no_schedule_hides_no_other_and_can_be_replaced(
    schedules: Schedules, redis: Redis, entry: bytes
) -> None:
    made = schedules.put("loan", "0 3 * * 1", REQUEST)
    for name in (b"\xff", b"iris"):
        redis.hset(KEY, name, entry)  # type: ignore[arg-type]
    assert schedules.all() == [made] and schedules.get("iris") is None
    again = schedules.put("iris", "0 4 * * 1", REQUEST)
    assert schedules.get("iris") == again


def test_a_new_schedule_replaces_the_old_one(schedules: Schedules, redis: Redis) -> None:
    first = schedules.put("loan", "0 3 * * 1", REQUEST)
    second = schedules.put("loan", "0 4 * * 1", REQUEST)
    assert waiting(redis) == [second.job]
    assert not redis.exists(f"rq:job:{first.job}")
    assert schedules.delete("loan") and not schedules.delete("loan")
    assert waiting(redis) == [] and not redis.exists(KEY, f"rq:job:{second.job}")


def test_one_run_makes_up_for_missed_ones(
    schedules: Schedules, redis: Redis, trainer_queue: SingleJobs, jobs: Jobs
) -> None:
    began = datetime.now(UTC)
    made = schedules.put("loan", "* * * * *", REQUEST)
    late = began - timedelta(hours=3)
    redis.zadd("rq:scheduled:training", {made.job: late.timestamp()})
    clock = Scheduler(redis, TRAINING.queue)
    runs: list[Schedule] = []
    for _ in range(3):
        assert clock.enqueue_due()
        schedules.advance(on_run=runs.append)
    assert begin(trainer_queue).id == made.job and runs == []
    assert read(jobs, made.job).status is Status.RUNNING
    schedules.advance(on_run=runs.append)
    schedules.advance(on_run=runs.append)
    assert runs == [made]
    following = schedules.get("loan")
    assert following is not None and following.job != made.job and waiting(redis) == [following.job]
    assert datetime.fromisoformat(following.next_run) > began
    assert trainer_queue.begin([made.job]) is None
    schedules.delete("loan")
    assert read(jobs, made.job).status is Status.RUNNING


def test_an_alarm_begins_a_run_once_and_no_other_does_within_a_day(
    schedules: Schedules, redis: Redis, trainer_queue: SingleJobs, jobs: Jobs
) -> None:
    made, clock = schedules.put("loan", "@alarm", REQUEST), Scheduler(redis, TRAINING.queue)
    now = datetime.now(UTC).replace(microsecond=0)
    begun: list[str] = []

    def begins(alarm: str, hours: float) -> str | None:
        """The id of the job that begins after so many hours, or that the alarm was refused."""
        schedule = schedules.get("loan")
        assert schedule is not None
        taken = schedules.run_on_alarm(schedule, alarm, now + timedelta(hours=hours))
        if taken:  # what begins in some hours, begins now
            redis.zadd("rq:scheduled:training", {schedule.job: int(time.time())}, xx=True, lt=True)
        assert clock.enqueue_due()
        schedules.advance()
        if job := trainer_queue.begin(begun):
            begun.append(job.id)
        return "refused" if not taken else job and job.id

    assert begins("loan@1 t", 0) == made.job
    assert read(jobs, made.job).created_at == timestamp(now), "a run is as old as its alarm"
    assert begins("loan@1 t", 0) is None, "an alarm begins one run"
    assert begins("loan@2 u", 23.9) == "refused"
    following = schedules.get("loan")
    assert following is not None
    assert schedules.alarms_wait([following]) == {"loan": now + timedelta(days=1)}
    assert begins("loan@2 u", 24.1) == following.job != made.job
    schedules.put("loan", "0 3 * * 1", REQUEST)
    assert schedules.alarms_wait(schedules.all()) == {}, "without @alarm there is nothing to wait for"


@pytest.mark.parametrize("cron", ["0 3 * * 1 @alarm", "@alarm"])
def test_a_schedule_may_have_times_and_alarms(schedules: Schedules, cron: str) -> None:
    made = schedules.put("loan", cron, REQUEST)
    assert made.on_alarm and made.has_times == (cron != "@alarm")
    assert (made.next_run < "9999") == made.has_times


@pytest.mark.parametrize("cron", ["@alarms", " @alarm", "x @alarm", "@alarm 0 3 * * 1"])
def test_what_is_neither_times_nor_an_alarm_is_no_schedule(schedules: Schedules, cron: str) -> None:
    with pytest.raises(ValueError, match="cron expression"):
        schedules.put("loan", cron, REQUEST)


def test_runs_do_not_pile_up_while_one_waits(
    schedules: Schedules, redis: Redis, trainings: TrainerClient, trainer_queue: SingleJobs
) -> None:
    made, clock = schedules.put("loan", "* * * * *", REQUEST), Scheduler(redis, TRAINING.queue)
    for _ in range(3):
        for job_id in waiting(redis):
            redis.zadd("rq:scheduled:training", {job_id: datetime.now(UTC).timestamp() - 60})
        assert clock.enqueue_due()
        schedules.advance()
    assert trainings.waiting() == 1
    assert schedules.get("loan") == made
    begin(trainer_queue)
    schedules.advance()
    assert len(waiting(redis)) == 1 and schedules.get("loan") != made


def test_a_crash_between_a_run_and_the_next_loses_no_schedule(schedules: Schedules, redis: Redis) -> None:
    made = schedules.put("loan", "0 3 * * *", REQUEST)
    redis.zrem("rq:scheduled:training", made.job)
    schedules.advance()
    assert len(waiting(redis)) == 1


def test_only_one_trainer_schedules(redis: Redis) -> None:
    first, second = Scheduler(redis, TRAINING.queue), Scheduler(redis, TRAINING.queue)
    assert first.enqueue_due() and not second.enqueue_due()
    first.stop()
    second._not_before = 0
    assert second.enqueue_due()


@pytest.mark.parametrize(
    ("cron", "said"),
    [
        ("", "five fields"),
        ("* * * * * *", "five fields"),
        ("@daily", "five fields"),
        ("61 * * * *", "not a cron expression"),
        ("a b c d e", "not a cron expression"),
        ("0 0 31 2 *", "does not exist"),
        ("r r r r r", "random field"),
        ("0 R(3-5) * * *", "random field"),
        ("*/0 * * * *", "not a cron expression"),
        ("1 " * 200, "five fields"),
    ],
)
def test_an_invalid_cron_expression_is_refused_with_a_reason(cron: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        next_run(cron, datetime(2026, 1, 1, tzinfo=UTC))


def test_dates_are_utc() -> None:
    assert next_run("30 2 29 2 *", datetime(2026, 1, 1, tzinfo=UTC)) == datetime(2028, 2, 29, 2, 30, tzinfo=UTC)


def test_a_job_is_what_the_list_shows(trainings: TrainerClient, jobs: Jobs) -> None:
    job = trainings.submit(REQUEST)
    assert isinstance(job, Job)
    assert jobs.list(JobFilter(model="loan")).items == [job]


def test_the_ids_of_a_request_reach_the_trainer(redis: Redis, trainer_queue: SingleJobs) -> None:
    trainings = TrainerClient(redis, SIGNER, timeout=60, result_ttl=60, asker=Asker(lambda: "order-17"))
    job_id = trainings.submit(REQUEST).id
    context = {"request_id": "order-17", "trace_id": None, "job_id": job_id, "model": REQUEST.model}
    assert begin(trainer_queue).context() == context
