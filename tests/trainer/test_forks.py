"""Imports share a template, and nothing else: no import notices another one, or harms it."""

from __future__ import annotations

import json
import os
import pickle
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import psutil
import pytest
from sklearn.linear_model import LogisticRegression

from contract.errors import Failure, ModelgateError
from contract.settings import Settings
from contract.work.training import TrainingRequest
from tests.support import DEADLINE, PROJECT, command_line, until
from tests.trainer.conftest import SharedForks
from trainer.forks import FILES, TRAININGS, Forks, KeptForks
from trainer.importing.inbox import imports
from trainer.importing.inbox.imports import import_file
from trainer.jobs import training_process
from trainer.jobs.training_process import TrainingProcess
from trainer.processes import RECIPE_PREFIX, environment


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with SharedForks("module") as shared:
        yield shared


class Program:
    """Runs `code` when it is unpickled."""

    def __init__(self, code: str) -> None:
        self.code = code

    def __reduce__(self) -> Any:
        return exec, (self.code,)


def refusal(folder: Path, saved: bytes, forks: Forks) -> str:
    path = folder / "mine.pkl"
    path.write_bytes(saved)
    with pytest.raises(ModelgateError) as refused:
        import_file(Settings(models_dir=folder / "models"), "mine", path, forks=forks)
    return str(refused.value)


def ran(folder: Path, code: str, forks: Forks) -> str:
    return refusal(folder, pickle.dumps(Program(code)), forks)


def imported(folder: Path, forks: Forks) -> int:
    path = folder / "good.pkl"
    path.write_bytes(pickle.dumps(LogisticRegression().fit(np.arange(40.0).reshape(20, 2), np.arange(20) // 10)))
    return import_file(Settings(models_dir=folder / "models"), "good", path, forks=forks).version


def templates() -> set[psutil.Process]:
    children = psutil.Process().children(recursive=True)
    return {process for process in children if command_line(process)[1:3] in (["-m", FILES], ["-m", TRAININGS])}


@pytest.mark.slow
def test_a_file_sees_nothing_of_the_one_before(tmp_path: Path, forks: Forks) -> None:
    trace = tmp_path / "trace"
    code = f"""
import builtins, json, numpy, os, random, signal, sklearn
seen = [hasattr(builtins, "leaked"), sklearn.get_config()["assume_finite"], signal.alarm(60) > 0]
seen += [os.getpid(), numpy.random.random(), random.random()]
with open({str(trace)!r}, "a") as file:
    file.write(json.dumps(seen) + "\\n")
builtins.leaked = True
sklearn.set_config(assume_finite=True)
os.chdir("/")
"""
    for _ in range(2):
        assert "holds nothing (None) and no model" in ran(tmp_path, code, forks)
    first, other = map(json.loads, trace.read_text().splitlines())
    assert first[:3] == other[:3] == [False, False, True]
    assert all(here != there for here, there in zip(first[3:], other[3:], strict=True))
    assert imported(tmp_path, forks) == 1


@pytest.mark.slow
def test_what_a_file_starts_ends_with_its_import_and_not_with_the_template(tmp_path: Path, forks: Forks) -> None:
    trace = tmp_path / "trace"
    code = f"""
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open({str(trace)!r}, "w").write(str(os.getpid()))
        time.sleep(600)
    os._exit(0)
while not os.path.exists({str(trace)!r}):
    time.sleep(0.01)
"""
    imported(tmp_path, forks)
    before = templates()
    ran(tmp_path, code, forks)
    assert not psutil.pid_exists(int(trace.read_text()))
    assert templates() == before
    assert before and not any(process.children() for process in before)


def test_a_file_inherits_neither_the_sockets_of_the_template_nor_its_threads(tmp_path: Path, forks: Forks) -> None:
    trace = tmp_path / "trace"
    code = f"""
import os
links = []
for number in range(100):
    try:
        links.append(os.readlink(f"/proc/self/fd/{{number}}"))
    except OSError:
        pass
open({str(trace)!r}, "w").write(repr(links))
"""
    ran(tmp_path, code, forks)
    assert "socket" not in trace.read_text() and "pipe" not in trace.read_text()
    assert {process.num_threads() for process in templates()} == {1}


@pytest.mark.parametrize("end", ["", "os.kill(os.getpid(), 9)"])
def test_a_file_writes_into_a_folder_of_its_own_which_goes_with_its_process(
    tmp_path: Path, forks: Forks, end: str
) -> None:
    trace = tmp_path / "trace"
    ran(tmp_path, f"import os; open('own.csv', 'w'); open({str(trace)!r}, 'w').write(os.getcwd()); {end}", forks)
    scratch = Path(trace.read_text())
    assert scratch.name.startswith("modelgate-") and not scratch.exists()
    assert not (PROJECT / "own.csv").exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGSTOP, marks=pytest.mark.slow)])
def test_a_file_that_kills_or_stops_the_template_does_not_harm_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    others = templates()
    with Forks() as forks:
        imported(tmp_path, forks)
        (before,) = templates() - others
        monkeypatch.setattr(imports, "CHECK_TIMEOUT", 2)
        said = ran(tmp_path, f"import os, time; os.kill(os.getppid(), {number}); time.sleep(600)", forks)
        monkeypatch.undo()
        assert "most likely because memory ran out" in said or "takes more than 2 s" in said
        assert before not in templates()
        assert imported(tmp_path, forks) == 2


