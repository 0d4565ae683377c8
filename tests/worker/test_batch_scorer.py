"""One predict scores many jobs, and a bad job fails alone."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from broker.sides.scorer import Batch, BatchJob
from contract.errors import Failure
from contract.model.repository import Repository
from contract.model.row_profile import profile_of
from contract.model.signature import Field, Kind, Output, OutputKind, Signature
from contract.work.jobs import PredictionOutcome
from scoring.pace import Pace
from scoring.trust import Trust
from tests.support import numbers, write_version
from worker.batch_scorer import BatchScorer
from worker.model_cache import ModelCache, ModelLoader

BAD, HUGE, WRONG = 13.0, 14.0, 15.0


class Picky:
    """Doubles numbers and records the number of rows of each call."""

    calls: list[int] = []  # noqa: RUF012  it is emptied for each test

    def predict(self, X: Any) -> Any:
        Picky.calls.append(len(X))
        if BAD in X:
            raise ValueError("no")
        if HUGE in X:
            raise MemoryError
        return np.array([{} if x == WRONG else float(x) * 2 for x in X[:, 0]], dtype=object)

    def predict_proba(self, X: Any) -> Any:
        return np.column_stack([X[:, 0], 1 - X[:, 0]])


Notes = list[tuple[str, ...]]


@pytest.fixture
def notes() -> Notes:
    return []


@pytest.fixture
def batches(models: Path, notes: Notes) -> BatchScorer:
    Picky.calls = []
    write_version(models, "picky", Picky(), numbers("a"))
    write_version(models, "sure", Picky(), numbers("a"), Output(OutputKind.CLASS, labels=(0, 1), probabilities=True))
    pace = Pace(inf)
    for rows in (1, 4, 16, 64, 256):
        pace.record("picky", 1, rows, 0.1)
    return BatchScorer(
        ModelCache(ModelLoader(Repository(models), Trust()), lambda: 10**6),
        pace,
        timeout=30,
        begin=lambda ids, *seconds: notes.append(tuple(ids)),
        end=lambda: notes.append(()),
    )


def batch(*values: float | Sequence[float], model: str = "picky", version: int = 1) -> Batch:
    jobs = [
        BatchJob(f"j{i}", [[v] for v in (value if isinstance(value, list | tuple) else [value])])
        for i, value in enumerate(values)
    ]
    return Batch(model, version, jobs)


def shown(outcomes: dict[str, PredictionOutcome | Failure]) -> dict[str, Any]:
    return {i: o.code if isinstance(o, Failure) else list(o.predictions) for i, o in outcomes.items()}


def test_all_jobs_are_scored_by_one_predict(batches: BatchScorer, notes: Notes) -> None:
    outcomes = batches.score(batch(1.0, [2.0, 3.0], 4.0))
    assert shown(outcomes) == {"j0": [2.0], "j1": [4.0, 6.0], "j2": [8.0]}
    assert Picky.calls == [4]
    assert {o.batch_rows for o in outcomes.values() if isinstance(o, PredictionOutcome)} == {4}
    assert notes == [("j0", "j1", "j2"), ("j0", "j1", "j2"), ()]


class Shared:
    """Adds the mean of the batch to each number, and raises for a bad one."""

    def predict(self, X: Any) -> Any:
        Picky.calls.append(len(X))
        if BAD in X:
            raise ValueError("no")
        return X[:, 0] + X.mean()


def test_each_job_of_a_version_that_is_scored_alone_gets_one_call_for_all_its_rows(
    models: Path, batches: BatchScorer, notes: Notes
) -> None:
    write_version(models, "shared", Shared(), numbers("a"), alone=True)
    outcomes = batches.score(batch(1.0, [2.0, 4.0], BAD, [float(value) for value in range(100, 201)], model="shared"))
    assert shown(outcomes) == {
        "j0": [2.0],
        "j1": [5.0, 7.0],
        "j2": "model_error",
        "j3": [150.0 + value for value in range(100, 201)],
    }
    assert Picky.calls == [1, 2, 1, 101]
    assert notes == [("j0", "j1", "j2", "j3"), ("j0",), ("j1",), ("j2",), ("j3",), ()]
    assert {o.batch_rows for o in outcomes.values() if isinstance(o, PredictionOutcome)} == {1, 2, 101}


def test_few_jobs_of_a_slow_version_that_is_scored_alone_come_at_once(models: Path, batches: BatchScorer) -> None:
    """Its calls do not grow with the rows of a batch, but their number does."""
    write_version(models, "shared", Shared(), numbers("a"), alone=True)
    for _ in range(5):
        batches.score(batch([1.0] * 200, *range(8), model="shared"))
    assert batches.pace.limit("shared", 1) <= 4


@pytest.mark.parametrize("bad", [0, 3, 7])
def test_a_job_that_makes_the_model_raise_fails_alone(batches: BatchScorer, bad: int) -> None:
    outcomes = batches.score(batch(*[BAD if i == bad else 1.0 for i in range(8)]))
    assert shown(outcomes) == {f"j{i}": "model_error" if i == bad else [2.0] for i in range(8)}
    assert len(Picky.calls) == 7


def test_an_answer_that_json_cannot_hold_fails_its_job_without_another_predict(batches: BatchScorer) -> None:
    assert shown(batches.score(batch(1.0, WRONG, 2.0))) == {"j0": [2.0], "j1": "model_error", "j2": [4.0]}
    assert Picky.calls == [3]


def test_warnings_count_the_rows_of_their_own_job(batches: BatchScorer) -> None:
    outcomes = batches.score(batch(1.0, [2.0, float("nan")]))
    warnings = [list(o.warnings) for o in outcomes.values() if isinstance(o, PredictionOutcome)]
    assert warnings == [[], ["1 of 2 predictions are not finite numbers and are null: rows 1"]]


@pytest.mark.parametrize("warns", [True, False])
def test_a_job_is_warned_of_its_own_unusual_values_which_are_counted(models: Path, warns: bool) -> None:
    signature = Signature((Field("a", Kind.NUMBER),), (Output(OutputKind.NUMBER),))
    profile = profile_of(signature, [[float(value)] for value in range(100)], [0.0])
    write_version(models, "picky", Picky(), numbers("a"), profile=profile)
    counted: list[tuple[str, int]] = []

    def warned(model: str, count: int) -> bool:
        counted.append((model, count))
        return warns

    cache, nothing = ModelCache(ModelLoader(Repository(models), Trust()), lambda: 10**6), lambda *_: None
    scorer = BatchScorer(cache, Pace(inf), timeout=30, begin=nothing, end=nothing, warned=warned)
    outcomes = [scorer.score(batch(value)).popitem()[1] for value in (50.0, 2900.0, [50.0, -2900.0, 2900.0])]
    warnings = [list(outcome.warnings) for outcome in outcomes if isinstance(outcome, PredictionOutcome)]
    said = "'a' is far from what training saw: it is {}, and training saw 0 to 99"
    assert warnings == ([[], [said.format(2900)], [said.format(-2900)]] if warns else [[], [], []])
    assert counted == [("picky", 1)] * 2


def test_each_job_gets_the_probabilities_of_its_rows(batches: BatchScorer) -> None:
    outcomes = batches.score(batch(0.0, [1.0, 0.25], model="sure"))
    tables = [o.probabilities for o in outcomes.values() if isinstance(o, PredictionOutcome)]
    assert tables == [[{"0": 0.0, "1": 1.0}], [{"0": 1.0, "1": 0.0}, {"0": 0.25, "1": 0.75}]]


def test_an_unknown_version_is_tried_with_one_job_first(batches: BatchScorer) -> None:
    batches.score(batch(*[0.0] * 20, model="sure"))
    assert Picky.calls[0] == 1
    assert sum(Picky.calls) == 20
    assert all(after <= 4 * before for before, after in pairwise(Picky.calls))


def test_a_large_job_is_scored_in_pieces_and_answered_as_one(batches: BatchScorer, notes: Notes) -> None:
    values = [float(i % 7) for i in range(30_000)]
    (outcome,) = batches.score(batch(values)).values()
    assert isinstance(outcome, PredictionOutcome)
    assert outcome.predictions == [2 * value for value in values]
    assert outcome.batch_rows == 30_000
    assert len(Picky.calls) > 1
    assert notes.count(("j0",)) == len(Picky.calls) + 1


def test_an_error_in_a_piece_fails_the_large_job(batches: BatchScorer) -> None:
    assert shown(batches.score(batch([1.0] * 25_000 + [BAD]))) == {"j0": "model_error"}


def test_a_model_that_cannot_be_loaded_fails_all_jobs(batches: BatchScorer, notes: Notes) -> None:
    assert shown(batches.score(batch(1.0, 2.0, version=9))) == dict.fromkeys(["j0", "j1"], "model_not_found")
    assert notes[-1] == ()


def test_jobs_go_back_when_memory_runs_out_and_stay_in_the_activity(batches: BatchScorer, notes: Notes) -> None:
    assert batches.score(batch(1.0, HUGE, 1.0)) == {}
    assert batches.out_of_memory
    assert notes[-1] == ("j0", "j1", "j2")


def test_a_job_that_needs_too_much_memory_alone_fails(batches: BatchScorer) -> None:
    assert shown(batches.score(batch(HUGE))) == {"j0": "out_of_memory"}
    assert batches.out_of_memory


def test_a_job_without_rows_is_an_error_of_the_model(batches: BatchScorer) -> None:
    assert set(shown(batches.score(batch([], 1.0)))) == {"j0", "j1"}
