"""Serves `POST /v1/models/{model}/predict` without Flask, whose work around a view costs as much as a one-row view."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from wsgiref.types import WSGIApplication, WSGIEnvironment

from gateway.http.rules import Route

_PATH = re.compile(r"/v1/models/([^/]+)/predict", re.ASCII)


@dataclass(frozen=True)
class FastPath:
    """Serves the canonical path of one route. Flask serves its other spellings. `predict` takes the model's reference;
    `response_to` answers for its exceptions."""

    route: Route
    predict: Callable[[WSGIEnvironment, str], WSGIApplication]
    response_to: Callable[[Exception], WSGIApplication]

    def reference_in(self, environ: WSGIEnvironment) -> str | None:
        """Return the model's reference in the path, or None for another request."""
        matched = _PATH.fullmatch(environ["PATH_INFO"]) if environ["REQUEST_METHOD"] == "POST" else None
        return matched[1].encode("latin-1").decode(errors="replace") if matched else None

    def answer(self, environ: WSGIEnvironment, reference: str) -> WSGIApplication:
        try:
            return self.predict(environ, reference)
        except Exception as error:
            return self.response_to(error)
