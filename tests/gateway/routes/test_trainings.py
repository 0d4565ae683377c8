"""Training over HTTP: requests arrive at the trainer, and invalid values are refused by name."""

from __future__ import annotations

import dataclasses
import io
import json
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis
from werkzeug.test import TestResponse

from broker.records.job_kinds import REPOSITORY_COMMAND, TRAINING
from broker.records.lease_groups import TRAINERS
from broker.sides.single_jobs import SingleJobs
from broker.sides.supervisor import Leases
from broker.sides.trainer import Scheduler
from broker.state import waited_jobs
from broker.state.schedules import Schedules
from contract.errors import Code, Failure, ModelgateError
from contract.model.parameters import RecipeParameter
from contract.settings import Settings
from contract.work.api_keys import Key, Scope
from contract.work.training import (
    Gate,
    OutcomeRows,
    RepositoryAction,
    RepositoryCommand,
    TrainingPreview,
    TrainingRequest,
)
from gateway.app import create_app
from gateway.problems.problem import Problem
from gateway.protocols.training_requests import check_file
from tests.broker import samples
from tests.gateway.callers import ADMIN_KEY, Caller
from tests.support import SIGNER, until

RECIPES = ["iris", "loan", "tabular"]
DATA = {"path": "loan.csv"}
GENERIC = {"recipe": "tabular", "target": "y", "data": DATA}
OUTPUT = {"model": "loan", "version": 4, "metrics": {"accuracy": 0.8}, "promoted": True, "reason": None}


@pytest.fixture
def client(settings: Settings, trainer_queue: SingleJobs) -> FlaskClient:
    return create_app(dataclasses.replace(settings, spool_mb=1), lambda _: {}).test_client()


@pytest.fixture
def trainer_queue(redis: Redis) -> SingleJobs:
    """A trainer that has published its recipes."""
    depth = RecipeParameter("depth", ["int", "None"], [], None)
    return samples.trainer(redis, RECIPES, {"tabular": [depth], "iris": []})


def accepted(response: TestResponse, trainer_queue: SingleJobs) -> TrainingRequest:
    """The request that arrives at the trainer."""
    assert response.status_code == 202, response.text
    begun = trainer_queue.begin([])
    assert begun is not None and begun.id == response.json["id"]  # type: ignore[index]
    assert response.headers["Location"] == f"/v1/jobs/{begun.id}"
    trainer_queue.finish(begun.id, OUTPUT)
    return TrainingRequest.from_json(begun.payload)


def refused(response: TestResponse, status: int = 422) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.mimetype == "application/problem+json"
    problem: dict[str, Any] = response.json
    return problem


def files(spool: Path) -> list[str]:
    return [path.name for path in spool.iterdir() if path.name != ".lock"] if spool.exists() else []


def form(content: bytes = b"a,b\n1,2\n", **fields: str) -> dict[str, Any]:
    return {
        "data": {**fields, "file": (io.BytesIO(content), "../../etc/cron.d/x")},
        "content_type": "multipart/form-data",
    }


def test_every_part_of_a_request_arrives(client: FlaskClient, trainer_queue: SingleJobs) -> None:
    body = {
        "recipe": "tabular",
        "parameters": {"depth": 3},
        "target": "Loan_Status",
        "features": ["a", "b"],
        "id_field": "Loan_ID",
        "kinds": {"zip": "string", "day": "datetime_day_first"},
        "alias": "canary",
        "gate": {"metric": "accuracy", "floor": 0.7, "margin": 0, "require_comparison": True},
        "accept": ["signature"],
        "notes": "ä",
        "data": {"path": "2026/loan.csv"},
    }
    assert accepted(client.post("/v1/models/new/train", json=body), trainer_queue) == TrainingRequest(
        "new",
        "tabular",
        {"depth": 3},
        "Loan_Status",
        ["a", "b"],
        "Loan_ID",
        "canary",
        Gate("accuracy", 0.7, 0, require_comparison=True),
        "ä",
        None,
        "2026/loan.csv",
        kinds={"zip": "string", "day": "datetime_day_first"},
        accept=["signature"],
    )


def test_an_empty_request_trains_the_models_own_recipe(client: FlaskClient, trainer_queue: SingleJobs) -> None:
    assert accepted(client.post("/v1/models/loan/train"), trainer_queue) == TrainingRequest("loan", "loan")
    assert accepted(client.post("/v1/models/iris/train", json={}), trainer_queue) == TrainingRequest("iris", "iris")


