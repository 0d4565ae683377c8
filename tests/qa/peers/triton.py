"""What each method of `tritonclient.http` but those that infer asks of Triton: health, metadata, the repository,
statistics and settings."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from tritonclient.http import InferenceServerClient, InferInput  # type: ignore[import-not-found]
from tritonclient.utils import InferenceServerException, np_to_triton_dtype  # type: ignore[import-not-found]

from tests.qa.clients.conftest import IRIS, LOAN, soon
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


def flowers(*, binary: bool = True, made: type = InferInput, times: int = 1) -> list[Any]:
    """One tensor a column, as the metadata of the model says."""
    rows = np.tile(FLOWERS, (times, 1))
    return [tensor(name, rows[:, at : at + 1], binary=binary, made=made) for at, name in enumerate(IRIS)]


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
calls("is_server_ready", True, lambda client: soon(client.is_server_ready))
calls(
    "is_server_ready with headers and a query",
    True,
    lambda client: soon(lambda: client.is_server_ready(headers={"x-test": "1"}, query_params={"a": [1, 2], "b": "c"})),
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


def _settled(client: Any, rows: int = 0, successes: int = 0) -> Any:
    """Return the statistics once they count as much and stay the same: processes write theirs every second or so."""
    end, before = time.monotonic() + 300, None
    while True:
        found = _counts(client)
        counts_all = found["inference_count"] >= rows and found["inference_stats"]["success"]["count"] >= successes
        if (counts_all and found == before) or time.monotonic() > end:
            return found
        before = found
        time.sleep(3)


@SUITE.case("get_inference_statistics counts rows and requests")
def _(server: Server) -> None:
    with connected(server) as client:
        before = _settled(client)
        client.infer("iris", flowers())
        successes = before["inference_stats"]["success"]["count"]
        after = _settled(client, before["inference_count"] + 2, successes + 1)
        assert (after["name"], after["version"]) == ("iris", "1")
        assert after["inference_count"] - before["inference_count"] == 2
        assert after["execution_count"] - before["execution_count"] == 1
        old, new = (one["inference_stats"]["success"] for one in (before, after))
        assert (new["count"] - old["count"], new["ns"] > old["ns"]) == (1, True)


@SUITE.case("get_inference_statistics counts no refused request as a success")
def _(server: Server) -> None:
    with connected(server) as client:
        before = _settled(client)
        raised(lambda: client.infer("iris", flowers()[1:]))
        after = _settled(client)
        assert after["inference_stats"]["success"] == before["inference_stats"]["success"]


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


SUITE.leave_out(
    "needs a GPU", "get_cuda_shared_memory_status", "register_cuda_shared_memory", "unregister_cuda_shared_memory"
)
SUITE.leave_out("the client itself cannot write the files of a model as JSON", "load_model with files")
SUITE.leave_out("needs a server with TLS", "ssl, ssl_options, ssl_context_factory and insecure")
