"""The five models answer the requests of the posts that describe them."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.flow.conftest import MakeUp

pytestmark = pytest.mark.slow

IRIS_ALIASES = [
    ["sepal.lenght", "sepal.width", "petal.lenght", "petal.width"],
    ["sepal.length", "sepal.width", "petal.length", "petal.width"],
    ["sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"],
]


def real_rows(file: str, count: int) -> list[dict[str, str]]:
    """The first rows of one of the posts' own data sets."""
    folder = os.environ.get("DATA_DIR")
    path = Path(folder or ".") / file
    if folder is None or not path.exists():
        if os.environ.get("CI") == "true":
            pytest.fail(f"DATA_DIR has no {file}, and in CI the figures must be tested")
        pytest.skip(f"DATA_DIR has no {file}")
    with path.open(newline="") as text:
        return [row for row, _ in zip(csv.DictReader(text), range(count), strict=False)]


def test_blobs_answers_a_query_with_class_and_probabilities(modelgate: MakeUp) -> None:
    response = modelgate.get("/v1/models/blobs/predict?feature_1=2.0&feature_2=2.0")
    output = response.json()["output"]
    assert response.status_code == 200
    assert output["predictions"] == [1]
    assert type(output["predictions"][0]) is int
    (probabilities,) = output["probabilities"]
    assert set(probabilities) == {"0", "1"}
    assert sum(probabilities.values()) == pytest.approx(1)
    assert probabilities["1"] > 0.5


def test_loan_answers_records_inside_a_json_string_inside_json_with_their_ids(modelgate: MakeUp) -> None:
    records = [_as_pandas_writes(row) for row in real_rows("loan_test.csv", 5)]
    output = modelgate.predict("loan", json=json.dumps(records))["output"]
    assert output["predictions"] == [1, 1, 1, 1, 1]
    assert output["ids"] == ["LP001015", "LP001022", "LP001031", "LP001035", "LP001051"]


def _as_pandas_writes(row: dict[str, str]) -> dict[str, Any]:
    """Empty as null, whole columns of digits as numbers: Dependents of these rows comes as a number."""
    return {name: None if text == "" else int(text) if text.isdigit() else text for name, text in row.items()}


def test_loan_metrics_hold_the_posts_validation_score(modelgate: MakeUp) -> None:
    real_rows("loan.csv", 1)
    detail = modelgate.get("/v1/models/loan").json()
    assert round(detail["metrics"]["accuracy"], 2) == 0.78
    assert detail["training_data"]["rows"] == 614


@pytest.mark.parametrize("as_text", [False, True])
def test_iris_answers_numbers_and_numbers_as_text(modelgate: MakeUp, as_text: bool) -> None:
    names = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
    values: list[Any] = [5.1, 3.5, 1.4, 0.2]
    row = dict(zip(names, map(str, values) if as_text else values, strict=True))
    assert modelgate.predict("iris", json=row)["output"]["predictions"] == [0]


@pytest.mark.parametrize("names", IRIS_ALIASES)
def test_iris_answers_other_spellings(modelgate: MakeUp, names: list[str]) -> None:
    row = dict(zip(names, [5.9, 3.0, 5.1, 1.8], strict=True))
    assert modelgate.predict("iris", json=row)["output"]["predictions"] == [2]


def test_iris_refuses_the_posts_second_body_by_name(modelgate: MakeUp) -> None:
    body = '{"sepal.width": 5.9, "sepal.width": 3.0, "petal.lenght": 5.1, "petal.width": 1.8}'
    response = modelgate.post("/v1/models/iris/predict", data=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 422
    errors = {(error["field"], error["code"]) for error in response.json()["errors"]}
    assert errors == {("sepal_length", "missing_field"), ("sepal_width", "repeated_field")}


def test_boston_gives_the_posts_figure(modelgate: MakeUp) -> None:
    (row,) = real_rows("boston.csv", 1)
    (prediction,) = modelgate.predict("boston", json={name.lower(): row[name] for name in row if name != "MEDV"})[
        "output"
    ]["predictions"]
    assert prediction == pytest.approx(30.505530469875787, rel=1e-12)


def test_boston_gives_the_posts_ten_other_figures_to_two_decimals(modelgate: MakeUp) -> None:
    rows = real_rows("boston.csv", 506)
    chosen = [rows[i] for i in (257, 195, 166, 168, 27, 289, 107, 225, 322, 504)]
    predictions = modelgate.predict("boston", json={"instances": chosen})["output"]["predictions"]
    assert [round(p, 2) for p in predictions] == [41.79, 37.82, 37.75, 26.51, 16.4, 26.16, 20.25, 38.77, 23.24, 26.59]


def test_boston_drops_unknown_columns_with_a_warning(modelgate: MakeUp) -> None:
    example = modelgate.get("/v1/models/boston").json()["example"]
    job = modelgate.predict("boston", json={**example, "MEDV": 24, "colour": "red"})
    assert all(any(name in warning for warning in job["warnings"]) for name in ("MEDV", "colour"))
    plain = modelgate.predict("boston", json={name.upper(): value for name, value in example.items()})
    assert plain["output"] == job["output"]


def test_sepals_answers_the_posts_body(modelgate: MakeUp) -> None:
    job = modelgate.predict("sepals", json={"X1": "61.1", "X2": "17.3"})
    assert job["output"]["predictions"] == [2]


@pytest.mark.parametrize("model", ["blobs", "boston", "iris", "loan", "sepals"])
def test_the_example_of_a_model_works_when_posted(modelgate: MakeUp, model: str) -> None:
    detail = modelgate.get(f"/v1/models/{model}").json()
    assert (detail["name"], detail["version"]) == (model, 1)
    job = modelgate.predict(model, json=detail["example"])
    assert len(job["output"]["predictions"]) == 1
    assert (job["output"]["probabilities"] is None) is not detail["signature"]["output"]["probabilities"]


def test_post_then_poll(modelgate: MakeUp) -> None:
    example = modelgate.get("/v1/models/iris").json()["example"]
    response = modelgate.post("/v1/models/iris/predict", json=example)
    assert response.status_code == 202
    job = modelgate.get(f"{response.headers['Location']}?wait=30").json()
    assert (job["status"], job["kind"], job["error"]) == ("succeeded", "prediction", None)
    assert job["created_at"] <= job["started_at"] <= job["completed_at"]
    assert set(job["metrics"]) == {"queue_ms", "predict_ms", "batch_rows"}


def test_a_csv_and_a_form_are_accepted(modelgate: MakeUp) -> None:
    text = "X2,X1\n17.3,61.1\n3.5,5.1\n"
    job = modelgate.post(
        "/v1/models/sepals/predict", data=text, headers={"Content-Type": "text/csv", "Prefer": "wait=30"}
    ).json()
    assert job["output"]["predictions"] == [2, 0]
    job = modelgate.post(
        "/v1/models/sepals/predict", data={"X1": "61.1", "X2": "17.3"}, headers={"Prefer": "wait=30"}
    ).json()
    assert job["output"]["predictions"] == [2]
