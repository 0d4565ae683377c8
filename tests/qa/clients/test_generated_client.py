"""A client that openapi-python-client makes of /openapi.json asks `loan`."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import requests

from tests.qa.clients.conftest import LOAN, PROJECT, Modelgate, answered

CONFIG = "literal_enums: true\n"


@pytest.fixture
def generated(modelgate: Modelgate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The package that the generator has made."""
    document, config = tmp_path / "openapi.json", tmp_path / "config.yml"
    document.write_bytes(requests.get(f"{modelgate.address}/openapi.json", timeout=60).content)
    config.write_text(CONFIG)
    command = [Path(sys.executable).with_name("openapi-python-client"), "generate", "--meta", "none"]
    options = ["--path", document, "--config", config, "--output-path", tmp_path / "modelgate_client"]
    ended = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "/v1/models/loan" not in ended.stdout + ended.stderr, ended.stdout + ended.stderr
    assert "Unable to process schema" not in ended.stdout + ended.stderr, ended.stdout + ended.stderr
    monkeypatch.syspath_prepend(tmp_path)
    return importlib.import_module("modelgate_client")


def test_a_generated_client_gets_the_right_answer(generated: ModuleType, modelgate: Modelgate) -> None:
    expected = answered(modelgate, "loan", LOAN)
    predict_loan = importlib.import_module("modelgate_client.api.loan.predict_loan")
    row = importlib.import_module("modelgate_client.models").LoanRow
    client = generated.Client(base_url=modelgate.address)
    job = predict_loan.sync(client=client, body=row.from_dict(LOAN), prefer="wait=30")
    assert job.status == "succeeded"
    assert job.output.predictions == expected["predictions"]
    assert [each.to_dict() for each in job.output.probabilities] == expected["probabilities"]


def test_a_generated_client_gets_the_problem(generated: ModuleType, modelgate: Modelgate) -> None:
    predict_loan = importlib.import_module("modelgate_client.api.loan.predict_loan")
    models = importlib.import_module("modelgate_client.models")
    client = generated.Client(base_url=modelgate.address)
    problem = predict_loan.sync(client=client, body=models.LoanRow.from_dict({**LOAN, "Gender": "male"}))
    assert isinstance(problem, models.Problem)
    assert problem.code == "invalid_instances"
    assert problem.errors[0].field == "Gender"


def test_the_how_to_prints_a_prediction(
    generated: ModuleType, modelgate: Modelgate, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (PROJECT / "docs" / "how-to" / "generate-a-client.md").read_text()
    (program,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(program.replace("http://127.0.0.1:8080", modelgate.address), {})
    assert capsys.readouterr().out == "[0]\n"
