"""What each method and option of `tritonclient.http` asks of Triton: health, metadata, the repository, statistics and
settings, inference with its tensors, outputs and options, and the clients for later answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import requests
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput, InferResult, aio
from tritonclient.http.auth import BasicAuth
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from tests.qa.clients.conftest import IRIS, LOAN
from tests.qa.peers.suite import Server, Suite, raised

SUITE = Suite("tritonclient")

FLOWERS = np.array([[*IRIS.values()], [6.7, 3.0, 5.2, 2.3]])
LOANS = [LOAN, {**LOAN, "Gender": "Female", "Credit_History": 0.0}]
UNLOADED = "a model is never unloaded on request: workers drop what is not used when they need the memory"
NO_MEMORY = "there is no shared memory; tensors come in the body"
NO_SETTINGS = "tracing and logging are set by settings of Modelgate, not by clients"
Ask = Callable[[Any], object]


def connected(server: Server, **options: Any) -> Any:
    return InferenceServerClient(server.address.partition("://")[2], **options)


def tensor(name: str, values: Any, *, binary: bool = True, made: type = InferInput) -> Any:
    made_tensor: Any = made(name, list(values.shape), np_to_triton_dtype(values.dtype))
    if made is InferInput:
        return made_tensor.set_data_from_numpy(values, binary_data=binary)
    return made_tensor.set_data_from_numpy(values)


def flowers(*, binary: bool = True, made: type = InferInput) -> list[Any]:
    """One tensor a column, as the metadata of the model says."""
    return [tensor(name, FLOWERS[:, at : at + 1], binary=binary, made=made) for at, name in enumerate(IRIS)]


def loans(*, binary: bool = True, made: type = InferInput) -> list[Any]:
    kinds = {name: np.object_ if isinstance(value, str) else np.float64 for name, value in LOAN.items()}
    columns = {name: np.array([[row[name]] for row in LOANS], kind) for name, kind in kinds.items()}
    return [tensor(name, values, binary=binary, made=made) for name, values in columns.items()]


def classes(result: Any, name: str = "predict") -> list[int]:
    values = result.as_numpy(name)
    assert (values.dtype, values.shape) == (np.int64, (2, 1))
    found: list[int] = values.ravel().tolist()
    return found


def refused(ask: Callable[[], object], *statuses: str) -> None:
    error: Any = raised(ask)
    assert isinstance(error, InferenceServerException), repr(error)
    assert error.status() in statuses, f"{error.status()}: {error.message()}"
    assert error.message()


def calls(name: str, expected: object, ask: Ask, differs: str = "") -> None:
    """Add a case: a call of the client returns what is expected."""

    @SUITE.case(name, differs=differs)
    def _(server: Server) -> None:
        with connected(server) as client:
            found = ask(client)
            assert found == expected, found


def refuses(name: str, ask: Ask, *statuses: str, differs: str = "") -> None:
    """Add a case: a call of the client is refused with one of the statuses."""

    @SUITE.case(name, differs=differs)
    def _(server: Server) -> None:
        with connected(server) as client:
            refused(lambda: ask(client), *statuses)


# Health, metadata and configuration.

calls("is_server_live", True, lambda client: client.is_server_live())
calls("is_server_ready", True, lambda client: client.is_server_ready())
calls(
    "is_server_ready with headers and a query",
    True,
    lambda client: client.is_server_ready(headers={"x-test": "1"}, query_params={"a": [1, 2], "b": "c"}),
)
calls("is_model_ready", True, lambda client: client.is_model_ready("iris"))
calls("is_model_ready of a version", True, lambda client: client.is_model_ready("iris", "1"))
calls("is_model_ready of an unknown model", False, lambda client: client.is_model_ready("nothing"))
calls("is_model_ready of an unknown version", False, lambda client: client.is_model_ready("iris", "99"))
calls("get_server_metadata", {"name", "version", "extensions"}, lambda client: set(client.get_server_metadata()))
calls(
    "get_server_metadata names the extensions",
    True,
    lambda client: (
        {"classification", "model_repository", "model_configuration", "statistics", "binary_tensor_data"}
        <= set(client.get_server_metadata()["extensions"])
    ),
)
calls(
    "get_model_metadata",
    ("iris", ["1"], True, True),
    lambda client: (lambda found: (found["name"], found["versions"], bool(found["platform"]), bool(found["outputs"])))(
        client.get_model_metadata("iris")
    ),
)
calls(
    "get_model_metadata has tensors with name, datatype and shape",
    [(name, "FP64", [-1, 1]) for name in IRIS],
    lambda client: [
        (one["name"], one["datatype"], one["shape"]) for one in client.get_model_metadata("iris", "1")["inputs"]
    ],
)
refuses("get_model_metadata of an unknown model", lambda client: client.get_model_metadata("nothing"), "400", "404")
refuses("get_model_metadata of an unknown version", lambda client: client.get_model_metadata("iris", "9"), "400", "404")
calls(
    "get_model_config",
    ("iris", True),
    lambda client: (lambda found: (found["name"], found["max_batch_size"] > 0))(client.get_model_config("iris")),
)
calls(
    "get_model_config has tensors with name, data_type and dims",
    [(name, "TYPE_FP64", [1]) for name in IRIS],
    lambda client: [
        (one["name"], one["data_type"], one["dims"]) for one in client.get_model_config("iris", "1")["input"]
    ],
)
calls(
    "get_model_config has texts as TYPE_STRING",
    "TYPE_STRING",
    lambda client: client.get_model_config("loan")["input"][0]["data_type"],
)
refuses("get_model_config of an unknown model", lambda client: client.get_model_config("nothing"), "400", "404")

# The repository.

calls(
    "get_model_repository_index",
    ("iris", "1", "READY", ""),
    lambda client: next(
        (one["name"], one["version"], one["state"], one["reason"])
        for one in client.get_model_repository_index()
        if one["name"] == "iris"
    ),
)
calls("load_model", None, lambda client: client.load_model("iris"))
calls("load_model with a configuration", None, lambda client: client.load_model("iris", config="{}"))
refuses("load_model of an unknown model", lambda client: client.load_model("nothing"), "400", "404", "500")
calls("unload_model", None, lambda client: client.unload_model("iris"), differs=UNLOADED)
calls(
    "unload_model with what depends on it",
    None,
    lambda client: client.unload_model("iris", unload_dependents=True),
    differs=UNLOADED,
)

# Statistics and settings.


def _counts(client: Any, model: str = "iris") -> Any:
    (found,) = client.get_inference_statistics(model)["model_stats"]
    return found


@SUITE.case("get_inference_statistics counts rows and requests")
def _(server: Server) -> None:
    with connected(server) as client:
        before = _counts(client)
        client.infer("iris", flowers())
        after = _counts(client)
        assert (after["name"], after["version"]) == ("iris", "1")
        assert after["inference_count"] - before["inference_count"] == 2
        assert after["execution_count"] - before["execution_count"] == 1
        counts = [one["inference_stats"]["success"] for one in (before, after)]
        assert counts[1]["count"] - counts[0]["count"] == 1
        assert counts[1]["ns"] > counts[0]["ns"]


@SUITE.case(
    "get_inference_statistics has the time of each part of a request",
    differs="only the whole time of a request is counted by version",
)
def _(server: Server) -> None:
    with connected(server) as client:
        assert {"queue", "compute_input", "compute_infer", "compute_output"} <= set(_counts(client)["inference_stats"])


calls(
    "get_inference_statistics of all models",
    True,
    lambda client: {"iris", "loan"} <= {one["name"] for one in client.get_inference_statistics()["model_stats"]},
)
calls(
    "get_inference_statistics of a version",
    ["1"],
    lambda client: [one["version"] for one in client.get_inference_statistics("iris", "1")["model_stats"]],
)
refuses(
    "get_inference_statistics of an unknown model",
    lambda client: client.get_inference_statistics("nothing"),
    "400",
    "404",
)
_SETTINGS: dict[str, Ask] = {
    "get_trace_settings": lambda client: "trace_level" in client.get_trace_settings(),
    "get_trace_settings of a model": lambda client: "trace_level" in client.get_trace_settings("iris"),
    "update_trace_settings": lambda client: (
        client.update_trace_settings(settings={"trace_level": ["OFF"]})["trace_level"] == ["OFF"]
    ),
    "update_trace_settings of a model": lambda client: (
        client.update_trace_settings("iris", {"trace_rate": "1"})["trace_rate"] == "1"
    ),
    "get_log_settings": lambda client: "log_info" in client.get_log_settings(),
    "update_log_settings": lambda client: client.update_log_settings({"log_info": True})["log_info"] is True,
}
for _name, _ask in _SETTINGS.items():
    calls(_name, True, _ask, differs=NO_SETTINGS)
calls("get_system_shared_memory_status", [], lambda client: client.get_system_shared_memory_status(), differs=NO_MEMORY)
calls(
    "register_system_shared_memory",
    None,
    lambda client: client.register_system_shared_memory("peers", "/peers", 64),
    differs=NO_MEMORY,
)
calls(
    "unregister_system_shared_memory",
    None,
    lambda client: client.unregister_system_shared_memory("peers"),
    differs=NO_MEMORY,
)
calls(
    "unregister_system_shared_memory of all",
    None,
    lambda client: client.unregister_system_shared_memory(),
    differs=NO_MEMORY,
)


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


# Inference: tensors.

for _binary in (True, False):
    _way = "bytes" if _binary else "JSON"
    calls(
        f"infer with numbers as {_way}",
        [0, 2],
        lambda client, _binary=_binary: classes(client.infer("iris", flowers(binary=_binary))),
    )
    calls(
        f"infer with texts and numbers as {_way}",
        [1, 0],
        lambda client, _binary=_binary: classes(client.infer("loan", loans(binary=_binary))),
    )
    calls(
        f"infer with an output as {_way}",
        (True, [0, 2]),
        lambda client, _binary=_binary: (
            lambda result: (("data" in result.get_output("predict")) is not _binary, classes(result))
        )(client.infer("iris", flowers(), outputs=[InferRequestedOutput("predict", binary_data=_binary)])),
    )
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
refuses("infer with an input too few", lambda client: client.infer("iris", flowers()[1:]), "400")
refuses(
    "infer with an unknown input",
    lambda client: client.infer("iris", [*flowers()[:3], tensor("nothing", FLOWERS[:, 3:])]),
    "400",
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
for _name, _options in _OPTIONS.items():
    calls(
        f"infer with {_name}",
        [0, 2],
        lambda client, _options=_options: classes(client.infer("iris", flowers(), **_options)),
    )
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


SUITE.leave_out(
    "needs a GPU", "get_cuda_shared_memory_status", "register_cuda_shared_memory", "unregister_cuda_shared_memory"
)
SUITE.leave_out("the client itself cannot write the files of a model as JSON", "load_model with files")
SUITE.leave_out("needs a server with TLS", "ssl, ssl_options, ssl_context_factory and insecure")
