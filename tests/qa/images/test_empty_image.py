"""The wheels in an image that has Python and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.qa.system.stack import why_no_docker
from tests.stacks.wheels import build_wheels

SCRIPT = Path(__file__).with_name("in_an_empty_image.py")
DOCKERFILE = f"""\
FROM python:3.13-slim
COPY *.whl /wheels/
RUN --mount=type=cache,target=/root/.cache/pip pip install --find-links /wheels modelgate
RUN useradd --create-home user
USER user
WORKDIR /home/user
COPY {SCRIPT.name} .
"""


@pytest.mark.skipif(bool(why_no_docker()), reason="needs Docker")
def test_five_pickles_are_served_in_an_image_with_the_wheels_alone(tmp_path: Path) -> None:
    build_wheels(tmp_path)
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    (tmp_path / SCRIPT.name).write_text(SCRIPT.read_text())
    build = subprocess.run(
        ["docker", "build", "--quiet", "--tag", "modelgate-test-wheels", str(tmp_path)], capture_output=True, text=True
    )
    assert build.returncode == 0, build.stderr
    run = ["docker", "run", "--rm", "--init", "modelgate-test-wheels", "python", SCRIPT.name]
    ran = subprocess.run(run, capture_output=True, text=True, timeout=600)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "answered after" in ran.stdout
    sys.stdout.write(ran.stdout)
