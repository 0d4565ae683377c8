"""The protocol without Redis: the reference with which the state machine compares the scripts."""

from __future__ import annotations

from bisect import insort
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, inf

from broker.link.idempotency import ConflictReason
from broker.records.job_kinds import PREDICTION
from broker.records.lease_groups import SCORERS
from broker.sides.gateway.job_client import Limit
from broker.sides.scorer import BatchLimits
from contract.errors import Code, Failure
from contract.work.api_keys import PER_FREE
from contract.work.jobs import PredictionJob, PredictionOutcome

OPEN = ("queued", "started")
SEVERAL = "+"
PART = 8
"""Of a batch that is left once several owners have had jobs of its model at once."""


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
    accepted: bool = True
    seen: str = "ended"
    """Where its index entry is, once it has ended."""

    @property
    def rows(self) -> int:
        return len(self.job.rows)

    @property
    def queue(self) -> str:
        return PREDICTION.queue_of(self.job.model, self.job.caller.owner, self.job.environment)

    def revive(self) -> None:
        """Clear the former end of a job that stock RQ has requeued."""
        if self.touched:
            self.touched = self.overdue = self.deadline = False
            self.holder = self.outcome = None


@dataclass
class _Call:
    """A call of SUBMIT. `taker`: the scorer that gets its jobs at once, within `limits`; `handed`: those it has got."""

    taker: str | None
    limits: BatchLimits
    handed: list[Life] = field(default_factory=list)

    def fits(self, life: Life) -> bool:
        if not self.handed:
            return True
        most = self.limits.model_rows.get(life.job.model, self.limits.rows)
        rows = sum(other.rows for other in self.handed) + life.rows
        version = self.handed[0].job.version
        return life.job.version == version and len(self.handed) < self.limits.jobs and rows <= most


def base_of(queue: str) -> str:
    """Return the queue that takes turns for this one: that of its model and environment."""
    return ":".join(queue.split(":")[:2])


def environment_of(queue: str) -> str:
    return base_of(queue).partition("~")[2]


def _sent(job: PredictionJob) -> tuple[str, int, int]:
    return job.model, job.version, len(job.rows)


