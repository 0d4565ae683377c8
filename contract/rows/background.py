"""The background of a version: rows that its answers are explained against, in a file beside its report."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence

from contract.errors import Code, InvalidInstances
from contract.model.manifest import ModelManifest
from contract.model.signature import RowFormat, Signature
from contract.model.version_files import VersionFiles
from contract.row import Row
from contract.rows.coercion import coerce
from contract.rows.instances import Grid
from contract.wording import counted

BACKGROUND_FILE = "background.json"
"""A list of rows in signature order, each a list."""
MOST_ROWS, FEWEST_ROWS = 100, 10
"""Rows of a background at most, and those below which a warning says that explanations say little."""
_SEED = 0


def background_sample(rows: Sequence[Row]) -> list[list[object]]:
    """Return at most `MOST_ROWS` of the rows, always the same ones, in no order."""
    chosen = random.Random(_SEED).sample(range(len(rows)), min(MOST_ROWS, len(rows)))  # noqa: S311
    return [list(rows[number]) for number in chosen]


def background_file(rows: Sequence[Row]) -> Mapping[str, bytes]:
    """Return the file with these rows, by its name; nothing without rows."""
    return {BACKGROUND_FILE: json.dumps([list(row) for row in rows]).encode()} if rows else {}


def needs_background(signature: Signature) -> bool:
    """Return whether rows are those of a table. The words of a text and the names of a record can be left out."""
    return signature.format is RowFormat.TABLE


def has_background(files: VersionFiles, manifest: ModelManifest) -> bool:
    """Return whether answers of the version can be explained."""
    return not needs_background(manifest.signature) or bool(manifest.golden.rows) or files.has_report(BACKGROUND_FILE)


def background_of(files: VersionFiles, manifest: ModelManifest) -> tuple[Sequence[Row], Sequence[str]]:
    """Return the background of a version, and warnings about it. One without the file has its golden rows.

    Raises `ModelgateError` (`artifact_corrupt`) for a file that does not hold rows of the signature.
    """
    if not needs_background(manifest.signature):
        return (), ()
    if not files.has_report(BACKGROUND_FILE):
        golden = manifest.golden.rows
        fewer = f"version {manifest.version} has no background, so {len(golden)} rows of its manifest stand for it"
        return golden, [f"{fewer}; train or import it again, with a sample, for one of {MOST_ROWS} rows"]
    try:
        rows = rows_of(json.loads(files.report(BACKGROUND_FILE)), manifest.signature)
    except (OSError, ValueError, RecursionError, InvalidInstances) as error:
        what = f"has a background ({BACKGROUND_FILE}) that cannot be used: {error}; train or import it again"
        raise manifest.error(Code.ARTIFACT_CORRUPT, what) from error
    few = f"the background of version {manifest.version} has only {counted(len(rows), 'row')}, so this says little"
    remedy = f"import it again with a sample of {MOST_ROWS} rows or more"
    return rows, [f"{few}; {remedy}"] if len(rows) < FEWEST_ROWS else ()


def rows_of(rows: object, signature: Signature) -> Sequence[Row]:
    """Return those of a few rows that fit the signature. Raises `InvalidInstances` if none does, and `ValueError`."""
    if not isinstance(rows, list) or set(map(type, rows)) != {list} or len(rows) > MOST_ROWS:
        raise ValueError(f"it is no list of 1 to {MOST_ROWS} rows")
    return coerce(Grid(None, rows), signature, lenient=True).rows
