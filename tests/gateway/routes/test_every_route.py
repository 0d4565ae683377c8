"""What every route refuses in the same way: the document promises it of each of them, so each of them is asked."""

from __future__ import annotations

import itertools
import re
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis

from contract.settings import Settings
from contract.work.api_keys import Key, new_token
from gateway.app import create_app
from gateway.http.rules import Route
from gateway.openapi.document import operations, problems
from tests.gateway.callers import ADMIN_KEY, store
from tests.gateway.door.who_may import ANY, EARLIER, Gate, gate_with_keys

VALUES = {"reference": "sum", "name": "sum", "version": "1", "alias": "current", "method": "transform"}
"""What stands for the variables of paths; `x` for the others."""

SEVERAL_MODELS = ["POST /invocations: 400 None"]
"""This one finds out first that there are several models."""

ADDRESSES = itertools.cycle(f"198.51.100.{number}" for number in range(1, 255))


@dataclass(frozen=True)
class Asking:
    """Asks every route of which a problem is documented."""

    client: FlaskClient

    def without(self, problem: str, documented: str = "", **options: Any) -> list[str]:
        """Return the routes that do not answer with a problem that is documented of them, or of which another one is
        documented."""
        rules, listed = self.client.application.url_map.iter_rules(), documented or problem
        asked = [(route, method) for route, method in operations(rules) if listed in problems(route, method)]
        assert asked
        answers = [(route, method, self._ask(route, method, **options)) for route, method in asked]
        return [
            f"{method} {route.rule}: {answer}"
            for route, method, answer in answers
            # Errors of other protocols have no code.
            if answer != (problem if route.docs.error is None else f"{problem[:3]} None")
        ]

    def _ask(self, route: Route, method: str, **options: Any) -> str:
        path = re.sub(r"<(?:[^<>]*:)?(\w+)>", lambda matched: VALUES.get(matched[1], "x"), route.rule)
        environ = {"REMOTE_ADDR": next(ADDRESSES), **options.pop("environ", {})}
        answer = self.client.open(path, method=method, environ_overrides=environ, **options)
        return f"{answer.status_code} {(answer.get_json(silent=True) or {}).get('code')}"


@pytest.fixture
def closed(redis: Redis, redis_url: str, tmp_path: Path) -> Iterator[Gate]:
    with gate_with_keys(redis, redis_url, tmp_path) as made:
        yield made


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def key(redis: Redis, **changes: Any) -> dict[str, str]:
    """Make a key, and return the headers of its holder."""
    store(redis, token := new_token(), replace(Key("k", "ci", "team", ANY), **changes))
    return bearer(token)


def test_with_an_invalid_idempotency_key(closed: Gate) -> None:
    """A file is refused for its media type first."""
    headers = {**bearer(ADMIN_KEY), "Idempotency-Key": ""}
    others = Asking(closed.client).without("400 invalid_parameter", documented="410 job_gone", headers=headers, json={})
    assert others == ["POST /v1/models/<reference>/predict-file: 415 unsupported_media_type"]


def test_without_a_key(closed: Gate) -> None:
    assert Asking(closed.client).without("401 missing_key") == []


def test_with_an_invalid_key(closed: Gate) -> None:
    assert Asking(closed.client).without("401 invalid_key", headers=bearer("mg_" + "x" * 43)) == []


def test_with_an_expired_key(closed: Gate, redis: Redis) -> None:
    assert Asking(closed.client).without("401 expired_key", headers=key(redis, expires_at=EARLIER)) == []


def test_after_too_many_invalid_keys(closed: Gate) -> None:
    address = {"environ": {"REMOTE_ADDR": "203.0.113.9"}, "headers": bearer("mg_" + "x" * 43)}
    for _ in range(30):
        closed.client.get("/v1/jobs", environ_overrides=address["environ"], headers=address["headers"])
    assert Asking(closed.client).without("429 too_many_attempts", **address) == []


def test_with_two_keys(closed: Gate) -> None:
    headers = {**bearer("mg_a"), "X-API-Key": "mg_b"}
    assert Asking(closed.client).without("400 malformed_request", headers=headers) == []


def test_with_a_key_without_scopes(closed: Gate, redis: Redis) -> None:
    """`DELETE /v1/jobs/{id}` and others look at the job first."""
    others = Asking(closed.client).without("403 missing_scope", headers=key(redis, scopes=frozenset()))
    assert [answer for answer in others if "/v1/jobs/<job_id>" not in answer] == []


def test_with_a_key_for_another_model(closed: Gate, redis: Redis) -> None:
    others = Asking(closed.client).without("404 unknown_model", headers=key(redis, models=frozenset({"none"})))
    # It names a model in its query alone, if at all.
    assert [answer for answer in others if "/openapi.json" not in answer] == []


def test_under_a_foreign_host(client: FlaskClient) -> None:
    assert Asking(client).without("403 foreign_host", headers={"Host": "evil.example"}) == []


def test_from_a_foreign_origin(client: FlaskClient) -> None:
    assert Asking(client).without("403 foreign_origin", headers={"Origin": "https://evil.example"}) == []


def test_with_a_body_that_is_too_large(closed: Gate) -> None:
    body = b'{"x": "' + b" " * (8 * 1024 * 1024) + b'"}'
    options = {"data": body, "content_type": "application/json", "headers": bearer(ADMIN_KEY)}
    assert Asking(closed.client).without("413 body_too_large", **options) == SEVERAL_MODELS


def test_with_a_body_that_is_not_json(closed: Gate) -> None:
    options = {"data": b"{", "content_type": "application/json", "headers": bearer(ADMIN_KEY)}
    others = Asking(closed.client).without("400 malformed_body", **options)
    assert [answer for answer in others if "/predict-file: 415" not in answer] == []  # it takes no JSON


def test_with_a_compressed_transfer(closed: Gate) -> None:
    headers = {**bearer(ADMIN_KEY), "Transfer-Encoding": "gzip, chunked"}
    options = {"data": b"{}", "content_type": "application/json", "headers": headers}
    assert Asking(closed.client).without("501 unsupported_transfer_encoding", **options) == SEVERAL_MODELS


@pytest.mark.parametrize(
    ("problem", "error"),
    [
        # Each of these is tried again after a moment.
        pytest.param("503 redis_unavailable", None, marks=pytest.mark.slow),
        pytest.param("503 redis_loading", b"-LOADING Redis reads its data\r\n", marks=pytest.mark.slow),
        ("503 redis_denied", b"-NOPERM this user has no permissions\r\n"),
    ],
)
def test_with_a_key_that_cannot_be_read(settings: Settings, problem: str, error: bytes | None) -> None:
    with redis_that_answers(error) as url:
        client = create_app(replace(settings, redis_url=url, admin_key=ADMIN_KEY)).test_client()
        assert Asking(client).without(problem, headers=bearer(new_token())) == []


@contextmanager
def redis_that_answers(error: bytes | None) -> Iterator[str]:
    """Yield the URL of a server that answers each command with this error, or of none."""
    if error is None:
        yield "redis://127.0.0.1:1"
        return

    class Refusing(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while line := self.rfile.readline():
                for _ in range(int(line[1:])):
                    size = int(self.rfile.readline()[1:])
                    self.rfile.read(size + 2)
                self.wfile.write(error)

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Refusing)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"redis://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()
