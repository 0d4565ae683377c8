"""Errors for a key with `detail: terse`, which reveal nothing of a model that the client has not sent.

They have the code, the row, the field as the client has sent it, and a general sentence. They name no other field,
category, version or model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from broker.records.job_kinds import JOB_KINDS
from contract.errors import Code, Failure, FieldError
from contract.wording import shown
from contract.work.jobs import Job
from gateway.problems.codes import ProblemCode

TERSE_SENTENCES: Mapping[str, str] = {
    ProblemCode.CANNOT_LOAD: "the version cannot be used: a worker cannot load it",
    ProblemCode.ENVIRONMENT_NOT_SERVED: "the version cannot be used now: no worker serves its environment",
    ProblemCode.INVALID_SIGNATURE: "the signature of the version cannot be changed in this way",
    ProblemCode.NO_BACKGROUND: "the version cannot be explained",
    ProblemCode.NO_CURRENT_VERSION: "the model has no current version; ask for one by its number or an alias",
    ProblemCode.NOT_SUPPORTED: "the model cannot answer with these outputs",
    ProblemCode.TIMED_OUT_TWICE: "these rows took longer than they may, twice, and are refused for some minutes",
    ProblemCode.UNFIT_MODEL: "the model cannot give the answer of this address",
    ProblemCode.UNKNOWN_METHOD: "the model does not have this method",
    ProblemCode.UNKNOWN_MODEL: "there is no such model, or it has no such version or alias",
    "no_report": "the version has no report",
    Code.ARTIFACT_CORRUPT: "the version cannot be used: its file was altered",
    Code.ARTIFACT_MISSING: "the version cannot be used: its file is missing",
    Code.INVALID_INSTANCES: "values of the file cannot be used; without Prefer: handling=strict, errors has their rows",
    Code.MANIFEST_INVALID: "the version cannot be used: its manifest is invalid",
    Code.MODEL_ERROR: "the model cannot answer these rows",
    Code.MODEL_NOT_FOUND: "the version is not in the model repository",
    Code.NOT_TRUSTED: "the version is not signed, or was altered",
    Code.VERSION_MISMATCH: "the version cannot be used: its libraries do not fit those of the workers",
}
"""The sentence for each problem, and each failure of a prediction, whose full text reveals something of a model."""

HARMLESS_CODES = frozenset(
    {"ambiguous_body", "no_rows", "not_a_row", "not_instances", "too_many_layouts", "wrong_index"}
)
"""Codes of errors whose full text is only about the rows as the client sent them."""

GENERAL_MESSAGES: Mapping[str, str] = {
    "missing_field": "inputs of the model are missing",
    "no_header": "the first line of the CSV has no input of the model",
    "too_many_names": "there are far more names than the model has inputs",
    "wrong_length": "the number of values is not that of the names, or of the inputs of the model",
}
"""The messages of errors that are not about a single value."""

EXPECTED: Mapping[str, str] = {
    "not_a_boolean": "must be true or false",
    "not_a_datetime": "must be a date, or a date and time in ISO 8601, such as '2024-05-17T10:30:00Z'",
    "not_a_number": "must be a finite number",
    "not_a_string": "must be text",
    "not_a_value": "must be a number, a text, true, false or a list of texts",
    "not_an_id": "must be text of up to 256 characters, a number, true, false or null",
    "not_an_integer": "must be a whole number",
    "null_not_allowed": "must not be null",
    "out_of_range": "must be a whole number from -2**63 to 2**63 - 1",
    "repeated_field": "is given more than once",
    "unknown_category": "must be one of the texts that the model knows",
}
"""What a value must be, for the errors of a single value."""


def terse_errors(errors: Sequence[FieldError]) -> list[FieldError]:
    """Return errors in rows as a terse key sees them. Equal ones become one, because their number would reveal
    something."""
    return list(dict.fromkeys(map(_terse_error, errors)))


def terse_job(job: Job) -> Job:
    """Return a job as a terse key sees it. The failure of one without a version, such as a training, stays: it is about
    what its owner has sent."""
    if job.worker:
        job = job.without_worker()
    job = job.with_public_warnings()
    if not JOB_KINDS[job.kind].pinned or job.error is None or job.error.code not in TERSE_SENTENCES:
        return job
    return replace(job, error=Failure(job.error.code, TERSE_SENTENCES[job.error.code]))


def _terse_error(error: FieldError) -> FieldError:
    if error.code in HARMLESS_CODES:
        return error
    message = GENERAL_MESSAGES.get(error.code)
    if message is None:
        message = f"{'a value' if error.sent is None else shown(error.sent)} {EXPECTED[error.code]}"
    return FieldError(error.row, error.sent, error.code, message)
