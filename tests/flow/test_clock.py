"""The machine's clock jumps: no job is affected, since leases and deadlines use Redis' time or monotonic clocks."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flow import estimators
from tests.flow.audit import audit
from tests.flow.clients import Clients
from tests.stacks.gateways import Site, start_site
from tests.stacks.preloaded import Changeable, build_clock
from tests.support import PROJECT, SOAK, numbers, until, write_version

DAY = 86_400


@pytest.fixture
def clock(tmp_path: Path) -> Changeable:
    clock = build_clock(tmp_path)
    if clock is None:
        pytest.skip("needs a C compiler")
    return clock


@pytest.fixture
def site(tmp_path: Path, models: Path, clock: Changeable) -> Iterator[Site]:
    for name, seconds in (("quick", 0.001), ("long", 60)):
        write_version(models, name, estimators.Slow(seconds), numbers("a"), by_value=True)
    with start_site(tmp_path, models, environment=clock.settings, result_ttl=60 * 30 * DAY, **clock.settings) as site:
        yield site


@pytest.mark.slow
def test_a_clock_that_jumps_affects_no_job(site: Site, clock: Changeable) -> None:
    for name in ("first", "second"):
        site.cluster.start(name, **clock.settings)
    for worker in site.cluster.workers:
        worker.ready()
    redis = site.cluster.redis
    began = redis.time()[0]
    with Clients(site.gateway.address, ["quick"]) as clients:
        for shift in (DAY, -DAY, 3600, 0) * SOAK:
            clients.until_more(50, "before")
            clock.set(shift)
            until(lambda s=shift: abs(redis.time()[0] - began - s) < 1000, "the clock of Redis has jumped")
            clients.until_more(50, "afterwards")
    assert clients.statuses().keys() == {200}
    assert all(answer.right for answer in clients.answers)
    assert site.cluster.each_has_one_result(answer.job_id for answer in clients.answers)
    until(lambda: audit(redis) == [], "everything is as it should be")
    for worker in site.cluster.workers:
        worker.ready()


@pytest.mark.slow
def test_a_clock_that_is_set_back_does_not_prolong_the_lease_of_a_dead_worker(site: Site, clock: Changeable) -> None:
    clock.set(DAY)
    worker = site.cluster.start("same", workers=1, **clock.settings).ready(1)
    held = site.gateway.post("long", {"a": 1}).json()["id"]
    site.cluster.running(held)
    before = worker.scorers()
    worker.kill()
    clock.set(0)
    again = site.cluster.start("same", workers=1, **clock.settings)
    until(lambda: again.scorers() and not again.scorers().keys() & before.keys(), "it comes back")

    def holder() -> str:
        return (site.cluster.redis.hget(f"rq:job:{held}", "worker_name") or b"").decode()

    # By now that can also be a scorer that has followed the first one.
    until(lambda: holder() and holder() not in before, "and goes on with what it held")


WALL_CLOCKS = {
    "time.time",
    "time.time_ns",
    "datetime.now",
    "datetime.utcnow",
    "date.today",
    "time.localtime",
    "timestamp_now",
}


def test_only_creation_times_come_from_a_wall_clock() -> None:
    """Leases, deadlines, pauses and time-outs go by Redis' clock or by monotonic ones."""
    calls = set()
    for path in sorted(path for folder in ("broker", "gateway", "worker") for path in (PROJECT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and any(ast.unparse(node.func).endswith(name) for name in WALL_CLOCKS):
                calls.add((str(path.relative_to(PROJECT)), ast.unparse(node)))
    assert calls == {
        ("gateway/serving/predicting.py", "timestamp_now()"),
        ("gateway/serving/file_predictions.py", "timestamp_now()"),
        ("gateway/protocols/webhooks.py", "timestamp_now()"),
        ("worker/file_sweep.py", "time.time()"),  # the age of a folder without a job; its files have such times
        ("broker/sides/deliveries.py", "timestamp_now()"),  # when a delivery was given up
        # A cron expression speaks of the time of day.
        ("broker/state/schedules.py", "datetime.now(UTC)"),
        ("broker/state/lake_schedules.py", "datetime.now(UTC)"),
        ("gateway/protocols/lake_schedules.py", "datetime.now(UTC)"),
        ("gateway/routes/lake_schedules.py", "datetime.now(UTC)"),
        ("gateway/routes/experiments.py", "datetime.now(UTC)"),  # whether their end is still to come
        ("gateway/pages/experiments/page.py", "datetime.now(UTC)"),
        ("broker/access/key_store.py", "datetime.now(UTC)"),  # keys expire at a time of day
        ("broker/access/key_store.py", "time.time()"),
        ("gateway/door/authentication.py", "time.time()"),
        ("gateway/protocols/key_requests.py", "datetime.now(UTC)"),
        ("gateway/protocols/key_requests.py", "timestamp_now()"),
        ("broker/access/audit_log.py", "datetime.now(UTC)"),  # the days that an entry is kept
        (
            "broker/state/trainer_jobs.py",
            "time.time()",
        ),  # the end of a signature, which must not depend on what Redis says
        ("gateway/pages/wording.py", "datetime.now(UTC)"),  # how long ago something was
        # Hours and days of traffic, failures and events, and of what is written beside them.
        ("broker/state/failures.py", "time.time()"),
        ("broker/state/starts.py", "time.time()"),
        ("gateway/pages/failure_page.py", "time.time()"),
        ("gateway/routes/traffic.py", "time.time()"),
        ("gateway/serving/failures.py", "time.time()"),
        ("gateway/serving/model_events.py", "datetime.now(UTC)"),
        ("gateway/serving/traffic.py", "time.time()"),
        ("gateway/serving/announcements.py", "timestamp_now()"),
        ("gateway/serving/announcements.py", "datetime.now(UTC)"),  # how soon a key expires
        ("gateway/serving/key_management.py", "datetime.now(UTC)"),
        ("gateway/serving/subscriptions.py", "timestamp_now()"),  # when a test was sent
        ("gateway/http/exchange.py", "time.time_ns()"),  # spans of OpenTelemetry, here and in the scorer
        ("worker/scorer.py", "time.time_ns()"),
        ("worker/bulk_lane.py", "time.time_ns()"),
        ("worker/explanations.py", "time.time_ns()"),
        ("gateway/server/responses.py", "time.time()"),  # the header Date
        ("worker/template.py", "timestamp_now()"),  # since when a model cannot be loaded
    }
