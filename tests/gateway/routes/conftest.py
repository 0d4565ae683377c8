"""A trainer that commands reach without a queue, and a model with two versions."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from contract.errors import ModelgateError
from contract.model.signature import Field, Kind, Output, OutputKind
from contract.settings import Settings
from contract.work.training import RepositoryCommand
from gateway.app import create_app
from tests.support import write_version


class Trainer:
    """Answers commands as the trainer does."""

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


@pytest.fixture
def species(settings: Settings, trainer: Trainer) -> FlaskClient:
    """A client; `species` has the versions 1 and 2, of which the second is current. Uploads are off."""
    output = Output(OutputKind.CLASS, (0, 1), probabilities=True)
    for version in (1, 2):
        inputs = [Field("width", Kind.NUMBER), Field("height", Kind.NUMBER)]
        write_version(settings.models_dir, "species", None, inputs, output, version=version)
    return create_app(settings, trainer).test_client()
