"""Bodies that do not match their media type, a common mistake with curl: the answer names the right option."""

from __future__ import annotations

import io
import json

import pytest
from flask.testing import FlaskClient

from contract.model.signature import Field, Kind
from contract.settings import Settings
from tests.gateway.problems.test_refusals import PREDICT, problem
from tests.support import Sum, write_version

FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize("body", ['{"a": 1, "b": 2}', "[[1, 2]]", ' \n[{"a": 1}]', "{not json"])
def test_json_that_curl_sends_as_a_form(client: FlaskClient, body: str) -> None:
    said = problem(client.post(PREDICT, data=body, content_type=FORM), 415, "unsupported_media_type")
    assert "the body is JSON" in said["detail"]
    assert "curl --json" in said["detail"] and "-H 'Content-Type: application/json'" in said["detail"]


@pytest.mark.parametrize("body", ["a,b1,2", "a;b1;2", "a,b\n1,2\n", "a\n1\n", "a\tb1\t2"])
def test_a_csv_that_curl_sends_as_a_form(client: FlaskClient, body: str) -> None:
    said = problem(client.post(PREDICT, data=body, content_type=FORM), 415, "unsupported_media_type")
    assert "the body is CSV" in said["detail"]
    assert "--data-binary @FILE -H 'Content-Type: text/csv'" in said["detail"]


@pytest.mark.parametrize("body", ["a=1&b=2", "a=1%2C5&b=2", "b=2&a=1,5", "%7B=1&a=1&b=2", "a=1;2&b=2"])
def test_a_real_form_is_accepted(client: FlaskClient, body: str) -> None:
    assert client.post(PREDICT, data=body, content_type=FORM).status_code in (202, 422)


@pytest.mark.parametrize("body", ["a,b1,23,4", "a,b", "\ufeffa,b1,2 "])
def test_a_csv_without_its_line_ends_is_explained(client: FlaskClient, body: str) -> None:
    said = problem(client.post(PREDICT, data=body.encode(), content_type="text/csv"), 422, "invalid_instances")
    assert [error["code"] for error in said["errors"]] == ["no_rows"]
    assert "curl -d removes line ends" in said["detail"] and "--data-binary" in said["detail"]


def test_a_file_in_a_form(client: FlaskClient) -> None:
    said = problem(
        client.post(PREDICT, data={"file": (io.BytesIO(b"a,b\n1,2\n"), "rows.csv")}), 415, "unsupported_media_type"
    )
    assert "has a file, 'file'" in said["detail"] and "--data-binary" in said["detail"]
    page = {"a": "1", "b": "2", "photo": (io.BytesIO(b""), "")}  # a file that was not chosen
    assert client.post(PREDICT, data=page, content_type="multipart/form-data").status_code == 202


@pytest.mark.parametrize("name", ["SUM", "Sum", "sum%20", "%20sum", "sum%2520", "sum.pkl", "s um", "SUM@1"])
def test_a_misspelt_model_name_gets_a_suggestion(client: FlaskClient, name: str) -> None:
    said = problem(client.post(f"/v1/models/{name}/predict", json=[[1, 2]]), 404, "unknown_model")
    assert "(did you mean 'sum'?)" in said["detail"]


def test_a_model_without_a_promoted_version_says_what_to_do(client: FlaskClient, settings: Settings) -> None:
    for version in (1, 2):
        write_version(settings.models_dir, "churn", Sum(), [Field("a", Kind.NUMBER)], version=version)
    aliases = settings.models_dir / "churn" / "aliases.json"
    aliases.write_text(json.dumps({"canary": 1}))
    for response in (client.post("/v1/models/churn/predict", json=[[1]]), client.get("/v1/models/churn")):
        said = problem(response, 404, "no_current_version")
        assert said["versions"] == [1, 2]
        assert "none of 1, 2 was promoted" in said["detail"]
        assert said["detail"].endswith('PUT /v1/models/churn/aliases/current {"version": 2}')
    assert client.post("/v1/models/churn@2/predict", json=[[1]]).status_code == 202


@pytest.mark.parametrize("report", ["", "{", "[]", '{"refused": 3}', '{"refused": null}'])
def test_without_a_reason_of_the_gate_the_answer_points_to_moving_the_alias(
    client: FlaskClient, settings: Settings, report: str
) -> None:
    only_version(settings, report)
    said = problem(client.get("/v1/models/churn"), 404, "no_current_version")
    assert "make it current (if that fails, the answer says why): PUT" in said["detail"]


def test_the_gate_that_refused_the_only_version_is_quoted(client: FlaskClient, settings: Settings) -> None:
    reason = "accuracy is 0.61, but the gate requires at least 0.7"
    only_version(settings, json.dumps({"refused": reason}))
    said = problem(client.get("/v1/models/churn"), 404, "no_current_version")
    assert f"the gate refused version 1, because {reason}" in said["detail"]
    assert said["detail"].endswith('make it current anyway: PUT /v1/models/churn/aliases/current {"version": 1}')


def only_version(settings: Settings, report: str) -> None:
    write_version(settings.models_dir, "churn", Sum(), [Field("a", Kind.NUMBER)], version=1)
    (settings.models_dir / "churn" / "aliases.json").write_text("{}")
    if report:
        folder = settings.models_dir / "churn" / "versions" / "1" / "report"
        folder.mkdir()
        (folder / "report.json").write_text(report)
