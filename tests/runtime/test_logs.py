"""The log of a process: its lines in text and in JSON, each in a process of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import Any

import pytest

from contract.work.api_keys import new_token
from tests.support import PROJECT

pytestmark = pytest.mark.waits

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


def log_of(program: str, service: str = "worker", **environment: str) -> list[str]:
    """Return the lines that `program` logs."""
    start = f"import logging\nfrom runtime import logs\nlogs.configure({service!r})\n"
    ended = subprocess.run(
        [sys.executable, "-c", f"{start}log = logging.getLogger({service!r})\n{program}"],
        cwd=PROJECT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return ended.stderr.splitlines()


def events_of(program: str, **environment: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log_of(program, LOG_FORMAT="json", **environment)]


def test_a_line_of_text_has_time_level_service_message_and_context() -> None:
    (line,) = log_of("log.info('scores', extra={'job_id': '0a', 'model': 'iris', 'version': 3, 'reason': 'a \"b\"'})")
    assert re.fullmatch(rf'{TIME} INFO worker: scores job_id=0a model=iris version=3 reason="a \\"b\\""', line)


def test_a_line_of_json_is_an_object_with_the_same() -> None:
    (event,) = events_of("log.warning('is %s', 'slow', extra={'model': 'iris', 'version': 3, 'request_id': None})")
    assert re.fullmatch(TIME, event.pop("time"))
    assert event == {
        "level": "warning",
        "service": "worker",
        "logger": "worker",
        "message": "is slow",
        "model": "iris",
        "version": 3,
    }


def test_the_log_has_our_information_and_only_the_warnings_of_libraries() -> None:
    program = """
log.debug("no")
logging.getLogger("worker.scorer").info("scores")
logging.getLogger("broker.link.scripts").info("loads")
logging.getLogger("matplotlib").info("chatter")
logging.getLogger("matplotlib").warning("no font")
"""
    assert [event["message"] for event in events_of(program)] == ["scores", "loads", "no font"]
    assert [event["message"] for event in events_of(program, LOG_LEVEL="debug")] == ["no", "scores", "loads", "no font"]
    assert log_of(program, LOG_LEVEL="error") == []


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_event_forges_a_line_or_commands_a_terminal(log_format: str) -> None:
    program = r"""
text = "a\n2026-01-01T00:00:00.000Z ERROR worker: forged\r\x1b[2J\x9b\u2028\u202e\ud800"
log.info("%s", text, extra={"model": text})
"""
    (line,) = log_of(program, LOG_FORMAT=log_format)
    assert line.isprintable() and line.isascii()


def test_an_exception_is_one_field_in_json_and_indented_lines_in_text() -> None:
    program = """
try:
    raise ValueError("it hurts\\n2026-01-01T00:00:00.000Z ERROR worker: forged")
except ValueError:
    log.exception("cannot score")
"""
    (event,) = events_of(program)
    assert event["message"] == "cannot score" and event["exception"].startswith("Traceback")
    head, *below = log_of(program)
    assert head.endswith("ERROR worker: cannot score")
    assert below[0] == "    Traceback (most recent call last):" and all(line.startswith("    ") for line in below)


def test_warnings_uncaught_exceptions_and_those_of_threads_are_events() -> None:
    program = """
import threading, warnings
warnings.warn("old")
thread = threading.Thread(target=lambda: 1 / 0)
thread.start()
thread.join()
class Broken:
    def __del__(self): raise OSError("gone")
Broken()
raise ValueError("it hurts")
"""
    warned, thread, unraisable, uncaught = events_of(program)
    assert warned["message"].startswith("UserWarning: old (") and warned["logger"] == "py.warnings"
    assert thread["message"] == "a thread ends with ZeroDivisionError" and thread["exception"].endswith(
        "division by zero"
    )
    assert unraisable["exception"].endswith("OSError: gone")
    assert uncaught["level"] == "critical" and uncaught["exception"].endswith("ValueError: it hurts")


def test_passwords_of_urls_are_never_in_a_line() -> None:
    program = """
url = "redis://worker:s3cret/@x@redis:6379 and rediss://:s3cret@r"
log.info("lost %s", url)
raise ValueError(url)
"""
    for log_format in ("text", "json"):
        lines = "\n".join(log_of(program, LOG_FORMAT=log_format))
        assert "s3cret" not in lines and "redis://worker:***@" in lines and "rediss://:***@r" in lines


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_keys_are_never_in_a_line(log_format: str) -> None:
    token = new_token()
    program = f"""
