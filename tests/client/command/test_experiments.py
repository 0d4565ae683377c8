"""The verbs of experiments and the methods of the client, on a Modelgate as `make up` starts it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from modelgate import Client, Conflict
from modelgate.command.trainings import outcome
from sklearn.linear_model import LinearRegression

from tests.client.command.conftest import Modelgate
from tests.flow.conftest import MakeUp

NAME = "hills"


@pytest.fixture
def hills(running: MakeUp, modelgate: Modelgate) -> Iterator[Modelgate]:
    """The command, with a model of two versions, of which the second is current."""
    with Client(running.address) as client:
        for rise in (1.0, 2.0):
            client.publish(NAME, LinearRegression().fit([[0.0], [1.0]], [0.0, rise]))
        yield lambda *arguments: modelgate(*arguments, MODELGATE_URL=running.address)
        client.remove(NAME)


@pytest.mark.slow
def test_an_experiment_is_begun_shown_listed_and_stopped(running: MakeUp, hills: Modelgate) -> None:
    assert hills("experiments", NAME).out == f"There are no experiments of {NAME}.\n"
    assert hills("experiment", NAME).err == f"modelgate: {NAME} has no experiment\n"
    refused = hills("experiment", NAME, 1, "--shadow")
    assert (refused.code, "modelgate logging hills --share 1" in refused.err) == (1, True)
    options = ("--canary", "--share", 0.25, "--step", 0.01, "--step", 0.05, "--margin", 0.5, "--better", "--no-promote")
    limits = ("--failures", 0.02, "--slowdown", 5)
    begun = hills("experiment", NAME, 1, *options, *limits, "--days", 3, "--json").json
    plan = begun["plan"]
    assert (plan["kind"], plan["share"], plan["steps"], plan["margin"]) == ("canary", 0.25, [0.01, 0.05], 0.5)
    assert (plan["require"], plan["promote"], plan["days"], begun["share"]) == ("better", False, 3.0, 0.01)
    assert plan["limits"] == {"failures": 0.02, "slowdown": 5.0, "distance": None}
    first, second, third, _ = hills("experiment", NAME).out.splitlines()
    assert first == f"{begun['id']}: canary of version 1 beside version 2 of {NAME}"
    assert second.startswith("share of the callers: 0.01 since 20") and second.endswith(", 0.25 at last")
    assert third.startswith("runs since 20")
    with Client(running.address) as client:
        model = client.model(NAME)
        with pytest.raises(Conflict, match="the experiment x"):
            model.start_experiment(1, "canary", share=0.5)
        assert model.experiment(begun["id"]) == {**begun, "findings": model.experiment(begun["id"])["findings"]}
        assert model.experiments() == [begun]
    assert ": it was stopped" in hills("experiment", NAME, "--stop").out
    assert hills("experiment", NAME, "--stop").err == f"modelgate: {NAME} has no experiment that runs\n"
    assert "it was stopped" in hills("experiments", NAME).out.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        ((1,), "say how: modelgate experiment hills 1 --shadow, or --canary --share 0.05"),
        ((1, "--shadow", "--canary"), "say how"),
        ((1, "--shadow", "--stop"), "--stop stands alone: modelgate experiment hills --stop"),
        ((1, "--stop"), "--stop stands alone"),
        (("--shadow",), "say which version to try: modelgate experiment hills VERSION --shadow"),
    ],
)
def test_what_is_missing_is_said(modelgate: Modelgate, arguments: tuple[object, ...], advice: str) -> None:
    ended = modelgate("experiment", NAME, *arguments, MODELGATE_URL="http://127.0.0.1:1")
    assert (ended.code, advice in ended.err) == (2, True)


def test_a_training_that_ends_in_an_experiment_says_where_to_look(modelgate: Modelgate) -> None:
    output = {"model": NAME, "version": 3, "promoted": False, "reason": "the experiment x1 runs: …", "experiment": "x1"}
    assert list(outcome(output)) == [
        "hills@3 is published: the experiment x1 runs: …",
        "See how far it is: modelgate experiment hills",
    ]
    wrong = modelgate("train", NAME, "--experiment", "canary=some", MODELGATE_URL="http://127.0.0.1:1")
    assert (wrong.code, "neither shadow nor canary=0.05" in wrong.err) == (2, True)
