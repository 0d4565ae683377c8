"""The examples with Flask and cron run against `make up`. FastAPI and the notebook are in tests/qa/clients."""

from __future__ import annotations

import csv
import difflib
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.flow.conftest import MakeUp
from tests.stacks.ports import free_port
from tests.support import PROJECT, until

pytestmark = pytest.mark.slow

EXAMPLES = PROJECT / "examples"
NAMES = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
ROWS = [[5.1, 3.5, 1.4, 0.2], [5.9, 3.0, 5.1, 1.8]]


def environment(modelgate: MakeUp, **changes: str) -> dict[str, str]:
    client = str(PROJECT / "client" / "src")
    return {**os.environ, "PYTHONPATH": client, "MODELGATE_URL": modelgate.address, **changes}


@contextmanager
def app(file: str, environ: dict[str, str]) -> Iterator[str]:
    """Yield the address of a running Flask app of the example."""
    port = free_port()
    command = [sys.executable, "-m", "flask", "--app", str(EXAMPLES / "flask-app" / file), "run", "--port", str(port)]
    process = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: listens(port) or process.poll() is not None, f"{file} listens")
        assert process.poll() is None
        yield f"http://127.0.0.1:{port}/predict"
    finally:
        process.terminate()
        process.wait(30)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_the_flask_app_answers_as_before(modelgate: MakeUp) -> None:
    (artifact,) = (modelgate.models / "iris" / "versions" / "1").glob("model.*")

    def answer(file: str) -> tuple[Any, int]:
        with app(file, environment(modelgate, MODEL=str(artifact))) as url:
            wrong = requests.post(url, json=[[5.1, 3.5, 1.4]], timeout=60)
            return requests.post(url, json=ROWS, timeout=60).json(), wrong.status_code

    assert answer("before.py") == ({"prediction": [0, 2]}, 500)
    assert answer("after.py") == ({"prediction": [0, 2]}, 422)


def test_the_flask_app_has_five_new_lines() -> None:
    before, after = ((EXAMPLES / "flask-app" / name).read_text().splitlines()[1:] for name in ("before.py", "after.py"))
    new = [line for line in difflib.ndiff(before, after) if line.startswith("+ ") and line[2:].strip()]
    assert len(new) == 5


def nightly(modelgate: MakeUp, folder: Path, model: str = "iris") -> subprocess.CompletedProcess[str]:
    """Run the line of the crontab in a folder like that of the README, as cron does."""
    (line,) = re.findall(r"^\d.*$", (EXAMPLES / "nightly" / "crontab").read_text(), re.MULTILINE)
    *when, command = line.split(maxsplit=5)
    assert when == ["30", "2", "*", "*", "*"]
    command = command.replace(r"\%", "%").replace("/srv/churn", str(folder)).replace(" churn ", f" {model} ")
    command = command.replace("venv/bin/python score.py", f"{sys.executable} {EXAMPLES / 'nightly' / 'score.py'}")
    command = command.replace("$(date +%F)", "2026-11-21")
    environ = environment(modelgate)
    return subprocess.run(["sh", "-c", command], env=environ, capture_output=True, text=True, timeout=120)


def export(folder: Path, rows: list[list[Any]]) -> Path:
    """Write the rows of a day, and return where its output will be."""
    for name in ("export", "scored"):
        (folder / name).mkdir(exist_ok=True)
    with (folder / "export" / "2026-11-21.csv").open("w", newline="") as file:
        csv.writer(file).writerows([NAMES, *rows])
    return folder / "scored" / "2026-11-21.csv"


def test_a_night_is_scored_once_and_in_silence(modelgate: MakeUp, tmp_path: Path) -> None:
    scored = export(tmp_path, ROWS * 500)
    ended = nightly(modelgate, tmp_path)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    with scored.open(newline="") as file:
        predictions = [row["prediction"] for row in csv.DictReader(file)]
    assert predictions == ["0", "2"] * 500
    before = scored.stat().st_mtime_ns
    assert nightly(modelgate, tmp_path).returncode == 0
    assert scored.stat().st_mtime_ns == before


def test_a_night_with_bad_rows_or_no_model_says_so_in_one_line(modelgate: MakeUp, tmp_path: Path) -> None:
    scored = export(tmp_path, [*ROWS, ["wide", 1, 1, 1]])
    missing = nightly(modelgate, tmp_path, "iris-of-mars")
    assert missing.returncode == 1
    (line,) = missing.stderr.splitlines()
    assert "there is no model 'iris-of-mars'" in line
    assert not scored.exists()
    bad = nightly(modelgate, tmp_path)
    assert bad.returncode == 2
    assert "1 of 3 rows cannot be used; see scored/2026-11-21.csv.errors.csv" in bad.stderr
    assert "sepal_length" in (tmp_path / "scored" / "2026-11-21.csv.errors.csv").read_text()
