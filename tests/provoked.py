"""Which of the documented problems the tests of a run have provoked: one that none provokes fails the run."""

from __future__ import annotations

from pathlib import Path

from contract.settings import Settings
from gateway.app import create_app
from gateway.openapi.document import operations, problems

FOLDER = Path(__file__).parent / "gateway"

PROVOKED: set[str] = set()
"""`404 unknown_job` and so on, of this process; and of its workers, once they have ended."""
FILES: set[str] = set()
"""The files of `FOLDER` whose tests have run."""


def documented() -> set[str]:
    routes = create_app(Settings(redis_url="redis://localhost")).url_map.iter_rules()  # it does not connect
    return {
        problem
        for route, method in operations(routes)
        for problem in problems(route, method)
        if problem.split()[1] not in route.statuses  # of another protocol
    }


def unprovoked() -> list[str]:
    """Return the documented problems that no test has provoked; nothing unless every file of tests of the gateway was
    run."""
    if not {path.name for path in FOLDER.rglob("test_*.py")} <= FILES:
        return []
    return sorted(documented() - PROVOKED)
