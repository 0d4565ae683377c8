"""An upload becomes a command to the trainer, if uploads are allowed."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from contract.errors import Code, ModelgateError
from contract.settings import Settings
from contract.work.training import RepositoryAction, RepositoryCommand
from gateway.app import create_app
from tests.gateway.problems.test_refusals import problem
from tests.gateway.routes.conftest import Trainer


@pytest.fixture
def allowing(settings: Settings) -> Settings:
    return dataclasses.replace(settings, allow_upload="1")


@pytest.fixture
def client(allowing: Settings, trainer: Trainer) -> FlaskClient:
    return create_app(allowing, trainer).test_client()


def files(spool: Path) -> list[str]:
    return [path.name for path in spool.iterdir() if path.name != ".lock"]


def form(*parts: str, **fields: str) -> dict[str, Any]:
    return {**fields, **{part: (io.BytesIO(b"x"), "x.pkl") for part in parts}}


URL = "/v1/models/loan/versions"


@pytest.mark.parametrize(("written", "environment"), [("today", ""), ("sklearn-1.5", "sklearn-1.5")])
def test_an_upload_names_the_environment(client: FlaskClient, trainer: Trainer, written: str, environment: str) -> None:
    assert client.post(URL, data=form("file", environment=written)).status_code == 201
    assert trainer.commands[-1].environment == environment


def test_an_upload_is_a_command_and_answered_with_the_version(
    client: FlaskClient, trainer: Trainer, spool: Path
) -> None:
    response = client.post(URL, data=form("file", "sample", "code"))
    assert response.status_code == 201
    assert response.headers["Location"] == "/v1/models/loan/versions/3"
    assert response.json and response.json["version"] == 3
    (command,) = trainer.commands
    assert len({command.upload, command.sample, command.code, None}) == 4
    assert dataclasses.replace(command, upload=None, sample=None, code=None) == RepositoryCommand(
        RepositoryAction.IMPORT, "loan", upload_name="x.pkl"
    )
    assert files(spool) == []


def test_a_sample_is_not_needed(client: FlaskClient, trainer: Trainer) -> None:
    assert client.post(URL, data=form("file")).status_code == 201
    assert trainer.commands[0].sample is None


def test_what_nulls_were_in_the_sample_goes_to_the_trainer(client: FlaskClient, trainer: Trainer, spool: Path) -> None:
    nulls = {"city": ["none", "nan_object"], "age": ["na"]}
    assert client.post(URL, data=form("file", "sample", nulls=json.dumps(nulls))).status_code == 201
    assert trainer.commands[0].nulls == nulls
    for wrong in ("[]", '{"city": "none"}', '{"city": ["None"]}', '{"city": [3]}'):
        body = problem(client.post(URL, data=form("file", nulls=wrong)), 400, "invalid_parameter")
        assert "nulls must be an object of lists of nan, nan_object, none, na, na_object by column" in body["detail"]
    assert len(trainer.commands) == 1


@pytest.mark.parametrize("target", ["price", ""])
def test_the_target_of_the_sample_goes_to_the_trainer(client: FlaskClient, trainer: Trainer, target: str) -> None:
    assert client.post(URL, data=form("file", "sample", target=target)).status_code == 201
    assert trainer.commands[0].target == target
    assert RepositoryCommand.from_json(trainer.commands[0].to_json()).target == target


def test_the_columns_of_a_model_go_to_the_trainer(client: FlaskClient, trainer: Trainer, spool: Path) -> None:
    columns = [{"name": "age", "kind": "integer"}, {"name": "city", "kind": "string", "nullable": True}]
    assert client.post(URL, data=form("file", columns=json.dumps(columns))).status_code == 201
    assert trainer.commands[0].columns == columns
    for wrong, said in (
        ("{}", "columns must be a list such as"),
        ("[]", "columns must be a list such as"),
        ('["age"]', "columns must be an object; it is 'age'"),
        ('[{"name": "age"}]', "columns.kind must be one of number, integer"),
        ('[{"name": "age", "kind": "long"}]', "columns.kind must be one of number, integer"),
        ('[{"name": 3, "kind": "number"}]', "columns.name must be text"),
        ('[{"name": "a", "kind": "number", "nullable": 1}]', "columns.nullable must be true or false"),
        ('[{"name": "a", "kind": "number", "type": 1}]', "columns has the member 'type'"),
        (json.dumps([columns[0], columns[0]]), "columns names 'age' more than once"),
    ):
        body = problem(client.post(URL, data=form("file", columns=wrong)), 400, "invalid_parameter")
        assert said in body["detail"], body
    assert len(trainer.commands) == 1 and files(spool) == []


def test_the_versions_that_made_a_file_go_to_the_trainer(client: FlaskClient, trainer: Trainer, spool: Path) -> None:
    made = {"python": "3.12.1", "scikit-learn": "1.9.1"}
    assert client.post(URL, data=form("file", versions=json.dumps(made))).status_code == 201
    assert trainer.commands[0].versions == made
    for wrong in (
        "[]",
        '{"python": 3}',
        json.dumps({"python": "3" * 65}),
        json.dumps({str(n): "1" for n in range(21)}),
    ):
        body = problem(client.post(URL, data=form("file", versions=wrong)), 400, "invalid_parameter")
        assert "versions must be an object of up to 20 short texts" in body["detail"]
    assert len(trainer.commands) == 1 and files(spool) == []


def test_what_becomes_of_the_version_goes_to_the_trainer(client: FlaskClient, trainer: Trainer, spool: Path) -> None:
    wish = {"alias": "candidate", "promote": "false", "accept": '["signature"]', "notes": "as the auditors asked"}
    assert client.post(URL, data=form("file", **wish)).status_code == 201
    command = trainer.commands[-1]
    assert (command.alias, command.no_promote, command.accept) == ("candidate", True, ["signature"])
    assert command.notes == "as the auditors asked"
    for field, wrong, said in (
        ("alias", "previous", "previous follows current by itself"),
        ("promote", "no", "promote must be true or false"),
        ("accept", '"all"', "accept must be a list of signature"),
        ("notes", "x" * 4001, "notes has 4,001 characters; send at most 4,000"),
    ):
        body = problem(client.post(URL, data=form("file", **{field: wrong})), 400, "invalid_parameter")
        assert said in body["detail"]
    assert files(spool) == []


def test_uploads_are_off_by_default(allowing: Settings, trainer: Trainer) -> None:
    client = create_app(dataclasses.replace(allowing, allow_upload="0"), trainer).test_client()
    body = problem(client.post(URL, data=form("file")), 403, "uploads_off")
    assert "a pickle is a program" in body["detail"] and "ALLOW_UPLOAD=1" in body["detail"]
    assert trainer.commands == []


def test_what_the_trainer_refuses_is_the_clients_to_correct(client: FlaskClient, trainer: Trainer, spool: Path) -> None:
    trainer.error = ModelgateError(Code.NOT_PUBLISHED, "the file is empty; copy it again")
    body = problem(client.post(URL, data=form("file")), 422, "not_published")
    assert body["detail"] == "the file is empty; copy it again"
    assert files(spool) == []


def test_an_upload_has_a_signature_where_it_needs_one(client: FlaskClient, trainer: Trainer) -> None:
    assert client.post(URL, data=form("file", "signature")).status_code == 201
    assert trainer.commands[0].signature
    trainer.error = ModelgateError(Code.NOT_SIGNED, "the file that was sent is not signed; sign it")
    body = problem(client.post(URL, data=form("file")), 403, "not_signed")
    assert body["detail"] == "the file that was sent is not signed; sign it"


def test_another_failure_of_the_trainer_is_503(client: FlaskClient, trainer: Trainer) -> None:
    trainer.error = ModelgateError(Code.TRAINER_CRASHED, "it is gone")
    problem(client.post(URL, data=form("file")), 503, "trainer_crashed")


@pytest.mark.parametrize("name", ["Loan", "inbox", "loan@3", "x" * 65])
def test_an_invalid_name_of_a_model_is_refused(client: FlaskClient, name: str) -> None:
    problem(client.post(f"/v1/models/{name}/versions", data=form("file")), 422, "invalid_name")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (form("model"), "has the part 'model'"),
        (form("file", owner="me"), "has the part 'owner'"),
        (form("sample"), "has no file in its part 'file'"),
        (form(file="as text"), "has no file in its part 'file'"),
    ],
)
def test_a_form_with_other_parts_is_refused(
    client: FlaskClient, trainer: Trainer, spool: Path, data: dict[str, Any], said: str
) -> None:
    response = client.post(URL, data=data, content_type="multipart/form-data")
    body = problem(response, 400, "invalid_parameter")
    assert said in body["detail"]
    assert trainer.commands == []
    assert files(spool) == []


def test_a_body_that_is_neither_a_form_nor_json_is_refused(client: FlaskClient) -> None:
    body = problem(client.post(URL, data="x", content_type="text/csv"), 415, "unsupported_media_type")
    assert (
        "a model as multipart/form-data" in body["detail"]
        and "an edited signature as application/json" in body["detail"]
    )
