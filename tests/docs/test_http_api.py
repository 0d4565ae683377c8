"""The HTTP reference names everything that a client may compare with."""

from __future__ import annotations

import re

from contract.errors import Code
from contract.jobs import Status
from gateway.refusals import Reason
from tests.support import PROJECT

PAGE = (PROJECT / "docs" / "reference" / "http-api.md").read_text()


def test_the_reference_has_every_code_of_an_error() -> None:
    sources = "".join(path.read_text() for path in (PROJECT / "gateway").rglob("*.py"))
    codes = {*Code, *Reason, *re.findall(r'Problem\(\s*\d{3}, "(\w+)"', sources)}
    assert "foreign_host" in codes
    assert [code for code in sorted(codes) if not re.search(rf"`(\d{{3}} )?{code}`", PAGE)] == []


def test_the_reference_has_every_status_of_a_job() -> None:
    assert [status for status in Status if f"`{status}`" not in PAGE] == []
