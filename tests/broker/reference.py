"""The protocol without Redis: the reference with which the state machine compares the scripts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from broker.lease_groups import SCORERS
from broker.scorer import BatchLimits
from contract.errors import Failure
from contract.jobs import PredictionJob, PredictionOutcome

OPEN = ("queued", "started")


@dataclass
class Life:
    """The expected state of a job. `status` is RQ's, or `expired`, `vanished` (its hash is gone) or `deleted`."""

    job: PredictionJob
    status: str = "queued"
    holder: str | None = None
    deaths: int = 0
    overdue: bool = False
    touched: bool = False
    """Stock RQ queued or cancelled it, and no script has repaired that yet."""
    outcome: PredictionOutcome | Failure | None = None
    told: bool = False
    """A channel waits for its end."""
    deadline: bool = False

    @property
    def rows(self) -> int:
        return len(self.job.rows)

    def revive(self) -> None:
        """Clear the former end of a job that stock RQ has requeued."""
        if self.touched:
            self.touched = self.overdue = self.deadline = False
            self.holder = self.outcome = None


@dataclass
class Reference:
    """The expected state after the calls so far. Each method is a transition and returns the expected answer."""

    most_rows: int
    lives: dict[str, Life] = field(default_factory=dict)
    queues: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    ready: list[str] = field(default_factory=list)
    """The models that have jobs, by turn."""
    rows: dict[str, int] = field(default_factory=dict)
    held: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    incs: set[str] = field(default_factory=set)
    leases: set[str] = field(default_factory=set)
    ended: list[str] = field(default_factory=list)
    """Ids whose end should have been published since the last check."""

    def settle(self, model: str, rows: int) -> None:
        if not self.queues[model]:
            self.rows.pop(model, None)
            if model in self.ready:
                self.ready.remove(model)
            return
        self.rows[model] = self.rows.get(model, 0) + rows
        if model not in self.ready:
            self.ready.append(model)

    def end(self, job_id: str, status: str, outcome: PredictionOutcome | Failure | None = None) -> None:
        life = self.lives[job_id]
        life.status, life.outcome, life.touched = status, outcome, False
        if life.told:
            self.ended.append(job_id)

    def submit(self, jobs: Sequence[PredictionJob]) -> list[bool]:
        answers, added = [], defaultdict[str, int](int)
        for job in jobs:
            known = job.id in self.lives and self.lives[job.id].status not in ("vanished", "deleted")
            waiting = self.rows.get(job.model, 0) + added[job.model]
            accepted = known or waiting + len(job.rows) <= self.most_rows
            if accepted and not known:
                self.lives[job.id] = Life(job, told=job.reply_to is not None, deadline=job.expires_after is not None)
                self.queues[job.model].append(job.id)
                added[job.model] += len(job.rows)
            answers.append(accepted)
        for model, rows in added.items():
            self.settle(model, rows)
        return answers

    def owns(self, inc: str, job_id: str) -> bool:
        return self.lives[job_id].status == "started" and self.lives[job_id].holder == inc

    def take(self, inc: str, limits: BatchLimits) -> list[str]:
        """Return the ids of the batch. The incarnation must have a lease."""
        self.held[inc] = [job_id for job_id in self.held[inc] if self.owns(inc, job_id)]
        if self.held[inc]:
            return self.held[inc]
        for model in list(self.ready):
            if model in limits.skip or (limits.models is not None and model not in limits.models):
                continue
            batch = self._take_from(model, limits)
            if batch:
                self.held[inc] = batch
                for job_id in batch:
                    life = self.lives[job_id]
                    life.revive()
                    life.status, life.holder = "started", inc
                return list(batch)
        return []

    def _take_from(self, model: str, limits: BatchLimits) -> list[str]:
        batch = self._look(model, limits)
        while self.queues[model] and not batch:
            batch = self._look(model, limits)
        return batch

    def _look(self, model: str, limits: BatchLimits) -> list[str]:
        queue, batch, rows, gone = self.queues[model], list[str](), 0, 0
        most = limits.model_rows.get(model, limits.rows)
        for job_id in queue[: limits.jobs]:
            life = self.lives[job_id]
            if life.status == "vanished":
                queue.remove(job_id)
            elif life.overdue and not life.touched:
                gone += life.rows
                queue.remove(job_id)
                self.end(job_id, "expired")
            elif batch and (life.deaths or rows + life.rows > most or life.job.version != self._version(batch)):
                break
            else:
                rows += life.rows
                queue.remove(job_id)
                batch.append(job_id)
                if life.deaths:
                    break
        self.settle(model, -rows - gone)
        if queue and batch:
            self.ready.remove(model)
            self.ready.append(model)
        return batch

    def _version(self, batch: Sequence[str]) -> int:
        return self.lives[batch[0]].job.version

    def finish(self, inc: str, outcomes: Mapping[str, PredictionOutcome | Failure]) -> list[str]:
        """Return the ids that are refused. The incarnation must not have been given back."""
        refused = []
        for job_id, outcome in outcomes.items():
            life = self.lives[job_id]
            owned = self.owns(inc, job_id)
            if job_id in self.held[inc]:
                self.held[inc].remove(job_id)
                if owned:
                    self.end(job_id, "failed" if isinstance(outcome, Failure) else "finished", outcome)
            if life.holder != inc or life.status not in ("finished", "failed"):
                refused.append(job_id)
        return refused

    def give_back(
        self, inc: str, scored: Collection[str], failure: Failure, most_deaths: int = SCORERS.max_deaths
    ) -> dict[str, str]:
        became, rows = dict[str, str](), defaultdict[str, int](int)
        for job_id in reversed(self.held.pop(inc, [])):
            if not self.owns(inc, job_id):
                continue
            life = self.lives[job_id]
            life.deaths += job_id in scored
            if job_id in scored and life.deaths >= most_deaths:
                self.end(job_id, "failed", failure)
            elif life.overdue:
                self.end(job_id, "expired")
            else:
                life.status, life.holder = "queued", None
                self.queues[life.job.model].insert(0, job_id)
                rows[life.job.model] += life.rows
            became[job_id] = life.status
        self.incs.discard(inc)
        self.leases.discard(inc)
        for model, added in rows.items():
            self.settle(model, added)
        return became

    def cancel(self, job_id: str) -> bool | None:
        life = self.lives[job_id]
        if life.status in ("vanished", "deleted"):
            return None
        if life.status not in OPEN:
            return False
        if life.status == "queued":
            self.queues[life.job.model].remove(job_id)
            self.settle(life.job.model, -life.rows)
        elif job_id in self.held[str(life.holder)]:
            self.held[str(life.holder)].remove(job_id)
        self.end(job_id, "canceled")
        return True

    def expire(self, due: Sequence[str]) -> None:
        for job_id in due:
            life = self.lives[job_id]
            self.queues[life.job.model].remove(job_id)
            self.settle(life.job.model, -life.rows)
            self.end(job_id, "expired")

    def reconcile(self) -> None:
        for inc, ids in self.held.items():
            self.held[inc] = [job_id for job_id in ids if self.owns(inc, job_id)]
        for job_id, life in self.lives.items():
            if life.touched and life.status == "canceled":
                self.end(job_id, "canceled")
            life.revive()
        for model in sorted(self.queues):
            self.queues[model] = [i for i in self.queues[model] if self.lives[i].status == "queued"]
            self.settle(model, 0)
            if self.queues[model]:
                self.rows[model] = sum(self.lives[job_id].rows for job_id in self.queues[model])
