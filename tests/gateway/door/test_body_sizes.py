"""No body that is read in pieces is larger than its route allows, unless it goes to the spool."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import requests
from redis import Redis

from contract.settings import MB, Settings
from contract.work.training import RepositoryAction, RepositoryCommand, TrainingPreview
from gateway.app import create_app
from gateway.door.sessions import cookie_of, form_token
from tests.broker import samples
from tests.gateway.callers import ADMIN_KEY
from tests.gateway.pages.browsers import TOKEN, Browser
from tests.stacks.gateways import Gateway, serving

pytestmark = pytest.mark.waits

LOGIN, TRY_FILE = "/ui/login", "/ui/models/sum/try/file"
TOO_LONG = f"Content-Length: {100_000 * MB}\r\n\r\n".encode()
ENDLESS = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % (100_000 * MB)
BLOCK = 1024
"""Bytes that gunicorn waits for at once."""
FILE = b'--x\r\nContent-Disposition: form-data; name="file"; filename="rows.csv"\r\n\r\n'
FIELD = b'--x\r\nContent-Disposition: form-data; name="key"\r\n\r\n'


@pytest.fixture(scope="module")
def server(shared_settings: Settings) -> Iterator[Gateway]:
    """A closed gateway."""
    with serving(shared_settings, ADMIN_KEY=ADMIN_KEY) as server:
        yield server


def refused(server: Gateway, path: str, session: str, length: bytes, begin: bytes, limit: int) -> bytes:
    """Return the answer to a form of which the first `limit` bytes and a block arrive, and then nothing."""
    return server.raw(head(server, path, session) + length + begin.ljust(limit + BLOCK, b"1"))


def head(server: Gateway, path: str, session: str) -> bytes:
    """Return the beginning of the head of a form."""
    host = f"localhost:{server.port}"
    lines = (
        f"POST {path}?token={form_token(session)} HTTP/1.1",
        f"Host: {host}",
        f"Cookie: {cookie_of({'HTTP_HOST': host})}={session}",
        "Content-Type: multipart/form-data; boundary=x\r\n",
    )
    return "\r\n".join(lines).encode()


def test_nobody_without_a_key_sends_more_than_a_form_of_the_sign_in_holds(server: Gateway) -> None:
    for length, begin in itertools.product((TOO_LONG, ENDLESS), (FILE, FIELD)):
        answer = refused(server, LOGIN, "s" * 43, length, begin, 32 * 1024)
        assert answer.startswith(b"HTTP/1.1 413 ") and b"body is larger than 32 KB" in answer
        assert b"\r\nConnection: close\r\n" in answer


def test_a_form_that_cannot_be_read_to_its_end_is_refused(server: Gateway) -> None:
    chunked = b"Transfer-Encoding: chunked\r\n\r\n"
    for body in (b"zz\r\n[1,2]\r\n0\r\n\r\n", b"5\r\n--x\r\n\r\n", b"5\r\n[1,2]xx0\r\n\r\n"):
        answer = server.raw(head(server, LOGIN, "s" * 43) + chunked + body, hang_up=True)
        assert answer.startswith(b"HTTP/1.1 400 ") and b"malformed_body" in answer


def test_a_csv_to_try_may_be_as_large_as_a_body_of_rows(server: Gateway) -> None:
    with requests.Session() as browser:
        token = TOKEN.search(browser.get(f"{server.address}{LOGIN}").text)
        assert token
        browser.post(f"{server.address}{LOGIN}", {"token": token[1], "key": ADMIN_KEY}).raise_for_status()
        session = browser.cookies[f"modelgate_session_{server.port}"]
    for begin in (FILE, FIELD):
        answer = refused(server, TRY_FILE, session, TOO_LONG, begin, MB)
        assert answer.startswith(b"HTTP/1.1 413 ") and b"body is larger than 1 MB (MAX_BODY_MB)" in answer


def test_a_csv_to_try_within_the_limit_is_read(settings: Settings, scoring: None) -> None:
    browser = Browser(create_app(settings).test_client())
    rows = b"a,b\n1,2\n" + b"\n" * (MB - 1000)
    data = {"file": (io.BytesIO(rows), "rows.csv")}
    answer = browser.post(f"{TRY_FILE}?token={browser.token('/ui/models/sum/try')}", data=data)
    assert answer.status_code == 200 and "<td>3</td>" in answer.text


def test_a_file_of_rows_may_be_larger_than_a_body(server: Gateway) -> None:
    rows = b"a,b\n" + b"1,2\n" * MB
    url, headers = f"{server.address}/v1/models/sum/predict-file", {"Authorization": f"Bearer {ADMIN_KEY}"}
    for body in (rows, iter([rows])):
        answer = requests.post(url, body, headers={**headers, "Content-Type": "text/csv"}, timeout=60)
        assert answer.status_code == 202


@pytest.mark.parametrize(
    ("path", "status"),
    [("/v1/models/new/versions", 201), ("/v1/models/new/train", 202), ("/ui/train/preview", 200), ("/ui/train", 303)],
)
def test_a_file_in_a_form_may_be_larger_than_a_body(settings: Settings, redis: Redis, path: str, status: int) -> None:
    samples.trainer(redis, ["tabular"])
    browser = Browser(create_app(replace(settings, allow_upload="1"), trained).test_client())
    data: dict[str, Any] = {"file": (io.BytesIO(b"x,y\n" + b"1,2\n" * MB), "new.csv")}
    if path != "/v1/models/new/versions":
        data |= {"target": "y"}
    if path == "/ui/train":
        data |= {"model": "new"}
    token = f"?token={browser.token('/ui/models/sum/try')}" if path.startswith("/ui/") else ""
    answer = browser.post(path + token, data=data)
    assert answer.status_code == status, answer.text


def trained(command: RepositoryCommand) -> dict[str, Any]:
    """Answer a command as the trainer does."""
    if command.action is RepositoryAction.IMPORT:
        return {"name": command.model, "version": 1}
    return TrainingPreview("new.csv", 1, True, [], "y", None).to_json()
