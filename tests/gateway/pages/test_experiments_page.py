"""The page Experiments of a model: the form that starts one, what is found in it, and its end."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html import unescape
from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis

from broker.state.boards import ExperimentBoard
from contract.model.experiments import (
    Ending,
    Experiment,
    ExperimentFindings,
    ExperimentKind,
    ExperimentLimits,
    ExperimentPlan,
    Requirement,
)
from contract.model.repository import Repository
from contract.model.signature import Output, OutputKind
from contract.settings import Settings
from contract.work.api_keys import Key, Scope
from gateway.app import create_app
from storage.models.repository_writer import RepositoryWriter
from tests.gateway.callers import ADMIN_KEY
from tests.gateway.pages.browsers import Browser, words
from tests.support import Sum, numbers, write_version
from trainer.jobs.commands import CommandParts, carry_out
from trainer.publishing.aliases import change_settings

PAGE = "/ui/models/loan/experiments"
ME = Key("k-me", "ada", "team", frozenset(Scope))
CLASSES = Output(OutputKind.CLASS, (0, 1), probabilities=True)
FORM = {
    "candidate": "2",
    "kind": "shadow",
    "share": "",
    "steps": "",
    "metric": "",
    "margin": "",
    "level": "1",
    "require": "not_worse",
    "promote": "1",
    "days": "14",
    "agreement": "",
    "failures": "1",
    "slowdown": "3",
    "distance": "",
}
FIGURES: dict[str, Any] = {
    "outcomes": 2600,
    "rows": {"baseline": 41_870, "candidate": 41_870},
    "difference": {"mean": 0.0021, "low": -0.021, "high": 0.026},
    "losses": {"candidate": 0.4981, "baseline": 0.496},
    "failures": {"candidate": 12, "baseline": 0},
    "milliseconds": {"candidate": 3.41, "baseline": 2.97},
    "dropped": 812,
    "kept": 0.981,
    "agreement": 0.9642,
    "distance": 0.0312,
    "course": [
        {"outcomes": 1300, "mean": 0.004, "low": -0.03, "high": 0.04, "at": "2026-01-02T03:04:05Z"},
        {"outcomes": 2600, "mean": 0.0021, "low": -0.021, "high": 0.026, "at": None},
    ],
}


@pytest.fixture
def client(settings: Settings, redis: Redis) -> FlaskClient:
    """A gateway with keys whose trainer is this process. `loan` is logged, and has a second version."""
    for version in (1, 2):
        write_version(settings.models_dir, "loan", Sum(), numbers("a", "b"), CLASSES, version=version)
    (settings.models_dir / "loan" / "aliases.json").write_text('{"current": 1}')
    change_settings(RepositoryWriter(settings.models_dir), "loan", {"logging": {"share": 1}})
    app = create_app(
        replace(settings, admin_key=ADMIN_KEY),
        lambda command: dict(carry_out(command.to_json(), CommandParts(settings, redis))),
    )
    return app.test_client()


@pytest.fixture
def me(client: FlaskClient, redis: Redis) -> Browser:
    return Browser.with_key(client, redis, ME)


def running(settings: Settings, model: str = "loan") -> Experiment | None:
    repository = Repository(settings.models_dir)
    repository.aliases(model)
    return repository.settings(model).experiment


def started(me: Browser, settings: Settings, **fields: str) -> Experiment:
    answer = me.send(PAGE, PAGE, **{**FORM, **fields})
    assert answer.status_code == 303 and answer.headers["Location"] == PAGE, words(answer.text)
    experiment = running(settings)
    assert experiment
    return experiment


def entries(page: str) -> dict[str, str]:
    """Return what a browser would send with the form."""
    form = page[page.index(f'<form method="post" action="{PAGE}">') :]
    fields: dict[str, str] = dict(re.findall(r'<input name="(\w+)" id="\w+" value="([^"]*)"', form))
    for name, options in re.findall(r'<select name="(\w+)"[^>]*>(.*?)</select>', form):
        chosen = re.search(r'<option(?: value="([^"]*)")? selected>([^<]*)', options)
        first = re.search(r'<option(?: value="([^"]*)")?>([^<]*)', options)
        option = chosen or first
        assert option
        fields[name] = option[2] if option[1] is None else option[1]
    fields |= dict(re.findall(r'<input type="(?:radio|checkbox)" name="(\w+)" value="(\w+)" checked>', form))
    return {name: unescape(value) for name, value in fields.items()}


def test_an_experiment_is_started_looked_at_and_stopped(me: Browser, settings: Settings, redis: Redis) -> None:
    page = me.get(PAGE).text
    assert entries(page) == FORM
    experiment = started(me, settings, metric="accuracy")
    assert (experiment.candidate, experiment.plan.kind, experiment.share) == (2, ExperimentKind.SHADOW, 1.0)
    assert experiment.plan.promote and experiment.started_by == "ada"
    text = words(me.get(PAGE).text)
    assert "Version 2 beside version 1 runs Nothing is known yet." in text
    assert "begun just now by ada. Ends in 13 days at the latest." in text and "Start the experiment" not in text
    reason, missing = "Its log loss differs by 0.0021 on 2,600 outcomes", "about 4,000 more outcomes"
    findings = ExperimentFindings(experiment.id, None, reason, missing, "2026-01-02T03:04:05Z", FIGURES)
    ExperimentBoard(redis).say("loan", findings)
    text = words(me.get(PAGE).text)
    for said in (
        f"{reason}. Still missing: {missing}.",
        "becomes current once it is shown to be not worse by more than 0.01; a wrong decision has a chance of at most",
        "difference of the share of wrong answers 0.0021 −0.0210 to 0.0260",
        "outcomes 2,600 share of wrong answers 0.498, version 1: 0.496",
        "rows scored 41,870 98.1 % of those that it should: it yields on a busy machine",
        "the same answers 96.4 % mean distance 0.031 of 1",
        "failed rows 12 version 1: 0",
        "time of a batch 3.410 ms version 1: 2.970 ms",
        "1,300 0.0040 −0.0300 to 0.0400 2026-01-02 03:04 UTC",
    ):
        assert said in text, said
    for path in ("/ui/models/loan", "/ui/models/loan/versions", "/ui/models/loan/log"):
        assert "Version 2 is tried as a shadow beside version 1, begun" in words(me.get(path).text), path
    assert "is tried" not in words(me.get("/ui/models/sum").text)
    answer = me.send(f"{PAGE}/{experiment.id}/stop", PAGE)
    assert answer.headers["Location"] == PAGE and running(settings) is None
    text = words(me.get(PAGE).text)
    assert "Version 2 beside 1 shadow, begun by ada" in text and "stopped Stopped by ada." in text
    assert "Start the experiment" in text and "Nothing is known" not in text
    text = words(me.get(f"{PAGE}?id={experiment.id}").text)
    assert "Version 2 beside version 1 stopped Stopped by ada." in text
    assert "The margin was 0.01, and the level 1.0 %." in text and "Version 2 becomes current" not in text
    assert "difference of the share of wrong answers 0.0021" in text  # what was known at the end


def test_a_canary_takes_percentages(me: Browser, settings: Settings) -> None:
    fields = {"kind": "canary", "share": "25", "steps": "1, 5", "level": "0.5", "margin": "0", "days": "7.5"}
    experiment = started(me, settings, metric="log_loss", require="better", **fields)
    plan = experiment.plan
    assert (plan.kind, plan.share, plan.steps, experiment.share) == (ExperimentKind.CANARY, 0.25, (0.01, 0.05), 0.01)
    assert (plan.level, plan.margin, plan.days, plan.metric) == (0.005, 0.0, 7.5, "log_loss")
    assert plan.require is Requirement.BETTER
    text = words(me.get(PAGE).text)
    assert "A canary for 1.0 % of the callers, on the way to 25.0 %" in text
    assert "becomes current once it is shown to be better; a wrong decision" in text


def test_limits_and_an_agreement_are_taken(me: Browser, settings: Settings) -> None:
    fields = {"failures": "0.5", "slowdown": "2", "distance": "0.2", "agreement": "99"}
    plan = started(me, settings, **fields).plan
    assert (plan.limits, plan.agreement) == (ExperimentLimits(0.005, 2.0, 0.2), 0.99)


def test_a_box_that_is_not_ticked_promotes_nothing(me: Browser, settings: Settings) -> None:
    assert not started(me, settings, promote="").plan.promote
    assert "passes once it is shown to be not worse" in words(me.get(PAGE).text)


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"kind": "canary"}, {"share": "Enter the share in %, above 0 and up to 100; a canary needs one, such as 5."}),
        ({"share": "101"}, {"share": "Enter the share in %, above 0 and up to 100; a canary needs one, such as 5."}),
        (
            {"kind": "canary", "share": "5", "steps": "1 x"},
            {"steps": "Enter at most ten rising shares in %, below the last share, such as 1, 5, 25."},
        ),
        ({"margin": "5%"}, {"margin": "Enter a number of 0 or more, or nothing."}),
        ({"level": "50"}, {"level": "Enter a chance in %, above 0 and up to 20."}),
        (
            {"margin": "<b>", "days": "0"},
            {
                "margin": "Enter a number of 0 or more, or nothing.",
                "days": "Days must be a number above 0 and at most 365; it is 0.",
            },
        ),
        (
            {"failures": "101", "slowdown": "0", "distance": "2", "agreement": "100"},
            {
                "failures": "Enter a share in %, from 0 to 100.",
                "slowdown": "Enter a number from 1 to 1000.",
                "distance": "Enter a number from 0 to 1, or nothing.",
                "agreement": "Enter a share in %, above 0 and below 100.",
            },
        ),
        ({"metric": "r2"}, {"metric": "Metric must be one of "}),
    ],
)
def test_a_wrong_value_is_told_at_its_field_and_kept(
    me: Browser, settings: Settings, fields: dict[str, str], wrong: dict[str, str]
) -> None:
    answer = me.send(PAGE, PAGE, **{**FORM, **fields})
    assert answer.status_code == 422 and running(settings) is None
    said = dict(re.findall(r'<p class="wrong" id="(\w+)-wrong">(.*?)</p>', answer.text))
    assert said.keys() == wrong.keys()
    assert all(unescape(said[name]).startswith(sentence) for name, sentence in wrong.items()), said
    kept = entries(answer.text)
    assert {name: kept[name] for name in fields if name != "metric"} == {
        name: text for name, text in fields.items() if name != "metric"
    }


def test_what_the_trainer_refuses_is_told_above_the_form(me: Browser, settings: Settings) -> None:
    change_settings(RepositoryWriter(settings.models_dir), "loan", {"logging": {"share": 0}})
    assert "Nothing is logged of loan ." in words(me.get(PAGE).text)
    answer = me.send(PAGE, PAGE, **{**FORM, "days": "3"})
    assert answer.status_code == 409
    assert "a shadow scores logged requests, and nothing is logged" in words(answer.text)
    assert entries(answer.text)["days"] == "3"


def test_one_experiment_runs_at_a_time(me: Browser, settings: Settings) -> None:
    first = started(me, settings)
    answer = me.send(PAGE, "/ui", **FORM)
    assert answer.status_code == 409 and "no experiment of &#39;loan&#39; can begin now" in answer.text.lower()
    assert running(settings) == first


def test_a_model_with_a_single_version_has_nothing_to_try(me: Browser) -> None:
    text = words(me.get("/ui/models/sum/experiments").text)
    assert "There is nothing to try" in text and "Start the experiment" not in text


def test_a_key_that_may_only_read_looks_and_changes_nothing(
    client: FlaskClient, me: Browser, settings: Settings, redis: Redis
) -> None:
    reader = Browser.with_key(client, redis, Key("k-r", "bob", "team", frozenset({Scope.READ})))
    assert "No experiment yet" in words(reader.get(PAGE).text)
    experiment = started(me, settings)
    text = words(reader.get(PAGE).text)
    assert "Version 2 beside version 1 runs" in text and "Stop" not in text
    for path in (PAGE, f"{PAGE}/{experiment.id}/stop"):
        assert reader.send(path).status_code == 403
    assert running(settings) == experiment


def test_an_unknown_experiment_is_told(me: Browser) -> None:
    assert me.get(f"{PAGE}?id=x1").status_code == 404


@pytest.mark.parametrize("figures", [{}, {"course": None, "rows": 7, "difference": {"mean": 1}, "outcomes": 0}])
def test_figures_that_are_missing_are_left_out(me: Browser, settings: Settings, redis: Redis, figures: Any) -> None:
    experiment = started(me, settings)
    findings = ExperimentFindings(experiment.id, None, "It runs", "", "2026-01-02T03:04:05Z", figures)
    ExperimentBoard(redis).say("loan", findings)
    page = me.get(PAGE)
    assert page.status_code == 200 and "It runs." in words(page.text) and "<figure" not in page.text


def test_each_ending_has_its_words(client: FlaskClient, redis: Redis, settings: Settings) -> None:
    plan, now = ExperimentPlan(ExperimentKind.SHADOW), "2026-01-02T03:04:05Z"
    ended = [
        Experiment(f"x{ending}", 1, 2, plan, now, now, 1.0, now, ending=ending, ended_at=now, reason="<i>so</i>")
        for ending in Ending
    ]
    file = settings.models_dir / "loan" / "settings.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "experiments": [one.to_json() for one in ended]}))
    text = words(Browser.with_key(client, redis, ME).get(PAGE).text)
    for ending in Ending:
        assert f"{ending.replace('_', ' ')} <i>so</i>." in text
