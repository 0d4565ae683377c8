"""The HTTP reference names everything that a client may compare with."""

from __future__ import annotations

import re

from contract.errors import Code
from contract.work.jobs import Status
from tests.docs import problem_table, route_table
from tests.provoked import documented
from tests.support import PROJECT

PAGE = (PROJECT / "docs" / "reference" / "http-api.md").read_text()


def test_the_table_of_problems_is_that_of_the_codes() -> None:
    assert problem_table.table() in PAGE, "python -m tests.docs.problem_table"


def test_the_table_of_routes_is_what_the_routes_declare() -> None:
    assert f"\n\n{route_table.table()}\n" in PAGE, "python -m tests.docs.route_table"


def test_a_failure_of_another_process_that_has_a_status_of_its_own_is_in_the_reference() -> None:
    assert [code for code in Code if not re.search(rf"`(\d{{3}} )?{code}`", PAGE)] == []


def test_the_reference_has_every_status_of_a_job() -> None:
    assert [status for status in Status if f"`{status}`" not in PAGE] == []


NOT_OF_A_ROUTE = {
    "401 signed_out",
    "403 foreign_form",
    "403 no_level",
    "403 unknown_user",
    "405 method_not_allowed",
    "408 body_too_slow",
    "408 head_too_slow",
    "414 malformed_request",
    "500 internal_error",
    "503 no_gateway",
    "503 unfit_model",
    "504 gateway_lost",
}
"""What is answered before a route is known, in place of its answer, because of a defect, or by ROUTES_FILE: the
document has it not."""


def test_the_table_of_errors_and_the_openapi_document_have_the_same_problems() -> None:
    assert _table() ^ documented() == NOT_OF_A_ROUTE


def _table() -> set[str]:
    """The first column of the table of errors: `404 unknown_job` and so on."""
    rows, status = set(), ""
    for line in PAGE[PAGE.index("| status, code | when |") :].partition("\n\n")[0].splitlines()[2:]:
        for number, code in re.findall(r"`(?:(\d{3}) ?)?(\w+)?`", line.split("|")[1]):
            status = number or status
            rows |= {f"{status} {code}"} if code else set()
    return rows
