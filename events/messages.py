"""What webhooks are sent: the body of each event, and the deliveries that it needs."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from broker.deliveries import Ended, Planned
from broker.job_kinds import FILE_PREDICTION, PREDICTION
from contract.errors import Failure
from contract.jobs import Job
from contract.webhooks import Subscription

LARGEST_BODY = 64 * 1024
"""Bytes of a body. Receivers refuse large ones, and a delivery waits in Redis until it has succeeded."""


def of_job(ended: Ended, subscriptions: Sequence[Subscription]) -> list[Planned]:
    """Return the deliveries for the end of a job: to its own URL, and to the subscriptions that ask for it."""
    body = _job_body(ended)
    planned = [Planned(f"msg_{ended.id}", ended.url, "", ended.event, body)] if ended.url else []
    return planned + [
        Planned(f"msg_{ended.id}_{one.name}", one.url, one.name, ended.event, body)
        for one in subscriptions
        if one.wants(ended.event, ended.model, ended.owner)
    ]


def of_model(event: str, at: str, data: Mapping[str, object], subscriptions: Sequence[Subscription]) -> list[Planned]:
    """Return the deliveries for an event of the model `data["name"]`."""
    body, message = _body(event, at, data), f"msg_{secrets.token_hex(16)}"
    return [
        Planned(f"{message}_{one.name}", one.url, one.name, event, body)
        for one in subscriptions
        if one.wants(event, str(data["name"]))
    ]


def _job_body(ended: Ended) -> bytes:
    if ended.job is None:
        known = {"id": ended.id, "kind": ended.kind, "status": ended.event.rpartition(".")[2]}
        return _body(ended.event, ended.at, {**known, "model": {"name": ended.model, "version": None}})
    body = _body(ended.event, ended.at, _shown(ended.job).to_json())
    if len(body) > LARGEST_BODY:
        body = _body(ended.event, ended.at, replace(_shown(ended.job), output=None).to_json())
    return body


def _shown(job: Job) -> Job:
    """Return the job as a webhook gets it. Who took it, why a prediction or a file failed, and the warnings of a file,
    which name columns, may tell more than the key that asked for it may know (scopes, `detail: terse`). So the job has
    to be read for that."""
    job = replace(job, worker="", warnings=() if job.kind == FILE_PREDICTION.name else job.warnings)
    if job.kind not in (PREDICTION.name, FILE_PREDICTION.name) or job.error is None:
        return job
    return replace(job, error=Failure(job.error.code, f"GET /v1/jobs/{job.id} has the reason"))


def _body(event: str, at: str, data: Mapping[str, Any]) -> bytes:
    return orjson.dumps({"type": event, "timestamp": at, "data": data})
