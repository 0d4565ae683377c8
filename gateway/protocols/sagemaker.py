"""SageMaker's InvokeEndpoint: CSV without a header, JSON, lines of JSON or arrays of NumPy, in and out.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html and
https://docs.aws.amazon.com/sagemaker/latest/dg/cdf-inference.html
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from contract.errors import Code
from contract.model.signature import Signature
from contract.rows.instances import Instances
from contract.work.jobs import Job
from gateway.problems import MalformedBody, ProblemCode
from gateway.protocols import csv_rows, native, npy
from gateway.protocols.offload import offload_large

CSV, JSON, JSON_LINES, NPY = "text/csv", "application/json", "application/jsonlines", npy.CONTENT_TYPE
TYPES = (CSV, JSON, JSON_LINES, NPY)
VARIANT_HEADER = "x-Amzn-Invoked-Production-Variant"
REQUEST_ID = "x-amzn-RequestId"


_FIRST_LINE = re.compile(rb"[^\r\n]{0,500000}")
"""What may be a header."""
_OF_THE_MODEL = (Code.MODEL_ERROR, Code.OUT_OF_MEMORY, Code.TIMEOUT, Code.WORKER_CRASHED, ProblemCode.NOT_IN_TIME)
_ERRORS = {
    401: "AccessDeniedException",
    403: "AccessDeniedException",
    429: "ThrottlingException",
    500: "InternalFailure",
    503: "ServiceUnavailable",
}
"""The type of an error by its status; all others are a ValidationError."""


@offload_large
def read_csv(body: bytes, signature: Signature, most_rows: int) -> Instances:
    """Return the rows in signature order, at most the first `most_rows`; or by name, if the first line has the names
    of the inputs. Raises `MalformedBody`."""
    body = body.removeprefix(codecs.BOM_UTF8)
    if not body.strip():
        raise MalformedBody("the body is empty; send rows as CSV, the values in the order of the model's inputs")
    first = _FIRST_LINE.match(body)[0].decode(errors="replace")  # type: ignore[index]
    try:
        cells = [cell.strip() for cell in next(csv.reader([first]), [])]
    except csv.Error:  # a cell of more than 128 KB is no name
        cells = [first]
    if not native.spellings(signature).issuperset(cells):
        body = _line(signature.names).encode() + body
    return csv_rows.read(body, most_rows)


@offload_large
def read_lines(body: bytes, signature: Signature, most_rows: int) -> Instances:
    """Return the rows of a body that has each as a line of JSON, at most the first `most_rows`. Raises `MalformedBody`
    and `InvalidInstances`."""
    lines = ((number, line) for number, line in enumerate(io.BytesIO(body), 1) if line.strip())
    values = [native.json_value(line, f"line {number}") for number, line in islice(lines, most_rows)]
    return native.unwrapped({"instances": values}, "instances", signature)


def model_in(target: str) -> str:
    """Return the model that a `TargetModel` names: an archive of that name, or the model itself."""
    return target.removeprefix("/").removesuffix(".tar.gz")


def accepts(accept: str | None) -> bool:
    """Return whether the client takes a type of ours."""
    return bool(_accepted(accept)[0])


def write(job: Job, accept: str | None) -> tuple[bytes, Mapping[str, str]]:
    """Return the body, and its headers, for a client that `accepts`. Raises `Problem` for what no array holds."""
    output: Mapping[str, Any] = job.output or {}
    kind, verbose = _accepted(accept)
    predictions = output["predictions"]
    probabilities = output.get("probabilities") or [None] * len(predictions)
    rows = zip(predictions, probabilities, strict=True)
    if kind == CSV:
        lines = ([*_cells(prediction), *(_cells(scores, ()) if verbose else ())] for prediction, scores in rows)
        body = "".join(map(_line, lines)).encode(errors="replace")
    elif kind == JSON_LINES:
        body = b"".join(native.line(_record(*row)) for row in rows)
    elif kind == NPY:
        body = npy.write_answers(predictions)
    else:
        body = native.line(native.predictions(job))
    return body, {"Content-Type": kind, VARIANT_HEADER: f"{job.model}@{job.version}"}


def _record(prediction: Any, probabilities: Any) -> dict[str, Any]:
    return {"prediction": prediction} | ({} if probabilities is None else {"probabilities": probabilities})


def _accepted(accept: str | None) -> tuple[str, bool]:
    """Return the type of the answer, '' for no type of ours, and whether `verbose=true` asks for probabilities."""
    for choice in (accept or "*/*").lower().split(","):
        kind, *options = (part.strip() for part in choice.split(";"))
        if kind in TYPES:
            return kind, "verbose=true" in options
        if kind in ("*/*", "application/*", ""):
            return JSON, False
        if kind == "text/*":
            return CSV, False
    return "", False


def _cells(value: Any, none: Sequence[object] = ("",)) -> Sequence[object]:
    """Return a value, or all of an object or a list, however deep."""
    if value is None:
        return none
    if isinstance(value, dict | list):
        parts = value.values() if isinstance(value, dict) else value
        return [cell for part in parts for cell in _cells(part)]
    return [value]


def _line(cells: Sequence[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


def error(status: int, code: str, sentence: str) -> tuple[object, Mapping[str, str]]:
    """Return an error as botocore reads it."""
    if code in _OF_THE_MODEL:
        body = {"Message": sentence, "OriginalStatusCode": status, "OriginalMessage": sentence}
        return body, {"x-amzn-ErrorType": "ModelError"}
    return {"Message": sentence}, {"x-amzn-ErrorType": _ERRORS.get(status, "ValidationError")}
