"""The ids of a request: which headers are valid, and how they travel with a job."""

from __future__ import annotations

import pytest

from contract.work.api_keys import new_token
from contract.work.request_ids import RequestIds

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize("request_id", ["a", "order-17/ä".encode("ascii", "replace").decode(), "x" * 64, '{}!~"\\'])
def test_a_visible_request_id_is_taken_as_it_is(request_id: str) -> None:
    assert RequestIds.of_headers(request_id, None) == RequestIds(request_id)


def test_a_key_is_no_request_id() -> None:
    """It would be logged, and stored with the job."""
    assert RequestIds.of_headers(new_token(), None) is None
    assert RequestIds.of_headers(f"id-{new_token()}", PARENT) == RequestIds(TRACE, PARENT)


@pytest.mark.parametrize("request_id", ["", " ", "a b", "x" * 65, "a\tb", "a\x1b[2J", "a\n", "ä", "\x7f"])
def test_another_request_id_is_replaced(request_id: str) -> None:
    assert RequestIds.of_headers(request_id, None) is None
    assert RequestIds.of_headers(request_id, PARENT) == RequestIds(TRACE, PARENT)


@pytest.mark.parametrize(
    "traceparent",
    [
        *("", "00", PARENT.upper(), f"{PARENT}-", f"{PARENT} ", f" {PARENT}", f"{PARENT}\n", PARENT[:-1]),
        *(f"{PARENT},{PARENT}", f"ff{PARENT[2:]}", f"01{PARENT[2:]}"),
        *(f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01", f"00-{TRACE}-{SPAN}-0g"),
    ],
)
def test_an_invalid_traceparent_is_ignored(traceparent: str) -> None:
    assert RequestIds.of_headers(None, traceparent) is None
    assert RequestIds.of_headers("mine", traceparent) == RequestIds("mine")


@pytest.mark.parametrize(
    "ids", [RequestIds("mine"), RequestIds("mine", PARENT), RequestIds(TRACE, PARENT), RequestIds(PARENT)]
)
def test_the_ids_come_back_from_the_text_that_travels_with_a_job(ids: RequestIds) -> None:
    again = RequestIds.of_job(str(ids), "0a")
    assert again == ids or ids.request_id == PARENT  # an id that looks like a trace is one
    assert again.trace_id in (None, TRACE)


def test_without_a_readable_text_the_job_lends_its_id() -> None:
    for text in ("", " ", "\x1b", "x" * 100):
        assert RequestIds.of_job(text, "0a") == RequestIds("0a")
