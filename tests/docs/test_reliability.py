"""The tables of faults in docs/reference/reliability.md."""

from __future__ import annotations

import re

from tests.qa.faults.table import FAULTS
from tests.support import PROJECT

PAGE = (PROJECT / "docs" / "reference" / "reliability.md").read_text()


def rows(text: str) -> list[list[str]]:
    """The cells of the table's rows, without its head."""
    lines = re.findall(r"^\| (.*) \|$", text, re.MULTILINE)
    return [[cell.strip() for cell in line.split("|")] for line in lines if not line.startswith("fault ")]


FAULTS_ALONE, FAULTS_OF_CONTAINERS = map(rows, PAGE.partition("## Faults")[2].split("### In containers"))


def test_each_fault_has_a_row_and_no_cell_is_empty() -> None:
    assert [row[0] for row in FAULTS_ALONE] == [fault.name for fault in FAULTS]
    assert FAULTS_OF_CONTAINERS
    assert [row for row in FAULTS_ALONE + FAULTS_OF_CONTAINERS if len(row) != 11 or not all(row)] == []


def test_a_log_line_is_shown_as_a_service_writes_it() -> None:
    line = re.compile(r"`((INFO|WARNING|ERROR) (gateway|worker|trainer)|redis): ")
    assert [row[-1] for row in FAULTS_ALONE if row[-1].startswith("`") and not line.match(row[-1])] == []
