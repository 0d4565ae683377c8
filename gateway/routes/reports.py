"""The report of a model version: the page that the trainer wrote, and the same facts as JSON.

The aliases of the version, the other versions with a report, and the gateway's address change. The page has
placeholders for them (`contract.model.report_placeholders`), which are filled in for each request.
"""

from __future__ import annotations

import functools
import re

from flask import Blueprint, Response, request, url_for
from jinja2 import Environment

from contract.model.report_placeholders import ADDRESS, ADDRESS_ELEMENT, STATUS
from contract.model.repository import Repository
from contract.model.version_files import REPORT_HTML, REPORT_JSON
from contract.work.api_keys import Scope
from gateway.http.operations import Answer, Operation, Parameter
from gateway.problems import Problem, ProblemCode
from gateway.serving.model_versions import aliases_by_version, read_report, reported, resolve

FORMATS = {"html": ("text/html; charset=utf-8", REPORT_HTML), "json": ("application/json", REPORT_JSON)}
HEADERS = {
    # The page holds names from users' data. Even if one were not escaped, it could load and run nothing.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:;"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox",
    "Referrer-Policy": "no-referrer",
    # A version never changes, but aliases move: browsers ask again, and usually get 304.
    "Cache-Control": "private, no-cache",
    "Vary": "Accept",
}
MAX_VERSIONS = 20
"""Other versions that a report links to: the newest."""

_STATUS = Environment(autoescape=True, trim_blocks=True).from_string("""\
<div class="live" role="navigation" aria-label="Versions">
{% for alias in aliases.get(version, []) %}<span class="badge{{ ' current' if alias == 'current' }}">{{ alias }}</span>
{% else %}<span class="badge">no alias</span>
{% endfor %}
{% if others %}<span class="soft">other versions:</span>{% endif %}
{% for other in others %}<a href="{{ link(name=model, version=other) }}">{{ other }}\
{% if other in aliases %} ({{ aliases[other]|join(', ') }}){% endif %}</a>
{% endfor %}
</div>""")
SAFE_ADDRESS = re.compile(r"https?://[A-Za-z0-9.:/\[\]_-]+")
"""Addresses that are safe in a command that people paste into a shell."""


_REPORT = Operation(
    "get_report",
    "The report of a version: a page, or its facts as JSON",
    {200: Answer("The report.", {"text/html": "Text", "application/json": "Report"}), 304: Answer("As it was.")},
    problems=("404 no_report",),
    parameters=(Parameter("format", "By default what `Accept` prefers.", {"type": "string", "enum": list(FORMATS)}),),
)


def blueprint(repository: Repository) -> Blueprint:
    routes = Blueprint("reports", __name__, url_prefix="/v1/models")

    @routes.get("/<name>/versions/<version>/report", level=Scope.READ, docs=_REPORT)
    def report(name: str, version: str) -> Response:
        model, number = resolve(repository, f"{name}@{version}")
        wanted = _wanted()
        content_type, file = FORMATS[wanted]
        body = read_report(repository, model, number, file)
        if wanted == "html":
            body = filled_in(body, repository, model, number)
        response = Response(body, headers=HEADERS, content_type=content_type)
        response.add_etag()
        response.make_conditional(request)
        return response

    return routes


def filled_in(page: bytes, repository: Repository, model: str, version: int, endpoint: str = "reports.report") -> bytes:
    """Fill in the placeholders of the page. `endpoint`: the route of reports that it links to."""
    aliases = aliases_by_version(repository, model)
    others = [number for number in reported(repository, model) if number != version][-MAX_VERSIONS:]
    link = functools.partial(url_for, endpoint)
    status = _STATUS.render(model=model, version=version, aliases=aliases, others=others[::-1], link=link)
    page = page.replace(STATUS.encode(), status.encode(), 1)
    address = request.url_root.rstrip("/")
    if SAFE_ADDRESS.fullmatch(address):
        page = page.replace(ADDRESS_ELEMENT.encode(), ADDRESS_ELEMENT.replace(ADDRESS, address).encode())
    return page


def _wanted() -> str:
    """Return the format: `?format=`, else what `Accept` prefers, else the page."""
    wanted = request.args.get("format")
    if wanted is None:
        best = request.accept_mimetypes.best_match(["text/html", "application/json"])
        return "json" if best == "application/json" else "html"
    if wanted not in FORMATS:
        raise Problem(ProblemCode.INVALID_PARAMETER, f"format {wanted[:64]!r} is neither {' nor '.join(FORMATS)}")
    return wanted