@pytest.mark.slow
def test_a_model_whose_answers_depend_on_the_order_of_a_set_is_refused(tmp_path: Path, forks: Forks) -> None:
    class Unordered:
        """Its answers depend on what decides the order of a set of strings, which differs between processes."""

        n_features_in_ = 1

        def predict(self, matrix: Any) -> Any:
            return matrix[:, 0] * 0 + float(hash("a") % 1000)

    assert "golden row 0 gave" in refusal(tmp_path, cloudpickle.dumps(Unordered()), forks)


@pytest.mark.slow
def test_the_template_ends_with_its_owner(tmp_path: Path) -> None:
    before = templates()
    with Forks() as forks:
        imported(tmp_path, forks)
        assert templates() > before
    assert templates() == before


RECIPE = """
import os
import time
import numpy as np
from joblib import Parallel, delayed
from sklearn.linear_model import LinearRegression
from contract.model.signature import Field, Kind
from trainer.recipe import Table, recipe

class Own(LinearRegression):
    pass

def data() -> Table:
    return Table("made up", ("x", "y"), [[float(number), 2.0 * number] for number in range(60)])

@recipe(inputs=(Field("x", Kind.NUMBER),), target=Field("y", Kind.NUMBER), data=data)
def fit(X, y):
    Parallel(n_jobs=2)(delayed(np.sum)(np.ones(200_000)) for _ in range(2))
    print(os.environ["RECIPE_WORD"], os.getpid())
    return {estimator}().fit(X, y)
"""

ENDLESS_RECIPE = RECIPE.replace("np.sum", "endless").replace(
    "    Parallel",
    """\
    def endless(array):
        while True:
            time.sleep(1.0)

    print("mine:", os.getpid(), flush=True)
    Parallel""",
)


def shared_memory(pid: str) -> list[Path]:
    """Return the files and semaphores of joblib in this process."""
    return list(Path("/dev/shm").glob(f"*{pid}*"))


def arrays(pid: str) -> list[Path]:
    return list(Path("/dev/shm").glob(f"*_{pid}_*/*.pkl"))


@pytest.fixture
def own_recipe(redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of the recipe `own` in a folder that relative paths in the settings begin with."""
    (tmp_path / "recipes").mkdir()
    monkeypatch.chdir(tmp_path)
    variables = {"REDIS_URL": redis_url, "MODELS_DIR": "models", "RECIPES_DIR": "recipes", "RECIPE_WORD": "abracadabra"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return tmp_path / "recipes" / "own.py"


def started(forks: Forks) -> TrainingProcess:
    return TrainingProcess(forks, TrainingRequest("own", "own").to_json(), "0" * 32, DEADLINE)


def output(training: TrainingProcess) -> str:
    ended = training.poll()
    assert ended is None, ended
    return training.log_lines().decode()


@pytest.mark.slow
@pytest.mark.parametrize("estimator", ["LinearRegression", "Own"])
def test_a_training_and_the_verification_of_its_version_run_in_forks(
    own_recipe: Path, estimator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The template of a training that exits late is killed with it, and a busy machine makes any exit late.
    monkeypatch.setattr(training_process, "EXIT_GRACE", DEADLINE)
    own_recipe.write_text(RECIPE.replace("{estimator}", estimator))
    others = templates()
    with Forks(TRAININGS, environment(RECIPE_PREFIX)) as forks:
        training = started(forks)
        outcome = until(training.poll, "it ends")
        assert not isinstance(outcome, Failure), outcome
        said = re.search(r"^abracadabra (\d+)$", training.log_lines().decode(), re.MULTILINE)
        assert said
        assert shared_memory(said[1]) == []
        assert len(templates() - others) == 1
    assert [outcome["version"], outcome["promoted"]] == [1, True]


@pytest.mark.parametrize("killed", ["by the trainer", "by the kernel"])
def test_a_killed_training_leaves_nothing_in_memory(own_recipe: Path, killed: str) -> None:
    own_recipe.write_text(ENDLESS_RECIPE.replace("{estimator}", "LinearRegression"))
    with Forks(TRAININGS, environment(RECIPE_PREFIX)) as forks:
        training = started(forks)
        said = until(lambda: re.search(r"^mine: (\d+)$", output(training), re.MULTILINE), "it has its recipe")
        pid = said[1]
        until(
            lambda: len(arrays(pid)) == 2 and min(path.stat().st_size for path in arrays(pid)) > 1e6, "it shares arrays"
        )
        if killed == "by the kernel":
            os.kill(int(pid), signal.SIGKILL)
            until(training.poll, "its end is noticed")
        else:
            training.kill()
        assert shared_memory(pid) == []


@pytest.mark.slow
def test_the_template_of_a_command_is_kept_for_the_next_until_none_has_used_it_for_a_while(tmp_path: Path) -> None:
    others = templates()

    def own() -> set[psutil.Process]:
        return templates() - others

    kept = KeptForks()
    with kept.lend() as first:
        imported(tmp_path, first)
        (template,) = own()
        with kept.lend() as second:
            assert second is not first  # a command has its forks for itself
    with kept.lend() as again:
        assert again is first
        imported(tmp_path, again)
        kept.end_unused()
    assert own() == {template}
    kept.end_unused()  # it was used since the last call
    assert own() == {template}
    kept.end_unused()
    assert own() == set()
    with kept.lend() as later:
        imported(tmp_path, later)
        assert own() and template not in own()
    kept.close()
    assert own() == set()