@dataclass
class Reference:
    """The expected state after the calls so far. Each method is a transition and returns the expected answer."""

    most_rows: int
    lives: dict[str, Life] = field(default_factory=dict)
    queues: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    ready: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """By environment: the bases of the queues that have jobs, by turn."""
    served_environments: set[str] = field(default_factory=set)
    """Those other than today's of which a worker is alive."""
    starts: defaultdict[str, dict[str, float]] = field(default_factory=lambda: defaultdict(dict))
    """By base: the owners' queues that have jobs, each with the virtual rows at which its next job starts."""
    served: defaultdict[str, dict[str, float]] = field(default_factory=lambda: defaultdict(dict))
    """By base: the queues that have no more jobs, each with the virtual rows at which it left off; '': the virtual
    time; SEVERAL: several owners have had jobs at once."""
    rows: dict[str, int] = field(default_factory=dict)
    exhausted: set[tuple[str, str]] = field(default_factory=set)
    """Keys that have used their rows a second, each with a model: the machine gives them less than one row."""
    records: dict[str, tuple[str, str]] = field(default_factory=dict)
    """By record: the id of the job that the first request with its key has made, and the fingerprint of that."""
    held: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    idle: dict[str, BatchLimits] = field(default_factory=dict)
    """Scorers that wait for a batch, with what they may have."""
    handed: dict[str, list[str]] = field(default_factory=dict)
    """The batches that scorers were given while they waited, and do not know of yet."""
    incs: set[str] = field(default_factory=set)
    leases: set[str] = field(default_factory=set)
    timeouts: Counter[tuple[str, int, int]] = field(default_factory=Counter)
    """Time-outs of single jobs by what they were sent: model, version and number of rows, which are all the same."""
    ended: list[str] = field(default_factory=list)
    """Ids whose end should have been published since the last check."""

    def join(self, base: str, queue: str) -> None:
        served = self.served[base]
        if self.starts[base]:
            served[SEVERAL] = inf
        self.starts[base][queue] = max(served.get("", 0), served.pop(queue, 0))

    def settle(self, queue: str, rows: int) -> None:
        base = base_of(queue)
        starts, served, ready = self.starts[base], self.served[base], self.ready[environment_of(queue)]
        if not self.queues[queue]:
            self.rows.pop(queue, None)
            start = starts.pop(queue, None)
            if not starts and not self.queues[base]:
                served.clear()
                if base in ready:
                    ready.remove(base)
            elif start is not None and "" in served:
                served[queue] = start
                for other in [other for other, left_off in served.items() if left_off < served[""]]:
                    del served[other]
            return
        if rows:
            self.rows[queue] = self.rows.get(queue, 0) + rows
        if PREDICTION.owner_of(queue) and queue not in starts:
            self.join(base, queue)
        if base not in ready:
            ready.append(base)

    def end(self, job_id: str, status: str, outcome: PredictionOutcome | Failure | None = None) -> None:
        life = self.lives[job_id]
        life.status, life.outcome, life.touched, life.seen = status, outcome, False, "ended"
        if life.told:
            self.ended.append(job_id)

    def submit(self, jobs: Sequence[PredictionJob]) -> list[Limit | ConflictReason | str | None]:
        """Return for each job what refuses it, or the id of the job that an earlier request has made, if anything. The
        jobs of one model, environment and key enter together."""
        groups = list({(job.model, job.environment, job.caller.id): None for job in jobs})
        answers: dict[str, Limit | ConflictReason | str | None] = {}
        calls: dict[tuple[str, str, str], _Call] = {}
        for job in sorted(jobs, key=lambda job: groups.index((job.model, job.environment, job.caller.id))):
            life = Life(job, told=job.reply_to is not None, deadline=job.expires_after is not None)
            known = job.id in self.lives and self.lives[job.id].status not in ("vanished", "deleted")
            group = job.model, job.environment, job.caller.id
            if group not in calls:
                calls[group] = _Call(taker := self._idle_scorer(life), self.idle.get(taker or "", BatchLimits()))
            limit = None if known else self.earlier(job.idempotency) or self._refusal(life)
            if not known and limit is None:
                self.lives[job.id] = life
                self._enter(life, calls[group])
                if job.idempotency:
                    record, fingerprint = job.idempotency.split()
                    self.records[record] = (job.id, fingerprint)
                if job.caller.limits.rows_per_second is not None:
                    self.exhausted.add((job.caller.id, job.model))
            answers[job.id] = limit
        return [answers[job.id] for job in jobs]

    def _idle_scorer(self, life: Life) -> str | None:
        """Return the scorer that gets the jobs of a call at once, until one does not fit."""
        environment, model = life.job.environment, life.job.model
        if self.ready[environment]:
            return None
        for inc, limits in reversed(self.idle.items()):
            allowed = limits.models is None or model in limits.models
            if limits.environment != environment or inc not in self.leases or not allowed:
                continue
            if model not in limits.skip and model not in limits.homes:
                return inc
        return None

    def _enter(self, life: Life, call: _Call) -> None:
        """Let a job start at once, or enter its queue."""
        if call.taker is not None and call.fits(life):
            self.idle.pop(call.taker, None)
            call.handed.append(life)
            self.held[call.taker].append(life.job.id)
            self.handed[call.taker] = [other.job.id for other in call.handed]
            life.status, life.holder = "started", call.taker
        else:
            call.taker = None
            self.queues[life.queue].append(life.job.id)
            self.settle(life.queue, life.rows)

    def timed_out_twice(self) -> list[tuple[str, int, int]]:
        """Return what is refused because it has timed out twice."""
        return sorted(sent for sent, count in self.timeouts.items() if count > 1)

    def earlier(self, idempotency: str) -> ConflictReason | str | None:
        """Return the id of the job that an earlier request has made, or why there is none for this one."""
        record, _, fingerprint = idempotency.partition(" ")
        if record not in self.records:
            return None
        made, of = self.records[record]
        if of != fingerprint:
            return ConflictReason.OTHER_REQUEST
        return ConflictReason.GONE if self.lives[made].status in ("vanished", "deleted") else made

    def _refusal(self, life: Life) -> Limit | None:
        """Return what refuses a new job. Limits count a model as one over all its environments."""
        limits, owner = life.job.caller.limits, life.job.caller.owner
        if life.job.environment and life.job.environment not in self.served_environments:
            return Limit.NO_WORKER
        if _sent(life.job) in self.timed_out_twice():
            return Limit.TIMED_OUT
        of_model = {queue: rows for queue, rows in self.rows.items() if PREDICTION.model_of(queue) == life.job.model}
        waiting = sum(rows for queue, rows in of_model.items() if PREDICTION.owner_of(queue) == owner)
        left = self.most_rows - sum(of_model.values()) - life.rows
        if left < 0 or (owner and waiting + life.rows > max(1, PER_FREE * left)):
            return Limit.QUEUE
        if limits.rows_waiting is not None and waiting + life.rows > limits.rows_waiting:
            return Limit.ROWS_WAITING
        in_flight = [job_id for group in (self.held, self.queues) for ids in group.values() for job_id in ids]
        mine = [job for job in (self.lives[job_id].job for job_id in in_flight) if job.model == life.job.model]
        count = sum(job.caller.owner == owner for job in mine)
        if limits.jobs_in_flight is not None and count >= limits.jobs_in_flight:
            return Limit.JOBS_IN_FLIGHT
        if limits.rows_per_second is not None and (life.job.caller.id, life.job.model) in self.exhausted:
            return Limit.ROWS_PER_SECOND
        return None

    def owns(self, inc: str, job_id: str) -> bool:
        return self.lives[job_id].status == "started" and self.lives[job_id].holder == inc

    def take(self, inc: str, limits: BatchLimits, wanted: str = "next") -> list[str]:
        """Return the ids of the batch. The incarnation must have a lease."""
        self.idle.pop(inc, None)
        self.handed.pop(inc, None)
        if not (batch := self._take(inc, limits, wanted)) and wanted == "wait":
            self.idle[inc] = limits
        return batch

    def _take(self, inc: str, limits: BatchLimits, wanted: str) -> list[str]:
        self.held[inc] = [job_id for job_id in self.held[inc] if self.owns(inc, job_id)]
        if self.held[inc] or wanted == "owned":
            return self.held[inc]
        models = {base: PREDICTION.model_of(base) for base in self.ready[limits.environment]}
        eligible = [
            base
            for base, model in models.items()
            if model not in limits.skip and (limits.models is None or model in limits.models)
        ]
        others = [base for base in eligible if models[base] in limits.homes and limits.patience == 0]
        for base in [base for base in eligible if models[base] not in limits.homes] + others:
            queues = {base, *self.starts[base]}
            heads = [self.lives[self.queues[queue][0]] for queue in queues if self.queues[queue]]
            if base in others and all(head.status == "vanished" for head in heads):
                continue  # their age is unknown
            batch = self._take_from(base, limits)
            if batch:
                self.held[inc] = batch
                for job_id in batch:
                    life = self.lives[job_id]
                    life.revive()
                    life.status, life.holder = "started", inc
                return list(batch)
        return []

    def _take_from(self, base: str, limits: BatchLimits) -> list[str]:
        batch = self._look(base, limits)
        while base in self.ready[limits.environment] and not batch:
            batch = self._look(base, limits)
        return batch

    def _look(self, base: str, limits: BatchLimits) -> list[str]:
        """Return the batch after a look at `limits.jobs` jobs, the owner's first whose job starts first."""
        model, starts, ready = PREDICTION.model_of(base), self.starts[base], self.ready[limits.environment]
        if starts and self.queues[base] and base not in starts:
            self.join(base, base)
        part = PART if starts and SEVERAL in self.served[base] else 1
        most_jobs = ceil(limits.jobs / part)
        most_rows = max(1, limits.model_rows.get(model, limits.rows) // part)
        batch, looks, gone, time = list[str](), 0, defaultdict[str, int](int), 0
        line = sorted((start, queue) for queue, start in starts.items()) or [(0, base)]
        seen = set()
        while line and looks < most_jobs:
            start, queue = line.pop(0)
            seen.add(queue)
            if not self.queues[queue]:
                continue
            job_id = self.queues[queue][0]
            life = self.lives[job_id]
            dead = life.status == "vanished" or (life.overdue and not life.touched)
            if batch and not dead:
                if life.deaths or life.job.version != self._version(batch):
                    continue
                if sum(self.lives[job_id].rows for job_id in batch) + life.rows > most_rows:
                    break
            looks += 1
            self.queues[queue].pop(0)
            if dead:
                if life.status != "vanished":
                    gone[queue] += life.rows
                    self.end(job_id, "expired")
                line.insert(0, (start, queue))
                continue
            gone[queue] += life.rows
            batch.append(job_id)
            time = max(time, start)
            if queue in starts:
                starts[queue] = start + life.rows
            if life.deaths:
                break
            insort(line, (start + life.rows, queue), key=lambda entry: entry[0])
        if batch and starts:
            self.served[base][""] = max(self.served[base].get("", 0), time)
        for queue in sorted(seen):
            self.settle(queue, -gone[queue])
        if base in ready and batch:
            ready.remove(base)
            ready.append(base)
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
        if failure.code == Code.TIMEOUT and len(scored) == 1:
            (alone,) = (self.lives[job_id] for job_id in scored)
            self.timeouts[_sent(alone.job)] += alone.status != "vanished"
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
                self.queues[life.queue].insert(0, job_id)
                rows[life.queue] += life.rows
            became[job_id] = life.status
        self.incs.discard(inc)
        self.leases.discard(inc)
        self.handed.pop(inc, None)
        for queue, added in rows.items():
            self.settle(queue, added)
        return became

    def release(self, inc: str, ids: Sequence[str]) -> None:
        """The incarnation returns these, of which it owns some."""
        rows = defaultdict[str, int](int)
        for job_id in reversed(ids):
            life = self.lives[job_id]
            if job_id in self.held[inc]:
                self.held[inc].remove(job_id)
            if not self.owns(inc, job_id):
                continue
            if life.overdue:
                self.end(job_id, "expired")
            else:
                life.status, life.holder = "queued", None
                self.queues[life.queue].insert(0, job_id)
                rows[life.queue] += life.rows
        for queue, added in rows.items():
            self.settle(queue, added)

    def cancel(self, job_id: str) -> bool | None:
        life = self.lives[job_id]
        if life.status in ("vanished", "deleted"):
            return None
        if life.status not in OPEN:
            return False
        if life.status == "queued":
            self.queues[life.queue].remove(job_id)
            self.settle(life.queue, -life.rows)
        elif job_id in self.held[str(life.holder)]:
            self.held[str(life.holder)].remove(job_id)
        self.end(job_id, "canceled")
        return True

    def see(self, job_id: str, how: str) -> None:
        life = self.lives[job_id]
        if life.status not in (*OPEN, "vanished", "deleted") and not life.touched and life.seen == "ended":
            life.seen = how

    def make_room(self, how: str) -> int:
        """Return the number of jobs that are gone now."""
        gone = [life for life in self.lives.values() if life.status not in (*OPEN, "deleted") and life.seen == how]
        for life in gone:
            life.status = "deleted"
        return len(gone)

    def expire(self, due: Sequence[str]) -> None:
        for job_id in due:
            life = self.lives[job_id]
            self.queues[life.queue].remove(job_id)
            self.settle(life.queue, -life.rows)
            self.end(job_id, "expired")

    def reconcile(self) -> None:
        for inc, ids in self.held.items():
            self.held[inc] = [job_id for job_id in ids if self.owns(inc, job_id)]
        for job_id, life in self.lives.items():
            if life.touched and life.status == "canceled":
                self.end(job_id, "canceled")
            life.revive()
        for queue in sorted(self.queues):
            self.queues[queue] = [i for i in self.queues[queue] if self.lives[i].status == "queued"]
            self.settle(queue, 0)
            if self.queues[queue]:
                self.rows[queue] = sum(self.lives[job_id].rows for job_id in self.queues[queue])
