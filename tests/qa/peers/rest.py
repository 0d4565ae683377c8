"""Requests that the suites of REST servers send, and checks of what comes back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import requests

from tests.qa.clients.conftest import IRIS, LOAN, soon
from tests.qa.peers.suite import Server

FLOWERS = [[5.1, 3.5, 1.4, 0.2], [5.7, 2.8, 4.5, 1.3], [6.3, 3.3, 6.0, 2.5]]
SPECIES = [0, 1, 2]
"""What iris says of `FLOWERS`."""
MODELS = ["boston", "iris", "loan"]
INPUTS = list(IRIS)
HEADER_LENGTH = "Inference-Header-Content-Length"
UNKNOWN = "my-model"

_PATIENCE = 60

Tensor = dict[str, Any]


def get(server: Server, path: str, status: int = 200) -> requests.Response:
    """Return the answer, which must have the status."""
    return _checked(requests.get(server.address + path, timeout=_PATIENCE), status)


def ready(server: Server, path: str) -> None:
    """What says whether something is ready says so, sooner or later."""
    _checked(soon(lambda: requests.get(server.address + path, timeout=_PATIENCE)), 200)


def post(
    server: Server, path: str, body: object = b"", status: int = 200, headers: Mapping[str, str] | None = None
) -> requests.Response:
    """Return the answer to a body, which is sent as JSON unless it is bytes. It must have the status."""
    data, json = (body, None) if isinstance(body, bytes) else (None, body)
    sent = {"Content-Type": "application/json"} | dict(headers or {})
    return _checked(requests.post(server.address + path, data=data, json=json, headers=sent, timeout=_PATIENCE), status)


def _checked(response: requests.Response, status: int) -> requests.Response:
    assert response.status_code == status, f"{response.status_code} instead of {status}: {response.text[:200]}"
    return response


def same(got: object, expected: object) -> None:
    assert got == expected, f"{got!r} instead of {expected!r}"


def holds(condition: object, what: object) -> None:
    """Raise if something is not so; `what` says what there is instead."""
    assert condition, f"{what!r}"


def content_type(response: requests.Response, expected: str) -> None:
    same(response.headers["Content-Type"].partition(";")[0], expected)


def names_in_error(response: requests.Response, name: str) -> None:
    """The error is one sentence, which says the name."""
    body = response.json()
    same(list(body), ["error"])
    holds(name in body["error"], body)


def flowers(rows: Sequence[Sequence[float]] = FLOWERS, **more: object) -> Tensor:
    """Return one tensor of all columns."""
    data = [value for row in rows for value in row]
    return {"name": "input-0", "shape": [len(rows), 4], "datatype": "FP32", "data": data, **more}


def loan() -> list[Tensor]:
    """Return one tensor a column."""
    return [
        {"name": name, "shape": [1], "datatype": "BYTES" if isinstance(value, str) else "FP32", "data": [value]}
        for name, value in LOAN.items()
    ]


def output(response: requests.Response, name: str = "predict") -> Tensor:
    """Return the output of this name, in JSON."""
    outputs = {tensor["name"]: tensor for tensor in response.json()["outputs"]}
    holds(name in outputs, list(outputs))
    tensor: Tensor = outputs[name]
    return tensor
