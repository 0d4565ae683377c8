"""Files are scored by real workers: shared, interrupted, killed, cancelled; single rows pass them."""

from __future__ import annotations

import json
import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from broker.sides.gateway.file_submission import FileJobs, FileSubmission
from broker.sides.observer import BEGINNING, LogStream
from contract.rows.file_formats import FileFormat
from contract.work.jobs import FileRequest, Job, Status
from contract.work.prediction_log import LoggedRequest
from storage.spool.names import FileFolder
from tests.flow import estimators
from tests.stacks.gateways import Gateway, start_site
from tests.stacks.redis_process import RedisProcess
from tests.stacks.workers import WorkerCluster, worker_cluster
from tests.support import alive, numbers, redis_server, until, write_version

CREATED = "2026-01-02T03:04:05.000006Z"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for name, estimator in (
        ("faulty", estimators.Faulty()),
        ("slow", estimators.Slow(0.02)),
        ("quick", estimators.Slow(0.0)),
        ("steady", estimators.Slow(0.00003)),
    ):
        write_version(folder, name, estimator, numbers("a"), by_value=True)
    write_version(folder, "beside", estimators.Beside(), numbers("a"), by_value=True, alone=True)
    return folder


class FileCluster:
    """Workers with a spool, and what a gateway does with files."""

    def __init__(self, cluster: WorkerCluster, spool: Path) -> None:
        self.cluster = cluster
        self.spool = spool
        self.files = FileJobs(cluster.redis, timeout=30, result_ttl=600)
        spool.mkdir()

    def start(self, name: str = "w", **settings: Any) -> Any:
        return self.cluster.start(name, spool_dir=self.spool, **settings)

    def submit(
        self, job_id: str, model: str, values: list[object], logged: LoggedRequest | None = None, **options: Any
    ) -> FileFolder:
        folder = FileFolder.of(self.spool, job_id)
        folder.path.mkdir()
        folder.input.write_text("a,note\n" + "".join(f"{value},row {row}\n" for row, value in enumerate(values)))
        request = FileRequest(model, 1, FileFormat.CSV, FileFormat.CSV, **options)
        assert self.files.submit(FileSubmission(job_id, CREATED, request, logged=logged), 10)
        return folder

    def ended(self, job_id: str) -> Job:
        return self.cluster.ended([job_id])[0]

    def done(self, job_id: str) -> int:
        progress = self.cluster.read(job_id)[0].progress or {}
        return int(str(progress.get("done") or 0))


@pytest.fixture
def site(tmp_path: Path, models: Path) -> Iterator[FileCluster]:
    with redis_server(tmp_path) as url, worker_cluster(url, models, tmp_path, lease=2) as cluster:
        yield FileCluster(cluster, tmp_path / "spool")


def expected(values: list[float]) -> str:
    return "a,note,prediction\n" + "".join(f"{value},row {row},{value * 2}\n" for row, value in enumerate(values))


@pytest.mark.slow
@pytest.mark.parametrize("model", ["quick", "beside"])
def test_two_workers_share_a_file_and_keep_the_order_of_its_rows(site: FileCluster, model: str) -> None:
    values = [float(number % 7) for number in range(20_000)]
    for name in "vw":
        site.start(name, workers=1).ready(1)
    folder = site.submit("f", model, values)
    job = site.ended("f")
    assert (job.status, job.error) == (Status.SUCCEEDED, None)
    assert job.output is not None and (job.output["rows"], job.output["errors"]) == (20_000, 0)
    assert folder.output.read_text() == expected(values)
    assert folder.errors.read_text() == ""


@pytest.mark.slow
def test_rows_that_cannot_be_used_stay_empty_or_fail_a_strict_file(site: FileCluster) -> None:
    site.start(workers=1)
    lenient = site.submit("f", "quick", [1.0, "x", 3.0])
    site.submit("g", "quick", [1.0, "x", 3.0], lenient=False)
    job = site.ended("f")
    assert job.output is not None and (job.output["rows"], job.output["errors"]) == (3, 1)
    assert lenient.output.read_text() == 'a,note,prediction\n1.0,row 0,2.0\nx,row 1,""\n3.0,row 2,6.0\n'
    assert '"row":1,"field":"a","code":"not_a_number"' in lenient.errors.read_text()
    error = site.ended("g").error
    assert error is not None and error.code == "invalid_instances"
    assert error.details["errors"][0]["row"] == 1  # type: ignore[index]


