"""The jobs of the caller, and what happened to each."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, request

from broker.records.job_kinds import readable_kinds
from broker.records.lease_groups import TRAINERS
from broker.sides.gateway.listing import JobFilter
from contract.model.repository import CURRENT, PREVIOUS
from contract.model.version_metrics import lower_is_better
from contract.wording import decimals_of
from contract.work.api_keys import Scope
from contract.work.jobs import Job, Status
from contract.work.training import ANYWAY
from gateway.door.sessions import PATH
from gateway.http.exchange import caller
from gateway.http.rules import Level
from gateway.pages.layout import blueprint_of_pages, live_page, see
from gateway.pages.wording import seconds
from gateway.protocols.parameters import refusing
from gateway.serving.job_access import JobReader, scope_for
from gateway.serving.trainings import Trainings

_PER_PAGE = 20
_MOST_OUTPUT, _MOST_LOG = 20_000, 64_000
"""The most that a page shows: characters of an output, and bytes of a log."""

_KINDS = {kind.name: kind for kind in readable_kinds()}


@dataclass(frozen=True)
class Step:
    """A step in the life of a job. `at` is None if it is still to come. `by`: the worker or trainer, if the caller may
    know it."""

    title: str
    at: str | None
    note: str = ""
    by: str = ""


@dataclass(frozen=True)
class JobsPages:
    reader: JobReader
    trainings: Trainings

    def blueprint(self) -> Blueprint:
        routes = blueprint_of_pages("jobs")

        @routes.get("/jobs", level=Level.OWN, page=True)
        def index() -> Response:
            return live_page("jobs.html", self._list)

        @routes.get("/jobs/<job_id>", level=Level.OWN, page=True)
        def show(job_id: str) -> Response:
            return live_page("job.html", lambda: self._show(job_id))

        @routes.post("/jobs/<job_id>/cancel", level=Level.OWN, page=True, audit="cancel_job")
        def cancel(job_id: str) -> Response:
            self.reader.cancel(job_id)
            return see(f"{PATH}/jobs/{job_id}")

        return routes

    def _list(self) -> dict[str, object]:
        chosen = {name: request.args.get(name, "") for name in ("status", "kind", "model")}
        with refusing("begin at the first page again"):
            listed = self.reader.list(_filter(chosen), _PER_PAGE, request.args.get("cursor") or None)
        filters = {name: value for name, value in chosen.items() if value}
        return {
            "title": "Jobs",
            "jobs": listed.items,
            "chosen": chosen,
            "again": request.full_path.rstrip("?"),
            "older": urlencode({**filters, "cursor": listed.next_cursor}) if listed.next_cursor else None,
            "first": "cursor" not in request.args,
            "statuses": list(Status),
            "kinds": _KINDS,
        }

    def _show(self, job_id: str) -> dict[str, object]:
        job = self.reader.wait(job_id, 0, lambda: False)
        kind = _KINDS[job.kind]
        return {
            "title": f"{kind.title} {'with' if kind.pinned else 'of'} {job.model}",
            "job": job,
            "what": kind.title.lower(),
            "of_trainer": kind.group is TRAINERS,
            "steps": list(_steps(job)),
            "candidates": _candidates(job),
            "log": self._log(job) if kind.logged else None,
            "output": shown_output(job),
            "caveat": _caveat(job),
            "anyway": ANYWAY,
            "may_roll_back": self._may_roll_back(job),
            "may_cancel": not job.status.final and caller().allows(scope_for(job)),
        }

    def _may_roll_back(self, job: Job) -> bool:
        """Return whether the version of a training is the current one of its model, and replaced another."""
        if not job.version or not caller().allows(Scope.PUBLISH):
            return False
        aliases = self.trainings.repository.aliases(job.model)
        return aliases.get(CURRENT) == job.version and PREVIOUS in aliases

    def _log(self, job: Job) -> str:
        """Return the last whole lines of its log."""
        _, text = self.trainings.log(job, -_MOST_LOG - 1)  # a byte more: it says whether the first line is whole
        return (text if len(text) <= _MOST_LOG else text.partition(b"\n")[2]).decode(errors="replace")


def _filter(chosen: Mapping[str, str]) -> JobFilter:
    """Return the filter. Unknown statuses and kinds are ignored."""
    status = Status(chosen["status"]) if chosen["status"] in list(Status) else None
    kind = chosen["kind"] if chosen["kind"] in _KINDS else None
    return JobFilter(chosen["model"] or None, status, kind=kind)


def _steps(job: Job) -> Iterator[Step]:
    yield Step("Queued", job.created_at)
    ended = job.completed_at
    if job.started_at or not ended:
        yield Step("Taken", job.started_at, _taken(job), job.worker)
    yield Step(_ENDS.get(job.status, "End"), ended, _took(job))


_ENDS: Mapping[Status, str] = {
    Status.SUCCEEDED: "Succeeded",
    Status.FAILED: "Failed",
    Status.CANCELED: "Cancelled",
    Status.EXPIRED: "Expired",
}


def _taken(job: Job) -> str:
    metrics = job.metrics or {}
    rows = metrics.get("batch_rows")
    notes = [f"waited {_span(job.created_at, job.started_at)}"] if job.started_at else []
    if _KINDS[job.kind].staged and job.started_at:
        notes.append("in tasks, each by any worker")
    if isinstance(rows, int):
        notes.append(f"in a batch of {rows:,} row{'' if rows == 1 else 's'}")
    return ", ".join(notes)


def _candidates(job: Job) -> Mapping[str, Any] | None:
    """Return the candidates of a training, or those so far, as `contract.work.training.Progress` has them. `lower`:
    less is better; `decimals` suit the best one."""
    candidates: Any = (job.output or {}).get("candidates") or (job.progress or {}).get("candidates")
    if not candidates:
        return None
    return {
        **candidates,
        "lower": lower_is_better(candidates["metric"]),
        "decimals": decimals_of(candidates["items"][0]["mean"]),
    }


def _caveat(job: Job) -> str:
    """Return why a version needs a look although its training made it current; '' if nothing speaks against it."""
    output: Mapping[str, Any] = job.output or {}
    if not output.get("promoted"):
        return ""
    if output["version"] > 1 and not output.get("comparison"):
        return "It became current without a comparison with the version before it."
    return ""


def _took(job: Job) -> str:
    if not job.completed_at:
        return ""
    if job.started_at:
        return f"after {_span(job.started_at, job.completed_at)} of work"
    return f"before it started, {_span(job.created_at, job.completed_at)} after it was queued"


def _span(begin: str | None, end: str | None) -> str:
    if begin is None or end is None:
        return "?"
    return seconds(max(0.0, (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()))


def shown_output(job: Job) -> str | None:
    """Return the output as text, as far as a page shows it."""
    if job.output is None:
        return None
    text = io.StringIO()
    for piece in json.JSONEncoder(indent=2, ensure_ascii=False, default=str).iterencode(job.output):
        text.write(piece)
        if text.tell() > _MOST_OUTPUT:  # writing all of a large output takes seconds
            return f"{text.getvalue()[:_MOST_OUTPUT]}\n…"
    return text.getvalue()
