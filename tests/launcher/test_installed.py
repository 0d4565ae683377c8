"""The wheels in an environment of their own: from a pickle to an answer in one command, and nothing left behind."""

from __future__ import annotations

import json
import os
import pickle
import re
import shlex
import signal
import subprocess
import tomllib
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import joblib
import numpy as np
import psutil
import pytest
import requests
from modelgate import Client
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from contract.model.environments import SUPPORT_ENDED
from contract.release import VERSION
from tests.stacks.ports import free_port
from tests.stacks.wheels import build_wheels, environment_with, metadata_of
from tests.support import DEADLINE, PROJECT, gone, until

pytestmark = pytest.mark.waits

OWN_CLASS = """
from sklearn.base import BaseEstimator, TransformerMixin

class Double(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return X * 2
"""
MAKE_OWN = """
import joblib
from features import Double
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
X, y = load_iris(return_X_y=True, as_frame=True)
joblib.dump(make_pipeline(StandardScaler(), Double(), LogisticRegression()).fit(X, y), "own.pkl")
"""
TEXTS = ["win money now", "cheap pills", "hello friend", "see you tomorrow"] * 5
IN_A_SESSION = """
import modelgate, time
from sklearn.linear_model import LinearRegression
mg = modelgate.serve(LinearRegression().fit([[0.0], [1.0]], [1.0, 3.0]), "line", X=[[0.0], [1.0]], y=[1.0, 3.0])
assert modelgate.serve(LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0]), "same") is mg
print(mg.model("line").predict([[2.0]]), mg.model("same").predict([[2.0]]), flush=True)
print(mg._repr_html_().count("<a "), mg.url, flush=True)
time.sleep(600)
"""


