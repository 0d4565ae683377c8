"""What each method and option of `tritonclient.grpc` asks of Triton."""

from __future__ import annotations

import asyncio
import queue
from typing import Any

import numpy as np
from tritonclient.grpc import (  # type: ignore[import-not-found]
    InferenceServerClient,
    InferInput,
    InferRequestedOutput,
    KeepAliveOptions,
    aio,
)
from tritonclient.grpc.auth import BasicAuth  # type: ignore[import-not-found]

from tests.qa.clients.conftest import IRIS, soon
from tests.qa.peers import triton
from tests.qa.peers.suite import Server, Suite
from tests.qa.peers.triton import FLOWERS, NO_MEMORY, NO_SETTINGS, UNLOADED, Ask, classes, refused

SUITE = Suite("tritonclient[grpc]")
NO_STREAM = "ModelStreamInfer is not served: each request is a call of its own"
INVALID, NOT_FOUND = "StatusCode.INVALID_ARGUMENT", "StatusCode.NOT_FOUND"


def connected(server: Server, **options: Any) -> Any:
    assert server.grpc, "there is no gRPC server"
    return InferenceServerClient(server.grpc, **options)


def flowers(times: int = 1) -> list[Any]:
    return triton.flowers(made=InferInput, times=times)


def loans() -> list[Any]:
    return triton.loans(made=InferInput)


def calls(name: str, expected: object, ask: Ask, differs: str = "") -> None:
    @SUITE.case(name, differs=differs)
    def _(server: Server) -> None:
        with connected(server) as client:
            found = ask(client)
            assert found == expected, found


def refuses(name: str, ask: Ask, *statuses: str, differs: str = "") -> None:
    @SUITE.case(name, differs=differs)
    def _(server: Server) -> None:
        with connected(server) as client:
            refused(lambda: ask(client), *statuses)


# Health, metadata and configuration.

calls("is_server_live", True, lambda client: client.is_server_live(headers={"a": "b"}, client_timeout=30))
calls("is_server_ready", True, lambda client: soon(client.is_server_ready))
calls("is_model_ready", True, lambda client: client.is_model_ready("iris"))
calls("is_model_ready of a version", True, lambda client: client.is_model_ready("iris", "1"))
calls("is_model_ready of an unknown model", False, lambda client: client.is_model_ready("nothing"))
calls(
    "get_server_metadata", {"name", "version", "extensions"}, lambda client: {*client.get_server_metadata(as_json=True)}
)
calls(
    "get_model_metadata",
    [(name, "FP64", [-1, 1]) for name in IRIS],
    lambda client: [(one.name, one.datatype, [*one.shape]) for one in client.get_model_metadata("iris", "1").inputs],
)
calls(
    "get_model_metadata as JSON",
    ("iris", ["1"]),
    lambda client: tuple(client.get_model_metadata("iris", as_json=True)[name] for name in ("name", "versions")),
)
refuses("get_model_metadata of an unknown model", lambda client: client.get_model_metadata("nothing"), NOT_FOUND)
calls(
    "get_model_config",
    [(name, [1]) for name in IRIS],
    lambda client: [(one.name, [*one.dims]) for one in client.get_model_config("iris", "1").config.input],
)
calls(
    "get_model_config as JSON",
    ("iris", "TYPE_STRING"),
    lambda client: (
        client.get_model_config("iris", as_json=True)["config"]["name"],
        client.get_model_config("loan", as_json=True)["config"]["input"][0]["data_type"],
    ),
)
refuses("get_model_config of an unknown model", lambda client: client.get_model_config("nothing"), NOT_FOUND)

# The repository, statistics and settings.

calls(
    "get_model_repository_index",
    ("1", "READY", ""),
    lambda client: next(
        (one.version, one.state, one.reason) for one in client.get_model_repository_index().models if one.name == "iris"
    ),
)
calls(
    "get_model_repository_index as JSON",
    True,
    lambda client: (
        {"iris", "loan"} <= {one["name"] for one in client.get_model_repository_index(as_json=True)["models"]}
    ),
)
calls("load_model", None, lambda client: client.load_model("iris"))
calls("load_model with a configuration", None, lambda client: client.load_model("iris", config="{}"))
refuses("load_model of an unknown model", lambda client: client.load_model("nothing"), NOT_FOUND, INVALID)
calls("unload_model", None, lambda client: client.unload_model("iris"), differs=UNLOADED)
calls(
    "unload_model with what depends on it",
    None,
    lambda client: client.unload_model("iris", unload_dependents=True),
    differs=UNLOADED,
)
calls(
    "get_inference_statistics",
    ("iris", "1", True),
    lambda client: (lambda one: (one.name, one.version, one.inference_count >= 0))(
        client.get_inference_statistics("iris", "1").model_stats[0]
    ),
)
calls(
    "get_inference_statistics of all models as JSON",
    True,
    lambda client: (
        {"iris", "loan"} <= {one["name"] for one in client.get_inference_statistics(as_json=True)["model_stats"]}
    ),
)
refuses(
    "get_inference_statistics of an unknown model", lambda client: client.get_inference_statistics("nothing"), NOT_FOUND
)
_SETTINGS: dict[str, Ask] = {
    "get_trace_settings": lambda client: "trace_level" in client.get_trace_settings().settings,
    "update_trace_settings": lambda client: bool(
        client.update_trace_settings("iris", {"trace_level": ["OFF"]}).settings["trace_level"].value
    ),
    "get_log_settings": lambda client: "log_info" in client.get_log_settings().settings,
    "update_log_settings": lambda client: (
        client.update_log_settings({"log_info": True}).settings["log_info"].bool_param
    ),
}
for _name, _ask in _SETTINGS.items():
    calls(_name, True, _ask, differs=NO_SETTINGS)
