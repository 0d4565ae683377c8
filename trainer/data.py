"""Where the rows come from that a recipe is trained on: a CSV file, or what the recipe has by itself."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from contract.coercion import Grid, coerce
from contract.errors import InvalidInstances
from contract.jobs import Row, Value
from trainer.recipe import DataError, Recipe, Table

NULLS = frozenset({"", "NA", "N/A", "NaN", "nan", "NULL", "null", "None"})
"""Cells of a CSV file that stand for no value, as they do for pandas."""


@dataclass(frozen=True)
class TrainingRows:
    """Rows as requests have them, in signature order, and what is to be learnt of each.

    `ids` is None where the data have no id column. `fingerprint` is a sha256 in hex over the values.
    """

    source: str
    rows: Sequence[Row]
    targets: Sequence[Value]
    ids: Sequence[Value] | None
    fingerprint: str


def load(recipe: Recipe, data_dir: Path | None, csv_file: Path | None = None) -> TrainingRows:
    """From `csv_file`, else `data_dir`/<recipe>.csv, else the recipe's own data. Raises `DataError`.

    Columns may stand in any order and others may stand between them.
    """
    table, signature = _table(recipe, data_dir, csv_file), recipe.row_signature
    try:
        coerced = coerce(Grid(table.columns, table.rows), signature)
    except InvalidInstances as invalid:
        raise _unfit(table, invalid) from None
    words = recipe.target.categories
    targets = [row[-1] for row in coerced.rows]
    return TrainingRows(
        source=table.source,
        rows=[row[:-1] for row in coerced.rows],
        targets=targets if words is None else [words.index(str(word)) for word in targets],
        ids=coerced.ids,
        fingerprint=hashlib.sha256(json.dumps([signature.names, coerced.rows]).encode()).hexdigest(),
    )


def _table(recipe: Recipe, data_dir: Path | None, csv_file: Path | None) -> Table:
    if csv_file is not None:
        return _read(recipe, csv_file, f"CSV file {csv_file.name}")
    if data_dir is not None:
        if not data_dir.is_dir():
            raise DataError(f"DATA_DIR={data_dir} is not a folder; name the one that holds {recipe.name}.csv, or none")
        if (data_dir / f"{recipe.name}.csv").exists():
            return _read(recipe, data_dir / f"{recipe.name}.csv", f"DATA_DIR/{recipe.name}.csv")
    if recipe.data is None:
        raise DataError(f"{recipe.name} has no training data: put {recipe.name}.csv into DATA_DIR; {_needed(recipe)}")
    return recipe.data()


def _read(recipe: Recipe, path: Path, source: str) -> Table:
    try:
        # A spreadsheet's CSV begins with a byte order mark.
        with path.open(encoding="utf-8-sig", newline="") as file:
            header, *lines = [line for line in csv.reader(file) if line] or [[]]
    except OSError as error:
        raise DataError(f"{source} cannot be read ({error.strerror}): {path}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{source} is not a CSV file in UTF-8 ({error})") from error
    if not lines:
        raise DataError(f"{source} has no rows; {_needed(recipe)}")
    return Table(source, _columns(recipe, header), [[None if cell in NULLS else cell for cell in row] for row in lines])


def _columns(recipe: Recipe, header: Sequence[str]) -> list[str]:
    """The header with the recipe's own names, which a file may spell in any case."""
    known = {word.lower(): f.name for f in (*recipe.inputs, recipe.target) for word in (f.name, *f.aliases)}
    if recipe.id_field:
        known[recipe.id_field.lower()] = recipe.id_field
    return [known.get(name.strip().lower(), name) for name in header]


def _unfit(table: Table, invalid: InvalidInstances) -> DataError:
    first, others = invalid.errors[0], invalid.total - 1
    where = "" if first.row is None else f", row {first.row + 1} below the header"
    more = f" (and {others} more of the kind)" if others else ""
    return DataError(f"{table.source}{where}: {first.message}{more}; correct the file and train again")


def _needed(recipe: Recipe) -> str:
    return f"it needs a header and rows with {', '.join(recipe.row_signature.names)}"
