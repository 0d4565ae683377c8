"""The processes of a worker, kept alive: what ends is started again, what takes too long is killed. Knows no Redis."""

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
"""Seconds. A process that ended sooner is started again after a pause, which grows."""

_STOP_TIMEOUT = 5.0
"""Seconds that a scorer may take to end, when it is told to and scores nothing: a model may have taken its signal."""

_CRASHES_TO_BLOCK = 2
"""Templates that ended while they loaded a version: one may have been killed by anybody."""

_MAX_FORK_PAUSE = 0.5
"""Seconds between scorers of a slot: to fork one costs little, and the next job is to start within a second."""


class ProcessPool:
    """One template, and a scorer in each slot. `maintain` is to be called several times a second."""

    def __init__(self, scorers: int, selector: selectors.BaseSelector) -> None:
        """What it listens to is registered with `selector`, with what to call as data."""
        self.scorers: dict[int, ScorerProcess] = {}
        """By slot."""
        self.exits: list[ScorerExit] = []
        """To be taken off by whoever gives back."""
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
        """`new_incarnation` names the scorer of a slot; None: there are to be no scorers yet."""
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
        """The scorer has its lease."""
        scorer.registered = True
        scorer.connection.send_start()

    def request_versions(self, versions: frozenset[str]) -> None:
        """These versions (`loan@3`) are to be loaded beside those that aliases name."""
        if versions != self._requested:
            self._requested = versions
            if self._template:
                self._template.request_versions(versions)

    @property
    def loaded(self) -> frozenset[str]:
        """The versions that every scorer has who may still take a job; none while there is no such scorer."""
        serving = [scorer.versions for scorer in self.scorers.values() if scorer.registered and not scorer.retiring]
        return frozenset.intersection(*serving) if serving else frozenset()

    @property
    def refused(self) -> Mapping[str, str]:
        """The wanted versions that are not going to be loaded, with the reason."""
        return self._template.refused if self._template else {}

    def drain(self) -> None:
        """Scorers finish what they hold and end; nothing is started any more."""
        self._draining = True
        for scorer in list(self.scorers.values()):
            if not scorer.registered:
                self._remove(scorer)
            elif not scorer.retiring:
                scorer.retire()

    def stop_template(self) -> None:
        """The template ends, once there are no scorers."""
        if self._template:
            self._template.stop(grace=1)

    # The template

    @property
    def _blocked(self) -> dict[str, str]:
        """The versions that no template may load, and why: loading them has ended several templates."""
        harmful = [version for version, templates in self._crashes.items() if templates >= _CRASHES_TO_BLOCK]
        threaded = dict.fromkeys(self._starts_threads, STARTS_THREADS)
        return dict.fromkeys(harmful, "loading it kills its process") | threaded

    def _start_template(self) -> None:
        self._activities.end(self._template_slot)
        try:
            self._template = TemplateProcess(self._activities, self._blocked)
        except OSError as error:
            log.warning("cannot start a template: %s", error)
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
            log.warning("loading %s starts threads: each scorer will load it for itself", *activity.subjects)
        elif activity and self._blocked.keys() >= {*activity.subjects}:
            log.warning("loading %s kills its process (%s): scorers load it when asked for it", *activity.subjects, how)
        elif not self._draining:
            log.warning("the template ended (%s) and is started anew; scorers go on", how)

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
                log.warning("scorer %s ended while it scored %d jobs", scorer.inc, len(exited.scored or ()))
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
            # It finished at the last moment, and what came next is not to blame.
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
        """Scorers share the models that the template had when they were forked; a new one shares those of now."""
        scorers = self.scorers.values()
        whole = len(scorers) == len(self._backoffs)
        if template.generation is None or not whole or any(s.retiring or not s.registered for s in scorers):
            return
        for scorer in scorers:
            if scorer.template is not template or scorer.generation < template.generation:
                scorer.retire()
                return

    def _kill_overdue(self) -> None:
        """Kills what has taken longer than it may."""
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
        """Scorers are children of their template. If that is gone, and this process the first of a container, they
        are its own."""
        for pid in list(self._unreaped):
            try:
                done = os.waitpid(pid, os.WNOHANG)[0]
            except ChildProcessError:
                done = pid
            if done:
                self._unreaped.discard(pid)
