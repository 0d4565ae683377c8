"""Requests to try a version in newer environments, or to publish it in one: the gateway answers errors alone."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flask.testing import FlaskClient

from contract.work.training import RepositoryAction, RepositoryCommand
from tests.gateway.routes.conftest import Trainer

URL = "/v1/models/species/migrate"


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        (None, {"version": 2}),
        ({"from": 1}, {"version": 1}),
        ({"to": "sklearn-1.8"}, {"version": 2, "environment": "sklearn-1.8"}),
        ({"to": "today", "accept_differences": True}, {"version": 2, "environment": "", "accept": ["differences"]}),
        ({"instances": [{"height": 2, "width": "1"}]}, {"version": 2, "rows": [(1.0, 2.0)]}),
    ],
)
def test_a_migration_is_a_command_with_the_rows_of_the_request(
    species: FlaskClient, trainer: Trainer, body: dict[str, Any] | None, sent: dict[str, Any]
) -> None:
    response = species.post(URL, json=body) if body else species.post(URL)
    assert response.status_code == 200, response.text
    (command,) = trainer.commands
    assert command == RepositoryCommand(RepositoryAction.MIGRATE, "species", **sent)
    assert RepositoryCommand.from_json(json.loads(json.dumps(command.to_json()))).environment == command.environment


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (
            {"to": "../today"},
            422,
            "must be the name of an environment, such as sklearn-1.8, or today; it is '../today'",
        ),
        ({"from": True}, 422, "must be the number or an alias of a version"),
        ({"accept_differences": 1}, 422, "accept_differences must be true or false"),
        ({"instances": [{"width": 1, "heigth": 2}]}, 422, "height"),
        ({"instances": []}, 422, "must be a list of rows"),
        ({"rows": [[1, 2]]}, 422, "is not a key of the body"),
        ({"from": 7}, 404, "7"),
    ],
)
def test_a_wrong_request_never_reaches_the_trainer(
    species: FlaskClient, trainer: Trainer, body: dict[str, Any], status: int, said: str
) -> None:
    response = species.post(URL, json=body)
    assert (response.status_code, said in response.text) == (status, True), response.text
    assert trainer.commands == []
    assert response.content_type == "application/problem+json"