def test_a_model_without_a_recipe_is_trained_by_the_generic_one(client: FlaskClient, trainer_queue: SingleJobs) -> None:
    request = accepted(client.post("/v1/models/new/train", json={"target": "y", "data": DATA}), trainer_queue)
    assert (request.recipe, request.target, request.path) == ("tabular", "y", "loan.csv")


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        ({"recipe": "lone"}, "recipe", "did you mean 'loan'"),
        ({"recipe": 3}, "recipe", "there are iris, loan, tabular"),
        ({"paramaters": {}}, "paramaters", "did you mean 'parameters'"),
        ({"parameters": [1]}, "parameters", "must be an object"),
        ({"kinds": ["zip"]}, "kinds", "must be an object"),
        ({**GENERIC, "kinds": {"zip": "text"}}, "kinds.zip", "one of number, integer, string, boolean, dat"),
        ({**GENERIC, "kinds": {"zip": "strin"}}, "kinds.zip", "did you mean 'string'?"),
        ({**GENERIC, "kinds": {"": "string"}}, "kinds", "must name columns; '' is not one"),
        ({"kinds": {"zip": "string"}}, "kinds", "the recipe loan sets its own kinds"),
        ({**GENERIC, "id_field": "y"}, "id_field", "id_field and target both name 'y'"),
        ({"parameters": {"a": [[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]}}, "parameters", "levels deep"),
        ({"target": ""}, "target", "1 to 256 characters"),
        ({"target": "x" * 257}, "target", "1 to 256 characters"),
        ({"features": []}, "features", "1 to 10000 names"),
        ({"features": ["a", 1]}, "features", "names of columns"),
        ({"features": ["a", "a"]}, "features", "more than once"),
        ({"alias": "previous"}, "alias", "follows current"),
        ({"alias": "7"}, "alias", "not digits alone"),
        ({"alias": "../x"}, "alias", "cannot be an alias"),
        ({"gate": {"flour": 1}}, "gate.flour", "did you mean 'floor'"),
        ({"gate": {"floor": "0.7"}}, "gate.floor", "finite number"),
        ({"gate": {"floor": True}}, "gate.floor", "finite number"),
        ({"gate": {"margin": -1}}, "gate.margin", "0 or more"),
        ({"gate": {"require_comparison": 1}}, "gate.require_comparison", "must be true or false"),
        ({"accept": "signature"}, "accept", 'a list of signature, such as ["signature"]'),
        ({"accept": ["signature", "all"]}, "accept", "it has 'all'"),
        ({"gate": {"metric": "acuracy"}}, "gate.metric", "did you mean 'accuracy'?"),
        ({"notes": "x\0"}, "notes", "must be text"),
        ({"data": "loan.csv"}, "data", '{"path": "…"}'),
        ({"data": {"path": 1}}, "data", '{"path": "…"}'),
        ({"data": {"path": "/etc/passwd"}}, "data.path", "not a path below DATA_DIR"),
        ({"data": {"path": "a/../../x.csv"}}, "data.path", "not a path below DATA_DIR"),
        ({"data": {"path": "..\\x.csv"}}, "data.path", "not a path below DATA_DIR"),
        ({"data": {"path": "a\0.csv"}}, "data", '{"path": "…"}'),
        ({"data": {"path": ""}}, "data.path", "not a path below DATA_DIR"),
        ({"data": {"outcomes": 0}}, "data.outcomes", "a number of rows from 1 to 100,000"),
        ({"data": {"outcomes": True}}, "data.outcomes", "a number of rows from 1 to 100,000"),
        ({"recipe": "tabular", "data": DATA}, "target", "needs target"),
        ({"recipe": "tabular", "target": "y"}, "data", "needs data"),
        ([], None, "must be a JSON object"),
    ],
)
def test_invalid_values_are_refused_by_name(client: FlaskClient, body: Any, field: str, said: str) -> None:
    (error,) = refused(client.post("/v1/models/loan/train", json=body))["errors"]
    assert (error["field"], error["row"]) == (field, None)
    assert said in error["message"]


@pytest.mark.parametrize("value", ["1e999", "9" * 30, "9" * 400, r'"\ud800"', r'{"\ud800": 1}', "[" * 800 + "]" * 800])
def test_values_that_the_trainer_could_not_read_are_refused(client: FlaskClient, value: str) -> None:
    for key, body in (
        ("parameters", f'{{"parameters": {{"a": {value}}}}}'),
        ("gate", f'{{"gate": {{"floor": {value}}}}}'),
    ):
        response = client.post("/v1/models/loan/train", data=body, content_type="application/json")
        assert refused(response)["errors"][0]["field"].startswith(key)


def test_all_errors_are_reported_at_once(client: FlaskClient) -> None:
    problem = refused(client.post("/v1/models/loan/train", json={"recipe": "x", "alias": 1, "notes": 2}))
    assert (problem["code"], len(problem["errors"])) == ("invalid_training", 3)


def test_an_invalid_name_is_refused(client: FlaskClient) -> None:
    for name in ("Loan", "inbox", "a" * 65):
        assert refused(client.post(f"/v1/models/{name}/train", json={}))["code"] == "invalid_name"


def test_invalid_json_is_refused(client: FlaskClient) -> None:
    for body in (b"{", b'{"gate": {"floor": NaN}}', b"\xff"):
        response = client.post("/v1/models/loan/train", data=body, content_type="application/json")
        assert refused(response, 400)["code"] == "malformed_body"
    form = {"features": "a", "file": (io.BytesIO(CSV), "a.csv")}
    response = client.post("/v1/models/loan/train", data=form)
    assert "the field 'features' is not JSON" in refused(response, 400)["detail"]
    twice = {"target": ["a", "b"], "file": (io.BytesIO(CSV), "a.csv")}
    assert "the field 'target' more than once" in refused(client.post("/v1/models/loan/train", data=twice))["detail"]
    nameless = b'--x\r\nContent-Disposition: form-data; filename="a.csv"\r\n\r\na\r\n--x--\r\n'
    response = client.post("/v1/models/loan/train", data=nameless, content_type="multipart/form-data; boundary=x")
    assert refused(response, 400)["code"] == "malformed_body"
    body = b'{"notes": "' + b"x" * 300_000 + b'"}'
    assert client.post("/v1/models/loan/train", data=body, content_type="application/json").status_code == 413


