"""The verbs about schedules: of trainings, which the server does, and of predictions in a data lake."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from typer.core import TyperGroup

from modelgate.command.exits import ExitCode, Failed
from modelgate.command.repository import StoreOptions
from modelgate.command.session import Session, segment
from modelgate.command.terminal import count, moment, table
from modelgate.command.trainings import TrainingOptions
from modelgate.command.verbs import flag, option, verb
from modelgate.errors import ModelgateError
from modelgate.lake_schedules import LIST, LakeScheduler, why_failed

_TURN = 20.0
"""Seconds between two questions what is due."""


class _Schedules(TyperGroup):
    """`schedule loan …` is `schedule train loan …`, as it was before there were others."""

    default = "train"

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args[:1] not in ([name] for name in (*self.commands, "--help", "-h")):
            args = [self.default, *args]
        return list(super().parse_args(ctx, args))


group = typer.Typer(
    name="schedule",
    cls=_Schedules,
    help="Train models and score a data lake again and again. `schedule loan …` is short for `schedule train loan …`.",
)


@verb(group)
def train(
    session: Session,
    name: Annotated[
        str | None, typer.Argument(metavar="MODEL", help="The model; without it, all schedules are listed.")
    ] = None,
    cron: Annotated[
        str | None,
        typer.Argument(
            metavar="CRON",
            help="When, in UTC: '0 3 * * 1' is every Monday at three, @alarm whenever the model has drifted or"
            " degraded, at most once a day; '0 3 * * 1 @alarm' is both.",
        ),
    ] = None,
    delete: Annotated[bool, flag("Delete the schedule.", "--delete")] = False,
    *,
    options: TrainingOptions,
) -> None:
    """Show, set or delete when the server trains a model, or list all schedules."""
    if name is None:
        schedules, predictions = session.get("/v1/schedules")["items"], _predictions(session)
        tables = [*(_trainings(schedules) if schedules else ()), *(_lakes(predictions) if predictions else ())]
        session.show(schedules, lambda: tables or ["There are no schedules."])
        return
    path = f"/v1/models/{segment(name)}/schedule"
    request = options.to_json()
    if delete and (cron or request):
        raise Failed(f"--delete takes nothing else: modelgate schedule {name} --delete", ExitCode.USAGE)
    if delete:
        session.client.request("DELETE", path)
        session.show({"model": name, "deleted": True}, lambda: [f"the schedule of {name} is deleted"])
    elif cron is None and request:
        raise Failed(f"say when to train: modelgate schedule {name} '0 3 * * 1' …", ExitCode.USAGE)
    else:
        body = {"cron": cron, "request": request}
        entry = session.get(path) if cron is None else session.client.request("PUT", path, json=body)
        session.show(entry, lambda: _trainings([entry]))


@verb(group)
def predict(
    session: Session,
    reference: Annotated[
        str | None, typer.Argument(metavar="MODEL", help="The model, such as loan or loan@canary; without it, all.")
    ] = None,
    source: Annotated[
        str | None, typer.Argument(metavar="OBJECTS", help="What to score: 's3://lake/{date}/*.parquet'.")
    ] = None,
    cron: Annotated[
        str | None, typer.Argument(metavar="CRON", help="When, in UTC: '30 2 * * *' is every night at half past two.")
    ] = None,
    output: Annotated[
        str | None,
        option("The folder of the answers: 's3://lake/scored/{date}/'.", "--output", "-o", metavar="FOLDER"),
    ] = None,
    method: Annotated[str, option("Another method, such as decision_function or transform.")] = "predict",
    strict: Annotated[bool, flag("Refuse an object with a row that cannot be used.", "--strict")] = False,
    delete: Annotated[bool, flag("Delete the schedule.", "--delete")] = False,
) -> None:
    """Show, set or delete when the objects of a data lake are scored with a model.

    `modelgate schedule run` does it, wherever it runs: the server has no credentials of the lake. `{date}`,
    `{yesterday}`, `{year}`, `{month}`, `{day}` and `{hour}` are of the time, in UTC, when a run is due.
    """
    if reference is None:
        schedules = _predictions(session)
        session.show(schedules, lambda: _lakes(schedules) if schedules else ["No prediction is scheduled."])
        return
    name, path = reference.partition("@")[0], "/v1/models/{}/schedule/predict"
    if delete and (source or output):
        raise Failed(f"--delete takes nothing else: modelgate schedule predict {reference} --delete", ExitCode.USAGE)
    if delete:
        session.client.request("DELETE", path.format(segment(name)))
        session.show({"model": name, "deleted": True}, lambda: [f"the schedule of {name} is deleted"])
        return
    if source is None and output is None:
        entry = session.get(path.format(segment(name)))
    elif not (source and cron and output):
        how = f"modelgate schedule predict {reference} OBJECTS '30 2 * * *' -o FOLDER"
        raise Failed(f"say what to score, when, and where the answers go: {how}", ExitCode.USAGE)
    else:
        body = {"cron": cron, "source": source, "target": output, "method": method, "strict": strict}
        entry = session.client.request("PUT", path.format(segment(reference)), json=body)
        session.notes(["`modelgate schedule run` does it, where it may read and write the lake"])
    session.show(entry, lambda: _lakes([entry]))


@verb(group)
def run(session: Session, store_options: StoreOptions = None) -> None:
    """Do the scheduled predictions of your key's owner whenever they are due, until it is stopped.

    It reads and writes the lake with the credentials of its environment or of --store-options. It may be killed at any
    time: what is done is in the lake. Started twice, on another machine too, it does nothing twice.
    """
    scheduler = LakeScheduler(session.client, session.print, store_options)
    scheduler.turn()
    session.note("waiting for what is due; Ctrl-C stops")
    while True:
        time.sleep(_TURN)
        try:
            scheduler.turn()
        except ModelgateError as error:
            session.note(f"{error}; tried again in {_TURN:.0f} s")


def _predictions(session: Session) -> Sequence[Mapping[str, Any]]:
    items: Sequence[Mapping[str, Any]] = session.get(LIST)["items"]
    return items


def _trainings(schedules: Iterable[Mapping[str, Any]]) -> Iterable[RenderableType]:
    schedules = list(schedules)
    rows = [
        (entry["model"], entry["cron"], moment(entry["next_run"]), _last(entry), entry.get("owner"))
        for entry in schedules
    ]
    runs = [(entry["model"], entry.get("last_run") or {}) for entry in schedules]
    errors = [f"{model}: {run['error']['message']} (job {run['job']})" for model, run in runs if run.get("error")]
    waits = [(entry["model"], entry.get("alarms_wait_until")) for entry in schedules]
    held = [f"{model}: trained for an alarm within a day; no other before {moment(at)}" for model, at in waits if at]
    return [table(("MODEL", "CRON (UTC)", "NEXT RUN", "LAST RUN", "OWNER"), rows), *errors, *held]


def _last(schedule: Mapping[str, Any]) -> str:
    """Return how and when the last run ended, or that it has not."""
    run = schedule.get("last_run")
    return f"{run['status']} {moment(run['completed_at'] or run['started_at'])}".strip() if run else "none"


def _lakes(schedules: Iterable[Mapping[str, Any]]) -> Iterable[RenderableType]:
    schedules = list(schedules)
    rows = [
        (each["reference"], each["cron"], each["source"], each["target"], _next(each), _said(each), each.get("owner"))
        for each in schedules
    ]
    errors = [f"{each['model']}: {why_failed(each)}" for each in schedules if each["failed"]]
    return [table(("MODEL", "CRON (UTC)", "OBJECTS", "ANSWERS", "NEXT RUN", "LAST RUN", "OWNER"), rows), *errors]


def _next(schedule: Mapping[str, Any]) -> str:
    return f"{moment(schedule['next_run'])}{', is due' if schedule['due'] else ''}"


def _said(schedule: Mapping[str, Any]) -> str:
    """Return what was said last of a run, and when."""
    run = schedule["last_run"]
    if run is None:
        return "none"
    done = f", {count(run['objects'], 'object')}, {count(run['rows'], 'row')}" if run["status"] != "running" else ""
    return f"{run['status']} {moment(run['reported_at'])}{done}"
