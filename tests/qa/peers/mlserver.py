"""What MLServer's tests of its REST server ask: `tests/rest`, and what `tests/metrics`, `tests/tracing`,
`tests/batch_processing` and `tests/handlers` ask of it beside. https://github.com/SeldonIO/MLServer
"""

from __future__ import annotations

import gzip
import json
import re
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests

from tests.qa.clients.conftest import LOAN
from tests.qa.peers.rest import (
    FLOWERS,
    INPUTS,
    MODELS,
    SPECIES,
    UNKNOWN,
    Tensor,
    content_type,
    flowers,
    get,
    holds,
    loan,
    names_in_error,
    output,
    post,
    ready,
    same,
)
from tests.qa.peers.suite import Server, Suite

SUITE = Suite("MLServer")

_OWN_DOCS = "/docs and /openapi.json describe all addresses"
_NO_UNLOAD = "no model is unloaded on request"
_ADDRESSES = {"version 1": "/v2/models/iris/versions/1", "no version": "/v2/models/iris"}


def _request(*tensors: Tensor, **more: object) -> dict[str, Any]:
    """Return a request with all members, as MLServer's own types are written; those that are not used are null."""
    inputs = [{"parameters": None, **tensor} for tensor in tensors]
    return {"id": None, "parameters": None, "inputs": inputs, "outputs": None} | more


@SUITE.case("the server lives")
def _live(server: Server) -> None:
    get(server, "/v2/health/live")


@SUITE.case("the server is ready")
def _ready(server: Server) -> None:
    ready(server, "/v2/health/ready")


@SUITE.case("a version is ready")
def _model_ready(server: Server) -> None:
    get(server, "/v2/models/iris/versions/1/ready")


@SUITE.case("metadata of the server")
def _metadata(server: Server) -> None:
    metadata = get(server, "/v2").json()
    same(set(metadata), {"name", "version", "extensions"})
    same(metadata["name"], "modelgate")
    same(metadata["version"], get(server, "/openapi.json").json()["info"]["version"])
    holds(all(isinstance(extension, str) for extension in metadata["extensions"]), metadata)


@SUITE.case("the page of the API", differs=_OWN_DOCS)
def _page(server: Server) -> None:
    content_type(get(server, "/v2/docs"), "text/html")


@SUITE.case("the description of the API", differs=_OWN_DOCS)
def _description(server: Server) -> None:
    holds("openapi" in get(server, "/v2/docs/dataplane.json").json(), "no OpenAPI")


@SUITE.case("metadata of a model")
def _model_metadata(server: Server) -> None:
    metadata = get(server, "/v2/models/iris").json()
    same((metadata["name"], metadata["platform"], metadata["versions"]), ("iris", "sklearn", ["1"]))
    same(metadata["inputs"], [{"name": name, "datatype": "FP64", "shape": [-1, 1]} for name in INPUTS])


@SUITE.case("an infer request with a header", differs="an answer has no headers of CloudEvents")
def _headers(server: Server) -> None:
    answer = post(server, "/v2/models/iris/infer", _request(flowers()), headers={"X-Foo": "bar"})
    same(answer.headers.get("Ce-Specversion"), "0.3")


@SUITE.case("the index of the repository")
def _index(server: Server) -> None:
    listed = post(server, "/v2/repository/index", {"ready": None}).json()
    same([model["name"] for model in listed], MODELS)


@SUITE.case("a model is unloaded", differs=_NO_UNLOAD)
def _unload(server: Server) -> None:
    post(server, "/v2/repository/models/iris/unload")
    get(server, "/v2/models/iris", 404)


@SUITE.case("a model is loaded after an unload")
def _load(server: Server) -> None:
    requests.post(server.address + "/v2/repository/models/iris/unload", timeout=60)
    post(server, "/v2/repository/models/iris/load")
    get(server, "/v2/models/iris")


@SUITE.case("an unknown model is loaded")
def _load_unknown(server: Server) -> None:
    names_in_error(post(server, f"/v2/repository/models/{UNKNOWN}/load", status=404), UNKNOWN)


@SUITE.case("a datatype that there is not", differs="such a body is `400` with `error`, as any that is no request")
def _datatype(server: Server) -> None:
    answer = post(server, "/v2/models/iris/infer", _request(flowers(datatype="INT322")), 422)
    message = answer.json()["detail"][0]["msg"]
    for datatype in ("BOOL", "UINT8", "INT64", "FP16", "FP64", "BYTES"):
        holds(datatype in message, message)


def _for_a_version(version: str, address: str) -> None:
    """Add what is asked with a version and without one."""

    @SUITE.case(f"the description of a model's API, {version}", differs=_OWN_DOCS)
    def _description(server: Server) -> None:
        holds("openapi" in get(server, f"{address}/docs/dataplane.json").json(), "no OpenAPI")

    @SUITE.case(f"the page of a model's API, {version}", differs=_OWN_DOCS)
    def _page(server: Server) -> None:
        content_type(get(server, f"{address}/docs"), "text/html")

    @SUITE.case(f"infer, {version}")
    def _infer(server: Server) -> None:
        answer = post(server, f"{address}/infer", _request(flowers()))
        same([tensor["name"] for tensor in answer.json()["outputs"]], ["predict"])
        same(output(answer)["data"], SPECIES)


