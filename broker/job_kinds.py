"""The kinds of jobs, one entry each; the rest of `broker/` and its scripts read from here how kinds differ."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from broker.lease_groups import SCORERS, TRAINERS, LeaseGroup
from broker.records import read_prediction, read_training
from contract.jobs import Job


@dataclass(frozen=True, eq=False)
class JobKind:
    """One kind of job.

    `name` is its `kind` in the HTTP API. `queue` is its queue in RQ; if it ends with a colon, it is the prefix of one
    queue a model. `function` is written where RQ expects a dotted path to import; `former_function` was, in
    releases up to 0.2, which refuse the other one. Processes of `group` take the jobs.

    `batched`: scorers take batches, and queues take turns (TAKE); otherwise a process takes one job (BEGIN).
    `pinned`: a job has a field `version`, and one without it belongs to another program.
    `logged`: a job has a log.
    `published`: the message that a job has ended holds the whole job; otherwise it has to be read.
    `fields`: the fields of its hash that `read` needs beside those of every kind, each with its parser.
    `read`: makes a `Job` of parsed fields, `name` and the model of its queue. None: the HTTP API does not show this
    kind.
    """

    name: str
    queue: str
    function: str
    group: LeaseGroup
    former_function: str | None = None
    batched: bool = False
    pinned: bool = False
    logged: bool = False
    published: bool = False
    fields: Mapping[str, Callable[[str], Any]] = field(default_factory=dict)
    read: Callable[[Mapping[str, Any], str, str], Job] | None = None

    @functools.cached_property
    def functions(self) -> frozenset[str]:
        """The functions that a job of this kind may name."""
        return frozenset({self.function, self.written_function})

    @property
    def written_function(self) -> str:
        """The function that new jobs name: the former one, until no release in use refuses the other (ADR 22)."""
        return self.former_function or self.function

    def queue_of(self, model: str) -> str:
        """Return the queue that has the jobs of `model`."""
        return self.queue + model if self.queue.endswith(":") else self.queue

    def model_of(self, queue: str) -> str:
        """Return the model of a queue of this kind, or '' if the queue is for all models."""
        return queue[len(self.queue) :]

    def queues(self, models: Collection[str] | None) -> Sequence[str]:
        """Return the queues of `models`; None stands for all models, as `predict:*`."""
        return [f"{self.queue}*"] if models is None else [self.queue_of(model) for model in sorted(models)]

    def owns(self, queue: str) -> bool:
        """Return whether jobs of this kind wait in this queue of RQ."""
        return queue == self.queue or (self.queue.endswith(":") and queue.startswith(self.queue))


PREDICTION = JobKind(
    "prediction",
    "predict:",
    "modelgate.prediction",
    SCORERS,
    former_function="worker.scorer.predict",
    batched=True,
    pinned=True,
    published=True,
    fields={"version": int, "echo": json.loads},
    read=read_prediction,
)
TRAINING = JobKind(
    "training",
    "training",
    "modelgate.training",
    TRAINERS,
    former_function="trainer.tasks.train",
    logged=True,
    fields={"meta": str, "progress": json.loads},
    read=read_training,
)
REPOSITORY_COMMAND = JobKind(
    "repository command",
    "publishing",
    "modelgate.repository_command",
    TRAINERS,
    former_function="trainer.tasks.order",
)

JOB_KINDS = {kind.name: kind for kind in (PREDICTION, TRAINING, REPOSITORY_COMMAND)}
"""Every kind by its name."""


@functools.lru_cache(1000)
def kind_of(queue: str) -> JobKind | None:
    """Return the kind whose jobs wait in this queue of RQ, or None if the queue belongs to another program."""
    return next((kind for kind in JOB_KINDS.values() if kind.owns(queue)), None)


def readable_kinds() -> list[JobKind]:
    """The kinds that the HTTP API shows."""
    return [kind for kind in JOB_KINDS.values() if kind.read is not None]


def lua_table() -> str:
    """Return the function `kind_of(q)` in Lua: what the scripts need of the kind whose jobs are in q."""
    lines = ["local queue, kind", "local function kind_of(q)", "  if q == queue then return kind end", "  queue = q"]
    for number, one in enumerate(JOB_KINDS.values()):
        lines.append(f"  {'elseif' if number else 'if'} {_lua_matches(one.queue)} then kind = {_lua_entry(one)}")
    # The queue of another program; or a worker has changed the record of a job, which must not fail the script.
    lines.append(f"  else kind = {{ deadlines = '{TRAINERS.deadlines}' }} end")
    return "\n".join([*lines, "  return kind", "end", ""])


def _lua_matches(queue: str) -> str:
    return f"string.sub(q, 1, {len(queue)}) == '{queue}'" if queue.endswith(":") else f"q == '{queue}'"


def _lua_entry(kind: JobKind) -> str:
    flags = {"batched": kind.batched, "pinned": kind.pinned, "logged": kind.logged, "readable": kind.read is not None}
    names = "".join(f", {name} = true" for name, value in flags.items() if value)
    return f"{{ deadlines = '{kind.group.deadlines}', members = '{kind.group.members}'{names} }}"
