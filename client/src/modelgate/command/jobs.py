"""The verbs about jobs: `jobs`, `job`, `cancel`, `log`, `download`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from rich.live import Live

from modelgate.command.exits import ExitCode, Failed
from modelgate.command.saving import deliver
from modelgate.command.session import Session, segment
from modelgate.command.terminal import count, moment, table
from modelgate.command.verbs import flag, option
from modelgate.jobs import KINDS, FileJob, Job

Id = Annotated[str, typer.Argument(metavar="JOB", help="The id of a job.")]
_PAUSE = 1.0
"""Seconds between two looks at what is watched."""
_HEADS = ("JOB", "KIND", "MODEL", "STATUS", "PROGRESS", "CREATED", "TOOK")


def jobs(
    session: Session,
    model: Annotated[str | None, option("Only jobs of this model.", metavar="NAME")] = None,
    status: Annotated[
        str | None, option("Only this status: queued, running, succeeded, failed, canceled or expired.")
    ] = None,
    kind: Annotated[str | None, option(f"Only this kind: {', '.join(KINDS)}.")] = None,
    limit: Annotated[int, option("How many jobs at most.", "--limit", "-n", min=1)] = 20,
    watch: Annotated[bool, flag("Keep the list up to date until Ctrl-C.", "--watch", "-w")] = False,
) -> None:
    """List your jobs, newest first."""

    def look() -> list[dict[str, Any]]:
        return session.items("/v1/jobs", limit, model=model, status=status, kind=kind)

    if not watch:
        jobs = look()
        session.show(jobs, lambda: [_list(jobs)] if jobs else ["There are no such jobs."])
        return
    with suppress(KeyboardInterrupt):  # which is how watching ends
        if session.out.is_terminal and not session.as_json:
            _watch(session, look)
        else:
            _follow(session, look)


def job(session: Session, job_id: Id) -> None:
    """Show a job: how far it is, or how it ended."""
    job = session.get(f"/v1/jobs/{segment(job_id)}")
    session.show(job, lambda: _description(job))


def cancel(session: Session, job_id: Id) -> None:
    """Cancel a job. One that has ended stays as it is."""
    job = session.client.request("POST", f"/v1/jobs/{segment(job_id)}/cancel")
    session.show(job, lambda: [f"{job['id']} is {job['status']}"])


def log(
    session: Session,
    job_id: Id,
    follow: Annotated[bool, flag("Go on until the training has ended.", "--follow", "-f")] = False,
) -> None:
    """Print the log of a training."""
    training, offset = session.client.job(job_id), 0
    while True:
        ended = not follow or training.refresh().done
        text, offset = training.read_log(offset)
        for line in text.splitlines():
            session.show({"line": line}, lambda line=line: [line])  # type: ignore[misc]
        if ended:
            return
        time.sleep(_PAUSE)


def download(
    session: Session,
    job_id: Id,
    output: Annotated[Path, option("Where to save it; - is standard output.", "--output", "-o", metavar="FILE")],
) -> None:
    """Save the scored file of a job that has ended."""
    job = session.client.job(job_id)
    if not isinstance(job, FileJob):
        raise Failed(f"{job_id} is a {job.kind}, which has no file; see `modelgate job {job_id}`")
    deliver(session, job, None if str(output) == "-" else output)


def wait_for(job: Job) -> None:
    """Wait until a job has succeeded. Raises `Failed` after Ctrl-C, which cancels it, and `JobFailed`."""
    try:
        job.wait()
    except KeyboardInterrupt:
        raise Failed(f"the {job.kind.replace('_', ' ')} {job.id} is {job.status}", ExitCode.INTERRUPTED) from None


def _watch(session: Session, look: Callable[[], list[dict[str, Any]]]) -> None:
    with Live(_list(look()), console=session.out, auto_refresh=False) as live:
        while True:
            time.sleep(_PAUSE)
            live.update(_list(look()), refresh=True)


def _follow(session: Session, look: Callable[[], list[dict[str, Any]]]) -> None:
    """Print a line for each change, for a file or another program."""
    seen: dict[str, object] = {}
    while True:
        for job in reversed(look()):
            state = job["status"], job["progress"]
            if seen.get(job["id"]) != state:
                seen[job["id"]] = state
                session.show(job, lambda job=job: ["  ".join(_row(job))])  # type: ignore[misc]
        time.sleep(_PAUSE)


def _list(jobs: Iterable[Mapping[str, Any]]) -> RenderableType:
    return table(_HEADS, map(_row, jobs), ("TOOK",))


def _row(job: Mapping[str, Any]) -> tuple[str, ...]:
    how_far = (job["error"] or {}).get("code") or ("" if job["completed_at"] else progress_of(job["progress"]))
    took = _seconds(job["started_at"], job["completed_at"])
    return (job["id"], job["kind"], model_of(job), job["status"], how_far, moment(job["created_at"]), took)


def model_of(job: Mapping[str, Any]) -> str:
    """Return `loan@3`, or `loan` while a training has made no version."""
    model = job["model"]
    return model["name"] if model["version"] is None else f"{model['name']}@{model['version']}"


def progress_of(progress: Mapping[str, Any] | None) -> str:
    """Return how far a job is, such as `scoring 40,000/100,000`."""
    if not progress:
        return ""
    done, total = progress.get("done"), progress.get("total")
    counted = "" if not total else f" {done or 0:,}/{total:,}"
    return f"{progress.get('phase') or ''}{counted}"


def _seconds(start: str | None, end: str | None) -> str:
    if not start or not end:
        return ""
    return f"{(datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds():.1f} s"


def _description(job: Mapping[str, Any]) -> Iterable[RenderableType]:
    yield f"{job['kind']} {job['id']} with {model_of(job)} is {job['status']}"
    yield ", ".join(f"{what} {moment(job[f'{what}_at'])}" for what in ("created", "started", "completed"))
    if job.get("owner"):
        yield f"owner: {job['owner']}"
    if job.get("worker"):
        yield f"taken by: {job['worker']}"
    if job["progress"] and not job["completed_at"]:
        yield f"progress: {progress_of(job['progress'])}"
    if job["error"]:
        yield f"error: {job['error']['message']} ({job['error']['code']})"
    for warning in job["warnings"]:
        yield f"warning: {warning}"
    if job["output"]:
        yield from _output(job["kind"], job["output"])


def _output(kind: str, output: Mapping[str, Any]) -> Iterable[str]:
    if kind == "training":
        yield output["verdict"] or f"version {output['version']}"
        yield f"promoted: {'yes' if output['promoted'] else 'no: ' + str(output['reason'])}"
    elif kind == "file_prediction":
        yield f"{count(output['rows'], 'row')}, {count(output['errors'], 'error')}"
    else:
        yield f"predictions: {str(output.get('predictions', output))[:1000]}"
