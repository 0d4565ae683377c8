"""The clock of the machine jumps: Redis' time is what the queue goes by, and nobody else looks at a wall clock."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.flow import estimators
from tests.flow.audit import audit
from tests.flow.clients import Clients
from tests.flow.gateways import Site, site
from tests.support import PROJECT, SOAK, numbers, until, write_version

DAY = 86_400


@dataclass
class Clock:
    """The time of day of all processes that are started with `settings`."""

    file: Path
    settings: dict[str, str]

    def shift(self, seconds: int) -> None:
        new = self.file.with_suffix(".new")
        new.write_text(str(seconds))
        new.replace(self.file)


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        assert not os.environ.get("CI"), "there is no C compiler"
        pytest.skip("needs a C compiler")
    library = tmp_path / "clock.so"
    source = Path(__file__).with_name("clock.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", library, source, "-ldl"], check=True)
    clock = Clock(tmp_path / "shift", {"LD_PRELOAD": str(library), "CLOCK_SHIFT": str(tmp_path / "shift")})
    clock.shift(0)
    return clock


@pytest.fixture
def place(tmp_path: Path, models: Path, clock: Clock) -> Iterator[Site]:
    for name, seconds in (("quick", 0.001), ("long", 60)):
        write_version(models, name, estimators.Slow(seconds), numbers("a"), by_value=True)
    with site(tmp_path, models, environment=clock.settings, result_ttl=30 * DAY, **clock.settings) as place:
        yield place


@pytest.mark.slow
def test_a_clock_that_jumps_concerns_no_job(place: Site, clock: Clock) -> None:
    for name in ("first", "second"):
        place.shop.start(name, **clock.settings)
    for worker in place.shop.workers:
        worker.ready()
    redis = place.shop.redis
    began = redis.time()[0]
    with Clients(place.gateway.address, ["quick"]) as clients:
        for shift in (DAY, -DAY, 3600, 0) * SOAK:
            clients.until_more(50, "before")
            clock.shift(shift)
            until(lambda s=shift: abs(redis.time()[0] - began - s) < 1000, "the clock of Redis has jumped")
            clients.until_more(50, "afterwards")
    assert clients.statuses().keys() == {200}
    assert all(answer.right for answer in clients.answers)
    assert place.shop.each_has_one_result(answer.job_id for answer in clients.answers)
    until(lambda: audit(redis) == [], "everything is as it should be")
    for worker in place.shop.workers:
        worker.ready()


@pytest.mark.slow
def test_a_clock_that_is_set_back_gives_no_dead_worker_a_long_life(place: Site, clock: Clock) -> None:
    clock.shift(DAY)
    worker = place.shop.start("same", workers=1, **clock.settings).ready(1)
    held = place.gateway.post("long", {"a": 1}).json()["id"]
    place.shop.running(held)
    before = worker.scorers()
    worker.kill()
    clock.shift(0)
    again = place.shop.start("same", workers=1, **clock.settings)
    until(lambda: again.scorers() and not again.scorers().keys() & before.keys(), "it comes back")

    def holder() -> str:
        return (place.shop.redis.hget(f"rq:job:{held}", "worker_name") or b"").decode()

    # By now that can also be a scorer that has followed the first one.
    until(lambda: holder() and holder() not in before, "and goes on with what it held")


WALL_CLOCKS = {"time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "date.today", "time.localtime"}


def test_only_the_time_at_which_a_job_was_made_comes_from_a_wall_clock() -> None:
    """Leases, deadlines, pauses and time-outs go by Redis' clock or by monotonic ones."""
    found = set()
    for path in sorted(path for folder in ("broker", "gateway", "worker") for path in (PROJECT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and any(ast.unparse(node.func).endswith(name) for name in WALL_CLOCKS):
                found.add((str(path.relative_to(PROJECT)), ast.unparse(node)))
    assert found == {
        ("gateway/serving/predicting.py", "datetime.now(UTC)"),
        ("broker/schedules.py", "datetime.now(UTC)"),  # a cron expression speaks of the time of day
        ("broker/trainer_jobs.py", "time.time()"),  # the end of a signature, which must not depend on what Redis says
    }
