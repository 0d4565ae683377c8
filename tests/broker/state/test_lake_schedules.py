"""When the runs of scheduled predictions are due, and what of a lake each has."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from redis import Redis

from broker.state import schedules as limits
from broker.state.lake_schedules import KEY, PATIENCE, LakeRunReport, LakeSchedule, LakeSchedules, RunStatus, at_time
from broker.state.schedules import TooManySchedules
from contract.work.jobs import timestamp

DATED = LakeSchedule(
    "loan@canary", "30 2 * * *", "s3://lake/{date}/*.parquet", "s3://lake/scored/{date}/", "predict", False
)
FIXED = replace(DATED, source="s3://lake/new/*.parquet", target="s3://lake/scored/")


def moment(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}:00Z")


def after(schedule: LakeSchedule, due: str, status: RunStatus, now: str) -> str:
    """The next run after that at `due` is reported."""
    waiting = replace(schedule, next_run=timestamp(moment(due)))
    return waiting.after(LakeRunReport(waiting.next_run, status), moment(now)).next_run[:16]


def test_parts_of_a_time_are_those_of_the_run() -> None:
    at = moment("2026-03-01T02:30")
    url = "s3://lake/{year}/{month}/{day}/h={hour}/{date}-{yesterday}/*.csv"
    assert at_time(url, at) == "s3://lake/2026/03/01/h=02/2026-03-01-2026-02-28/*.csv"
    with pytest.raises(ValueError, match=r"\{week\} in '.*' is no part of the time of a run; there are \{date\}, "):
        at_time("s3://lake/{week}/", at)


def test_a_run_that_succeeded_is_followed_by_the_next() -> None:
    for schedule in (DATED, FIXED):
        assert after(schedule, "2026-03-01T02:30", RunStatus.SUCCEEDED, "2026-03-01T03:00") == "2026-03-02T02:30"


def test_of_missed_runs_none_is_left_out_if_their_objects_are_others() -> None:
    due, now = "2026-03-01T02:30", "2026-03-09T12:00"
    assert after(DATED, due, RunStatus.SUCCEEDED, now) == "2026-03-02T02:30"
    assert after(FIXED, due, RunStatus.SUCCEEDED, now) == "2026-03-10T02:30"


def test_a_run_that_failed_stays_due_until_the_next_one_is() -> None:
    due = "2026-03-01T02:30"
    for schedule in (DATED, FIXED):
        assert after(schedule, due, RunStatus.RUNNING, "2026-03-05T12:00") == due
        assert after(schedule, due, RunStatus.FAILED, "2026-03-02T02:29") == due
    assert after(DATED, due, RunStatus.FAILED, "2026-03-05T12:00") == "2026-03-02T02:30"
    assert after(FIXED, due, RunStatus.FAILED, "2026-03-05T12:00") == "2026-03-06T02:30"


@pytest.mark.parametrize(
    ("source", "target", "mixes"),
    [
        ("s3://lake/{date}/*", "s3://out/{date}/", False),
        ("s3://lake/{year}/{month}/{day}/*", "s3://out/{date}/", False),
        ("s3://lake/{date}/*", "s3://out/", True),
        ("s3://lake/new/*", "s3://out/", False),
        ("s3://lake/new/*", "s3://out/{date}/", False),
    ],
)
def test_objects_of_other_runs_need_other_folders(source: str, target: str, mixes: bool) -> None:
    assert replace(DATED, source=source, target=target).mixes_objects is mixes


def test_a_run_of_which_nothing_is_heard_counts_as_failed() -> None:
    due = moment("2026-03-01T02:30")
    schedule = replace(DATED, next_run=timestamp(due))
    late, later = due + timedelta(seconds=PATIENCE + 1), due + timedelta(seconds=2 * PATIENCE)
    assert [schedule.has_failed(now) for now in (due, late)] == [False, True]
    said = LakeRunReport(schedule.next_run, RunStatus.RUNNING, reported_at=timestamp(late))
    running = replace(schedule, last_run=said)
    assert [running.has_failed(now) for now in (late, later, late + timedelta(seconds=PATIENCE + 1))] == [
        False,
        False,
        True,
    ]
    failed = replace(said, status=RunStatus.FAILED)
    assert replace(schedule, last_run=failed).has_failed(late)


def test_a_failure_is_known_until_a_run_succeeds() -> None:
    now = moment("2026-03-01T02:31")
    schedule = replace(DATED, next_run="2026-03-01T02:30:00.000000Z")
    for status, error, failed in (
        (RunStatus.RUNNING, None, False),
        (RunStatus.FAILED, "no object", True),
        (RunStatus.RUNNING, None, True),
        (RunStatus.SUCCEEDED, None, False),
        (RunStatus.RUNNING, None, False),
    ):
        said = LakeRunReport(schedule.next_run, status, error=error, reported_at=timestamp(now))
        schedule = schedule.after(said, now)
        assert schedule.has_failed(now) is failed


def test_what_is_said_of_another_run_changes_nothing(redis: Redis) -> None:
    schedules = LakeSchedules(redis)
    made = schedules.put(DATED)
    assert made.next_run[11:16] == "02:30" and not made.is_due(datetime.now(UTC))
    old = LakeRunReport("2026-03-01T02:30:00.000000Z", RunStatus.SUCCEEDED)
    assert schedules.report("loan", old) == made == schedules.get("loan")
    assert schedules.report("iris", old) is None
    said = schedules.report("loan", replace(old, due=made.next_run, rows=7))
    assert said and said.last_run and said.last_run.rows == 7 and said.next_run > made.next_run
    assert schedules.all() == [said]


def test_an_unreadable_entry_is_none_and_can_be_replaced(redis: Redis) -> None:
    schedules = LakeSchedules(redis)
    for entry in ("", "[]", "{", '{"reference": "loan"}', '{"last_run": {"status": "asleep"}}'):
        redis.hset(KEY, "loan", entry)
        assert schedules.all() == [] and schedules.get("loan") is None
    made = schedules.put(DATED)
    redis.hset(KEY, "loan", redis.hget(KEY, "loan").replace(made.next_run.encode(), b"soon"))  # type: ignore[union-attr]
    assert schedules.get("loan") is None
    assert schedules.put(DATED) == made and not schedules.delete("iris") and schedules.delete("loan")


def test_there_are_not_too_many(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST", 2)
    schedules = LakeSchedules(redis)
    for model in ("a", "b", "b"):
        schedules.put(replace(DATED, reference=model))
    with pytest.raises(TooManySchedules, match="there are 2 schedules already"):
        schedules.put(replace(DATED, reference="c"))
