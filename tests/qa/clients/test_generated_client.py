"""Clients that four generators make of /openapi.json compile, and ask Modelgate."""

from __future__ import annotations

import compileall
import importlib
import io
import json
import pkgutil
import re
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import joblib
import pytest
import requests
from sklearn.linear_model import LinearRegression

from tests.qa.clients.conftest import LOAN, PROJECT, START, Modelgate, answered, started
from tests.qa.clients.tools import node, openapi_generator, run

PAGE = (PROJECT / "docs" / "how-to" / "generate-a-client.md").read_text()
FORM = "multipart/form-data"
CSV = ",".join(LOAN) + "\n" + ",".join(str(LOAN[name]) for name in LOAN) + "\n"


@pytest.fixture(scope="module")
def open_to_uploads(tmp_path_factory: pytest.TempPathFactory, modelgate: Modelgate) -> Iterator[Modelgate]:
    """One with a copy of the models, which takes others."""
    folder = tmp_path_factory.mktemp("uploads")
    shutil.copytree(modelgate.models, folder / "models")
    with started(folder, folder / "models", TRAIN_ON_START="none", ALLOW_UPLOAD="1") as running:
        yield running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, open_to_uploads: Modelgate) -> Path:
    """A folder with the document."""
    folder = tmp_path_factory.mktemp("generated")
    document = requests.get(f"{open_to_uploads.address}/openapi.json", timeout=60)
    assert {"iris.row", "loan.row", "boston.row"} <= document.json()["components"]["schemas"].keys()
    (folder / "openapi.json").write_bytes(document.content)
    return folder


