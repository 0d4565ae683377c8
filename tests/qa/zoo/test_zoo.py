"""A part of `make zoo`: in one process, and a dozen through the inbox."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from runtime.limits import ONE_THREAD
from tests.qa.zoo import in_process, over_http
from tests.qa.zoo.kinds import SPECIMENS
from tests.qa.zoo.specimens import Specimen
from tests.qa.zoo.verdicts import Verdict
from tests.support import PROJECT

SOME = SPECIMENS[4::9]
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
