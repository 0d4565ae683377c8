"""Predictions of files and of standard input, and the verbs that read models and jobs."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from modelgate import Client
from modelgate.command.predictions import _opened

from contract.model.manifest import InputFormat
from tests.client.command.conftest import Modelgate
from tests.client.command.conftest import process as in_a_process
from tests.flow import estimators
from tests.stacks.gateways import Site, start_site
from tests.support import DEADLINE, Sum, numbers, until, write_version

ROWS = 100_000


class Weighs:
    """Answers ten times the first input of a row and the second one."""

    def predict(self, rows: Any) -> Any:
        return np.asarray(rows) @ [10, 1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A gateway and a worker with the models `sum`, `weighs` without names, and `slow` and `steady`, which take 0.3 and
    0.03 ms a row."""
    folder = tmp_path_factory.mktemp("site")
    (models := folder / "models").mkdir()
    write_version(models, "sum", Sum(), numbers("a", "b"), by_value=True)
    write_version(models, "weighs", Weighs(), numbers("x0", "x1"), by_value=True)
    write_version(models, "slow", estimators.Slow(0.0003), numbers("a"), by_value=True)
    write_version(models, "steady", estimators.Slow(0.00003), numbers("a"), by_value=True)
    with start_site(folder, models, spool_dir=folder / "spool") as site:
        site.cluster.start(spool_dir=folder / "spool", workers=1).ready(1)
        yield site


@pytest.fixture
def ask(site: Site, modelgate: Modelgate) -> Modelgate:
    return lambda *arguments, **changes: modelgate(*arguments, MODELGATE_URL=site.gateway.address, **changes)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    file = tmp_path / "rows.csv"
    file.write_text("a,b\n1,2\n3,x\n5,6\n")
    return file


def standard_input(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(data), isatty=lambda: False))


def test_a_file_becomes_a_file_of_answers_and_one_of_errors(ask: Modelgate, rows: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    ended = ask("predict", "sum", rows, "-o", out)
    assert (ended.code, ended.out) == (0, f"3 rows, 1 error → {out}, {tmp_path / 'out.errors.csv'}\n")
    assert [row["prediction"] for row in csv.DictReader(out.open())] == ["3.0", "", "11.0"]
    (error,) = csv.DictReader((tmp_path / "out.errors.csv").open())
    assert (error["row"], error["field"], error["code"]) == ("1", "b", "not_a_number")
    rows.write_text("a,b\n1,2\n")
    assert ask("predict", "sum", rows, "-o", out).out == f"1 row → {out}\n"
    assert not (tmp_path / "out.errors.csv").exists()


def test_a_data_frame_is_submitted_as_it_is_predicted_whatever_version_is_current(site: Site) -> None:
    folder, frame = site.gateway.models, pd.DataFrame({"b": [2.0, 4.0], "a": [1.0, 3.0]})
    model = Client(site.gateway.address).model("weighs")

    def submitted() -> list[float]:
        model.submit(frame, output="ndjson").wait().download(scored := io.BytesIO())
        return [json.loads(line)["prediction"] for line in scored.getvalue().splitlines()]

    assert submitted() == model.predict(frame).tolist() == [21.0, 43.0]
    named = InputFormat.DATAFRAME
    write_version(folder, "weighs", Weighs(), numbers("a", "b"), by_value=True, version=2, input_format=named)
    assert submitted() == model.predict(frame).tolist() == [12.0, 34.0]


def test_a_hyphen_is_standard_output(ask: Modelgate, rows: Path) -> None:
    before = set(Path.cwd().iterdir())
    ended = ask("predict", "sum", rows, "-o", "-")
    assert ended.code == 0 and [row["prediction"] for row in csv.DictReader(io.StringIO(ended.out))] == [
        "3.0",
        "",
        "11.0",
    ]
    assert set(Path.cwd().iterdir()) == before


def test_standard_input_is_answered_on_standard_output(ask: Modelgate, monkeypatch: pytest.MonkeyPatch) -> None:
    standard_input(monkeypatch, b'{"a": 1, "b": 2}\n{"a": 1, "b": null}\n')
    ended = ask("predict", "sum")
    first, second = map(json.loads, ended.out.splitlines())
    assert (first["prediction"], second["prediction"]) == (3.0, None)
    assert ended.err.startswith("2 rows, 1 error\nrow 1: 'b' ")


def test_a_pipe_can_be_sent_again() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"a,b\n1,2\n")
    os.close(writing)
    with _opened(Path(f"/dev/fd/{reading}")) as file:
        assert [file.read(), file.seek(0), file.read()] == [b"a,b\n1,2\n", 0, b"a,b\n1,2\n"]
    os.close(reading)


