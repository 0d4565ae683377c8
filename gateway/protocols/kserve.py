"""KServe's protocol, version 1: `{"instances": […]}` in, `{"predictions": […]}` out. Rows are read as our own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contract.work.jobs import Job
from gateway.protocols import native


def write(job: Job) -> tuple[bytes, Mapping[str, str]]:
    """Return the body, and its headers."""
    return native.line(native.predictions(job)), {"Content-Type": "application/json"}


def write_explanations(job: Job) -> tuple[bytes, Mapping[str, str]]:
    """Return the body, and its headers. An explanation has `value`, which is what it explains."""
    output: Mapping[str, Any] = job.output or {}
    return native.line({"explanations": output["predictions"]}), {"Content-Type": "application/json"}


def error(status: int, code: str, sentence: str) -> tuple[object, Mapping[str, str]]:
    del status, code
    return {"error": sentence}, {}
