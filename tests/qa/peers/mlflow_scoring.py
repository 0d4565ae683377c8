"""What MLflow's tests of its scoring server ask: addresses, content types, shapes of rows, what does not fit, params,
answers and the client of scoring servers.

A model's address stands for that of MLflow's only model: `/v1/models/{model}/invocations`.
"""

from __future__ import annotations

import io
import json
import math
from functools import partial
from typing import Any

import mlflow.pyfunc.scoring_server.client as scoring_client
import numpy as np
import pandas as pd
import requests
from mlflow.deployments import PredictionsResponse

from tests.qa.clients.conftest import IRIS, LOAN, soon
from tests.qa.peers.suite import Server, Suite, raised

SUITE = Suite("MLflow")

JSON, CSV, PARQUET = "application/json", "text/csv", "application/vnd.apache.parquet"
FLOWERS = [[*IRIS.values()], [6.7, 3.0, 5.2, 2.3]]
FRAME = pd.DataFrame(FLOWERS, columns=[*IRIS])
LOANS = pd.DataFrame([LOAN, {**LOAN, "Gender": "Female", "Credit_History": 0.0}])
BAD = (400, "BAD_REQUEST")
INVALID = (400, "INVALID_PARAMETER_VALUE")
STRICT = "a row that does not fit is refused with its row and field, not cast"
GUESSED = "CSV in another encoding is read, with a warning; its error is that of the value"
INDEX = "an index is not read; its rows are refused as values that do not fit"
CODE = "all that does not fit the inputs of a model is INVALID_PARAMETER_VALUE"


def post(server: Server, body: object, kind: str = JSON, model: str = "iris", **headers: str) -> requests.Response:
    data = body if isinstance(body, bytes | str) else json.dumps(body)
    asked = f"{server.address}/v1/models/{model}/invocations"
    return requests.post(asked, data=data, headers={"Content-Type": kind, **headers}, timeout=60)


def predictions(answer: requests.Response) -> Any:
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"].startswith(JSON)
    return answer.json()["predictions"]


def split(frame: pd.DataFrame) -> dict[str, Any]:
    """As pandas writes it, with NaN as null."""
    written: dict[str, Any] = json.loads(frame.to_json(orient="split", double_precision=15))
    return written


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    written: list[dict[str, Any]] = json.loads(frame.to_json(orient="records", double_precision=15))
    return written


def get(server: Server, path: str) -> requests.Response:
    return requests.get(f"{server.address}{path}", timeout=60)


def refused(answer: requests.Response, expected: tuple[int, str]) -> None:
    """An error of MLflow has its status, the name of its code, and a sentence."""
    body = answer.json()
    assert (answer.status_code, body["error_code"]) == expected, answer.text
    assert isinstance(body["message"], str) and body["message"]


# Addresses.


@SUITE.case("ping and health are 200 without content")
def _(server: Server) -> None:
    for path in ("/ping", "/health"):
        answer = soon(partial(get, server, path))
        assert (answer.status_code, answer.text.strip()) == (200, "")


@SUITE.case("version is a release of MLflow with this protocol")
def _(server: Server) -> None:
    answer = get(server, "/version")
    major, *rest = answer.text.split(".")
    assert (answer.status_code, int(major) >= 2, len(rest)) == (200, True, 2)


@SUITE.case("invocations takes only POST")
def _(server: Server) -> None:
    assert get(server, "/v1/models/iris/invocations").status_code == 405


@SUITE.case("ping takes only GET")
def _(server: Server) -> None:
    assert requests.post(f"{server.address}/ping", timeout=60).status_code == 405


@SUITE.case(
    "/invocations answers for the model", differs="of several models none is the only one; each has its own address"
)
def _(server: Server) -> None:
    answer = requests.post(f"{server.address}/invocations", json={"inputs": FLOWERS}, timeout=60)
    assert predictions(answer) == [0, 2]


# Content types.


def _taken(name: str, kind: str, body: object) -> None:
    @SUITE.case(name)
    def ask(server: Server) -> None:
        assert predictions(post(server, body, kind)) == [0, 2]


_CSV = FRAME.to_csv(index=False)
_taken("JSON", JSON, {"dataframe_split": split(FRAME)})
_taken("JSON; charset=UTF-8", f"{JSON}; charset=UTF-8", {"dataframe_split": split(FRAME)})
_taken("JSON;charset=utf-8 without a space", f"{JSON};charset=utf-8", {"dataframe_records": records(FRAME)})
_taken("CSV", CSV, _CSV)
_taken("CSV; charset=UTF-8", f"{CSV}; charset=UTF-8", _CSV)


def _not_taken(name: str, kind: str, body: object, differs: str = "") -> None:
    @SUITE.case(name, differs=differs)
    def ask(server: Server) -> None:
        assert post(server, body, kind).status_code == 415


