"""Requests for a version with an edited signature: the gateway answers errors without a trainer."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from flask.testing import FlaskClient

from contract.errors import Code, ModelgateError
from contract.work.training import RepositoryAction, RepositoryCommand
from tests.gateway.problems.test_refusals import problem
from tests.gateway.routes.conftest import Trainer

URL = "/v1/models/species/versions"
WORDS = {"outputs": [{"labels": {"0": "no", "1": "yes"}}]}


@pytest.mark.parametrize(("source", "version"), [(1, 1), (2, 2), ("1", 1), ("current", 2)])
def test_an_edit_is_a_command_and_answered_with_the_version(
    species: FlaskClient, trainer: Trainer, source: int | str, version: int
) -> None:
    response = species.post(URL, json={"from": source, "signature": WORDS})
    assert response.status_code == 201
    assert response.headers["Location"] == f"{URL}/3"
    assert response.json and response.json["version"] == 3
    edit = RepositoryCommand(RepositoryAction.EDIT_SIGNATURE, "species", version=version, edits=WORDS)
    assert trainer.commands == [edit]
    assert RepositoryCommand.from_json(edit.to_json()) == edit


def test_a_command_has_only_what_is_set() -> None:
    command = RepositoryCommand(RepositoryAction.MOVE_ALIAS, "m", alias="current", version=2)
    assert command.to_json() == {"action": "move_alias", "model": "m", "alias": "current", "version": 2}
    assert RepositoryCommand.from_json(dataclasses.asdict(command)) == command


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        ([], None, 'the body must be {"from": 3, "signature": {…}}; it is a list'),
        ({"signature": WORDS}, "from", "the number or an alias of a version; it is null"),
        ({"from": True, "signature": WORDS}, "from", "it is true"),
        ({"from": 1}, "signature", "an object with what is to change; it is null"),
        ({"from": 1, "signature": WORDS, "alias": "current"}, "alias", "it has from and signature"),
        ({"from": 1, "signatur": WORDS, "signature": WORDS}, "signatur", "did you mean 'signature'?"),
        ({"from": 1, "signature": {}}, None, "has this very signature already"),
        ({"from": 1, "signature": {"inputs": {"widht": {"kind": "string"}}}}, "inputs.widht", "did you mean 'width'?"),
        ({"from": 1, "signature": {"inputs": {"width": {"kind": "text"}}}}, "inputs.width.kind", "one of number"),
        (
            {"from": 1, "signature": {"outputs": [{"labels": {"2": "x"}}]}},
            "outputs[0].labels.2",
            "no class '2'; it has '0', '1'",
        ),
    ],
)
def test_a_wrong_edit_names_the_field_and_the_fix_and_reaches_no_trainer(
    species: FlaskClient, trainer: Trainer, body: Any, field: str | None, said: str
) -> None:
    answer = problem(species.post(URL, json=body), 422, "invalid_signature")
    (error,) = answer["errors"]
    assert (error["field"], error["message"]) == (field, answer["detail"])
    assert said in answer["detail"]
    assert trainer.commands == []


def test_all_errors_are_listed(species: FlaskClient) -> None:
    edits = {"inputs": {"widht": {}, "height": {"nullable": 1}}}
    answer = problem(species.post(URL, json={"from": 1, "signature": edits}), 422, "invalid_signature")
    assert answer["detail"] == "2 values cannot be used; see errors"
    assert {error["field"] for error in answer["errors"]} == {"inputs.widht", "inputs.height.nullable"}


@pytest.mark.parametrize("source", [3, "canary", 10**30, "x@1"])
def test_a_version_that_is_not_there_is_404(species: FlaskClient, trainer: Trainer, source: int | str) -> None:
    problem(species.post(URL, json={"from": source, "signature": WORDS}), 404, "unknown_model")
    assert trainer.commands == []


def test_an_unknown_model_is_404_with_a_suggestion(species: FlaskClient) -> None:
    answer = problem(
        species.post("/v1/models/specie/versions", json={"from": 1, "signature": WORDS}), 404, "unknown_model"
    )
    assert "did you mean 'species'?" in answer["detail"]


def test_a_body_that_is_not_json_is_400_and_a_large_one_413(species: FlaskClient) -> None:
    problem(species.post(URL, data="{", content_type="application/json"), 400, "malformed_body")
    problem(species.post(URL, json={"from": 1, "signature": "x" * 1_100_000}), 413, "body_too_large")


def test_a_page_of_another_site_edits_nothing(species: FlaskClient, trainer: Trainer) -> None:
    response = species.post(URL, json={"from": 1, "signature": WORDS}, headers={"Origin": "https://example.org"})
    problem(response, 403, "foreign_origin")
    assert trainer.commands == []


def test_a_change_that_the_model_refuses_is_422_with_its_cause(species: FlaskClient, trainer: Trainer) -> None:
    trainer.error = ModelgateError(Code.NOT_PUBLISHED, "version 1 of the model 'species' does not work with null")
    answer = problem(species.post(URL, json={"from": 1, "signature": WORDS}), 422, "not_published")
    assert answer["detail"] == "version 1 of the model 'species' does not work with null"
