"""`modelgate describe` and `Model.describe`, on a Modelgate as `make up` starts it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from modelgate import Client, Invalid
from sklearn.linear_model import LinearRegression

from tests.client.command.conftest import Modelgate
from tests.flow.conftest import MakeUp

NAME = "said"


@pytest.fixture
def said(running: MakeUp, modelgate: Modelgate) -> Iterator[Modelgate]:
    """The command, with a model of which nothing is said yet."""
    with Client(running.address) as client:
        client.publish(NAME, LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0]))
        yield lambda *arguments: modelgate(*arguments, MODELGATE_URL=running.address)
        client.remove(NAME)


@pytest.mark.slow
def test_a_model_is_described_and_shown_with_its_history(running: MakeUp, said: Modelgate) -> None:
    assert said("describe", NAME).out == "description: -\nowner: -\ntags: -\n"
    options = ("--description", "Rises.\n\nSlowly.", "--owner", "R & D", "--tag", "toy", "--tag", "eu.prod")
    assert said("describe", NAME, *options).out == "description: Rises.\n\nSlowly.\nowner: R & D\ntags: toy, eu.prod\n"
    assert said("describe", NAME, "--tag", "", "--json").json == {
        "description": "Rises.\n\nSlowly.",
        "owner": "R & D",
        "tags": [],
    }
    lines = said("describe", NAME, "--history").out.splitlines()
    assert lines[3:6] == ["owner: R & D", "tags: -", ""] and lines[6].endswith(", before that:")
    assert lines[7:] == ["tags: toy, eu.prod", "", lines[9], "description: -", "owner: -", "tags: -"]
    assert len(said("describe", NAME, "--history", "--json").json["history"]) == 2
    with Client(running.address) as client:
        model = client.model(NAME)
        assert model.describe(tags=["a"])["owner"] == "R & D"
        assert model.describe(owner="")["tags"] == ["a"] and len(model.describe()["history"]) == 4
        with pytest.raises(Invalid, match="'A!' cannot be a tag"):
            model.describe(tags=["A!"])


def test_what_cannot_be_said_is_one_line(said: Modelgate) -> None:
    ended = said("describe", NAME, "--tag", "Not A Tag")
    assert ended.code == 1 and "'Not A Tag' cannot be a tag" in ended.err and "Traceback" not in ended.err
    assert said("describe", "none-such").code == 1
