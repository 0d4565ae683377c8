"""The table of routes in docs/reference/http-api.md: `python -m tests.docs.route_table` prints it."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from contract.settings import Settings
from gateway.app import create_app
from gateway.http.operations import Operation
from gateway.openapi.document import operations, path_of


def table() -> str:
    """Return the table: each route of our own protocol with its query, what it does, and its answers but problems."""
    return "| call | what it does | answers |\n|---|---|---|\n" + "".join(_rows())


def _rows() -> Iterator[str]:
    routes = create_app(Settings(redis_url="redis://localhost")).url_map.iter_rules()  # it does not connect
    for route, method in operations(routes):
        if route.errors:  # of another protocol
            continue
        docs = route.docs
        call = f"`{method} {path_of(route)}{_query(docs)}`"
        answers = " ".join(f"`{status}`: {answer.description}" for status, answer in docs.answers.items())
        yield f"| {call} | {docs.summary} | {answers} |\n"


def _query(docs: Operation) -> str:
    names = [parameter.name for parameter in docs.parameters if parameter.location == "query"]
    return "?" + "&".join(f"{name}=" for name in names) if names else ""


if __name__ == "__main__":
    sys.stdout.write(table())
