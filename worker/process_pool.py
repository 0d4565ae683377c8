"""Starts and restarts the processes of a worker and kills those that take too long. Uses no Redis."""

from __future__ import annotations

import logging
import math
import selectors
import signal
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

from broker.sides.supervisor import Spared
from broker.state.load_status import CHANGES_PROCESS, LoadStatus
from contract.settings import MB
from runtime.backoff import Backoff
from runtime.liveness import Silence
from worker import memory
from worker.activity import ActivityTable
from worker.processes import (
    THIS_INTERPRETER,
    Interpreter,
    PrintedLines,
    ScorerExit,
    ScorerProcess,
    ShadowProcess,
    TemplateProcess,
    reap_zombies,
)

log = logging.getLogger("worker")

_MIN_LIFETIME = 1.0
"""Seconds. A process that ended sooner is restarted after a pause that grows."""

_STOP_TIMEOUT = 5.0
"""Seconds that an idle scorer may take to end: its model may have replaced the signal handler."""

_CRASHES_TO_BLOCK = 2
"""Templates that must die while they load a version before it is blocked: a single one may have died by chance."""

_MEMORY_CHECK_INTERVAL = 10.0
"""Seconds between two looks at the memory of the scorers."""

_UNUSED_PART, _UNUSED_MB = 0.25, 64
"""What a scorer may have in memory besides its models, while not all models fit: a part of these, and MB of its own."""

_MAX_FORK_PAUSE = 0.5
"""Seconds between two scorers of a slot: a fork is cheap, and the next job must start within a second."""

STUCK_AFTER = 30.0
"""Seconds without progress after which an idle process is stuck. A scorer that waits for Redis shows progress in half
of that."""

_START_TIMEOUT = 300.0
"""Seconds that a template may take until its first sign of progress."""

_INCOMPLETE = 15.0
"""Seconds that processes may be missing before the worker is unhealthy: restarts are no problem."""


