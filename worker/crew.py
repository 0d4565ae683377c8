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

from broker.backoff import Backoff
from broker.load_status import STARTS_THREADS
from contract.errors import Code, Failure
from worker.board import Board
from worker.children import Death, ScorerProcess, TemplateProcess

log = logging.getLogger("worker")

_YOUNG = 1.0
"""Seconds. A process that ended sooner is started again after a pause, which grows."""

_DEAF = 5.0
"""Seconds that a scorer may take to end, when it is told to and scores nothing: a model may have taken its signal."""

_PROOF = 2
"""Templates that ended while they loaded a version: one may have been killed by anybody."""

_LONGEST_PAUSE = 0.5
"""Seconds between scorers of a slot: to fork one costs little, and the next job is to start within a second."""


class Crew:
    """One template, and a scorer in each slot. `keep` is to be called several times a second."""

    def __init__(self, scorers: int, selector: selectors.BaseSelector) -> None:
        """What it listens to is registered with `selector`, with what to call as data."""
        self.scorers: dict[int, ScorerProcess] = {}
        """By slot."""
        self.deaths: list[Death] = []
        """To be taken off by whoever gives back."""
        self._selector = selector
        self._template_slot = scorers
        self._board = Board.create(scorers + 1)
        self._template: TemplateProcess | None = None
        self._template_backoff = Backoff()
        self._backoffs = [Backoff(longest=_LONGEST_PAUSE) for _ in range(scorers)]
        self._ended_by: Counter[str] = Counter()
        self._threaded: set[str] = set()
        self._wanted: frozenset[str] = frozenset()
        self._orphans: set[int] = set()
        self._stopping = False

    def keep(self, new_incarnation: Callable[[int], str] | None) -> None:
        """`new_incarnation` names the scorer of a slot; None: there are to be no scorers yet."""
        self._bury()
        self._judge()
        if self._stopping:
            return
        if self._template is None and self._template_backoff.over:
            self._start_template()
        if self._template and new_incarnation:
            for slot, backoff in enumerate(self._backoffs):
                if slot not in self.scorers and backoff.over:
                    self._fork(self._template, slot, new_incarnation(slot))
            self._replace_one(self._template)

    def begin(self, scorer: ScorerProcess) -> None:
        """The scorer has its lease."""
        scorer.registered = True
        scorer.watch.begin()

    def want(self, versions: frozenset[str]) -> None:
        """These versions (`loan@3`) are to be loaded beside those that aliases name."""
        if versions != self._wanted:
            self._wanted = versions
            if self._template:
                self._template.want(versions)

    @property
    def loaded(self) -> frozenset[str]:
        """The versions that every scorer has who may still take a job; none while there is no such scorer."""
        serving = [scorer.versions for scorer in self.scorers.values() if scorer.registered and not scorer.retiring]
        return frozenset.intersection(*serving) if serving else frozenset()

    @property
    def refused(self) -> Mapping[str, str]:
        """The wanted versions that are not going to be loaded, with the reason."""
        return self._template.refused if self._template else {}

    def stop(self) -> None:
        """Scorers finish what they hold and end; nothing is started any more."""
        self._stopping = True
        for scorer in list(self.scorers.values()):
            if not scorer.registered:
                self._remove(scorer)
            elif not scorer.retiring:
                scorer.retire()

    def end(self) -> None:
        """The template ends, once there are no scorers."""
        if self._template:
            self._template.end(grace=1)

    # The template

    @property
    def _avoid(self) -> dict[str, str]:
        """The versions that no template may load, and why: loading them has ended several templates."""
        harmful = [version for version, templates in self._ended_by.items() if templates >= _PROOF]
        return dict.fromkeys(harmful, "loading it kills its process") | dict.fromkeys(self._threaded, STARTS_THREADS)

    def _start_template(self) -> None:
        self._board.end(self._template_slot)
        try:
            self._template = TemplateProcess(self._board, self._avoid)
        except OSError as error:
            log.warning("cannot start a template: %s", error)
            self._template_backoff.failed()
            return
        self._template.want(self._wanted)
        self._selector.register(self._template, selectors.EVENT_READ, self._hear_template)

    def _hear_template(self) -> None:
        assert self._template  # noqa: S101
        if self._template.read():
            return
        self._selector.unregister(self._template)
        how, threaded = self._template.end(), self._template.started_threads
        if self._template.generation is None:
            self._template_backoff.failed()
        else:
            self._template_backoff.worked()
        self._template = None
        note = self._board.note(self._template_slot)
        self._ended_by.update(note.subjects if note and not threaded else ())
        self._threaded.update(note.subjects if note and threaded else ())
        if note and threaded:
            log.warning("loading %s starts threads: each scorer will load it for itself", *note.subjects)
        elif note and self._avoid.keys() >= {*note.subjects}:
            log.warning("loading %s kills its process (%s): scorers load it when asked for it", *note.subjects, how)
        elif not self._stopping:
            log.warning("the template ended (%s) and is started anew; scorers go on", how)

    # Scorers

    def _fork(self, template: TemplateProcess, slot: int, inc: str) -> None:
        scorer = ScorerProcess(slot, inc, template.fork(slot, inc), template)
        self.scorers[slot] = scorer
        self._selector.register(scorer.watch, selectors.EVENT_READ, partial(self._hear, scorer))

    def _hear(self, scorer: ScorerProcess) -> None:
        hello = scorer.watch.read()
        if hello:
            scorer.pid, scorer.generation = hello.pid, hello.generation
        else:
            self._gone(scorer)

    def _gone(self, scorer: ScorerProcess) -> None:
        self._remove(scorer)
        if scorer.registered:
            death = self._death(scorer)
            self.deaths.append(death)
            if not (scorer.retiring or scorer.killed):
                log.warning("scorer %s ended while it scored %d jobs", scorer.inc, len(death.scored or ()))
        if scorer.retiring or time.monotonic() - scorer.began > _YOUNG:
            self._backoffs[scorer.slot].worked()
        else:
            self._backoffs[scorer.slot].failed()

    def _death(self, scorer: ScorerProcess) -> Death:
        note = self._board.note(scorer.slot)
        self._board.end(scorer.slot)
        if note is None or scorer.killed:
            return Death(scorer.inc, ())
        if scorer.overdue is None:
            return Death(scorer.inc, note.subjects)
        if note != scorer.overdue:
            # It finished at the last moment, and what came next is not to blame.
            return Death(scorer.inc, ())
        seconds = round(note.seconds, 3)
        failure = Failure(Code.TIMEOUT, f"scoring took longer than {seconds:g} s", {"seconds": seconds})
        return Death(scorer.inc, note.subjects, failure)

    def _remove(self, scorer: ScorerProcess) -> None:
        self._selector.unregister(scorer.watch)
        scorer.watch.close()
        del self.scorers[scorer.slot]
        if scorer.pid:
            self._orphans.add(scorer.pid)

    def _replace_one(self, template: TemplateProcess) -> None:
        """Scorers share the models that the template had when they were forked; a new one shares those of now."""
        scorers = self.scorers.values()
        whole = len(scorers) == len(self._backoffs)
        if template.generation is None or not whole or any(s.retiring or not s.registered for s in scorers):
            return
        for scorer in scorers:
            if scorer.template is not template or scorer.generation < template.generation:
                scorer.retire()
                return

    def _judge(self) -> None:
        """Kills what has taken longer than it may."""
        for scorer in self.scorers.values():
            note = self._board.note(scorer.slot)
            if note or not scorer.retiring:
                scorer.busy = time.monotonic()
            elif time.monotonic() - scorer.busy > _DEAF:
                scorer.kill()
            if scorer.registered and note and note.overdue and not scorer.killed:
                scorer.overdue = note
                scorer.signal(signal.SIGKILL)
        note = self._board.note(self._template_slot)
        if self._template and note and note.overdue:
            self._template.kill()

    def _bury(self) -> None:
        """Scorers are children of their template. If that is gone, and this process the first of a container, they
        are its own."""
        for pid in list(self._orphans):
            try:
                done = os.waitpid(pid, os.WNOHANG)[0]
            except ChildProcessError:
                done = pid
            if done:
                self._orphans.discard(pid)