@pytest.mark.parametrize(
    ("value", "code", "said"),
    [
        (estimators.ABORTS, "worker_crashed", "three times"),
        (estimators.NEVER_RETURNS, "timeout", "scoring took longer than 5 s"),
        pytest.param(
            estimators.EATS_MEMORY, "out_of_memory", "more memory than a scorer may have", marks=pytest.mark.slow
        ),
        pytest.param(estimators.RAISES, "model_error", "it hurts", marks=pytest.mark.slow),
    ],
)
def test_a_row_that_ruins_scorers_fails_its_file_and_no_other(
    site: FileCluster, value: float, code: str, said: str
) -> None:
    site.start(workers=1, predict_timeout=5 if code == "timeout" else 60, scorer_memory_mb=300)
    site.submit("f", "faulty", [*[1.0] * 10, value])
    site.submit("g", "faulty", [1.0] * 10)
    error = site.ended("f").error
    assert error is not None
    assert (str(error.code), said in error.message) == (code, True), error
    if code != "model_error":
        assert error.message.startswith("rows "), error
    assert site.ended("g").status is Status.SUCCEEDED


@pytest.mark.slow
def test_an_output_without_room_fails_its_file_and_leaves_the_room_to_others(site: FileCluster) -> None:
    site.start(workers=1, spool_mb=1).ready(1)
    site.submit("f", "quick", [float(number) for number in range(25_000)])
    error = site.ended("f").error
    assert error is not None
    assert (str(error.code), "of 1 MB (SPOOL_MB) are taken" in error.message) == ("spool_full", True)
    folder = site.submit("g", "quick", [1.0, 2.0])
    assert site.ended("g").status is Status.SUCCEEDED
    assert folder.output.read_text() == expected([1.0, 2.0])


@pytest.mark.slow
@pytest.mark.parametrize("model", ["quick", "beside"])
def test_scorers_that_are_killed_change_no_byte_of_the_output_and_log_each_row_once(
    site: FileCluster, model: str
) -> None:
    values = [float(number) for number in range(40_000)]
    worker = site.start(workers=2).ready(2)
    folder = site.submit("f", model, values, {"accepted_at": CREATED})
    draw, killed = random.Random(3), 0
    while not site.cluster.read("f")[0].status.final:
        if scorers := sorted(worker.scorers().values()):
            os.kill(draw.choice(scorers), signal.SIGKILL)
            killed += 1
        before = set(scorers)
        until(
            lambda before=before: set(worker.scorers().values()) - before or site.cluster.read("f")[0].status.final,
            "another scorer",
        )
        if killed == 4:
            break
    job = site.ended("f")
    assert (job.status, job.error) == (Status.SUCCEEDED, None)
    assert folder.output.read_text() == expected(values)
    entries = LogStream(site.cluster.redis).read(BEGINNING, 1000)
    records = [json.loads(record) for entry in entries for record in entry.records]
    assert sorted(number for record in records for number in record["number"]) == list(range(40_000))


@pytest.mark.slow
def test_single_rows_are_answered_while_a_file_of_a_slow_model_runs(site: FileCluster) -> None:
    site.start(workers=1).ready(1)
    site.submit("f", "slow", [1.0] * 100_000)
    until(lambda: site.done("f") > 0, "rows are scored")
    for number in range(3):
        (job,) = site.cluster.ended(site.cluster.submit("quick", [2.0], f"single{number}-"))
        assert job.status is Status.SUCCEEDED
        assert job.metrics is not None and float(str(job.metrics["queue_ms"])) < 1000
    assert site.cluster.read("f")[0].status is Status.RUNNING


