"""`make` hands its variables on to what they are for; a refusal is one sentence and a failure."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import DEADLINE, PROJECT, outside_of_make

FAILED = 2
"""With what make ends if a command fails."""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train"], "modelgate: name a model: make train NAME="),
        (["train", "NAME=x"], "modelgate: no Modelgate answers at http://127.0.0.1:1 "),
        (["train", "NAME=x", "CSV=it's not.csv"], "modelgate: it's not.csv: No such file or directory"),
        (["train", "NAME=x", "KINDS=zip"], "modelgate: --kind 'zip' is not COLUMN=KIND, such as zip=string"),
        (["train", "NAME=x", "GATE=floor=high"], "modelgate: Invalid value for '--floor': "),
        (["import"], "modelgate: name a file: make import FILE="),
        (["import", "FILE=no.pkl"], "modelgate: no.pkl: No such file or directory"),
    ],
)
def test_a_refusal_of_make_is_one_sentence_and_a_failure(arguments: list[str], said: str) -> None:
    ended = made(*arguments)
    assert ended.stderr.startswith(said) and len(sentences(ended)) == 1
    assert (ended.stdout, ended.returncode) == ("", FAILED)


def test_make_train_hands_each_variable_on(tmp_path: Path) -> None:
    (tmp_path / "modelgate/command").mkdir(parents=True)
    (tmp_path / "modelgate/__init__.py").touch()
    spy = "import json, os, sys; print(json.dumps([os.environ['MODELGATE_URL'], *sys.argv[1:]]))"
    (tmp_path / "modelgate/command/__main__.py").write_text(spy)
    more = ["CSV=my rows.csv", "TARGET=it's", "ID=key", "FEATURES=a,b", "KINDS=a=string,b=number", "ESTIMATOR=linear"]
    ended = made("train", "NAME=own", *more, "GATE=metric=accuracy,floor=0.7", PYTHONPATH=str(tmp_path))
    options = ["--target=it's", "--id=key", "--feature=a", "--feature=b", "--kind=a=string", "--kind=b=number"]
    gate = ["--estimator=linear", "--metric=accuracy", "--floor=0.7"]
    assert json.loads(ended.stdout) == ["http://127.0.0.1:1", "train", *options, *gate, "--", "own", "my rows.csv"]


def test_the_command_is_part_of_the_virtual_environment(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "v"], check=True, timeout=DEADLINE)
    source = tmp_path / "client"
    (source / "modelgate/command").mkdir(parents=True)
    (source / "modelgate/command/__main__.py").write_text("import sys; print(sys.argv[1:])")
    code = f"from pathlib import Path; from launcher.install import install; install(Path({str(source)!r}))"
    subprocess.run([tmp_path / "v/bin/python", "-c", code], check=True, cwd=PROJECT, timeout=DEADLINE)
    said = subprocess.run(
        [tmp_path / "v/bin/modelgate", "a b"], capture_output=True, text=True, cwd="/", timeout=DEADLINE
    )
    assert said.stdout == "['a b']\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "modelgate: name a file or a version: make sign FILE=loan.pkl"),
        (["MODEL=loan"], "make sign MODEL=loan VERSION=4"),
        (["FILE=no.pkl"], "SIGNING_KEY is not set"),
        (["FILE=it's $(x).pkl", "KEY=it's none.pem"], "it's none.pem"),
    ],
)
def test_a_refusal_to_sign_is_one_sentence(arguments: list[str], said: str) -> None:
    ended = made("sign", *arguments, SIGNING_KEY="")
    assert said in ended.stderr + ended.stdout and len(sentences(ended)) == 1
    assert ended.returncode == FAILED


def test_a_refusal_to_start_is_one_sentence() -> None:
    ended = made("up", PORT="0")
    assert sentences(ended) == ["modelgate: PORT=0 is too small; the least is 1"]
    assert ended.returncode == FAILED


def test_a_taken_port_is_refused_before_anything_is_installed(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = made("up", f"VENV={tmp_path}/v", PORT=str(taken.getsockname()[1]))
    (said,) = sentences(ended)
    assert "cannot listen on 127.0.0.1:" in said and "choose another port" in said
    assert not (tmp_path / "v/up.stamp").exists()


def sentences(ended: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the lines of a command that failed, without the one that make adds."""
    lines = (ended.stdout + ended.stderr).splitlines()
    assert lines.pop().startswith("make: *** ")
    return lines


def made(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "--old-file", ".venv/up.stamp", *arguments],
        cwd=PROJECT,
        env={**outside_of_make(), "PORT": "1", "PYTHONPATH": str(PROJECT / "client/src"), **environment},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
