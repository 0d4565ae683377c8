"""Live parts of pages: what a request of an open page gets, and who shares it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from flask.testing import FlaskClient
from redis import Redis

from contract.settings import Settings
from contract.work.api_keys import Detail, Key, Scope, new_token
from gateway.app import create_app
from gateway.pages.live_parts import _MOST_PARTS, KEEP, SHORTEST, LiveParts
from tests.gateway.callers import ADMIN_KEY, Caller, store
from tests.gateway.pages.browsers import Browser

ADA = Key("k-ada", "ada", "team", frozenset({Scope.READ, Scope.PREDICT}))
TICK = {"Modelgate-Part": "1"}
PAGES = ["/ui", "/ui/jobs", "/ui/system", "/ui/models/sum/traffic"]


@pytest.fixture
def client(settings: Settings) -> FlaskClient:
    """A gateway that needs keys."""
    return create_app(replace(settings, admin_key=ADMIN_KEY)).test_client()


@pytest.fixture
def clock() -> list[float]:
    return [0.0]


@pytest.fixture
def parts(clock: list[float]) -> LiveParts:
    return LiveParts(lambda: clock[0])


def counted() -> Iterator[str]:
    return (str(number) for number in range(1000))


def test_a_part_is_made_once_in_a_while_for_everybody_with_the_same_rights(
    parts: LiveParts, clock: list[float]
) -> None:
    made = counted()
    bob = replace(ADA, id="k-bob", name="bob", expires_at="2030-01-01T00:00:00Z")
    assert [parts.get("/ui", key, made.__next__) for key in (ADA, ADA, bob)] == ["0", "0", "0"]
    clock[0] = KEEP
    assert parts.get("/ui", ADA, made.__next__) == "1"


@pytest.mark.parametrize(
    "other",
    [
        replace(ADA, owner="others"),
        replace(ADA, scopes=ADA.scopes | {Scope.ADMIN}),
        replace(ADA, models=frozenset({"sum"})),
        replace(ADA, detail=Detail.TERSE),
    ],
    ids=["owner", "scopes", "models", "detail"],
)
def test_other_rights_have_another_part(parts: LiveParts, other: Key) -> None:
    made = counted()
    assert [parts.get("/ui", key, made.__next__) for key in (ADA, other, ADA)] == ["0", "1", "0"]


def test_other_pages_have_another_part_and_only_so_many_are_kept(parts: LiveParts) -> None:
    made = counted()
    addresses = [f"/ui/jobs?model={number}" for number in range(_MOST_PARTS + 1)]
    assert len({parts.get(address, ADA, made.__next__) for address in addresses}) == _MOST_PARTS + 1
    assert parts.get(addresses[-1], ADA, made.__next__) == str(_MOST_PARTS)
    assert parts.get(addresses[0], ADA, made.__next__) != "0"  # the oldest has left


def test_no_page_gets_a_part_that_is_older_than_itself() -> None:
    assert KEEP < SHORTEST


@pytest.mark.parametrize("path", PAGES)
def test_an_open_page_gets_the_live_part_alone_as_the_page_has_it(client: FlaskClient, redis: Redis, path: str) -> None:
    browser = Browser.with_key(client, redis, ADA)
    whole, part = browser.get(path), browser.get(path, headers=TICK)
    assert part.status_code == 200 and part.headers["Cache-Control"] == "no-store"
    assert "Content-Security-Policy" in part.headers
    assert part.text.lstrip().startswith(("<section", "<div")) and "data-live" in part.text
    assert part.text.strip() in whole.text
    assert "ada" not in part.text and 'name="token"' not in part.text


def test_a_part_has_what_has_happened_since_its_page_was_loaded(client: FlaskClient, redis: Redis) -> None:
    browser = Browser.with_key(client, redis, ADA)
    before = browser.get("/ui/jobs").text
    store(redis, token := new_token(), ADA)
    job = Caller(client.application.test_client(), token)("POST", "/v1/models/sum/predict", json={"a": 1, "b": 2})
    after = browser.get("/ui/jobs", headers=TICK).text
    address = f"/ui/jobs/{job.get_json()['id']}"
    assert address not in before and address in after
    assert "Cancel this prediction" in browser.get(address, headers=TICK).text