calls(
    "get_system_shared_memory_status",
    0,
    lambda client: len(client.get_system_shared_memory_status().regions),
    differs=NO_MEMORY,
)
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

# Inference.

calls("infer with numbers", [0, 2], lambda client: classes(client.infer("iris", flowers())))
calls("infer with texts and numbers", [1, 0], lambda client: classes(client.infer("loan", loans())))
calls(
    "infer with an output that is asked for",
    (["predict_proba"], None),
    lambda client: (lambda result: ([one.name for one in result.get_response().outputs], result.as_numpy("predict")))(
        client.infer("loan", loans(), outputs=[InferRequestedOutput("predict_proba")])
    ),
)
calls(
    "infer with an output as a message",
    ("predict", "INT64", [2, 1]),
    lambda client: (lambda one: (one.name, one.datatype, [*one.shape]))(
        client.infer("iris", flowers()).get_output("predict")
    ),
)
calls(
    "infer with the answer as JSON",
    [("predict", "INT64", ["2", "1"])],
    lambda client: [
        (one["name"], one["datatype"], one["shape"])
        for one in client.infer("iris", flowers()).get_response(as_json=True)["outputs"]
    ],
)
calls(
    "infer echoes model, version and id",
    ("iris", "1", "7"),
    lambda client: (lambda found: (found.model_name, found.model_version, found.id))(
        client.infer("iris", flowers(), request_id="7").get_response()
    ),
)
calls(
    "infer without an id answers without one",
    "",
    lambda client: client.infer("iris", flowers()).get_response().id,
)
calls(
    "infer with the highest class",
    [b"1", b"0"],
    lambda client: [
        cell.split(b":")[2]
        for cell in client.infer("loan", loans(), outputs=[InferRequestedOutput("predict_proba", class_count=1)])
        .as_numpy("predict_proba")
        .ravel()
    ],
)
_OPTIONS: dict[str, dict[str, Any]] = {
    "model_version": {"model_version": "1"},
    "sequence_id, sequence_start and sequence_end": {"sequence_id": 1, "sequence_start": True, "sequence_end": True},
    "a sequence_id that is text": {"sequence_id": "a"},
    "priority": {"priority": 1},
    "timeout": {"timeout": 30_000_000},
    "client_timeout": {"client_timeout": 30},
    "parameters": {"parameters": {"a": "b", "c": 1, "d": True}},
    "headers": {"headers": {"x-request-id": "peers"}},
    "compression_algorithm gzip": {"compression_algorithm": "gzip"},
    "compression_algorithm deflate": {"compression_algorithm": "deflate"},
}


def _with(option: str, options: dict[str, Any]) -> None:
    calls(f"infer with {option}", [0, 2], lambda client: classes(client.infer("iris", flowers(), **options)))


for _option, _values in _OPTIONS.items():
    _with(_option, _values)
refuses(
    "infer with a client_timeout that passes",
    # gRPC rounds it up to a millisecond, in which a few rows may be answered.
    lambda client: client.infer("iris", flowers(4000), client_timeout=0.000_001),
    "StatusCode.DEADLINE_EXCEEDED",
)
refuses("infer with an unknown model", lambda client: client.infer("nothing", flowers()), NOT_FOUND)
refuses("infer with an unknown version", lambda client: client.infer("iris", flowers(), "9"), NOT_FOUND, INVALID)
refuses(
    "infer with an unknown output",
    lambda client: client.infer("iris", flowers(), outputs=[InferRequestedOutput("nothing")]),
    INVALID,
    differs="an output is a method of the model: one that it has not is NOT_FOUND",
)
refuses("infer with an input too few", lambda client: client.infer("iris", flowers()[1:]), INVALID)
refuses(
    "infer with an unknown input",
    lambda client: client.infer("iris", [*flowers()[:3], triton.tensor("nothing", FLOWERS[:, 3:], made=InferInput)]),
    INVALID,
)
refuses(
    "infer with another datatype",
    lambda client: client.infer(
        "iris",
        [
            triton.tensor(name, FLOWERS[:, at : at + 1].astype(np.float32), made=InferInput)
            for at, name in enumerate(IRIS)
        ],
    ),
    INVALID,
    differs="numbers of any type are taken; the signature decides what becomes of them",
)
refuses(
    "infer without data",
    lambda client: client.infer("iris", [InferInput(name, [2, 1], "FP64") for name in IRIS]),
    INVALID,
)


