"""The five models through the whole stack: the right number, or a reason."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.qa.system.stack import Stack, until

MODELS = ["blobs", "boston", "iris", "loan", "sepals"]
IRIS = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
BOSTON_ROW_0 = {
    "CRIM": 0.00632, "ZN": 18.0, "INDUS": 2.31, "CHAS": 0.0, "NOX": 0.538, "RM": 6.575, "AGE": 65.2,
    "DIS": 4.09, "RAD": 1.0, "TAX": 296.0, "PTRATIO": 15.3, "B": 396.9, "LSTAT": 4.98,
}  # fmt: skip


def test_all_five_models_are_served(stack: Stack) -> None:
    items = stack.get("/v1/models").json()["items"]
    assert sorted(item["name"] for item in items) == MODELS


def test_the_stack_is_ready_with_a_worker_alive(stack: Stack) -> None:
    assert stack.get("/health/live").status_code == 200
    until(lambda: stack.get("/health/ready").json()["status"] == "ok")
    assert stack.get("/health/ready").status_code == 200


@pytest.mark.parametrize("model", MODELS)
def test_the_example_of_every_model_works_when_it_is_posted(stack: Stack, model: str) -> None:
    example = stack.get(f"/v1/models/{model}").json()["example"]
    assert len(stack.prediction(model, example)["predictions"]) >= 1


def test_blobs_answers_a_query_with_a_class_and_its_probabilities(stack: Stack) -> None:
    response = stack.get("/v1/models/blobs/predict?feature_1=2.0&feature_2=2.0")
    assert response.status_code == 200
    output = response.json()["output"]
    assert output["predictions"] == [1]
    assert isinstance(output["predictions"][0], int)
    (probabilities,) = output["probabilities"]
    assert len(probabilities) == 2
    assert sum(probabilities.values()) == pytest.approx(1)


@pytest.mark.parametrize("row", [IRIS, {name: str(value) for name, value in IRIS.items()}], ids=["numbers", "text"])
def test_iris_answers_setosa(stack: Stack, row: dict[str, object]) -> None:
    assert stack.prediction("iris", row)["predictions"] == [0]


def test_boston_answers_as_published_in_upper_case_too(stack: Stack) -> None:
    (price,) = stack.prediction("boston", BOSTON_ROW_0)["predictions"]
    assert price == pytest.approx(30.505530469875787, rel=1e-12)


def test_sepals_answers_class_2(stack: Stack) -> None:
    assert stack.prediction("sepals", {"X1": "61.1", "X2": "17.3"})["predictions"] == [2]


def test_loan_answers_records_in_a_json_string_inside_json(stack: Stack) -> None:
    if not stack.data_dir:
        pytest.skip("DATA_DIR is not set: the loan data are a sample, whose figures are not the published ones")
    with (Path(stack.data_dir) / "loan_test.csv").open(newline="") as file:
        rows = [row for row, _ in zip(csv.DictReader(file), range(5), strict=False)]
    numbers = {"ApplicantIncome", "CoapplicantIncome", "LoanAmount", "Loan_Amount_Term", "Credit_History", "Dependents"}
    records = [
        {name: None if text == "" else float(text) if name in numbers else text for name, text in row.items()}
        for row in rows
    ]
    output = stack.prediction("loan", json.dumps(records))
    assert output["predictions"] == [1, 1, 1, 1, 1]
    assert output["ids"] == [row["Loan_ID"] for row in rows]


def test_a_posted_job_is_accepted_and_found_under_its_location(stack: Stack) -> None:
    accepted = stack.predict("iris", IRIS)
    assert accepted.status_code == 202
    assert int(accepted.headers["Retry-After"]) >= 1
    job = accepted.json()
    assert job["status"] in ("queued", "running")
    assert accepted.headers["Location"].endswith(f"/v1/jobs/{job['id']}")
    (finished,) = stack.finished([job["id"]])
    assert finished["status"] == "succeeded"
    assert finished["model"] == {"name": "iris", "version": 1}
    assert finished["output"]["predictions"] == [0]


def test_waiting_answers_with_the_finished_job(stack: Stack) -> None:
    response = stack.predict("iris", [IRIS, IRIS], wait=20)
    assert response.status_code == 200
    assert response.headers["Preference-Applied"] == "wait=20"
    assert response.json()["output"]["predictions"] == [0, 0]


def _problem(response: requests.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"].split(";")[0] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert problem["status"] == status
    assert "Traceback" not in response.text
    return problem


def test_every_wrong_field_is_named_at_once(stack: Stack) -> None:
    problem = _problem(stack.predict("iris", {"sepal_length": "x", "sepal_width": 3.5, "petal_length": 1.4}), 422)
    assert {(error["row"], error["field"]) for error in problem["errors"]} == {(0, "sepal_length"), (0, "petal_width")}


def test_an_unknown_model_is_404_with_the_list_of_models(stack: Stack) -> None:
    assert "iris" in json.dumps(_problem(stack.predict("irirs", IRIS), 404))


def test_an_unknown_job_is_not_found(stack: Stack) -> None:
    _problem(stack.get("/v1/jobs/no-such-job"), 404)


@pytest.mark.parametrize(
    ("media_type", "body", "status"),
    [("application/xml", b"<a/>", 415), ("application/json", b"{", 400), ("application/json", b'{"a": NaN}', 400)],
)
def test_a_body_that_cannot_be_read_is_refused(stack: Stack, media_type: str, body: bytes, status: int) -> None:
    url = f"{stack.url}/v1/models/iris/predict"
    _problem(requests.post(url, data=body, headers={"Content-Type": media_type}, timeout=60), status)


def test_a_body_above_the_limit_is_refused(stack: Stack) -> None:
    url = f"{stack.url}/v1/models/iris/predict"
    body = b"[" + b" " * 9_000_000 + b"]"
    _problem(requests.post(url, data=body, headers={"Content-Type": "application/json"}, timeout=60), 413)