def test_recipes_are_unknown_until_a_trainer_has_started(client: FlaskClient, redis: Redis) -> None:
    redis.delete("mg:trainer:recipes")
    assert refused(client.post("/v1/models/loan/train", json={}), 503)["code"] == "no_trainer"


def test_a_foreign_page_may_not_train(client: FlaskClient) -> None:
    foreign = {"Origin": "http://evil.example"}
    for method, path in (
        ("POST", "/v1/models/loan/train"),
        ("POST", "/v1/models/loan/reset"),
        ("PUT", "/v1/models/loan/schedule"),
        ("DELETE", "/v1/models/loan/schedule"),
    ):
        assert refused(client.open(path, method=method, headers=foreign), 403)["code"] == "foreign_origin"


# Uploads


def test_a_file_gets_a_name_of_the_gateways_in_the_spool(
    client: FlaskClient, trainer_queue: SingleJobs, spool: Path
) -> None:
    fields = {"target": "b", "features": '["a"]', "gate": '{"floor": 0.5}', "recipe": "tabular"}
    request = accepted(client.post("/v1/models/loan/train", **form(**fields)), trainer_queue)
    assert (request.target, request.features, request.gate.floor) == ("b", ["a"], 0.5)
    assert request.upload and files(spool) == [request.upload]
    assert (spool / request.upload).read_bytes() == b"a,b\n1,2\n"


TABULAR = {"recipe": "tabular", "target": "stays"}
CSV = b"id;months;zip;stays\n1;5;01234;yes\n"


@pytest.mark.parametrize(
    ("content", "fields", "field", "said"),
    [
        (
            CSV,
            {"target": "stay"},
            "target",
            "which is not a column of the data; did you mean 'stays'?",
        ),
        (CSV, {"features": '["months", "zap"]'}, "features", "features names 'zap', which is not a column of the data"),
        (CSV, {"id_field": "key"}, "id_field", "there are 'id', 'months', 'zip', 'stays'"),
        (CSV, {"id_field": "STAYS"}, "id_field", "id_field and target both name 'stays'"),
        (CSV, {"features": '["stays"]'}, "features", "no column to predict 'stays' from"),
        (CSV, {"kinds": '{"zap": "string"}'}, "kinds", "kinds names 'zap', which is not a column of the data"),
        (CSV, {"kinds": '{"stays": "datetime"}'}, "kinds", "a recipe learns numbers and classes"),
        (b"a,stays,a\n1,2,3\n", {}, "data", "the data have the column 'a' twice"),
        (b"", {}, "file", "the file has no rows"),
        (b"months;stays\n", {}, "file", "the file has no rows"),
        (b"PK\x03\x04\x00", {}, "file", "the file is not CSV: it is binary"),
        (b'"' + b"x" * 5_000_000, {}, "file", "the quotation mark before 'xxxxxxxxxxxxxxxxxxxx' is not closed"),
    ],
)
def test_a_header_without_the_needed_columns_is_refused_at_once(
    settings: Settings,
    spool: Path,
    trainer_queue: SingleJobs,
    content: bytes,
    fields: dict[str, str],
    field: str,
    said: str,
) -> None:
    client = create_app(settings).test_client()
    problem = refused(client.post("/v1/models/new/train", **form(content, **{**TABULAR, **fields})))
    assert [error["field"] for error in problem["errors"]] == [field]
    assert said in problem["detail"]
    assert files(spool) == [] and trainer_queue.begin([]) is None


def test_a_header_with_the_needed_columns_is_accepted(client: FlaskClient, trainer_queue: SingleJobs) -> None:
    fields = {"target": "Stays", "features": '["MONTHS", "zip"]', "kinds": '{"zip": "string"}', "recipe": "tabular"}
    request = accepted(client.post("/v1/models/new/train", **form(CSV, **fields)), trainer_queue)
    assert (request.target, request.kinds) == ("Stays", {"zip": "string"})
    assert accepted(client.post("/v1/models/loan/train", **form(b"\xe4,b\n1,2\n")), trainer_queue).recipe == "loan"


@pytest.mark.parametrize(
    ("recipe", "parameters", "said"),
    [
        (
            "tabular",
            {"deapth": 3},
            "'deapth' is not a parameter of the recipe tabular; did you mean 'depth'? It takes: ",
        ),
        ("tabular", {"depth": "3"}, "'depth' of the recipe tabular must be a whole number or null, not '3'"),
        ("iris", {"depth": 3}, "It takes: none"),
    ],
)
def test_a_parameter_that_the_recipe_does_not_take_is_refused_at_once(
    client: FlaskClient, recipe: str, parameters: dict[str, Any], said: str
) -> None:
    body = {"recipe": recipe, "parameters": parameters, "target": "y", "data": DATA}
    for response in (
        client.post("/v1/models/new/train", json=body),
        client.put("/v1/models/new/schedule", json={"cron": "0 3 * * 1", "request": body}),
    ):
        assert said in refused(response)["detail"]


