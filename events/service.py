"""The service: turns events into deliveries, makes what each sends, and tries these until they succeed."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import takewhile

from redis import Redis
from redis.exceptions import OutOfMemoryError, RedisError

from broker.link.outbox import Outbox
from broker.metrics.counts import Counts
from broker.metrics.table import WEBHOOK_TRIES, WEBHOOKS
from broker.records.job_kinds import JOB_KINDS
from broker.sides.deliveries import Deliveries, Delivery, Ended, Planned, host_of, of_event
from broker.state.boards import HealthBoard
from broker.state.presence import SENDERS, Presence
from broker.state.webhook_store import Webhooks, body_of_event
from contract.errors import Failure
from contract.model.experiments import Experiment
from contract.model.model_health import ModelHealth
from contract.model.repository import CURRENT, Repository
from contract.work.jobs import Job, timestamp_now
from contract.work.webhooks import Format, Subscription
from events.sender import GONE, Sender, Try, pause_after
from runtime.outages import Duties

LARGEST_BODY = 64 * 1024
"""Bytes of a body. Receivers refuse large ones."""


def of_job(ended: Ended, subscriptions: Sequence[Subscription]) -> list[Planned]:
    """Return the deliveries for the end of a job: to its own URL, and to the subscriptions that ask for it."""
    targets = [(f"msg_{ended.id}", ended.url, "", ended.owner, b"")] if ended.url else []
    targets += [
        (
            f"msg_{ended.id}_{one.name}",
            one.url,
            one.name,
            one.owner,
            _in_chat(ended) if one.format is Format.CHAT else b"",
        )
        for one in subscriptions
        if one.wants(ended.event, ended.model, ended.owner)
    ]
    return [
        Planned(message, url, name, ended.event, owner, host_of(url), ended.at, ended.model, body)
        for message, url, name, owner, body in targets
    ]


def _in_chat(ended: Ended) -> bytes:
    data = _shown(ended.job).to_json() if ended.job else {"name": ended.model}
    return body_of_event(ended.event, ended.at, data, Format.CHAT)


def of_model(event: str, at: str, data: Mapping[str, object], subscriptions: Sequence[Subscription]) -> list[Planned]:
    """Return the deliveries for an event of the model `data["name"]`."""
    return of_event(event, at, data, [one for one in subscriptions if one.wants(event, str(data["name"]))])


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
        return body_of_event(delivery.event, delivery.at, data)
    body = body_of_event(delivery.event, delivery.at, _shown(job).to_json())
    if len(body) > LARGEST_BODY:
        short = replace(_shown(job), output={"href": f"/v1/jobs/{job.id}"})
        body = body_of_event(delivery.event, delivery.at, short.to_json())
    return body


def _shown(job: Job) -> Job:
    """Return the job as a webhook gets it. Who took it, why a version failed, and warnings that name columns may tell
    more than the key that asked for it may know (scopes, `detail: terse`). So the job has to be read for that."""
    job = replace(job, worker="").with_public_warnings()
    if not JOB_KINDS[job.kind].pinned or job.error is None:
        return job
    return replace(job, error=Failure(job.error.code, f"GET /v1/jobs/{job.id} has the reason"))


@dataclass(frozen=True)
class ModelWatch:
    """Reports the changes since the last look, by this process or another: what was reported is in Redis."""

    repository: Repository
    board: HealthBoard
    deliveries: Deliveries
    subscriptions: Callable[[], Sequence[Subscription]]

    def look(self) -> None:
        """Plan the deliveries for all changes. The first look of an installation reports nothing."""
        said = self.board.read()
        states = {name: self._state(name, said) for name in self.repository.names()}
        known = self.deliveries.models()
        if not known:
            self.deliveries.know_models(states)
            return
        for model in sorted(states.keys() | known.keys() - {""}):
            before, after = known.get(model, ""), states.get(model, "")
            if before != after:
                self._report(model, before, after, said)

    def _state(self, model: str, said: Mapping[str, ModelHealth]) -> str:
        """Return the current and the newest version of a model, such as `3:4`; if something was found about the current
        one, what it is and since when, such as `3:4:drifted:2026-11-27T09:00:00+00:00`; and if an experiment has ended,
        or a second person is asked, the ids of the last experiment and of the request, such as `3:4:|x1|p1`."""
        current = self.repository.aliases(model)[CURRENT]
        state = f"{current}:{max(self.repository.versions(model), default=0)}"
        health, ended = said.get(f"{model}@{current}"), self._ended_experiments(model)
        found = f":{health.state}:{health.changed_at}" if health and health.findings else ""
        waiting = self.repository.settings(model).waiting
        ids = [ended[0].id if ended else "", *([waiting.id] if waiting else [])]
        return state + found + (f"{'' if found else ':'}|{'|'.join(ids)}" if any(ids) else "")

    def _ended_experiments(self, model: str) -> Sequence[Experiment]:
        """Return those of a model that have ended, the newest first."""
        return [one for one in self.repository.settings(model).experiments if one.ending]

    def _since(self, model: str, known: str) -> list[Experiment]:
        """Return the experiments that have ended after the one with the id `known`, the newest first."""
        return list(takewhile(lambda one: one.id != known, self._ended_experiments(model)))

    def _report(self, model: str, before: str, after: str, said: Mapping[str, ModelHealth]) -> None:
        planned, at = [], timestamp_now()
        if after:
            was_current, was_newest, was_found, was_ended, was_asked = _parts(before or "0:0")
            current, newest, found, ended, asked = _parts(after)
            subscriptions = self.subscriptions()
            if newest > was_newest:
                data: dict[str, object] = {"name": model, "version": newest}
                planned += of_model("model.published", at, data, subscriptions)
            if current != was_current:
                data = {"name": model, "version": current, "previous_version": was_current or None}
                planned += of_model("model.promoted", at, data, subscriptions)
            if found != was_found:
                health = said.get(f"{model}@{current}")
                event = f"model.{health.state}" if found and health else "model.recovered"
                data = {"name": model, "version": current, "findings": health.findings if found and health else ()}
                planned += of_model(event, at, data, subscriptions)
            for one in reversed(self._since(model, was_ended)) if before and ended else ():
                shown = {"id": one.id, "kind": one.plan.kind, "ending": one.ending, "reason": one.reason}
                data = {"name": model, "version": one.candidate, "experiment": shown}
                planned += of_model("model.experiment_ended", at, data, subscriptions)
            waiting = self.repository.settings(model).waiting
            if waiting and was_asked != asked == waiting.id:
                promotion = {"id": waiting.id, "asker": waiting.asker.name, "note": waiting.note}
                data = {"name": model, "version": waiting.version, "promotion": promotion}
                planned += of_model("model.promotion_asked", at, data, subscriptions)
        elif not self.repository.versions(model):
            data = {"name": model, "version": _parts(before)[0]}
            planned += of_model("model.removed", at, data, self.subscriptions())
        self.deliveries.plan_model(model, before, after, planned)


def _parts(state: str) -> tuple[int, int, str, str, str]:
    """Return the numbers of the current and the newest version, what was found, the experiment that ended last, and the
    request that waits for a second person."""
    versions, ended, asked = (*state.split("|"), "", "")[:3]
    current, newest, found = (*versions.split(":", 2), "")[:3]
    return int(current), int(newest), found, ended, asked


log = logging.getLogger("events")

THREADS = 32
EACH_OWNER, EACH_HOST = 16, 4
"""Tries at a time: of all owners, of one, and of one to the same host. One whose receivers do not answer holds up no
other."""
PER_ROUND = 100
"""Ends that are planned in one round."""


class Service:
    """One process that sends. Killed at any moment, it or another goes on where Redis says."""

    def __init__(self, connection: Redis, repository: Repository, sender: Sender) -> None:
        self._counts = Counts()
        self._outbox = Outbox(connection)
        self._outbox.add_source(self._counts.steps)
        self._outbox.add_source(Presence(SENDERS, socket.gethostname()).steps)
        self._deliveries = Deliveries(connection, self._outbox)
        self._webhooks = Webhooks(connection)
        self._models = ModelWatch(repository, HealthBoard(connection), self._deliveries, self._webhooks.all)
        self._sender = sender
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="send")
        self._running: dict[Future[Try], Delivery] = {}
        self._duties = Duties("the sender of webhooks", log)
        for run in (self._note_ended_tries, self._plan, self._send_due, self._outbox.flush):
            self._duties.add(0, run)
        self._more = self._full = False

    def step(self) -> bool:
        """Run one round: note what was sent, plan what has happened, send what is due. Survives an outage of Redis.
        Returns whether more has happened than one round plans."""
        self._more = False
        self._duties.run_due()
        return self._more and not self._duties.paused

    def close(self, seconds: Callable[[], float]) -> None:
        """Wait for the tries in flight, as long as `seconds()` is positive, and note them. Others are claimed again."""
        while self._running and seconds() > 0:
            for future in list(self._running):
                with suppress(TimeoutError):
                    future.exception(timeout=min(0.1, max(0.0, seconds())))
            with suppress(RedisError):
                self._note_ended_tries()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _plan(self) -> None:
        """Plan what has happened, unless Redis is full; what waits is sent meanwhile, and makes room."""
        try:
            self._more = self._plan_ends()
            self._models.look()
        except OutOfMemoryError as error:
            if not self._full:
                log.warning("ended jobs and changed models wait to become webhooks, because Redis is full: %s", error)
            self._full, self._more = True, False
        else:
            self._full = False

    def _plan_ends(self) -> bool:
        ended = self._deliveries.ended(PER_ROUND)
        if not ended:
            return False
        subscriptions = self._webhooks.all()
        given_up = self._deliveries.plan([(end.entry, end.id, of_job(end, subscriptions)) for end in ended])
        for end, count in zip(ended, given_up, strict=True):
            if count:
                log.warning("a webhook is given up: too many of its owner %r wait", end.owner, extra={"job_id": end.id})
                self._counts.add(WEBHOOKS, ("failed",), count)
        return len(ended) == PER_ROUND

    def _send_due(self) -> None:
        free = THREADS - len(self._running)
        for delivery in self._deliveries.claim(free, EACH_HOST, EACH_OWNER, self._running.values()) if free else ():
            message = replace(delivery, body=body_of(delivery), job=None)
            self._running[self._pool.submit(self._sender.send, message)] = message

    def _note_ended_tries(self) -> None:
        for future in [future for future in self._running if future.done()]:
            self._note(self._running[future], future.result())
            del self._running[future]

    def _note(self, delivery: Delivery, ended: Try) -> None:
        number = delivery.tries + 1
        pause = None if ended.status == GONE else pause_after(number, ended.retry_after)
        context = {"delivery": delivery.id, "event": delivery.event}
        if ended.delivered:
            self._deliveries.note(delivery, "delivered", ended.to_json())
        elif pause is not None:
            self._deliveries.note(delivery, "pending", ended.to_json(), pause)
            log.info("a webhook failed, and is tried again in %.0f s: %s", pause, _outcome(ended), extra=context)
        else:
            self._deliveries.note(delivery, "failed", ended.to_json())
            log.warning("a webhook failed at try %d, and is given up: %s", number, _outcome(ended), extra=context)
        self._counts.add(WEBHOOK_TRIES, ("delivered" if ended.delivered else "failed",))
        if ended.delivered or pause is None:
            self._counts.add(WEBHOOKS, ("delivered" if ended.delivered else "failed",))


def _outcome(ended: Try) -> str:
    return ended.error or f"its receiver answered {ended.status}"
