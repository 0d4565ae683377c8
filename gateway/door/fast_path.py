"""The way of `POST /v1/models/{model}/predict` past Flask: for one small row, what Flask does around a view costs as
much as all that the view does itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from flask import Request, Response

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_PATH = re.compile(r"/v1/models/([^/]+)/predict", re.ASCII)


class FastPath:
    """WSGI middleware. Everything but that one request goes on to `rest`."""

    def __init__(
        self,
        rest: WSGIApplication,
        post: Callable[[Request, str], Response],
        answer: Callable[[Exception], Response],
        most_bytes: int,
    ) -> None:
        """`post` gets the request and the model's reference; `answer` turns what it raises into a response."""
        self._rest = rest
        self._post = post
        self._answer = answer
        self._most_bytes = most_bytes

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        matched = _PATH.fullmatch(environ["PATH_INFO"]) if environ["REQUEST_METHOD"] == "POST" else None
        if not matched:
            return self._rest(environ, start_response)
        request = Request(environ)
        # What Flask would take from its configuration.
        request.max_content_length = request.max_form_memory_size = self._most_bytes
        try:
            response = self._post(request, matched[1].encode("latin-1").decode(errors="replace"))
        except Exception as error:
            response = self._answer(error)
        return response(environ, start_response)
