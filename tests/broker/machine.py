"""A hypothesis state machine that calls the protocol's scripts in any order and compares them with the reference.

Scripts are atomic, so any interleaving of processes is a sequence of calls. After each the invariants hold.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from redis import Redis
from rq.exceptions import InvalidJobOperation
from rq.job import Job as RQJob
from rq.registry import CanceledJobRegistry, FailedJobRegistry
from rq.serializers import JSONSerializer

from broker.link.idempotency import ConflictReason, IdempotencyConflict, IdempotencyRecords
from broker.link.scripts import FencedError, Scripts
from broker.records import lease_groups
from broker.records.job_kinds import ENDS, PREDICTION, Seen, indexes_of
from broker.records.lease_groups import place_of, worker_of
from broker.sides.gateway.job_client import Jobs
from broker.sides.gateway.receipts import Receipts
from broker.sides.gateway.room import RoomMaker
from broker.sides.scorer import Batch, BatchJob, BatchLimits, ScorerQueue, _unframed
from broker.sides.supervisor import LEASE, Leases
from broker.state.job_reading import parse_reply
from broker.state.pools import PoolWork
from contract.errors import Failure
from contract.model.environments import TODAY
from contract.work.api_keys import EVERYBODY, Key, Limits
from contract.work.jobs import PredictionJob, PredictionOutcome
from tests.broker.invariants import check_invariants
from tests.broker.reference import OPEN, Life, Reference, environment_of
from tests.broker.samples import key

OLD = "old"
ENVIRONMENTS = {("a", 3): OLD, **{("c", version): OLD for version in (1, 2, 3)}}
"""Where versions live that do not live in today's environment."""
FEW = 0.001
"""Rows a second of which one job uses all for as long as an example takes, so that time changes nothing."""
CALLERS = (
    EVERYBODY,
    key("k", "x"),
    key("l", "y"),
    key("m", "y", Limits(rows_waiting=3, jobs_in_flight=2)),
    key("n", "z", Limits(rows_per_second=FEW)),  # type: ignore[arg-type]
)
BASES = [PREDICTION.queue_of(*queue) for queue in (("a",), ("b",), ("a", "", OLD), ("c", "", OLD))]
QUEUES = [f"{base}{owner}" for base in BASES for owner in ("", ":x", ":y", ":z")]
CHANNEL = "mg:reply:machine"
MOST_ROWS = 12
SCORERS = 3
TTL, DELIVERED_TTL = 3600, 60
SEEN = ("delivered", "fetched")
STATUS = {"queued": "queued", "started": "running", "finished": "succeeded"}

pick = st.integers(0, 50)
sometimes = st.sampled_from((False, False, True))
new_jobs = st.lists(
    st.tuples(
        st.sampled_from("aaabc"),
        st.sampled_from((1, 1, 1, 2, 3)),
        st.integers(1, 2),
        sometimes,
        st.booleans(),
        st.sampled_from((0, 1, 1, 2, 3, 3, 3, 4)),
        st.sampled_from(("", "", "", "", "", "", "k f", "k f", "k g", "l f")),
    ),
    min_size=1,
    max_size=6,
)
limits = st.builds(
    BatchLimits,
    rows=st.sampled_from((1, 2, 5, 16, 40, 40)),
    jobs=st.sampled_from((1, 2, 16, 40, 40)),
    model_rows=st.sampled_from(({}, {}, {}, {"a": 2, "aa": 1})),
    models=st.sampled_from((None, None, None, None, ("a", "b"))),
    skip=st.sampled_from(((), (), (), ("a",))),
    homes=st.sampled_from(({}, {}, {"a": "1"}, {"a": "1", "b": "2"})),
    patience=st.sampled_from((0.0, 3600.0)),
)


