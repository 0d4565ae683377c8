"""Submits files of rows, and DataFrames as such, to be scored in the background."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, Protocol

from modelgate.errors import Forbidden, Invalid
from modelgate.file_formats import BY_SUFFIX, RowsFormat, format_of_name
from modelgate.forms import Pieces
from modelgate.jobs import FileJob
from modelgate.prediction_log import LoggedModel
from modelgate.progress import OnSent, counting
from modelgate.rows import AS_RECORDS, Inputs, rows_of

_ROWS_AT_ONCE = 1000
"""Rows of a DataFrame that are written at once."""

Submittable = str | Path | IO[bytes] | Any
"""The name of a file, an open file, or a DataFrame."""


class ServedModel(LoggedModel, Protocol):
    """The model that a reference names."""

    reference: str

    def refresh(self) -> dict[str, Any]:
        """Return what the server says of it now."""


def submit(
    model: ServedModel,
    rows: Submittable,
    *,
    method: str = "predict",
    query: Mapping[str, str] | None = None,
    format: str | None = None,  # noqa: A002
    output: str | None = None,
    strict: bool = False,
    escape_formulas: bool = False,
    progress: bool | None = None,
    on_sent: OnSent | None = None,
    idempotency_key: str | None = None,
) -> FileJob:
    """Send rows to be scored in the background, and return the job. `wait()` for it, then `download()` its output.

    `rows`: a file of CSV, NDJSON or Parquet, or a DataFrame, whose columns go as those of `predict`. `method`: the
    method of the model that gets them, or `explain`; `query`: what to explain (`modelgate.explanations.query_of`).
    `format` and `output`: the formats of the rows and of the output (`csv`, `ndjson` or `parquet`); by default what the
    name of the file says, and the same for the output; that of a DataFrame is CSV. `strict`: a row that cannot be used
    fails the job; otherwise it stays without a prediction.
    `escape_formulas`: a `'` comes before cells of a CSV that a spreadsheet would run. `progress`: show a bar; by
    default in a terminal and in a notebook. `on_sent` gets the bytes sent and their total instead. `idempotency_key`: a
    name for the request; sent again with the same rows, it returns the same job. Ctrl-C cancels the job, also before
    the server has answered. Raises `ModelgateError`.

    >>> import io
    >>> from modelgate import Client
    >>> rows = io.BytesIO(b"sepal_length,sepal_width,petal_length,petal_width\\n5.1,3.5,1.4,0.2\\n")
    >>> job = Client().model("iris").submit(rows, format="csv").wait()
    >>> job.rows, job.errors
    (1, 0)
    """
    kind = _format(format) if format else (format_of_name(rows) if isinstance(rows, str | Path) else None)
    if kind is None and isinstance(rows, str | Path):
        raise Invalid(f"the name of {str(rows)!r} does not say its format; give format='csv', 'ndjson' or 'parquet'")
    connection, is_file = model._connection, isinstance(rows, str | Path) or hasattr(rows, "read")
    output = output or (None if is_file else "csv")
    headers = {
        "Content-Type": (kind or RowsFormat.NDJSON).media_type,
        "Accept": f"{_format(output).media_type}, application/json;q=0.5" if output else "application/json",
        **({"Prefer": "handling=strict"} if strict else {}),
    }
    params = {"method": method, **(query or {}), **({"escape": "formulas"} if escape_formulas else {})}
    reference, inputs = (model.reference, AS_RECORDS) if is_file else _now(model)
    with counting(progress, on_sent) as count:
        job = connection.start(
            f"/v1/models/{reference}/predict-file",
            data=lambda: _body(rows, inputs, count),
            params=params,
            headers=headers,
            upload=True,
            key=idempotency_key,
        )
    return FileJob(connection, job)


def _format(name: str) -> RowsFormat:
    if name not in BY_SUFFIX:
        raise Invalid(f"there is no format {name!r}; there are: {', '.join(BY_SUFFIX)}")
    return BY_SUFFIX[name]


def _now(model: ServedModel) -> tuple[str, Inputs]:
    """Return the version that answers now, and what its rows hold: rows that go by position are for no other one."""
    try:
        version = model.refresh()
    except Forbidden:  # a key may predict and not read; then all rows go by name
        return model.reference, AS_RECORDS
    return f"{model.name}@{version['version']}", Inputs.of(version)


def _body(rows: Submittable, inputs: Inputs, on_sent: OnSent) -> Any:
    if isinstance(rows, str | Path):
        return Pieces([Path(rows)], on_sent)
    if hasattr(rows, "read"):
        return Pieces([_rewound(rows)], on_sent)
    return _lines(rows, inputs)


def _rewound(file: IO[bytes]) -> IO[bytes]:
    """Return an open file at its beginning. Raises `Invalid` for a pipe, and for a file that was opened as text."""
    if not file.seekable():
        raise Invalid("the open file cannot be read again after a lost answer; save it, and give its name")
    file.seek(0)
    if isinstance(file.read(0), str):
        raise Invalid("the open file holds text; open it with 'rb', or give its name")
    return file


def _lines(frame: Any, inputs: Inputs) -> Iterator[bytes]:
    """Yield the rows of a DataFrame as NDJSON: objects, or lists for a model without names."""
    rows = rows_of(frame, replace(inputs, format="records"))
    for start in range(0, rows.count, _ROWS_AT_ONCE):
        lines = json.loads(rows.body(start, min(start + _ROWS_AT_ONCE, rows.count)))
        yield "".join(f"{json.dumps(line)}\n" for line in lines).encode()