@dataclass
class Installed:
    """An environment with the wheels, and a user who runs commands in it."""

    bin: Path
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start a command with its output in the file `said`."""
        with (self.folder / "said").open("w") as said:
            return subprocess.Popen(
                [self.bin / command[0], *command[1:]],
                cwd=self.folder,
                env=self.environment,
                stdout=said,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        return (self.folder / "said").read_text()

    def run(self, *command: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.bin / command[0], *command[1:]],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            input=stdin,
            timeout=DEADLINE,
        )

    @contextmanager
    def running(self, *command: str, until_it_says: str) -> Iterator[tuple[psutil.Process, list[psutil.Process]]]:
        """Run a command; yields its process and all that it has started once it says what is waited for."""
        process = self.start(*command)
        try:
            until(lambda: until_it_says in self.said or process.poll() is not None, f"{until_it_says!r}")
            assert until_it_says in self.said, self.said
            started = psutil.Process(process.pid)
            yield started, started.children(True)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            process.wait(DEADLINE)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return build_wheels(tmp_path_factory.mktemp("dist"))


@pytest.fixture
def installed(wheels: list[Path], tmp_path: Path) -> Installed:
    """A user without a home, in a folder with blanks, umlauts, and modules named like ours."""
    folder = tmp_path / "Meine Modelle – schön"
    (folder / "gateway").mkdir(parents=True)
    for name in ("worker.py", "contract.py", "runtime.py", "modelgate_server.py", "gateway/__init__.py"):
        (folder / name).write_text("raise SystemExit('a module of the user was taken for one of ours')")
    state = tmp_path / "state"
    state.mkdir()
    environment = {"PATH": "/usr/bin:/bin", "TMPDIR": str(state), "XDG_DATA_HOME": str(tmp_path / "data")}
    return Installed(environment_with(wheels, tmp_path / "venv"), folder, environment)


def test_no_wheel_has_a_module_with_a_name_that_a_user_may_have(wheels: list[Path]) -> None:
    modules = {
        name.partition("/")[0]
        for wheel in wheels
        for name in zipfile.ZipFile(wheel).namelist()
        if ".dist-info/" not in name
    }
    assert modules == {"modelgate", "modelgate_server", "modelgate_artifacts", "modelgate_kernels"}
    assert all(wheel.name.endswith("-py3-none-any.whl") for wheel in wheels)


def normalized(requirement: str) -> str:
    """Return the name of what is required, as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", re.split(r"[<>=\[; ]", requirement)[0]).lower()


def test_all_wheels_are_of_one_release_and_ask_for_what_the_groups_name(wheels: list[Path]) -> None:
    metadata = metadata_of(wheels)
    assert {name: entry["Version"] for name, entry in metadata.items()} == dict.fromkeys(
        ("modelgate", "modelgate-client", "modelgate-kernels", "modelgate-server"), VERSION
    )
    groups = tomllib.loads((PROJECT / "pyproject.toml").read_text())["dependency-groups"]
    asked = {normalized(line) for line in metadata["modelgate-server"].get_all("Requires-Dist")}
    for group in ("broker", "gateway", "scoring", "events", "observer", "worker", "trainer", "own-redis"):
        assert {normalized(name) for name in groups[group] if isinstance(name, str)} <= asked, group
    pinned = metadata["modelgate"].get_all("Requires-Dist")
    assert {f"modelgate-client=={VERSION}", f"modelgate-server=={VERSION}"} <= set(pinned)


@pytest.mark.slow
def test_the_server_brings_the_locks_of_environments(wheels: list[Path], installed: Installed) -> None:
    (server,) = (wheel for wheel in wheels if wheel.name.startswith("modelgate_server"))
    brought = {name.rpartition("/")[2] for name in zipfile.ZipFile(server).namelist() if "/environments/" in name}
    assert {"needs.in", *(f"{name}.txt" for name in SUPPORT_ENDED)} <= brought
    listed = installed.run("modelgate", "environment", "list", "--json")
    *releases, today = json.loads(listed.stdout)
    assert [entry["state"] for entry in releases] == ["not made"] * len(SUPPORT_ENDED), listed
    assert (today["name"], today["state"]) == ("today", "ready") and today["scikit_learn"], today


def test_the_bundle_has_the_command_because_pipx_and_uvx_look_nowhere_else(wheels: list[Path]) -> None:
    commands = set()
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            name = next((name for name in archive.namelist() if name.endswith("entry_points.txt")), None)
            if name and wheel.name.split("-")[0] in ("modelgate", "modelgate_client"):
                commands.add((wheel.name.split("-")[0], archive.read(name).decode().strip()))
    script = "[console_scripts]\nmodelgate = modelgate.command.__main__:main"
    assert commands == {("modelgate", script), ("modelgate_client", script)}


def test_five_pickles_are_served_by_one_command_which_leaves_nothing_behind(installed: Installed) -> None:
    folder = installed.folder
    X, y = load_iris(return_X_y=True, as_frame=True)
    table, text = LogisticRegression(max_iter=1000).fit(X, y), make_pipeline(TfidfVectorizer(), LogisticRegression())
    text.fit(TEXTS, [1, 1, 0, 0] * 5)
    several = RandomForestRegressor(5, random_state=0).fit(X, np.c_[y, y * 2])
    for name, model in {"Blüte 1.joblib": table, "spam.pkl": text, "two.pkl": several}.items():
        joblib.dump(model, folder / name)
    (folder / "features.py").write_text(OWN_CLASS)
    make = f"import sys; sys.path.insert(0, '.'); {MAKE_OWN}"
    assert installed.run("python", "-c", make).returncode == 0
    (folder / "bad.pkl").write_text("not a pickle")
    files = ["Blüte 1.joblib", "spam.pkl", "two.pkl", "own.pkl", "bad.pkl"]
    port = str(free_port())
    with installed.running("modelgate", "serve", *files, "--watch", "--port", port, until_it_says="/docs") as (
        serve,
        server,
    ):
        said = installed.said
        assert "bl_te_1@1 is published and current" in said
        assert "own.pkl needs the module 'features'" in said and "--code" in said
        assert "bad.pkl is not a pickle" in said
        (line,) = re.findall(r"^  (curl .*)$", said, re.MULTILINE)
        answer = subprocess.run(shlex.split(line), capture_output=True, text=True, timeout=DEADLINE)
        assert '"status":"succeeded"' in answer.stdout, answer
        mg = Client(f"http://127.0.0.1:{port}")
        assert (mg.model("bl_te_1").predict_proba(X) == table.predict_proba(X)).all()
        assert (mg.model("spam").predict(TEXTS) == text.predict(TEXTS)).all()
        assert (mg.model("two").predict(X) == several.predict(X)).all()
        for address in re.findall(r"^  (http\S+)$", said, re.MULTILINE):
            assert requests.get(address, timeout=60).status_code == 200, address
        code = installed.run("modelgate", "publish", "own.pkl", "--code", "features.py", "--url", mg.url)
        assert code.returncode == 0, code.stderr
        text.fit(TEXTS, [0, 0, 1, 1] * 5)
        (folder / "new.pkl").write_bytes(pickle.dumps(text))
        (folder / "new.pkl").replace(folder / "spam.pkl")
        until(lambda: "spam@2 is published and current" in installed.said, "a changed file is published")
        assert (mg.model("spam").predict(TEXTS) == text.predict(TEXTS)).all()
        assert any("redis" in process.name() or "valkey" in process.name() for process in server)
        serve.send_signal(signal.SIGINT)
        assert serve.wait(DEADLINE) == 0
    until(lambda: gone(server), "the server has ended")
    assert "Traceback" not in installed.said and "SIGTERM" not in installed.said
    assert list(Path(installed.environment["TMPDIR"]).iterdir()) == []
    assert not (installed.folder.parent / "data").exists()


@pytest.mark.slow
def test_the_first_page_of_the_documentation_shows_what_is_printed(installed: Installed) -> None:
    page = (PROJECT / "docs" / "README.md").read_text()
    (code,) = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    (shown,) = re.findall(
        r"^\$ pip install modelgate && modelgate serve loan\.pkl\n(.*?)^```", page, re.DOTALL | re.MULTILINE
    )
    made = installed.run("python", "-c", code)
    assert made.returncode == 0, made.stderr
    port = str(free_port())
    with installed.running("modelgate", "serve", "loan.pkl", "--port", port, until_it_says="/docs"):
        said = installed.said.replace(f":{port}", ":8080")
    assert re.sub(r"after \S+ s", "after … s", said) == re.sub(r"after \S+ s", "after … s", shown)


@pytest.mark.slow
def test_a_server_ends_with_the_session_that_has_started_it_even_if_that_is_killed(installed: Installed) -> None:
    with installed.running("python", "-c", IN_A_SESSION, until_it_says="http") as (session, server):
        assert "[5.] [2.]\n3 http" in installed.said
        session.kill()
        until(lambda: gone(server), "the server has ended")


@pytest.mark.slow
def test_a_server_ends_with_its_process_manager_and_starts_again(installed: Installed, tmp_path: Path) -> None:
    home = tmp_path / "home"
    installed.environment = installed.environment | {"PORT": str(free_port()), "MODELGATE_HOME": str(home)}
    assert installed.run("modelgate", "up", "--detach").returncode == 0
    manager = psutil.Process(int((home / ".modelgate/supervisord.pid").read_text()))
    server = manager.children(True)
    assert any("redis" in process.name() or "valkey" in process.name() for process in server)
    manager.kill()
    again = installed.run("modelgate", "up", "--detach", "--port", str(free_port()))
    assert again.returncode == 0, again.stderr
    until(lambda: gone(server), "the first server has ended")
    assert installed.run("modelgate", "down").returncode == 0


@pytest.mark.slow
def test_other_machines_need_the_key_that_is_printed(installed: Installed) -> None:
    joblib.dump(LogisticRegression().fit([[0.0], [1.0]], [0, 1]), installed.folder / "one.joblib")
    port = str(free_port())
    command = ["modelgate", "serve", "one.joblib", "--host", "0.0.0.0", "--port", port]
    with installed.running(*command, until_it_says="/docs"):
        (export,) = re.findall(r"^  export (.*)$", installed.said, re.MULTILINE)
        variables = dict(part.split("=", 1) for part in export.split())
        url = f"http://127.0.0.1:{port}"
        assert requests.get(f"{url}/v1/models", timeout=60).status_code == 401
        mg = Client(variables["MODELGATE_URL"], variables["MODELGATE_API_KEY"])
        assert mg.model("one").predict([[0.0], [1.0]]).tolist() == [0, 1]
        (line,) = re.findall(r"^  (curl .*)$", installed.said, re.MULTILINE)
        answer = subprocess.run(["sh", "-c", line], env=variables, capture_output=True, text=True, timeout=DEADLINE)
        assert '"status":"succeeded"' in answer.stdout, answer


@pytest.mark.slow
def test_a_server_in_the_background_is_found_by_status_logs_and_down(installed: Installed, tmp_path: Path) -> None:
    environment = installed.environment | {"PORT": str(free_port()), "MODELGATE_HOME": str(tmp_path / "homé")}
    installed.environment = environment
    assert installed.run("modelgate", "status").returncode == 3
    up = installed.run("modelgate", "up", "--detach")
    try:
        assert up.returncode == 0, up.stderr
        assert f"http://127.0.0.1:{environment['PORT']}" in up.stdout
        second = installed.run("modelgate", "up", "--port", str(free_port()))
        assert (second.returncode, second.stderr.count("\n")) == (1, 1)
        assert "another Modelgate uses" in second.stderr
        taken = installed.run("modelgate", "up", str(tmp_path / "other"))
        assert "set another port, such as PORT=" in taken.stderr
        assert installed.run("modelgate", "models").stdout == "There are no models yet.\n"  # the one in MODELGATE_HOME
        status = installed.run("modelgate", "status")
        assert status.returncode == 3 and "holds no model" in status.stdout
        assert "gateway: listening on" in installed.run("modelgate", "logs").stdout
        saved = installed.run("modelgate", "backup", "backup.tar.gz")
        assert re.fullmatch(r"backup.tar.gz: 0 models, jobs and keys, 0.\d MB\n", saved.stdout), saved
        first = psutil.Process(int((tmp_path / "homé/.modelgate/supervisord.pid").read_text()))
        server = [first, *first.children(True)]
    finally:
        down = installed.run("modelgate", "down")
    assert down.stdout == f"the server in {tmp_path}/homé has stopped\n"
    until(lambda: gone(server), "the server has ended")
    assert "no server runs in" in installed.run("modelgate", "down").stdout


def test_the_client_alone_says_where_the_server_comes_from(wheels: list[Path], tmp_path: Path) -> None:
    alone = [wheel for wheel in wheels if wheel.name.startswith("modelgate_client")]
    user = Installed(environment_with(alone, tmp_path / "venv"), tmp_path, {"PATH": os.environ["PATH"]})
    (tmp_path / "any.pkl").touch()
    (site,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    (site / "hidden.pth").write_text("import sys; sys.modules['modelgate_server'] = None\n")  # that of this checkout
    ended = user.run("modelgate", "serve", "any.pkl")
    assert (ended.returncode, ended.stderr) == (
        1,
        "modelgate: this is the client alone; the server comes with: pip install modelgate\n",
    )