class ProtocolMachine(RuleBasedStateMachine):
    """Calls scripts at random. `again` in a rule: the reply was lost, and redis-py sends the call a second time."""

    def __init__(self, redis: Redis) -> None:
        super().__init__()
        redis.flushall()
        self.redis: Any = redis
        self.jobs = Jobs(redis, max_queue_rows=MOST_ROWS, timeout=30, result_ttl=TTL)
        self.clock = 0.0
        self.leases = Leases(redis, clock=lambda: self.clock)
        for self.clock in (0.0, LEASE / 2, LEASE):  # from then on it may reap
            self.leases.renew([])
        self.reference = Reference(MOST_ROWS)
        self.names: list[str] = []
        self.of_old: set[str] = set()
        """Scorers whose versions live in the other environment."""
        self.taken: defaultdict[str, list[str]] = defaultdict(list)
        """The last batch of each scorer, as the scorer remembers it."""
        self.outcomes = 0
        self.reconciled = True
        """False between a stock RQ command and the next reconcile."""
        self.published: Counter[str] = Counter()
        self.subscription = redis.pubsub(ignore_subscribe_messages=True)
        self.subscription.subscribe(CHANNEL)
        self.replace_scorers()

    def teardown(self) -> None:
        self.subscription.close()

    @property
    def callers(self) -> Sequence[Key]:
        """Who may submit now: no owner with limits while jobs are elsewhere than the scripts left them."""
        return CALLERS if self.reconciled else CALLERS[:3]

    # The subjects of a rule

    def scorer(self, number: int) -> str:
        """Return a living scorer mostly, and sometimes one that was given back: a zombie."""
        zombies = [inc for inc in self.names if inc not in self.reference.incs]
        living = sorted(self.reference.incs, key=self.load, reverse=True)
        candidates = living[:1] * 3 + living + zombies[-1:]
        return candidates[number % len(candidates)]

    def environment(self, inc: str) -> str:
        return OLD if inc in self.of_old else TODAY

    def load(self, inc: str) -> tuple[int, int, str]:
        """Return how many jobs a scorer holds, how many wait for its pool, and its name."""
        queues, pool = self.reference.queues.items(), self.environment(inc)
        return len(self.reference.held[inc]), sum(len(ids) for q, ids in queues if environment_of(q) == pool), inc

    def chosen(self, number: int, *statuses: str) -> str | None:
        """Return a job with one of these statuses, preferably a running or a young one."""
        ids = [job_id for job_id, life in self.reference.lives.items() if not statuses or life.status in statuses]
        running = [job_id for job_id in ids if self.reference.lives[job_id].status == "started"]
        candidates = running + ids[-8:]
        return candidates[number % len(candidates)] if candidates else None

    # Gateways

    @rule(wanted=new_jobs, again=sometimes, served=st.sampled_from((True, True, True, False)))
    def submit(self, wanted: Sequence[tuple[str, int, int, bool, bool, int, str]], again: bool, served: bool) -> None:
        """`served`: a worker of the other environment is alive."""
        self.reference.served_environments = {OLD} if served else set()
        if served:
            self.redis.set(f"mg:pool~{OLD}", "w")
        else:
            self.redis.delete(f"mg:pool~{OLD}")
        jobs = [
            PredictionJob(
                id=f"j{len(self.reference.lives) + number}",
                created_at="2026-01-02T03:04:05.000006Z",
                model=model,
                version=version,
                rows=[[1.0]] * rows,
                ids=["x"] * rows if expires else None,
                expires_after=86_400 if expires else None,
                reply_to=CHANNEL if waited else None,
                caller=(caller := self.callers[who % len(self.callers)]),
                idempotency=key and f"{caller.owner}:{key}",
                environment=ENVIRONMENTS.get((model, version), TODAY),
            )
            for number, (model, version, rows, expires, waited, who, key) in enumerate(wanted)
        ]
        expected = self.reference.submit(jobs)
        for job in jobs:  # refused jobs keep their ids, so that ids stay unique
            self.reference.lives.setdefault(job.id, Life(job, status="deleted", accepted=False))
        assert [answer.refused_by or answer.earlier for answer in self.jobs.submit(jobs)] == expected
        if again:  # by now another limit may refuse the same job
            accepted = [submission.accepted for submission in self.jobs.submit(jobs)]
            assert accepted == [limit is None for limit in expected]
        for idempotency in {job.idempotency for job in jobs if job.idempotency}:
            assert self.earlier_job(idempotency) == self.reference.earlier(idempotency)

    @precondition(lambda self: self.reference.timed_out_twice())
    @rule(number=pick)
    def submit_what_timed_out_twice(self, number: int) -> None:
        rows_sent = self.reference.timed_out_twice()
        self.submit([(*rows_sent[number % len(rows_sent)], False, False, 0, "")], again=False, served=True)

    def earlier_job(self, idempotency: str) -> ConflictReason | str | None:
        try:
            return IdempotencyRecords(self.redis).find(idempotency)
        except IdempotencyConflict as error:
            return error.conflict

    @precondition(lambda self: self.reference.lives)
    @rule(number=pick, again=sometimes, what=st.sampled_from(("cancel", "delete")))
    def cancel_or_delete(self, number: int, again: bool, what: str) -> None:
        if what == "cancel":
            self.cancel(number, again)
        else:
            self.delete(number)

    def cancel(self, number: int, again: bool) -> None:
        job_id = self.chosen(number)
        if job_id is None:
            return
        canceled = self.reference.cancel(job_id)
        if again and canceled:
            for _ in range(2):
                assert self.jobs._scripts.run("cancel", job_id, "token") == b"canceled"
            return
        answer = self.jobs.cancel(job_id)
        assert (answer[0] if answer else None) == canceled

    def delete(self, number: int) -> None:
        job_id = self.chosen(number)
        if job_id is None:
            return
        life = self.reference.lives[job_id]
        assert self.jobs.delete(job_id) == (life.status not in OPEN)
        if life.status not in (*OPEN, "vanished"):
            life.status = "deleted"

    @precondition(lambda self: self.reference.lives)
    @rule(numbers=st.lists(pick, min_size=1, max_size=3), again=sometimes)
    def wait(self, numbers: Sequence[int], again: bool) -> None:
        ids = list({job_id for number in numbers if (job_id := self.chosen(number))})
        for _ in range(1 + again):
            known = self.jobs.wait(ids, CHANNEL)
        for job_id in ids:
            life = self.reference.lives[job_id]
            life.told = life.told or life.status in OPEN
            assert (job_id in known) == (life.status not in OPEN)
            assert (known.get(job_id) is None) == (life.status in (*OPEN, "vanished", "deleted"))

    @precondition(lambda self: self.reference.lives)
    @rule(numbers=st.lists(pick, min_size=1, max_size=4), how=st.sampled_from(SEEN), again=sometimes)
    def see(self, numbers: Sequence[int], how: str, again: bool) -> None:
        receipts = Receipts(DELIVERED_TTL)
        for job_id in {job_id for number in numbers if (job_id := self.chosen(number))}:
            getattr(receipts, how)(job_id)
            self.reference.see(job_id, how)
        steps = receipts()
        for _ in range(1 + again):
            Scripts(self.redis).send(steps)

    @precondition(lambda self: any(life.seen != "ended" for life in self.reference.lives.values()))
    @rule(how=st.sampled_from(SEEN))
    def make_room(self, how: str) -> None:
        gone = self.reference.make_room(how)
        assert RoomMaker(self.redis)._delete(Seen(how), float("inf"), [QUEUES]) == gone

    # Scorers

    def limits_of(self, inc: str, limits: BatchLimits) -> BatchLimits:
        """Return the limits of a scorer: with the homes of others, and its environment."""
        places = {model: f"{worker_of(inc)}-{slot}" for model, slot in limits.homes.items()}
        homes = {model: place for model, place in places.items() if place != place_of(inc)}
        return replace(limits, homes=homes, environment=self.environment(inc))

    def refuses_to_take(self, inc: str, limits: BatchLimits) -> bool:
        """Return whether a scorer has no lease; then it must not take."""
        if inc in self.reference.leases:
            return False
        with pytest.raises(FencedError):
            ScorerQueue(self.redis, inc).take(limits)
        self.reference.idle.pop(inc, None)
        self.reference.handed.pop(inc, None)
        return True

    @precondition(lambda self: any(self.reference.ready.values()))
    @rule(number=pick, limits=limits, owned=sometimes, lost=sometimes)
    def take(self, number: int, limits: BatchLimits, owned: bool, lost: bool) -> None:
        inc = self.scorer(number)
        limits = self.limits_of(inc, limits)
        for bell in ScorerQueue(self.redis, inc)._bells(limits):
            if self.redis.lpop(bell):
                break
        if self.refuses_to_take(inc, limits):
            return
        expected = self.taken[inc] = list(self.reference.take(inc, limits, "owned" if owned else "next"))
        for _ in range(1 + (lost and bool(expected))):
            batch = ScorerQueue(self.redis, inc).take(limits, owned=owned)
            assert [job.id for job in (batch.jobs if batch else ())] == expected
            for job in batch.jobs if batch else ():
                made = self.reference.lives[job.id].job
                assert (batch.model, batch.version, job.rows) == (made.model, made.version, made.rows)

    @rule(number=pick, limits=limits, lost=sometimes)
    def wait_for_a_batch(self, number: int, limits: BatchLimits, lost: bool) -> None:
        """Do what `wait_for_work` does, but for the wait."""
        inc = self.scorer(number)
        limits = self.limits_of(inc, limits)
        queue = ScorerQueue(self.redis, inc)
        if self.refuses_to_take(inc, limits):
            return
        expected = self.taken[inc] = list(self.reference.take(inc, limits, "wait"))
        for _ in range(1 + lost):
            (answer,) = queue._scripts.send([queue._taking(limits, "wait")])
            batch = queue._batch(answer, PREDICTION) if answer else None
            assert [job.id for job in (batch.jobs if batch else ())] == expected
        assert self.redis.lpop(f"mg:batch:{inc}", 2) == ([b""] if expected else None)

    @precondition(lambda self: self.reference.handed)
    @rule(number=pick, lost=sometimes)
    def receive(self, number: int, lost: bool) -> None:
        """Receive a batch that was handed over; if it is lost, the scorer asks what it owns."""
        handed = sorted(self.reference.handed)
        inc = handed[number % len(handed)]
        queue, expected = ScorerQueue(self.redis, inc), self.reference.handed.pop(inc)
        batch = queue._batch(_unframed(self.redis.lpop(f"mg:batch:{inc}")), PREDICTION)
        assert batch and [job.id for job in batch.jobs] == expected
        for job in batch.jobs:
            made = self.reference.lives[job.id].job
            assert (batch.model, batch.version, job.rows) == (made.model, made.version, made.rows)
        self.taken[inc] = expected
        if lost and inc in self.reference.leases:
            limits = BatchLimits(environment=self.environment(inc))
            self.taken[inc] = list(self.reference.take(inc, limits, "owned"))
            again = queue.take(limits, owned=True)
            assert [job.id for job in (again.jobs if again else ())] == self.taken[inc]

    @precondition(lambda self: self.taken)
    @rule(number=pick, stray=pick, failing=st.sampled_from((0, 0, 1, 2)), only=st.integers(1, 4), again=sometimes)
    def finish(self, number: int, stray: int, failing: int, only: int, again: bool) -> None:
        inc, outcomes = self.scorer(number), dict[str, PredictionOutcome | Failure]()
        ids = self.taken[inc][:only]  # cancelled, finished, given back meanwhile: a scorer does not know
        other = self.chosen(stray)  # sometimes also a job that never was its own
        for job_id in ids if other is None or stray % 3 else {*ids, other}:
            self.outcomes += 1
            outcomes[job_id] = PredictionOutcome([self.outcomes], None, ["w"], 0.5, len(ids))
            if failing and self.outcomes % failing == 0:
                outcomes[job_id] = Failure("model_error", f"no. {self.outcomes}", {"at": self.outcomes})
        if inc not in self.reference.incs and outcomes:
            with pytest.raises(FencedError):
                ScorerQueue(self.redis, inc).finish(outcomes)
            return
        expected = self.reference.finish(inc, outcomes)
        for _ in range(1 + again):
            assert ScorerQueue(self.redis, inc).finish(outcomes) == expected

    @precondition(lambda self: any(self.taken.values()))
    @rule(number=pick, again=sometimes)
    def release(self, number: int, again: bool) -> None:
        inc = self.scorer(number)
        if not (ids := self.taken[inc]):
            return
        self.reference.release(inc, ids)
        for _ in range(1 + again):
            ScorerQueue(self.redis, inc).release(Batch("a", 1, [BatchJob(job_id, []) for job_id in ids]))

    @precondition(lambda self: any(self.reference.ready.values()))
    @rule(number=pick, limits=limits)
    def take_and_finish(self, number: int, limits: BatchLimits) -> None:
        self.take(number, limits, owned=False, lost=False)
        self.finish(number, stray=1, failing=3, only=4, again=False)

    # Time

    @precondition(lambda self: self.reference.exhausted)
    @rule()
    def rates_allow_rows_again(self) -> None:
        for name, model in self.reference.exhausted:
            assert self.redis.delete(f"mg:rate:{name}:{model}") == 1
        self.reference.exhausted.clear()

    # Supervisors

    def start_scorer(self) -> None:
        old = not self.of_old & self.reference.incs
        inc = f"w~{OLD}-{len(self.names)}-x" if old else f"w-{len(self.names)}-x"
        self.names.append(inc)
        if old:
            self.of_old.add(inc)
        models = ("a", "b") if len(self.names) % 3 == 0 else None
        for _ in range(2):
            self.leases.register(inc, queues=PREDICTION.queues(models, OLD if old else TODAY))
        self.reference.incs.add(inc)
        self.reference.leases.add(inc)

    def replace_scorers(self) -> None:
        while len(self.reference.incs) < SCORERS:
            self.start_scorer()

    @precondition(lambda self: self.reference.leases != self.reference.incs or any(self.reference.held.values()))
    @rule(number=pick, scored=st.sampled_from(((), (0,), (1,), (1,), (0, 1), (0, 1, 2, 3, 4))), again=sometimes)
    def give_back(self, number: int, scored: Sequence[int], again: bool) -> None:
        inc = self.scorer(number)
        ids = [job_id for position, job_id in enumerate(self.reference.held[inc]) if position in scored]
        self._give_back(inc, ids, None, again)

    @precondition(lambda self: any(self.reference.held.values()))
    @rule(number=pick, scored=st.sampled_from((1, 1, 1, 2)), again=sometimes)
    def time_out(self, number: int, scored: int, again: bool) -> None:
        busy = sorted(inc for inc, ids in self.reference.held.items() if ids)
        inc = busy[number % len(busy)]
        self._give_back(inc, self.reference.held[inc][:scored], Failure("timeout", "too long"), again)

    def _give_back(self, inc: str, ids: list[str], failure: Failure | None, again: bool) -> None:
        if failure and len(ids) == 1:
            expected = self.reference.give_back(inc, ids, failure, most_deaths=1)
        else:
            expected = self.reference.give_back(inc, ids, lease_groups.SCORERS.crashed)
        assert self.leases.give_back(inc, ids, failure) == expected
        if again:
            assert self.leases.give_back(inc, ids, failure) == {}
        self.replace_scorers()

    @rule(number=pick, again=sometimes, what=st.sampled_from(("lose", "lose and reap", "renew", "reap")))
    def lease(self, number: int, again: bool, what: str) -> None:
        if "lose" in what:
            self.lose_lease(number)
        if "reap" in what:
            self.reap(again)
        if "renew" in what:
            self.renew()

    def lose_lease(self, number: int) -> None:
        inc = self.scorer(number)
        self.redis.delete(f"mg:lease:{inc}")
        self.reference.leases.discard(inc)

    def renew(self) -> None:
        lost = self.reference.incs - self.reference.leases
        assert set(Leases(self.redis).renew(sorted(self.reference.incs))) == lost

    def reap(self, again: bool) -> None:
        lost = self.reference.incs - self.reference.leases
        reaped = self.leases.reap()
        assert set(reaped) == lost
        for inc in reaped:
            self.reference.give_back(inc, list(self.reference.held[inc]), lease_groups.SCORERS.crashed)
        if again:
            assert self.leases.reap() == []
        self.replace_scorers()

    @precondition(lambda self: any(life.deadline for life in self.reference.lives.values()))
    @rule(number=pick, seen=st.booleans())
    def deadline(self, number: int, seen: bool) -> None:
        self.deadline_passes(number)
        if seen:
            self.expire()

    def deadline_passes(self, number: int) -> None:
        job_id = self.chosen(number, *OPEN)
        if job_id is None or not self.reference.lives[job_id].deadline:
            return
        self.reference.lives[job_id].overdue = True
        self.redis.hset(f"rq:job:{job_id}", "deadline", 1)
        self.redis.zadd("mg:deadlines", {job_id: 1}, xx=True)

    def expire(self) -> None:
        due = [job_id.decode() for job_id in self.redis.zrangebyscore("mg:deadlines", 0, 1)]
        if self.reconciled:
            late = {i for i, life in self.reference.lives.items() if life.overdue and life.status == "queued"}
            assert set(due) == late
        lives = self.reference.lives
        self.reference.expire([i for i in due if lives[i].status == "queued" and not lives[i].touched])
        self.leases.expire()

    @precondition(lambda self: not self.reconciled)
    @rule()
    def reconcile(self) -> None:
        self.reference.reconcile()
        self.leases.reconcile()
        self.reconciled = True

    # Stock RQ, and other programs

    @precondition(lambda self: self.reference.lives)
    @rule(number=pick, what=st.sampled_from(("cancel", "cancel", "requeue", "requeue", "vanish", "flush")))
    def others(self, number: int, what: str) -> None:
        if what == "cancel":
            self.stock_rq_cancels(number)
        elif what == "requeue":
            self.stock_rq_requeues(number)
        elif what == "flush":
            self.redis.script_flush()
        else:
            self.a_queued_job_vanishes(number)

    def stock_rq_cancels(self, number: int) -> None:
        job_id = self.chosen(number, *OPEN)
        if job_id is None:
            return
        RQJob.fetch(job_id, connection=self.redis, serializer=JSONSerializer).cancel()
        life = self.reference.lives[job_id]
        if life.status == "queued":
            self.reference.queues[life.queue].remove(job_id)
        life.status, life.touched, self.reconciled = "canceled", True, False

    def stock_rq_requeues(self, number: int) -> None:
        job_id = self.chosen(number, "failed", "canceled", "expired")
        if job_id is None:
            return
        life = self.reference.lives[job_id]
        kind = FailedJobRegistry if life.status == "failed" else CanceledJobRegistry
        registry = kind(life.queue, connection=self.redis, serializer=JSONSerializer)
        if not life.touched:  # it has ended, without its rows
            with pytest.raises(InvalidJobOperation):
                registry.requeue(job_id)
            return
        registry.requeue(job_id)
        self.reference.queues[life.queue].append(job_id)
        life.status, life.touched, self.reconciled = "queued", True, False

    def a_queued_job_vanishes(self, number: int) -> None:
        job_id = self.chosen(number, "queued")
        if job_id:
            self.redis.delete(f"rq:job:{job_id}")
            self.redis.zrem("mg:deadlines", job_id)
            self.reference.lives[job_id].status = "vanished"
            self.reconciled = False

    # The invariants after each rule

    @invariant()
    def every_job_is_as_in_the_reference(self) -> None:
        ids = list(self.reference.lives)
        for job_id, job in zip(ids, self.jobs.read(ids), strict=True):
            life = self.reference.lives[job_id]
            if life.status in ("vanished", "deleted"):
                assert job is None
                continue
            assert job is not None
            if not (life.touched and job.status == "expired"):  # it was, and stock RQ cancels without a look
                assert str(job.status) == STATUS.get(life.status, life.status), job_id
            if life.status == "finished":  # 7: no outcome of a zombie, and no late one, is kept
                assert isinstance(life.outcome, PredictionOutcome) and job.output and job.metrics
                assert job.output["predictions"] == life.outcome.predictions
            assert job.error == (life.outcome if life.status == "failed" else None)
            assert (job.started_at is not None) >= (life.status in ("started", "finished"))
            assert (job.completed_at is not None) >= (job.status.final and not life.touched)

    @invariant()
    def queues_turns_and_holders_are_as_in_the_reference(self) -> None:
        waiting = [job_id for job_id, life in self.reference.lives.items() if life.status == "queued"]
        with self.redis.pipeline() as pipeline:
            for queue in QUEUES:
                pipeline.lrange(f"rq:queue:{queue}", 0, -1)
            for inc in self.names:
                pipeline.zrange(f"mg:held:{inc}", 0, -1)
            pipeline.zrange("mg:ready", 0, -1).zrange(f"mg:ready~{OLD}", 0, -1).smembers("mg:pools")
            pipeline.hgetall("mg:rows").smembers("mg:incs")
            for job_id in waiting:
                pipeline.hget(f"rq:job:{job_id}", "deaths")
            answers = pipeline.execute()
        *lists, ready, ready_of_old, pools, rows, incs = answers[: len(answers) - len(waiting)]
        deaths = [int(answer or 0) for answer in answers[len(answers) - len(waiting) :]]
        assert deaths == [self.reference.lives[job_id].deaths for job_id in waiting]
        plain = [[entry.decode() for entry in entries] for entries in lists]
        assert plain[: len(QUEUES)] == [self.reference.queues[queue] for queue in QUEUES]
        assert list(map(sorted, plain[len(QUEUES) :])) == [sorted(self.reference.held[inc]) for inc in self.names]
        turns = {TODAY: ready, OLD: ready_of_old}
        for environment, bases in turns.items():
            assert [base.decode() for base in bases] == self.reference.ready[environment]
        assert PoolWork(self.redis).waits_for(turns) == {environment for environment in turns if turns[environment]}
        had = any(life.job.environment == OLD and life.accepted for life in self.reference.lives.values())
        assert pools == ({f"~{OLD}".encode()} if had else set())
        assert {q.decode(): int(n) for q, n in rows.items()} == self.reference.rows
        assert {inc.decode() for inc in incs} == self.reference.incs
        assert {key.decode()[len("mg:batch:") :] for key in self.redis.keys("mg:batch:*")} == set(self.reference.handed)

    @invariant()
    def owners_share_a_model_as_in_the_reference(self) -> None:
        with self.redis.pipeline() as pipeline:
            for base in BASES:
                for kept in ("owners", "served"):
                    pipeline.zrange(f"mg:{kept}:{base}", 0, -1, withscores=True)
            starts = [{queue.decode(): start for queue, start in answer} for answer in pipeline.execute()]
        expected = [by_base[base] for base in BASES for by_base in (self.reference.starts, self.reference.served)]
        assert starts == expected

    @invariant()
    def the_invariants_hold(self) -> None:
        if self.reconciled:
            ids = [job_id for job_id, life in self.reference.lives.items() if life.status != "deleted"]
            check_invariants(self.redis, QUEUES, ids, TTL)

    @invariant()
    def every_ended_job_is_kept_as_long_as_it_is_needed(self) -> None:
        if not self.reconciled:
            return
        expected = defaultdict[str, set[bytes]](set)
        for job_id, life in self.reference.lives.items():
            if life.status not in (*OPEN, "vanished", "deleted"):
                status = "canceled" if life.status == "expired" else life.status
                expected[f"mg:{life.seen}:{status}:{life.queue}"].add(job_id.encode())
        exist = {key.decode() for key in self.redis.keys("mg:*")}
        indexes = [index for queue in QUEUES for index in indexes_of(queue, *ENDS) if index in exist]
        with self.redis.pipeline() as pipeline:
            for index in indexes:
                pipeline.zrange(index, 0, -1)
            ids_by_index = dict(zip(indexes, map(set, pipeline.execute()), strict=True))
            assert ids_by_index == expected
            ended = [(index, job_id) for index, ids in ids_by_index.items() for job_id in ids]
            for _, job_id in ended:
                pipeline.ttl(b"rq:job:" + job_id)
            for (index, _), left in zip(ended, pipeline.execute(), strict=True):
                assert (left <= DELIVERED_TTL) == index.startswith("mg:delivered:")

    @invariant()
    def every_record_of_a_request_is_kept_as_long_as_its_job(self) -> None:
        names = {name.decode().removeprefix("mg:idempotency:") for name in self.redis.keys("mg:idempotency:*")}
        assert names == self.reference.records.keys()
        with self.redis.pipeline() as pipeline:
            for record in self.reference.records:
                pipeline.get(f"mg:idempotency:{record}").ttl(f"mg:idempotency:{record}")
            answers = pipeline.execute()
        records = zip(self.reference.records.values(), answers[::2], answers[1::2], strict=True)
        for (job_id, fingerprint), made, left in records:
            assert made.decode() == f"{job_id} {fingerprint}"
            life = self.reference.lives[job_id]
            if self.reconciled and life.status != "vanished":
                assert (0 < left <= TTL) == (life.status not in OPEN)

    @invariant()
    def every_awaited_end_is_published_once(self) -> None:
        missing = len(self.reference.ended)
        while message := self.subscription.get_message(timeout=2.0 if missing > 0 else 0.0):
            for job_id, job in parse_reply(message["data"]):
                assert job is not None
                self.published[job_id] += 1
                missing -= 1
                (now,) = self.jobs.read([job_id])
                assert now is None or job == replace(now, worker="") or not now.status.final
        assert self.published == Counter(self.reference.ended)
        self.published.clear()
        self.reference.ended.clear()
