"""Jobs as the gateway reads them: from their hashes in Redis, and from the messages that they have ended."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from broker.link.scripts import Scripts, Step
from broker.records.job_kinds import JobKind, kind_of, readable_kinds
from broker.records.job_records import COMMON_FIELDS, PARTS, STATUSES, end_of
from contract.work.jobs import Job
from runtime.exact_json import loads


@functools.cache
def job_fields() -> tuple[str, ...]:
    """The fields that are read of a job whose kind and status are not known yet; first its status, last `PARTS`."""
    return (*COMMON_FIELDS, *(name for kind in readable_kinds() for name in kind.fields), *PARTS)


def read_jobs(scripts: Scripts, ids: Sequence[str]) -> list[Job | None]:
    """Return the jobs with these ids, None for one that does not exist. One round trip. Raises `RedisError`."""
    records = scripts.send([read_step(job_id) for job_id in ids]) if ids else []
    return [job_of(job_id, values) for job_id, values in zip(ids, records, strict=True)]


def read_end(scripts: Scripts, job_id: str) -> tuple[str | None, Mapping[str, Any]]:
    """Return RQ's status of a job of any kind (None: there is no such job), and its `result` or `failure`."""
    data = _fields(scripts.send([read_step(job_id)])[0])
    return data.get("status"), data


def read_step(job_id: str) -> Step:
    """Return the command whose answer `job_of` takes as `values`."""
    return ("HMGET", f"rq:job:{job_id}", *job_fields())


def job_of(job_id: str, values: Sequence[bytes | None]) -> Job | None:
    """Return the job, or None if there is none, or if it belongs to another program."""
    data = _fields(values)
    queue = data.get("origin", "")
    kind = kind_of(queue)
    if data.get("status") not in STATUSES or kind is None or kind.read is None:
        return None
    if kind.pinned and "version" not in data:
        return None
    for name, parse in kind.fields.items():
        if isinstance(data.get(name), str):
            data[name] = parse(data[name])
    return _read(kind, queue, data | {"id": job_id})


def _fields(values: Sequence[bytes | None]) -> dict[str, Any]:
    """Return the fields that a job has. Only those of its end are parsed."""
    plain = zip(job_fields()[: -len(PARTS)], values, strict=False)
    data: dict[str, Any] = {name: value.decode(errors="replace") for name, value in plain if value}
    return data | end_of(values[-len(PARTS) :])


_ANSWERS = b',"predictions":'
"""What begins the answers in a message; they are its end (`PredictionOutcome.to_json`). No text in JSON holds these
bytes."""


def parse_reply(message: bytes) -> list[tuple[str, Job | None]]:
    """Return the ids in a message on a reply channel, each with its job; None where the job has to be read, because it
    is too large for a message or its kind is not published.

    Lines that cannot be parsed are skipped: a message is a hint, and a listener also looks from time to time.
    """
    ended: list[tuple[str, Job | None]] = []
    for line in message.split(b"\n"):
        try:
            known, answered, answers = line.partition(_ANSWERS)
            data = loads(known + b"}}" if answered else line)
            if answered:
                data["result"]["answers"] = _ANSWERS[1:] + answers[:-2]
            ended.append((data["id"], _published_job(data)))
        except (ValueError, TypeError, KeyError):
            continue
    return ended


def _published_job(data: dict[str, Any]) -> Job | None:
    if "status" not in data:
        return None
    queue = data["origin"]
    kind = kind_of(queue)
    return _read(kind, queue, data) if kind is not None and kind.published else None


def _read(kind: JobKind, queue: str, data: dict[str, Any]) -> Job | None:
    """Return the job with these fields, or None if its kind is not shown. In the queue of an owner all jobs are the
    owner's, in others each may have a field `owner`."""
    if kind.read is None:
        return None
    if owner := kind.owner_of(queue):
        data["owner"] = owner
    return kind.read(data, kind.name, kind.model_of(queue))
