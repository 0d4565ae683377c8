"""The page about logs shows lines as the formatters write them, and all fields that a line may have."""

from __future__ import annotations

import logging
import re
from typing import Any

import pytest

from gateway.door.observers import AccessLog
from gateway.http.exchange import Exchange
from runtime.logs import ACCESS, JsonLines, TextLines
from tests.support import PROJECT

PAGE = (PROJECT / "docs" / "reference" / "logs.md").read_text()
ID = "0123456789abcdef0123456789abcdef"
FIELDS = set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE))))


def record(service: str, level: int, message: str, **context: Any) -> logging.LogRecord:
    fields = {"name": service, "levelno": level, "levelname": logging.getLevelName(level), "msg": message}
    return logging.makeLogRecord({**fields, "created": 1767323045.678, "msecs": 678.0, **context})


def test_a_failed_job_is_shown_as_both_forms_write_it() -> None:
    context = {"request_id": "order-17", "job_id": ID, "model": "iris", "version": 3}
    failed = record(
        "worker", logging.WARNING, "a job failed: model_error: predict raised ValueError: it hurts", **context
    )
    assert f"\n{TextLines('worker').format(failed)}\n" in PAGE
    assert f"\n{JsonLines('worker').format(failed)}\n" in PAGE


def test_the_line_of_a_request_is_shown_as_it_is_written(caplog: pytest.LogCaptureFixture) -> None:
    environ = {"REQUEST_METHOD": "POST", "PATH_INFO": "/v1/models/iris/predict", "REMOTE_ADDR": "127.0.0.1"}
    exchange = Exchange(environ, lambda *_: lambda _: None)
    exchange.start_response("200 OK", [("Content-Length", "312")])
    exchange.seconds, exchange.code = 0.0032, "none"
    with caplog.at_level(logging.INFO, ACCESS):
        AccessLog(1)(exchange)
    (said,) = caplog.records
    written = {name for name in vars(said) if name not in vars(record("a", 20, "b"))} - {"message", "asctime"}
    assert written <= FIELDS and len(written) > 7
    context = {"request_id": ID, "job_id": ID, "model": "iris", "version": 3}
    changes = {"route": "/v1/models/<reference>/predict", "code": None, **context}
    shown = record("gateway", logging.INFO, said.getMessage(), **{name: vars(said)[name] for name in written} | changes)
    line = re.search(r"^\S+ INFO gateway: .*$", PAGE, re.MULTILINE)
    assert line and sorted(TextLines("gateway").format(shown).split()) == sorted(line[0].split())
    assert context.keys() <= FIELDS
