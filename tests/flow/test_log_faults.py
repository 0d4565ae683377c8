"""Whatever fails beside the predictions, each answered row is in the log once, or counted as dropped."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from broker.records.job_kinds import PREDICTION, indexes_of
from contract.model.model_settings import LOGGING, Logging
from contract.model.signature import Field, Kind
from contract.settings import Settings
from storage.models.repository_writer import RepositoryWriter
from tests.flow import estimators
from tests.flow.clients import Answer, Clients
from tests.observer.log.files import jobs_in
from tests.stacks.gateways import Gateway, Site, serving, start_site
from tests.stacks.observer_process import ObserverProcess
from tests.support import SOAK, numbers, until, write_version
from trainer.publishing.aliases import change_settings

SEED = int(os.environ.get("SEED", "11"))
WAITS, GOES_ON = "the prediction log waits", "the prediction log goes on"
DISK = 4 * 2**20
"""Bytes of the disk that a test fills."""
TEXT = "x" * 2**20
MOST_WAITING = 63
"""Records with this text that wait in Redis (`broker/lua/finish.lua`)."""


class One:
    """Answers 1 for each row."""

    def predict(self, rows: Any) -> Any:
        return [1.0] * len(rows)


@dataclass(frozen=True)
class Logged:
    """A site whose model is logged, and its observer."""

    site: Site
    observer: ObserverProcess
    model: str

    def answered(self) -> list[str]:
        """Return the jobs that have succeeded, once none waits or runs."""
        redis = self.site.cluster.redis
        queue = PREDICTION.queue_of(self.model)
        until(lambda: not redis.exists(f"rq:queue:{queue}", f"rq:wip:{queue}"), "all jobs have ended")
        indexes = indexes_of(queue, "finished")
        return sorted(job.decode() for index in indexes for job in redis.zrange(index, 0, -1))

    def shown(self, limit: int) -> list[str]:
        """Return the job of each row that the log shows over HTTP, sorted."""
        jobs, more = list[str](), ""
        while True:
            path = f"/v1/models/{self.model}/predictions?limit={limit}{more}"
            answer = until(lambda path=path: (got := self.site.gateway.get(path)).ok and got, "the observer answers")
            jobs += [row["job"] for row in answer.json()["items"]]
            if not (cursor := answer.json()["next_cursor"]):
                return sorted(jobs)
            more = f"&cursor={cursor}"

    def until_it(self, says: str) -> None:
        """Wait until `says` is the last thing that the observer has said of its log."""
        other = GOES_ON if says == WAITS else WAITS
        until(lambda: (lines := self.observer.lines).rfind(says) > lines.rfind(other), f"the observer says that {says}")

    def dropped(self) -> int:
        """Return how many rows were dropped, as `/metrics` counts them."""
        series = rf'^modelgate_log_rows_total{{model="{self.model}",outcome="dropped"}} (\d+)'
        counted = re.search(series, self.site.gateway.get("/metrics").text, re.MULTILINE)
        return int(counted[1]) if counted else 0


Fault = Callable[[Logged], AbstractContextManager[None]]


@contextmanager
def redis_frozen(logged: Logged) -> Iterator[None]:
    with logged.site.server.frozen():
        yield


@contextmanager
def redis_killed(logged: Logged) -> Iterator[None]:
    logged.site.server.kill()
    yield
    logged.site.server.start()


@contextmanager
def observer_killed(logged: Logged) -> Iterator[None]:
    logged.observer.kill()
    yield
    logged.observer.start()


@contextmanager
def folder_away(logged: Logged) -> Iterator[None]:
    log, aside = logged.observer.log, logged.observer.log.with_name("aside")
    log.rename(aside)
    logged.until_it(WAITS)
    yield
    aside.rename(log)
    logged.until_it(GOES_ON)


@contextmanager
def folder_replaced(logged: Logged) -> Iterator[None]:
    """By a copy, as from a backup."""
    assert logged.observer.process
    log, process = logged.observer.log, psutil.Process(logged.observer.process.pid)
    process.suspend()
    shutil.copytree(log, log.with_name("copy"))
    log.rename(log.with_name("before"))
    log.with_name("copy").rename(log)
    shutil.rmtree(log.with_name("before"))
    process.resume()
    yield


@contextmanager
def disk_full(logged: Logged) -> Iterator[None]:
    ballast = logged.observer.log / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    logged.until_it(WAITS)
    yield
    ballast.unlink()
    logged.until_it(GOES_ON)


@contextmanager
def disk_read_only(logged: Logged) -> Iterator[None]:
    log = str(logged.observer.log)
    subprocess.run(["mount", "--bind", log, log], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", log], check=True)
    logged.until_it(WAITS)
    yield
    subprocess.run(["umount", log], check=True)
    logged.until_it(GOES_ON)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    (folder / "models").mkdir()
    write_version(folder / "models", "texts", One(), [Field("text", Kind.STRING)], by_value=True)
    with start_site(folder, folder / "models", result_ttl=60 * 3600) as site:
        site.cluster.start().ready()
        yield site


@pytest.fixture(scope="module")
def hasty(site: Site) -> Iterator[Gateway]:
    """A gateway of the site that refuses requests soon while Redis is away."""
    settings = Settings(redis_url=site.server.url, models_dir=site.cluster.models, state_dir=site.server.folder)
    with serving(settings, SUBMIT_TIMEOUT="1", RESULT_TTL=site.gateway.settings["RESULT_TTL"]) as gateway:
        yield gateway


@pytest.fixture
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """The folder of an observer. Its log is on a small disk of its own if the fault is one of a disk."""
    folder = tmp_path / "observer"
    log = folder / "log"
    if getattr(request, "param", None) not in (disk_full, disk_read_only):
        yield folder
        return
    log.mkdir(parents=True)
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(log)], capture_output=True)
    if mount.returncode:
        pytest.skip(f"this user mounts no disk: {mount.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", str(log)], check=True)


@pytest.fixture
def observer(site: Site, disk: Path) -> Iterator[ObserverProcess]:
    process = ObserverProcess(site.server.url, site.cluster.models, site.server.folder, disk)
    yield process.start()
    process.stop()


def log_all(site: Site, observer: ObserverProcess, model: str) -> Logged:
    change_settings(RepositoryWriter(site.cluster.models), model, {LOGGING: Logging(1).to_json()})
    return Logged(site, observer, model)


def right(answer: Answer) -> bool:
    return answer.right


def refused(answer: Answer) -> bool:
    return answer.status == 503


def case(fault: Fault, rounds: int = 1, *marks: Any) -> Any:
    return pytest.param(fault, fault, rounds * SOAK, id=f"{fault.__name__}-{rounds}", marks=marks)


@pytest.mark.replaces_parts
@pytest.mark.parametrize(
    ("fault", "disk", "rounds"),
    [
        case(redis_frozen),
        case(redis_killed, 2, pytest.mark.slow),
        case(observer_killed),
        case(observer_killed, 10, pytest.mark.slow),
        case(folder_away),
        case(folder_replaced, 2, pytest.mark.slow),
        case(disk_full),
        case(disk_read_only, 2, pytest.mark.slow),
    ],
    indirect=["disk"],
)
def test_each_answered_row_is_logged_once(
    site: Site, hasty: Gateway, observer: ObserverProcess, fault: Fault, rounds: int
) -> None:
    model, chance = f"{fault.__name__}-{rounds}", random.Random(SEED)
    write_version(site.cluster.models, model, estimators.Slow(0.001), numbers("a"), by_value=True)
    logged = log_all(site, observer, model)
    of_redis = fault in (redis_frozen, redis_killed)
    gateway, wait = (hasty, 2) if of_redis else (site.gateway, 60)
    with Clients(gateway.address, [model], wait=wait) as clients:
        clients.until_more(100, "before")
        for _ in range(rounds):
            with fault(logged):
                if of_redis:
                    clients.until_more(4, "meanwhile", refused)
                else:
                    clients.until_more(chance.randrange(50, 500), "meanwhile")
            clients.until_more(chance.randrange(50, 500), "afterwards")
    if not of_redis:
        assert all(map(right, clients.answers)), "predictions notice nothing"
    answered, shown = logged.answered(), logged.shown(1000)
    assert {answer.job_id for answer in clients.answers if answer.accepted} <= set(answered)
    assert shown == answered, (logged.dropped(), observer.lines)
    assert jobs_in(observer.log) == answered
    assert logged.dropped() == 0


@pytest.mark.slow
def test_rows_beyond_what_redis_keeps_for_the_observer_are_counted_as_dropped(
    site: Site, observer: ObserverProcess
) -> None:
    logged = log_all(site, observer, "texts")
    with observer_killed(logged):
        answers = [site.gateway.post("texts", {"text": TEXT}, wait=60) for _ in range(MOST_WAITING + 7)]
    assert {answer.json()["status"] for answer in answers} == {"succeeded"}
    shown = logged.shown(4)
    assert shown == sorted(answer.json()["id"] for answer in answers[:MOST_WAITING])
    assert logged.dropped() == 7
