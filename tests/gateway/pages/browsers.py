"""A person at a browser: a client with cookies, who sends the forms that she sees."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import unescape
from typing import Any

from flask.testing import FlaskClient
from redis import Redis
from werkzeug.test import TestResponse

from contract.work.api_keys import Key, new_token
from gateway.pages.assets import STYLE
from tests.gateway.callers import store

TOKEN = re.compile(r'name="token" value="([^"]+)"')


def words(html: str) -> str:
    """Return the text of a page, without its tags."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html.replace("<wbr>", ""))).split())


@dataclass(frozen=True)
class Browser:
    """Without a session until `sign_in`. It leaves out the style of pages, which is full of words."""

    client: FlaskClient

    def get(self, path: str, **options: Any) -> TestResponse:
        return _without_style(self.client.get(path, **options))

    def post(self, path: str, **options: Any) -> TestResponse:
        return _without_style(self.client.post(path, **options))

    def send(self, path: str, page: str = "/ui", **fields: str) -> TestResponse:
        """Send a form of the page."""
        return self.post(path, data={"token": self.token(page), **fields})

    def token(self, page: str = "/ui") -> str:
        """Return the token in the forms of a page."""
        token = TOKEN.search(self.client.get(page).text)
        assert token, f"{page} has no form"
        return token[1]

    def sign_in(self, token: str, **fields: str) -> TestResponse:
        return self.send("/ui/login", "/ui/login", key=token, **fields)

    @classmethod
    def with_key(cls, client: FlaskClient, redis: Redis, key: Key) -> Browser:
        """Make a key, and return a browser that has signed in with it."""
        store(redis, token := new_token(), key)
        browser = cls(client.application.test_client())
        assert browser.sign_in(token).status_code == 303
        return browser


def _without_style(answer: TestResponse) -> TestResponse:
    if answer.mimetype == "text/html":
        answer.set_data(answer.data.replace(STYLE.encode(), b""))
    return answer
