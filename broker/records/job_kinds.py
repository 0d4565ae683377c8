"""The kinds of jobs, one entry each; the rest of `broker/` and its scripts read from here how kinds differ."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from operator import attrgetter
from typing import Any

from broker.records.job_records import job_data, read_file_prediction, read_prediction, read_training
from broker.records.lease_groups import OBSERVERS, SCORERS, TRAINERS, LeaseGroup
from contract.model.environments import TODAY
from contract.retention import Retention
from contract.work.api_keys import Scope
from contract.work.jobs import Job, Status

READ_OF_ALL = frozenset({"version", "echo"})
"""Fields of a kind that every script reads of a job; those of the kind's `fields` that it does not, an end keeps."""

_POOL = "~"

_FOREIGN = job_data("").decode()
"""RQ's `data` of an ended job in a queue of another program."""


def pool_of(environment: str) -> str:
    """Return what the names of the queues and the bells of a pool have at their end, which is nothing for that of
    today's environment."""
    return f"{_POOL}{environment}" if environment else ""


@dataclass(frozen=True, eq=False)
class JobKind:
    """One kind of job.

    `name` is its `kind` in the HTTP API. `queue` is its queue in RQ; if it ends with a colon, it is the prefix of a
    queue for each model, environment and owner. `function` is written where RQ expects a dotted path to import.
    Processes of `group` take the jobs.

    `batched`: scorers take batches, and queues take turns (TAKE); otherwise a process takes one job (BEGIN). `turns`:
    what the keys of these turns and of their bells end with.
    `staged`: scorers do such a job in tasks (TAKE_TASK), which are jobs of a kind with `task`.
    `pinned`: a job has a field `version`, and one without it belongs to another program.
    `logged`: a job has a log.
    `running_count`: running jobs count for the most jobs of an owner, too, not only those that wait.
    `kept`: returns the seconds that such a job is kept after its end.
    `published`: the message that a job has ended holds the whole job; otherwise it has to be read.
    `scope`: a key needs it to make such a job, or to cancel one.
    `fields`: the fields of its hash that `read` needs beside those of every kind, each with its parser.
    `read`: makes a `Job` of parsed fields, `name` and the model of its queue. None: the HTTP API does not show this
    kind.
    """

    name: str
    queue: str
    function: str
    group: LeaseGroup
    kept: Callable[[Retention], int] = attrgetter("results")
    batched: bool = False
    turns: str = ""
    staged: bool = False
    task: bool = False
    pinned: bool = False
    logged: bool = False
    running_count: bool = False
    published: bool = False
    scope: Scope = Scope.PREDICT
    fields: Mapping[str, Callable[[str], Any]] = field(default_factory=dict)
    read: Callable[[Mapping[str, Any], str, str], Job] | None = None

    @property
    def readable(self) -> bool:
        """Whether the HTTP API shows jobs of this kind."""
        return self.read is not None

    @property
    def per_model(self) -> bool:
        """Whether it has a queue for each model and owner; otherwise one."""
        return self.queue.endswith(":")

    @property
    def title(self) -> str:
        """What a page calls such a job."""
        return self.name.replace("_", " ").capitalize()

    @property
    def events(self) -> Sequence[str]:
        """The events of webhooks: one for each end. Those of a kind in batches are reported only to the URL in the
        request."""
        reported = self.readable and not self.batched
        return [f"{self.name}.{status}" for status in Status if status.final] if reported else ()

    def queue_of(self, model: str, owner: str = "", environment: str = TODAY) -> str:
        """Return the queue of the jobs of `owner` ('': jobs without an owner) for versions of `model` that live in
        `environment`."""
        if not self.per_model:
            return self.queue
        base = f"{self.queue}{model}{pool_of(environment)}"
        return f"{base}:{owner}" if owner else base

    def model_of(self, queue: str) -> str:
        """Return the model of a queue of this kind, or '' if the queue is for all models."""
        return self._parts(queue)[0]

    def owner_of(self, queue: str) -> str:
        """Return the owner of the jobs in a queue of this kind; '' if they have none, or each job has its own."""
        return self._parts(queue)[1]

    def _parts(self, queue: str) -> tuple[str, str]:
        """Return the model and the owner in a name that `queue_of` has made. Scripts read it in `kind_of`."""
        model, _, owner = queue[len(self.queue) :].partition(":")
        return model.partition(_POOL)[0], owner

    def may_hold(self, queue: str, model: str | None, owner: str | None) -> bool:
        """Return whether a queue of this kind may hold jobs that the HTTP API shows, of a model and an owner (None:
        any)."""
        if not self.per_model:
            return self.readable
        return self.readable and model in (None, self.model_of(queue)) and owner in (None, self.owner_of(queue))

    def queues(self, models: Collection[str] | None, environment: str = TODAY) -> Sequence[str]:
        """Return the queues of `models` in an environment; None stands for all models, as `predict:*`."""
        names = ["*"] if models is None else sorted(models)
        return [self.queue_of(name, environment=environment) for name in names]

    def owns(self, queue: str) -> bool:
        """Return whether jobs of this kind wait in this queue of RQ."""
        return queue == self.queue or (self.per_model and queue.startswith(self.queue))


