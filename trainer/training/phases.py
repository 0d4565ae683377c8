"""The progress of a training: phases with fixed shares of the whole. It never goes backwards."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from contract.work.training import Progress
from trainer.recipe import Run
from trainer.report.candidates import candidates
from trainer.report.parts import MISSING, Facts, part

ReportProgress = Callable[[Progress], None]

_ENDS = {
    "reading": 0.1,
    "profiling": 0.15,
    "trying candidates": 0.65,
    "fitting": 0.75,
    "evaluating": 0.9,
    "reporting": 0.94,
    "publishing": 0.97,
    "promoting": 1.0,
}
"""The fraction at which each phase ends: an estimate, since data and recipes differ."""


class Phases:
    """Calls `report` with a `Progress` whenever the training has advanced."""

    def __init__(self, report: ReportProgress) -> None:
        self._report = report
        self.tried: Facts | None = None
        """The candidates so far, as `contract.work.training.Progress` has them."""
        self._phase = ""
        self._began, self._since, self._fraction = 0.0, 0.0, 0.0

    def enter(self, phase: str) -> None:
        self._phase, self._began, self._since = phase, self._fraction, time.monotonic()
        self._report(Progress(phase, self._fraction, candidates=self.tried))

    def within(
        self,
        share: float,
        done: int | None = None,
        total: int | None = None,
        best: float | None = None,
        metric: str | None = None,
    ) -> None:
        """Report that `share` of the phase is over, and `done` of `total` candidates.

        A recipe may pass any numbers: a score that is not finite counts as none, since JSON cannot represent it.
        """
        share = min(max(0.0, float(share)), 1.0)  # in this order nan is 0
        best = float(best) if best is not None and math.isfinite(best) else None
        self._fraction = max(self._fraction, self._began + share * (_ENDS[self._phase] - self._began))
        took = time.monotonic() - self._since
        self._report(
            Progress(
                self._phase,
                round(self._fraction, 4),
                done,
                total,
                None if total is None else "candidates",
                best,
                round(took / share - took, 1) if share else None,
                None if best is None else metric,
                self.tried,
            )
        )

    def end(self) -> None:
        """Report the end of the training, whichever phases it had. Its output has the candidates."""
        self._fraction = 1.0
        self._report(Progress(self._phase, 1.0))

    def note_candidates(self, run: Run) -> None:
        """Take the candidates of `run` into all further reports. They come from a recipe, so they may be anything."""
        reported = part("candidates", lambda: candidates(run.candidates, run.chosen))
        self.tried = None if MISSING in reported else reported

    def candidates(self, share: float, done: int, total: int, best: float | None, metric: str | None = None) -> None:
        """Report the progress of a recipe that compares candidates by `metric` and then fits the best."""
        if self._phase != "trying candidates" and share < 1:
            self.enter("trying candidates")
        self.within(share, done, total, best, metric)
        if share >= 1:
            self.enter("fitting")
