"""Makes the records that the prediction log gets of a batch, or of a chunk of a file: rows and answers, without the
inputs that are left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from modelgate_kernels.matrix import by_column

from broker.sides.file_tasks import FileTask
from broker.sides.scorer import Batch, BatchJob
from contract.errors import Failure
from contract.model.experiments import SHADOW_ALIAS
from contract.model.signature import Output, RowFormat, Signature
from contract.row import ColumnarRows, Row
from contract.rows.answer_columns import unnamed
from contract.work.jobs import PredictionOutcome
from contract.work.prediction_log import LoggedRequest, LogRecord
from contract.work.request_ids import RequestIds
from runtime.exact_json import dumps
from scoring.answers import together
from scoring.files.answers import listed
from scoring.files.plan import Steps
from scoring.files.stages import Scored

_CHUNK_ROWS = 4096
"""Rows of one record of a chunk: it takes a few milliseconds."""

_OF_REQUESTS = ("job_id", "request_id", "accepted_at", "owner")

_Answered = tuple[BatchJob, Mapping[str, Any], PredictionOutcome]


def records_of(
    batch: Batch, outcomes: Mapping[str, PredictionOutcome | Failure], signature: Signature
) -> list[LogRecord]:
    """Return the records of the jobs of a batch that are logged and have answers: one for all jobs of a row, which
    takes a fifth of the time of one for each, and one for each other job."""
    answered = [
        (job, job.logged, outcome)
        for job in batch.jobs
        if job.logged is not None and isinstance(outcome := outcomes.get(job.id), PredictionOutcome)
    ]
    return [_record(jobs, signature) for jobs in _grouped(answered)]


def records_of_chunk(
    task: FileTask, logged: LoggedRequest, scored: Scored, first_row: int, signature: Signature, warnings: Sequence[str]
) -> Steps[list[LogRecord]]:
    """Return the records of a chunk of a file, whose first row has this number in the file; yields 0 after each.
    `warnings`: of the file."""
    valid, refused = scored.valid, frozenset(scored.valid.refused)
    places = [place for place in range(scored.rows) if place not in refused]
    ids = None if signature.id_field in logged.get("leave_out", ()) else valid.ids
    records = []
    for start in range(0, len(places), _CHUNK_ROWS):
        some = slice(start, start + _CHUNK_ROWS)
        request = {
            **logged,
            "numbers": [first_row + place for place in places[some]],
            "ids": ids and [ids[place] for place in places[some]],
        }
        rows = valid.rows[some]
        if isinstance(rows, ColumnarRows):
            rows = ColumnarRows(list(map(listed, rows.columns)))
        columns = [listed(column[some]) for column in scored.answers.columns]
        predictions, probabilities = _by_row(columns, signature.outputs)
        outcome = PredictionOutcome(predictions, probabilities, warnings, scored.answers.milliseconds, len(rows))
        records.append(_record([(BatchJob(task.file, rows, task.request), request, outcome)], signature))
        yield 0
    return records


def _by_row(columns: Sequence[Sequence[Any]], outputs: Sequence[Output]) -> tuple[Sequence[Any], Sequence[Any] | None]:
    """Return predictions and probabilities as an answer to a request has them. `columns`: those of
    `scoring.predict.predict_columns`."""
    predictions = together(columns[: len(outputs)], outputs)
    if not outputs[0].probabilities:
        return predictions, None
    rest, tables = iter(columns[len(outputs) :]), []
    for output in outputs:
        labels = list(map(str, output.shown_labels))
        tables.append([dict(zip(labels, row, strict=True)) for row in zip(*islice(rest, len(labels)), strict=True)])
    return predictions, together(tables, outputs)


def _grouped(answered: Sequence[_Answered]) -> Iterator[list[_Answered]]:
    """Yield the jobs of a row that leave out the same inputs and belong to the same experiment, and each other job
    alone."""
    groups: dict[tuple[object, tuple[str, ...]], list[_Answered]] = {}
    for entry in answered:
        job, logged, _ = entry
        if len(job.rows) == 1:
            groups.setdefault((logged.get("experiment"), tuple(logged.get("leave_out", ()))), []).append(entry)
        else:
            yield [entry]
    yield from groups.values()


def _record(answered: Sequence[_Answered], signature: Signature) -> LogRecord:
    """Return one record: lists with a value for each row, or with one for all rows of the only job."""
    jobs, requests, outcomes = zip(*answered, strict=True)
    rows = jobs[0].rows if len(jobs) == 1 else [job.rows[0] for job in jobs]
    left_out = requests[0].get("leave_out", ())
    record = {
        "count": len(rows),
        "job_id": [job.id for job in jobs],
        "request_id": [RequestIds.of_job(job.request, job.id).request_id if job.request else None for job in jobs],
        "accepted_at": [request.get("accepted_at") for request in requests],
        "alias": [request.get("alias") for request in requests],
        "owner": [request.get("owner") for request in requests],
        "id": _joined([request.get("ids") for request in requests]),
        "number": _joined([request.get("numbers") for request in requests]),
        "leave_out": left_out,
        "inputs": _inputs(rows, signature, left_out),
        "prediction": unnamed(_joined([outcome.predictions for outcome in outcomes]), signature),
        "probabilities": flat(_joined([outcome.probabilities for outcome in outcomes]), signature),
        "warnings": [
            [*request.get("warnings", ()), *_without(outcome.warnings, left_out)]
            for request, outcome in zip(requests, outcomes, strict=True)
        ],
        "milliseconds": [outcome.predict_ms for outcome in outcomes],
    }
    experiment = requests[0].get("experiment", "")
    complete = dumps({**record, "inputs": _inputs(rows, signature, ())}) if experiment and left_out else b""
    return LogRecord(len(rows), dumps(record), experiment, complete)


def shadow_record(
    record: Mapping[str, Any],
    kept: Sequence[int],
    rows: Sequence[Row],
    signature: Signature,
    answers: Mapping[str, Any],
) -> LogRecord:
    """Return the record of a candidate, which has the `signature`: the `rows` that it has scored, and the members with
    its `answers`. `record`: that of the version that was asked; `kept`: the numbers that the rows have there."""
    several = len(record["job_id"]) > 1
    numbers = record["number"] or (None if several else range(record["count"]))
    made = {
        "count": len(kept),
        **{name: _chosen(record[name], kept) if several else record[name] for name in _OF_REQUESTS},
        "alias": [SHADOW_ALIAS],
        "id": _chosen(record["id"], kept),
        "number": _chosen(numbers, kept),
        "leave_out": record["leave_out"],
        "inputs": _inputs(rows, signature, record["leave_out"]),
        "warnings": [[]],
        **answers,
    }
    return LogRecord(len(kept), dumps(made))


def _chosen(values: Sequence[Any] | None, kept: Sequence[int]) -> Sequence[Any] | None:
    return values and [values[row] for row in kept]


def _joined(parts: Sequence[Sequence[Any] | None]) -> Sequence[Any] | None:
    """Return the values of all jobs, in order; None if none has any. Several jobs have one row each."""
    if len(parts) == 1:
        return parts[0]
    return None if parts.count(None) == len(parts) else [None if part is None else part[0] for part in parts]


def _inputs(rows: Sequence[Row], signature: Signature, left_out: Sequence[str]) -> Any:
    """Return the values of each input by its position in the signature, or the records."""
    if signature.format is RowFormat.RECORDS:
        return [{name: value for name, value in row[0].items() if name not in left_out} for row in rows]
    inputs = enumerate(zip(signature.names, by_column(rows), strict=len(rows) > 0))
    return {str(position): column for position, (name, column) in inputs if name not in left_out}


def flat(probabilities: Sequence[Any] | None, signature: Signature) -> Sequence[Any] | None:
    """Return the probabilities of each row by label; of several outputs by `output: label`."""
    if probabilities is None or len(signature.outputs) == 1:
        return unnamed(probabilities, signature)
    return [
        row and {f"{output}: {label}": share for output, labels in row.items() for label, share in labels.items()}
        for row in probabilities
    ]


def _without(warnings: Sequence[str], left_out: Sequence[str]) -> Sequence[str]:
    """Return the warnings but those about inputs that are left out: they quote values (`scoring.unusual`)."""
    if not (warnings and left_out):
        return warnings
    return [warning for warning in warnings if not warning.startswith(tuple(map(repr, left_out)))]