PREDICTION = JobKind(
    "prediction",
    "predict:",
    "modelgate.prediction",
    SCORERS,
    batched=True,
    pinned=True,
    published=True,
    fields={"version": int, "echo": json.loads},
    read=read_prediction,
)
EXPLANATION = JobKind(
    "explanation",
    "explain:",
    "modelgate.explanation",
    SCORERS,
    batched=True,
    turns=":explanation",
    pinned=True,
    published=True,
    fields={"version": int, "echo": json.loads},
    read=read_prediction,
)
"""Why a model answers what it does. It asks the model about many rows, so a scorer works on it in slices."""
TRAINING = JobKind(
    "training",
    "training",
    "modelgate.training",
    TRAINERS,
    kept=attrgetter("trainings"),
    logged=True,
    scope=Scope.TRAIN,
    fields={"meta": str, "progress": json.loads, "owner": str},
    read=read_training,
)
REPOSITORY_COMMAND = JobKind(
    "repository command",
    "publishing",
    "modelgate.repository_command",
    TRAINERS,
    running_count=True,
    kept=attrgetter("commands"),
)

FILE_PREDICTION = JobKind(
    "file_prediction",
    "file:",
    "modelgate.file_prediction",
    SCORERS,
    staged=True,
    pinned=True,
    fields={
        "version": int,
        "format": str,
        "stage": str,
        "rows_total": int,
        "rows_done": int,
        "rows_refused": int,
        "rows_null": int,
    },
    read=read_file_prediction,
)
OBSERVATION = JobKind(
    "observation",
    "observing",
    "modelgate.observation",
    OBSERVERS,
    running_count=True,
    kept=attrgetter("commands"),
)
"""A question about the prediction log, or a change of it, whose caller waits (`contract.work.observation`)."""

FILE_TASK = JobKind("file task", "file-task:", "modelgate.file_task", SCORERS, task=True)
"""A piece of the work on a file: its plan, one of its chunks, or the assembly of their parts (ADR 49). Each file has a
queue of its own, in which tasks wait whose scorers have ended."""

_KINDS = (PREDICTION, EXPLANATION, TRAINING, REPOSITORY_COMMAND, FILE_PREDICTION, FILE_TASK, OBSERVATION)
JOB_KINDS = {kind.name: kind for kind in _KINDS}
"""Every kind by its name."""


@functools.lru_cache(1000)
def kind_of(queue: str) -> JobKind | None:
    """Return the kind whose jobs wait in this queue of RQ, or None if the queue belongs to another program."""
    return next((kind for kind in JOB_KINDS.values() if kind.owns(queue)), None)


def queue_names(keys: Iterable[bytes]) -> list[str]:
    """Return the names of the queues with these keys, which RQ has in `rq:queues`."""
    return [key.decode(errors="replace").removeprefix("rq:queue:") for key in keys]


def readable_kinds() -> list[JobKind]:
    """The kinds that the HTTP API shows."""
    return [kind for kind in JOB_KINDS.values() if kind.readable]


