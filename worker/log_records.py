"""Makes the records that the prediction log gets of a batch: rows and answers, without the inputs that are left out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from modelgate_kernels.matrix import by_column

from broker.sides.scorer import Batch, BatchJob
from contract.errors import Failure
from contract.model.signature import RowFormat, Signature
from contract.row import ColumnarRows, Row
from contract.work.jobs import PredictionOutcome
from contract.work.prediction_log import LogRecord
from contract.work.request_ids import RequestIds


def records_of(
    batch: Batch, outcomes: Mapping[str, PredictionOutcome | Failure], signature: Signature
) -> list[LogRecord]:
    """Return the records of the jobs of a batch that are logged and have answers."""
    records = []
    for job in batch.jobs:
        outcome = outcomes.get(job.id)
        if job.logged is not None and isinstance(outcome, PredictionOutcome):
            records.append(LogRecord(job.id, len(job.rows), _line(job, job.logged, outcome, signature)))
    return records


def _line(job: BatchJob, logged: Mapping[str, Any], outcome: PredictionOutcome, signature: Signature) -> bytes:
    """Return a job as one line: a list with a value a row for each input, and for each part of the answers. A column
    takes a fraction of the time that so many rows take."""
    left_out = logged.get("leave_out", ())
    record = {
        **logged,
        "job_id": job.id,
        "request_id": RequestIds.of_job(job.request, job.id).request_id,
        "count": len(job.rows),
        "inputs": _inputs(job.rows, signature, left_out),
        "predictions": outcome.predictions,
        "probabilities": _flat(outcome.probabilities, signature),
        "warnings": [*logged.get("warnings", ()), *_without(outcome.warnings, left_out)],
        "milliseconds": outcome.predict_ms,
    }
    try:
        return orjson.dumps(record)
    except TypeError:  # a whole number beyond 64 bits
        return json.dumps(record).encode()


def _inputs(rows: Sequence[Row], signature: Signature, left_out: Sequence[str]) -> Any:
    """Return the values of each input by its position in the signature, or the records."""
    if signature.format is RowFormat.RECORDS:
        return [{name: value for name, value in row[0].items() if name not in left_out} for row in rows]
    names = signature.names
    if len(rows) == 1:
        columns: Sequence[Sequence[Any]] = [(value,) for value in rows[0]]
    else:
        columns = rows.columns if isinstance(rows, ColumnarRows) else by_column(rows)
    inputs = enumerate(zip(names, columns, strict=True))
    return {str(position): column for position, (name, column) in inputs if name not in left_out}


def _flat(probabilities: Sequence[Any] | None, signature: Signature) -> Sequence[Any] | None:
    """Return the probabilities of each row by label; of several outputs by `output: label`."""
    if probabilities is None or len(signature.outputs) == 1:
        return probabilities
    return [
        {f"{output}: {label}": share for output, labels in row.items() for label, share in labels.items()}
        for row in probabilities
    ]


def _without(warnings: Sequence[str], left_out: Sequence[str]) -> list[str]:
    """Return the warnings but those about inputs that are left out: they quote values (`scoring.unusual`)."""
    return [warning for warning in warnings if not warning.startswith(tuple(map(repr, left_out)))]
