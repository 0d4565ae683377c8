"""What /health/ready says is held against the answers of that time."""

from __future__ import annotations

from typing import Any

from tests.flow.clients import Answer
from tests.qa.faults.row import longest_gap
from tests.qa.faults.witness import Probe, contradictions, in_words


def probes(status: int, said: str) -> list[Probe]:
    return [Probe(number / 5, status, said, 0.01) for number in range(50)]


def answer(status: int, moment: float, **changes: Any) -> Answer:
    return Answer("fast", 1.0, status, {"code": "redis_full"}, at=moment, **changes)


def test_a_refusal_contradicts_ok() -> None:
    answers = [answer(200, 1.0), answer(503, 5.0), answer(503, 5.1)]
    assert contradictions(probes(200, "ok"), answers) == ["a request was refused (redis_full) while it said ok"]
    assert contradictions(probes(503, "Redis is full"), answers) == []


def test_a_refusal_right_after_the_last_ok_contradicts_nothing() -> None:
    seen = probes(200, "ok")[:20] + probes(503, "Redis is full")[20:]
    assert contradictions(seen, [answer(503, 3.5)]) == []


def test_requests_that_are_accepted_contradict_503() -> None:
    answers = [answer(200, number / 10) for number in range(100)]
    (contradiction,) = contradictions(probes(503, "no model"), answers)
    assert contradiction == "every request was accepted while it said 503: no model"
    assert contradictions(probes(200, "degraded: no worker"), answers) == []


def test_a_request_that_waits_in_vain_contradicts_ok() -> None:
    waited = [answer(202, 5.0, waited=5)]
    assert contradictions(probes(200, "ok"), waited) == ["a request waited 5 s in vain while it said ok"]
    assert contradictions(probes(200, "degraded: no worker"), waited) == []
    assert contradictions(probes(200, "ok"), [answer(202, 5.0)]) == [], "it did not ask to wait"


def test_what_was_said_is_told_once_in_order() -> None:
    seen = [*probes(200, "ok"), *probes(503, "Redis is full"), Probe(20, 0, "ConnectionError", 0.1)]
    assert in_words(seen) == ["200 ok", "503 Redis is full", "no answer"]


def test_the_longest_gap_is_between_accepted_requests() -> None:
    answers = [answer(status, moment) for status, moment in ((200, 1.0), (503, 2.0), (202, 4.5), (200, 5.0))]
    assert longest_gap(answers) == 3.5