for _version, _address in _ADDRESSES.items():
    _for_a_version(_version, _address)


def _for_an_unknown_version(verb: str) -> None:
    @SUITE.case(f"{verb} of a model that there is not")
    def _unknown(server: Server) -> None:
        answer = post(server, f"/v2/models/{UNKNOWN}/versions/v0/{verb}", _request(flowers()), 404)
        names_in_error(answer, UNKNOWN)


for _verb in ("infer", "generate"):
    _for_an_unknown_version(_verb)

SUITE.leave_out(
    "a model that writes text",
    "generate, version 1",
    "generate, no version",
    "generate_stream",
    "infer_stream",
)


@SUITE.case("an output of numbers")
def _numbers(server: Server) -> None:
    answer = post(server, "/v2/models/boston/infer", _request(flowers() | {"shape": [1, 13], "data": [0.1] * 13}))
    tensor = dict(output(answer))
    same(len(tensor.pop("data")), 1)
    same(tensor, {"name": "predict", "datatype": "FP64", "shape": [1, 1], "parameters": {"content_type": "np"}})


@SUITE.case("an output of texts")
def _texts(server: Server) -> None:
    highest = {"name": "predict_proba", "parameters": {"classification": 2}}
    tensor = dict(output(post(server, "/v2/models/loan/infer", _request(*loan(), outputs=[highest])), "predict_proba"))
    data = tensor.pop("data")
    holds(len(data) == 2 and all(isinstance(text, str) for text in data), data)
    same(tensor, {"name": "predict_proba", "datatype": "BYTES", "shape": [1, 2], "parameters": {"content_type": "str"}})


@SUITE.case("a compressed request")
def _compressed_request(server: Server) -> None:
    body = gzip.compress(json.dumps(_request(flowers())).encode())
    same(output(post(server, "/v2/models/iris/infer", body, headers={"Content-Encoding": "gzip"}))["data"], SPECIES)


@SUITE.case("a long answer is compressed")
def _compressed_answer(server: Server) -> None:
    rows = FLOWERS * 1000
    answer = post(server, "/v2/models/iris/infer", _request(flowers(rows)), headers={"Accept-Encoding": "gzip"})
    same(answer.headers.get("Content-Encoding"), "gzip")
    same(output(answer)["data"], SPECIES * 1000)


SUITE.leave_out("no model of Modelgate answers bytes", "an output of bytes in an array", "an output of bytes as base64")
SUITE.leave_out(
    "an address that the code of a model declares",
    "the address of a model",
    "the server finds the address of a model",
    "the server forgets the address of a model",
)
SUITE.leave_out(
    "a unit of Python without an address of its own",
    "a server-sent event is written",
    "true is 200",
    "false is 400",
    "the schema of the API",
    "the schema of a model's API, with a version",
    "the schema of a model's API, without a version",
    "the registry of metrics, several processes",
    "the registry of metrics, one process",
)


@SUITE.case("the names of the metrics", differs="metrics are of Modelgate, with names that begin with modelgate_")
def _metric_names(server: Server) -> None:
    post(server, "/v2/models/iris/infer", _request(flowers()))
    names = re.findall(r"^# TYPE (\S+)", get(server, "/metrics").text, re.MULTILINE)
    known = ("python_", "process_", "rest_server_", "grpc_server_", "model_infer_", "batch_request_", "parallel_")
    holds(names and all(name.startswith(known) for name in names), names[:3])


def _requests_counted(server: Server) -> float:
    """Return how many requests for iris were answered."""
    route = 'modelgate_requests_total{method="POST",route="/v2/models/<reference>/infer",status="200"}'
    lines = [line for line in get(server, "/metrics").text.splitlines() if line.startswith(route)]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


@SUITE.case("requests are counted")
def _counted(server: Server) -> None:
    before = _requests_counted(server)
    _at_once([lambda: post(server, "/v2/models/iris/infer", _request(flowers()))] * 5, 5)
    for _ in range(20):  # processes write what they have counted a little later
        if (counted := _requests_counted(server) - before) >= 5:  # others may ask meanwhile
            return
        time.sleep(0.5)
    raise AssertionError(f"{counted} of 5")


@SUITE.case("the wait before a batch is measured by model", differs="waits of all models are measured together")
def _batch_wait(server: Server) -> None:
    post(server, "/v2/models/iris/infer", _request(flowers()))
    text = get(server, "/metrics").text
    waits = re.findall(r'^modelgate_queue_seconds_count\{[^}]*model="iris"[^}]*\} (\S+)', text, re.MULTILINE)
    holds(waits and float(waits[0]) > 0, waits)


SUITE.leave_out("a setting of MLServer", "the metrics at another address", "no metrics")
SUITE.leave_out("files and processes inside MLServer", "files of metrics", "the wait for a process is measured")
SUITE.leave_out("a model with code that counts", "metrics of a model's own")
SUITE.leave_out("what is exported is read inside the process", "spans of a request")


def _at_once(asks: list[Any], workers: int) -> list[requests.Response]:
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(lambda ask: ask(), asks))


