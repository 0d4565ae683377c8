"""Experiments over HTTP: what begins one, what is refused and why, and how it is looked at and stopped."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis

from broker.access.audit_log import AuditLog
from broker.state.boards import ExperimentBoard
from contract.model.experiments import Decision, Ending, ExperimentFindings
from contract.model.manifest import ColumnProfile, DataProfile
from contract.model.signature import Field, Kind
from contract.settings import Settings
from contract.work.jobs import timestamp
from contract.work.training import RepositoryAction, RepositoryCommand
from gateway.app import create_app
from storage.models.repository_writer import RepositoryWriter
from tests.gateway.http.test_idempotency import replayed
from tests.gateway.http.test_idempotent_commands import send, trainer
from tests.support import Sum, write_version
from trainer.jobs.commands import CommandParts, carry_out
from trainer.publishing.experiment_states import end

EXPERIMENTS = "/v1/models/sum/experiments"
CANARY = {"candidate": 2, "kind": "canary", "share": 0.05}
LATER = timestamp(datetime.now(UTC).replace(microsecond=0) + timedelta(days=30))
INPUTS = [Field("a", Kind.NUMBER, aliases=("A",)), Field("b", Kind.NUMBER)]
SHADOW = {"candidate": 2, "kind": "shadow"}


@pytest.fixture
def client(settings: Settings, redis: Redis) -> FlaskClient:
    """A gateway whose trainer is this process; `sum` has a second version, which is not current."""
    profile = DataProfile(10, (), (ColumnProfile(0, (0.0, 100.0), counts=(10,)),))
    write_version(settings.models_dir, "sum", Sum(), INPUTS, version=2, current=False, id_field="key", profile=profile)
    return create_app(
        settings, lambda command: dict(carry_out(command.to_json(), CommandParts(settings, redis)))
    ).test_client()


def start(client: FlaskClient, **body: Any) -> dict[str, Any]:
    answer = client.post(EXPERIMENTS, json=body)
    assert answer.status_code == 201, answer.text
    started: dict[str, Any] = answer.get_json()
    assert answer.headers["Location"] == f"{EXPERIMENTS}/{started['id']}"
    return started


def test_an_experiment_is_begun_listed_looked_at_and_stopped(client: FlaskClient, redis: Redis) -> None:
    assert client.get(EXPERIMENTS).get_json() == {"items": []}
    started = start(client, **CANARY, steps=[0.01], margin=0.5, until=LATER)
    assert started == {
        "id": started["id"],
        "baseline": 1,
        "candidate": 2,
        "plan": {
            "kind": "canary",
            "metric": "mean_absolute_error",
            "share": 0.05,
            "steps": [0.01],
            "margin": 0.5,
            "level": 0.01,
            "require": "not_worse",
            "promote": True,
            "agreement": None,
            "days": pytest.approx(30, abs=0.1),
            "limits": {"failures": 0.01, "slowdown": 3.0, "distance": None},
        },
        "started_at": started["started_at"],
        "until": LATER,
        "share": 0.01,
        "share_since": started["started_at"],
        "started_by": "",
        "ending": None,
        "ended_at": None,
        "reason": "",
        "figures": {},
    }
    assert client.get(EXPERIMENTS).get_json() == {"items": [started]}
    path = f"{EXPERIMENTS}/{started['id']}"
    assert client.get(path).get_json() == {**started, "findings": None}
    stopped = client.delete(path).get_json()
    assert (stopped["ending"], stopped["reason"]) == ("stopped", "it was stopped")
    assert client.delete(path).get_json() == stopped
    assert client.get(EXPERIMENTS).get_json() == {"items": [stopped]}
    actions = [(item["action"], item["model"], item["version"]) for item in AuditLog(redis, 90).page({}, 9, None).items]
    assert actions == [("stop_experiment", "sum", 2)] * 2 + [("start_experiment", "sum", 2)]


def test_what_is_found_is_shown_while_it_runs(client: FlaskClient, redis: Redis) -> None:
    path = f"{EXPERIMENTS}/{start(client, **CANARY)['id']}"
    findings = ExperimentFindings(path[-13:], None, "", "about 4,000 more outcomes", LATER, {"rows": 7})
    ExperimentBoard(redis).say("sum", findings)
    assert client.get(path).get_json()["findings"] == {**findings.to_json(), "decision": None}
    ExperimentBoard(redis).say("sum", replace(findings, experiment="x0", decision=Decision.PROMOTE))
    assert client.get(path).get_json()["findings"] is None


def test_the_list_leaves_courses_out(client: FlaskClient, settings: Settings) -> None:
    begun = start(client, **CANARY)
    figures = {"rows": 7, "course": [{"pairs": 1}]}
    RepositoryWriter(settings.models_dir).change(
        "sum", lambda state: end(state, begun["id"], Ending.STOPPED, "", figures)
    )
    assert client.get(f"{EXPERIMENTS}/{begun['id']}").get_json()["figures"] == figures
    (listed,) = client.get(EXPERIMENTS).get_json()["items"]
    assert listed["figures"] == {"rows": 7}


def test_a_second_one_is_409_and_the_log_must_be_on_for_a_shadow(client: FlaskClient) -> None:
    refused = client.post(EXPERIMENTS, json=SHADOW)
    assert (refused.status_code, refused.get_json()["code"]) == (409, "experiment_refused")
    assert "turn that on: modelgate logging sum --share 1, or PUT" in refused.get_json()["detail"]
    assert client.put("/v1/models/sum/logging", json={"share": 1}).status_code == 200
    first = start(client, **SHADOW)
    refused = client.post(EXPERIMENTS, json=CANARY)
    assert (refused.status_code, refused.get_json()["code"]) == (409, "experiment_runs")
    assert first["id"] in refused.get_json()["detail"]


def test_unknown_experiments_and_versions_are_404(client: FlaskClient) -> None:
    for method in ("GET", "DELETE"):
        answer = client.open(f"{EXPERIMENTS}/x9", method=method)
        assert (answer.status_code, answer.get_json()["code"]) == (404, "experiment_not_found")
    assert answer.get_json()["detail"] == "'sum' has no experiment 'x9'; there is none yet"
    answer = client.post(EXPERIMENTS, json={**CANARY, "candidate": 7})
    assert (answer.status_code, answer.get_json()["code"]) == (404, "model_not_found")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ([], None),
        ({"kind": "shadow"}, "candidate"),
        ({"candidate": "2", "kind": "shadow"}, "candidate"),
        ({"candidate": True, "kind": "shadow"}, "candidate"),
        ({"candidate": 2}, "kind"),
        ({"candidate": 2, "kind": "shadows"}, "kind"),
        ({"candidate": 2, "kind": "canary"}, "share"),
        ({**CANARY, "share": 0}, "share"),
        ({**CANARY, "share": 1.01}, "share"),
        ({**CANARY, "share": "0.1"}, "share"),
        ({**CANARY, "steps": 0.01}, "steps"),
        ({**CANARY, "steps": [0.02, 0.01]}, "steps"),
        ({**CANARY, "steps": [0.05]}, "steps"),
        ({**CANARY, "steps": [0]}, "steps"),
        ({**CANARY, "steps": [n / 1000 for n in range(1, 12)]}, "steps"),
        ({**CANARY, "agreement": 0.9}, "agreement"),
        ({**CANARY, "limits": {"distance": 0.9}}, "limits.distance"),
        ({**SHADOW, "agreement": 0.9, "require": "better"}, "agreement"),
        ({**SHADOW, "steps": [0.5]}, "steps"),
        ({**SHADOW, "metric": "f1"}, "metric"),
        ({**SHADOW, "metric": ["accuracy"]}, "metric"),
        ({**SHADOW, "margin": -0.1}, "margin"),
        ({**SHADOW, "margin": 10**400}, "margin"),
        ({**SHADOW, "level": 0}, "level"),
        ({**SHADOW, "level": 0.3}, "level"),
        ({**SHADOW, "require": "best"}, "require"),
        ({**SHADOW, "promote": "yes"}, "promote"),
        ({**SHADOW, "agreement": 1}, "agreement"),
        ({**SHADOW, "days": 0}, "days"),
        ({**SHADOW, "days": 366}, "days"),
        ({**SHADOW, "until": "2020-01-01T00:00:00Z"}, "until"),
        ({**SHADOW, "until": "9999-12-31T23:59:59-23:00"}, "until"),
        ({**SHADOW, "until": "2999-01-01T00:00:00Z"}, "until"),
        ({**SHADOW, "until": "tomorrow"}, "until"),
        ({**SHADOW, "until": LATER.removesuffix("Z")}, "until"),
        ({**SHADOW, "until": LATER, "days": 3}, "until"),
        ({**SHADOW, "limits": 3}, "limits"),
        ({**SHADOW, "limits": {"failures": 2}}, "limits.failures"),
        ({**SHADOW, "limits": {"slowdown": 0.5}}, "limits.slowdown"),
        ({**SHADOW, "limits": {"slow": 2}}, "limits.slow"),
        ({**SHADOW, "marign": 0.1}, "marign"),
    ],
)
def test_a_body_that_cannot_be_used_names_the_field(client: FlaskClient, body: Any, field: str | None) -> None:
    answer = client.post(EXPERIMENTS, json=body)
    assert answer.status_code == 422, answer.text
    assert [error["field"] for error in answer.get_json()["errors"]] == [field]
    assert client.get(EXPERIMENTS).get_json() == {"items": []}


def test_a_word_that_is_nearly_right_is_suggested_and_an_empty_body_is_no_row(client: FlaskClient) -> None:
    (error,) = client.post(EXPERIMENTS, json={**SHADOW, "require": "worse"}).get_json()["errors"]
    expected = "require must be one of not_worse, better; it is 'worse'; did you mean 'not_worse'?"
    assert error["message"] == expected
    empty = client.post(EXPERIMENTS, data=b" ", content_type="application/json")
    assert (empty.status_code, empty.get_json()["detail"]) == (400, "the body is empty; send JSON")


def test_null_stands_for_what_is_left_out_so_what_is_shown_can_be_sent_again(client: FlaskClient) -> None:
    plan = start(client, **CANARY)["plan"]
    client.delete(f"{EXPERIMENTS}/{client.get(EXPERIMENTS).get_json()['items'][0]['id']}")
    assert start(client, candidate=2, **plan)["plan"] == plan


def test_a_metric_that_does_not_fit_the_output_says_which_do(client: FlaskClient) -> None:
    answer = client.post(EXPERIMENTS, json={**CANARY, "metric": "log_loss"})
    assert (answer.status_code, answer.get_json()["code"]) == (409, "experiment_refused")
    assert "log_loss does not fit: its versions have mean_absolute_error" in answer.get_json()["detail"]


def test_the_name_of_the_key_is_kept_and_a_scope_is_needed(settings: Settings, redis: Redis) -> None:
    seen: list[RepositoryCommand] = []

    def obey(command: RepositoryCommand) -> dict[str, Any]:
        seen.append(command)
        return {"experiment": {"id": "x1"}}

    headers = {"Authorization": "Bearer mg_" + "a" * 43}
    client = create_app(replace(settings, admin_key=headers["Authorization"].split()[1]), obey).test_client()
    assert client.post(EXPERIMENTS, json=CANARY).status_code == 401
    assert client.post(EXPERIMENTS, json=CANARY, headers=headers).status_code == 201
    (command,) = seen
    assert (command.action, command.version) == (RepositoryAction.START_EXPERIMENT, 2)
    assert command.experiment
    assert command.experiment["by"] == "ADMIN_KEY"


def test_a_repeated_request_begins_one_experiment(settings: Settings, redis: Redis) -> None:
    client = create_app(settings).test_client()
    with trainer(redis, {"experiment": {"id": "x1"}}) as begun:
        first, second = (send(client, EXPERIMENTS, json=CANARY) for _ in range(2))
    assert (first.status_code, second.status_code, replayed(second), len(begun)) == (201, 201, True, 1)


def test_a_training_may_end_in_one(client: FlaskClient, redis: Redis) -> None:
    redis.set("mg:trainer:recipes", '["tabular"]')
    request = {"target": "y", "data": {"path": "x.csv"}}

    def errors(gate: Any, **more: Any) -> list[str]:
        answer = client.post("/v1/models/sum/train", json={**request, "gate": {"experiment": gate}, **more})
        return [error["field"] for error in answer.get_json().get("errors", ())] or [str(answer.status_code)]

    assert errors({"kind": "canary"}) == ["gate.experiment.share"]
    assert errors({"kind": "shadow", "candidate": 2}) == ["gate.experiment.candidate"]
    assert errors({"kind": "shadow", "limits": {"failures": -1}}) == ["gate.experiment.limits.failures"]
    assert errors([]) == ["gate.experiment"]
    assert errors({"kind": "shadow"}, alias="canary") == ["alias"]
    assert errors({"kind": "shadow", "days": 3}) == ["409"]
    assert client.put("/v1/models/sum/logging", json={"share": 1}).status_code == 200
    assert errors({"kind": "shadow", "days": 3}) == ["202"]
