"""CSV files. The rows of one keep their cells as they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from contract.rows.csv_writer import csv_lines
from scoring.files.answers import Column, listed
from scoring.files.codec import ChunkReader
from scoring.files.csv_chunk import CsvChunk
from scoring.files.csv_plan import plan_csv
from scoring.files.lines import FREE_BYTES, join_lines, write_lines
from scoring.files.plan import FilePlan, Steps


class CsvCodec:
    """The codec of CSV."""

    free_bytes = FREE_BYTES
    repeats_names = False

    plan = staticmethod(plan_csv)
    reader = CsvChunk

    def write(self, path: Path, plan: FilePlan, reader: ChunkReader, answers: Sequence[Column]) -> Steps[None]:
        separator = _separator(plan)
        kept = reader.lines(escape=plan.escape) if isinstance(reader, CsvChunk) else None
        columns = [] if isinstance(reader, CsvChunk) else reader.columns()

        def texts(columns: Sequence[Column], rows: slice) -> list[str]:
            return csv_lines([listed(column[rows]) for column in columns], separator, escape=plan.escape)

        def lines(rows: slice) -> bytes:
            first = texts(columns, rows) if kept is None else kept[rows]
            pairs = zip(first, texts(answers, rows), strict=True)
            return "".join([f"{line}{separator}{added}\n" for line, added in pairs]).encode()

        return write_lines(path, plan, answers, lines)

    def join(self, plan: FilePlan, parts: Sequence[Path], target: Path) -> Steps[None]:
        names = [[name] for name in (*plan.columns, *plan.answers)]
        (header,) = csv_lines(names, _separator(plan), escape=plan.escape)
        return join_lines(parts, target, f"{header}\n".encode())


def _separator(plan: FilePlan) -> str:
    return plan.csv.separator if plan.csv else ","