def test_parameters_that_the_trainer_did_not_publish_are_left_to_it(
    client: FlaskClient, trainer_queue: SingleJobs
) -> None:
    request = accepted(client.post("/v1/models/loan/train", json={"parameters": {"anything": 1}}), trainer_queue)
    assert request.parameters == {"anything": 1}


def test_a_queued_training_has_the_number_of_trainings_before_it(
    client: FlaskClient, trainer_queue: SingleJobs
) -> None:
    ids = [client.post("/v1/models/loan/train").get_json()["id"] for _ in range(3)]

    def before(job_id: str) -> int | None:
        progress = client.get(f"/v1/jobs/{job_id}").get_json()["progress"]
        return progress and progress["total"]

    assert [before(job_id) for job_id in ids] == [0, 1, 2]
    assert trainer_queue.begin([]) is not None
    assert [before(job_id) for job_id in ids] == [None, 1, 2]
    progress = client.get(f"/v1/jobs/{ids[2]}").get_json()["progress"]
    assert (progress["phase"], progress["fraction"], progress["unit"]) == ("waiting", 0.0, "trainings before it")


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("churn.csv", "churn.csv"),
        ("C:/me/Größe.csv", "Größe.csv"),
        ("../../etc/cron.d/x", "x"),
        ("a\u202eb\x1b.csv", "a\ufffdb\ufffd.csv"),
        ("x" * 300, "x" * 100),
        ("folder/", None),
    ],
)
def test_an_uploaded_file_keeps_its_name_without_its_folder(
    client: FlaskClient, trainer_queue: SingleJobs, sent: str, kept: str | None
) -> None:
    data = {"file": (io.BytesIO(b"a,b\n1,2\n"), sent)}
    request = accepted(
        client.post("/v1/models/loan/train", data=data, content_type="multipart/form-data"), trainer_queue
    )
    assert request.upload_name == kept
    assert request.upload and request.upload.endswith(".upload")


def test_a_request_may_be_one_field_of_the_form(client: FlaskClient, trainer_queue: SingleJobs) -> None:
    request = accepted(client.post("/v1/models/loan/train", **form(request=json.dumps({"notes": "n"}))), trainer_queue)
    assert (request.recipe, request.notes) == ("loan", "n")


def test_json_that_curl_sends_as_a_form_is_415_with_the_right_option(client: FlaskClient) -> None:
    response = client.post("/v1/models/loan/train", data="{}", content_type="application/x-www-form-urlencoded")
    assert "application/json (curl --json)" in refused(response, 415)["detail"]


def test_the_file_of_a_refused_request_is_removed(client: FlaskClient, spool: Path) -> None:
    refused(client.post("/v1/models/loan/train", **form(recipe="lone")))
    refused(client.post("/v1/models/loan/train", **form(gate="{")), 400)
    refused(client.post("/v1/models/loan/train", **form(data='{"path": "x.csv"}')))
    assert files(spool) == []


def test_two_files_are_refused(client: FlaskClient, spool: Path) -> None:
    for second in ("data", "file", "x"):
        parts = [("file", (io.BytesIO(b"a"), "a.csv")), (second, (io.BytesIO(b"b"), "b.csv"))]
        response = client.post("/v1/models/loan/train", data=_pairs(parts), content_type="multipart/form-data")
        refused(response)
    assert files(spool) == []


