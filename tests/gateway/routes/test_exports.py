"""A version is exported as a zip of the folder that MLflow reads, and only with the artifact that was published."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient

from contract.model.manifest import InputFormat
from contract.model.signature import Field, Kind, Output, OutputKind, RowFormat, Signature
from contract.settings import Settings
from gateway.app import create_app
from gateway.serving.model_export import zipped
from tests.gateway.problems.test_refusals import problem
from tests.support import Sum, numbers, write_version

EXPORT = "/v1/models/sum/versions/1/export"


@pytest.fixture
def client(settings: Settings) -> FlaskClient:
    return create_app(settings).test_client()


@pytest.fixture
def artifact(settings: Settings) -> Path:
    return settings.models_dir / "sum/versions/1/model.joblib"


def exported(client: FlaskClient, path: str = EXPORT) -> dict[str, bytes]:
    """Return the files of an export."""
    answer = client.get(path)
    assert (answer.status_code, answer.content_type) == (200, "application/zip"), answer.text
    with zipfile.ZipFile(io.BytesIO(answer.data)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def test_an_export_has_the_artifact_its_manifest_and_the_code_that_reads_them(
    client: FlaskClient, artifact: Path
) -> None:
    answer = client.get(EXPORT)
    assert answer.headers["Content-Disposition"] == 'attachment; filename="sum-1.zip"'
    files = exported(client)
    assert files["data/model.joblib"] == artifact.read_bytes()
    assert json.loads(files["data/version.json"]) == json.loads((artifact.parent / "manifest.json").read_text())
    sources = Path(__file__).parents[3] / "modelgate_artifacts"
    assert {name for name in files if name.startswith("code/")} == {
        f"code/modelgate_artifacts/{file.name}" for file in sources.glob("*.py")
    }
    card = json.loads(files["card.json"])
    assert (card["name"], card["version"], "since" in card) == ("sum", 1, False)
    assert files["card.md"].startswith(b"# sum, version 1\n")
    function = json.loads(files["MLmodel"])["flavors"]["python_function"]
    assert (function["loader_module"], function["data"]) == ("modelgate_artifacts.exported", "data")
    assert b"scikit-learn==" in files["requirements.txt"]


def test_an_alias_names_the_version_of_an_export(client: FlaskClient) -> None:
    path = EXPORT.replace("/1/", "/current/")
    assert json.loads(exported(client, path)["MLmodel"])["metadata"]["modelgate"] == {"model": "sum", "version": 1}
    problem(client.get(EXPORT.replace("/1/", "/7/")), 404, "unknown_model")


def test_a_damaged_artifact_is_not_exported(client: FlaskClient, artifact: Path) -> None:
    whole = artifact.read_bytes()
    artifact.write_bytes(whole[:-1] + b"x")
    assert "wrong checksum" in problem(client.get(EXPORT), 503, "artifact_corrupt")["detail"]
    artifact.write_bytes(whole + b"x")
    assert "bytes instead of" in problem(client.get(EXPORT), 503, "artifact_corrupt")["detail"]
    artifact.unlink()
    problem(client.get(EXPORT), 503, "artifact_missing")


def test_a_large_artifact_is_sent_in_pieces(client: FlaskClient, settings: Settings) -> None:
    manifest = write_version(settings.models_dir, "large", [b"\x00" * 5_000_000], numbers("a"), current=False)
    with (settings.models_dir / "large/versions/1/model.joblib").open("rb") as file:
        pieces = list(zipped(manifest, {}, file, False))
    assert sum(map(len, pieces)) > 5_000_000 and max(map(len, pieces)) < 600_000


def test_only_a_plain_pickle_has_the_flavour_of_scikit_learn(client: FlaskClient, settings: Settings) -> None:
    write_version(settings.models_dir, "arrays", {"weights": np.arange(5.0)}, numbers("a"))
    data = (settings.models_dir / "arrays/versions/1/model.joblib").read_bytes()
    with pytest.raises(pickle.UnpicklingError):
        pickle.loads(data)
    write_version(settings.models_dir, "by_value", Sum(), numbers("a"), by_value=True)
    write_version(settings.models_dir, "plain", Sum(), numbers("a"))
    flavors = {
        name: json.loads(exported(client, f"/v1/models/{name}/versions/1/export")["MLmodel"])["flavors"]
        for name in ("arrays", "by_value", "plain")
    }
    assert {name: "sklearn" in flavor for name, flavor in flavors.items()} == {
        "arrays": False,
        "by_value": True,
        "plain": True,
    }


COLUMNS = [
    Field("age", Kind.INTEGER),
    Field("income", Kind.NUMBER, nullable=True),
    Field("city", Kind.STRING),
    Field("member", Kind.BOOLEAN),
    Field("since", Kind.DATETIME),
]


def signature_of(client: FlaskClient, name: str) -> Any:
    signature = json.loads(exported(client, f"/v1/models/{name}/versions/1/export")["MLmodel"]).get("signature")
    return signature and [part and json.loads(part) for part in (signature["inputs"], signature["outputs"])]


def test_the_signature_becomes_that_of_mlflow(client: FlaskClient, settings: Settings) -> None:
    models = settings.models_dir
    write_version(models, "table", Sum(), COLUMNS, Output(OutputKind.CLASS, (0, 1)), input_format=InputFormat.DATAFRAME)
    inputs, outputs = signature_of(client, "table")
    assert inputs == [
        {"type": "long", "name": "age", "required": True},
        {"type": "double", "name": "income", "required": False},
        {"type": "string", "name": "city", "required": True},
        {"type": "boolean", "name": "member", "required": True},
        {"type": "datetime", "name": "since", "required": True},
    ]
    assert outputs == [{"type": "long", "required": True}]
    write_version(models, "array", Sum(), numbers("x0", "x1"))
    assert signature_of(client, "array")[0] == [
        {"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 2]}}
    ]
    records = Signature((), (Output(OutputKind.NUMBER),), format=RowFormat.RECORDS)
    write_version(models, "records", Sum(), [], signature=records, example={"city": "Rome"})
    assert signature_of(client, "records") is None
