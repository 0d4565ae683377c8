"""Every command of the how-to guides for clients of other servers works as pasted."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.qa.clients.conftest import ADMIN_KEY, COMPILED, PROJECT, GrpcModelgate, Modelgate, started

PAGE = (PROJECT / "docs" / "how-to" / "change-the-address.md").read_text()
BLOCKS = re.findall(r"```(python|sh)\n(.*?)```", PAGE, re.DOTALL)
*COMMANDS, BOTO3, (_, ARRAYS), (_, HOOK) = BLOCKS
OVER_GRPC = next(code for _, code in COMMANDS if "localhost:8001" in code)


AFTER = [
    block
    for server in ("mlflow", "bentoml", "sagemaker")
    for block in re.findall(
        r"```(python|sh)\n(.*?)```",
        (PROJECT / "docs" / "how-to" / f"come-from-{server}.md").read_text().partition("## After")[2],
        re.DOTALL,
    )
]
assert len(AFTER) == 3


def run(kind: str, code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code] if kind == "python" else ["sh", "-ec", code]
    return subprocess.run(command, env={**os.environ, **COMPILED}, capture_output=True, text=True, timeout=300)


def output(kind: str, code: str) -> str:
    done = run(kind, code)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(("kind", "code"), [*(block for block in COMMANDS if block[1] != OVER_GRPC), BOTO3, *AFTER])
def test_a_command(modelgate: Modelgate, kind: str, code: str) -> None:
    assert "[0]" in output(kind, code.replace("localhost:8080", modelgate.host))


@pytest.mark.slow
def test_the_client_over_grpc(with_grpc: GrpcModelgate) -> None:
    assert output("python", OVER_GRPC.replace("localhost:8001", with_grpc.target)) == "[[0]\n [2]]\n"


def test_arrays_go_with_the_same_client(modelgate: Modelgate) -> None:
    code = BOTO3[1].replace("localhost:8080", modelgate.host) + ARRAYS
    assert output("python", code).splitlines()[-1] == "[0 2]"


@pytest.mark.slow
def test_the_hook_sends_a_key(tmp_path: Path, only_iris: Path) -> None:
    with started(tmp_path, only_iris, TRAIN_ON_START="iris", ADMIN_KEY=ADMIN_KEY) as modelgate:
        without = BOTO3[1].replace("localhost:8080", modelgate.host)
        assert "(AccessDeniedException)" in run("python", without).stderr
        setup, call = without.split("answer = ")
        hook = HOOK.replace("mg_…", ADMIN_KEY)
        assert '"predictions":[0]' in output("python", f"{setup}{hook}answer = {call}")
        assert len(list(filter(None, hook.splitlines()))) == 3
