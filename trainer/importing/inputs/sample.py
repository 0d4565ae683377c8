"""The sample: rows beside a model that show what its columns hold, and with which the model is tried."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO
from zoneinfo import ZoneInfo

from contract.model.signature import ZONE, Field, Kind, Null
from contract.rows import csv_table
from contract.rows.csv_cells import NULLS, number_format, without_commas
from contract.rows.values import Conversion, Refusal
from contract.wording import listed, shown
from trainer.importing import Refused

MOST_ROWS = 1000
_IN_DOUBT = (Kind.INTEGER, Kind.NUMBER, Kind.BOOLEAN, Kind.DATETIME, Kind.STRING)
"""Kinds in the order of the attempts. INTEGER is that of numbers which a float would round: others that are whole do
not prove that all are."""

_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d[T ][\d:.]+(Z|[+-]\d\d:\d\d))(?:\[(.+)\])?", re.ASCII)
"""A moment with its offset, and maybe with the name of its time zone (RFC 9557)."""
_NANOSECONDS = re.compile(r":\d\d\.\d{9}(?!\d)")
_WHOLE = re.compile(r"[-+]?\d+")


@dataclass(frozen=True)
class Sample:
    """The first rows of a CSV file; cells are text, or None for null. `nulls` has what they were in Python, of those
    columns by name for which that is known: none, if a column has none. `target`: the column with what the model
    predicts, '' if there is none, None if nobody says. `zones` has the time zones of the columns of dates with one:
    names or offsets; `words` the cells of those with words that are read as null, as they are written."""

    columns: tuple[str, ...]
    rows: Sequence[Sequence[str | None]]
    nulls: Mapping[str, Collection[Null]] = field(default_factory=dict)
    target: str | None = None
    zones: Mapping[str, frozenset[str]] = field(default_factory=dict)
    words: Mapping[str, Sequence[str | None]] = field(default_factory=dict)

    def kind(self, column: str) -> Kind | None:
        """Return the kind of a column, or None if the column is empty."""
        cells = [cell for cell in self.cells(column) if cell is not None]
        for kind in _IN_DOUBT if cells else ():
            if kind is Kind.INTEGER and not (self.whole(column) and any(abs(float(cell)) >= 2**53 for cell in cells)):
                continue
            # pandas reads WAHR as a word: where nothing else shows a boolean, the model knows it so.
            if kind is Kind.BOOLEAN and not {cell.strip().lower() for cell in cells} <= {"true", "false", "0", "1"}:
                continue
            if Refusal not in map(type, Conversion.for_field(Field(column, kind)).convert_each(list(cells))):
                return kind
        return None

    def only(self, columns: Sequence[str]) -> Sample:
        """Return the sample without its other columns."""
        rows = list(zip(*map(self.cells, columns), strict=True))
        return dataclasses.replace(self, columns=tuple(columns), rows=rows)

    def with_words(self, known: Mapping[str, Collection[str]]) -> Sample:
        """Return the sample with the words that are `known` in each column, and would be null otherwise."""
        columns = dict(zip(self.columns, map(self.cells, self.columns), strict=True))
        for name in known.keys() & self.words.keys():
            written = zip(columns[name], self.words[name], strict=True)
            columns[name] = [word if word in known[name] else cell for cell, word in written]
        return dataclasses.replace(self, rows=list(zip(*columns.values(), strict=True)))

    def null_words(self, column: str) -> list[str]:
        """Return each cell of the column that is a word and was read as null."""
        cells = zip(self.cells(column), self.words.get(column, ()), strict=False)
        return [word for cell, word in cells if cell is None and word is not None]

    def spelt_as(self, names: Sequence[str]) -> Sample:
        """Return the sample with its columns as in `names`, which may have blanks around them."""
        spelling = {name.strip(): name for name in names}
        columns = tuple(name if name in names else spelling.get(name, name) for name in self.columns)
        spelt = dict(zip(self.columns, columns, strict=True))
        nulls = {spelt[name]: held for name, held in self.nulls.items() if name in spelt}
        zones = {spelt[name]: held for name, held in self.zones.items()}
        return dataclasses.replace(self, columns=columns, nulls=nulls, zones=zones)

    def whole(self, column: str) -> bool:
        """Return whether all cells but nulls are written as whole numbers."""
        return all(cell is None or _WHOLE.fullmatch(cell.strip()) for cell in self.cells(column))

    def binary(self, column: str) -> bool:
        """Return whether it has no other cells than 0 and 1."""
        return {cell for cell in self.cells(column) if cell is not None} <= {"0", "1", "0.0", "1.0"}

    def in_nanoseconds(self, column: str) -> bool:
        """Return whether all cells but nulls are moments with nine digits behind the second, as the client writes these
        and as pandas reads them."""
        return {_NANOSECONDS.search(cell) is not None for cell in self.cells(column) if cell} == {True}

    def nullable(self, column: str) -> bool:
        return None in self.cells(column) or bool(self.nulls.get(column))

    def cells(self, column: str) -> list[str | None]:
        index = self.columns.index(column)
        return [row[index] for row in self.rows]


def read(file: IO[bytes], nulls: Mapping[str, Sequence[str]] | None = None, target: str | None = None) -> Sample:
    """Read a sample, of which the sender says what `nulls` are and which column is the `target`. Raises `Refused`."""
    try:
        table = csv_table.read(file, most=MOST_ROWS)
    except csv_table.NotCsv as error:
        raise Refused(f"has sample rows that are not a CSV file ({error}); save them as CSV in UTF-8") from None
    header, rows = table.columns, table.rows
    if not rows:
        raise Refused("has an empty sample: it needs a line with the names of the columns, and rows below it")
    if "" in header and header.index("") == 0:
        # This is the index that pandas' to_csv writes by default.
        header, rows = header[1:], [row[1:] for row in rows]
    _check(header, rows)
    target = target and target.strip()
    if target and target not in header:
        raise Refused(f"has a sample without its target {target!r}; it has {listed(header)}")
    known = {name: frozenset(map(Null, held)) for name, held in (nulls or {}).items()}
    words = [_cells(column, known.get(name)) for name, column in zip(header, zip(*rows, strict=True), strict=True)]
    columns = [[*without_commas(column, number_format(column, table.separator))] for column in words]
    zones = {name: zones for name, column in zip(header, columns, strict=True) if (zones := _without_zones(column))}
    written = dict(zip(header, zip(*rows, strict=True), strict=True))
    words_of = {name: cells for name, cells in written.items() if name not in known and not NULLS.isdisjoint(cells)}
    return Sample(tuple(header), list(zip(*columns, strict=True)), known, target, zones, words_of)


def _without_zones(column: list[str | None]) -> frozenset[str]:
    """Take the names of time zones out of a column of moments, and return them, or else their offsets; none if some are
    without. Raises `Refused` for an unknown zone."""
    moments = [(place, _MOMENT.fullmatch(cell.strip())) for place, cell in enumerate(column) if cell is not None]
    zones = frozenset(match[3] or match[2] for _, match in moments if match)
    if not all(match for _, match in moments):
        return frozenset()
    if unknown := [zone for zone in zones if not _is_zone(zone)]:
        raise Refused(f"has a sample with the unknown time zone {shown(unknown[0])}; name one such as Europe/Berlin")
    for place, match in moments:
        column[place] = match and match[1]
    return zones


def _is_zone(zone: str) -> bool:
    with suppress(KeyError, ValueError, OSError):
        return ZONE.fullmatch(zone) is not None and (zone[0] in "+-" or zone == "Z" or ZoneInfo(zone).key == zone)
    return False


def _cells(column: Sequence[str | None], nulls: Collection[Null] | None) -> list[str | None]:
    """Return the cells of a column, with None for words that mean null: none does where it is known what nulls were."""
    if nulls is None:
        return [None if cell in NULLS else cell for cell in column]
    return [cell if cell is not None or nulls else "" for cell in column]


def _check(header: Sequence[str], rows: Sequence[Sequence[str | None]]) -> None:
    numbers = Conversion.for_field(Field("", Kind.NUMBER)).convert_each(list(header))
    # pandas names columns 0, 1, 2, … if they have no names.
    if Refusal not in map(type, numbers) and numbers != list(range(len(header))):
        raise Refused("has a sample whose first line is numbers; the first line must name the columns")
    repeated = [name for number, name in enumerate(header) if name in header[:number]]
    if repeated:
        raise Refused(f"has a sample with the column {repeated[0]!r} twice; give each column its own name")
    short = [number for number, row in enumerate(rows) if len(row) != len(header)]
    if short:
        raise Refused(
            f"has a sample whose row {short[0] + 1} has {len(rows[short[0]])} values, and the first line names"
            f" {len(header)} columns: {listed(header)}"
        )
