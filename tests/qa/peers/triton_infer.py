"""What `infer`, `async_infer` and their options of `tritonclient.http` ask of Triton: tensors, outputs, and the other
clients."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import numpy as np
import requests
from tritonclient.http import (  # type: ignore[import-not-found]
    InferenceServerClient,
    InferInput,
    InferRequestedOutput,
    InferResult,
    aio,
)
from tritonclient.http.auth import BasicAuth  # type: ignore[import-not-found]

from tests.qa.clients.conftest import IRIS
from tests.qa.peers.suite import Server
from tests.qa.peers.triton import FLOWERS, calls, classes, connected, flowers, loans, refused, refuses, tensor
from tests.qa.peers.triton import SUITE as SUITE

UNFIT = "rows that do not fit the inputs of a model are 422, as in all protocols but MLflow's"


# Inference: tensors.


def _as(way: str, binary: bool) -> None:
    def output(client: Any) -> tuple[bool, list[int]]:
        result = client.infer("iris", flowers(), outputs=[InferRequestedOutput("predict", binary_data=binary)])
        return "data" in result.get_output("predict"), classes(result)

    calls(f"infer with numbers as {way}", [0, 2], lambda client: classes(client.infer("iris", flowers(binary=binary))))
    calls(
        f"infer with texts and numbers as {way}",
        [1, 0],
        lambda client: classes(client.infer("loan", loans(binary=binary))),
    )
    calls(f"infer with an output as {way}", (not binary, [0, 2]), output)


_as("bytes", True)
_as("JSON", False)
calls(
    "infer with bytes and JSON in one request",
    [0, 2],
    lambda client: classes(client.infer("iris", [*flowers()[:2], *flowers(binary=False)[2:]])),
)
calls("infer with the inputs in another order", [0, 2], lambda client: classes(client.infer("iris", flowers()[::-1])))
calls(
    "infer with texts as bytes of NumPy",
    [1, 0],
    lambda client: classes(
        client.infer("loan", [tensor("Gender", np.array([[b"Male"], [b"Female"]], np.object_)), *loans()[1:]])
    ),
)
refuses(
    "infer with another datatype",
    lambda client: client.infer(
        "iris", [tensor(name, FLOWERS[:, at : at + 1].astype(np.float32)) for at, name in enumerate(IRIS)]
    ),
    "400",
    differs="numbers of any type are taken; the signature decides what becomes of them",
)
refuses(
    "infer with another shape",
    lambda client: client.infer(
        "iris", [tensor(name, FLOWERS[:, at : at + 1].reshape(1, 2)) for at, name in enumerate(IRIS)]
    ),
    "400",
)
refuses(
    "infer with inputs of different lengths",
    lambda client: client.infer("iris", [tensor("sepal_length", FLOWERS[:1, :1]), *flowers()[1:]]),
    "400",
)
refuses("infer with an input too few", lambda client: client.infer("iris", flowers()[1:]), "400", differs=UNFIT)
refuses(
    "infer with an unknown input",
    lambda client: client.infer("iris", [*flowers()[:3], tensor("nothing", FLOWERS[:, 3:])]),
    "400",
    differs=UNFIT,
)
refuses(
    "infer without data",
    lambda client: client.infer("iris", [InferInput(name, [2, 1], "FP64") for name in IRIS]),
    "400",
)
refuses("infer without inputs", lambda client: client.infer("iris", []), "400")


@SUITE.case("infer again with an input of another shape")
def _(server: Server) -> None:
    inputs = flowers()
    with connected(server) as client:
        assert classes(client.infer("iris", inputs)) == [0, 2]
        for at, one in enumerate(inputs):
            one.set_shape([3, 1]).set_data_from_numpy(FLOWERS[[1, 0, 1], at : at + 1])
        assert client.infer("iris", inputs).as_numpy("predict").ravel().tolist() == [2, 0, 2]


def _in_memory() -> Any:
    made = flowers()
    made[0].set_shared_memory("peers", 16)
    return made


refuses("infer from a region that is not registered", lambda client: client.infer("iris", _in_memory()), "400", "404")
refuses(
    "infer into a region that is not registered",
    lambda client: client.infer("iris", flowers(), outputs=[_into_memory()]),
    "400",
    "404",
)


def _into_memory() -> Any:
    output = InferRequestedOutput("predict")
    output.set_shared_memory("peers", 16, offset=0)
    return output


# Inference: outputs and options.

calls(
    "infer with an output that is asked for",
    (["predict_proba"], None),
    lambda client: (
        lambda result: ([one["name"] for one in result.get_response()["outputs"]], result.as_numpy("predict"))
    )(client.infer("loan", loans(), outputs=[InferRequestedOutput("predict_proba")])),
)
calls(
    "infer with outputs as bytes and JSON",
    ([1, 0], (2, 2)),
    lambda client: (lambda result: (classes(result), result.as_numpy("predict_proba").shape))(
        client.infer(
            "loan",
            loans(),
            outputs=[InferRequestedOutput("predict_proba", binary_data=False), InferRequestedOutput("predict")],
        )
    ),
)
calls(
    "infer without outputs answers those of the metadata",
    True,
    lambda client: (
        [one["name"] for one in client.infer("loan", loans()).get_response()["outputs"]]
        == [one["name"] for one in client.get_model_metadata("loan")["outputs"]]
    ),
)
refuses(
    "infer with an unknown output",
    lambda client: client.infer("iris", flowers(), outputs=[InferRequestedOutput("nothing")]),
    "400",
    differs="an output is a method of the model: one that it has not is 404",
)


def best(client: Any, most: int, **options: Any) -> list[tuple[str, str]]:
    output = InferRequestedOutput("predict_proba", class_count=most, **options)
    found = client.infer("loan", loans(), outputs=[output]).as_numpy("predict_proba")
    parts = [cell.decode().split(":") if isinstance(cell, bytes) else cell.split(":") for cell in found[0]]
    assert found.shape == (2, min(most, 2)) and [float(part[0]) for part in parts] == sorted(
        (float(part[0]) for part in parts), reverse=True
    )
    return [(part[1], part[2]) for part in parts]


calls("infer with the highest class", [("1", "1")], lambda client: best(client, 1))
calls("infer with the highest class in JSON", [("1", "1")], lambda client: best(client, 1, binary_data=False))
calls("infer with more classes than there are", [("1", "1"), ("0", "0")], lambda client: best(client, 9))

_OPTIONS: dict[str, dict[str, Any]] = {
    "model_version": {"model_version": "1"},
    "request_id": {"request_id": "7 of 9"},
    "sequence_id, sequence_start and sequence_end": {"sequence_id": 1, "sequence_start": True, "sequence_end": True},
    "a sequence_id that is text": {"sequence_id": "a"},
    "priority": {"priority": 1},
    "timeout": {"timeout": 30_000_000},
    "parameters": {"parameters": {"a": "b", "c": 1, "d": True}},
    "headers": {"headers": {"x-request-id": "peers"}},
    "query_params": {"query_params": {"a": "b", "c": [1, 2]}},
    "request_compression_algorithm gzip": {"request_compression_algorithm": "gzip"},
    "request_compression_algorithm deflate": {"request_compression_algorithm": "deflate"},
    "response_compression_algorithm gzip": {"response_compression_algorithm": "gzip"},
    "response_compression_algorithm deflate": {"response_compression_algorithm": "deflate"},
}


def _with(option: str, options: dict[str, Any]) -> None:
    calls(f"infer with {option}", [0, 2], lambda client: classes(client.infer("iris", flowers(), **options)))


for _option, _values in _OPTIONS.items():
    _with(_option, _values)
calls(
    "infer echoes model, version and id",
    ("iris", "1", "7"),
    lambda client: tuple(
        client.infer("iris", flowers(), request_id="7").get_response()[name]
        for name in ("model_name", "model_version", "id")
    ),
)
calls(
    "infer without an id answers without one",
    False,
    lambda client: "id" in client.infer("iris", flowers()).get_response(),
    differs="an answer always has an id, that of the job if the request has none",
)
refuses("infer with an unknown model", lambda client: client.infer("nothing", flowers()), "400", "404")
refuses("infer with an unknown version", lambda client: client.infer("iris", flowers(), "9"), "400", "404")

# Other ways to ask.


@SUITE.case("generate_request_body and parse_response_body")
def _(server: Server) -> None:
    body, length = InferenceServerClient.generate_request_body(flowers(), request_id="7")
    headers = {"Inference-Header-Content-Length": str(length), "Content-Type": "application/octet-stream"}
    answer = requests.post(f"{server.address}/v2/models/iris/infer", body, headers=headers, timeout=60)
    size = int(answer.headers["Inference-Header-Content-Length"])
    parsed: Any = InferenceServerClient.parse_response_body(answer.content, header_length=size)
    assert isinstance(parsed, InferResult)
    assert (classes(parsed), json.loads(answer.content[:size])["id"]) == ([0, 2], "7")


@SUITE.case("async_infer")
def _(server: Server) -> None:
    with connected(server, concurrency=4) as client:
        later = [client.async_infer("iris", flowers(), request_id=str(at)) for at in range(8)]
        found = [one.get_result(block=True, timeout=60) for one in later]
        assert [one.get_response()["id"] for one in found] == [*map(str, range(8))]
        assert all(classes(one) == [0, 2] for one in found)


@SUITE.case("async_infer with an error")
def _(server: Server) -> None:
    with connected(server) as client:
        refused(client.async_infer("nothing", flowers()).get_result, "400", "404")


@SUITE.case("a plugin that signs in")
def _(server: Server) -> None:
    with connected(server) as client:
        client.register_plugin(BasicAuth("name", "word"))
        assert client.is_server_live()
        assert classes(client.infer("iris", flowers())) == [0, 2]


@SUITE.case("asyncio")
def _(server: Server) -> None:
    async def ask() -> tuple[Any, ...]:
        async with aio.InferenceServerClient(server.address.partition("://")[2]) as client:
            results = await asyncio.gather(*[client.infer("iris", flowers()) for _ in range(4)])
            index = await client.get_model_repository_index()
            return await client.is_model_ready("iris"), [*map(classes, results)], bool(index)

    assert asyncio.run(ask()) == (True, [[0, 2]] * 4, True)
