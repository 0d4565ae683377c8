"""The fast path answers as Flask does, and makes the same jobs."""

from __future__ import annotations

import dataclasses
import gc
import json
import random
from io import BytesIO
from typing import Any
from urllib.parse import unquote

import pytest
from flask import Flask
from redis import Redis
from werkzeug.test import EnvironBuilder, run_wsgi_app

from contract.model.signature import Field, Kind
from contract.settings import Settings
from gateway.app import create_app
from tests.support import SOAK, Sum, write_version

VALUES = (
    *("1", "-0.0", "1e999", "NaN", "null", "true", '"x"', '"\\ud800"', '"5.1"', '""', '"nan"', "9" * 5000, "[1]", "01"),
    *(
        "{}",
        '{"a": 1}',
        '"2024-05-17T10:30:00Z"',
        "9223372036854775808",
        '"\u0663"',
        '"\\u0000"',
        "[" * 2000,
        "[[1, 2]]",
    ),
)
NAMES = ("a", "b", "A", "key", "n", "s", "instances", "columns", "dataframe_split", "data", "", "\\ud800", "ä")
BODIES = (
    *(
        "",
        "[1, 2]",
        '{"a": 1, "b": 2}',
        '"[1, 2]"',
        '{"columns": {"a": [1], "b": [2]}}',
        '{"a": {"0": 1}, "b": {"0": 2}}',
    ),
    *(
        "a,b\n1,2",
        "a;b\n1;2",
        '"a,b\n1,2',
        "a,a,b\n1,2,3",
        "a,b",
        "a=1&b=2",
        "a=1&a=2&b=3",
        "%ff=1&a=%ff",
        '{"n": 1, "s": "x"}',
    ),
    "".join(f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n1\r\n' for name in "ab") + "--x--",
)
KINDS = (
    *["application/json"] * 5,
    *["text/csv"] * 2,
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
)
ODD_KINDS = (
    "multipart/form-data",
    "",
    "APPLICATION/JSON",
    "application/json; charset=latin-1",
    "image/png",
    ";",
    "ä/json",
)
MODELS = (
    "sum@1",
    "sum@current",
    "sum@",
    "sum@7",
    "@",
    "SUM",
    "sum%40",
    "s%2fum",
    "..",
    "%00",
    "sum%0a",
    "%ff",
    "x" * 300,
    "mixed",
)
HEADERS = {
    "HTTP_PREFER": ("wait=0", "wait=1x", "wait=", 'wait="0"', "respond-async, wait=9", "WAIT=0;x", "wait=-1", "ä", ","),
    "HTTP_CANCEL_AFTER": ("0", "1.5", "-1", "x", "1e3", "", "999999999", "9999999999", "\u0663"),
    "HTTP_CONTENT_ENCODING": ("gzip", "br", "identity", ""),
    "QUERY_STRING": ("a=1", "x=%ff&&=", ";"),
}


@pytest.fixture
def app(settings: Settings) -> Flask:
    inputs = [Field("n", Kind.INTEGER, nullable=True), Field("s", Kind.STRING, categories=("x", "y"))]
    write_version(settings.models_dir, "mixed", Sum(), inputs)
    return create_app(dataclasses.replace(settings, max_wait=0))


def test_the_fast_path_and_flask_answer_alike(app: Flask, redis: Redis) -> None:
    chance = random.Random(7)
    statuses = set()
    for _ in range(500 * SOAK):
        environ, body = some_request(chance)
        fast = answer(app, environ, body), jobs(redis)
        environ["PATH_INFO"] += "/"  # which only Flask serves
        assert fast == (answer(app, environ, body), jobs(redis)), (environ, body)
        statuses.add(fast[0][0])
    assert statuses >= {"202 ACCEPTED", "400 BAD REQUEST", "404 NOT FOUND", "422 UNPROCESSABLE ENTITY"}
    assert "500 INTERNAL SERVER ERROR" not in statuses


def some_request(chance: random.Random) -> tuple[dict[str, Any], bytes]:
    def some(usual: str, odd: tuple[str, ...], often: float = 0.9) -> str:
        return usual if chance.random() < often else chance.choice(odd)

    fields = ", ".join(f'"{chance.choice(NAMES)}": {chance.choice(VALUES)}' for _ in range(chance.randrange(4)))
    text = chance.choice((*BODIES, *VALUES, f"{{{fields}}}", f"{{{fields}}}"))
    body = text.encode("utf-8", "surrogatepass")
    if chance.random() < 0.1:
        body = chance.choice((b"\xef\xbb\xbf" + body, text.encode("utf-16", "replace"), body[:-3], body + b" " * 2**20))
    environ = EnvironBuilder(method="POST").get_environ()
    model = unquote(some("sum", MODELS, 0.8), errors="surrogateescape").encode(errors="surrogateescape")
    environ["PATH_INFO"] = f"/v1/models/{model.decode('latin-1')}/predict"
    environ["CONTENT_TYPE"] = some(chance.choice(KINDS), ODD_KINDS).encode().decode("latin-1")
    for name, odd in HEADERS.items():
        if chance.random() < 0.05:
            environ[name] = chance.choice(odd).encode().decode("latin-1")
    environ["wsgi.input_terminated"] = True
    if chance.random() < 0.9:
        environ["CONTENT_LENGTH"] = str(len(body))
    else:
        environ["HTTP_TRANSFER_ENCODING"] = "chunked"
    return environ, body


def answer(app: Any, environ: dict[str, Any], body: bytes) -> tuple[str, list[tuple[str, str]], dict[str, Any]]:
    """Return status, headers and body, without the parts that differ each time."""
    parts, status, headers = run_wsgi_app(app, {**environ, "wsgi.input": BytesIO(body)}, buffered=True)
    said = json.loads(b"".join(parts))
    return (
        status,
        sorted(h for h in headers if h[0] not in ("Location", "X-Request-ID")),
        {**said, "id": "", "created_at": ""},
    )


def jobs(redis: Redis) -> list[dict[bytes, bytes]]:
    """Remove all jobs from Redis and return them, without the fields that differ each time."""
    stored: list[Any] = [redis.hgetall(key) for key in redis.keys("rq:job:*")]
    redis.flushdb()
    return [{k: v for k, v in job.items() if not k.endswith((b"_at", b"deadline"))} for job in stored]


@pytest.mark.usefixtures("scoring")
def test_a_prediction_leaves_no_work_to_the_garbage_collector(settings: Settings) -> None:
    """A gateway collects seldom: environs that hold themselves would take megabytes of it."""
    app = create_app(settings)

    def ask() -> None:
        environ = EnvironBuilder(path="/v1/models/sum/predict", method="POST", json={"a": 1, "b": 2}).get_environ()
        answer = app({**environ, "HTTP_PREFER": "wait=30", "of": settings}, lambda *_: None)
        assert b"".join(answer)

    ask()
    app.extensions["outbox"].flush()  # a script that Redis does not know yet raises, which leaves frames in a cycle
    gc.collect()
    gc.disable()
    try:
        for _ in range(5):
            ask()
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        left = [thing for thing in gc.garbage if isinstance(thing, dict) and thing.get("of") is settings]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert left == []
