"""What scorers record arrives in the log: each row once, and none that was not answered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest.mock import patch

import duckdb
import numpy as np
import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisAway

from broker.metrics.reading import MetricsReader
from broker.metrics.table import LOG_ROWS
from broker.sides.gateway.job_client import Jobs
from broker.sides.observer import BEGINNING
from broker.state.prediction_log import LOG, LOG_BYTES
from contract.model.signature import Field, Kind
from contract.row import ColumnarRows
from contract.work.observation import Observation, ObservationAction
from observer.log import reading
from observer.log.intake import Intake
from observer.log.store import LogStore
from tests.observer.conftest import NOON, make_intake, predict, rows_of
from tests.support import Raises, Sum, numbers, write_version
from tests.worker.conftest import MakeScorer, job
from worker.scorer import Scorer


@pytest.fixture(autouse=True)
def _sum(models: Path) -> None:
    write_version(models, "sum", Sum(), numbers("a", "b"))


def counted(redis: Redis, model: str = "sum") -> dict[str, float]:
    values = MetricsReader(redis).read([model]).values[LOG_ROWS]
    return {fate: count for (_, fate), count in values.items() if count}


def test_a_row_is_logged_with_all_that_is_known_of_it(
    jobs: Jobs, scorer: Scorer, intake: Intake, store: LogStore
) -> None:
    logged = {"ids": [4711], "owner": "risk", "warnings": ["early"]}
    predict(jobs, scorer, "a", [[1.5, 2.0]], request="r-1", logged=logged)
    intake.run()
    (row,) = rows_of(store)
    assert row.pop("milliseconds") > 0
    assert row == {
        "time": NOON,
        "model": {"name": "sum", "version": 1, "alias": "current"},
        "job": "a",
        "row": 0,
        "id": "4711",
        "request_id": "r-1",
        "owner": "risk",
        "inputs": {"a": 1.5, "b": 2.0},
        "left_out": [],
        "prediction": 3.5,
        "probabilities": None,
        "warnings": ["early"],
    }


def test_many_rows_keep_their_numbers_and_ids(jobs: Jobs, scorer: Scorer, intake: Intake, store: LogStore) -> None:
    rows = ColumnarRows([[1.0, 2.0, 3.0], [0.0, None, 0.5]])
    predict(jobs, scorer, "a", rows, logged={"ids": ["x", None, "z"], "numbers": [0, 2, 5], "alias": None})
    intake.run()
    shown = [(row["row"], row["id"], row["inputs"]["b"], row["model"]["alias"]) for row in rows_of(store)]
    assert shown == [(0, "x", 0.0, None), (2, None, None, None), (5, "z", 0.5, None)]


def test_a_job_that_is_not_logged_leaves_nothing(jobs: Jobs, scorer: Scorer, redis: Redis) -> None:
    jobs.submit([job("a")])
    assert scorer.step()
    assert not redis.exists(LOG)


def test_a_job_that_fails_or_was_cancelled_is_not_logged(
    jobs: Jobs, make_scorer: MakeScorer, models: Path, redis: Redis
) -> None:
    write_version(models, "bad", Raises(), numbers("a", "b"))
    scorer = make_scorer(begin=lambda ids, *_: [jobs.cancel(job_id) for job_id in ids if job_id == "gone"])
    predict(jobs, scorer, "bad", model="bad")
    predict(jobs, scorer, "gone")
    assert not redis.exists(LOG)


def test_what_is_left_out_never_leaves_the_scorer(jobs: Jobs, scorer: Scorer, redis: Redis, models: Path) -> None:
    inputs = [Field("a", Kind.NUMBER), Field("b", Kind.NUMBER), Field("name", Kind.STRING)]
    write_version(models, "named", First(), inputs)
    predict(jobs, scorer, "a", [[1.0, 2.0, "Erika"]], model="named", logged={"leave_out": ["name"]})
    everything = b"".join(redis.dump(key) or b"" for key in redis.scan_iter())
    assert b"Erika" not in everything
    assert redis.exists(LOG)


def test_a_repeated_end_is_logged_once(jobs: Jobs, scorer: Scorer, redis: Redis, intake: Intake) -> None:
    finish, calls = scorer.queue.finish, []

    def lost(*args: Any) -> list[str]:
        calls.append(args)
        canceled = finish(*args)
        if len(calls) == 1:
            raise RedisAway("the reply is lost")
        return canceled

    with patch.object(scorer.queue, "finish", lost):
        predict(jobs, scorer, "a")
    assert len(calls) == 2
    intake.run()
    assert counted(redis) == {"kept": 1}


def test_an_observer_that_is_killed_at_any_step_keeps_each_row_once(
    jobs: Jobs, scorer: Scorer, redis: Redis, folder: Path, models: Path
) -> None:
    steps = ("_change", "_forget")
    for number, step in enumerate(steps):
        predict(jobs, scorer, f"{step}-{number}")
        store = LogStore(folder, BEGINNING)
        with patch.object(Intake, step, side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
            make_intake(redis, store, models).run()
        store.close()
    for name in ("_write_state", "_complete"):
        predict(jobs, scorer, name)
        store = LogStore(folder, BEGINNING)
        with patch.object(store, name, side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
            make_intake(redis, store, models).run()
        store.close()
    store = LogStore(folder, BEGINNING)
    make_intake(redis, store, models).run()
    assert sorted(row["job"] for row in rows_of(store)) == sorted(
        ["_change-0", "_forget-1", "_write_state", "_complete"]
    )
    assert counted(redis) == {"kept": 4}
    assert redis.xlen(LOG) == 0
    store.close()


def test_a_record_that_cannot_be_read_takes_no_other_with_it(
    jobs: Jobs, scorer: Scorer, redis: Redis, intake: Intake, store: LogStore
) -> None:
    for number, record in enumerate(("{", '{"accepted_at": "never"}', "[]", '{"inputs": {"0": ["x"]}}', "\x00", "")):
        predict(jobs, scorer, f"good-{number}")
        redis.xadd(LOG, {"version": "sum@1", "1": record})
    redis.xadd(LOG, {"version": "../../x@1", "1": "{}"})
    redis.xadd(LOG, {"version": "sum@99", "1": "{}"})
    redis.xadd(LOG, {"other": "1"})
    far = json.dumps({"accepted_at": "9999-01-01T00:00:00Z", "job_id": "far", "count": 1, "predictions": [1]})
    redis.xadd(LOG, {"version": "sum@1", "1": far})
    intake.run()
    assert [row["job"] for row in rows_of(store)] == [f"good-{number}" for number in range(6)]
    assert counted(redis)["kept"] == 6
    assert redis.xlen(LOG) == 0


def test_a_version_that_needs_too_much_memory_takes_no_other_with_it(
    jobs: Jobs, scorer: Scorer, redis: Redis, intake: Intake, store: LogStore, models: Path
) -> None:
    """As one with 3000 inputs does with the memory that the log has by default."""
    predict(jobs, scorer, "a")
    write_version(models, "wide", Sum(), [Field(f"x{number}", Kind.NUMBER) for number in range(1000)])
    record = {"accepted_at": NOON, "job_id": "wide", "count": 1, "predictions": [1], "inputs": {"0": [1.0] * 1000}}
    redis.xadd(LOG, {"version": "wide@1", "1": json.dumps(record)})
    predict(jobs, scorer, "b")
    with store.database() as database:
        database.execute("SET memory_limit = '400MB'")
    (store.draft / "duckdb").mkdir()  # there since DuckDB has first needed it
    intake.run()
    assert [row["job"] for row in rows_of(store)] == ["a", "b"]
    assert counted(redis, "wide") == {"unreadable": 1}
    assert [path.name for path in store.draft.iterdir() if path.suffix == ".ndjson"] == []


def test_rows_wait_while_the_disk_has_no_room_for_what_exceeds_the_memory(
    jobs: Jobs, scorer: Scorer, redis: Redis, intake: Intake, store: LogStore
) -> None:
    predict(jobs, scorer, "a")
    with store.database() as database:
        database.execute("SET memory_limit = '400MB'; SET max_temp_directory_size = '0KB'")
        database.execute("CREATE TABLE others AS SELECT md5(range::VARCHAR) AS text FROM range(5_000_000)")
    with pytest.raises(duckdb.OutOfMemoryException):
        intake.run()
    assert (redis.xlen(LOG), counted(redis)) == (1, {})
    with store.database() as database:
        database.execute("SET max_temp_directory_size = '1GB'")
    intake.run()
    assert [row["job"] for row in rows_of(store)] == ["a"]


def test_a_page_has_fewer_rows_rather_than_many_bytes(
    jobs: Jobs, scorer: Scorer, intake: Intake, store: LogStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict(jobs, scorer, "several", rows=[(float(number), 1.0) for number in range(5)])
    intake.run()
    monkeypatch.setattr(reading, "_LARGEST", 100)
    pages, cursor = [], None
    while cursor is not None or not pages:
        page = reading.read_page(store, Observation(ObservationAction.READ_PREDICTIONS, "sum", cursor=cursor))
        cursor = page["next_cursor"]
        pages.append([item["row"] for item in page["items"]])
    assert len(pages) > 1
    assert [row for page in pages for row in page] == [4, 3, 2, 1, 0]


def test_a_full_stream_drops_rows_and_counts_them(jobs: Jobs, scorer: Scorer, redis: Redis, intake: Intake) -> None:
    predict(jobs, scorer, "a")
    redis.set(LOG_BYTES, 64 * 2**20)
    predict(jobs, scorer, "b", [[1.0, 2.0]] * 3)
    assert redis.xlen(LOG) == 1
    assert counted(redis) == {"dropped": 3}
    intake.run()
    predict(jobs, scorer, "c")
    intake.run()
    assert counted(redis) == {"dropped": 3, "kept": 2}


def test_the_observer_is_told_when_it_has_taken_much(
    jobs: Jobs, scorer: Scorer, intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict(jobs, scorer, "a")
    assert not intake.run()
    monkeypatch.setattr("observer.log.intake.MUCH", 500)
    predict(jobs, scorer, "b", [[1.0, 2.0]] * 100)
    assert intake.run()
    assert not intake.run()


@pytest.mark.parametrize("key", [LOG, LOG_BYTES])
def test_a_stream_that_a_worker_has_replaced_fails_no_job(jobs: Jobs, scorer: Scorer, redis: Redis, key: str) -> None:
    redis.hset(key, "a", "b")
    predict(jobs, scorer, "a")
    assert jobs.read(["a"])[0].status == "succeeded"  # type: ignore[union-attr]
    assert counted(redis) == {"dropped": 1}


class First:
    """Answers the first column."""

    def predict(self, matrix: Any) -> Any:
        return np.asarray(matrix)[:, 0].astype(float)
