"""Payloads that mlflow's own code makes, and its client for scoring servers, unchanged."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import mlflow.pyfunc.scoring_server.client as scoring_client
import numpy as np
import pandas as pd
import pytest
import requests
from mlflow.models import convert_input_example_to_serving_input

from tests.qa.clients.conftest import IRIS, LOAN, PROJECT, Modelgate, answered, started

POOR = {**LOAN, "Gender": "Female", "Credit_History": 0.0}
TABLE = pd.DataFrame([LOAN, POOR])
FLOWERS = np.array([list(IRIS.values()), [6.7, 3.0, 5.2, 2.3]])


def invoke(modelgate: Modelgate, model: str, payload: str, kind: str = "application/json") -> dict[str, object]:
    asked = f"{modelgate.address}/v1/models/{model}/invocations"
    answer = requests.post(asked, data=payload, headers={"Content-Type": kind}, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize(
    ("model", "example"),
    [
        ("loan", TABLE),
        ("loan", TABLE.drop(columns=["LoanAmount"]).assign(LoanAmount=[np.nan, 110])),
        ("loan", {name: column.to_numpy() for name, column in TABLE.items()}),
        ("loan", LOAN),
        ("loan", [LOAN, POOR]),
        ("iris", pd.DataFrame(FLOWERS, columns=list(IRIS))),
        ("iris", FLOWERS),
        ("iris", FLOWERS.tolist()),
    ],
    ids=["frame", "frame with NaN", "arrays by name", "dict", "list of dicts", "numbers", "array", "lists"],
)
def test_an_example_as_mlflow_serializes_it(modelgate: Modelgate, model: str, example: object) -> None:
    payload = convert_input_example_to_serving_input(example)
    rows = pd.DataFrame(example if not isinstance(example, dict) or example is not LOAN else [LOAN])
    native = json.loads(rows.to_json(orient="values" if model == "iris" else "records", double_precision=15))
    expected = answered(modelgate, model, native)
    found = invoke(modelgate, model, payload)
    assert found["predictions"] == expected["predictions"]
    assert found.get("probabilities") == expected["probabilities"]


@pytest.mark.parametrize("shape", ["dataframe_records", "instances"])
def test_the_shapes_that_mlflow_reads_and_does_not_write(modelgate: Modelgate, shape: str) -> None:
    expected = answered(modelgate, "loan", [LOAN, POOR])
    payload = json.dumps({shape: TABLE.to_dict(orient="records")})
    assert invoke(modelgate, "loan", payload)["predictions"] == expected["predictions"]


@pytest.fixture(scope="module")
def of_array(modelgate: Modelgate) -> Iterator[str]:
    """A model that was fitted on an array, imported through the inbox; removed again for the other modules."""
    code = (
        "import joblib, numpy as np; from sklearn.linear_model import LinearRegression as Model; import sys;"
        "X = np.random.default_rng(0).random((20, 4)); joblib.dump(Model().fit(X, X @ [1, 10, 100, 1000]), sys.argv[1])"
    )
    part = modelgate.models / "inbox" / "of_array.joblib.part"
    subprocess.run([PROJECT / ".venv/bin/python", "-c", code, part], check=True)
    part.rename(part.with_suffix(""))
    address, end = f"{modelgate.address}/v1/models/of_array", time.monotonic() + 120
    while requests.get(address, timeout=10).status_code != 200:
        assert time.monotonic() < end, "the inbox does not import"
        time.sleep(0.2)
    yield "of_array"
    requests.delete(address, params={"confirm": "of_array"}, timeout=60).raise_for_status()


@pytest.mark.parametrize("columns", [[0, 1, 2, 3], [3, 0, 2, 1]], ids=str)
def test_a_frame_without_names_goes_to_a_model_without_names(
    modelgate: Modelgate, of_array: str, columns: list[int]
) -> None:
    frame = pd.DataFrame(FLOWERS)[columns]
    expected = answered(modelgate, of_array, FLOWERS.tolist())["predictions"]
    for example in (frame, frame.to_dict(orient="records")):
        payload = convert_input_example_to_serving_input(example)
        assert invoke(modelgate, of_array, payload) == {"predictions": expected}
    split = {"dataframe_split": json.loads(frame.to_json(orient="split", double_precision=15))}
    assert invoke(modelgate, of_array, json.dumps(split)) == {"predictions": expected}
    assert answered(modelgate, of_array, split)["predictions"] == expected


def test_names_that_mean_nothing_to_a_model_without_names_are_said(modelgate: Modelgate, of_array: str) -> None:
    payload = convert_input_example_to_serving_input(pd.DataFrame(FLOWERS, columns=list("dcba")))
    found = invoke(modelgate, of_array, payload)
    assert found["predictions"] == answered(modelgate, of_array, FLOWERS.tolist())["predictions"]
    assert found["warnings"] == [
        "the model was fitted without names, so 'd', 'c', 'b', 'a' were taken for 'x0', 'x1', 'x2', 'x3'"
    ]


def test_csv_as_pandas_writes_it(modelgate: Modelgate) -> None:
    expected = answered(modelgate, "loan", [LOAN, POOR])
    found = invoke(modelgate, "loan", TABLE.to_csv(index=False), "text/csv")
    assert found["predictions"] == expected["predictions"]


def test_params_name_another_method(modelgate: Modelgate) -> None:
    payload = json.dumps({"inputs": FLOWERS.tolist(), "params": {"predict_method": "decision_function"}})
    expected = answered(modelgate, "iris", FLOWERS.tolist(), "decision_function")
    assert invoke(modelgate, "iris", payload)["predictions"] == expected["predictions"]


def test_an_error_has_mlflows_code(modelgate: Modelgate) -> None:
    asked = f"{modelgate.address}/v1/models/loan/invocations"
    for body, status, code in (
        ({"dataframe_records": [{**LOAN, "Gender": "male"}]}, 400, "INVALID_PARAMETER_VALUE"),
        ({"dataframe_records": [LOAN], "inputs": [LOAN]}, 400, "BAD_REQUEST"),
        ([LOAN], 400, "BAD_REQUEST"),
    ):
        answer = requests.post(asked, json=body, timeout=60)
        assert (answer.status_code, answer.json()["error_code"]) == (status, code), answer.text
        assert answer.json()["message"]


def test_the_answer_of_a_named_method_is_that_of_mlflow(modelgate: Modelgate) -> None:
    payload = json.dumps({"dataframe_records": [LOAN], "params": {"predict_method": "predict"}})
    assert invoke(modelgate, "loan", payload) == {"predictions": [1]}


def test_with_several_models_there_is_no_only_one(modelgate: Modelgate) -> None:
    answer = requests.post(f"{modelgate.address}/invocations", json={"inputs": [LOAN]}, timeout=60)
    assert answer.status_code == 400
    assert "/v1/models/NAME/invocations" in answer.json()["message"]


def test_the_client_of_scoring_servers(tmp_path: Path, only_iris: Path) -> None:
    """It knows only `/invocations`, `/ping` and `/version`, so Modelgate has one model."""
    with started(tmp_path, only_iris, TRAIN_ON_START="iris") as modelgate:
        client = scoring_client.ScoringServerClient("127.0.0.1", modelgate.port)
        client.wait_server_ready()
        assert client.get_version() == "2.0.0"
        frame = pd.DataFrame(FLOWERS, columns=list(IRIS))
        expected = answered(modelgate, "iris", FLOWERS.tolist())
        for data in (frame, FLOWERS, FLOWERS.tolist()):
            found = client.invoke(data)
            assert found.get_predictions("ndarray").tolist() == expected["predictions"]
            assert found.get_predictions()[0].tolist() == expected["predictions"]
