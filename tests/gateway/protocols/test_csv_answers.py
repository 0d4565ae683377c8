"""`Accept: text/csv`: a prediction is answered with CSV: the columns of the request, and those of the answers."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis

from contract.model.signature import AnswerForm, Method, Output, OutputKind, Signature
from contract.rows.answer_columns import answer_names
from contract.rows.csv_cells import csv_lines
from contract.rows.instances import Grid
from contract.work.jobs import Job, PredictionOutcome, Status
from gateway.protocols import csv_rows
from tests.gateway.conftest import scorer
from tests.support import numbers

PREDICT = "/v1/models/sum/predict"
AS_CSV = {"Accept": "text/csv"}
ROWS = 'key,a,b,note\nk1,1,2,"=x, y"\nk2,3.0,4,\n'


@pytest.mark.usefixtures("scoring")
def test_csv_is_answered_with_its_columns_and_the_predictions(client: FlaskClient) -> None:
    response = client.post(PREDICT, data=ROWS, content_type="text/csv", headers=AS_CSV)
    assert (response.status_code, response.content_type) == (200, "text/csv; charset=utf-8")
    assert response.headers["Preference-Applied"] == "wait=10"
    assert list(csv.reader(io.StringIO(response.text))) == [
        ["key", "a", "b", "note", "prediction"],
        ["k1", "1", "2", "=x, y", "3.0"],
        ["k2", "3.0", "4", "", "7.0"],
    ]
    job = client.get(response.headers["Location"]).get_json()
    assert job["output"]["predictions"] == [3, 7]


@pytest.mark.usefixtures("scoring")
def test_formulas_are_escaped_on_request(client: FlaskClient) -> None:
    response = client.post(PREDICT + "?escape=formulas", data=ROWS, content_type="text/csv", headers=AS_CSV)
    assert '"\'=x, y"' in response.text
    refused = client.post(PREDICT + "?escape=all", data=ROWS, content_type="text/csv", headers=AS_CSV)
    assert (refused.status_code, refused.get_json()["code"]) == (400, "invalid_parameter")


def test_half_of_a_surrogate_pair_is_a_question_mark(client: FlaskClient, redis: Redis) -> None:
    with scorer(redis, lambda job: PredictionOutcome(["cut \ud83d"] * len(job.rows), None, [], 0.5, 1)):
        response = client.post(PREDICT, data=ROWS, content_type="text/csv", headers=AS_CSV)
    assert [row[-1] for row in csv.reader(io.StringIO(response.text))] == ["prediction", "cut ?", "cut ?"]


@pytest.mark.usefixtures("scoring")
def test_invalid_rows_of_a_lenient_request_are_blank_and_those_of_a_strict_one_refused(client: FlaskClient) -> None:
    body = {"data": "b;key;a\n2;k1;1\n2;k2;x\n1;k3\n", "content_type": "text/csv"}
    response = client.post(PREDICT, headers={**AS_CSV, "Prefer": "handling=lenient"}, **body)
    assert response.text == "b;key;a;prediction\n2;k1;1;3.0\n2;k2;x;\n1;k3;;\n"
    errors = client.get(response.headers["Location"]).get_json()["output"]["errors"]
    assert [error["row"] for error in errors] == [1, 2]
    refused = client.post(PREDICT, headers=AS_CSV, **body)
    assert (refused.status_code, refused.content_type) == (422, "application/problem+json")


@pytest.mark.usefixtures("scoring")
def test_json_is_answered_with_ids_and_predictions(client: FlaskClient) -> None:
    response = client.post(PREDICT, json=[{"key": "k1", "a": 1, "b": 2}], headers=AS_CSV)
    assert response.text == "key,prediction\nk1,3.0\n"


def test_a_job_that_has_not_ended_is_json(client: FlaskClient) -> None:
    response = client.post(PREDICT, data=ROWS, content_type="text/csv", headers={**AS_CSV, "Prefer": "wait=0"})
    assert (response.status_code, response.get_json()["status"]) == (202, "queued")


def written(signature: Signature, method: str = "predict", **output: Any) -> list[list[str]]:
    job = Job("j", Status.SUCCEEDED, "m", 1, None, output=output)
    text = csv_rows.write(job, Grid(["a"], [["1"]], ","), signature, method, escape=False).decode()
    return list(csv.reader(io.StringIO(text)))


def test_each_output_and_each_class_has_a_column() -> None:
    single = Output(OutputKind.CLASS, labels=(True, 2), probabilities=True, scores=True)
    lines = written(
        Signature(numbers("a"), (single,)), predictions=[True], probabilities=[{"True": 0.25, "2": 1}], scores=[5.5]
    )
    assert lines == [
        ["a", "prediction", "probability_True", "probability_2", "score"],
        ["1", "true", "0.25", "1", "5.5"],
    ]
    outputs = tuple(Output(OutputKind.CLASS, ("x", "y"), probabilities=True, name=name) for name in ("a", "c"))
    lines = written(
        Signature(numbers("a"), outputs),
        predictions=[{"a": "x", "c": "y"}],
        probabilities=[{"a": {"x": 1, "y": 0}, "c": {"x": 0.5, "y": 0.5}}],
    )
    assert lines[0] == [
        *("a", "prediction_a", "c"),
        *("probability_a_x", "probability_a_y", "probability_c_x", "probability_c_y"),
    ]
    assert lines[1] == ["1", "x", "y", "1", "0", "0.5", "0.5"]


@pytest.mark.parametrize(
    ("method", "answer", "names", "cells"),
    [
        (Method("transform", AnswerForm.NAMED, ("u",)), {"u": None}, ["transform_u"], [""]),
        (Method("decision_function", AnswerForm.NUMBER), 0.5, ["decision_function"], ["0.5"]),
        (Method("predict_proba", AnswerForm.LABELS), {"n": 0, "p": 1}, ["probability_n", "probability_p"], ["0", "1"]),
        (Method("apply", AnswerForm.NUMBERS), [1, 2], ["apply"], ["[1,2]"]),
    ],
)  # fmt: skip
def test_other_methods_have_columns_too(method: Method, answer: Any, names: list[str], cells: list[str]) -> None:
    signature = Signature(numbers("a"), (Output(OutputKind.CLASS, ("n", "p")),), methods=(method,))
    assert written(signature, method.name, predictions=[answer]) == [["a", *names], ["1", *cells]]


def test_names_of_answers_never_repeat() -> None:
    signature = Signature(numbers("a"), (Output(OutputKind.NUMBER),))
    assert answer_names(signature, "predict", ["Prediction", "prediction_2"]) == ["prediction_3"]


@pytest.mark.parametrize("value", [0.1, 1e-7, 1e300, 5e-324, -0.0, 2**63, True, "x", 'a "b"', "a\nb", " a", "a,b", ""])
def test_cells_read_back_equal(value: Any) -> None:
    (line,) = csv_lines([[value], ["x"]], ",", escape=False)
    ((cell, _),) = csv.reader(io.StringIO(line, newline=""), skipinitialspace=True)
    assert (cell if isinstance(value, str) else json.loads(cell)) == value
