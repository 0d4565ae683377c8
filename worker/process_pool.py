"""Starts and restarts the processes of a worker and kills those that take too long. Uses no Redis."""

from __future__ import annotations

import logging
import os
import selectors
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial

from broker.load_status import STARTS_THREADS
from contract.errors import Code, Failure
from runtime.backoff import Backoff
from worker.activity import ActivityTable
from worker.processes import ScorerExit, ScorerProcess, TemplateProcess

log = logging.getLogger("worker")

_MIN_LIFETIME = 1.0
"""Seconds. A process that ended sooner is restarted after a pause that grows."""

_STOP_TIMEOUT = 5.0
"""Seconds that an idle scorer may take to end: its model may have replaced the signal handler."""

_CRASHES_TO_BLOCK = 2
"""Templates that must die while they load a version before it is blocked: a single one may have died by chance."""

_MAX_FORK_PAUSE = 0.5
"""Seconds between two scorers of a slot: a fork is cheap, and the next job must start within a second."""


class ProcessPool:
    """One template process, and a scorer process in each slot."""

    def __init__(self, scorers: int, selector: selectors.BaseSelector) -> None:
        """Registers its connections with `selector`, each with the function to call as data."""
        self.scorers: dict[int, ScorerProcess] = {}
        """Scorers by slot."""
        self.exits: list[ScorerExit] = []
        """Scorers that ended with jobs in their hands; the supervisor gives these back and removes the entry."""
        self._selector = selector
        self._template_slot = scorers
        self._activities = ActivityTable.create(scorers + 1)
        self._template: TemplateProcess | None = None
        self._template_backoff = Backoff()
        self._backoffs = [Backoff(longest=_MAX_FORK_PAUSE) for _ in range(scorers)]
        self._crashes: Counter[str] = Counter()
        self._starts_threads: set[str] = set()
        self._requested: frozenset[str] = frozenset()
        self._unreaped: set[int] = set()
        self._draining = False

    def maintain(self, new_incarnation: Callable[[int], str] | None) -> None:
        """Restart what has ended and kill what is overdue. Call it several times a second.

        `new_incarnation(slot)` names a new scorer; None: start no scorers yet.
        """
        self._reap_zombies()
        self._kill_overdue()
        if self._draining:
            return
        if self._template is None and self._template_backoff.over:
            self._start_template()
        if self._template and new_incarnation:
            for slot, backoff in enumerate(self._backoffs):
                if slot not in self.scorers and backoff.over:
                    self._fork(self._template, slot, new_incarnation(slot))
            self._replace_outdated_scorer(self._template)

    def activate(self, scorer: ScorerProcess) -> None:
        """Let a scorer take jobs, once it has its lease."""
        scorer.registered = True
        scorer.connection.send_start()

    def request_versions(self, versions: frozenset[str]) -> None:
        """Load these versions (`loan@3`) besides those that aliases name."""
        if versions != self._requested:
            self._requested = versions
            if self._template:
                self._template.request_versions(versions)

    @property
    def loaded(self) -> frozenset[str]:
        """The versions that all scorers have that may still take jobs; empty while there is no such scorer."""
        serving = [scorer.versions for scorer in self.scorers.values() if scorer.registered and not scorer.retiring]
        return frozenset.intersection(*serving) if serving else frozenset()

    @property
    def refused(self) -> Mapping[str, str]:
        """The requested versions that the template does not load, each with the reason."""
        return self._template.refused if self._template else {}

    def drain(self) -> None:
        """Let the scorers finish their jobs and end, and start no more processes."""
        self._draining = True
        for scorer in list(self.scorers.values()):
            if not scorer.registered:
                self._remove(scorer)
            elif not scorer.retiring:
                scorer.retire()

    def stop_template(self) -> None:
        """Stop the template. Call it once there are no scorers."""
        if self._template:
            self._template.stop(grace=1)

    # The template

    @property
    def _blocked(self) -> dict[str, str]:
        """The versions that no template may load, each with the reason."""
        harmful = [version for version, templates in self._crashes.items() if templates >= _CRASHES_TO_BLOCK]
        threaded = dict.fromkeys(self._starts_threads, STARTS_THREADS)
        return dict.fromkeys(harmful, "loading it kills its process") | threaded

    def _start_template(self) -> None:
        self._activities.end(self._template_slot)
        try:
            self._template = TemplateProcess(self._activities, self._blocked)
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
        how, threaded = self._template.stop(), self._template.started_threads
        if self._template.generation is None:
            self._template_backoff.failed()
        else:
            self._template_backoff.worked()
        self._template = None
        activity = self._activities.current(self._template_slot)
        self._crashes.update(activity.subjects if activity and not threaded else ())
        self._starts_threads.update(activity.subjects if activity and threaded else ())
        if activity and threaded:
            log.warning("loading %s starts threads, so each scorer loads it for itself", *activity.subjects)
        elif activity and self._blocked.keys() >= {*activity.subjects}:
            log.warning("loading %s kills its process (%s), so scorers load it on demand", *activity.subjects, how)
        elif not self._draining:
            log.warning("the template ended (%s) and is restarted; scorers go on", how)

    # Scorers

    def _fork(self, template: TemplateProcess, slot: int, inc: str) -> None:
        scorer = ScorerProcess(slot, inc, template.fork(slot, inc), template)
        self.scorers[slot] = scorer
        self._selector.register(scorer.connection, selectors.EVENT_READ, partial(self._read_scorer, scorer))

    def _read_scorer(self, scorer: ScorerProcess) -> None:
        hello = scorer.connection.read()
        if hello:
            scorer.pid, scorer.generation = hello.pid, hello.generation
        else:
            self._handle_exit(scorer)

    def _handle_exit(self, scorer: ScorerProcess) -> None:
        self._remove(scorer)
        if scorer.registered:
            exited = self._exit_of(scorer)
            self.exits.append(exited)
            if not (scorer.retiring or scorer.killed):
                log.warning("scorer %s died while it scored %d jobs", scorer.inc, len(exited.scored or ()))
        if scorer.retiring or time.monotonic() - scorer.began > _MIN_LIFETIME:
            self._backoffs[scorer.slot].worked()
        else:
            self._backoffs[scorer.slot].failed()

    def _exit_of(self, scorer: ScorerProcess) -> ScorerExit:
        activity = self._activities.current(scorer.slot)
        self._activities.end(scorer.slot)
        if activity is None or scorer.killed:
            return ScorerExit(scorer.inc, ())
        if scorer.overdue is None:
            return ScorerExit(scorer.inc, activity.subjects)
        if activity != scorer.overdue:
            # It finished the overdue activity just before it was killed, and the next one is not to blame.
            return ScorerExit(scorer.inc, ())
        seconds = round(activity.seconds, 3)
        failure = Failure(Code.TIMEOUT, f"scoring took longer than {seconds:g} s", {"seconds": seconds})
        return ScorerExit(scorer.inc, activity.subjects, failure)

    def _remove(self, scorer: ScorerProcess) -> None:
        self._selector.unregister(scorer.connection)
        scorer.connection.close()
        del self.scorers[scorer.slot]
        if scorer.pid:
            self._unreaped.add(scorer.pid)

    def _replace_outdated_scorer(self, template: TemplateProcess) -> None:
        """Retire one scorer that does not share all models of the template, so that a new one takes its place."""
        scorers = self.scorers.values()
        whole = len(scorers) == len(self._backoffs)
        if template.generation is None or not whole or any(s.retiring or not s.registered for s in scorers):
            return
        for scorer in scorers:
            if scorer.template is not template or scorer.generation < template.generation:
                scorer.retire()
                return

    def _kill_overdue(self) -> None:
        """Kill the processes whose activity has taken too long."""
        for scorer in self.scorers.values():
            activity = self._activities.current(scorer.slot)
            if activity or not scorer.retiring:
                scorer.busy = time.monotonic()
            elif time.monotonic() - scorer.busy > _STOP_TIMEOUT:
                scorer.kill()
            if scorer.registered and activity and activity.overdue and not scorer.killed:
                scorer.overdue = activity
                scorer.signal(signal.SIGKILL)
        activity = self._activities.current(self._template_slot)
        if self._template and activity and activity.overdue:
            self._template.kill()

    def _reap_zombies(self) -> None:
        """Scorers are children of the template. When that dies and this process is the first of its container, it
        inherits them."""
        for pid in list(self._unreaped):
            try:
                done = os.waitpid(pid, os.WNOHANG)[0]
            except ChildProcessError:
                done = pid
            if done:
                self._unreaped.discard(pid)