def _into_memory() -> Any:
    output = InferRequestedOutput("predict")
    output.set_shared_memory("peers", 16)
    return output


def _in_memory() -> list[Any]:
    made = flowers()
    made[0].set_shared_memory("peers", 16)
    return made


refuses("infer from a region that is not registered", lambda client: client.infer("iris", _in_memory()), INVALID)
refuses(
    "infer into a region that is not registered",
    lambda client: client.infer("iris", flowers(), outputs=[_into_memory()]),
    INVALID,
)

# Other ways to ask.


@SUITE.case("async_infer")
def _(server: Server) -> None:
    done: queue.Queue[Any] = queue.Queue()
    with connected(server) as client:
        for at in range(8):
            client.async_infer("iris", flowers(), lambda result, error: done.put((result, error)), request_id=str(at))
        answers = [done.get(timeout=60) for _ in range(8)]
    assert [error for _, error in answers] == [None] * 8
    assert {result.get_response().id for result, _ in answers} == {*map(str, range(8))}
    assert all(classes(result) == [0, 2] for result, _ in answers)


@SUITE.case("async_infer with an error")
def _(server: Server) -> None:
    done: queue.Queue[Any] = queue.Queue()
    with connected(server) as client:
        client.async_infer("nothing", flowers(), lambda result, error: done.put((result, error)))
        result, error = done.get(timeout=60)
    assert (result, error.status()) == (None, NOT_FOUND)


@SUITE.case("async_infer that is cancelled")
def _(server: Server) -> None:
    done: queue.Queue[Any] = queue.Queue()
    with connected(server) as client:
        client.async_infer("iris", flowers(), lambda result, error: done.put((result, error))).cancel()
        result, error = done.get(timeout=60)
    assert result is None and "cancelled" in error.message().lower()


@SUITE.case("start_stream, async_stream_infer and stop_stream", differs=NO_STREAM)
def _(server: Server) -> None:
    done: queue.Queue[Any] = queue.Queue()
    with connected(server) as client:
        client.start_stream(lambda result, error: done.put((result, error)), stream_timeout=30)
        client.async_stream_infer("iris", flowers(), request_id="7")
        result, error = done.get(timeout=60)
        client.stop_stream()
    assert error is None and classes(result) == [0, 2]


@SUITE.case("a plugin that signs in, and keep-alive options")
def _(server: Server) -> None:
    with connected(server, keepalive_options=KeepAliveOptions(keepalive_time_ms=60_000)) as client:
        client.register_plugin(BasicAuth("name", "word"))
        assert client.is_server_live()
        assert classes(client.infer("iris", flowers())) == [0, 2]


@SUITE.case("asyncio")
def _(server: Server) -> None:
    assert server.grpc, "there is no gRPC server"

    async def ask() -> tuple[Any, ...]:
        async with aio.InferenceServerClient(server.grpc) as client:
            results = await asyncio.gather(*[client.infer("iris", flowers()) for _ in range(4)])
            return await client.is_model_ready("iris"), [*map(classes, results)]

    assert asyncio.run(ask()) == (True, [[0, 2]] * 4)


@SUITE.case("asyncio's stream_infer", differs=NO_STREAM)
def _(server: Server) -> None:
    assert server.grpc, "there is no gRPC server"

    async def ask() -> list[Any]:
        async def sent() -> Any:
            yield {"model_name": "iris", "inputs": flowers()}

        async with aio.InferenceServerClient(server.grpc) as client:
            return [answer async for answer in client.stream_infer(sent())]

    ((result, error),) = asyncio.run(ask())
    assert error is None and classes(result) == [0, 2]


SUITE.leave_out(
    "needs a GPU", "get_cuda_shared_memory_status", "register_cuda_shared_memory", "unregister_cuda_shared_memory"
)
SUITE.leave_out("a model is not sent with the request that loads it", "load_model with files")
SUITE.leave_out("needs a server with TLS", "ssl, root_certificates, private_key, certificate_chain and creds")
