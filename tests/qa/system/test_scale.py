"""Two gateways behind HAProxy: what happens to one of them fails nothing."""

from __future__ import annotations

import pytest
import requests

from tests.qa.system.load import Load
from tests.qa.system.stack import GATEWAYS, IRIS, Stack, until

pytestmark = pytest.mark.usefixtures("two_gateways")


def test_a_killed_gateway_costs_only_the_requests_that_it_held(stack: Stack) -> None:
    with Load(stack) as load:
        load.go_on()
        stack.compose("kill", "gateway-2")
        load.go_on(300)
        held = len(load.failures)
        stack.compose("start", "gateway-2")
        load.go_on()
    assert len(load.failures) == held <= load.clients
    assert {job["status"] for job in stack.finished(load.polled)} == {"succeeded"}


def test_a_gateway_that_is_gone_is_named(stack: Stack) -> None:
    until(lambda: "missing_gateways" not in stack.wrong())
    stack.compose("stop", "gateway-2")
    until(lambda: "missing_gateways" in stack.wrong(), 60)
    stack.compose("start", "gateway-2")
    until(lambda: "missing_gateways" not in stack.wrong())


def test_haproxy_hands_on_the_events_of_a_job_as_they_come(stack: Stack) -> None:
    started = requests.post(f"http://127.0.0.1:{stack.port}/v1/models/iris/train", json={}, timeout=30).json()
    names = []
    with requests.get(
        f"http://127.0.0.1:{stack.port}/v1/jobs/{started['id']}/events", stream=True, timeout=120
    ) as events:
        assert events.headers["Content-Type"].startswith("text/event-stream")
        for line in events.iter_lines(chunk_size=1):
            if line.startswith(b"event: "):
                names.append(line.decode().removeprefix("event: "))
            if names[-1:] == ["end"]:
                break
    assert "progress" in names and names[-1] == "end"


def test_gateways_can_be_added(stack: Stack) -> None:
    stack.up("--scale", "gateway=2")
    assert len(stack.containers("gateway")) == 2
    with Load(stack) as load:
        load.go_on()
    assert load.failures == []


def test_without_any_gateway_the_answer_is_a_problem(stack: Stack) -> None:
    stack.compose("stop", *GATEWAYS)
    until(lambda: stack.predict("iris", IRIS).status_code == 503)
    answer = stack.predict("iris", IRIS)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert (answer.json()["code"], answer.headers["Retry-After"]) == ("no_gateway", "1")