try:
    raise ValueError("{token}")
except ValueError:
    log.exception("the key is {token}", extra={{"reason": "/v1/{token}/x"}})
"""
    lines = "\n".join(log_of(program, LOG_FORMAT=log_format))
    assert token not in lines and "/v1/mg_***/x" in lines and "the key is mg_***" in lines


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_hidden_secret_is_never_in_a_line(log_format: str) -> None:
    """A client may send ADMIN_KEY in a wrong place, such as a malformed header, which is logged."""
    secret = 'quoted"and\\\\' + "z" * 30
    program = f"""
from contract.work.api_keys import hide
secret = {secret!r}
hide(secret)
log.warning("Invalid HTTP Header: %s", secret, extra={{"reason": "/v1/" + secret}})
"""
    lines = "\n".join(log_of(program, LOG_FORMAT=log_format))
    assert "z" * 30 not in lines and "Invalid HTTP Header: ***" in lines and "/v1/***" in lines


def test_long_messages_values_and_exceptions_are_cut() -> None:
    program = """
try:
    raise ValueError("m" * 10**6)
except ValueError:
    log.exception("m" * 10**6, extra={"model": "m" * 10**6})
"""
    (event,) = events_of(program)
    assert len(event["message"]) <= 16_385 and len(event["model"]) == 512 and len(event["exception"]) <= 16_384


def test_an_invalid_setting_of_the_log_leaves_the_log_as_it_is() -> None:
    (line,) = log_of("log.info('serves')", LOG_FORMAT="xml", LOG_LEVEL="loud")
    assert line.endswith("INFO worker: serves")


def test_a_command_logs_for_the_person_who_typed_it() -> None:
    program = "logs.configure('trainer', command=True)\nlogging.getLogger('trainer').warning('no', extra={'job_id': 1})"
    assert log_of(program) == ["trainer: no"]


def test_one_statement_cannot_flood_the_log() -> None:
    program = """
import time
now = 1000.0
time.monotonic = lambda: now
def say(number):
    log.warning("row %d is odd", number)
for number in range(1000):
    say(number)
log.warning("another")
now += 1.1
for number in range(1000):
    say(number)
"""
    events = events_of(program)
    assert [event["message"] for event in events[99:102]] == ["row 99 is odd", "another", "row 999 is odd"]
    assert events[101]["left_out"] == 899 and "left_out" not in events[102]
    assert len(events) == 201


def test_events_of_a_kind_are_logged_at_once_and_then_counted_though_nothing_else_is_logged() -> None:
    program = """
import time
now = 1000.0
time.monotonic = lambda: now
def refuse(code, number):
    log.warning("%s: request %d", code, number, extra={"kind": code})
for number in range(2420):
    refuse("redis_unavailable", number)
refuse("queue_full", 0)
for _ in range(2):
    now += 61
    logs.report_left_out()
refuse("redis_unavailable", 0)
"""
    events = [(event["message"], event.get("left_out")) for event in events_of(program)]
    assert events == [
        ("redis_unavailable: request 0", None),
        ("queue_full: request 0", None),
        ("redis_unavailable: request 2419", 2418),
        ("redis_unavailable: request 0", None),
    ]
    assert "kind=" not in "".join(log_of(program))


def test_exceptions_of_one_place_cannot_flood_the_log() -> None:
    program = """
import time
def fail(kind):
    if kind:
        raise ValueError("one place")
    raise KeyError("another place")
def say(kind):
    try:
        fail(kind)
    except Exception:
        log.exception("failed")
for _ in range(50):
    say(True)
say(False)
now = time.monotonic
time.monotonic = lambda: now() + 60
logs.report_left_out()
"""
    events = events_of(program)
    last_lines = [event["exception"].splitlines()[-1] for event in events]
    assert last_lines == ["ValueError: one place", "KeyError: 'another place'", "ValueError: one place"]
    assert [event["left_out"] for event in events if "left_out" in event] == [48]


def test_printed_lines_become_events() -> None:
    program = """
import os
from worker.processes import PrintedLines
printed = PrintedLines(lambda line: log.info("prints: %s", line))
os.write(printed.write_end, b"a\\xff\\n\\nb" + b"c" * 5000 + b"\\nd\\nhalf")
printed.read()
printed.close()
printed = PrintedLines(lambda line: log.info("prints: %s", line))
printed.read()
"""
    said = [event["message"].removeprefix("prints: ") for event in events_of(program)]
    assert said == ["a\ufffd", "b" + "c" * 5000, "d", "half"]
