"""A hypothesis state machine of file predictions: scorers take, report, release and finish tasks, die and are fenced in
any order, while files are submitted, cancelled and deleted. It compares the scripts with a model of a file."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from redis import Redis

from broker.link.scripts import FencedError
from broker.records.job_kinds import FILE_PREDICTION, pool_of
from broker.records.lease_groups import SCORERS, worker_of
from broker.sides.file_tasks import FileTask, FileTasks, Stage, lane_bell
from broker.sides.gateway.file_submission import FileJobs, FileSubmission, NoWorker
from broker.sides.gateway.job_client import Jobs
from broker.sides.supervisor import Leases
from contract.errors import Code, Failure
from contract.model.environments import TODAY
from contract.rows.file_formats import FileFormat
from contract.work.jobs import FileRequest

MODELS = ("a", "b")
OLD = "old"
SCORERS_COUNT = 3
MOST_OPEN = 4
"""Files that wait or run at once; with more, few come to their second stage."""
ROWS = 4
"""Rows of a chunk."""
NEXT = {Stage.PLAN: Stage.SCORE, Stage.SCORE: Stage.ASSEMBLE}
HURTS = Failure(Code.MODEL_ERROR, "it hurts")

pick = st.integers(0, 50)
sometimes = st.sampled_from((False, False, True))


@dataclass
class Life:
    """The expected state of a file. `waiting`: tasks that were given back; `running`: its tasks by owner; `chunks`: how
    often each was counted."""

    model: str
    environment: str
    planned: int
    status: str = "queued"
    stage: Stage = Stage.PLAN
    tasks: int = 1
    next: int = 0
    done: int = 0
    waiting: list[int] = field(default_factory=list)
    running: dict[str, int] = field(default_factory=dict)
    reported: dict[str, int] = field(default_factory=dict)
    deaths: Counter[tuple[Stage, int]] = field(default_factory=Counter)
    chunks: Counter[int] = field(default_factory=Counter)

    @property
    def open(self) -> bool:
        return self.status in ("queued", "started")

    @property
    def has_tasks(self) -> bool:
        return self.open and bool(self.waiting or self.next < self.tasks)

    def end(self, status: str) -> None:
        self.status = status
        self.waiting, self.running, self.reported = [], {}, {}

    def take(self, inc: str) -> tuple[Stage, int]:
        self.status = "started"
        if self.waiting:
            number = self.waiting.pop(0)
        else:
            number, self.next = self.next, self.next + 1
        self.running[inc] = number
        return self.stage, number

    def finish(self, inc: str) -> None:
        number = self.running.pop(inc)
        self.reported.pop(inc, None)
        self.done += 1
        if self.stage is Stage.SCORE:
            self.chunks[number] += 1
        if self.done < self.tasks:
            return
        if self.stage not in NEXT:
            self.end("finished")
            return
        self.stage = NEXT[self.stage]
        self.tasks, self.next, self.done = self.planned if self.stage is Stage.SCORE else 1, 0, 0

    def give_back(self, inc: str, *, died: bool) -> None:
        number = self.running.pop(inc)
        self.reported.pop(inc, None)
        self.deaths[self.stage, number] += died
        if died and self.deaths[self.stage, number] >= SCORERS.max_deaths:
            self.end("failed")
        else:
            self.waiting.insert(0, number)


def environment_of(inc: str) -> str:
    """Return where the versions of a scorer live: those of one scorer in the environment `OLD`."""
    return worker_of(inc).partition("~")[2]


class FileMachine(RuleBasedStateMachine):
    """Calls scripts at random. `again` in a rule: the reply was lost, and redis-py sends the call a second time."""

    def __init__(self, redis: Redis) -> None:
        super().__init__()
        redis.flushall()
        self.redis: Any = redis
        self.files = FileJobs(redis, timeout=30, result_ttl=60)
        self.jobs = Jobs(redis, max_queue_rows=10, timeout=30, result_ttl=60)
        self.leases = Leases(redis, lease=60)
        self.lives: dict[str, Life] = {}
        self.held: dict[str, FileTask] = {}
        """What each scorer believes that it owns."""
        self.names: list[str] = []
        self.living: set[str] = set()
        self.replace_scorers()

    @precondition(lambda self: len(self.living) < SCORERS_COUNT)
    @rule()
    def replace_scorers(self) -> None:
        while len(self.living) < SCORERS_COUNT:
            old = not any(map(environment_of, self.living))
            inc = f"w{pool_of(OLD if old else TODAY)}-{len(self.names)}-x"
            self.leases.register(inc)
            self.names.append(inc)
            self.living.add(inc)

    def scorer(self, number: int) -> str:
        """Return a living scorer mostly, preferably one for which a task waits, and sometimes a zombie."""
        environments = {life.environment for life in self.lives.values() if life.has_tasks}
        able = [inc for inc in sorted(self.living) if environment_of(inc) in environments]
        candidates = able * 3 + sorted(self.living) + [inc for inc in self.names if inc not in self.living][-1:]
        return candidates[number % len(candidates)]

    def owner(self, number: int) -> str | None:
        owners = [inc for inc in self.held if number % 5 or inc in self.living]
        return owners[number % len(owners)] if owners else None

    @precondition(lambda self: sum(life.open for life in self.lives.values()) < MOST_OPEN)
    @rule(
        model=st.sampled_from(MODELS),
        environment=st.sampled_from((TODAY, TODAY, TODAY, OLD)),
        planned=st.integers(1, 4),
        most=st.sampled_from((100, 100, 100, 2)),
        served=st.sampled_from((True, True, True, False)),
        again=sometimes,
    )
    def submit(self, model: str, environment: str, planned: int, most: int, served: bool, again: bool) -> None:
        """`served`: a worker of the other environment is alive."""
        if served:
            self.redis.set(f"mg:pool~{OLD}", "w")
        else:
            self.redis.delete(f"mg:pool~{OLD}")
        job_id = f"f{len(self.lives)}"
        file_request = FileRequest(model, 1, FileFormat.CSV, FileFormat.CSV)
        job = FileSubmission(job_id, "2026-01-02T03:04:05.000006Z", file_request, environment)
        if environment == OLD and not served:
            with pytest.raises(NoWorker):
                self.files.submit(job, most)
            return
        allowed = sum(life.model == model and life.open for life in self.lives.values()) < most
        for _ in range(1 + again):
            assert self.files.submit(job, most) == (job_id if allowed else None)
        if allowed:
            self.lives[job_id] = Life(model, environment, planned)

    @precondition(lambda self: self.lives)
    @rule(number=pick, skip=st.sampled_from(((), (), (), ("a",))), again=sometimes)
    def take(self, number: int, skip: tuple[str, ...], again: bool) -> None:
        inc = self.scorer(number)
        if inc not in self.living:
            try:
                self.lane(inc).take(skip=skip)
            except FencedError:
                return
            raise AssertionError("a zombie has taken a task")
        mine = next((job_id for job_id, life in self.lives.items() if inc in life.running), None)
        if mine is None:
            if not skip:  # such a scorer has no work, and waits for the bell
                self.redis.lpop(lane_bell(environment_of(inc)))
            lane = [job_id.decode() for job_id in self.redis.zrange("mg:lane", 0, -1)]
            eligible = [job_id for job_id in lane if self.lives[job_id].environment == environment_of(inc)]
            mine = next((job_id for job_id in eligible if self.lives[job_id].model not in skip), None)
            expected = self.lives[mine].take(inc) if mine else None
        else:
            expected = self.lives[mine].stage, self.lives[mine].running[inc]
        for _ in range(1 + again):
            task = self.lane(inc).take(skip=skip)
            assert (task and (task.file, task.stage, task.number)) == (expected and (mine, *expected))
        self.held.pop(inc, None)
        if task:
            assert task.deaths == self.lives[task.file].deaths[task.stage, task.number]
            self.held[inc] = task

    def lane(self, inc: str) -> FileTasks:
        return FileTasks(self.redis, inc, environment=environment_of(inc))

    def owns(self, inc: str, task: FileTask) -> bool:
        life = self.lives[task.file]
        return life.stage is task.stage and life.running.get(inc) == task.number

    @precondition(lambda self: self.held)
    @rule(number=pick, rows=st.integers(0, ROWS), again=sometimes)
    def report(self, number: int, rows: int, again: bool) -> None:
        if (inc := self.owner(number)) is None:
            return
        task = self.held[inc]
        for _ in range(1 + again):
            assert FileTasks(self.redis, inc).report(task, rows, range(rows)) == self.owns(inc, task)
        if self.owns(inc, task):
            self.lives[task.file].reported[inc] = rows

    @precondition(lambda self: self.held)
    @rule(number=pick, again=sometimes)
    def release(self, number: int, again: bool) -> None:
        if (inc := self.owner(number)) is None:
            return
        task = self.held.pop(inc)
        for _ in range(1 + again):
            FileTasks(self.redis, inc).release(task)
        if self.owns(inc, task):
            self.lives[task.file].give_back(inc, died=False)

    @precondition(lambda self: self.held)
    @rule(number=pick, fails=st.sampled_from((False,) * 7 + (True,)), again=sometimes)
    def finish(self, number: int, fails: bool, again: bool) -> None:
        if (inc := self.owner(number)) is None:
            return
        task = self.held.pop(inc)
        life = self.lives[task.file]
        outcome: dict[str, object] = {"rows": ROWS, "refused": 1, "nulls": 0}
        if task.stage is Stage.PLAN:
            outcome = {"tasks": life.planned, "rows": ROWS * life.planned}
        for _ in range(1 + again):
            try:
                FileTasks(self.redis, inc).finish(task, HURTS if fails else outcome)
            except FencedError:
                assert inc not in self.living
        if self.owns(inc, task):
            if fails:
                life.end("failed")
            else:
                life.finish(inc)

    @precondition(lambda self: self.living)
    @rule(number=pick, scoring=st.booleans(), again=sometimes)
    def die(self, number: int, scoring: bool, again: bool) -> None:
        inc = sorted(self.living)[number % len(self.living)]
        self.living.discard(inc)
        mine = [life for life in self.lives.values() if inc in life.running]
        scored = [self.held[inc].id] if scoring and mine and inc in self.held else []
        for _ in range(1 + again):
            self.leases.give_back(inc, scored)
        for life in mine:
            life.give_back(inc, died=bool(scored))

    @precondition(lambda self: self.lives)
    @rule(number=pick)
    def cancel(self, number: int) -> None:
        job_id = list(self.lives)[number % len(self.lives)]
        life, answer = self.lives[job_id], self.jobs.cancel(job_id)
        assert answer is not None and answer[0] == life.open
        if life.open:
            life.end("canceled")

    @rule()
    def reconcile(self) -> None:
        self.leases.reconcile()

    @invariant()
    def every_file_is_as_expected(self) -> None:
        for job_id, life in self.lives.items():
            key = f"rq:job:{job_id}"
            names = ("status", "stage", "rows_done", "rows_refused")
            status, stage, done, refused = (value and value.decode() for value in self.redis.hmget(key, names))
            assert (status, stage) == (life.status, life.stage), job_id
            if life.status != "failed" and life.status != "canceled":
                assert max(life.chunks.values(), default=0) <= 1, "each chunk counts once"
                reported = sum(life.reported.values()) if life.stage is Stage.SCORE else 0
                assert int(done or 0) == ROWS * len(life.chunks) + reported
                assert int(refused or 0) == len(life.chunks)
            queue = FILE_PREDICTION.queue_of(life.model, environment=life.environment)
            assert (self.redis.lpos(f"rq:queue:{queue}", job_id) is not None) == (life.status == "queued")
            assert (self.redis.zscore(f"rq:wip:{queue}", f"{job_id}:files") is not None) == (life.status == "started")
            assert (self.redis.ttl(key) > 0) != life.open

    @invariant()
    def the_lane_has_the_files_with_tasks_and_rings(self) -> None:
        lane = {job_id.decode() for job_id in self.redis.zrange("mg:lane", 0, -1)}
        having = {job_id for job_id, life in self.lives.items() if life.has_tasks}
        assert having <= lane, "a file with a task to hand out is in the lane"
        for environment in {self.lives[job_id].environment for job_id in having}:
            assert self.redis.llen(lane_bell(environment)) == 1, "its bell rings"
        assert all(self.lives[job_id].open for job_id in lane)
        running = {job_id for job_id, life in self.lives.items() if life.status == "started"}
        assert {job_id.decode() for job_id in self.redis.zrange("mg:held:files", 0, -1)} == running

    @invariant()
    def every_task_waits_or_has_one_owner_and_none_outlives_its_file(self) -> None:
        tasks = Counter(key.decode().removeprefix("rq:job:") for key in self.redis.keys("rq:job:*-*"))
        expected: Counter[str] = Counter()
        for job_id, life in self.lives.items():
            waiting = [f"{job_id}-{life.stage}-{number}" for number in life.waiting]
            queued = [task.decode() for task in self.redis.lrange(f"rq:queue:file-task:{job_id}", 0, -1)]
            assert queued == waiting
            running = {f"{job_id}-{life.stage}-{number}:{inc}" for inc, number in life.running.items()}
            wip = {entry.decode() for entry in self.redis.zrange(f"rq:wip:file-task:{job_id}", 0, -1)}
            assert wip == running
            expected.update([*waiting, *(entry.rpartition(":")[0] for entry in running)])
        assert tasks == expected
        held = {(inc, task.decode()) for inc in self.names for task in self.redis.zrange(f"mg:held:{inc}", 0, -1)}
        assert held == {
            (inc, f"{job_id}-{life.stage}-{number}")
            for job_id, life in self.lives.items()
            for inc, number in life.running.items()
        }
