"""An observer that is killed, or whose folder is full, away or lost, logs each answered row once."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from redis import Redis

from broker.metrics.reading import MetricsReader
from broker.metrics.table import LOG_ROWS
from broker.sides.gateway.job_client import Jobs
from broker.state.prediction_log import LOG
from tests.observer.conftest import predict
from tests.observer.log.files import jobs_in
from tests.stacks.faulty_store import FaultyStore
from tests.stacks.object_store import S3, s3_server
from tests.stacks.observer_process import ObserverProcess
from tests.support import SOAK, InThreads, Sum, numbers, until, write_version
from worker.scorer import Scorer

pytestmark = pytest.mark.slow

WAITS, GOES_ON = "the prediction log waits", "the prediction log goes on"
MANY = [(1.0, 2.0)] * 10_000
"""Rows whose record is larger than `ROOM`."""
ROOM = 2**16


@pytest.fixture
def observer(redis: Redis, redis_url: str, models: Path, tmp_path: Path) -> Iterator[ObserverProcess]:
    write_version(models, "sum", Sum(), numbers("a", "b"))
    process = ObserverProcess(redis_url, models, tmp_path / "state", tmp_path / "observer")
    yield process.start()
    if not process.ended:
        process.stop()


def is_taken(redis: Redis) -> Callable[[], bool]:
    return lambda: not redis.xlen(LOG)


def kept(redis: Redis) -> dict[str, float]:
    return {fate: rows for (_, fate), rows in MetricsReader(redis).read(["sum"]).values[LOG_ROWS].items() if rows}


class Predicting(InThreads):
    """Scores jobs in a thread until its end; `answered` has those that were."""

    def __init__(self, jobs: Jobs, scorer: Scorer) -> None:
        super().__init__(self._run)
        self._jobs, self._scorer = jobs, scorer
        self.answered: list[str] = []

    def _run(self) -> None:
        while not self._stop.wait(0.001):
            job = f"j{len(self.answered):06}"
            predict(self._jobs, self._scorer, job)
            self.answered.append(job)


def test_an_observer_that_is_killed_while_rows_come_in_logs_each_once(
    jobs: Jobs, scorer: Scorer, redis: Redis, observer: ObserverProcess
) -> None:
    def drafts() -> bool:
        return any((observer.log / ".draft").glob("*"))

    def state_of() -> bytes:
        state = observer.log / "state.json"
        return state.read_bytes() if state.exists() else b""

    def changes() -> Callable[[], bool]:
        before = state_of()
        return lambda: state_of() != before

    with Predicting(jobs, scorer) as predicting:
        for number in range(6 * SOAK):
            until(drafts if number % 2 else changes(), "the observer takes rows")
            observer.kill()
            observer.start()
    until(is_taken(redis), "the observer has taken all rows")
    assert observer.stop() == 0
    assert jobs_in(observer.log) == predicting.answered
    assert kept(redis) == {"kept": len(predicting.answered)}


def test_an_observer_whose_disk_is_full_says_so_and_goes_on_when_there_is_room(
    jobs: Jobs, scorer: Scorer, redis: Redis, observer: ObserverProcess
) -> None:
    assert observer.process
    process = psutil.Process(observer.process.pid)
    predict(jobs, scorer, "before")
    until(is_taken(redis), "the observer has taken the row")
    _, most = process.rlimit(psutil.RLIMIT_FSIZE)
    process.rlimit(psutil.RLIMIT_FSIZE, (ROOM, most))
    predict(jobs, scorer, "many", MANY)
    until(lambda: WAITS in observer.lines, "the observer says that it waits")
    predict(jobs, scorer, "meanwhile")
    assert redis.xlen(LOG) == 2
    assert jobs_in(observer.log) == ["before"]
    process.rlimit(psutil.RLIMIT_FSIZE, (most, most))
    until(is_taken(redis), "the observer has taken all rows")
    until(lambda: GOES_ON in observer.lines, "the observer says that it goes on")
    assert observer.stop() == 0
    assert jobs_in(observer.log) == ["before", *["many"] * len(MANY), "meanwhile"]
    assert kept(redis) == {"kept": len(MANY) + 2}
    assert observer.lines.count(WAITS) == 1, "once, and not every two seconds"


@pytest.mark.parametrize("comes_back", ["with its files", "empty"])
def test_an_observer_whose_folder_is_away_goes_on_when_it_is_back(
    jobs: Jobs, scorer: Scorer, redis: Redis, observer: ObserverProcess, comes_back: str
) -> None:
    predict(jobs, scorer, "before")
    until(is_taken(redis), "the observer has taken the row")
    aside = observer.log.with_name("aside")
    observer.log.rename(aside)
    predict(jobs, scorer, "meanwhile")
    until(lambda: WAITS in observer.lines, "the observer says that it waits")
    assert redis.xlen(LOG) == 1
    if comes_back == "empty":
        shutil.rmtree(aside)
        observer.log.mkdir()
    else:
        aside.rename(observer.log)
    until(is_taken(redis), "the observer has taken all rows")
    predict(jobs, scorer, "then")
    until(is_taken(redis), "the observer has taken the row")
    observer.kill()
    observer.start()
    observer.stop()
    assert jobs_in(observer.log) == [*(["before"] if comes_back == "with its files" else []), "meanwhile", "then"]
    assert kept(redis) == {"kept": 3}


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


def test_an_observer_that_is_stopped_has_copied_its_log_and_another_goes_on(
    jobs: Jobs, scorer: Scorer, redis: Redis, observer: ObserverProcess, s3: S3
) -> None:
    observer.stop()
    observer.settings |= {"PREDICTION_LOG_URL": s3.bucket(), "STORE_OPTIONS_FILE": str(s3.options())}
    for job in ("a", "b", "c"):
        observer.start()
        predict(jobs, scorer, job)
        until(is_taken(redis), "the observer has taken the row")
        assert observer.stop() == 0
        shutil.rmtree(observer.log)
    observer.start()
    until(lambda: jobs_in(observer.log) == ["a", "b", "c"], "the observer has fetched all rows")


def test_an_observer_whose_store_is_away_goes_on_and_catches_up(
    jobs: Jobs, scorer: Scorer, redis: Redis, observer: ObserverProcess, s3: S3
) -> None:
    away = [True]
    store = FaultyStore(s3.port, lambda _method, _path: "unavailable" if away[0] else "")
    try:
        predict(jobs, scorer, "a")
        until(is_taken(redis), "the observer has taken the row")
        observer.stop()
        observer.settings |= {"PREDICTION_LOG_URL": s3.bucket(), "STORE_OPTIONS_FILE": str(s3.options(store.port))}
        observer.start()
        until(lambda: f"the copy of {WAITS}" in observer.lines, "the observer says that the copy waits")
        predict(jobs, scorer, "b")
        until(is_taken(redis), "the observer has taken the row")
        away[0] = False
        until(lambda: f"the copy of {GOES_ON}" in observer.lines, "the observer says that the copy goes on")
        observer.kill()
        shutil.rmtree(observer.log)
        observer.start()
        until(lambda: jobs_in(observer.log) == ["a", "b"], "the observer has fetched all rows")
    finally:
        store.close()
    assert observer.lines.count(WAITS) == 1