@pytest.mark.slow
def test_a_cancelled_file_frees_its_scorer_and_its_files_are_removed(site: FileCluster) -> None:
    worker = site.start(workers=1).ready(1)
    scorers = worker.scorers()
    folder = site.submit("f", "slow", [1.0] * 100_000)
    until(lambda: site.done("f") > 0, "rows are scored")
    assert site.cluster.jobs.cancel("f")
    other = site.submit("g", "quick", [1.0])
    assert site.ended("g").status is Status.SUCCEEDED
    assert worker.scorers() == scorers, "no scorer was killed for it"
    until(lambda: not folder.path.exists(), "the folder is removed")
    until(lambda: not other.input.exists(), "the input is removed")
    assert other.output.read_text() == expected([1.0])
    assert sorted(path.name for path in other.path.iterdir()) == ["errors", "output"]
    assert all(alive(pid) for pid in scorers.values())


def ended(gateway: Gateway, path: str) -> Any:
    """The job, if it has ended."""
    job = gateway.get(f"{path}?wait=30").json()
    return job if job["completed_at"] else None


def test_a_file_goes_through_a_gateway_in_pieces_and_comes_back_in_ranges(tmp_path: Path, models: Path) -> None:
    values = [float(number) for number in range(50_000)]
    body = ("a,note\n" + "".join(f"{value},row {row}\n" for row, value in enumerate(values))).encode()
    pieces = (body[start : start + 10_000] for start in range(0, len(body), 10_000))
    with start_site(tmp_path, models, spool_dir=tmp_path / "spool") as site:
        site.cluster.start(workers=1, spool_dir=tmp_path / "spool")
        sent = requests.post(
            f"{site.gateway.address}/v1/models/quick/predict-file",
            data=pieces,  # without a length: in chunks
            headers={"Content-Type": "text/csv"},
            timeout=60,
        )
        assert sent.status_code == 202, sent.text
        job = until(lambda: ended(site.gateway, sent.headers["Location"]), "the job ends")
        assert job["status"] == "succeeded", job
        output, whole = site.gateway.address + job["output"]["href"], expected(values).encode()
        answer = requests.get(output, timeout=60)
        assert (answer.status_code, answer.content) == (200, whole)
        part = requests.get(output, headers={"Range": "bytes=1000000-"}, timeout=60)
        assert (part.status_code, part.content) == (206, whole[1_000_000:])
        with requests.Session() as session:  # one connection: each answer ends where its length says
            head = session.head(output, timeout=60)
            assert (head.status_code, int(head.headers["Content-Length"])) == (200, len(whole))
            assert session.get(output, headers={"If-None-Match": head.headers["ETag"]}, timeout=60).status_code == 304
            assert session.get(output, headers={"Range": "bytes=-5"}, timeout=60).content == whole[-5:]
        assert requests.delete(f"{site.gateway.address}/v1/jobs/{job['id']}", timeout=60).status_code == 204
        assert list((tmp_path / "spool").glob("*.job")) == []
        assert requests.get(output, timeout=60).status_code == 404


@pytest.mark.slow
def test_a_million_rows_are_the_same_bytes_after_ten_kills_of_scorers_and_one_of_redis(
    tmp_path: Path, models: Path
) -> None:
    values, draw = [float(number) for number in range(1_000_000)], random.Random(5)
    with RedisProcess(tmp_path) as redis, worker_cluster(redis.url, models, tmp_path, lease=2) as cluster:
        site = FileCluster(cluster, tmp_path / "spool")
        worker = site.start(workers=2).ready(2)
        folder = site.submit("f", "steady", values)
        for number in range(10):
            until(lambda number=number: site.done("f") > number * 50_000, "more rows are scored")
            seen = sorted(worker.scorers().values())
            os.kill(draw.choice(seen), signal.SIGKILL)
            if number == 5:
                redis.kill()
                redis.start()
            until(lambda seen=seen: set(worker.scorers().values()) - {*seen}, "another scorer")
        assert not cluster.read("f")[0].status.final, "it was running at each kill"
        job = cluster.ended(["f"], 300)[0]
    assert (job.status, job.error) == (Status.SUCCEEDED, None)
    assert job.output is not None and job.output["rows"] == len(values)
    assert folder.output.read_text() == expected(values)
