"""Why requests to a model fail, and what to do, as sentences."""

from __future__ import annotations

from collections.abc import Mapping

from contract.wording import clean
from gateway.problems import ProblemCode

_OF_FIELDS: Mapping[str, str] = {
    "missing_field": "is missing",
    "misspelt_field": "is missing, and there is a field with much the same name",
    "not_a_boolean": "is not true or false",
    "not_a_datetime": "is not a date and time",
    "not_a_number": "is not a number",
    "not_a_string": "is not text",
    "not_a_value": "is not a number, text, true, false or a list of texts",
    "not_an_id": "is not an id",
    "not_an_integer": "is not a whole number",
    "null_not_allowed": "is null",
    "out_of_range": "is out of range",
    "repeated_field": "is given more than once",
    "unknown_category": "is a category that the model does not know",
}
"""What is wrong with a field, by the code of its error."""

_OTHERS: Mapping[str, tuple[str, str]] = {
    "no_rows": ("the request has no rows", "Send at least one row."),
    "not_a_row": ("a row is not an object or a list of values", "Send each row as an object of names and values."),
    "wrong_length": ("rows have more or fewer values than the model has inputs", "Send a value for each input."),
    ProblemCode.BODY_TOO_LARGE: ("the body is too large", "Send the rows as a file."),
    ProblemCode.TOO_MANY_ROWS: ("the request has more rows than may wait", "Send the rows as a file."),
    ProblemCode.RATE_LIMIT: ("the key sends too many rows a second", "Send fewer, or ask an admin for a higher limit."),
    ProblemCode.MISSING_SCOPE: ("the key may not predict", "An admin can give out a key with the scope `predict`."),
    ProblemCode.UNKNOWN_MODEL: (
        "the version or alias does not exist, or the key may not use the model",
        "Name one of its versions, or ask an admin for a key of the model.",
    ),
    ProblemCode.MISSING_KEY: ("the request has no key", "Send a key in the header `Authorization`."),
    ProblemCode.INVALID_KEY: ("the key does not exist, or was revoked", "Ask an admin for another one."),
    ProblemCode.EXPIRED_KEY: ("the key has expired", "An admin can rotate it."),
    ProblemCode.QUEUE_FULL: ("the queue of the model is full", "Start more workers, or send fewer rows at once."),
    ProblemCode.NOT_IN_TIME: ("the answer took longer than the request may wait", "Send fewer rows at once."),
    ProblemCode.MODEL_ERROR: ("the model raised an error", "The log of the worker has the traceback."),
    ProblemCode.TIMEOUT: ("the model took longer than PREDICT_TIMEOUT", "Find the row that hangs, one at a time."),
    ProblemCode.WORKER_CRASHED: ("the scorer died", "The log of the worker says why."),
    ProblemCode.OUT_OF_MEMORY: ("the scorer had too little memory", "Send fewer rows, or give the worker more memory."),
    "expired": ("the job expired before it was started", "Start more workers, or wait longer (Cancel-After)."),
    "others": ("further causes, which are not told apart", "Correct the ones above first."),
}
"""What is wrong, and what to do, by the code of an error of whole rows, of a problem or of a job's failure."""


def sentence_of(code: str, field: str, field_code: str) -> str:
    """Return why requests fail, such as `months is not a number`."""
    if field_code in _OF_FIELDS:
        return f"{clean(field) or 'a field that the model does not have'} {_OF_FIELDS[field_code]}"
    return _OTHERS.get(field_code or code, ((field_code or code).replace("_", " "), ""))[0]


def remedy_of(code: str, field_code: str) -> str:
    """Return what to do about it; '' if only the problem itself says so."""
    return _OTHERS.get(field_code or code, ("", ""))[1]
