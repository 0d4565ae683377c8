"""What the tests of KServe's Python server ask over REST, version 2: tensors and metadata. `kserve.py` has the rest of
the suite, and says which tests these are.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from tests.qa.peers.rest import (
    FLOWERS,
    HEADER_LENGTH,
    INPUTS,
    MODELS,
    SPECIES,
    Tensor,
    content_type,
    flowers,
    get,
    holds,
    loan,
    output,
    post,
    same,
)
from tests.qa.peers.suite import Server, Suite

SUITE = Suite("KServe")

_INFER = "/v2/models/iris/infer"
_JSON = "application/json"


@SUITE.case("version 2: the models")
def _listed_v2(server: Server) -> None:
    same(get(server, "/v2/models").json(), {"models": MODELS})


@SUITE.case("version 2: parameters of any type")
def _parameters(server: Server) -> None:
    parameters = {"test-str": "dummy", "test-bool": True, "test-int": 100, "test-float": 1.3}
    answer = post(
        server, _INFER, {"id": "123", "parameters": parameters, "inputs": [flowers(parameters=parameters)]}
    ).json()
    same((answer["id"], answer["model_name"]), ("123", "iris"))
    (tensor,) = answer["outputs"]
    same((tensor["shape"], tensor["data"]), ([3, 1], SPECIES))


def _halves(name: str, columns: slice) -> tuple[Tensor, bytes]:
    """Return a tensor of bytes, and the bytes."""
    data = np.array(FLOWERS, np.float16)[:, columns].tobytes()
    shape = [3, len(range(*columns.indices(4)))]
    return {"name": name, "shape": shape, "datatype": "FP16", "parameters": {"binary_data_size": len(data)}}, data


def _mixed_body(binary: tuple[Tensor, bytes], *others: Tensor, **more: object) -> tuple[bytes, dict[str, str]]:
    """Return a body of which the first tensor comes as bytes, and its headers."""
    text = json.dumps({"id": "123", "inputs": [binary[0], *others], **more}).encode()
    return text + binary[1], {HEADER_LENGTH: str(len(text)), "Content-Type": "application/octet-stream"}


def _columns(*names: str) -> list[Tensor]:
    """Return these columns of the flowers in JSON."""
    columns = dict(zip(INPUTS, zip(*FLOWERS, strict=True), strict=True))
    return [{"name": name, "shape": [3], "datatype": "FP32", "data": columns[name]} for name in names]


@SUITE.case("version 2: one input as bytes of FP16, others in JSON")
def _half_as_bytes(server: Server) -> None:
    body, headers = _mixed_body(_halves(INPUTS[0], slice(0, 1)), *_columns(*INPUTS[1:]))
    answer = post(server, _INFER, body, headers=headers)
    content_type(answer, _JSON)
    same((answer.json()["id"], answer.json()["model_name"]), ("123", "iris"))
    same((output(answer)["shape"], output(answer)["data"]), ([3, 1], SPECIES))


@SUITE.case("version 2: FP16 in JSON", differs="numbers in JSON may also be called FP16")
def _half_in_json(server: Server) -> None:
    post(server, _INFER, {"inputs": [flowers(datatype="FP16")]}, 400)


def _asked(name: str, binary: bool | None = None) -> dict[str, Any]:
    return {"name": name} if binary is None else {"name": name, "parameters": {"binary_data": binary}}


def _loan_answer(server: Server, **more: object) -> tuple[list[Tensor], bytes, bool]:
    """Return the outputs, the bytes behind them, and whether the answer says where these begin."""
    answer = post(server, "/v2/models/loan/infer", {"id": "123", "inputs": loan(), **more})
    length = answer.headers.get(HEADER_LENGTH)
    described = json.loads(answer.content[: int(length)] if length else answer.content)
    same((described["id"], described["model_name"]), ("123", "loan"))
    return described["outputs"], answer.content[int(length) :] if length else b"", length is not None


def _half_binary(server: Server, **more: object) -> None:
    """The probabilities come as bytes and the predictions in JSON, in the order in which they were asked for."""
    asked = [_asked("predict_proba", True), _asked("predict", False)]
    (probabilities, predictions), data, _ = _loan_answer(server, outputs=asked, **more)
    same((probabilities["name"], predictions["name"]), ("predict_proba", "predict"))
    same((probabilities["shape"], probabilities["parameters"]["binary_data_size"]), ([1, 2], len(data)))
    holds("data" not in probabilities, probabilities)
    rows = np.frombuffer(data, np.float64)
    same(rows.round(6).tolist(), [round(value, 6) for value in _plain(server, "predict_proba")])
    same(predictions["data"], [int(rows.argmax())])
    holds("binary_data_size" not in predictions.get("parameters", {}), predictions)


def _plain(server: Server, name: str) -> list[float]:
    """Return what an output is in JSON."""
    values: list[float] = output(post(server, "/v2/models/loan/infer", {"inputs": loan()}), name)["data"]
    return values


@SUITE.case("version 2: one output as bytes, one in JSON")
def _one_output_as_bytes(server: Server) -> None:
    _half_binary(server)


@SUITE.case("version 2: an output's own parameter comes before the request's")
def _precedence(server: Server) -> None:
    _half_binary(server, parameters={"binary_data_output": True})


@SUITE.case("version 2: one of the outputs")
def _one_output(server: Server) -> None:
    (tensor,), data, has_bytes = _loan_answer(server, outputs=[_asked("predict", False)])
    same((tensor["name"], tensor["shape"], tensor["data"]), ("predict", [1, 1], _plain(server, "predict")))
    same((data, has_bytes), (b"", False))


@SUITE.case("version 2: all outputs as bytes")
def _all_as_bytes(server: Server) -> None:
    tensors, data, has_bytes = _loan_answer(server, parameters={"binary_data_output": True})
    same([tensor["name"] for tensor in tensors], ["predict", "predict_proba"])
    holds(has_bytes and not any("data" in tensor for tensor in tensors), tensors)
    sizes = [tensor["parameters"]["binary_data_size"] for tensor in tensors]
    same(sum(sizes), len(data))
    same(np.frombuffer(data[: sizes[0]], np.int64).tolist(), _plain(server, "predict"))
    same(np.frombuffer(data[sizes[0] :], np.float64).tolist(), _plain(server, "predict_proba"))


@SUITE.case("version 2: metadata of the server")
def _metadata(server: Server) -> None:
    metadata = get(server, "/v2").json()
    same((metadata["name"], set(metadata)), ("modelgate", {"name", "version", "extensions"}))
    holds("model_repository" in metadata["extensions"], metadata)


@SUITE.case("version 2: metadata of a model")
def _model_metadata(server: Server) -> None:
    metadata = get(server, "/v2/models/iris").json()
    same((metadata["name"], metadata["platform"]), ("iris", "sklearn"))
    same([tensor["name"] for tensor in metadata["inputs"]], INPUTS)
    same([tensor["name"] for tensor in metadata["outputs"]], ["predict"])


@SUITE.case("the client: version 2: infer")
def _client_v2(server: Server) -> None:
    own = {"test-param": "abc"}
    tensor = {"name": "input-0", "datatype": "FP32", "shape": [3, 4], "data": FLOWERS, "parameters": own}
    answer = post(server, _INFER, {"id": "2ja0ls9j1309", "parameters": own, "inputs": [tensor]})
    same((answer.json()["id"], answer.json()["outputs"][0]["data"]), ("2ja0ls9j1309", SPECIES))


@SUITE.case("the client: version 2: bytes of FP16 in, all outputs as bytes")
def _client_all_bytes(server: Server) -> None:
    body, headers = _mixed_body(
        _halves(INPUTS[0], slice(0, 1)), *_columns(*INPUTS[1:]), parameters={"test": "abc", "binary_data_output": True}
    )
    answer = post(server, _INFER, body, headers=headers)
    length = int(answer.headers[HEADER_LENGTH])
    same(json.loads(answer.content[:length])["id"], "123")
    same(np.frombuffer(answer.content[length:], np.int64).tolist(), SPECIES)


@SUITE.case("the client: version 2: bytes of FP16 in, an output in JSON")
def _client_bytes(server: Server) -> None:
    asked = [{"name": "output-0", "parameters": {"binary_data_output": True}}]
    body, headers = _mixed_body(_halves("input-0", slice(0, 4)), outputs=asked, parameters={"test": "abc"})
    answer = post(server, _INFER, body, headers=headers)
    same((answer.json()["id"], output(answer, "output-0")["data"]), ("123", SPECIES))
