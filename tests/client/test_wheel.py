"""The wheel of the client in an environment that holds nothing else."""

from __future__ import annotations

import os
import subprocess
import venv
import zipfile
from pathlib import Path

import pytest

from tests.client.test_readme_of_the_client import EXAMPLE
from tests.flow.conftest import MakeUp
from tests.stacks.wheels import build_wheels
from tests.support import PROJECT

pytestmark = pytest.mark.slow

PIP = ["-m", "pip", "--quiet", "--disable-pip-version-check"]
ALONE = """
import sys
from modelgate import Client
assert "numpy" not in sys.modules and "pandas" not in sys.modules and "typer" not in sys.modules
iris = Client().model("iris")
print(iris.predict([[5.1, 3.5, 1.4, 0.2]]), iris.classes_)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    built = build_wheels(tmp_path_factory.mktemp("dist"), ["client"])
    return built[0]


def test_the_wheel_has_types_and_nothing_of_the_server(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "modelgate/py.typed" in names
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"modelgate", "modelgate_client"}


def test_the_wheel_works_alone_and_beside_pandas(wheel: Path, running: MakeUp, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "MODELGATE_URL": running.address}

    def run(program: str) -> str:
        ended = subprocess.run(
            [python, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    subprocess.run([python, *PIP, "install", wheel], check=True)
    assert run(ALONE) == "[0] [0, 1, 2]\n"
    said = subprocess.run(
        [tmp_path / "venv/bin/modelgate", "predict", "iris"],
        input="sepal_length,sepal_width,petal_length,petal_width\n5.1,3.5,1.4,0.2\n",
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert said.stdout.splitlines()[1].startswith("5.1,3.5,1.4,0.2,0"), said
    assert said.stderr == "1 row\n"
    versions = ["numpy", "pandas", "scikit-learn", "cloudpickle"]
    lines = (PROJECT / "requirements" / "dev.txt").read_text().splitlines()
    pins = [line.split(" ")[0] for line in lines if line.split("==")[0] in versions]
    subprocess.run([python, *PIP, "install", *pins], check=True)
    run(EXAMPLE)
