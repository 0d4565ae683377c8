"""The failures that cross a process border, as data: a code, a sentence, details."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Code(StrEnum):
    """Why a job failed. A code never changes its meaning; clients compare with it."""

    MODEL_NOT_FOUND = "model_not_found"
    MODEL_EXISTS = "model_exists"
    MANIFEST_INVALID = "manifest_invalid"
    ARTIFACT_MISSING = "artifact_missing"
    ARTIFACT_CORRUPT = "artifact_corrupt"
    VERSION_MISMATCH = "version_mismatch"
    MODEL_ERROR = "model_error"
    JOB_REFUSED = "job_refused"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"
    INVALID_FILE = "invalid_file"
    INVALID_INSTANCES = "invalid_instances"
    SPOOL_FAILED = "spool_failed"
    SPOOL_FULL = "spool_full"
    WORKER_CRASHED = "worker_crashed"
    TRAINING_FAILED = "training_failed"
    TRAINER_CRASHED = "trainer_crashed"
    OBSERVER_CRASHED = "observer_crashed"
    OBSERVER_FAILED = "observer_failed"
    NO_DATA = "no_data"
    NOT_PUBLISHED = "not_published"
    MODELS_FULL = "models_full"
    STORE_AWAY = "store_away"
    NOT_TRUSTED = "not_trusted"
    NOT_SIGNED = "not_signed"
    NOT_LOADED = "not_loaded"
    INVALID_ALIAS = "invalid_alias"
    ALIAS_NOT_FOUND = "alias_not_found"
    CURRENT_REQUIRED = "current_required"
    NO_PREVIOUS = "no_previous"
    ALIAS_MOVED = "alias_moved"
    VERSION_IN_USE = "version_in_use"
    APPROVAL_REQUIRED = "approval_required"
    NOT_PROTECTED = "not_protected"
    SECOND_PERSON_NEEDED = "second_person_needed"
    PROMOTION_NOT_FOUND = "promotion_not_found"
    EXPERIMENT_RUNS = "experiment_runs"
    EXPERIMENT_REFUSED = "experiment_refused"
    EXPERIMENT_NOT_FOUND = "experiment_not_found"


MAX_ERRORS = 100
"""Most errors in the answer to a training request."""


@dataclass(frozen=True)
class Failure:
    """A failure as callers see it: `code` for programs, `message` (one sentence) for people."""

    code: str
    message: str
    details: Mapping[str, object] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        return {"code": str(self.code), "message": self.message, "details": dict(self.details)}

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> Failure:
        details = data.get("details")
        return cls(
            code=str(data.get("code", "")),
            message=str(data.get("message", "")),
            details=details if isinstance(details, dict) else {},
        )


class ModelgateError(Exception):
    """The exception that carries a `Failure`. Its message is `what`, after the `subject` if there is one."""

    def __init__(self, code: str, what: str, subject: str = "", /, **details: object) -> None:
        message = f"{subject} {what}" if subject else what
        super().__init__(message)
        self.what = what
        self.failure = Failure(code, message, details)

    @classmethod
    def from_failure(cls, failure: Failure) -> ModelgateError:
        """Return the exception for a failure that another process has sent."""
        return cls(failure.code, failure.message, **failure.details)


def version_error(code: str, model: str, version: int, what: str, **details: object) -> ModelgateError:
    """Return the error `version 3 of the model 'loan' <what>`."""
    subject = f"version {version} of the model {model[:64]!r}"
    return ModelgateError(code, what, subject, model=model, version=version, **details)


@dataclass(frozen=True)
class FieldError:
    """One wrong value of a request: `row` counts from 0; `field` is None when the whole row is wrong. `sent` is the
    name by which the client has sent it, if it has named it; it is not shown. `misspelt`: it is missing, and the row
    has a name much like it."""

    row: int | None
    field: str | None
    code: str
    message: str
    sent: str | None = None
    misspelt: bool = False

    def to_json(self) -> dict[str, object]:
        return {"row": self.row, "field": self.field, "code": self.code, "message": self.message}


class InvalidInstances(Exception):
    """The rows of a request do not fit the signature.

    `errors` holds the first `SHOWN` errors in row order; `total` counts all of them. `instances`: the rows
    (`contract.rows.instances.Instances`) as the client has sent them, once they are known.
    """

    SHOWN = 1000
    instances: Any = None

    def __init__(self, errors: Sequence[FieldError], total: int | None = None) -> None:
        self.errors = tuple(errors[: self.SHOWN])
        self.total = len(errors) if total is None else total
        super().__init__(self.errors[0].message if self.errors else "invalid instances")

    def as_warning(self, refused: int, count: int) -> str:
        """Return the sentence for the caller of a lenient request with `refused` invalid rows among `count`."""
        more = f" (the first {len(self.errors)} of {self.total} errors)" if len(self.errors) < self.total else ""
        return f"{refused} of {count} rows cannot be used: their predictions are null, and output.errors says why{more}"


class SettingsError(Exception):
    """A setting is invalid; the message names it and says what to do."""
