"""What webhooks are sent: the body of each event, and the deliveries that it needs."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from broker.records.job_kinds import JOB_KINDS
from broker.sides.deliveries import Delivery, Ended, Planned
from contract.errors import Failure
from contract.work.jobs import Job
from contract.work.webhooks import Subscription, target

LARGEST_BODY = 64 * 1024
"""Bytes of a body. Receivers refuse large ones."""


def of_job(ended: Ended, subscriptions: Sequence[Subscription]) -> list[Planned]:
    """Return the deliveries for the end of a job: to its own URL, and to the subscriptions that ask for it."""
    targets = [(f"msg_{ended.id}", ended.url, "", ended.owner)] if ended.url else []
    targets += [
        (f"msg_{ended.id}_{subscription.name}", subscription.url, subscription.name, subscription.owner)
        for subscription in subscriptions
        if subscription.wants(ended.event, ended.model, ended.owner)
    ]
    return [
        Planned(message, url, name, ended.event, owner, _host(url), ended.at, ended.model)
        for message, url, name, owner in targets
    ]


def of_model(event: str, at: str, data: Mapping[str, object], subscriptions: Sequence[Subscription]) -> list[Planned]:
    """Return the deliveries for an event of the model `data["name"]`."""
    body, message, model = _body(event, at, data), f"msg_{secrets.token_hex(16)}", str(data["name"])
    wanted = [subscription for subscription in subscriptions if subscription.wants(event, model)]
    return [
        Planned(f"{message}_{to.name}", to.url, to.name, event, to.owner, _host(to.url), at, model, body)
        for to in wanted
    ]


def body_of(delivery: Delivery) -> bytes:
    """Return the body of a try. That of a job is made of the job as it is now, so that its output is stored once and is
    gone with it; then only its id, kind, status and model are known. A large output is a reference to it."""
    if delivery.body:
        return delivery.body
    job = delivery.job
    if job is None:
        kind, _, status = delivery.event.rpartition(".")
        model = {"name": delivery.model, "version": None}
        data = {"id": delivery.job_id, "kind": kind, "status": status, "model": model}
        return _body(delivery.event, delivery.at, data)
    body = _body(delivery.event, delivery.at, _shown(job).to_json())
    if len(body) > LARGEST_BODY:
        short = replace(_shown(job), output={"href": f"/v1/jobs/{job.id}"})
        body = _body(delivery.event, delivery.at, short.to_json())
    return body


def _host(url: str) -> str:
    try:
        return target(url).host
    except ValueError:
        return ""


def _shown(job: Job) -> Job:
    """Return the job as a webhook gets it. Who took it, why a version failed, and warnings that name columns may tell
    more than the key that asked for it may know (scopes, `detail: terse`). So the job has to be read for that."""
    kind = JOB_KINDS[job.kind]
    job = replace(job, worker="", warnings=() if kind.private_warnings else job.warnings)
    if not kind.pinned or job.error is None:
        return job
    return replace(job, error=Failure(job.error.code, f"GET /v1/jobs/{job.id} has the reason"))


def _body(event: str, at: str, data: Mapping[str, Any]) -> bytes:
    return orjson.dumps({"type": event, "timestamp": at, "data": data})
