"""Our code in environments with older releases of scikit-learn: models answer as in the process that fitted them, to
the last bit. `make zoo RELEASES=all` asks every kind in every release."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from runtime.limits import ONE_THREAD
from tests.qa.zoo.releases.verdicts import SAME
from tests.scoring.old_releases import ENVIRONMENTS, run
from tests.stacks.environments import environment_for_tests
from tests.support import PROJECT

KINDS = (
    "AdaBoostClassifier",
    "ColumnTransformer (with an imputer)",
    "GradientBoostingClassifier",
    "HistGradientBoostingRegressor",
    "IsolationForest",
    "MultiOutputClassifier",
    "PLSRegression",
    "RandomForestClassifier",
    "RandomForestClassifier (several outputs)",
    "SVC (probability=True)",
    "TfidfVectorizer",
    "a class around a forest (cloudpickle)",
    "a step of one's own (code beside)",
)
FOREST = "RandomForestClassifier"


@pytest.fixture(scope="module", params=ENVIRONMENTS)
def python(request: pytest.FixtureRequest) -> Path:
    return environment_for_tests(request.param).interpreter


@pytest.fixture(scope="module")
def saved(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with files that the release has saved."""
    folder = tmp_path_factory.mktemp("saved")
    command = [str(python), str(PROJECT / "tests/qa/zoo/releases/fit.py"), str(folder), *KINDS]
    subprocess.run(command, check=True, env={**os.environ, **ONE_THREAD})  # without our code
    return folder


@pytest.mark.slow
def test_models_answer_under_their_own_release_as_where_they_were_fitted(python: Path, saved: Path) -> None:
    printed = run(python, saved, "-m", "tests.qa.zoo.releases.verdicts", str(saved), "--exactly")
    assert dict(map(json.loads, printed.splitlines())) == dict.fromkeys(KINDS, SAME)


DATES = """
import pandas as pd
from modelgate_artifacts.exported import _series
from modelgate_kernels.layout import Column, Kind
from modelgate_kernels.matrix import to_series
at, exported = ["2024-07-01T18:00:00+00:00"], {"kind": "datetime", "nullable": False, "null": "nan", "naive": True}
print(*{str(dates.dtype) for dates in (
    pd.to_datetime(pd.Series(["2024-07-01 18:00"])),
    to_series(at, Column("at", Kind.DATETIME, naive=True), "float64"),
    to_series(at, Column("at", Kind.DATETIME, naive=True, nanoseconds=True), "float64"),
    _series(at, exported, "float64"),
    _series(at, {**exported, "nanoseconds": True}, "float64"),
)})
"""


def test_dates_have_the_unit_in_which_an_older_pandas_reads_them(python: Path, tmp_path: Path) -> None:
    assert run(python, tmp_path, "-c", DATES) == "datetime64[ns]\n"
