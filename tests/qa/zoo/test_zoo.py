"""A part of `make zoo`: in one process, and a dozen through the inbox."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin, TransformerMixin

from contract.model.signature import AnswerForm
from runtime.limits import ONE_THREAD
from tests.qa.zoo import compare, data, fit, in_process, over_http
from tests.qa.zoo.__main__ import report_of_neighbours
from tests.qa.zoo.kinds import SPECIMENS
from tests.qa.zoo.neighbours import Situation, Tally
from tests.qa.zoo.specimens import Specimen, fitted
from tests.qa.zoo.verdicts import Found, Verdict
from tests.support import PROJECT

SOME = [specimen for specimen in SPECIMENS if not specimen.changes][4::9]
DOZEN = (
    "LinearRegression on an array",
    "RandomForestClassifier on a frame",
    "KMeans on an array",
    "PCA on a frame",
    "NearestNeighbors of a frame",
    "Ridge of two numbers of a frame",
    "TfidfVectorizer + LogisticRegression",
    "DictVectorizer + LogisticRegression",
    "Nulls of 21 kinds, OneHotEncoder",
    "A dict of scaler and model",
    "A transformer of __main__ with its code",
    "DBSCAN on an array",
)


def _saved(specimens: Iterable[Specimen], folder: Path) -> Path:
    """Fit the specimens in a process of its own."""
    command = [sys.executable, "-m", "tests.qa.zoo.fit", str(folder), *(specimen.slug for specimen in specimens)]
    subprocess.run(command, cwd=PROJECT, env={**os.environ, **ONE_THREAD}, check=True)
    return folder


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _saved(SOME, tmp_path_factory.mktemp("zoo"))


@pytest.mark.parametrize("specimen", SOME, ids=lambda specimen: specimen.slug)
def test_a_ninth_of_the_zoo_answers_as_where_it_was_fitted(saved: Path, specimen: Specimen) -> None:
    _check(in_process.verdict(specimen, saved))


@pytest.mark.slow
def test_a_dozen_of_the_zoo_answer_as_where_they_were_fitted_through_inbox_and_http(tmp_path: Path) -> None:
    dozen = [specimen for specimen in SPECIMENS if specimen.name in DOZEN]
    verdicts = list(over_http.verdicts(dozen, _saved(dozen, tmp_path)))
    assert len(verdicts) == len(DOZEN)
    for verdict in verdicts:
        _check(verdict)


def _check(verdict: Verdict) -> None:
    assert verdict.found.is_right, f"{verdict.specimen.name}: {verdict.found}: {verdict.said}"


class Breakable(TransformerMixin, RegressorMixin, BaseEstimator):
    """Answers each row by itself until `broken` says otherwise."""

    broken: Situation | None = None

    def fit(self, X: Any, y: Any) -> Breakable:
        self.n_features_in_ = X.shape[1]
        return self

    def predict(self, X: Any) -> Any:
        wrong = {
            Situation.ALONE: len(X) == 1,
            Situation.AT_ONCE: len(X) not in (1, data.ASKED),
            Situation.METHODS: vars(self).pop("transformed", False) and len(X) == data.ASKED,
        }
        return X[:, 0] + wrong.get(type(self).broken, False)  # type: ignore[call-overload]

    def transform(self, X: Any) -> Any:
        self.transformed = True
        return X


@pytest.mark.parametrize("broken", [None, Situation.ALONE, Situation.AT_ONCE, Situation.METHODS])
def test_a_model_that_answers_otherwise_beside_others_differs_in_that_situation_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: Situation | None
) -> None:
    specimen = Specimen("breakable", partial(fitted, Breakable(), data.X, data.NUMBER, published=data.X))
    fit.save(specimen, tmp_path)
    compared = in_process.compared

    def compared_once_broken(*arguments: Any) -> Verdict:
        monkeypatch.setattr(Breakable, "broken", broken)
        return compared(*arguments)

    monkeypatch.setattr(in_process, "compared", compared_once_broken)
    verdict = in_process.verdict(specimen, tmp_path)
    assert {situation for situation, tally in verdict.tallies.items() if tally.different} == {broken} - {None}
    assert all(tally.rows for tally in verdict.tallies.values())
    assert verdict.found is (Found.DIFFERS if broken else Found.IDENTICAL), verdict.said


def test_a_number_may_differ_in_its_last_digits_beside_others_and_no_further() -> None:
    rows = [[0.1 + 0.2], [1 / 3]]
    assert compare.of_table(rows, [0.3, 1 / 3 + 1e-13], AnswerForm.NUMBER, compare.BESIDE_OTHERS) is None
    assert compare.of_table(rows, [0.3, 1 / 3 + 1e-8], AnswerForm.NUMBER, compare.BESIDE_OTHERS)
    single = [[float(np.float32(1 / 3))]]
    assert compare.of_table(single, [1 / 3 + 1e-7], AnswerForm.NUMBER, compare.BESIDE_OTHERS) is None
    assert compare.of_table(single, [1 / 3 + 1e-5], AnswerForm.NUMBER, compare.BESIDE_OTHERS)


def test_the_report_counts_what_differs_and_says_why_requests_are_scored_alone() -> None:
    specimen = Specimen("ranks", lambda: fitted(Breakable(), data.X, data.NUMBER))
    tally = Tally(24, ["predict: row 0 is [2] instead of [1]"])
    verdict = Verdict(specimen, Found.IDENTICAL, alone="'rank' looks at all rows").beside(Situation.AT_ONCE, tally)
    assert verdict.found is Found.DIFFERS
    lines = [*report_of_neighbours([verdict])]
    assert f"| {Situation.AT_ONCE} | 24 | 1 | 1 | 1 |" in lines
    assert f"| {Situation.CHANGES} | 0 | 0 | 0 | 0 |" in lines
    assert "| ranks | 'rank' looks at all rows |" in lines
