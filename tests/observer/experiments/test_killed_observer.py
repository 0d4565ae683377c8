"""An observer that is killed while it looks at an experiment says what was found, and counts each batch once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from broker.state.boards import ExperimentBoard
from broker.state.prediction_log import LOG
from contract.model.experiments import Decision
from tests.observer.experiments.plans import begin, experiment
from tests.observer.experiments.test_shadows import SUMMARY, score
from tests.stacks.observer_process import ObserverProcess
from tests.support import Sum, numbers, until, write_version

pytestmark = pytest.mark.slow


@pytest.fixture
def observer(redis: Redis, redis_url: str, models: Path, tmp_path: Path) -> Iterator[ObserverProcess]:
    for version in (2, 1):
        write_version(models, "sum", Sum(), numbers("a"), version=version)
    begin(models, "sum", experiment())
    process = ObserverProcess(redis_url, models, tmp_path / "state", tmp_path / "observer")
    yield process.start()
    if not process.ended:
        process.stop()


def test_a_killed_observer_counts_each_batch_once_and_says_what_it_decides(
    redis: Redis, observer: ObserverProcess, models: Path
) -> None:
    board = ExperimentBoard(redis)
    for number in range(20):
        score(redis, f"a{number}")
        if number % 5 == 4:
            until(lambda: board.of("sum"), "the observer says something")
            observer.kill()
            observer.start()
    until(lambda: not redis.xlen(LOG), "the observer has taken all batches")
    state = observer.log / "shadows/model=sum/version=2.json"
    assert json.loads(state.read_text())["sums"]["rows"] == 80
    found = board.of("sum")
    assert found is not None and found.decision is None
    for number in range(5):
        score(redis, f"b{number}", {**SUMMARY, "failed": 4})
    until(lambda: (found := board.of("sum")) and found.decision is Decision.ROLL_BACK, "it is rolled back")
    begin(models, "sum", None)
    until(lambda: not board.read(), "nothing is said of an experiment that has ended")
    assert observer.stop() == 0
