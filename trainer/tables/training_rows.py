"""Training rows of a recipe: from a CSV file, or from the recipe itself."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from contract.errors import InvalidInstances
from contract.row import Row, Value
from contract.rows import csv_table
from contract.rows.coercion import coerce
from contract.rows.instances import Grid
from contract.settings import Settings
from contract.work.training import TrainingRequest
from storage.spool.places import spool_of
from trainer.recipe import DataError, Recipe, Table


def read(path: Path, source: str, on_progress: Callable[[float], None]) -> Table:
    """Read a header and rows of text, as serving does (`contract.rows.csv_table`). Blank cells are None.

    `on_progress` is called with the fraction that has been read. Raises `DataError`, which calls the file `source`.
    """
    try:
        with path.open("rb") as file:
            table = csv_table.read(file, on_progress=on_progress)
    except OSError as error:
        raise DataError(f"{source} cannot be read ({error.strerror}): {path}") from error
    except csv_table.NotCsv as error:
        raise DataError(f"{source} is not a CSV file ({error}); save it as CSV in UTF-8") from error
    return as_table(table, source)


def as_table(table: csv_table.CsvTable, source: str) -> Table:
    """Return the rows of `source` with remarks on the file. Raises `DataError` for a row that is too short or long."""
    width = len(table.columns)
    for number, row in enumerate(table.rows, 1):
        if len(row) != width:
            raise DataError(
                f"{source}, row {number} below the header has {len(row)} values instead of {width};"
                " correct the file and train again"
            )
    remarks = []
    if table.guessed:
        remarks.append(f"{source} is not in UTF-8 and was read as {table.guessed}; check its accented letters")
    if table.separator != ",":
        remarks.append(f"the columns of {source} are separated by {csv_table.SEPARATORS[table.separator]}")
    return Table(source, table.columns, table.rows, remarks, table.separator)


@dataclasses.dataclass(frozen=True)
class TrainingRows:
    """Rows in signature order, with values as in requests, and the target of each row.

    `ids` is None without an id column. `fingerprint` is a sha256, in hex, of the values.
    """

    source: str
    rows: Sequence[Row]
    targets: Sequence[Value]
    ids: Sequence[Value] | None
    fingerprint: str


@dataclasses.dataclass(frozen=True)
class CsvFile:
    """A CSV file; `source` describes it to users without its path."""

    path: Path
    source: str


def in_data_dir(model: str, data_dir: Path | None) -> CsvFile | None:
    """Return `data_dir`/<model>.csv if it exists. Raises `DataError` if `data_dir` is not a folder."""
    if data_dir is None:
        return None
    if not data_dir.is_dir():
        raise DataError(f"DATA_DIR={data_dir} is not a folder; name the one that holds {model}.csv, or none")
    path = data_dir / f"{model}.csv"
    return CsvFile(path, f"DATA_DIR/{model}.csv") if path.exists() else None


def requested_file(request: TrainingRequest, settings: Settings) -> CsvFile | None:
    """Return the upload or the path that `request` names, else DATA_DIR/<model>.csv if it exists. Raises
    `DataError`."""
    if request.upload is not None:
        try:
            path = spool_of(settings).upload(request.upload)
        except ValueError as error:
            raise DataError(f"the upload {error}") from None
        source = f"uploaded CSV file {request.upload_name}" if request.upload_name else "uploaded CSV file"
        return CsvFile(_within(path.parent, path.name, "the upload"), source)
    if request.path is not None:
        if settings.data_dir is None:
            raise DataError(f"data.path is {request.path!r:.80}, but DATA_DIR is not set; set it, or upload the file")
        return CsvFile(_within(settings.data_dir, request.path, "data.path"), f"DATA_DIR/{request.path}")
    return in_data_dir(request.model, settings.data_dir)


def _within(folder: Path, name: str, what: str) -> Path:
    """Return the path of the file `name` in `folder`. Raises `DataError` if a link leads outside of `folder`."""
    try:
        root = folder.resolve(strict=True)
        path = (root / name).resolve(strict=True)
    except (OSError, RuntimeError, ValueError):
        raise DataError(f"{what} {name!r:.80} does not exist") from None
    if not path.is_relative_to(root):
        raise DataError(f"{what} {name!r:.80} is outside of its folder; name a file in it")
    if not path.is_file():
        raise DataError(f"{what} {name!r:.80} is not a file")
    return path


def read_table(recipe: Recipe, file: CsvFile | None, on_progress: Callable[[float], None] = lambda _: None) -> Table:
    """Read the rows of `file`, or return the recipe's own.

    `on_progress` is called with the fraction that has been read. Raises `DataError`.
    """
    if file is None:
        return own_data(recipe)()
    table = read(file.path, file.source, on_progress)
    if not table.rows:
        raise DataError(f"{file.source} has no rows; {_needed(recipe)}")
    return spelled(recipe, table)


def own_data(recipe: Recipe) -> Callable[[], Table]:
    """Return what makes the recipe's own rows. Raises `DataError` if it has none."""
    if recipe.data is None:
        raise DataError(
            f"{recipe.name} has no training data: put {recipe.name}.csv into DATA_DIR; {_needed(recipe)}"
            if recipe.inputs
            else f"the recipe {recipe.name} has no training data: name or upload a CSV file"
        )
    return recipe.data


def to_rows(recipe: Recipe, table: Table) -> TrainingRows:
    """Convert a table to rows with the fields of `recipe`. Its columns may have any order, and there may be others.

    Raises `DataError` with the first value that does not fit.
    """
    signature, words = recipe.row_signature, recipe.fields[1].categories
    try:
        coerced = coerce(Grid(table.columns, table.rows, table.separator), signature)
    except InvalidInstances as invalid:
        raise _unfit(table, invalid) from None
    targets = [row[-1] for row in coerced.rows]
    fingerprint = hashlib.sha256(json.dumps(signature.names).encode())
    for row in coerced.rows:
        fingerprint.update(json.dumps(row).encode())
    return TrainingRows(
        source=table.source,
        rows=[row[:-1] for row in coerced.rows],
        targets=targets if words is None else [words.index(str(word)) for word in targets],
        ids=coerced.ids,
        fingerprint=fingerprint.hexdigest(),
    )


def spelled(recipe: Recipe, table: Table) -> Table:
    """Return the table with the recipe's spelling of each column: a file may use any case."""
    if recipe.inputs is None:
        return table
    inputs, target = recipe.fields
    known = {word.lower(): f.name for f in (*inputs, target) for word in (f.name, *f.aliases)}
    if recipe.id_field:
        known[recipe.id_field.lower()] = recipe.id_field
    return dataclasses.replace(table, columns=[known.get(name.lower(), name) for name in table.columns])


def _unfit(table: Table, invalid: InvalidInstances) -> DataError:
    first, others = invalid.errors[0], invalid.total - 1
    where = "" if first.row is None else f", row {first.row + 1} below the header"
    more = f" (and {others} more errors)" if others else ""
    return DataError(f"{table.source}{where}: {first.message}{more}; correct the file and train again")


def _needed(recipe: Recipe) -> str:
    what = "the target and the columns to learn from"
    return f"it needs a header and rows with {', '.join(recipe.row_signature.names) if recipe.inputs else what}"


def take_rows(matrix: Any, positions: Any) -> Any:
    """Return the rows of a matrix at these places: an array of integers."""
    if isinstance(matrix, list):
        return [matrix[position] for position in positions]
    return matrix.iloc[positions] if hasattr(matrix, "iloc") else matrix[positions]