def _pairs(parts: list[tuple[str, Any]]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for name, value in parts:
        merged.setdefault(name, []).append(value)
    return merged


def test_an_upload_that_does_not_fit_is_refused_before_it_is_read(client: FlaskClient, spool: Path) -> None:
    problem = refused(client.post("/v1/models/loan/train", **form(b"x" * 2_000_000)), 413)
    assert problem["code"] == "upload_too_large" and "SPOOL_MB" in problem["detail"]
    assert files(spool) == []


def test_uploads_share_the_quota_of_the_spool(client: FlaskClient, spool: Path) -> None:
    statuses = [client.post("/v1/models/loan/train", **form(b"x\n" * 200_000)).status_code for _ in range(3)]
    assert statuses == [202, 202, 507]
    assert len(files(spool)) == 2


def test_a_spool_that_cannot_be_written_is_507(client: FlaskClient, spool: Path) -> None:
    spool.symlink_to("/dev/full")
    assert client.post("/v1/models/loan/train", **form()).status_code in (500, 507)


def test_an_incomplete_form_leaves_no_files(client: FlaskClient, spool: Path) -> None:
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n1,2'
    response = client.post(
        "/v1/models/loan/train",
        input_stream=io.BytesIO(head),
        headers={"Content-Length": "5000"},
        content_type="multipart/form-data; boundary=x",
    )
    assert response.status_code == 400
    assert files(spool) == []


@pytest.mark.usefixtures("trainer_queue")
def test_a_form_with_a_long_head_is_not_read_to_its_end(settings: Settings, spool: Path) -> None:
    client = create_app(dataclasses.replace(settings, max_body_mb=8), lambda _: {}).test_client()
    body = b'--x\r\nContent-Disposition: form-data; name="a"' + b";b=1" * 500_000 + b"\r\n\r\n1\r\n--x--\r\n"
    response = client.post("/v1/models/loan/train", data=body, content_type="multipart/form-data; boundary=x")
    assert (response.status_code, response.json["code"]) == (413, "form_too_large")
    assert "1024 KB together" in response.json["detail"]
    assert files(spool) == []


def test_a_form_of_too_many_parts_is_refused(client: FlaskClient, spool: Path) -> None:
    response = client.post("/v1/models/loan/train", **form(**{f"f{i}": "1" for i in range(60)}))
    assert (response.status_code, response.json["code"]) == (413, "form_too_large")
    assert "more than 50 parts" in response.json["detail"]
    assert files(spool) == []


# Jobs


def test_a_training_is_a_job_like_any_other(client: FlaskClient, trainer_queue: SingleJobs) -> None:
    job = client.post("/v1/models/loan/train").json
    assert job is not None
    assert (job["kind"], job["status"], job["model"]) == ("training", "queued", {"name": "loan", "version": None})
    begun = trainer_queue.begin([])
    assert begun
    trainer_queue.report_progress(begun.id, {"phase": "fitting", "fraction": 0.5}, b"one\ntwo\n", 0)
    assert client.get(f"/v1/jobs/{begun.id}").json["progress"] == {"phase": "fitting", "fraction": 0.5}
    log = client.get(f"/v1/jobs/{begun.id}/log")
    assert (log.text, log.mimetype, log.headers["Log-Next"]) == ("one\ntwo\n", "text/plain", "8")
    assert client.get(f"/v1/jobs/{begun.id}/log?from=4").text == "two\n"
    assert client.get(f"/v1/jobs/{begun.id}/log?from=99").text == ""
    trainer_queue.finish(begun.id, OUTPUT)
    ended = client.get(f"/v1/jobs/{begun.id}?wait=30").json
    assert (ended["status"], ended["output"], ended["model"]["version"]) == ("succeeded", OUTPUT, 4)
    assert [item["id"] for item in client.get("/v1/jobs?model=loan").json["items"]] == [begun.id]
    assert client.delete(f"/v1/jobs/{begun.id}").status_code == 204
    assert client.get(f"/v1/jobs/{begun.id}/log").status_code == 404


def test_a_failed_training_says_why(client: FlaskClient, trainer_queue: SingleJobs) -> None:
    client.post("/v1/models/loan/train")
    begun = trainer_queue.begin([])
    assert begun
    trainer_queue.finish(begun.id, Failure("no_data", "there is no loan.csv", {"path": "loan.csv"}))
    error = {"code": "no_data", "message": "there is no loan.csv", "details": {"path": "loan.csv"}}
    assert client.get(f"/v1/jobs/{begun.id}").json["error"] == error


def test_an_invalid_request_for_a_log_is_refused(client: FlaskClient) -> None:
    assert client.get("/v1/jobs/unknown/log").status_code == 404
    assert client.get("/v1/jobs/unknown/log?from=-1").status_code == 400
    prediction = client.post("/v1/models/sum/predict", json={"a": 1, "b": 2}).json["id"]
    assert refused(client.get(f"/v1/jobs/{prediction}/log"), 404)["code"] == "no_log"


def test_the_number_of_waiting_trainings_is_limited(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.serving.trainings.MAX_WAITING", 1)
    assert client.post("/v1/models/loan/train").status_code == 202
    assert refused(client.post("/v1/models/loan/train"), 503)["code"] == "queue_full"


# Reset


def test_a_reset_trains_by_the_models_recipe_and_nothing_else(client: FlaskClient, trainer_queue: SingleJobs) -> None:
    assert accepted(client.post("/v1/models/loan/reset"), trainer_queue) == TrainingRequest("loan", "loan")


def test_a_reset_of_a_model_without_defaults_is_refused(client: FlaskClient) -> None:
    assert client.post("/v1/models/unknown/reset").status_code == 404
    problem = refused(client.post("/v1/models/sum/reset"))  # made "by hand"
    assert "there is no recipe 'by hand'" in problem["detail"]


# Schedules


def test_a_schedule_is_put_shown_replaced_and_deleted(client: FlaskClient) -> None:
    body = {"cron": "0 3 * * 1", "request": {"notes": "weekly", "data": DATA}}
    made = client.put("/v1/models/loan/schedule", json=body).json
    assert made is not None
    assert (made["model"], made["cron"], made["request"]["recipe"]) == ("loan", "0 3 * * 1", "loan")
    assert (made["request"]["notes"], made["request"]["data"]) == ("weekly", DATA)
    assert made["next_run"].endswith("T03:00:00.000000Z")
    assert client.get("/v1/models/loan/schedule").json == made
    again = client.put("/v1/models/loan/schedule", json={"cron": made["cron"], "request": made["request"]}).json
    assert again == made
    client.put("/v1/models/iris/schedule", json={"cron": "* * * * *"})
    assert [item["model"] for item in client.get("/v1/schedules").json["items"]] == ["iris", "loan"]
    assert client.delete("/v1/models/loan/schedule").status_code == 204
    for method in (client.get, client.delete):
        assert refused(method("/v1/models/loan/schedule"), 404)["code"] == "no_schedule"


def test_a_schedule_may_wait_for_an_alarm_and_learn_from_what_came_true(client: FlaskClient, redis: Redis) -> None:
    body = {"cron": "@alarm", "request": {"recipe": "tabular", "data": "outcomes"}}
    made = client.put("/v1/models/sum/schedule", json=body).json
    assert made is not None
    assert (made["cron"], made["next_run"], made["request"]["data"]) == ("@alarm", None, {"outcomes": 100_000})
    assert (
        "Trained again when its rows change or it becomes worse, at most once a day."
        in client.get("/ui/models/sum/versions").text
    )
    again = client.put("/v1/models/sum/schedule", json={"cron": made["cron"], "request": made["request"]}).json
    assert again == made
    schedules = Schedules(redis, SIGNER, timeout=60, result_ttl=60)
    (schedule,), now = schedules.all(), datetime.now(UTC).replace(microsecond=0)
    assert schedules.run_on_alarm(schedule, "sum@1 t", now)
    shown = client.get("/v1/models/sum/schedule").json
    assert shown is not None
    held = shown["alarms_wait_until"]
    assert datetime.fromisoformat(held) == now + timedelta(days=1)
    text = re.sub("<[^>]*>", "", client.get("/ui/models/sum/versions").text)
    assert f"begins none before {held[:16].replace('T', ' ')} UTC." in text


def test_only_who_may_read_the_log_trains_with_its_rows_and_with_no_others(
    settings: Settings, redis: Redis, trainer_queue: SingleJobs
) -> None:
    admin = create_app(dataclasses.replace(settings, admin_key=ADMIN_KEY), lambda _: {}).test_client()
    scopes = frozenset({Scope.TRAIN, Scope.LOG})
    trains, both = (
        Caller.with_key(admin, redis, Key(f"k-{name}", name, "risk", held))
        for name, held in (("trains", scopes - {Scope.LOG}), ("both", scopes))
    )
    body = {"data": {"outcomes": 500}}
    problem = refused(trains("POST", "/v1/models/loan/train", json=body), 403)
    assert (problem["code"], "the scope log" in problem["detail"]) == ("missing_scope", True)
    assert accepted(both("POST", "/v1/models/loan/train", json=body), trainer_queue).outcomes == OutcomeRows(
        500, "risk"
    )
    assert accepted(Caller(admin)("POST", "/v1/models/loan/train", json=body), trainer_queue).outcomes == OutcomeRows(
        500
    )


def test_a_schedule_that_cannot_work_is_refused_when_it_is_made(settings: Settings, trainer_queue: SingleJobs) -> None:
    def check(command: RepositoryCommand) -> dict[str, Any]:
        assert command.action is RepositoryAction.CHECK_TRAINING
        request = TrainingRequest.from_json(command.training or {})
        raise ModelgateError(Code.NO_DATA, f"data.path {request.path!r} does not exist")

    client = create_app(settings, check).test_client()
    body = {"cron": "0 3 * * 1", "request": {"data": DATA}}
    problem = refused(client.put("/v1/models/loan/schedule", json=body))
    assert (problem["code"], problem["detail"]) == ("no_data", "data.path 'loan.csv' does not exist")
    assert client.get("/v1/schedules").json == {"items": []}


def test_a_schedule_shows_how_its_last_run_ended_and_so_do_metrics_system_and_page(
    client: FlaskClient, settings: Settings, trainer_queue: SingleJobs, redis: Redis
) -> None:
    schedules, path = Schedules(redis, SIGNER, timeout=60, result_ttl=60), "/v1/models/sum/schedule"
    body = {"cron": "0 3 * * 1", "request": {"recipe": "iris"}}
    assert client.put(path, json=body).json["last_run"] is None  # type: ignore[index]
    outcomes: list[Any] = [OUTPUT, Failure(Code.NO_DATA, "iris.csv is not there")]
    clock = Scheduler(redis, TRAINING.queue)
    for outcome, status in zip(outcomes, ("succeeded", "failed"), strict=True):
        (waiting,) = redis.zrange("rq:scheduled:training", 0, -1)
        redis.zadd("rq:scheduled:training", {waiting: 1})
        assert clock.enqueue_due()
        job = trainer_queue.begin([])
        assert job is not None
        schedules.advance()
        trainer_queue.finish(job.id, outcome)
        run = client.get(path).json["last_run"]  # type: ignore[index]
        assert (run["job"], run["status"]) == (job.id, status) and run["completed_at"]
        assert client.get("/v1/schedules").json["items"][0]["last_run"] == run  # type: ignore[index]
        seen = create_app(settings).test_client()  # which has kept no reading
        assert f'modelgate_schedule_failed{{model="sum"}} {float(status == "failed")}' in seen.get("/metrics").text
        alerts = [alert["code"] for alert in seen.get("/v1/system").json["alerts"]]  # type: ignore[index]
        assert ("schedule_failed" in alerts) == (status == "failed")
        page = seen.get("/ui/models/sum/versions").text
        assert ("iris.csv is not there" in page) == (status == "failed") and f"/ui/jobs/{job.id}" in page
    assert run["error"]["message"] == "iris.csv is not there"
    assert client.put(path, json=body).json["last_run"] is None, "a schedule that is set again has not run"  # type: ignore[index]


@pytest.mark.parametrize("lost", [False, True])
def test_a_schedule_that_the_trainer_no_longer_trusts_has_failed_everywhere(
    client: FlaskClient, settings: Settings, trainer_queue: SingleJobs, redis: Redis, lost: bool
) -> None:
    """As after a restore without the secret: its job fails, or is gone, and it gets no other one."""
    path = "/v1/models/sum/schedule"
    client.put(path, json={"cron": "0 3 * * 1", "request": {"recipe": "iris"}})
    entry = json.loads(redis.hget("mg:schedules", "sum"))
    redis.hset(
        "mg:schedules",
        "sum",
        json.dumps(
            {**entry, "next_run": "2026-03-01T03:00:00.000000Z" if lost else entry["next_run"], "signature": "0"}
        ),
    )
    if lost:
        redis.delete(f"rq:job:{entry['job']}", "rq:scheduled:training")
    else:
        redis.hset(f"rq:job:{entry['job']}", "signature", "1.0")
        redis.zadd("rq:scheduled:training", {entry["job"]: 1})
        assert Scheduler(redis, TRAINING.queue).enqueue_due() and trainer_queue.begin([]) is None
    Schedules(redis, SIGNER, timeout=60, result_ttl=60).advance()
    seen = create_app(settings).test_client()
    assert 'modelgate_schedule_failed{model="sum"} 1.0' in seen.get("/metrics").text
    assert "schedule_failed" in [alert["code"] for alert in seen.get("/v1/system").json["alerts"]]  # type: ignore[index]
    run = client.get(path).json["last_run"]  # type: ignore[index]
    assert run is None if lost else (run["job"], run["error"]["code"]) == (entry["job"], "not_trusted")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "a schedule is"),
        ({"cron": 5}, "a schedule is"),
        ({"cron": "* * * * *", "when": 1}, "a schedule is"),
        ({"cron": "0 0 31 2 *"}, "does not exist"),
        ({"cron": "* * * * * *"}, "five fields"),
        ({"cron": "* * * * *", "request": {"recipe": "x"}}, "there is no recipe 'x'"),
        ({"cron": "* * * * *", "request": []}, "must be a JSON object"),
    ],
)
def test_an_invalid_schedule_is_refused_with_a_reason(client: FlaskClient, body: Any, said: str) -> None:
    assert said in refused(client.put("/v1/models/loan/schedule", json=body))["detail"]


