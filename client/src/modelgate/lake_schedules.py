"""Does the scheduled file predictions of a data lake: the server knows when, and only a client may read the lake."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from modelgate.client import Client
from modelgate.errors import ModelgateError
from modelgate.lake import LakeRun, Outcome

LIST = "/v1/schedules/predict"
_AT_ONCE = 4
"""Schedules whose runs are done at once."""
_AGAIN = 600.0
"""Seconds until a run that failed is tried again."""
_REPORT_EVERY = 60.0
"""Seconds between two reports that a run goes on."""

Say = Callable[[str], object]


def why_failed(schedule: Mapping[str, Any]) -> str:
    """Return what is wrong with a schedule that has `failed`."""
    error = (schedule["last_run"] or {}).get("error")
    return str(error or "its run is late, and nothing is heard of it: does `modelgate schedule run` run anywhere?")


class LakeScheduler:
    """Does what is due, each run in a thread. It may be killed at any time, and there may be several: what a run has
    done is in the bucket, and the next one goes on there."""

    def __init__(self, client: Client, say: Say, options_file: Path | None = None) -> None:
        """`say` gets a line about each run. `options_file`: see `Bucket`."""
        self._client, self._say, self._options_file = client, say, options_file
        self._runs: dict[str, threading.Thread] = {}
        self._failed: dict[str, tuple[str, float]] = {}

    def turn(self) -> None:
        """Begin the runs that are due. Raises `ModelgateError`."""
        # Before the question: a run that ends meanwhile may be due in the answer.
        self._runs = {model: thread for model, thread in self._runs.items() if thread.is_alive()}
        for schedule in self._client.request("GET", LIST)["items"]:
            model = schedule["model"]
            run, until = self._failed.get(model, ("", 0.0))
            waits = run == schedule["next_run"] and time.monotonic() < until
            if schedule["due"] and not waits and model not in self._runs and len(self._runs) < _AT_ONCE:
                self._runs[model] = threading.Thread(target=self._run, args=(schedule,), daemon=True)
                self._runs[model].start()

    def _run(self, schedule: Mapping[str, Any]) -> None:
        report = _Reports(self._client, schedule)
        source, target = schedule["run"]["source"], schedule["run"]["target"]
        self._say(f"{schedule['reference']}: {source} → {target}")
        outcome, error = Outcome(), None
        try:
            report.running()
            run = LakeRun(
                self._client.model(schedule["reference"]),
                source,
                target,
                method=schedule["method"],
                strict=schedule["strict"],
                options_file=self._options_file,
            )
            outcome = run.score(lambda _: report.running())
            if outcome.failed:
                url, why = next(iter(outcome.failed.items()))
                more = f" (and {len(outcome.failed) - 1} more)" if len(outcome.failed) > 1 else ""
                error = f"{url} could not be scored: {why}{more}"
        except (ModelgateError, OSError) as failure:
            error = str(failure)
        if error:
            self._failed[schedule["model"]] = (schedule["next_run"], time.monotonic() + _AGAIN)
            self._say(f"{schedule['reference']}: {error}; tried again in {_AGAIN / 60:.0f} minutes")
        else:
            missing = f", {outcome.errors:,} without a prediction" if outcome.errors else ""
            done = f"{outcome.objects:,} objects, {outcome.rows:,} rows{missing} → {target}"
            self._say(f"{schedule['reference']}: {done}")
        try:
            report.ended(outcome, error)
        except ModelgateError as failure:  # the next turn does what is left of it, and reports it
            self._say(f"{schedule['reference']}: {failure}")


class _Reports:
    """What is said of one run."""

    def __init__(self, client: Client, schedule: Mapping[str, Any]) -> None:
        self._client, self._due = client, schedule["next_run"]
        self._path = f"/v1/models/{schedule['model']}/schedule/predict/run"
        self._next = 0.0

    def running(self) -> None:
        """Say so, but not each time. That nobody hears it stops no run."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _REPORT_EVERY
            with suppress(ModelgateError):
                self._client.request("PUT", self._path, json={"due": self._due, "status": "running"})

    def ended(self, outcome: Outcome, error: str | None) -> None:
        """Raises `ModelgateError`."""
        counts = {"objects": outcome.objects + outcome.before, "rows": outcome.rows, "errors": outcome.errors}
        status = "failed" if error else "succeeded"
        body = {"due": self._due, "status": status, **counts, "error": error and error[:1000]}
        self._client.request("PUT", self._path, json=body)
