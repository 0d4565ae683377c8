"""Jobs as the gateway reads them: from their hashes in Redis, and from the messages that they have ended."""

from __future__ import annotations

import base64
import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any

from broker.job_kinds import JobKind, kind_of, readable_kinds
from broker.records import COMMON_FIELDS, OLDER_FIELDS, PARTS, STATUSES, end_of
from broker.scripts import Scripts, Step
from contract.jobs import Job
from runtime.exact_json import loads


@functools.cache
def job_fields() -> tuple[str, ...]:
    """The fields that are read of a job whose kind and status are not known yet; first its status, last `PARTS`."""
    return (*COMMON_FIELDS, *OLDER_FIELDS, *(name for kind in readable_kinds() for name in kind.fields), *PARTS)


def read_jobs(scripts: Scripts, ids: Sequence[str]) -> list[Job | None]:
    """Return the jobs with these ids, None for one that does not exist. One round trip, and another if a release up to
    0.2 has finished some of them. Raises `RedisError`."""
    return [job_of(job_id, *found) for job_id, found in zip(ids, _answers(scripts, ids), strict=True)]


def read_end(scripts: Scripts, job_id: str) -> tuple[str | None, Mapping[str, Any]]:
    """Return RQ's status of a job of any kind (None: there is no such job), and its `result` or `failure`."""
    data = _fields(*_answers(scripts, [job_id])[0])
    return data.get("status"), data


def read_step(job_id: str) -> Step:
    """Return the command whose answer `job_of` takes as `values`."""
    return ("HMGET", f"rq:job:{job_id}", *job_fields())


def in_stream(values: Sequence[bytes | None]) -> bool:
    """Return whether the result of a job is in RQ's stream, where releases up to 0.2 have put it."""
    return values[0] == b"finished" and values[-len(PARTS)] is None


def job_of(job_id: str, values: Sequence[bytes | None], entries: Sequence[Any] = ()) -> Job | None:
    """Return the job, or None if there is none, or if it belongs to another program. `entries` are those of RQ's
    stream."""
    data = _fields(values, entries)
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


def _answers(scripts: Scripts, ids: Sequence[str]) -> list[tuple[Sequence[bytes | None], Sequence[Any]]]:
    """Return the fields of each job, and the entries of its stream if its result is there."""
    found = scripts.send([read_step(job_id) for job_id in ids]) if ids else []
    older = [job_id for job_id, values in zip(ids, found, strict=True) if in_stream(values)]
    steps = [("XREVRANGE", f"rq:results:{job_id}", "+", "-", "COUNT", 1) for job_id in older]
    entries = dict(zip(older, scripts.send(steps), strict=True)) if steps else {}
    return [(values, entries.get(job_id, ())) for job_id, values in zip(ids, found, strict=True)]


def _fields(values: Sequence[bytes | None], entries: Sequence[Any]) -> dict[str, Any]:
    """Return the fields that a job has. Only those of its end are parsed."""
    plain = zip(job_fields()[: -len(PARTS)], values, strict=False)
    data: dict[str, Any] = {name: value.decode(errors="replace") for name, value in plain if value}
    if "failure" in data:
        data["failure"] = json.loads(data["failure"])
    if entries:
        data["result"] = json.loads(base64.b64decode(entries[0][1][b"return_value"]))
    return data | end_of(values[-len(PARTS) :])


def parse_reply(message: bytes) -> list[tuple[str, Job | None]]:
    """Return the ids in a message on a reply channel, each with its job; None where the job has to be read, because it
    is too large for a message or its kind is not published.

    Lines that cannot be parsed are skipped: a message is a hint, and a listener also looks from time to time.
    """
    ended: list[tuple[str, Job | None]] = []
    for line in message.split(b"\n"):
        try:
            data = loads(line)
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