def trainer_queues() -> list[str]:
    """The queues whose jobs trainers take."""
    return [kind.queue for kind in JOB_KINDS.values() if kind.group is TRAINERS]


def job_events() -> list[str]:
    """The events of jobs that a subscription of webhooks can ask for."""
    return [event for kind in JOB_KINDS.values() for event in kind.events]


def lua_table() -> str:
    """Return in Lua what reads the name of a queue (`JobKind.queue_of`): `kind_of(q)` returns the kind of the jobs in
    q, and the base of q: the queue that takes turns for it (`predict:<model>` for `predict:<model>:<owner>`, for any
    other queue itself); `model_of(q)` returns the model, or '' if the queue is for all models; `pool_of(q)` returns
    what the names of its pool end with; `turns_of(q)` what the keys of the turns end with that q takes part in, or nil.
    TURNS has those of today's environment."""
    lines = [
        "local queue, kind, base_queue, queue_model, queue_pool",
        "local function kind_of(q)",
        "  if q == queue then return kind, base_queue end",
        "  local base",
        "  queue, base_queue = q, q",
        f"  base, queue_model, queue_pool = string.match(q, '^([^:]*:([^:{_POOL}]*)([^:]*))')",
    ]
    for number, kind in enumerate(JOB_KINDS.values()):
        lines.append(f"  {'elseif' if number else 'if'} {_lua_matches(kind.queue)} then kind = {_lua_entry(kind)}")
    # The queue of another program; or a worker has changed the record of a job, which must not fail the script.
    lines.append(f"  else kind = {{ deadlines = '{TRAINERS.deadlines}', data = '{_FOREIGN}' }} end")
    lines += [
        "  if kind.batched then base_queue = base end",
        "  return kind, base_queue",
        "end",
        "local function model_of(q)",
        "  kind_of(q)",
        "  return queue_model or ''",
        "end",
        "local function pool_of(q)",
        "  kind_of(q)",
        "  return queue_pool or ''",
        "end",
        f"local TURNS = {{ {', '.join(repr(kind.turns) for kind in JOB_KINDS.values() if kind.batched)} }}",
        "local function turns_of(q)",
        "  local turns = kind_of(q).turns",
        "  return turns and turns .. (queue_pool or '')",
        "end",
    ]
    return "\n".join([*lines, ""])


def _lua_matches(queue: str) -> str:
    return f"string.sub(q, 1, {len(queue)}) == '{queue}'" if queue.endswith(":") else f"q == '{queue}'"


def _lua_entry(kind: JobKind) -> str:
    flags = ("batched", "staged", "task", "pinned", "logged", "running_count", "published", "readable")
    names = "".join(f", {name} = true" for name in flags if getattr(kind, name))
    names += f", name = '{kind.name}'" if kind.readable else ""
    names += f", turns = '{kind.turns}'" if kind.batched else ""
    kept = [name for name in kind.fields if name not in READ_OF_ALL] + ["log_start"] * kind.logged
    names += f", kept = {{ {', '.join(map(repr, kept))} }}" if kept else ""
    data = job_data(kind.function).decode()
    return f"{{ deadlines = '{kind.group.deadlines}', members = '{kind.group.members}', data = '{data}'{names} }}"


# The indexes of ended jobs: sorted sets of ids by the time of the end, `mg:<seen>:<status>:<queue>` (ADR 26)


class Seen(StrEnum):
    """Who has seen a job that has ended: nobody, the client of the request that made it, or one that asked later."""

    BY_NOBODY = "ended"
    DELIVERED = "delivered"
    FETCHED = "fetched"


ENDS = ("finished", "failed", "canceled")
"""RQ's statuses of jobs that have ended."""


def index_of(seen: Seen, status: str, queue: str) -> str:
    """Return the key of one index."""
    return f"mg:{seen}:{status}:{queue}"


def indexes_of(queue: str, *statuses: str) -> list[str]:
    """Return the keys of the indexes that hold the jobs of a queue with one of RQ's `statuses`."""
    return [index_of(seen, status, queue) for status in statuses for seen in Seen]
