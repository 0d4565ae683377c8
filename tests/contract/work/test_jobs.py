"""Rows that are held by column are rows as any others; a job without its worker is the same job."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from contract.row import ColumnarRows
from contract.work.jobs import Job

ROWS = [(1.0, "a"), (None, "b"), (3.0, "c")]
COLUMNAR = ColumnarRows([[1.0, None, 3.0], ["a", "b", "c"]])


def test_columnar_rows_are_a_sequence_of_rows() -> None:
    assert (len(COLUMNAR), list(COLUMNAR), COLUMNAR[1], COLUMNAR[-1]) == (3, ROWS, ROWS[1], ROWS[2])


def test_a_slice_of_columnar_rows_is_columnar_too() -> None:
    part = COLUMNAR[1:9]
    assert isinstance(part, ColumnarRows)
    assert part.columns == [[None, 3.0], ["b", "c"]]
    assert not COLUMNAR[3:]


def test_columnar_rows_equal_the_same_rows() -> None:
    assert COLUMNAR == ROWS == COLUMNAR
    assert ROWS[:2] != COLUMNAR and COLUMNAR[:2] != ROWS[1:]


def test_a_job_without_its_worker_is_otherwise_the_same() -> None:
    values: Any = [field.name for field in fields(Job)]
    job = Job(*values)
    assert job.without_worker() == replace(job, worker="") != job
