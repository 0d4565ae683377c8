"""The objects of a data lake are scored once each, also if a process is killed meanwhile."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import obstore
import pytest
import requests
from modelgate import ModelgateError
from modelgate.buckets import Bucket
from obstore.store import from_url

from broker.link.connection import connect
from broker.state.lake_schedules import KEY
from contract.work.jobs import timestamp
from tests.flow.estimators import Versioned
from tests.stacks.faulty_store import FaultyStore
from tests.stacks.gateways import Site, start_site
from tests.stacks.object_store import S3, s3_server
from tests.stacks.workers import Worker
from tests.support import PROJECT, numbers, until, write_version

pytestmark = pytest.mark.waits

ROWS = 20_000
DAYS = range(8)


@dataclass
class Lake:
    """A bucket, a gateway and a worker, and the command in a process of its own."""

    s3: S3
    site: Site
    worker: Worker
    folder: Path
    store: FaultyStore
    written: list[str] = field(default_factory=list)
    """The paths that were asked to be written, in order."""

    def __post_init__(self) -> None:
        self.bucket, endpoint = "lake", f"http://127.0.0.1:{self.s3.port}"
        requests.put(f"{endpoint}/{self.bucket}", timeout=30).raise_for_status()
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "aws_region": "us-east-1"}
        self.objects = from_url(
            f"s3://{self.bucket}/", config={**keys, "aws_endpoint": endpoint}, client_options={"allow_http": True}
        )
        self.store.choose = self._note

    def _note(self, method: str, path: str) -> str:
        if method == "PUT":
            self.written.append(path)
        return ""

    def put(self, key: str, rows: str) -> None:
        """Write a Parquet object of rows in SQL."""
        file = self.folder / "rows.parquet"
        duckdb.sql(f"COPY ({rows}) TO '{file}' (FORMAT parquet, ROW_GROUP_SIZE 4096)")
        obstore.put(self.objects, key, file)

    def below(self, folder: str) -> dict[str, bytes]:
        """Return the objects in a folder of outputs, without the note."""
        listed = [meta["path"] for page in obstore.list(self.objects, prefix=f"{folder}/") for meta in page]
        return {
            key.removeprefix(f"{folder}/"): bytes(obstore.get(self.objects, key).bytes())
            for key in listed
            if not key.endswith("/_modelgate.json")
        }

    def start(
        self, source: str, target: str, *options: str, model: str = "loan", **environment: str
    ) -> subprocess.Popen[str]:
        where = (f"s3://{self.bucket}/{source}", "-o", f"s3://{self.bucket}/{target}/")
        return self.command("predict", model, *where, *options, **environment)

    def command(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MODELGATE_"))}
        environ |= {
            "MODELGATE_URL": self.site.gateway.address,
            "STORE_OPTIONS_FILE": str(self.s3.options(self.store.port)),
        }
        return subprocess.Popen(
            [sys.executable, "-m", "modelgate.command", *arguments],
            cwd=self.folder,
            env={**environ, "PYTHONPATH": str(PROJECT / "client/src"), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(
        self, source: str, target: str, *options: str, model: str = "loan", **environment: str
    ) -> tuple[int, str, str]:
        process = self.start(source, target, *options, model=model, **environment)
        out, err = process.communicate(timeout=240)
        return process.returncode, out, err


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    folder = tmp_path_factory.mktemp("lake")
    models, spool = folder / "models", folder / "spool"
    write_version(models, "loan", Versioned(1, 0.00002), numbers("a"), by_value=True)
    with ExitStack() as stack:
        s3 = stack.enter_context(s3_server(folder))
        store = FaultyStore(s3.port)
        stack.callback(store.close)
        site = stack.enter_context(start_site(folder, models, spool_dir=spool))
        worker = site.cluster.start(spool_dir=spool, predict_timeout=60).ready()
        made = Lake(s3, site, worker, folder, store)
        for day in DAYS:
            made.put(
                f"2026/day={day}/rows.parquet", f"SELECT 1.5 * i AS a, 'row ' || i AS note FROM range({ROWS}) t(i)"
            )
        yield made


@pytest.mark.slow
def test_the_commands_of_the_page_work_as_it_shows(lake: Lake) -> None:
    page = (PROJECT / "docs" / "how-to" / "score-a-data-lake.md").read_text()
    shown = re.findall(r"^\$ (modelgate predict .*)\n(.*\n)", page, re.MULTILINE)
    lake.s3.options().rename(lake.folder / "store.json")
    environ = {
        **os.environ,
        "MODELGATE_URL": lake.site.gateway.address,
        "STORE_OPTIONS_FILE": "store.json",
        "TZ": "UTC",
    }
    environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environ['PATH']}"
    assert len(shown) == 2
    for command, output in shown:
        ran = subprocess.run(
            command, shell=True, cwd=lake.folder, env=environ, capture_output=True, text=True, timeout=200, check=False
        )
        assert (ran.returncode, ran.stdout) == (0, output), ran.stderr


@pytest.mark.slow
@pytest.mark.replaces_parts  # the gateway and the scorers
def test_a_run_that_is_killed_goes_on_where_it_was_with_the_same_version(lake: Lake) -> None:
    source = "2026/*/*.parquet"
    code, out, err = lake.run(source, "whole")
    assert (code, err) == (0, "note: ignored columns that are not inputs of the model: 'note'\n")
    assert out == f"8 objects, 160,000 rows → s3://{lake.bucket}/whole/\n"
    whole = lake.below("whole")
    assert list(whole) == [f"day={day}/rows.parquet" for day in DAYS]

    client = lake.start(source, "killed")
    until(lambda: lake.below("killed") or client.poll() is not None, "an output", 60)
    client.kill()
    client.communicate()
    for pid in lake.worker.scorers().values():
        os.kill(pid, signal.SIGKILL)
    lake.site.gateway.kill()
    lake.site.gateway.start()
    first = lake.below("killed")
    assert 0 < len(first) < len(whole)
    write_version(lake.site.cluster.models, "loan", Versioned(2, 0.0), numbers("a"), version=2, by_value=True)
    code, out, err = lake.run(source, "killed")
    assert code == 0, err
    left = len(whole) - len(first)
    assert out == (
        f"{left} objects, {left * ROWS:,} rows → s3://{lake.bucket}/killed/;"
        f" {len(first)} object{'s' * (len(first) > 1)} were there before\n"
    )
    assert lake.below("killed") == whole
    for name in first:
        assert sum(path.endswith(f"killed/{name.replace('=', '%3D')}") for path in lake.written) == 1, lake.written
    assert lake.run(source, "killed")[1].startswith("0 objects, 0 rows")
    obstore.delete(lake.objects, "killed/day=3/rows.parquet")
    assert lake.run(source, "killed")[1].startswith("1 object, 20,000 rows")
    assert lake.below("killed") == whole
    code, _, err = lake.run(source, "killed", model="loan@2")
    assert code == 1 and "has the answers of loan@1" in err and "name another folder" in err


@pytest.mark.slow
def test_what_cannot_be_scored_is_named_with_its_object_and_row_and_the_others_are_scored(lake: Lake) -> None:
    lake.put("bad/good.parquet", "SELECT 1.0 AS a")
    lake.put("bad/texts.parquet", "SELECT unnest(['1', 'two', '3']) AS a")
    lake.put("bad/columns.parquet", "SELECT 1.0 AS b")
    data = bytes(obstore.get(lake.objects, "2026/day=0/rows.parquet").bytes())
    obstore.put(lake.objects, "bad/damaged.parquet", data[:1000] + bytes(1000) + data[2000:])
    obstore.put(lake.objects, "bad/cut.parquet", data[:-100])
    code, out, err = lake.run("bad/*.parquet", "answers")
    assert code == 1
    where = f"s3://{lake.bucket}/answers/"
    assert out == f"2 objects, 4 rows, 1 error → {where}, {where}_errors/\n"
    lines = err.splitlines()
    url = f"s3://{lake.bucket}/bad/"
    for name, said in (("columns", "'a' is missing"), ("damaged", "it is not Parquet"), ("cut", "it is not Parquet")):
        (line,) = [line for line in lines if line.startswith(f"{url}{name}.parquet: ")]
        assert said in line, line
    assert lines[-1] == f"modelgate: 3 objects could not be scored; the others are in {where}"
    answers = lake.below("answers")
    assert list(answers) == ["_errors/texts.parquet.ndjson", "good.parquet", "texts.parquet"]
    assert b'"row":1,"field":"a","code":"not_a_number"' in answers["_errors/texts.parquet.ndjson"]
    code, _, err = lake.run("bad/texts.parquet", "strict", "--strict")
    assert code == 1 and f"{url}texts.parquet: row 1: 'a' must be a finite number" in err


@pytest.mark.slow
def test_an_object_that_was_changed_since_is_not_overwritten(lake: Lake) -> None:
    lake.put("changing/a.parquet", "SELECT 1.0 AS a")
    assert lake.run("changing/*.parquet", "changed")[0] == 0
    before = lake.below("changed")
    scored = obstore.head(lake.objects, "changed/a.parquet")["last_modified"]

    def is_later() -> bool:
        lake.put("changing/a.parquet", "SELECT 2.0 AS a")
        return obstore.head(lake.objects, "changing/a.parquet")["last_modified"] > scored

    until(is_later, "another second")
    code, _, err = lake.run("changing/*.parquet", "changed")
    assert code == 1 and f"delete s3://{lake.bucket}/changed/a.parquet to score it again" in err
    assert lake.below("changed") == before


@pytest.mark.slow
def test_ctrl_c_cancels_the_jobs_and_a_later_run_scores_the_rest(lake: Lake) -> None:
    def unfinished() -> list[str]:
        jobs = lake.site.gateway.get("/v1/jobs?kind=file_prediction&limit=100").json()["items"]
        return [job["id"] for job in jobs if job["completed_at"] is None]

    client = lake.start("2026/*/*.parquet", "interrupted")
    until(lambda: unfinished() or client.poll() is not None, "a job")
    client.send_signal(signal.SIGINT)
    out, err = client.communicate(timeout=100)
    why = "interrupted: the jobs are cancelled, and the same command goes on where it was"
    assert (client.returncode, out, err) == (130, "", f"modelgate: {why}\n")
    until(lambda: not unfinished(), "all jobs have ended")
    there = len(lake.below("interrupted"))
    assert there < len(DAYS)
    code, out, err = lake.run("2026/*/*.parquet", "interrupted")
    assert code == 0 and out.startswith(f"{len(DAYS) - there} objects, "), err
    assert len(lake.below("interrupted")) == len(DAYS)


@contextmanager
def scheduler(lake: Lake) -> Iterator[subprocess.Popen[str]]:
    """`modelgate schedule run`, which is killed at the end."""
    process = lake.command("schedule", "run")
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def scheduled(lake: Lake) -> Any:
    return lake.site.gateway.get("/v1/models/loan/schedule/predict").json()


def make_due(lake: Lake, at: datetime) -> str:
    """Let the scheduled prediction be due since `at`; returns what is due."""
    with connect(lake.site.server.url) as redis:
        entry = json.loads(redis.hget(KEY, "loan"))  # type: ignore[arg-type]
        redis.hset(KEY, "loan", json.dumps({**entry, "next_run": timestamp(at)}))
    shown = scheduled(lake)
    assert shown["due"]
    return str(shown["run"]["target"])


def set_schedule(lake: Lake, source: str, target: str, *options: str) -> str:
    where = (f"s3://{lake.bucket}/{source}", "30 2 * * *", "-o", f"s3://{lake.bucket}/{target}")
    out, err = lake.command("schedule", "predict", "loan", *where, *options).communicate(timeout=60)
    assert err == "note: `modelgate schedule run` does it, where it may read and write the lake\n"
    return out


@pytest.mark.slow
@pytest.mark.replaces_parts  # the scorers
def test_missed_runs_are_made_up_for_though_the_runner_is_killed(lake: Lake) -> None:
    for day in (1, 2):
        for part in range(4):
            lake.put(f"2026-03-0{day}/{part}.parquet", f"SELECT {day}.5 * i AS a FROM range({ROWS}) t(i)")
    assert "30 2 * * *" in set_schedule(lake, "{date}/*.parquet", "nightly/{date}/")
    make_due(lake, datetime(2026, 3, 1, 2, 30, tzinfo=UTC))
    with scheduler(lake):
        until(lambda: lake.below("nightly/2026-03-01"), "an output", 60)
    for pid in lake.worker.scorers().values():
        os.kill(pid, signal.SIGKILL)
    with scheduler(lake), scheduler(lake):
        until(lambda: scheduled(lake)["next_run"] > "2026-03-03", "both are done", 200)
        until(lambda: scheduled(lake)["last_run"]["error"], "the third has no objects", 60)
    for day in ("2026-03-01", "2026-03-02"):
        assert lake.run(f"{day}/*.parquet", f"direct/{day}")[0] == 0
    assert lake.below("nightly") == lake.below("direct") and len(lake.below("direct")) == 8
    missing = rf"no object matches s3://{lake.bucket}/2026-03-\d\d/\*\.parquet"
    assert re.match(missing, scheduled(lake)["last_run"]["error"])
    out, _ = lake.command("schedule").communicate(timeout=60)
    assert re.search(f"loan: {missing}", out)
    assert lake.command("schedule", "predict", "loan", "--delete").communicate(timeout=60)[0]


@pytest.mark.slow
def test_a_run_says_what_it_scores_and_what_it_has_done(lake: Lake) -> None:
    lake.put("new/a.parquet", "SELECT 1.0 AS a")
    lake.put("new/b.parquet", "SELECT unnest(['1', 'two']) AS a")
    set_schedule(lake, "new/*.parquet", "done/")
    target = make_due(lake, datetime(2026, 3, 1, 2, 30, tzinfo=UTC))
    with scheduler(lake) as process:
        assert process.stdout
        until(lambda: not scheduled(lake)["due"], "it is done", 60)
        where = f"s3://{lake.bucket}/new/*.parquet → {target}"
        assert [process.stdout.readline() for _ in range(2)] == [
            f"loan: {where}\n",
            f"loan: 2 objects, 3 rows, 1 without a prediction → {target}\n",
        ]
    last = scheduled(lake)["last_run"]
    counts = {name: last[name] for name in ("status", "objects", "rows", "errors", "error")}
    assert counts == {"status": "succeeded", "objects": 2, "rows": 3, "errors": 1, "error": None}
    assert lake.command("schedule", "predict", "loan", "--delete").communicate(timeout=60)[0]


def test_without_the_library_the_message_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(ModelgateError, match=r"pip install 'modelgate-client\[lake\]'"):
        Bucket("s3://lake/2026")


@pytest.mark.slow
def test_a_run_that_cannot_begin_says_why(lake: Lake) -> None:
    code, out, err = lake.run("2025/*.parquet", "none")
    assert (code, out) == (1, "")
    assert err.startswith(f"modelgate: no object matches s3://{lake.bucket}/2025/*.parquet")
    (lake.folder / "empty.json").write_text(f'{{"aws_endpoint": "http://127.0.0.1:{lake.store.port}"}}')
    code, _, err = lake.run("2026/*.parquet", "none", "--store-options", "empty.json")
    assert code == 1 and f"cannot list s3://{lake.bucket}/2026/" in err and "are the credentials right?" in err, err
    code, _, err = lake.run("2026/*.parquet", "2026")
    assert code == 1 and "name another folder for the outputs" in err
    assert lake.below("none") == {}