def _has_an_id(answer: requests.Response) -> None:
    """The id is one that MLServer's batches accept."""
    uuid.UUID(answer.json()["id"])


@SUITE.case("a batch of one")
def _one(server: Server) -> None:
    answer = post(server, "/v2/models/iris/infer", {"inputs": [flowers(FLOWERS[:1])]})
    same(output(answer)["data"], SPECIES[:1])
    _has_an_id(answer)


@SUITE.case("a batch of texts")
def _bytes(server: Server) -> None:
    as_texts = {"parameters": {"content_type": "str"}}
    inputs = [tensor | (as_texts if tensor["datatype"] == "BYTES" else {}) for tensor in loan()]
    answer = post(server, "/v2/models/loan/infer", {"inputs": inputs})
    _has_an_id(answer)
    same(output(answer)["data"], post(server, "/v1/models/loan:predict", {"instances": [LOAN]}).json()["predictions"])


@SUITE.case("a request with an id of its own")
def _own_id(server: Server) -> None:
    answer = post(server, "/v2/models/iris/infer", {"id": "my-test-id", "inputs": [flowers()]})
    same((answer.json()["id"], output(answer)["data"]), ("my-test-id", SPECIES))


@SUITE.case("a request without a datatype")
def _no_datatype(server: Server) -> None:
    tensor = flowers()
    del tensor["datatype"]
    names_in_error(post(server, "/v2/models/iris/infer", {"inputs": [tensor]}, 400), "datatype")


def _for_workers(workers: int) -> None:
    """Add what is asked with so many requests at once."""

    @SUITE.case(f"six requests, {workers} at once")
    def _many(server: Server) -> None:
        sent = [{"inputs": [flowers([row])]} for row in FLOWERS + FLOWERS[::-1]]
        answers = _at_once([lambda body=body: post(server, "/v2/models/iris/infer", body) for body in sent], workers)
        same([output(answer)["data"] for answer in answers], [[kind] for kind in SPECIES + SPECIES[::-1]])
        same(len({str(uuid.UUID(answer.json()["id"])) for answer in answers}), 6)

    @SUITE.case(f"two requests with three rows, {workers} at once")
    def _batches(server: Server) -> None:
        sent = [{"inputs": [flowers(rows)]} for rows in (FLOWERS, FLOWERS[::-1])]
        answers = _at_once([lambda body=body: post(server, "/v2/models/iris/infer", body) for body in sent], workers)
        same([output(answer)["data"] for answer in answers], [SPECIES, SPECIES[::-1]])
        same(len({str(uuid.UUID(answer.json()["id"])) for answer in answers}), 2)


for _workers in (1, 2, 5, 6):
    _for_workers(_workers)


@SUITE.case("one request of six has no datatype")
def _one_is_wrong(server: Server) -> None:
    tensors = [flowers([row]) for row in FLOWERS * 2]
    del tensors[2]["datatype"]
    for number, tensor in enumerate(tensors):
        answer = post(server, "/v2/models/iris/infer", {"inputs": [tensor]}, 400 if number == 2 else 200)
        if number != 2:
            same(output(answer)["data"], [SPECIES[number % 3]])
            _has_an_id(answer)


@SUITE.case("an id that is made is a UUID", differs="the id is that of the job, a UUID's digits without hyphens")
def _uuid(server: Server) -> None:
    made = post(server, "/v2/models/iris/infer", _request(flowers())).json()["id"]
    same(made, str(uuid.UUID(made)))


@SUITE.case("the index says version and state")
def _index_states(server: Server) -> None:
    listed = post(server, "/v2/repository/index", {}).json()
    states = {model["name"]: (model["version"], model["state"]) for model in listed}
    same(states, dict.fromkeys(MODELS, ("1", "READY")))


def _for_a_filter(ready: bool | None) -> None:
    @SUITE.case(f"the index, whether ready: {json.dumps(ready)}", differs=_NO_UNLOAD if ready else "")
    def _filtered(server: Server) -> None:
        requests.post(server.address + "/v2/repository/models/iris/unload", timeout=60)
        listed = [model["name"] for model in post(server, "/v2/repository/index", {"ready": ready}).json()]
        same(listed, ["boston", "loan"] if ready else MODELS)


for _filter in (None, True, False):
    _for_a_filter(_filter)


@SUITE.case("the index has what is unloaded as unavailable", differs=_NO_UNLOAD)
def _unavailable(server: Server) -> None:
    requests.post(server.address + "/v2/repository/models/iris/unload", timeout=60)
    listed = post(server, "/v2/repository/index", {}).json()
    same({model["name"]: model["state"] for model in listed}["iris"], "UNAVAILABLE")


@SUITE.case("an unknown model is unloaded")
def _unload_unknown(server: Server) -> None:
    names_in_error(post(server, f"/v2/repository/models/{UNKNOWN}/unload", status=404), UNKNOWN)


SUITE.leave_out(
    "models put into the server by hand", "a load forgets versions that went", "infer of a model that is not ready"
)
SUITE.leave_out("a cache inside MLServer", "the cache of answers", "no cache of answers")