class ProcessPool:
    """One template process, and a scorer process in each slot."""

    def __init__(
        self,
        scorers: int,
        selector: selectors.BaseSelector,
        stuck_after: float = STUCK_AFTER,
        interpreter: Interpreter = THIS_INTERPRETER,
        *,
        woken: bool = False,
    ) -> None:
        """Registers its connections with `selector`, each with the function to call as data. `woken`: the worker has
        been well without these processes."""
        self._interpreter = interpreter
        self._forked: dict[int, ScorerProcess] = {}
        """Scorers and the shadow scorer, by slot."""
        self.exits: list[ScorerExit] = []
        """Scorers that ended with jobs in their hands; the supervisor gives these back and removes the entry."""
        self.stuck: list[str] = []
        """The idle processes that have made no progress for a third of the time after which they are restarted."""
        self._selector = selector
        self._activities = ActivityTable.create(scorers)
        self._wanted, self._template_slot = scorers, self._activities.template
        self._printed = PrintedLines(lambda line: log.info("printed: %s", line))
        selector.register(self._printed, selectors.EVENT_READ, self._printed.read)
        self._template: TemplateProcess | None = None
        self._template_backoff = Backoff()
        self._template_silence, self._template_beats = Silence(), 0
        self._stuck_after = stuck_after
        # The grace is for restarts. Docker's own for a slow start ends as soon as a worker says that it is well.
        self._incomplete_since: float | None = None if woken else -math.inf
        self._backoffs = [Backoff(longest=_MAX_FORK_PAUSE) for _ in range(self._template_slot)]
        self._crashes: Counter[str] = Counter()
        self._change_process: set[str] = set()
        self._requested: frozenset[str] = frozenset()
        self._spared = Spared("", frozenset())
        self._extra: bool | None = None
        """Whether there is to be an extra scorer; None while not all others are late."""
        self._unreaped: set[int] = set()
        self._memory_checked = time.monotonic()
        self.draining = False
        """Whether it starts no more processes."""

    @property
    def scorers(self) -> Mapping[int, ScorerProcess]:
        """Scorers by slot, with the extra one."""
        return {slot: scorer for slot, scorer in list(self._forked.items()) if slot != self._activities.shadow}

    def maintain(self, new_incarnation: Callable[[int], str] | None) -> None:
        """Restart what has ended and kill what is overdue. Call it several times a second.

        `new_incarnation(slot)` names a new scorer; None: start no scorers yet.
        """
        reap_zombies(self._unreaped)
        self._kill_overdue()
        self._kill_stuck()
        if self.draining or self._is_complete(with_scorers=new_incarnation is not None):
            self._incomplete_since = None
        elif self._incomplete_since is None:
            self._incomplete_since = time.monotonic()
        if self.draining:
            return
        if self._template is None and self._template_backoff.over:
            self._start_template()
        if self._template and new_incarnation:
            for slot in self._slots(self._template):
                if slot not in self._forked and self._backoffs[slot].over:
                    self._fork(self._template, slot, new_incarnation(slot))
            self._replace_outdated_scorer(self._template)
            self._retire_unneeded(self._template)
            self._replace_fragmented_scorer()

    def request_versions(self, versions: frozenset[str]) -> None:
        """Load these versions (`loan@3`) besides those that aliases name."""
        if versions != self._requested:
            self._requested = versions
            if self._template:
                self._template.request_versions(versions)

    def load_status(self, models: Collection[str] | None) -> LoadStatus:
        """Return which versions all scorers have that may still take jobs, none while there is no such scorer; and what
        the template does not load. `models`: those that the worker serves (None: all)."""
        serving = [scorer.versions for scorer in self.scorers.values() if scorer.registered and not scorer.retiring]
        loaded = frozenset.intersection(*serving) if serving else frozenset()
        if self._template is None:
            return LoadStatus(loaded, models=models)
        return LoadStatus(loaded, self._template.refused, models, self._template.failures)

    def take_loads(self) -> Sequence[tuple[str, float, bool]]:
        """Return what the template has loaded since the last call: model, seconds, whether it worked."""
        loads: list[tuple[str, float, bool]] = []
        if self._template:
            loads, self._template.loads = self._template.loads, []
        return loads

    def model_bytes(self) -> tuple[int, int]:
        """Return the bytes in memory of the models that all scorers share, and of those that single ones hold."""
        private = sum(self._activities.held_size(slot) for slot in self._forked)
        return self._activities.shared_size(self._template_slot), private

    def slow_models(self) -> set[str]:
        """Return the models that the scorers have found slow."""
        return set().union(*map(self._activities.slow_models, self.scorers))

    def running_for(self, seconds: float) -> list[str]:
        """Return the scorers that have been at one step for longer than `seconds`."""
        return [scorer.inc for slot, scorer in self.scorers.items() if self._activities.busy_for(slot) > seconds]

    def spare(self, spared: Spared) -> None:
        """Let the one scorer take no slow models, if it is one of these, and all others every model. Have an extra
        scorer, which takes none either, from when all others are late until one is not. Call it each second."""
        self._spared = spared
        for slot, scorer in self.scorers.items():
            self._activities.set_skipped(slot, spared.at(scorer.inc))
        if not all(map(self._activities.is_late, self._activities.scorers)):
            self._extra = None
        elif self._extra is None:
            self._extra = memory.allows_another([scorer.pid or 0 for scorer in self.scorers.values()])
            more = "one more takes" if self._extra else "memory does not allow one more for"
            log.warning("all scorers are at rows that take long: %s jobs of other models until one is free", more)

    def activity_counter(self) -> Sequence[int]:
        """Return numbers that change with each activity of a process."""
        return [*map(self._activities.begun, range(self._activities.slots))]

    @property
    def busy(self) -> bool:
        """Whether a process scores or loads something."""
        return any(map(self._activities.busy_for, range(self._activities.slots)))

    def problems(self) -> list[str]:
        """Return what is wrong with the processes, in sentences. Any thread may call it."""
        since = self._incomplete_since
        if since is None or time.monotonic() - since < _INCOMPLETE:
            return []
        template = "runs" if self._template else "does not run"
        return [f"{self._running} of {self._wanted} scorers run, and the template {template}"]

    @property
    def _running(self) -> int:
        """How many scorers run, without the extra one."""
        return sum(s.pid is not None for slot, s in self.scorers.items() if slot != self._activities.extra)

    def _is_complete(self, *, with_scorers: bool) -> bool:
        if self._template is None:
            return False
        if not with_scorers:
            return self._template.generation is not None
        return self._running == self._wanted

    def drain(self) -> None:
        """Let all finish their work and end, and start no more processes."""
        self.draining = True
        for scorer in list(self._forked.values()):
            if not scorer.registered:
                self._remove(scorer)
            elif not scorer.retiring:
                scorer.retire()

    def close(self) -> None:
        """Stop the other processes and give up what this pool has registered. Call it once there are no scorers."""
        for scorer in list(self._forked.values()):
            scorer.kill()
            self._remove(scorer)
        if self._template:
            self._selector.unregister(self._template)
            self._template.stop(grace=1)
            self._template = None
        self._selector.unregister(self._printed)
        self._printed.close()
        self._activities.close()

    # The template

    @property
    def _blocked(self) -> dict[str, str]:
        """The versions that no template may load, each with the reason."""
        harmful = [version for version, templates in self._crashes.items() if templates >= _CRASHES_TO_BLOCK]
        reasons = dict.fromkeys(harmful, "loading it kills its process")
        return reasons | dict.fromkeys(self._change_process, CHANGES_PROCESS)

    def _start_template(self) -> None:
        self._activities.end(self._template_slot)
        self._template_silence, self._template_beats = Silence(), self._activities.beats(self._template_slot)
        try:
            self._template = TemplateProcess(
                self._activities, self._blocked, self._printed.write_end, self._interpreter
            )
        except OSError as error:
            log.warning("cannot start the template and tries again: %s", error)
            self._template_backoff.failed()
            return
        self._template.request_versions(self._requested)
        self._selector.register(self._template, selectors.EVENT_READ, self._read_template)

    def _read_template(self) -> None:
        assert self._template  # noqa: S101
        if self._template.read():
            return
        self._selector.unregister(self._template)
        how, changed = self._template.stop(), self._template.changed_process
        if self._template.generation is None:
            self._template_backoff.failed()
        else:
            self._template_backoff.worked()
        self._template = None
        activity = self._activities.current(self._template_slot)
        if activity:
            (self._change_process if changed else self._crashes).update(activity.subjects)
        if activity and changed:
            log.warning("%s: %s", *activity.subjects, CHANGES_PROCESS)
        elif activity and self._blocked.keys() >= {*activity.subjects}:
            log.warning("loading %s kills its process (%s), so scorers load it on demand", *activity.subjects, how)
        elif not self.draining:
            log.warning("the template ended (%s) and is restarted; scorers go on", how)

    # Scorers

    def _slots(self, template: TemplateProcess) -> list[int]:
        """Return the slots that should have a process."""
        table = self._activities
        return [*table.scorers, *[table.extra] * bool(self._extra), *[table.shadow] * template.shadows]

    def _fork(self, template: TemplateProcess, slot: int, inc: str) -> None:
        self._activities.set_skipped(slot, self._spared.at(inc))
        kind = ShadowProcess if slot == self._activities.shadow else ScorerProcess
        scorer = self._forked[slot] = kind(slot, inc, template.fork(slot, inc), template)
        self._selector.register(scorer.connection, selectors.EVENT_READ, partial(self._read_scorer, scorer))

    def _read_scorer(self, scorer: ScorerProcess) -> None:
        hello = scorer.connection.read()
        if hello:
            scorer.pid, scorer.generation = hello.pid, hello.generation
            if isinstance(scorer, ShadowProcess):
                scorer.activate()  # it needs no lease
        else:
            self._handle_exit(scorer)

    def _handle_exit(self, scorer: ScorerProcess) -> None:
        self._remove(scorer)
        scorer.leaves(self._activities.leaving(scorer.slot))
        activity = self._activities.clear(scorer.slot)
        if isinstance(scorer, ShadowProcess):
            if not scorer.retiring:
                log.warning("the shadow scorer died, with %s", activity.subjects[0] if activity else "nothing to do")
        elif scorer.registered:
            exited = scorer.exit(activity)
            self.exits.append(exited)
            if not (scorer.retiring or scorer.killed):
                exited.log()
        if scorer.retiring or time.monotonic() - scorer.began > _MIN_LIFETIME:
            self._backoffs[scorer.slot].worked()
        else:
            self._backoffs[scorer.slot].failed()

    def _remove(self, scorer: ScorerProcess) -> None:
        self._selector.unregister(scorer.connection)
        scorer.connection.close()
        del self._forked[scorer.slot]
        if scorer.pid:
            self._unreaped.add(scorer.pid)

    def _replace_outdated_scorer(self, template: TemplateProcess) -> None:
        """Retire one scorer that does not share all models of the template, so that a new one takes its place."""
        scorers = self.scorers.values()
        whole = self._is_complete(with_scorers=True)
        if template.generation is None or not whole or any(s.retiring or not s.registered for s in scorers):
            return
        for scorer in scorers:
            if scorer.outdated(template):
                scorer.retire()
                return

    def _retire_unneeded(self, template: TemplateProcess) -> None:
        """Retire the extra and the shadow scorer if there is nothing for them, or another shadow would share more."""
        slots = self._slots(template)
        for slot, scorer in self._forked.items():
            outdated = slot == self._activities.shadow and scorer.outdated(template)
            if scorer.registered and not scorer.retiring and (outdated or slot not in slots):
                scorer.retire()

    def _replace_fragmented_scorer(self) -> None:
        """Retire one scorer that cannot return the memory of models that it has evicted."""
        now = time.monotonic()
        if not self._activities.crowded(self._template_slot) or now - self._memory_checked < _MEMORY_CHECK_INTERVAL:
            return
        self._memory_checked = now
        if len(self.scorers) < self._wanted or any(scorer.retiring for scorer in self.scorers.values()):
            return
        for scorer in self.scorers.values():
            models = self._activities.held_size(scorer.slot)
            unused = memory.private_bytes(scorer.pid) - models if scorer.pid and scorer.registered else 0
            if unused > _UNUSED_PART * models + _UNUSED_MB * MB:
                log.info("scorer %s is replaced: it has %d MB of memory besides its models", scorer.inc, unused // MB)
                scorer.retire()
                return

    def _kill_overdue(self) -> None:
        """Kill the processes whose activity has taken too long."""
        for scorer in self._forked.values():
            activity = self._activities.current(scorer.slot)
            if activity or not scorer.retiring:
                scorer.busy = time.monotonic()
            elif time.monotonic() - scorer.busy > _STOP_TIMEOUT:
                scorer.kill()
            if scorer.registered and activity and activity.overdue and not scorer.killed and not scorer.starved:
                scorer.overdue = activity
                scorer.signal(signal.SIGKILL)
        activity = self._activities.current(self._template_slot)
        if self._template and activity and activity.overdue:
            self._template.kill()

    def _kill_stuck(self) -> None:
        """Kill the idle processes that have made no progress for long. An activity has its own limit."""
        self.stuck = []
        for scorer in self._forked.values():
            activity = self._activities.current(scorer.slot)
            silent = scorer.silence.seconds((self._activities.beats(scorer.slot), activity, scorer.registered))
            if not scorer.registered or scorer.killed or activity or scorer.starved:
                continue
            if silent > self._stuck_after / 3:
                self.stuck.append(f"the scorer {scorer.inc}")
            if silent > self._stuck_after:
                log.warning("scorer %s has made no progress for %.0f s and is restarted", scorer.inc, silent)
                scorer.kill()
        beats, activity = self._activities.beats(self._template_slot), self._activities.current(self._template_slot)
        silent = self._template_silence.seconds((beats, activity))
        limit = self._stuck_after if beats != self._template_beats else _START_TIMEOUT
        if self._template is None or activity:
            return
        if silent > limit / 3:
            self.stuck.append("the template")
        if silent > limit:
            log.warning("the template has made no progress for %.0f s and is restarted", silent)
            self._template_silence = Silence()
            self._template.kill()
