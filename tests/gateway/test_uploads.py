"""An upload becomes a command to the trainer, where uploads are allowed at all."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import pytest
from flask import Flask, Request
from flask.testing import FlaskClient

from contract.errors import Code, ModelgateError
from contract.training import RepositoryAction, RepositoryCommand
from gateway import problems
from gateway.routes import uploads
from tests.gateway.test_refusals import problem


@dataclass
class Received:
    fields: dict[str, str]
    files: dict[str, str]
    called: dict[str, str]


class Spool:
    """Names the files as they come and keeps none."""

    def __init__(self) -> None:
        self.discarded: list[str] = []

    def receive(self, request: Request) -> Received:
        called = {part: file.filename or "" for part, file in request.files.items()}
        return Received(dict(request.form), {part: f"spooled-{part}" for part in request.files}, called)

    def discard(self, received: Received) -> None:
        self.discarded += received.files.values()


class Trainer:
    def __init__(self) -> None:
        self.commands: list[RepositoryCommand] = []
        self.error: ModelgateError | None = None

    def __call__(self, command: RepositoryCommand) -> dict[str, Any]:
        self.commands.append(command)
        if self.error:
            raise self.error
        return {"name": command.model, "version": 3, "versions": [3], "aliases": {"current": 3}, "warnings": []}


@pytest.fixture
def trainer() -> Trainer:
    return Trainer()


def client_of(trainer: Trainer, allowed: bool = True, spool: Spool | None = None) -> FlaskClient:
    app = Flask(__name__)
    problems.register(app, 8)
    app.register_blueprint(uploads.blueprint(spool or Spool(), trainer, allowed))
    return app.test_client()


def form(*parts: str, **fields: str) -> dict[str, Any]:
    return {**fields, **{part: (io.BytesIO(b"x"), "x.pkl") for part in parts}}


URL = "/v1/models/loan/versions"


def test_an_upload_is_an_order_and_answered_with_the_version(trainer: Trainer) -> None:
    response = client_of(trainer).post(URL, data=form("file", "sample"))
    assert response.status_code == 201
    assert response.headers["Location"] == "/v1/models/loan/versions/3"
    assert response.json and response.json["version"] == 3
    wanted = RepositoryCommand(
        RepositoryAction.IMPORT, "loan", upload="spooled-file", sample="spooled-sample", upload_name="x.pkl"
    )
    assert trainer.commands == [wanted]


def test_a_sample_is_not_needed(trainer: Trainer) -> None:
    assert client_of(trainer).post(URL, data=form("file")).status_code == 201
    assert trainer.commands[0].sample is None


def test_uploads_are_off_unless_somebody_turned_them_on(trainer: Trainer) -> None:
    body = problem(client_of(trainer, allowed=False).post(URL, data=form("file")), 403, "uploads_off")
    assert "a pickle is a program" in body["detail"] and "ALLOW_UPLOAD=1" in body["detail"]
    assert trainer.commands == []


def test_what_the_trainer_refuses_is_the_callers_to_correct(trainer: Trainer) -> None:
    trainer.error = ModelgateError(Code.NOT_PUBLISHED, "the file is empty; copy it again")
    body = problem(client_of(trainer).post(URL, data=form("file")), 422, "not_published")
    assert body["detail"] == "the file is empty; copy it again"


def test_an_upload_has_a_signature_where_it_needs_one(trainer: Trainer) -> None:
    assert client_of(trainer).post(URL, data=form("file", "signature")).status_code == 201
    assert trainer.commands[0].signature == "spooled-signature"
    trainer.error = ModelgateError(Code.NOT_SIGNED, "the file that was sent is not signed; sign it")
    body = problem(client_of(trainer).post(URL, data=form("file")), 403, "not_signed")
    assert body["detail"] == "the file that was sent is not signed; sign it"


def test_another_failure_of_the_trainer_is_not_the_callers(trainer: Trainer) -> None:
    trainer.error = ModelgateError(Code.TRAINER_CRASHED, "it is gone")
    problem(client_of(trainer).post(URL, data=form("file")), 503, "trainer_crashed")


@pytest.mark.parametrize("name", ["Loan", "inbox", "loan@3", "x" * 65])
def test_a_name_that_no_model_can_have_is_refused(trainer: Trainer, name: str) -> None:
    problem(client_of(trainer).post(f"/v1/models/{name}/versions", data=form("file")), 422, "invalid_name")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (form("model"), "has the part 'model'"),
        (form("file", alias="canary"), "has the part 'alias'"),
        (form("sample"), "lacks a file in a part file"),
        (form(file="as text"), "lacks a file in a part file"),
    ],
)
def test_a_form_with_other_parts_is_refused(trainer: Trainer, data: dict[str, Any], said: str) -> None:
    spool = Spool()
    response = client_of(trainer, spool=spool).post(URL, data=data, content_type="multipart/form-data")
    body = problem(response, 400, "invalid_parameter")
    assert said in body["detail"]
    assert trainer.commands == []
    files = [part for part, value in data.items() if isinstance(value, tuple)]
    assert spool.discarded == [f"spooled-{part}" for part in files]


def test_something_else_than_a_form_is_refused(trainer: Trainer) -> None:
    problem(client_of(trainer).post(URL, json={}), 415, "unsupported_media_type")
