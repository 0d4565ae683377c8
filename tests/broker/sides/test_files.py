"""File predictions: their stages, their tasks in the bulk lane, deaths, cancels, expiry."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from redis import Redis

from broker.link.scripts import FencedError
from broker.sides.file_tasks import FileTask, FileTasks, Stage
from broker.sides.gateway.file_submission import FileJobs, FileSubmission
from broker.sides.gateway.job_client import Jobs
from broker.sides.gateway.listing import JobFilter
from broker.sides.observer import BEGINNING, LogStream
from broker.sides.scorer import ScorerQueue
from broker.sides.supervisor import Leases
from broker.state.prediction_log import LOG, LOG_BYTES
from contract.errors import Code, Failure
from contract.rows.file_formats import FileFormat
from contract.work.jobs import FileRequest, Status
from contract.work.prediction_log import LogRecord
from tests.broker.file_machine import FileMachine
from tests.broker.samples import job, outcome, read, take
from tests.broker.test_invariants import SOAK, walks

CREATED = "2026-01-02T03:04:05.000006Z"
SCORED = {"rows": 10, "refused": 1, "nulls": 0}


@pytest.fixture
def files(redis: Redis) -> FileJobs:
    return FileJobs(redis, timeout=30, result_ttl=60)


@pytest.fixture
def lanes(redis: Redis, leases: Leases) -> list[FileTasks]:
    """The bulk lane as three scorers see it: w-0-x, w-1-x and w-2-x."""
    for slot in range(3):
        leases.register(f"w-{slot}-x")
    return [FileTasks(redis, f"w-{slot}-x") for slot in range(3)]


def file_job(job_id: str, model: str = "sum", **changes: Any) -> FileSubmission:
    return FileSubmission(job_id, CREATED, FileRequest(model, 1, FileFormat.CSV, FileFormat.CSV), **changes)


def taken(lane: FileTasks, **limits: Any) -> FileTask:
    task = lane.take(**limits)
    assert task is not None
    return task


def planned(files: FileJobs, lane: FileTasks, job_id: str, chunks: int, **changes: Any) -> None:
    """Submit a file and plan it."""
    assert files.submit(file_job(job_id, **changes), 10)
    lane.finish(taken(lane), {"tasks": chunks, "rows": 10 * chunks})


def nothing_is_left(redis: Any) -> None:
    left = [key for key in redis.keys("*") if b"file-task" in key or b"-score-" in key or key == b"mg:lane"]
    assert left == []
    assert redis.zcard("mg:held:files") == 0


def test_a_file_is_planned_then_scored_in_chunks_then_assembled(
    redis: Redis, files: FileJobs, jobs: Jobs, lanes: list[FileTasks]
) -> None:
    lane = lanes[0]
    assert files.submit(file_job("f"), 10)
    assert read(jobs, "f").status is Status.QUEUED
    plan = taken(lane)
    assert (plan.file, plan.stage, plan.file_request.model) == ("f", Stage.PLAN, "sum")
    assert read(jobs, "f").status is Status.RUNNING
    lane.finish(plan, {"tasks": 2, "rows": 20})
    for number in range(2):
        task = taken(lane)
        assert (task.stage, task.number) == (Stage.SCORE, number)
        assert read(jobs, "f").progress == {
            "fraction": number / 2,
            "done": 10 * number,
            "total": 20,
            "unit": "rows",
            "phase": "scoring",
        }
        lane.finish(task, SCORED)
    last = taken(lane)
    assert last.stage is Stage.ASSEMBLE
    lane.finish(last, {"warnings": ["late"]})
    ended = read(jobs, "f")
    assert (ended.kind, ended.status, ended.warnings) == ("file_prediction", Status.SUCCEEDED, ["late"])
    assert ended.output == {"rows": 20, "errors": 2, "href": "/v1/jobs/f/output", "format": "text/csv"}
    assert lane.take() is None
    assert redis.hget("mg:counts:model:sum", "refused_rows_total") == b"2"
    nothing_is_left(redis)


def test_several_scorers_share_one_file(files: FileJobs, jobs: Jobs, lanes: list[FileTasks]) -> None:
    planned(files, lanes[0], "f", 3)
    tasks = [taken(lane) for lane in lanes]
    assert [task.number for task in tasks] == [0, 1, 2]
    for lane, task in zip(lanes[1:], tasks[1:], strict=True):
        lane.finish(task, SCORED)
    assert lanes[1].take() is None, "the assembly waits for the last chunk"
    lanes[0].finish(tasks[0], SCORED)
    assert taken(lanes[2]).stage is Stage.ASSEMBLE


def test_files_take_turns_by_tasks(files: FileJobs, lanes: list[FileTasks]) -> None:
    planned(files, lanes[0], "f", 9)
    assert files.submit(file_job("g", "other"), 10)
    assert [taken(lane).file for lane in lanes] == ["f", "g", "f"]


def test_owners_of_files_take_turns_whatever_they_cancel(files: FileJobs, jobs: Jobs, lanes: list[FileTasks]) -> None:
    for name in ("a0", "a1", "a2", "a3", "b0"):
        assert files.submit(file_job(name, owner=name[0]), 10)
    order = [taken(lane) for lane in lanes]
    assert [task.file for task in order] == ["a0", "b0", "a1"]
    for lane, task in zip(lanes, order, strict=True):
        lane.finish(task, {"tasks": 20, "rows": 200})
    for name in ("a2", "a3", *(f"a{number}" for number in range(4, 20))):
        assert files.submit(file_job(name, owner="a"), 100)
        jobs.cancel(name)
    owners = []
    for _ in range(16):
        task = taken(lanes[0])
        owners.append(task.file[0])
        lanes[0].finish(task, SCORED)
    assert owners.count("b") in (7, 8, 9)


def test_a_lost_reply_gives_the_same_task_again(files: FileJobs, lanes: list[FileTasks]) -> None:
    planned(files, lanes[0], "f", 2)
    assert lanes[0].take() == lanes[0].take()


def test_a_finish_sent_twice_counts_once(files: FileJobs, jobs: Jobs, lanes: list[FileTasks]) -> None:
    planned(files, lanes[0], "f", 3)
    task = taken(lanes[0])
    for _ in range(2):
        lanes[0].finish(task, SCORED)
    progress = read(jobs, "f").progress
    assert progress is not None and progress["done"] == 10


def test_a_scorer_takes_only_files_of_its_models(files: FileJobs, lanes: list[FileTasks]) -> None:
    assert files.submit(file_job("f", "slow"), 10) and files.submit(file_job("g", "sum"), 10)
    assert lanes[0].take(models=["loan"]) is None
    assert taken(lanes[0], skip=["slow"]).file == "g"
    assert taken(lanes[1], models=["slow"]).file == "f"


def test_predictions_are_taken_while_a_scorer_owns_a_task(
    redis: Redis, files: FileJobs, jobs: Jobs, lanes: list[FileTasks]
) -> None:
    planned(files, lanes[0], "f", 2)
    task = taken(lanes[0])
    queue = ScorerQueue(redis, "w-0-x")
    jobs.submit([job("a")])
    assert take(queue) == ["a"]
    assert take(queue) == ["a"], "a lost reply"
    assert queue.finish({"a": outcome(3.0)}) == []
    assert lanes[0].report(task, 5, range(0))
    lanes[0].finish(task, SCORED)
    assert read(jobs, "f").status is Status.RUNNING


def test_another_scorer_goes_on_with_the_task_of_a_dead_one(
    redis: Redis, files: FileJobs, jobs: Jobs, leases: Leases, lanes: list[FileTasks]
) -> None:
    planned(files, lanes[0], "f", 2)
    task = taken(lanes[0])
    assert lanes[0].report(task, 4, range(4, 8))
    assert leases.give_back("w-0-x", [task.id]) == {task.id: "queued"}
    assert read(jobs, "f").progress["done"] == 0  # type: ignore[index]
    again = taken(lanes[1])
    assert (again.id, again.deaths) == (task.id, 1)
    lanes[1].finish(again, SCORED)
    lanes[1].finish(taken(lanes[1]), SCORED)
    lanes[1].finish(taken(lanes[1]), {"warnings": []})
    assert read(jobs, "f").output == {"rows": 20, "errors": 2, "href": "/v1/jobs/f/output", "format": "text/csv"}
    nothing_is_left(redis)


def test_the_rows_of_a_chunk_are_logged_once_whoever_dies_and_whatever_is_repeated(
    redis: Redis, files: FileJobs, leases: Leases, lanes: list[FileTasks]
) -> None:
    planned(files, lanes[0], "f", 1, logged={"owner": "risk"})
    first, *_ = records = [LogRecord(9, b'{"job_id":["f"]}')]
    dead = taken(lanes[0])
    leases.give_back("w-0-x", [dead.id])
    with pytest.raises(FencedError):
        lanes[0].finish(dead, SCORED, records)
    again = taken(lanes[1])
    assert again.logged == {"owner": "risk"}
    for _ in range(2):
        assert lanes[1].finish(again, SCORED, records)
    (entry,) = LogStream(redis).read(BEGINNING, 10)
    assert (entry.version, len(entry.records)) == ("sum@1", 1)
    assert redis.get(LOG_BYTES) == b"%d" % len(first.line)


def test_a_chunk_of_a_cancelled_file_is_neither_logged_nor_waits(
    redis: Redis, files: FileJobs, jobs: Jobs, lanes: list[FileTasks]
) -> None:
    planned(files, lanes[0], "f", 1, logged={})
    task = taken(lanes[0])
    assert jobs.cancel("f")
    redis.set(LOG_BYTES, 2**25)
    assert lanes[0].finish(task, SCORED, [LogRecord(9, b"{}")])
    assert not redis.exists(LOG)


@pytest.mark.parametrize("log", ["[]", "1", "{"])
def test_a_file_with_something_else_for_the_log_is_refused(
    redis: Redis, files: FileJobs, jobs: Jobs, lanes: list[FileTasks], log: str
) -> None:
    assert files.submit(file_job("f"), 10)
    redis.hset("rq:job:f", "log", log)
    assert lanes[0].take() is None
    error = read(jobs, "f").error
    assert error and error.code == Code.JOB_REFUSED


def test_a_task_that_times_out_makes_its_model_slow(
    redis: Redis, files: FileJobs, leases: Leases, lanes: list[FileTasks]
) -> None:
    planned(files, lanes[0], "f", 2)
    task = taken(lanes[0])
    leases.give_back("w-0-x", [task.id], Failure(Code.TIMEOUT, "too long"))
    model = task.file_request.model
    assert leases.spare(["predict:*"], (), ()).models == {model}
    assert redis.keys(f"mg:timeouts:{model}") == []
    redis.delete("mg:timeouts")
    planned(files, lanes[1], "g", 2)
    taken(lanes[1])
    assert leases.spare(["predict:*"], (), ["w-1-x"]).models == {model}, "it has been running for long"


def test_a_chunk_that_kills_three_scorers_fails_its_file_and_names_the_rows(
    redis: Redis, files: FileJobs, jobs: Jobs, leases: Leases, lanes: list[FileTasks]
) -> None:
    planned(files, lanes[0], "f", 2)
    for slot, lane in enumerate(lanes):
        task = taken(lane)
        assert task.number == 0
        assert lane.report(task, 2, range(2, 4))
        leases.give_back(f"w-{slot}-x", [task.id])
    failed = read(jobs, "f")
    assert failed.status is Status.FAILED and failed.error is not None
    assert failed.error.code == Code.WORKER_CRASHED
    assert failed.error.message.startswith("rows 2 to 3: ")
    nothing_is_left(redis)


def test_a_plan_that_kills_three_scorers_says_which_rows_it_tries(
    files: FileJobs, jobs: Jobs, leases: Leases, lanes: list[FileTasks]
) -> None:
    assert files.submit(file_job("f"), 10)
    for slot, lane in enumerate(lanes):
        task = taken(lane)
        assert lane.report(task, 0, range(0))
        leases.give_back(f"w-{slot}-x", [task.id])
    failed = read(jobs, "f").error
    assert failed is not None
    assert failed.message.startswith("while the file was planned with its first rows (4096 at most): the worker")


def test_a_failed_task_fails_its_file(redis: Redis, files: FileJobs, jobs: Jobs, lanes: list[FileTasks]) -> None:
    planned(files, lanes[0], "f", 3)
    others = [taken(lane) for lane in lanes]
    lanes[1].finish(others[1], Failure(Code.MODEL_ERROR, "it hurts"))
    assert read(jobs, "f").error == Failure(Code.MODEL_ERROR, "it hurts")
    assert not lanes[0].report(others[0], 1, range(0)), "the others learn that the file has ended"
    lanes[2].finish(others[2], SCORED)
    assert read(jobs, "f").status is Status.FAILED
    nothing_is_left(redis)


def test_a_released_task_goes_to_another_scorer_without_a_death(files: FileJobs, lanes: list[FileTasks]) -> None:
    planned(files, lanes[0], "f", 1)
    task = taken(lanes[0])
    for _ in range(2):
        lanes[0].release(task)
    again = taken(lanes[1])
    assert (again.id, again.deaths) == (task.id, 0)
    assert lanes[0].take() is None


@pytest.mark.parametrize("begun", [False, True])
def test_a_cancelled_file_leaves_nothing(
    redis: Redis, files: FileJobs, jobs: Jobs, lanes: list[FileTasks], begun: bool
) -> None:
    assert files.submit(file_job("f"), 10)
    task = taken(lanes[0]) if begun else None
    canceled = jobs.cancel("f")
    assert canceled is not None and canceled[0]
    assert read(jobs, "f").status is Status.CANCELED
    nothing_is_left(redis)
    if task:
        assert not lanes[0].report(task, 1, range(0))
        lanes[0].finish(task, {"tasks": 2, "rows": 20})
    assert lanes[1].take() is None
    assert read(jobs, "f").status is Status.CANCELED


def test_a_file_past_its_deadline_expires(files: FileJobs, jobs: Jobs, leases: Leases, lanes: list[FileTasks]) -> None:
    assert files.submit(file_job("f", expires_after=0.0), 10)
    assert files.submit(file_job("g", expires_after=0.0), 10)
    assert lanes[0].take() is None
    leases.expire()
    assert {read(jobs, job_id).status for job_id in "fg"} == {Status.EXPIRED}


def test_an_owner_has_only_so_many_files_in_flight(files: FileJobs, lanes: list[FileTasks]) -> None:
    assert files.submit(file_job("f", owner="x"), 2)
    taken(lanes[0])
    assert files.submit(file_job("g", owner="x"), 2)
    assert files.submit(file_job("g", owner="x"), 2), "repeating is harmless"
    assert not files.submit(file_job("h", owner="x"), 2)
    assert files.submit(file_job("i", owner="y"), 2)


def test_files_are_listed_for_their_owner(files: FileJobs, jobs: Jobs, lanes: list[FileTasks]) -> None:
    for job_id, owner in (("f", "x"), ("g", "y"), ("h", "x")):
        assert files.submit(file_job(job_id, owner=owner), 10)
    taken(lanes[0])

    def ids(**filters: Any) -> list[str]:
        return [job.id for job in jobs.list(JobFilter(**filters)).items]

    assert sorted(ids(owner="x")) == ["f", "h"]
    assert ids(model="sum", owner="y") == ["g"]
    assert ids(status=Status.RUNNING) == ["f"]


def test_reconcile_keeps_running_files_and_forgets_empty_queues(
    redis: Any, files: FileJobs, jobs: Jobs, leases: Leases, lanes: list[FileTasks]
) -> None:
    planned(files, lanes[0], "f", 1)
    redis.delete("mg:lane")  # as if stock RQ had cancelled and queued it again
    assert files.submit(file_job("g", "other"), 10)
    redis.delete("mg:lane")
    leases.reconcile()
    assert taken(lanes[0]).file == "g"
    assert read(jobs, "f").status is Status.RUNNING
    jobs.cancel("g")
    jobs.delete("g")
    leases.reconcile()
    assert redis.smembers("rq:queues") == {b"rq:queue:file:sum"}


def test_what_stock_rq_has_deleted_is_forgotten(redis: Any, files: FileJobs, lanes: list[FileTasks]) -> None:
    planned(files, lanes[0], "f", 3)
    task = taken(lanes[0])
    redis.delete("rq:job:f")
    assert not lanes[0].report(task, 1, range(0))
    lanes[0].release(task)
    assert lanes[1].take() is None
    nothing_is_left(redis)


def test_any_order_of_calls_keeps_the_invariants_of_files(redis: Redis) -> None:
    run_state_machine_as_test(lambda: FileMachine(redis), settings=settings(walks, max_examples=15 * SOAK))


def test_a_job_whose_id_leads_out_of_the_spool_is_refused(files: FileJobs, jobs: Jobs, lanes: list[FileTasks]) -> None:
    assert files.submit(file_job("../../etc"), 10)
    assert lanes[0].take() is None
    error = read(jobs, "../../etc").error
    assert error is not None and error.code == Code.JOB_REFUSED
