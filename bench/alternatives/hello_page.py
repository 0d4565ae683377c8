"""The least page that gunicorn can serve: what Chromium itself needs until it paints."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any


def app(_environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    body = b"<!doctype html><html lang=en><title>Hello</title><h1>Hello, world</h1>"
    start_response("200 OK", [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(body)))])
    return [body]
