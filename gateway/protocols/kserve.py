"""KServe's protocol, version 1: `{"instances": […]}` in, `{"predictions": […]}` out. Rows are read as our own."""

from __future__ import annotations

from collections.abc import Mapping

from contract.work.jobs import Job
from gateway.protocols import native

JSON = {"Content-Type": "application/json"}


def write(job: Job) -> tuple[bytes, Mapping[str, str]]:
    """Return the body, and its headers. Probabilities stand beside the predictions, where a model has them."""
    output = job.output or {}
    beside = {name: output[name] for name in ("probabilities",) if output.get(name) is not None}
    return native.line({"predictions": output["predictions"], **beside}), JSON


def error(status: int, code: str, sentence: str) -> tuple[object, Mapping[str, str]]:
    del status, code
    return {"error": sentence}, {}
