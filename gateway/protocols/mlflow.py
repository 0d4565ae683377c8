"""The protocol of MLflow's scoring server (2.0 and later): one of four shapes of rows, or CSV with a header, in;
`{"predictions": …}` out. https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contract.errors import InvalidInstances
from contract.model.signature import Signature
from contract.rows.instances import Grid, Instances
from contract.wording import listed, shown
from contract.work.jobs import Job
from gateway.problems import MalformedBody, Problem, ProblemCode, codes
from gateway.protocols import native
from gateway.protocols.offload import offload_large

VERSION = "2.0.0"
"""The first release of MLflow with this protocol."""

_SHAPES = ("dataframe_split", "dataframe_records", "instances", "inputs")
_METHOD = "predict_method"

STATUSES = {code: 400 for code, status in codes.STATUSES.items() if status == 422}
"""The statuses of problems by code, where they are not ours: MLflow has no 422."""
_CODES = {
    400: "BAD_REQUEST",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "RESOURCE_DOES_NOT_EXIST",
    409: "RESOURCE_CONFLICT",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL_ERROR",
    503: "TEMPORARILY_UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
"""MLflow's name for each status."""


def check_parameters(content_type: str) -> None:
    """Raise `Problem` (415) for parameters of a media type that MLflow refuses, too: all but UTF-8."""
    pairs = (part.partition("=") for part in content_type.lower().split(";")[1:] if part.strip())
    parameters = {name.strip(): value.strip(' "') for name, _, value in pairs}
    if parameters.get("charset", "utf-8") != "utf-8":
        detail = f"the charset {shown(parameters['charset'])} is not supported; send UTF-8"
        raise Problem(ProblemCode.UNSUPPORTED_MEDIA_TYPE, detail)
    if others := [name for name in parameters if name != "charset"]:
        detail = f"the media type has the parameter {shown(others[0])}; send application/json or text/csv without it"
        raise Problem(ProblemCode.UNSUPPORTED_MEDIA_TYPE, detail)


@offload_large
def read(body: bytes, signature: Signature) -> tuple[Instances, str | None]:
    """Return the rows in a JSON body, and the method that its `params` name. Raises `MalformedBody`."""
    value = native.python_json(body)
    shapes = [shape for shape in _SHAPES if shape in value] if isinstance(value, dict) else []
    if not isinstance(value, dict) or len(shapes) != 1:
        content = listed(shapes) if shapes else shown(value)
        raise MalformedBody(f"the body must be an object with exactly one of {listed(_SHAPES)}; it has {content}")
    try:
        rows = _rows(value, shapes[0], signature)
    except InvalidInstances as error:  # of the shape, not of a value in it, which MLflow tells apart
        raise MalformedBody(str(error)) from None
    return rows, _method(value.get("params"))


def by_position(instances: Instances, signature: Signature) -> Instances:
    """Return a table with its columns in the order of the inputs, and a remark, if the model was fitted without names
    and those of the columns mean nothing to it: MLflow gives it the columns as an array."""
    if not isinstance(instances, Grid) or not instances.columns or not signature.nameless:
        return instances
    names, inputs = instances.columns, signature.names
    known = {signature.id_field, *native.spellings(signature)}
    if len({*names}) != len(inputs) or len(names) != len(inputs) or not known.isdisjoint(names):
        return instances
    numbered = tuple(f"x{name}" for name in names)
    if instances.separator and {*numbered} == {*inputs}:
        inputs = numbered
    elif any(map(_is_number, names)):  # perhaps the first row of a CSV without a header
        return instances
    remark = f"the model was fitted without names, so {listed(names)} were taken for {listed(inputs)}"
    return Grid(inputs, instances.rows, instances.separator, [*instances.remarks, remark], names)


def _is_number(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True


def _rows(value: dict[str, Any], shape: str, signature: Signature) -> Instances:
    split = value[shape] if shape == "dataframe_split" else None
    if isinstance(split, dict) and "columns" not in split and isinstance(split.get("data"), list):
        return Grid(None, split["data"])
    rows = native.unwrapped(value, shape, signature)
    # Objects have no order: many writers of JSON sort their names.
    return by_position(rows, signature) if shape == "dataframe_split" else rows


def _method(params: object) -> str | None:
    if params is None:
        return None
    method = params.get(_METHOD, "") if isinstance(params, dict) else None
    if not isinstance(method, str):
        raise MalformedBody(f"params must be an object, and its {_METHOD} the name of a method; it is {shown(params)}")
    return method or None


def write(job: Job, method: str | None) -> tuple[bytes, Mapping[str, str]]:
    """Return the body, and its headers. Warnings stand beside the predictions if there are any, and so do probabilities
    unless the request names the `method`: then the answer is what it returns, as with MLflow."""
    warnings = {"warnings": job.warnings} if job.warnings else {}
    output: Mapping[str, Any] = job.output or {}
    answers = {"predictions": output["predictions"]} if method else native.predictions(job)
    return native.line({**answers, **warnings}), {"Content-Type": "application/json"}


def error(status: int, code: str, sentence: str) -> tuple[object, Mapping[str, str]]:
    name = "INVALID_PARAMETER_VALUE" if code in STATUSES else _CODES.get(status, "BAD_REQUEST")
    return {"error_code": name, "message": sentence}, {}