def test_the_size_and_the_number_of_schedules_are_limited(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    long = {"cron": "0 0 * * *", "request": {"notes": "n" * 4000, "parameters": {"x": "y" * 12_400}}}
    assert refused(client.put("/v1/models/loan/schedule", json=long), 413)["code"] == "body_too_large"
    monkeypatch.setattr("broker.state.schedules.MOST", 2)
    body = {"cron": "0 0 * * *", "request": {"recipe": "iris"}}
    for model in ("loan", "iris", "loan"):  # an existing one can be replaced
        assert client.put(f"/v1/models/{model}/schedule", json=body).status_code == 200
    problem = refused(client.put("/v1/models/third/schedule", json=body), 409)
    assert problem["code"] == "too_many_schedules"
    assert problem["detail"] == "there are 2 schedules already; delete one first"


def test_the_first_of_very_many_errors_are_listed(client: FlaskClient) -> None:
    problem = refused(client.post("/v1/models/loan/train", json={f"gaet{n}": n for n in range(12_000)}))
    assert problem["detail"] == "12000 values cannot be used; see errors (the first 100 are listed)"
    assert len(problem["errors"]) == 100
    assert "did you mean 'gate'?" in problem["errors"][0]["message"]


class CountedFile(io.BytesIO):
    """Counts the bytes that are read. `calls`: the functions that Python called meanwhile."""

    count = calls = 0

    def read1(self, size: int | None = -1, /) -> bytes:
        self.count += len(read := super().read1(size))
        return read

    def count_calls(self, *_: object) -> None:
        self.calls += 1


MANY = 4_000_000


@pytest.mark.parametrize(
    "content",
    [b"," * MANY, b"\n" * MANY, b"\r" * MANY, b"a,b\n" + b"\n" * MANY, b'"' + b"x\n" * MANY, b'"",' * MANY],
    ids=["commas", "blank lines", "carriage returns", "blank rows", "an open quotation mark", "quoted names"],
)
def test_a_hostile_file_takes_the_gateway_little_work(content: bytes) -> None:
    file = CountedFile(content)
    sys.setprofile(file.count_calls)
    try:
        with pytest.raises(Problem):
            check_file(TrainingRequest("m", "tabular", target="y"), file)
    finally:
        sys.setprofile(None)
    assert file.count < 600_000 and file.calls < 2_000, (file.count, file.calls)


def test_a_file_of_too_many_columns_is_refused(client: FlaskClient, spool: Path) -> None:
    header = ",".join(f"c{number}" for number in range(10_001)).encode()
    problem = refused(client.post("/v1/models/new/train", **form(header + b"\n1\n", target="c1", recipe="tabular")))
    assert problem["detail"] == "the file has 10,001 columns; it may have 10,000"
    assert [error["code"] for error in problem["errors"]] == ["too_many"] and files(spool) == []


@pytest.mark.parametrize("cell", ["\N{EURO SIGN}" * 200_000, '"' + "line\n" * 100_000 + '"'], ids=["long", "of lines"])
def test_the_first_row_may_be_long(client: FlaskClient, trainer_queue: SingleJobs, cell: str) -> None:
    sent = form(f"\N{POUND SIGN},y\n{cell},1\n".encode(), target="y", recipe="tabular", features='["\N{POUND SIGN}"]')
    accepted(client.post("/v1/models/new/train", **sent), trainer_queue)


COMMANDS: list[RepositoryCommand] = []
SHOWN = TrainingPreview("x", 2, True, [], "b", None, ["learning needs at least 20 rows"], [])


def answer(command: RepositoryCommand) -> dict[str, Any]:
    COMMANDS.append(command)
    if command.training and command.training["target"] == "z":
        raise ModelgateError(Code.NO_DATA, "target names 'z', which is not a column of the data")
    return SHOWN.to_json()


@pytest.fixture
def previewing(settings: Settings, spool: Path, trainer_queue: SingleJobs) -> FlaskClient:
    COMMANDS.clear()
    return create_app(settings, answer).test_client()


def test_a_preview_asks_the_trainer_and_trains_nothing(
    previewing: FlaskClient, spool: Path, trainer_queue: SingleJobs
) -> None:
    answer = previewing.post("/v1/models/churn/train?preview=1", **form(kinds='{"a": "string"}'))
    assert (answer.status_code, answer.get_json()) == (200, SHOWN.to_json())
    (command,) = COMMANDS
    assert (command.action, command.model) == (RepositoryAction.PREVIEW_TRAINING, "churn")
    asked = TrainingRequest.from_json(command.training or {})
    assert (asked.upload, asked.target, asked.kinds) == (command.upload, None, {"a": "string"})
    assert files(spool) == [] and trainer_queue.begin([]) is None


def test_a_preview_of_a_file_that_cannot_be_used_says_why(previewing: FlaskClient, spool: Path) -> None:
    refusal = refused(previewing.post("/v1/models/churn/train?preview=1", **form(target="z", recipe="tabular")))
    assert refusal["code"] in ("no_data", "invalid_training") and "'z'" in refusal["detail"]
    refusal = refused(previewing.post("/v1/models/churn/train?preview=1", json={"data": DATA, "target": "z"}))
    assert refusal["code"] == "no_data"
    assert files(spool) == []


def test_a_preview_needs_a_file_and_the_recipe_for_any_file(previewing: FlaskClient) -> None:
    for body, field in (({}, "data"), ({"recipe": "iris"}, "recipe")):
        refusal = refused(previewing.post("/v1/models/churn/train?preview=1", json=body))
        assert [error["field"] for error in refusal["errors"]] == [field]


def test_previews_of_one_owner_leave_the_trainer_free_for_others(
    settings: Settings, spool: Path, trainer_queue: SingleJobs, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = create_app(dataclasses.replace(settings, spool_mb=1)).test_client()
    monkeypatch.setattr(waited_jobs, "START_TIMEOUT", 60.0)
    Leases(redis, lease=60.0, group=TRAINERS).register("p-0-x", queues=[REPOSITORY_COMMAND.queue])
    commands = SingleJobs(redis, "p-0-x", REPOSITORY_COMMAND, SIGNER)
    preview, begun = "/v1/models/churn/train?preview=1", list[str]()

    def begin() -> None:
        begun.append(until(lambda: commands.begin(begun), "the next command").id)

    with ThreadPoolExecutor() as pool:
        sent = [pool.submit(client.application.test_client().post, preview, json={"data": DATA}) for _ in range(2)]
        begin()
        until(lambda: redis.llen("rq:queue:publishing") == 1, "the preview that waits beside the one that runs")
        late = client.post(preview, **form())
        assert (refused(late, 429)["code"], late.headers["Retry-After"]) == ("previews_limit", "1")
        sent.append(pool.submit(client.application.test_client().post, "/v1/models/sum/rollback"))
        begin()
        begin()
        for job_id in begun:
            commands.finish(job_id, SHOWN.to_json())
        assert [future.result().status_code for future in sent] == [200, 200, 200]
        again = pool.submit(client.post, preview, json={"data": DATA})
        begin()
        commands.finish(begun[-1], SHOWN.to_json())
        assert again.result().status_code == 200


def test_preview_is_0_or_1(previewing: FlaskClient) -> None:
    refusal = refused(previewing.post("/v1/models/churn/train?preview=yes", json={}), 400)
    assert refusal["code"] == "invalid_parameter"
