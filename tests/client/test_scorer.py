"""A scorer answers in a process of its own as the server does, and checks what it loads."""

from __future__ import annotations

import io
import multiprocessing
import os
import pickle
import re
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
from modelgate import Client, Invalid, ModelgateError, ModelRaised, Scorer, Unreachable
from modelgate.scorer import _processes

from contract.settings import Settings
from tests.client.kinds import KINDS, METHODS
from tests.client.test_same_as_the_estimator import check_same
from tests.flow.estimators import RAISES, Faulty, Talks
from tests.gateway.conftest import scoring, settings  # noqa: F401
from tests.stacks.gateways import Gateway
from tests.support import PROJECT, Bomb, Sum, alive, command_line, numbers, until, write_version
from trainer.__main__ import main
from trainer.publishing.signing import make_keys

pytestmark = pytest.mark.usefixtures("scoring_processes_end")

IRIS = pd.DataFrame(
    {"sepal_length": [5.1, 5.9], "sepal_width": [3.5, 3.0], "petal_length": [1.4, 5.1], "petal_width": [0.2, 1.8]}
)


def children() -> list[psutil.Process]:
    """The processes that score for this one."""
    return [child for child in psutil.Process().children() if "scoring" in command_line(child)]


@pytest.fixture
def scorer(mg: Client) -> Scorer:
    return mg.model("iris").scorer()


@pytest.mark.slow
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


@pytest.mark.slow
def test_the_lines_of_the_page_work(mg: Client) -> None:
    page = (PROJECT / "docs" / "how-to" / "score-a-data-lake.md").read_text()
    names: dict[str, Any] = {}
    exec(re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0].replace('"loan"', '"iris"'), names)
    assert names["score"](IRIS)["prediction"].tolist() == [0, 2]


def test_no_rows_have_no_answers(scorer: Scorer) -> None:
    assert scorer.predict(IRIS[:0]).shape == (0,) and scorer.decision_function(IRIS[:0]).shape == (0, 3)


@pytest.mark.slow
def test_a_process_that_was_killed_is_replaced_and_ends_with_its_user(scorer: Scorer) -> None:
    scorer.predict(IRIS)
    (child,) = children()
    child.kill()
    with pytest.raises(Unreachable, match="code -9"):
        _processes[scorer._digest].ask("predict", b"[]")
    assert scorer.predict(IRIS).tolist() == [0, 2]
    code = (
        "import os, pickle, sys; from modelgate.scorer import _processes;"
        "pickle.load(sys.stdin.buffer).predict([[1, 2, 3, 4]]);"
        "print(*(process._process.pid for process in _processes.values()), flush=True); os.kill(os.getpid(), 9)"
    )
    user = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(scorer), stdout=subprocess.PIPE, check=False)
    until(lambda: not alive(int(user.stdout)), "it ends")


def altered(scorer: Scorer, name: str, data: bytes) -> Scorer:
    """Return a scorer with another file in its export."""
    changed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(scorer._export)) as archive, zipfile.ZipFile(changed, "w") as copy:
        for member in archive.namelist():
            copy.writestr(member, data if member == name else archive.read(member))
    return Scorer(scorer.reference, scorer.description, changed.getvalue(), scorer._verify_key)


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
def test_a_key_refuses_what_nobody_has_signed(
    server: Gateway,
    settings: Settings,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    private, public = make_keys(tmp_path / "keys")
    write_version(settings.models_dir, "signed", Sum(), numbers("a"))
    monkeypatch.setenv("SIGNING_KEY", str(private))
    monkeypatch.setenv("MODELS_DIR", str(settings.models_dir))
    assert main(["sign", "--unsigned"]) == 0
    write_version(settings.models_dir, "unsigned", Bomb(tmp_path / "ran"), numbers("a"))
    mg = Client(server.address)
    assert mg.model("signed").scorer(verify_key=public).predict([[1.0]]).tolist() == [1.0]
    with pytest.raises(ModelgateError, match="is not signed") as caught:
        mg.model("unsigned").scorer(verify_key=public).predict([[1.0]])
    assert caught.value.code == "not_trusted" and not (tmp_path / "ran").exists()
    other = mg.model("signed").scorer(verify_key=public)
    with pytest.raises(ModelgateError, match="came in the place of unsigned@1"):
        Scorer("unsigned@1", other.description, other._export, other._verify_key).predict([[1.0]])


def test_what_a_model_raises_is_raised_and_what_it_prints_is_no_answer(server: Gateway, settings: Settings) -> None:  # noqa: F811
    write_version(settings.models_dir, "faulty", Faulty(), numbers("a"), by_value=True)
    scorer = Client(server.address).model("faulty").scorer()
    with pytest.raises(ModelRaised, match="raised ValueError"):
        scorer.predict([[1.0], [RAISES]])
    assert scorer.predict([[1.0]]).tolist() == [2.0]
    write_version(settings.models_dir, "talks", Talks(), numbers("a"), by_value=True)
    assert Client(server.address).model("talks").scorer().predict([[1.0]]).tolist() == [2.0]


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