@pytest.mark.slow
def test_the_name_of_the_output_says_its_format(ask: Modelgate, rows: Path, tmp_path: Path) -> None:
    saved = ask("predict", "sum", rows, "-o", tmp_path / "out.ndjson", "--json").json
    assert saved["files"] == [str(tmp_path / "out.ndjson"), str(tmp_path / "out.errors.ndjson")]
    assert json.loads((tmp_path / "out.errors.ndjson").read_text())["row"] == 1
    ask("predict", "sum", rows, "-o", tmp_path / "out.parquet")
    assert (tmp_path / "out.parquet").read_bytes()[:4] == b"PAR1"


def test_a_strict_file_fails_at_its_first_error(ask: Modelgate, rows: Path, tmp_path: Path) -> None:
    ended = ask("predict", "sum", rows, "--strict", "-o", tmp_path / "out.csv")
    assert (ended.code, ended.out, ended.err.count("\n")) == (1, "", 1)
    assert "'b' must be a finite number; it is 'x'" in ended.err and not (tmp_path / "out.csv").exists()


def test_models_and_jobs_are_listed_and_shown(ask: Modelgate, rows: Path, tmp_path: Path) -> None:
    made = ask("predict", "sum", rows, "-o", tmp_path / "out.csv", "--json").json
    assert [model["name"] for model in ask("models", "--json").json] == ["slow", "steady", "sum", "weighs"]
    assert re.search(r"^sum +1 ", ask("models").out, re.MULTILINE)
    assert "sum@1" in ask("model", "sum").out and "a " in ask("model", "sum@1").out
    assert ask("versions", "sum", "--json").json[0]["aliases"] == ["current"]
    assert made["id"] in ask("jobs", "--model", "sum", "--status", "succeeded").out
    assert ask("jobs", "--model", "sum", "--limit", 1, "--json").json[0]["id"] == made["id"]
    assert "3 rows, 1 error" in ask("job", made["id"]).out
    assert ask("cancel", made["id"]).out == f"{made['id']} is succeeded\n"
    assert ask("download", made["id"], "-o", tmp_path / "again.csv").code == 0
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "out.csv").read_bytes()
    printed = ask("download", made["id"], "-o", "-")
    assert (printed.out, printed.err) == ((tmp_path / "out.csv").read_text(), "3 rows, 1 error\n")


@pytest.mark.parametrize("sent", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_ctrl_c_cancels_the_job(site: Site, ask: Modelgate, tmp_path: Path, sent: signal.Signals) -> None:
    (tmp_path / "rows.csv").write_text("a\n" + "1\n" * ROWS)
    out = tmp_path / "out.csv"
    process = in_a_process("predict", "slow", tmp_path / "rows.csv", "-o", out, MODELGATE_URL=site.gateway.address)
    (job,) = until(lambda: ask("jobs", "--model", "slow", "--status", "running", "--json").json, "it is scored")
    until(lambda: f"GET /v1/jobs/{job['id']} 200" in site.gateway.log, "the command knows the job")
    process.send_signal(sent)
    said, errors = process.communicate(timeout=DEADLINE)
    job, *_ = ask("jobs", "--model", "slow", "--json").json
    assert (process.returncode, said, job["status"]) == (130, "", "canceled")
    assert errors == f"modelgate: the file prediction {job['id']} is canceled\n"
    assert not list(tmp_path.glob("*out.csv*"))


def test_ctrl_c_before_the_server_answers_says_that_it_interrupted(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(DEADLINE)
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        process = in_a_process("models", MODELGATE_URL=url, XDG_CONFIG_HOME=str(tmp_path))
        with silent.accept()[0]:
            process.send_signal(signal.SIGINT)
            assert process.communicate(timeout=DEADLINE) == ("", "modelgate: interrupted\n")
    assert process.returncode == 130


@pytest.mark.slow
def test_a_terminal_shows_how_100_000_rows_go_on(site: Site, tmp_path: Path) -> None:
    values = ["x" if row in (7, 70, 700) else "2" for row in range(ROWS)]
    (tmp_path / "rows.csv").write_text("a\n" + "".join(f"{value}\n" for value in values))
    shown = on_a_terminal(
        [sys.executable, "-m", "modelgate.command", "predict", "steady", "rows.csv", "-o", "out.csv"],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "MODELGATE_URL": site.gateway.address,
            "TERM": "xterm",
        },
    )
    assert re.search(r"scoring .*/100,000 rows", shown)
    assert shown.rstrip().endswith("100,000 rows, 3 errors → out.csv, out.errors.csv")
    assert sum(1 for _ in (tmp_path / "out.csv").open()) == ROWS + 1


def on_a_terminal(command: list[str], **options: Any) -> str:
    """Return all that a command writes to its terminal."""
    ours, its = pty.openpty()
    with subprocess.Popen(command, stdin=its, stdout=its, stderr=its, **options):
        os.close(its)
        shown = b""
        while piece := _read(ours):
            shown += piece
    os.close(ours)
    return shown.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # nobody writes any more
        return b""
