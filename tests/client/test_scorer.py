"""A scorer answers in a process of its own as the server does, and checks what it loads."""

from __future__ import annotations

import io
import multiprocessing
import os
import pickle
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
from modelgate import Client, Invalid, ModelgateError, Scorer, Unreachable
from modelgate.scorer import _processes

from tests.client.kinds import KINDS, METHODS
from tests.client.test_same_as_the_estimator import check_same
from tests.support import command_line, until

IRIS = pd.DataFrame(
    {"sepal_length": [5.1, 5.9], "sepal_width": [3.5, 3.0], "petal_length": [1.4, 5.1], "petal_width": [0.2, 1.8]}
)


def children() -> list[psutil.Process]:
    """The processes that score for this one."""
    return [child for child in psutil.Process().children() if "scoring" in command_line(child)]


@pytest.fixture
def scorer(mg: Client) -> Iterator[Scorer]:
    yield mg.model("iris").scorer()
    for process in _processes.values():
        process._process.kill()
        process._process.wait()


def test_a_scorer_answers_without_the_server_and_in_other_processes(scorer: Scorer, mg: Client) -> None:
    wanted = mg.model("iris").decision_function(IRIS)
    mg.close()
    copy: Scorer = pickle.loads(pickle.dumps(scorer))
    for each in (scorer, copy):
        assert each.decision_function(IRIS).tobytes() == wanted.tobytes()
    assert len(children()) == 1
    with multiprocessing.get_context("fork").Pool(2) as pool:
        for answer in pool.map(copy.decision_function, [IRIS] * 4):
            assert answer.tobytes() == wanted.tobytes()


def test_bad_rows_are_refused_as_by_the_server(scorer: Scorer, mg: Client) -> None:
    bad = IRIS.assign(sepal_width=["wide", 3.0]).drop(columns="petal_width")
    errors = []
    for model in (mg.model("iris"), scorer):
        with pytest.raises(Invalid) as caught:
            model.predict(bad)
        errors.append((str(caught.value), caught.value.detail, caught.value.errors))
    assert errors[0] == errors[1] and "petal_width" in errors[0][0]
    assert scorer.predict(IRIS).tolist() == [0, 2]


def test_no_rows_have_no_answers(scorer: Scorer) -> None:
    assert scorer.predict(IRIS[:0]).shape == (0,) and scorer.decision_function(IRIS[:0]).shape == (0, 3)


def test_a_process_that_was_killed_is_replaced_and_ends_with_its_user(scorer: Scorer) -> None:
    scorer.predict(IRIS)
    (child,) = children()
    child.kill()
    with pytest.raises(Unreachable, match="code -9"):
        _processes[scorer._digest].ask("predict", b"[]")
    assert scorer.predict(IRIS).tolist() == [0, 2]
    code = "import os, pickle, sys; pickle.load(sys.stdin.buffer).predict([[1, 2, 3, 4]]); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code], input=pickle.dumps(scorer), check=False)
    until(lambda: not [p for p in psutil.process_iter() if p.ppid() == 1 and "scoring" in command_line(p)], "it ends")


def altered(scorer: Scorer, name: str, data: bytes) -> Scorer:
    """Return a scorer with another file in its export."""
    changed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(scorer._export)) as archive, zipfile.ZipFile(changed, "w") as copy:
        for member in archive.namelist():
            copy.writestr(member, data if member == name else archive.read(member))
    return Scorer(scorer.description, changed.getvalue(), scorer._verify_key)


def test_an_altered_artifact_is_not_loaded(scorer: Scorer, tmp_path: Path) -> None:
    class Harmful:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "ran"),)

    artifact = next(
        name for name in zipfile.ZipFile(io.BytesIO(scorer._export)).namelist() if name.startswith("data/model.")
    )
    for data in (pickle.dumps(Harmful()), b"\0" * scorer.description["artifact"]["size"]):
        with pytest.raises(ModelgateError) as caught:
            altered(scorer, artifact, data).predict(IRIS)
        assert caught.value.code == "artifact_corrupt"
    assert not (tmp_path / "ran").exists()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_estimator_answers_as_on_the_server(mg: Client, kind: str) -> None:
    fit, rows = KINDS[kind]
    with warnings.catch_warnings(action="ignore"):
        mg.publish(kind, fit(), X=rows)
        served = mg.model(kind)
        scorer = served.scorer()
        for method in METHODS:
            assert hasattr(scorer, method) == hasattr(served, method)
            if hasattr(served, method):
                check_same(getattr(scorer, method)(rows), getattr(served, method)(rows), exact=True)
    _processes.popitem()[1]._process.kill()
