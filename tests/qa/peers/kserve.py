"""What the tests of KServe's Python server ask over REST, versions 1 and 2: `python/kserve/test/test_server.py`,
`test_rest_server.py`, `test_model_repository_extension.py`, and the parts of `test_dataplane.py`,
`test_inference_client.py` and `test_header_forwarding.py` that speak of HTTP. https://github.com/kserve/kserve
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import requests

from tests.qa.peers import kserve_v2
from tests.qa.peers.rest import (
    FLOWERS,
    INPUTS,
    MODELS,
    SPECIES,
    UNKNOWN,
    content_type,
    get,
    holds,
    names_in_error,
    post,
    ready,
    same,
)
from tests.qa.peers.suite import Server

SUITE = kserve_v2.SUITE

_JSON = "application/json"
_NO_EVENTS = "Modelgate knows no CloudEvents"
_NO_UNLOAD = "no model is unloaded on request"
_PREDICT, _EXPLAIN, _INFER = "/v1/models/iris:predict", "/v1/models/iris:explain", "/v2/models/iris/infer"
_BODY = b'{"instances":[[5.1,3.5,1.4,0.2]]}'


def _alive(server: Server) -> None:
    same(get(server, "/").json(), {"status": "alive"})


def _listed_v1(server: Server) -> None:
    same(get(server, "/v1/models").json()["models"], MODELS)


def _described_v1(server: Server) -> None:
    described = get(server, "/v1/models/iris").json()
    same((described["name"], described["ready"]), ("iris", True))


def _predicted(server: Server) -> None:
    answer = post(server, _PREDICT, _BODY)
    content_type(answer, _JSON)
    same(answer.json(), {"predictions": SPECIES[:1]})


def _explained(server: Server) -> None:
    answer = post(server, _EXPLAIN, _BODY)
    content_type(answer, _JSON)
    (explanation,) = answer.json()["explanations"]
    same(list(explanation["contributions"]), INPUTS)


def _inferred(server: Server) -> None:
    rows = [{"name": "input-0", "shape": [1, 4], "datatype": "FP32", "data": FLOWERS[1:2]}]
    answer = post(server, _INFER, {"inputs": rows})
    content_type(answer, _JSON)
    same(answer.json()["outputs"][0]["data"], SPECIES[1:2])


for _name, _ask in {
    "version 1: the server lives": _alive,
    "version 1: the models": _listed_v1,
    "version 1: predict": _predicted,
    "version 1: explain": _explained,
    "version 2: infer": _inferred,
    "behind Ray: the server lives": _alive,
    "behind Ray: the models": _listed_v1,
    "behind Ray: a model": _described_v1,
    "behind Ray: predict": _predicted,
    "behind Ray: infer": _inferred,
    "behind Ray: explain": _explained,
}.items():
    SUITE.case(_name)(_ask)


@SUITE.case("version 1: a model")
def _model(server: Server) -> None:
    get(server, "/v1/models/iris")


@SUITE.case("version 1: a model that there is not", differs="this address is Modelgate's own, with problem documents")
def _unknown_model(server: Server) -> None:
    names_in_error(get(server, f"/v1/models/{UNKNOWN}", 404), UNKNOWN)


@SUITE.case("version 1: an address that there is not")
def _unknown_path(server: Server) -> None:
    holds(get(server, "/unknown_path", 404).json().get("detail"), "no detail")


@SUITE.case("version 1: metrics")
def _metrics(server: Server) -> None:
    holds(get(server, "/metrics").content, "nothing")


@SUITE.case("bodies that are none", differs="what is no list of rows is 422, as rows that do not fit")
def _bodies(server: Server) -> None:
    post(server, _PREDICT, {"instances": "invalid"}, 400)
    post(server, _INFER, {"inputs": "invalid"}, 400)


SUITE.leave_out("no model of Modelgate answers FP16", "version 2: an output of FP16 in JSON")
SUITE.leave_out(
    "no model of Modelgate answers times", "version 1: an output that is a time", "version 2: an output that is a time"
)
SUITE.leave_out("a model that answers piece by piece", "version 1: a stream")


_EVENT = {
    "id": "36077800-0c23-4f38-a0b4-01f4369f670a",
    "source": "https://example.com/flowers",
    "specversion": "1.0",
    "time": "2021-01-28T21:04:43.144141+00:00",
    "type": "com.example.flowers",
}


def _structured(server: Server, **attributes: str) -> dict[str, Any]:
    """Return the answer to an event that is the body."""
    event = {**_EVENT, **attributes, "data": {"instances": FLOWERS[:1]}}
    answer = post(server, _PREDICT, event, headers={"Content-Type": "application/cloudevents+json"})
    content_type(answer, "application/cloudevents+json")
    body: dict[str, Any] = answer.json()
    holds(body["id"] != _EVENT["id"], body)
    same(body["data"], {"predictions": SPECIES[:1]})
    return body


def _binary(server: Server, body: bytes, status: int = 200, more: Mapping[str, str] | None = None) -> requests.Response:
    """Return the answer to an event whose attributes are headers, `more` as well."""
    headers = {f"ce-{name}": value for name, value in {**_EVENT, **(more or {})}.items()}
    return post(server, _PREDICT, body, status, headers)


def _binary_answer(server: Server, body: bytes, **attributes: str) -> requests.Response:
    answer = _binary(server, body, more=attributes)
    content_type(answer, _JSON)
    same(answer.json(), {"predictions": SPECIES[:1]})
    same(answer.headers.get("ce-specversion"), "1.0")
    same(answer.headers.get("ce-source"), "io.kserve.inference.iris")
    same(answer.headers.get("ce-type"), "io.kserve.inference.response")
    holds(answer.headers.get("ce-id") != _EVENT["id"] and answer.headers["ce-time"] > _EVENT["time"], answer.headers)
    return answer


@SUITE.case("an event as the body", differs=_NO_EVENTS)
def _event(server: Server) -> None:
    body = _structured(server)
    same((body["specversion"], body["type"]), ("1.0", "io.kserve.inference.response"))
    same(body["source"], "io.kserve.inference.iris")
    holds(body["time"] > _EVENT["time"], body)


@SUITE.case("an event as the body, whose own attributes come back", differs=_NO_EVENTS)
def _merged_event(server: Server) -> None:
    same(_structured(server, customextension="value")["customextension"], "value")


@SUITE.case("an event in headers, whose own attributes come back", differs=_NO_EVENTS)
def _merged_headers(server: Server) -> None:
    same(_binary_answer(server, _BODY, customextension="value").headers["ce-customextension"], "value")


@SUITE.case("an event in headers, of an object", differs=_NO_EVENTS)
def _event_headers(server: Server) -> None:
    _binary_answer(server, json.dumps({"instances": FLOWERS[:1]}).encode())


@SUITE.case("an event in headers, of bytes", differs=_NO_EVENTS)
def _event_bytes(server: Server) -> None:
    _binary_answer(server, _BODY)


@SUITE.case("an event in headers, whose body ends early")
def _event_cut(server: Server) -> None:
    names_in_error(_binary(server, b"{", 400), "JSON")


@SUITE.case("an event in headers, whose body is no text")
def _event_no_text(server: Server) -> None:
    names_in_error(_binary(server, b"0\x80\x80\x06World!\x00\x00", 400), "byte 1")


SUITE.leave_out("a model that writes text", "infer of a model that completes texts")
SUITE.leave_out("a setting of KServe's server", "an event with the source and type of the server's settings")
SUITE.leave_out("a model with code that reads Avro", "an event of Avro")


@SUITE.case("a model is loaded")
def _load(server: Server) -> None:
    same(post(server, "/v2/repository/models/iris/load").json(), {"name": "iris", "load": True})


@SUITE.case("a model is unloaded", differs=_NO_UNLOAD)
def _unload(server: Server) -> None:
    same(post(server, "/v2/repository/models/iris/unload").json(), {"name": "iris", "unload": True})


@SUITE.case("a model that there is not is unloaded")
def _unload_unknown(server: Server) -> None:
    names_in_error(post(server, f"/v2/repository/models/{UNKNOWN}/unload", status=404), UNKNOWN)


@SUITE.case(
    "a model that there is not is loaded", differs="it is 404 at any address; 503 is for a model that cannot load"
)
def _load_unknown(server: Server) -> None:
    post(server, f"/v2/repository/models/{UNKNOWN}/load", status=503)


@SUITE.case("the index of the repository")
def _index(server: Server) -> None:
    listed = post(server, "/v2/repository/index", {}).json()
    same([model["name"] for model in listed], MODELS)
    same({(model["state"].upper(), model["reason"]) for model in listed}, {("READY", "")})
    same(post(server, "/v2/repository/index", {"ready": True}).json(), listed)


SUITE.leave_out(
    "a model that is never ready, put into the server by hand",
    "version 1: a model that is not loaded",
    "version 1: a model that is not ready",
    "version 2: a model that is not ready",
    "version 1: predict of a model that is not ready",
    "version 2: infer of a model that is not ready",
    "version 1: explain of a model that is not ready",
    "a server whose only model is not ready",
    "a repository in which a load raises",
)


@SUITE.case("several processes: infer")
def _processes(server: Server) -> None:
    for _ in range(8):
        _inferred(server)


SUITE.leave_out("a process of the server is killed", "several processes: one comes again")
SUITE.leave_out(
    "the constructor of KServe's server",
    "settings of a predictor",
    "settings of a predictor reach the models",
    "no settings of a predictor",
    "an event loop for one process",
    "an event loop for several processes",
    *(f"an event loop: {loop}" for loop in ("auto", "asyncio", "uvloop", "unknown")),
    *(f"an idle connection is kept: {seconds}" for seconds in ("65 s", "120 s", "5 s", "by default")),
)


def _client(name: str, path: str, unready: str = "") -> None:
    """Add what KServe's REST client asks to see whether something is ready."""

    @SUITE.case(f"the client: {name}")
    def _is(server: Server) -> None:
        ready(server, path)
        if unready:
            get(server, unready, 404)