_SPLIT = {"dataframe_split": split(FRAME)}
_not_taken("a type that there is not is 415", "not_a_supported_content_type", _SPLIT)
_not_taken("text/plain is 415", "text/plain", _SPLIT)
_not_taken("another charset of JSON is 415", f"{JSON}; charset=latin-1", _SPLIT)
_not_taken("another charset of CSV is 415", f"{CSV}; charset=utf-16", _CSV)
_not_taken("another parameter of JSON is 415", f"{JSON}; something=something", _SPLIT)
_not_taken("another parameter of CSV is 415", f"{CSV}; header=present", _CSV)
_not_taken("the formats of MLflow before 2.0 are 415", f"{JSON}; format=pandas-records", records(FRAME))


@SUITE.case("a 415 is plain text", differs="a 415 is an error of JSON, as MLflow's others are")
def _(server: Server) -> None:
    assert post(server, _SPLIT, "text/plain").headers["Content-Type"].startswith("text/plain")


@SUITE.case("Parquet", differs="Modelgate does not read Parquet")
def _(server: Server) -> None:
    file = io.BytesIO()
    FRAME.to_parquet(file)
    assert predictions(post(server, file.getvalue(), PARQUET)) == [0, 2]


@SUITE.case("what is no Parquet is 400", differs="Modelgate does not read Parquet, so that is a 415")
def _(server: Server) -> None:
    refused(post(server, b"no parquet", PARQUET), BAD)


# Shapes of rows.


def _shape(name: str, body: object, model: str = "iris", expected: object = None, differs: str = "") -> None:
    @SUITE.case(name, differs=differs)
    def ask(server: Server) -> None:
        found = predictions(post(server, body, model=model))
        assert found == ([0, 2] if expected is None else expected), found


_shape("split without an index", {"dataframe_split": {"columns": [*IRIS], "data": FLOWERS}})
_shape("split with an index that is not 0, 1, …", {"dataframe_split": split(FRAME.set_axis([7, 3]))})
_shape("split with columns in another order", {"dataframe_split": split(FRAME[[*IRIS][::-1]])})
_shape("split of 200 rows", {"dataframe_split": split(pd.concat([FRAME] * 100))}, expected=[0, 2] * 100)
_shape("records", {"dataframe_records": records(FRAME)})
_shape("records with keys in another order", {"dataframe_records": records(FRAME[[*IRIS][::-1]])})
_shape("instances as lists", {"instances": FLOWERS})
_shape("instances as objects", {"instances": records(FRAME)})
_shape("inputs as lists", {"inputs": FLOWERS})
_shape("inputs as columns", {"inputs": FRAME.to_dict(orient="list")})
_shape("inputs as objects", {"inputs": records(FRAME)})
_shape("inputs as one object", {"inputs": IRIS}, expected=[0])
_shape("split with texts and numbers", {"dataframe_split": split(LOANS)}, "loan", [1, 0])
_shape("records with texts and numbers", {"dataframe_records": records(LOANS)}, "loan", [1, 0])
_shape("inputs as columns with texts and numbers", {"inputs": LOANS.to_dict(orient="list")}, "loan", [1, 0])
_shape("digits that are text stay text", {"dataframe_records": [{**LOAN, "Dependents": "2"}]}, "loan", [1])
_shape(
    "whole numbers for numbers with a fraction",
    {"dataframe_split": {"columns": [*IRIS], "data": [[5, 3, 1, 0]]}},
    expected=[0],
)
_shape("null for a number that may be missing", {"dataframe_records": [{**LOAN, "LoanAmount": None}]}, "loan", [1])
_shape("NaN for a number that may be missing", {"dataframe_records": [{**LOAN, "LoanAmount": math.nan}]}, "loan", [1])
_shape("a column that no input has is ignored", {"dataframe_split": split(FRAME.assign(more=1))})
_shape("other keys beside the shape are ignored", {"dataframe_split": split(FRAME), "more": 1})


@SUITE.case("CSV with texts, numbers and columns in another order")
def _(server: Server) -> None:
    body = LOANS[[*LOAN][::-1]].to_csv(index=False)
    assert predictions(post(server, body, CSV, "loan")) == [1, 0]


@SUITE.case("CSV with quotes and a missing number")
def _(server: Server) -> None:
    body = LOANS.assign(LoanAmount=[math.nan, 110]).to_csv(index=False, quoting=2)
    assert predictions(post(server, body, CSV, "loan")) == [1, 0]


# What does not fit.


def _refused(name: str, body: object, expected: tuple[int, str], kind: str = JSON, differs: str = "") -> None:
    @SUITE.case(name, differs=differs)
    def ask(server: Server) -> None:
        refused(post(server, body, kind), expected)


_refused("what is no JSON is 400", "this is,,,, not valid json", BAD)
_refused("an empty body is 400", "", BAD)
_refused("bytes that are no UTF-8 are 400", b'{"inputs": [["\xff"]]}', BAD)
_refused("CSV that is no UTF-8 is 400", _CSV.replace("5.1", "é").encode("latin-1"), BAD, CSV, GUESSED)
_refused("empty CSV is 400", "", BAD, CSV)
for _value in (1, "1", None, [1], FLOWERS):
    _refused(f"{json.dumps(_value)} is no object: 400", json.dumps(_value), BAD)
