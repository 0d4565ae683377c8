"""The clients of five blog posts ask `make up` with the example's ROUTES_FILE, and get the answers of the posts."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import requests

from tests.flow.conftest import MakeUp
from tests.flow.test_five_models import real_rows
from tests.support import PROJECT

pytestmark = pytest.mark.slow

AS_JSON = ["-H", "Content-Type: application/json", "-X", "POST"]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, modelgate: MakeUp) -> Iterator[MakeUp]:
    """A Modelgate that answers at the addresses of the posts, too."""
    settings = {"ROUTES_FILE": str(PROJECT / "examples" / "old-clients" / "routes.toml")}
    started = MakeUp(tmp_path_factory.mktemp("old-clients"), modelgate.models, settings=settings)
    try:
        started.start()
        yield started
    finally:
        started.stop()


def curl(*arguments: str) -> str:
    return subprocess.run(["curl", "-sS", *arguments], capture_output=True, text=True, check=True, timeout=60).stdout


def frame(file: str, count: int) -> pd.DataFrame:
    """The first rows of a data set of the posts, as pandas reads it."""
    real_rows(file, 1)
    return pd.read_csv(Path(os.environ["DATA_DIR"]) / file).head(count)


def test_the_how_to_guide(service: MakeUp, tmp_path: Path) -> None:
    page = (PROJECT / "docs" / "how-to" / "keep-old-clients.md").read_text()
    (tmp_path / "routes.toml").write_text(re.findall(r"^```toml\n(.*?)^```", page, re.DOTALL | re.MULTILINE)[0])
    environ = {**service.environment(), "ROUTES_FILE": "routes.toml", "PYTHONPATH": str(PROJECT)}
    check = [sys.executable, "-m", "gateway", "routes", "--check"]
    said = subprocess.run(check, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60)
    assert (said.returncode, said.stderr) == (0, "")
    assert f"$ ROUTES_FILE=routes.toml .venv/bin/python -m gateway routes --check\n{said.stdout}" in page
    (command,) = re.findall(r"^curl localhost:8080(/.*)$", page, re.MULTILINE)
    assert json.loads(curl(service.address + command))["class"] == 1


def test_a_curl_with_the_features_in_its_path(service: MakeUp) -> None:
    answer = json.loads(curl(f"{service.address}/predict/feature_1/2.0/feature_2/2.0"))
    assert answer["class"] == 1
    no, yes = answer["probabilities"]
    assert (no + yes, yes > 0.9) == (pytest.approx(1), True)
    wrong = requests.get(f"{service.address}/predict/feature_1/1.0/feature_2/invalid", timeout=60)
    assert wrong.status_code == 400


def test_records_of_pandas_in_a_json_text(service: MakeUp) -> None:
    data = frame("loan_test.csv", 5).to_json(orient="records")
    header = {"Content-Type": "application/json", "Accept": "application/json"}
    answer = requests.post(f"{service.address}/loan/predict", data=json.dumps(data), headers=header, timeout=60)
    ids = ("LP001015", "LP001022", "LP001031", "LP001035", "LP001051")
    expected = ",".join(f'{{"0":"{loan_id}","1":1}}' for loan_id in ids)
    assert (answer.status_code, answer.json()) == (200, {"predictions": f"[{expected}]"})
    empty = requests.post(f"{service.address}/loan/predict", data=json.dumps("[]"), headers=header, timeout=60)
    assert (empty.status_code, empty.json()["status"], set(empty.json())) == (400, 400, {"status", "message"})


def test_flowers_with_misspelt_names(service: MakeUp) -> None:
    row = {"sepal.lenght": 5.1, "sepal.width": 3.5, "petal.lenght": 1.4, "petal.width": 0.2}
    url = f"{service.address}/iris/predict"
    assert json.loads(curl("-d", json.dumps(row), *AS_JSON, url)) == {"target_value": 0}
    assert requests.post(url, json=row, timeout=60).json() == {"target_value": 0}
    other = '{"sepal.lenght": 5.9, "sepal.width": 3.0, "petal.lenght": 5.1, "petal.width": 1.8}'
    assert json.loads(curl("-d", other, *AS_JSON, url)) == {"target_value": 2}
    twice = other.replace("sepal.lenght", "sepal.width")
    assert curl("-d", twice, *AS_JSON, "-o", "/dev/null", "-w", "%{http_code}", url) == "422"


def test_homes_whose_value_is_text(service: MakeUp) -> None:
    homes = frame("boston.csv", 506).drop(columns="MEDV").astype(float).rename(columns=str.lower)

    def value(index: int) -> Any:
        answer = requests.post(f"{service.address}/mass", json=homes.iloc[index].to_json(), timeout=60)
        return answer.content.decode() if answer.status_code == 200 else None

    assert value(0) == "30.51"
    assert [value(i) for i in (257, 195, 166, 168, 27)] == ["41.79", "37.82", "37.75", "26.51", "16.40"]


def test_sepals_as_text(service: MakeUp) -> None:
    url = f"{service.address}/sepals/predict"
    answer = curl("-i", *AS_JSON, "-d", '{"X1":"61.1", "X2":"17.3"}', url)
    head, _, body = answer.replace("\r\n", "\n").partition("\n\n")
    assert head.startswith("HTTP/1.1 200 OK\n")
    assert json.loads(body) == {"prediction": 2}
    assert requests.post(url, json={"X1": "61.1"}, timeout=60).status_code == 404
