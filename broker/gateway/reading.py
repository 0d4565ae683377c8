"""Jobs as the gateway reads them: from their hashes in Redis, and from the messages that they have ended."""

from __future__ import annotations

import base64
import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any

from broker.job_kinds import kind_of, readable_kinds
from broker.records import COMMON_FIELDS, STATUSES
from broker.scripts import Step
from contract.jobs import Job


@functools.cache
def job_fields() -> tuple[str, ...]:
    """The fields that are read of a job whose kind is not known yet."""
    return (*COMMON_FIELDS, *(name for kind in readable_kinds() for name in kind.fields))


def read_steps(job_id: str) -> tuple[Step, Step]:
    """Return the two commands whose answers `job_from_answers` takes."""
    return (
        ("HMGET", f"rq:job:{job_id}", *job_fields()),
        ("XREVRANGE", f"rq:results:{job_id}", "+", "-", "COUNT", 1),
    )


def job_from_answers(job_id: str, values: Sequence[bytes | None], result: Sequence[Any]) -> Job | None:
    """Return the job, or None if there is none, or if it belongs to another program."""
    data: dict[str, Any] = {
        name: value.decode(errors="replace") for name, value in zip(job_fields(), values, strict=True) if value
    }
    queue = data.get("origin", "")
    kind = kind_of(queue)
    if data.get("status") not in STATUSES or kind is None or kind.read is None:
        return None
    if kind.pinned and "version" not in data:
        return None
    for name, parse in (("failure", json.loads), *kind.fields.items()):
        if name in data:
            data[name] = parse(data[name])
    if data["status"] == "finished" and result:
        data["result"] = json.loads(base64.b64decode(result[0][1][b"return_value"]))
    data["id"] = job_id
    return kind.read(data, kind.name, kind.model_of(queue))


def parse_reply(message: bytes) -> list[tuple[str, Job | None]]:
    """Return the ids in a message on a reply channel, each with its job; None where the job has to be read, because it
    is too large for a message or its kind is not published.

    Lines that cannot be parsed are skipped: a message is a hint, and a listener also looks from time to time.
    """
    ended: list[tuple[str, Job | None]] = []
    for line in message.split(b"\n"):
        try:
            data = json.loads(line)
            ended.append((data["id"], _published_job(data)))
        except (ValueError, TypeError, KeyError):
            continue
    return ended


def _published_job(data: Mapping[str, Any]) -> Job | None:
    if "status" not in data:
        return None
    queue = data["origin"]
    kind = kind_of(queue)
    if kind is None or kind.read is None or not kind.published:
        return None
    return kind.read(data, kind.name, kind.model_of(queue))
