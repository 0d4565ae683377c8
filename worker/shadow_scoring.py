"""Has the candidate of an experiment score rows again, and compares its answers with those that were given."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any, NamedTuple

from broker.sides.shadow import ShadowEntry
from contract.errors import Code, InvalidInstances, ModelgateError, version_error
from contract.model.experiments import Experiment
from contract.model.repository import Repository
from contract.model.signature import RowFormat, Signature
from contract.row import Row
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


@dataclass(frozen=True)
class ShadowScored:
    """What became of an entry: the record of the candidate, which is `version`, such as `loan@5`, and how many of the
    rows it has `failed` to score. Without a record no row was answered, or the entry cannot be read."""

    version: str
    record: LogRecord | None
    failed: int


class _Answers(NamedTuple):
    """The `rows` that a candidate has scored, their `numbers` in the record, and its answers; the `milliseconds` of a
    processor that this took, and those of the version that was asked (0: not measured)."""

    numbers: Sequence[int] = ()
    rows: Sequence[Row] = ()
    prediction: Prediction = _NOTHING
    milliseconds: float = 0.0
    baseline: float = 0.0


@dataclass
class _Times:
    """The milliseconds that both versions of an experiment have taken so far."""

    candidate: float = 0.0
    baseline: float = 0.0


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
    _times: dict[str, _Times] = field(default_factory=dict, init=False)
    _said: dict[str, str] = field(default_factory=dict, init=False)
    """The last failure of each version in the log."""

    def score(self, entry: ShadowEntry, experiment: Experiment) -> ShadowScored:
        """Raises `MemoryError`."""
        version = f"{entry.model}@{experiment.candidate}"
        try:
            record = loads(entry.line)
            jobs = record["job_id"] if len(record["job_id"]) > 1 else record["job_id"] * record["count"]
            asked = [number for number, job in enumerate(jobs) if job not in entry.without]
            logged = self._score(entry, experiment, record, asked) if asked else None
            return ShadowScored(version, logged, len(asked) - (logged.rows if logged else 0))
        except MemoryError:
            raise
        except Exception:
            log.exception("the answers of %s cannot be compared with those of %s", entry.version, version)
            return ShadowScored(version, None, entry.rows)

    def _score(
        self, entry: ShadowEntry, experiment: Experiment, record: Mapping[str, Any], asked: Sequence[int]
    ) -> LogRecord:
        """Return the record of the candidate. `asked`: the numbers of the rows that it is to score."""
        current = self.repository.manifest(entry.model, entry.number)
        signature = self.repository.manifest(entry.model, experiment.candidate).signature
        try:
            answers = self._ask(entry, experiment, _instances(record, asked, current.signature), asked)
        except (ModelgateError, InvalidInstances) as error:
            self._say(f"{entry.model}@{experiment.candidate}", str(error))
            answers = _Answers()
        values, shares = answers.prediction.values, flat(answers.prediction.probabilities, signature)
        comparison, given = Comparison(current), record["probabilities"] or [None] * record["count"]
        for number, value, row_shares in zip(answers.numbers, values, shares or repeat(None), strict=False):
            comparison.add((record["prediction"][number], given[number]), (value, row_shares))
        summary = {
            "experiment": experiment.id,
            "rows": len(asked),
            "failed": len(asked) - len(answers.numbers),
            "compared": comparison.rows,
            "same": comparison.same,
            "distance": comparison.distance,
            "milliseconds": answers.milliseconds if answers.baseline else 0.0,
            "baseline_milliseconds": answers.baseline,
            "dropped": entry.dropped,
        }
        return shadow_record(
            record, answers.numbers, answers.rows, (values, shares), answers.milliseconds, signature, summary
        )

    def _ask(self, entry: ShadowEntry, experiment: Experiment, instances: Instances, asked: Sequence[int]) -> _Answers:
        """Return what the candidate answers. Raises `ModelgateError` if it cannot be loaded or has ended two processes,
        and `InvalidInstances` if it takes none of the rows."""
        name, version = entry.model, experiment.candidate
        if entry.taken >= _MOST_DEATHS:
            what = f"ended its process or took longer than PREDICT_TIMEOUT, {_MOST_DEATHS} times for the same rows"
            raise version_error(Code.WORKER_CRASHED, name, version, what)
        self.begin(f"{name}@{version}", LOAD_TIMEOUT)
        candidate = self.cache.get(name, version)
        coerced = coerce(instances, candidate.manifest.signature, lenient=True)
        runs, times = {version: (candidate, coerced.rows)}, self._times.setdefault(experiment.id, _Times())
        if times.baseline < _TIMED_PART * times.candidate and self.lives_here(name, entry.number):
            with suppress(ModelgateError):  # it was deleted
                other = self.cache.get(name, entry.number)
                runs[entry.number] = other, coerce(instances, other.manifest.signature).rows
        # What runs first finds less in the processor's caches.
        results = {number: self._predict(*runs[number]) for number in random.sample([*runs], len(runs))}
        places, prediction, took = results[version]
        baseline = results[entry.number][2] if entry.number in results else 0.0
        times.candidate += took
        times.baseline += baseline
        refused = frozenset(coerced.refused)
        accepted = [number for place, number in enumerate(asked) if place not in refused]
        rows = [coerced.rows[place] for place in places]
        return _Answers([accepted[place] for place in places], rows, prediction, took, baseline)

    def _predict(self, model: Model, rows: Sequence[Row]) -> tuple[Sequence[int], Prediction, float]:
        """Return which of the rows the model scores, what it answers to them, and the milliseconds of a processor that
        this took."""
        name, version = model.manifest.name, model.manifest.version
        places: list[int] = []
        answers = [_NOTHING]
        done, total = 0, 0.0
        while done < len(rows):
            piece = rows[done : done + BATCHES_PER_PIECE * self.pace.limit(name, version)]
            self.begin(f"{name}@{version}", self.timeout)
            began = time.process_time()
            parts = self._halved(model, piece)
            took = (time.process_time() - began) * 1000
            self.pace.record(name, version, len(piece), took)
            total += took
            for part in parts:
                if part is not None:
                    places += range(done, done + len(part.values))
                    answers.append(part)
                done += 1 if part is None else len(part.values)
        return places, join(answers), round(total, 4)

    def _halved(self, model: Model, rows: Sequence[Row]) -> list[Prediction | None]:
        """Score rows with one call. If that fails, try halves, until the rows that cannot be scored stand alone."""
        try:
            (answer,) = predict_each(model.estimator, model.manifest, [rows], kernel=model.kernel)
        except ModelgateError as error:
            answer = error.failure
        if isinstance(answer, Prediction):
            return [answer]
        if len(rows) == 1:
            self._say(f"{model.manifest.name}@{model.manifest.version}", answer.message)
            return [None]
        middle = len(rows) // 2
        return [*self._halved(model, rows[:middle]), *self._halved(model, rows[middle:])]

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
