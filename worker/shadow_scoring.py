"""Has the candidate of an experiment score rows again, and compares its answers with those that were given."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any

from broker.sides.shadow import ShadowEntry
from contract.errors import Code, InvalidInstances, ModelgateError, version_error
from contract.model.experiments import Experiment
from contract.model.repository import Repository
from contract.model.signature import RowFormat, Signature
from contract.row import Row
from contract.rows.answer_columns import unnamed
from contract.rows.coercion import coerce
from contract.rows.instances import Grid, Instances, Records
from contract.work.prediction_log import LogRecord
from runtime.exact_json import loads
from scoring.pace import Pace
from scoring.predict import Prediction, join, predict_each
from worker.batch_scorer import BATCHES_PER_PIECE, LOAD_TIMEOUT
from worker.comparison import Comparison
from worker.log_records import flat, shadow_record
from worker.model_cache import Model, ModelCache

log = logging.getLogger("worker")

_MOST_DEATHS = 2
"""Processes that may end while they score an entry. Then its rows count as failed."""

_TIMED_PART = 0.1
"""The part of a candidate's processor time for which the version that was asked scores the same rows again. The time it
took at first says little: there were other rows beside these, and its process had nothing else to do."""

_NOTHING = Prediction([], None, [])
"""The answer to no row."""


@dataclass
class ShadowScoring:
    """Scores entries with the models of a cache. `begin` gets what is about to work, such as `loan@5`, and the seconds
    that it may take, `timeout` or those of a load. `lives_here`: whether this process may load a version."""

    repository: Repository
    cache: ModelCache
    pace: Pace
    timeout: float
    begin: Callable[[str, float], object]
    lives_here: Callable[[str, int], bool]
    _times: dict[str, tuple[float, float]] = field(default_factory=dict, init=False)
    """The milliseconds that candidate and current version of each experiment have taken so far."""
    _said: dict[str, str] = field(default_factory=dict, init=False)
    """The last failure of each version in the log."""

    def score(self, entry: ShadowEntry, experiment: Experiment) -> LogRecord | None:
        """Return the record of the candidate; None if no row was answered, or the entry cannot be read. Raises
        `MemoryError`."""
        try:
            record = loads(entry.line)
            jobs = record["job_id"] if len(record["job_id"]) > 1 else record["job_id"] * record["count"]
            asked = [number for number, job in enumerate(jobs) if job not in entry.without]
            return self._score(entry, experiment, record, asked) if asked else None
        except MemoryError:
            raise
        except Exception:
            log.exception("what the candidate of %s would have answered is unknown", entry.version)
            return None

    def _score(
        self, entry: ShadowEntry, experiment: Experiment, record: Mapping[str, Any], asked: Sequence[int]
    ) -> LogRecord:
        """Return the record of the candidate. `asked`: the numbers of the rows that it is to score."""
        current = self.repository.manifest(entry.model, entry.number)
        signature = self.repository.manifest(entry.model, experiment.candidate).signature
        try:
            of_one = len(record["job_id"]) == 1 and record["number"] is None
            numbers, rows, prediction, milliseconds, baseline = self._ask(
                entry, experiment, _instances(record, asked, current.signature), asked, of_one
            )
        except (ModelgateError, InvalidInstances) as error:
            self._say(f"{entry.model}@{experiment.candidate}", str(error))
            numbers, rows, prediction, milliseconds, baseline = (), (), _NOTHING, 0.0, 0.0
        answers, shares = unnamed(prediction.values, signature) or [], flat(prediction.probabilities, signature)
        comparison, given = Comparison(current), record["probabilities"] or [None] * record["count"]
        for number, value, row_shares in zip(numbers, answers, shares or repeat(None), strict=False):
            comparison.add((record["prediction"][number], given[number]), (value, row_shares))
        summary = {
            "experiment": experiment.id,
            "rows": len(asked),
            "failed": len(asked) - len(numbers),
            "compared": comparison.rows,
            "same": comparison.same,
            "distance": comparison.distance,
            "milliseconds": milliseconds if baseline else 0.0,
            "baseline_milliseconds": baseline,
            "dropped": entry.dropped,
        }
        made = {"prediction": answers, "probabilities": shares, "milliseconds": [milliseconds], "shadow": summary}
        return shadow_record(record, numbers, rows, signature, made)

    def _ask(
        self, entry: ShadowEntry, experiment: Experiment, instances: Instances, asked: Sequence[int], of_one: bool
    ) -> tuple[Sequence[int], Sequence[Row], Prediction, float, float]:
        """Return the numbers of the rows that the candidate scores, these rows, its answers, and the milliseconds of a
        processor that it and the current version took (0: not measured). Raises `ModelgateError` if it cannot be loaded
        or has ended two processes, and `InvalidInstances` if it takes none of the rows. `of_one`: these are the rows of
        one request."""
        name, version = entry.model, experiment.candidate
        if entry.taken >= _MOST_DEATHS:
            what = f"ended its process or took longer than PREDICT_TIMEOUT, {_MOST_DEATHS} times for the same rows"
            raise version_error(Code.WORKER_CRASHED, name, version, what)
        self.begin(f"{name}@{version}", LOAD_TIMEOUT)
        candidate = self.cache.get(name, version)
        coerced = coerce(instances, candidate.manifest.signature, lenient=True)
        runs, (used, used_by_current) = {version: (candidate, coerced.rows)}, self._times.get(experiment.id, (0.0, 0.0))
        if used_by_current < _TIMED_PART * used and self.lives_here(name, entry.number):
            with suppress(ModelgateError):  # it was deleted
                current = self.cache.get(name, entry.number)
                runs[entry.number] = current, coerce(instances, current.manifest.signature).rows
        # What runs first finds less in the processor's caches.
        results = {number: self._predict(*runs[number], of_one) for number in random.sample([*runs], len(runs))}
        places, prediction, took = results[version]
        baseline = results[entry.number][2] if entry.number in runs else 0.0
        self._times[experiment.id] = used + took, used_by_current + baseline
        accepted = [number for place, number in enumerate(asked) if place not in coerced.refused]
        rows = [coerced.rows[place] for place in places]
        return [accepted[place] for place in places], rows, prediction, took, baseline

    def _predict(self, model: Model, rows: Sequence[Row], of_one: bool) -> tuple[Sequence[int], Prediction, float]:
        """Return which of the rows the model scores, its answers to them, and the milliseconds of a processor that this
        took."""
        name, version = model.manifest.name, model.manifest.version
        answers: list[tuple[range, Prediction]] = []
        done, total = 0, 0.0
        while done < len(rows):
            most = BATCHES_PER_PIECE * self.pace.limit(name, version)
            if model.manifest.artifact.alone:
                most = len(rows) if of_one else 1
            places = range(done, len(rows))[:most]
            self.begin(f"{name}@{version}", self.timeout)
            began = time.process_time()
            answers += self._halved(model, rows[done : places.stop], places)
            took = (time.process_time() - began) * 1000
            self.pace.record(name, version, len(places), took)
            done, total = places.stop, total + took
        scored = [place for places, _ in answers for place in places]
        return scored, join([_NOTHING, *(answer for _, answer in answers)]), round(total, 4)

    def _halved(self, model: Model, rows: Sequence[Row], places: range) -> Iterator[tuple[range, Prediction]]:
        """Yield answers to the rows, with the `places` that they have. If a call fails, halves are tried until the rows
        that cannot be scored stand alone."""
        try:
            with self.cache.watching(model.manifest.name, model.manifest.version):
                (answer,) = predict_each(model.estimator, model.manifest, [rows], kernel=model.kernel)
        except ModelgateError as error:
            answer = error.failure
        if isinstance(answer, Prediction):
            yield places, answer
        elif len(rows) == 1 or model.manifest.artifact.alone:
            self._say(f"{model.manifest.name}@{model.manifest.version}", answer.message)
        else:
            middle = len(rows) // 2
            yield from self._halved(model, rows[:middle], places[:middle])
            yield from self._halved(model, rows[middle:], places[middle:])

    def _say(self, version: str, failure: str) -> None:
        """Log a failure, unless it is the last one once more."""
        if self._said.get(version) != failure:
            self._said[version] = failure
            log.warning("the candidate %s of an experiment has not scored rows: %s", version, failure)


def _instances(record: Mapping[str, Any], numbers: Sequence[int], signature: Signature) -> Instances:
    """Return the rows with these numbers in a record of a version."""
    inputs = record["inputs"]
    if signature.format is RowFormat.RECORDS:
        return Records([inputs[number] for number in numbers])
    columns = [inputs[str(position)] for position in range(len(signature.names))]
    return Grid(signature.names, [[column[number] for column in columns] for number in numbers])