_client("version 2: the server is ready", "/v2/health/ready")
_client("version 1: the server lives", "/")
_client("version 2: the server lives", "/v2/health/live")
_client("version 1: whether a model is ready", "/v1/models/iris", f"/v1/models/{UNKNOWN}")
_client("version 2: whether a model is ready", "/v2/models/iris/ready", f"/v2/models/{UNKNOWN}/ready")


@SUITE.case("the client: version 1: predict and explain, instances and inputs")
def _client_v1(server: Server) -> None:
    for key in ("instances", "inputs"):
        same(post(server, _PREDICT, {key: FLOWERS}).json()["predictions"], SPECIES)
        same([row["class"] for row in post(server, _EXPLAIN, {key: FLOWERS}).json()["explanations"]], SPECIES)


SUITE.leave_out(
    "the client asks nothing, or a server that its test pretends",
    "the client: version 1: the server is ready",
    "the client: version 3: the server lives",
    "the client: version 3: whether a model is ready",
    "the client: version 3: infer",
    "the client: version 2: explain",
    *(f"the client: version {version}: a graph" for version in (1, 2, 3)),
    *(f"the client: version {version}: a path before the address" for version in (1, 2, 3)),
    "the client: an address without a scheme",
)
SUITE.leave_out(
    "a server that asks another server",
    *(f"another server: {what}" for what in ("TLS over REST", "TLS over gRPC", "no checks of health")),
    *(f"another server: the server is ready, {how}" for how in ("version 1", "version 2", "gRPC")),
    *(f"another server: a model is ready, {how}" for how in ("version 1", "version 2", "gRPC")),
    *(f"headers for another server: {number}" for number in range(1, 11)),
)
