"""Rows of files arrive in the log as those of requests do: each once, with its number in the file."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from redis import Redis

from broker.metrics.reading import MetricsReader
from broker.metrics.table import LOG_ROWS
from broker.sides.gateway.file_submission import FileJobs, FileSubmission
from broker.sides.gateway.job_client import Jobs
from broker.state.prediction_log import LOG, LOG_BYTES
from contract.model.manifest import InputFormat
from contract.model.signature import Field, Kind, Output, OutputKind, RowFormat, Signature
from contract.rows.file_formats import FileFormat
from contract.work.jobs import FileRequest
from contract.work.prediction_log import logged_request
from observer.log.intake import Intake
from observer.log.store import LogStore
from storage.spool.names import FileFolder
from tests.observer.conftest import NOON, predict, rows_of
from tests.support import write_version
from worker.scorer import Scorer

INPUTS = [Field("a", Kind.NUMBER), Field("b", Kind.INTEGER, nullable=True), Field("name", Kind.STRING)]
NAMES = ["a", "b", "name", "key"]
ROWS: list[list[Any]] = [[1.5, 1, "Erika", "k0"], [-2.0, None, "Max", "k1"], [0.25, 3, "Erika", "k2"]]
CROWDED = 17 * 2**20
"""Bytes of records that leave no room for those of files."""
LONG = 3000
"""Rows of a file that is coerced in several pieces."""


class Sign:
    """Says whether the first input is positive, and how likely that is."""

    classes_ = np.array([0, 1])

    def predict(self, frame: Any) -> Any:
        return (frame["a"].to_numpy(dtype=float) > 0).astype(int)

    def predict_proba(self, frame: Any) -> Any:
        share = 1 / (1 + np.exp(-frame["a"].to_numpy(dtype=float)))
        return np.column_stack([1 - share, share])


class Signs:
    """Answers two outputs of its first input."""

    def predict(self, frame: Any) -> Any:
        return np.column_stack([Sign().predict(frame), 1 - Sign().predict(frame)])

    def predict_proba(self, frame: Any) -> Any:
        return [Sign().predict_proba(frame), Sign().predict_proba(frame)[:, ::-1]]


class Sizes:
    """Counts the values of records."""

    def predict(self, records: Any) -> Any:
        return np.array([float(len(record)) for record in records])


@pytest.fixture(autouse=True)
def _versions(models: Path) -> None:
    frame, label = InputFormat.DATAFRAME, Output(OutputKind.CLASS, (0, 1), probabilities=True)
    write_version(models, "sign", Sign(), INPUTS, label, id_field="key", input_format=frame)
    outputs = tuple(replace(label, name=name) for name in ("above", "below"))
    signature = Signature(tuple(INPUTS), outputs, "key")
    write_version(models, "signs", Signs(), INPUTS, input_format=frame, signature=signature)
    signature = Signature(tuple(INPUTS), (Output(OutputKind.NUMBER),), "key", format=RowFormat.RECORDS)
    write_version(models, "sizes", Sizes(), INPUTS, input_format=InputFormat.RECORDS, signature=signature)


def as_csv(rows: Sequence[Sequence[Any]], _: Path) -> bytes:
    lines = [",".join("" if cell is None else str(cell) for cell in row or ["too short"]) for row in (NAMES, *rows)]
    return "\n".join(lines).encode()


def as_ndjson(rows: Sequence[Sequence[Any]], _: Path) -> bytes:
    return "\n".join(json.dumps(dict(zip(NAMES, row, strict=True))) if row else "{" for row in rows).encode()


def as_parquet(rows: Sequence[Sequence[Any]], folder: Path) -> bytes:
    file = folder / "rows.parquet"
    with duckdb.connect() as database:
        database.execute("CREATE TABLE rows (a DOUBLE, b BIGINT, name VARCHAR, key VARCHAR)")
        database.executemany("INSERT INTO rows VALUES (?, ?, ?, ?)", rows)
        database.execute(f"COPY rows TO '{file}' (FORMAT parquet)")
    return file.read_bytes()


FORMATS = {FileFormat.CSV: as_csv, FileFormat.NDJSON: as_ndjson, FileFormat.PARQUET: as_parquet}
Submit = Callable[..., None]


@pytest.fixture
def submit(redis: Redis, models: Path, tmp_path: Path) -> Submit:
    """Returns what submits rows as a file that is logged; `logged` are further members of what the gateway adds."""
    spool = models.parent / "spool"
    spool.mkdir()

    def submit(
        job_id: str, rows: Any = ROWS, kind: FileFormat = FileFormat.CSV, model: str = "sign", **logged: Any
    ) -> None:
        folder = FileFolder.of(spool, job_id)
        folder.path.mkdir()
        folder.input.write_bytes(FORMATS[kind](rows, tmp_path))
        request = FileRequest(model, 1, kind, kind)
        along = logged_request(**{"accepted_at": NOON, **logged})
        job = FileSubmission(job_id, NOON, request, request="r-1", logged=along)
        assert FileJobs(redis, timeout=30, result_ttl=600).submit(job, 10)

    return submit


def score(scorer: Scorer) -> None:
    while scorer.step():
        pass


def counted(redis: Redis) -> dict[str, float]:
    values = MetricsReader(redis).read(["sign"]).values[LOG_ROWS]
    return {fate: count for (_, fate), count in values.items() if count}


def numbered(store: LogStore, job_id: str) -> list[tuple[int, str | None]]:
    """Return number and id of the rows of a job."""
    rows = rows_of(store, "sign", job=job_id, limit=LONG)
    return [(row["row"], row["id"]) for row in rows]


@pytest.mark.parametrize(
    ("model", "kind"),
    [*(("sign", kind) for kind in FileFormat), ("signs", FileFormat.CSV), ("sizes", FileFormat.NDJSON)],
)
def test_a_file_is_logged_as_a_request_with_the_same_rows(
    jobs: Jobs, scorer: Scorer, intake: Intake, store: LogStore, submit: Submit, model: str, kind: FileFormat
) -> None:
    said = {"owner": "risk", "alias": "current"}
    submit("file", ROWS, kind, model, **said)
    score(scorer)
    rows = [[dict(zip(NAMES, row[:3], strict=False))] if model == "sizes" else row[:3] for row in ROWS]
    logged = {**said, "ids": [row[3] for row in ROWS]}
    predict(jobs, scorer, "request", rows, model=model, request="r-1", logged=logged)
    intake.run()
    of_file, of_request = (rows_of(store, model, job=job_id) for job_id in ("file", "request"))
    assert len(of_file) == len(ROWS) and min(row["milliseconds"] for row in of_file) > 0
    assert [{**row, "job": "", "milliseconds": 0} for row in of_file] == [
        {**row, "job": "", "milliseconds": 0} for row in of_request
    ]


@pytest.mark.parametrize("kind", [FileFormat.CSV, FileFormat.NDJSON])
@pytest.mark.parametrize("bad", [[1], [0, 1500, 2999], range(500, 2600)], ids=["one", "some", "most"])
def test_refused_rows_keep_their_numbers_and_are_not_logged(
    scorer: Scorer, intake: Intake, store: LogStore, submit: Submit, kind: FileFormat, bad: Sequence[int]
) -> None:
    rows = [[1.0, 1, "Max", f"k{number}"] for number in range(LONG)]
    for number in bad:
        rows[number] = ["x", *rows[number][1:]] if number % 2 else []  # a wrong value, or a line that cannot be read
    submit("file", rows, kind)
    score(scorer)
    intake.run()
    assert numbered(store, "file") == [(number, f"k{number}") for number in range(LONG) if number not in bad]


def test_rows_of_the_second_chunk_go_on_with_the_numbers_of_the_first(
    scorer: Scorer, redis: Redis, intake: Intake, submit: Submit
) -> None:
    submit("file", [[1.0, 1, "Max", f"k{number}"] for number in range(10_000)])
    score(scorer)
    assert redis.xlen(LOG) == 3
    intake.run()
    with intake.store.database() as database:
        (files,) = [intake.store.files(one) for one in intake.store.partitions("sign")]
        assert database.read_parquet(list(map(str, files))).aggregate(
            "count(*), count(DISTINCT row), max(row), count(*) FILTER (id = 'k' || row)"
        ).fetchall() == [(10_000, 10_000, 9_999, 10_000)]


def test_what_is_left_out_never_leaves_the_scorer(
    scorer: Scorer, redis: Redis, intake: Intake, store: LogStore, submit: Submit
) -> None:
    submit("file", ROWS, leave_out=["name", "key"])
    score(scorer)
    everything = b"".join(redis.dump(key) or b"" for key in redis.scan_iter())
    assert b"Erika" not in everything and b"k2" not in everything
    intake.run()
    assert numbered(store, "file") == [(0, None), (1, None), (2, None)]
    assert rows_of(store, "sign")[0]["left_out"] == ["name", "key"]


def test_a_file_waits_for_the_observer_and_is_not_scored_again(
    jobs: Jobs,
    scorer: Scorer,
    redis: Redis,
    intake: Intake,
    store: LogStore,
    submit: Submit,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("worker.bulk_lane._LOG_PAUSE", 0.0)
    scored: list[int] = []
    monkeypatch.setattr(scorer.lane, "predicted", lambda model, version, rows, seconds: scored.append(rows))
    request = {"model": "sign", "rows": [row[:3] for row in ROWS]}
    predict(jobs, scorer, "before", **request)
    redis.set(LOG_BYTES, CROWDED)
    submit("file")
    score(scorer)
    assert (redis.xlen(LOG), sum(scored)) == (1, 3)
    predict(jobs, scorer, "between", **request)
    assert redis.xlen(LOG) == 2, "requests have room, and a scorer that waits answers them"
    intake.run()
    assert not redis.exists("mg:logged:since"), "the next file waits for as long"
    score(scorer)
    intake.run()
    assert sum(scored) == 3
    assert numbered(store, "file") == [(0, "k0"), (1, "k1"), (2, "k2")]
    assert counted(redis) == {"kept": 9}


def test_a_file_does_not_wait_for_an_observer_that_is_gone(scorer: Scorer, redis: Redis, submit: Submit) -> None:
    redis.set(LOG_BYTES, CROWDED)
    redis.set("mg:logged:since", 1)  # it has taken nothing since 1970
    submit("file")
    score(scorer)
    assert redis.hget("rq:job:file", "status") == b"finished"
    assert counted(redis) == {"dropped": 3}
    assert not redis.exists(LOG) and redis.get(LOG_BYTES) == b"%d" % CROWDED
