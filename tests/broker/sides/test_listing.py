"""Lists of jobs, page by page."""

from __future__ import annotations

import base64

import pytest
from redis import Redis

from broker.sides.gateway.job_client import Jobs
from broker.sides.gateway.listing import JobFilter, Page
from broker.sides.supervisor import Leases
from contract.errors import Failure
from contract.work.jobs import Status
from tests.broker.samples import job, outcome, scorer, take


@pytest.fixture
def jobs(redis: Redis, leases: Leases) -> Jobs:
    """Of each of two models, in the order of submission: 2 succeeded, 1 failed, 1 expired, 1 cancelled, 2 running,
    3 queued."""
    made = Jobs(redis, max_queue_rows=1000, timeout=30, result_ttl=60)
    for slot, model in enumerate(("one", "two")):
        first, second = (scorer(leases, redis, f"w-{slot}{part}-x") for part in (0, 1))
        made.submit([job(f"{model}{number}", model=model) for number in range(3)])
        take(first, models=[model])
        made.submit([job(f"{model}3", model=model, expires_after=0), job(f"{model}4", model=model)])
        first.finish({f"{model}0": outcome(0.0)})
        first.finish({f"{model}1": outcome(1.0), f"{model}2": Failure("model_error", "no")})
        leases.expire()
        made.cancel(f"{model}4")
        made.submit([job(f"{model}{number}", model=model) for number in range(5, 10)])
        take(second, jobs=2, models=[model])
    return made


def names(page: Page) -> list[str]:
    return [item.id for item in page.items]


def all_pages(jobs: Jobs, limit: int, model: str | None = None, status: Status | None = None) -> list[str]:
    ids, cursor = list[str](), None
    while True:
        page = jobs.list(JobFilter(model, status), limit, cursor)
        assert len(page.items) <= limit
        ids += names(page)
        cursor = page.next_cursor
        if cursor is None:
            return ids


ONE = ["one9", "one8", "one7", "one5", "one6", "one4", "one3", "one2", "one1", "one0"]


def test_queued_jobs_come_first_then_running_then_ended_ones(jobs: Jobs) -> None:
    page = jobs.list(JobFilter("one"))
    assert (names(page), page.next_cursor) == (ONE, None)


@pytest.mark.parametrize("limit", [1, 2, 3, 10, 500])
def test_pages_put_together_are_the_whole_list(jobs: Jobs, limit: int) -> None:
    assert all_pages(jobs, limit, "one") == ONE
    both = all_pages(jobs, limit)
    assert sorted(both) == sorted([*ONE, *(name.replace("one", "two") for name in ONE)])
    assert both[:6] == ["one9", "one8", "one7", "two9", "two8", "two7"]
    assert both[10:] == ["two4", "two3", "two2", "two1", "two0", "one4", "one3", "one2", "one1", "one0"]


@pytest.mark.parametrize(
    ("status", "numbers"),
    [
        (Status.QUEUED, (9, 8, 7)),
        (Status.RUNNING, (5, 6)),
        (Status.SUCCEEDED, (1, 0)),
        (Status.FAILED, (2,)),
        (Status.CANCELED, (4,)),
        (Status.EXPIRED, (3,)),
    ],
)
def test_jobs_are_listed_by_status(jobs: Jobs, status: Status, numbers: tuple[int, ...]) -> None:
    assert all_pages(jobs, 1, "two", status) == [f"two{number}" for number in numbers]
    assert {item.status for item in jobs.list(JobFilter(status=status)).items} == {status}


def test_new_jobs_do_not_disturb_the_next_page(jobs: Jobs) -> None:
    page = jobs.list(JobFilter("one"), limit=2)
    jobs.submit([job("new", model="one")])
    assert names(jobs.list(JobFilter("one"), limit=2, cursor=page.next_cursor)) == ["one7", "one5"]


def test_the_list_continues_after_the_queue_if_the_last_job_of_a_page_was_taken(
    jobs: Jobs, redis: Redis, leases: Leases
) -> None:
    page = jobs.list(JobFilter("one"), limit=2)
    take(scorer(leases, redis, "w-9-x"), jobs=3, models=["one"])
    assert names(jobs.list(JobFilter("one"), limit=9, cursor=page.next_cursor))[:2] == ["one5", "one6"]


def test_a_model_without_jobs_has_an_empty_list(jobs: Jobs) -> None:
    assert jobs.list(JobFilter("none")) == Page([], None)


WITHINS = ('"a"', "1", "true", "NaN", "Infinity", "1e999", "[" * 5000)
FORGED = [base64.b64encode(f'["ended",{within},"b"]'.encode()).decode() for within in WITHINS]


@pytest.mark.parametrize("text", ["x", "é", "W10", "bnVsbA", *FORGED])
def test_a_cursor_that_no_page_gave_is_refused(jobs: Jobs, text: str) -> None:
    with pytest.raises(ValueError, match="is not a cursor"):
        jobs.list(cursor=text)


@pytest.mark.parametrize("limit", [0, 501])
def test_a_limit_out_of_range_is_refused(jobs: Jobs, limit: int) -> None:
    with pytest.raises(ValueError, match="between 1 and 500"):
        jobs.list(limit=limit)


@pytest.fixture
def large(redis: Redis, leases: Leases, monkeypatch: pytest.MonkeyPatch) -> Jobs:
    """Nine jobs have ended, with outputs of 10,000 bytes, but one of 60,000; two wait. A page has 25,000 bytes."""
    monkeypatch.setattr("broker.sides.gateway.listing.MOST_BYTES", 25_000)
    made, worker = Jobs(redis, max_queue_rows=1000, timeout=30, result_ttl=60), scorer(leases, redis, "w-0-x")
    for number in range(9):
        made.submit([job(f"large{number}")])
        take(worker)
        worker.finish({f"large{number}": outcome(*[0.0] * (12_000 if number == 4 else 2_000))})
    made.submit([job("waits0"), job("waits1")])
    return made


def test_large_outputs_end_a_page_early_and_no_job_is_skipped(large: Jobs) -> None:
    pages, cursor = [], None
    while True:
        page = large.list(limit=500, cursor=cursor)
        pages.append(names(page))
        cursor = page.next_cursor
        if cursor is None:
            break
    assert [name for page in pages for name in page] == ["waits1", "waits0", *(f"large{n}" for n in range(8, -1, -1))]
    assert [len(page) for page in pages] == [5, 1, 1, 3, 1]


def test_redis_sends_no_more_than_a_page_holds(large: Jobs, redis: Redis) -> None:
    before = redis.info("stats")["total_net_output_bytes"]
    large.list(limit=500)
    assert redis.info("stats")["total_net_output_bytes"] - before < 40_000