_refused("an object with none of the shapes is 400", {"not": "a serialized dataframe"}, BAD)
_refused("two shapes are 400", {"dataframe_records": [], "dataframe_split": {"data": []}}, BAD)
_refused("a split that is a list is 400", {"dataframe_split": records(FRAME)}, BAD)
_refused("records that are an object are 400", {"dataframe_records": split(FRAME)}, BAD)
_refused(
    "an index of another length is 400",
    {"dataframe_split": {"index": [1, 2], "data": [[1], [2], [3]]}},
    BAD,
    differs=INDEX,
)
_refused(
    "rows of another length are 400", {"dataframe_split": {"columns": [*IRIS], "data": [[1, 2]]}}, BAD, differs=CODE
)
_refused("instances and inputs that are text are 400", {"instances": "abc"}, BAD)
_refused("a column too few is 400", {"dataframe_split": split(FRAME.drop(columns="petal_width"))}, INVALID)
_refused("CSV with a column too few is 400", FRAME.drop(columns="petal_width").to_csv(index=False), INVALID, CSV)
_refused("text for a number is 400", {"dataframe_records": [{**IRIS, "petal_width": "wide"}]}, BAD, differs=CODE)
_shape(
    "a boolean for a number is cast",
    {"dataframe_records": [{**IRIS, "petal_width": True}]},
    expected=[0],
    differs=STRICT,
)
_refused("no rows are 400", {"dataframe_split": {"columns": [*IRIS], "data": []}}, BAD, differs=CODE)


# Params and answers.


def _params(name: str, params: object, differs: str = "") -> None:
    @SUITE.case(name, differs=differs)
    def ask(server: Server) -> None:
        assert predictions(post(server, {"dataframe_split": split(FRAME), "params": params})) == [0, 2]


_params("params that the model has not are ignored", {"invalid_param": "value"})
_params("empty params", {})
_params("params that are null", None)
_params("params that are a list are ignored", ["a"], differs="params that are no object are refused")


@SUITE.case("the answer has predictions and nothing else")
def _(server: Server) -> None:
    assert post(server, {"inputs": FLOWERS}).json() == {"predictions": [0, 2]}


@SUITE.case(
    "so has that of a model with probabilities", differs="probabilities stand beside the predictions of such a model"
)
def _(server: Server) -> None:
    assert post(server, {"inputs": [LOAN]}, model="loan").json() == {"predictions": [1]}


# The client of scoring servers.


def client_of(server: Server, model: str = "") -> Any:
    """Return MLflow's client, with the address of a model."""
    client = scoring_client.ScoringServerClient("", 0)
    client.url_prefix = server.address + (f"/v1/models/{model}" if model else "")
    return client


@SUITE.case("the client waits for the server and has its version")
def _(server: Server) -> None:
    client = client_of(server)
    client.wait_server_ready(timeout=10)
    client.ping()
    assert client.get_version() == get(server, "/version").text


def _sent(name: str, data: Any, model: str = "iris", expected: object = None) -> None:
    @SUITE.case(name)
    def ask(server: Server) -> None:
        result = client_of(server, model).invoke(data)
        found, frame = result.get_predictions("ndarray"), result.get_predictions()
        assert isinstance(result, PredictionsResponse)
        assert found.tolist() == frame[0].tolist() == ([0, 2] if expected is None else expected)


_sent("the client sends a frame", FRAME)
_sent("the client sends an array", np.array(FLOWERS))
_sent("the client sends an array of float32", np.array(FLOWERS, np.float32))
_sent("the client sends lists", FLOWERS)
_sent("the client sends a frame of texts and numbers", LOANS, "loan", [1, 0])


@SUITE.case("the client sends params")
def _(server: Server) -> None:
    result = client_of(server, "iris").invoke(FRAME, params={"none": 1})
    assert json.loads(result.to_json()) == {"predictions": [0, 2]}


def _raises(name: str, frame: pd.DataFrame) -> None:
    @SUITE.case(name)
    def ask(server: Server) -> None:
        error = raised(lambda: client_of(server, "iris").invoke(frame))
        assert "error code 400" in str(error) and "error_code" in str(error)


_raises("the client raises with status and answer", FRAME.drop(columns="petal_width"))
_raises("the client sends a frame without names to a model with them", pd.DataFrame(FLOWERS))


SUITE.leave_out(
    "asks functions of MLflow, no server", "types of columns that functions read", "the command of a server"
)
SUITE.leave_out("asks a process through a pipe, no server", "the client of standard input")
SUITE.leave_out("iris, loan and boston have no such inputs", "inputs of times and bytes", "tensors as named inputs")
SUITE.leave_out("iris, loan and boston have no params of their own", "a param of a wrong type")
SUITE.leave_out("an API of language models", "bodies with messages, prompt or input", "params in such bodies")
SUITE.leave_out(
    "needs a server started with that setting", "a time limit of requests", "a model with its configuration"
)