def blocks(language: str) -> list[str]:
    """Return the blocks of the how-to page in a language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def imported(folder: Path, name: str) -> ModuleType:
    """Return a package after it has compiled, mypy has read it, and each of its modules was imported."""
    assert compileall.compile_dir(folder / name, quiet=1)
    run([sys.executable, "-m", "mypy", "--package", name, "--ignore-missing-imports"], folder)
    sys.path.insert(0, str(folder))
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, f"{name}."):
        importlib.import_module(module.name)
    return package


def a_model() -> bytes:
    """Return a fitted model as joblib writes it."""
    written = io.BytesIO()
    joblib.dump(LinearRegression().fit([[1.0], [2.0]], [2.0, 4.0]), written)
    return written.getvalue()


@pytest.fixture(scope="module")
def client(folder: Path) -> ModuleType:
    """The package of openapi-python-client."""
    (config,) = (block for block in blocks("yaml") if "literal_enums" in block)
    (folder / "config.yml").write_text(config)
    command = [Path(sys.executable).with_name("openapi-python-client"), "generate", "--meta", "none"]
    options = ["--path", "openapi.json", "--config", "config.yml", "--output-path", "modelgate_client"]
    said = run([*command, *options], folder)
    assert "WARNING" not in said, said
    return imported(folder, "modelgate_client")


def of(package: ModuleType, module: str) -> Any:
    return importlib.import_module(f"{package.__name__}.{module}")


def test_openapi_python_client_gets_the_right_answer(client: ModuleType, open_to_uploads: Modelgate) -> None:
    expected = answered(open_to_uploads, "loan", LOAN)
    predict, row = of(client, "api.loan.predict_loan"), of(client, "models").LoanRow.from_dict(LOAN)
    job = predict.sync(client=client.Client(base_url=open_to_uploads.address), body=[row], prefer="wait=30")
    assert job.status == "succeeded"
    assert job.output.predictions == expected["predictions"]
    assert [each.to_dict() for each in job.output.probabilities] == expected["probabilities"]


def test_openapi_python_client_gets_the_problem(client: ModuleType, open_to_uploads: Modelgate) -> None:
    predict, models = of(client, "api.loan.predict_loan"), of(client, "models")
    row = models.LoanRow.from_dict({**LOAN, "Gender": "male"})
    problem = predict.sync(client=client.Client(base_url=open_to_uploads.address), body=[row])
    assert isinstance(problem, models.Problem)
    assert (problem.code, problem.errors[0].field) == ("invalid_instances", "Gender")


def test_openapi_python_client_sends_files(client: ModuleType, open_to_uploads: Modelgate) -> None:
    types, connection = of(client, "types"), client.Client(base_url=open_to_uploads.address)
    file = types.File(io.BytesIO(a_model()), "line.joblib")
    upload = of(client, "models").ModelUpload(file=file)
    version = of(client, "api.uploads.publish_version").sync("line_1", client=connection, body=upload)
    assert (version.name, version.version, version.promoted) == ("line_1", 1, True)
    rows = types.File(io.BytesIO(CSV.encode()))
    job = of(client, "api.files.predict_file").sync("loan", client=connection, body=rows)
    job = finished(lambda: of(client, "api.jobs.get_job").sync(job.id, client=connection, wait=30))
    output = of(client, "api.files.job_output").sync(job.id, client=connection).payload.read().decode()
    assert ",prediction," in output.splitlines()[0]


def finished(read: Any) -> Any:
    """Return the job that `read` returns once it has succeeded."""
    end = time.monotonic() + START
    while (job := read()).completed_at is None and time.monotonic() < end:
        pass
    assert job.status == "succeeded"
    return job


def test_the_how_to_for_openapi_python_client_prints_a_prediction(
    client: ModuleType, open_to_uploads: Modelgate, capsys: pytest.CaptureFixture[str]
) -> None:
    (program,) = (block for block in blocks("python") if "modelgate_client" in block)
    exec(program.replace("http://127.0.0.1:8080", open_to_uploads.address), {})
    assert capsys.readouterr().out == "[0]\n"


@pytest.fixture(scope="module")
def generated(folder: Path) -> ModuleType:
    """The package of openapi-generator for Python."""
    said = openapi_generator(folder, "python", "--package-name", "modelgate_generated")
    assert " ERROR " not in said, said
    return imported(folder / "client", "modelgate_generated")


def test_openapi_generator_gets_the_right_answer(generated: ModuleType, open_to_uploads: Modelgate) -> None:
    expected = answered(open_to_uploads, "loan", LOAN)
    row = generated.LoanRow.from_dict(LOAN)
    job = generated.LoanApi(connected(generated, open_to_uploads)).predict_loan([row], prefer="wait=30")
    assert job.status == "succeeded"
    assert job.output.predictions == expected["predictions"]
    assert [each.to_dict() for each in job.output.probabilities] == expected["probabilities"]


def connected(generated: ModuleType, modelgate: Modelgate) -> Any:
    return generated.ApiClient(generated.Configuration(host=modelgate.address))


def test_openapi_generator_gets_the_problem(generated: ModuleType, open_to_uploads: Modelgate) -> None:
    row = generated.LoanRow.from_dict(LOAN).model_copy(update={"gender": "male"})
    with pytest.raises(generated.ApiException) as refused:
        generated.LoanApi(connected(generated, open_to_uploads)).predict_loan([row])
    assert refused.value.status == 422
    assert (refused.value.data.code, refused.value.data.errors[0].var_field) == ("invalid_instances", "Gender")


def test_openapi_generator_sends_files(generated: ModuleType, open_to_uploads: Modelgate) -> None:
    connection = connected(generated, open_to_uploads)
    version = generated.UploadsApi(connection).publish_version("line_2", ("line.joblib", a_model()), _content_type=FORM)
    assert (version.name, version.version, version.promoted) == ("line_2", 1, True)
    files = generated.FilesApi(connection)
    job = files.predict_file("loan", CSV.encode(), _content_type="text/csv")
    finished(lambda: generated.JobsApi(connection).get_job(job.id, wait=30))
    output = files.job_output(job.id, _headers={"Accept": "text/csv"})
    assert ",prediction," in output.decode().splitlines()[0]


def test_the_how_to_for_openapi_generator_prints_a_prediction(
    generated: ModuleType, open_to_uploads: Modelgate, capsys: pytest.CaptureFixture[str]
) -> None:
    (program,) = (block for block in blocks("python") if "modelgate_generated" in block)
    exec(program.replace("http://127.0.0.1:8080", open_to_uploads.address), {})
    assert capsys.readouterr().out == "[0]\n"


STRICT = ("--strict", "--target", "es2022", "--module", "nodenext", "--lib", "es2022,dom")


@pytest.mark.parametrize("generator", ["typescript-fetch", "openapi-typescript"])
def test_typescript_compiles_and_asks(tmp_path: Path, folder: Path, open_to_uploads: Modelgate, generator: str) -> None:
    shutil.copy(folder / "openapi.json", tmp_path)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    if generator == "typescript-fetch":
        said = openapi_generator(tmp_path, generator, "--additional-properties", "importFileExtension=.js")
        assert " ERROR " not in said, said
    else:
        node(tmp_path, "openapi-typescript", "openapi.json", "--output", "openapi.ts")
    (program,) = (block for block in blocks("ts") if ("./client" if "fetch" in generator else "./openapi") in block)
    (tmp_path / "ask.ts").write_text(program.replace("http://127.0.0.1:8080", open_to_uploads.address))
    node(tmp_path, "tsc", *STRICT, "ask.ts")
    assert json.loads(node(tmp_path, tmp_path / "ask.js")) == [0]
