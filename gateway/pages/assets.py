"""The styles and scripts of the pages, and a CSV file to try a training with. They are in this package, so browsers
need no other host."""

from __future__ import annotations

import base64
import gzip
import hashlib
from functools import cache
from pathlib import Path

from flask import Blueprint, Response, request
from markupsafe import Markup

from gateway.http.rules import Level
from gateway.problems import Problem, ProblemCode

_FOLDER = Path(__file__).parent / "static"
_TYPES = {".js": "text/javascript", ".svg": "image/svg+xml", ".csv": "text/csv"}
_FILES = {
    name: (_FOLDER / name, _TYPES[Path(name).suffix])
    for name in ("parts.js", "app.js", "charts.js", "train.js", "icon.svg", "churn.csv")
}
# The address of a file changes with its content, so browsers never ask for it again.
_KEPT = "public, max-age=31536000, immutable"

STYLE = Markup((_FOLDER / "style.css").read_text())  # noqa: S704 - ours
"""The stylesheet, which stands in each page: a first visit waits for no second file before it sees anything."""
STYLE_DIGEST = f"sha256-{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}"
"""By which a Content-Security-Policy allows this stylesheet in a page, and no other."""


@cache
def address_of(name: str) -> str:
    """Return the address of a file, which changes with its content."""
    return f"/ui/assets/{hashlib.sha256(_content(name)).hexdigest()[:12]}/{name}"


def blueprint() -> Blueprint:
    routes = Blueprint("assets", __name__, url_prefix="/ui")

    # Open, because the page to sign in needs them, and they hold no secrets.
    @routes.get("/assets/<digest>/<asset>", level=Level.OPEN, page=True)
    def show(digest: str, asset: str) -> Response:
        if asset not in _FILES:
            raise Problem(ProblemCode.NOT_FOUND, f"the pages have no file {asset[:64]!r}")
        # During an upgrade, a page of one release may ask a gateway of another release.
        same = address_of(asset) == f"/ui/assets/{digest}/{asset}"
        headers = {"Cache-Control": _KEPT if same else "no-store", "X-Content-Type-Options": "nosniff"}
        headers["Vary"], body = "Accept-Encoding", _content(asset)
        if request.accept_encodings.quality("gzip"):
            headers["Content-Encoding"], body = "gzip", _compressed(asset)
        return Response(body, headers=headers, content_type=f"{_FILES[asset][1]}; charset=utf-8")

    return routes


@cache
def _content(name: str) -> bytes:
    return _FILES[name][0].read_bytes()


@cache
def _compressed(name: str) -> bytes:
    """A third of the bytes. Pages themselves are not compressed: their length would tell of the token in them."""
    return gzip.compress(_content(name), mtime=0)
