"""Environments are made whole or not at all, replaced under running processes, and removed when nobody needs them.

Real virtual environments, by uv and by pip, with packages of a few bytes; those with scikit-learn are made before.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from modelgate.command.application import run

from contract.model.environments import SUPPORT_ENDED, environment_of
from runtime.environments import Environment
from tests.client.certificates import with_own_certificate
from tests.stacks.environments import Maker, environment_for_tests, wheel
from tests.support import DEADLINE, InThreads, until

pytestmark = pytest.mark.waits

PYTHONS = {"uv": sys.executable, "pip": sys._base_executable}
OFFLINE = {"uv": "UV_OFFLINE=1 UV_FIND_LINKS", "pip": "PIP_NO_INDEX=1 PIP_FIND_LINKS"}
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def maker(tmp_path: Path) -> Maker:
    return Maker.in_folder(tmp_path / "a folder")


def said(process: subprocess.Popen[str], text: str) -> None:
    """Read lines of a process until one has the text."""
    assert process.stdout
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return
    pytest.fail(f"{lines}, {process.communicate()}")


@contextmanager
def running(environment: Environment) -> Iterator[subprocess.Popen[str]]:
    """An interpreter of the environment, which has imported sklearn and runs each line that it gets."""
    code = "import sys, sklearn; print(sklearn.__version__, flush=True)\nfor line in sys.stdin: exec(line)"
    command = [str(environment.interpreter), "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        said(process, ".")
        yield process


@pytest.mark.slow
@pytest.mark.parametrize("tool", PYTHONS)
def test_an_environment_holds_what_its_lock_names_and_is_made_once(tool: str, tmp_path: Path) -> None:
    maker = Maker.in_folder(tmp_path, PYTHONS[tool])
    ended = maker.run("make", "sklearn-1.2", "sklearn-1.3")
    assert ended.returncode == 0, ended
    last = r"sklearn-1.3: ready after \d+\.\d s, \d+ packages, \d+ MB: scikit-learn 1.3.2, numpy 1.3.2, pandas 1.3.2"
    assert re.match(last, ended.stdout.splitlines()[-1]), ended.stdout
    environment = maker.made("sklearn-1.2")
    assert environment.libraries["scikit-learn"] == "1.2.2"
    assert environment.python.startswith("3.11.")
    assert environment.sha256 == hashlib.sha256(maker.lock_of("sklearn-1.2").read_bytes()).hexdigest()
    with running(environment):
        pass
    again = maker.run("make", "sklearn-1.2")
    assert again.stdout.startswith("sklearn-1.2: already there, made at 20") and again.stdout.count("\n") == 1
    assert maker.made("sklearn-1.2").folder == environment.folder


def test_a_process_keeps_the_files_of_an_environment_that_is_made_anew(maker: Maker) -> None:
    assert maker.run("make", "sklearn-1.2").returncode == 0
    old = maker.made("sklearn-1.2")
    with running(old) as process:
        maker.lock("sklearn-1.2", "1.2.3")
        assert maker.listed()["sklearn-1.2"]["state"] == "out of date"
        assert maker.run("make", "sklearn-1.2").returncode == 0
        assert maker.made("sklearn-1.2").libraries["scikit-learn"] == "1.2.3"
        assert maker.run("make", "sklearn-1.3").returncode == 0
        print("import sklearn.late; print(sklearn.late.version)", file=process.stdin, flush=True)
        said(process, "1.2.2")
    assert old.folder.exists()
    assert maker.run("make", "sklearn-1.2").returncode == 0
    assert not old.folder.exists()
    assert len(maker.files()) == 4, maker.files()


@pytest.mark.parametrize("tool", PYTHONS)
def test_a_package_with_another_hash_is_not_installed(tool: str, tmp_path: Path) -> None:
    maker = Maker.in_folder(tmp_path, PYTHONS[tool])
    wheel(maker.index, "pandas", "1.2.2", "pandas", "import os; os.abort()")
    ended = maker.run("make", "sklearn-1.2")
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert "pandas" in ended.stderr and "is not the one that this release of Modelgate was made with" in ended.stderr
    assert maker.files() == []


@pytest.mark.parametrize("tool", PYTHONS)
def test_a_package_without_a_hash_is_not_installed(tool: str, tmp_path: Path) -> None:
    maker = Maker.in_folder(tmp_path, PYTHONS[tool])
    lock = maker.lock_of("sklearn-1.2")
    lock.write_text(lock.read_text().replace("numpy==1.2.2 \\\n", "numpy==1.2.2\n# "))
    ended = maker.run("make", "sklearn-1.2")
    assert ended.returncode == 1 and "hash" in ended.stderr and "numpy" in ended.stderr
    assert maker.files() == []


@pytest.mark.slow
@pytest.mark.parametrize("tool", PYTHONS)
def test_without_the_network_the_message_says_what_to_do(tool: str, tmp_path: Path) -> None:
    maker = Maker.in_folder(tmp_path, PYTHONS[tool])
    nowhere = {"UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple", "PIP_INDEX_URL": "http://127.0.0.1:9/simple"}
    offline = {
        "UV_OFFLINE": "0",
        "UV_FIND_LINKS": "",
        "UV_HTTP_RETRIES": "0",
        "PIP_RETRIES": "0",
        "PIP_FIND_LINKS": "",
    }
    ended = maker.run("make", "sklearn-1.2", **nowhere, **offline, PIP_NO_INDEX="0")
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert f"put the wheels into a folder and set {OFFLINE[tool]}=FOLDER" in ended.stderr
    assert maker.files() == []


@pytest.fixture
def intercepted(maker: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """An index whose certificate nobody trusts yet, as behind a company's proxy, and the variables that name it."""
    folder = functools.partial(SimpleHTTPRequestHandler, directory=str(maker.index))
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    with ThreadingHTTPServer(("localhost", 0), folder) as server:
        server.socket = with_own_certificate(tmp_path / "own.pem").wrap_socket(server.socket, server_side=True)
        with InThreads(server.serve_forever):
            index = f"https://localhost:{server.server_port}/"
            links = {"UV_DEFAULT_INDEX": index, "UV_FIND_LINKS": index, "PIP_FIND_LINKS": index}
            yield {"UV_OFFLINE": "0", "UV_HTTP_RETRIES": "0", "PIP_RETRIES": "0", **links}
            server.shutdown()


@pytest.mark.parametrize("trusting", ["SSL_CERT_FILE", "PIP_CERT"])
def test_an_index_behind_a_proxy_is_read_by_uv_or_by_pip_whichever_trusts_it(
    maker: Maker, intercepted: dict[str, str], tmp_path: Path, trusting: str
) -> None:
    ended = maker.run("make", "sklearn-1.2", **intercepted, **{trusting: str(tmp_path / "own.pem")})
    assert ended.returncode == 0, ended.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="only root mounts a folder")
def test_uv_trusts_what_the_system_trusts(maker: Maker, intercepted: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "certs").mkdir()
    (tmp_path / "own.pem").rename(tmp_path / "certs/ca-certificates.crt")
    script = 'mount --bind "$0" /etc/ssl/certs && exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", script, str(tmp_path / "certs"), maker.python]
    ended = subprocess.run(
        [*command, "-m", "launcher.environments", "make", "sklearn-1.2"],
        cwd=maker.house,
        env={**maker.variables, **intercepted, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": ""},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr


def test_where_neither_trusts_a_proxy_the_message_has_the_cause(maker: Maker, intercepted: dict[str, str]) -> None:
    ended = maker.run("make", "sklearn-1.2", **intercepted)
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert (
        "CERTIFICATE_VERIFY_FAILED" in ended.stderr and "in SSL_CERT_FILE for uv, in PIP_CERT for pip" in ended.stderr
    )


def test_a_maker_that_is_killed_leaves_what_the_next_one_removes(maker: Maker, tmp_path: Path) -> None:
    waits = tmp_path / "waits"
    waits.touch()
    killed = maker.start("make", "sklearn-1.2", WAIT_WHILE=str(waits))
    until((tmp_path / "waits.now").exists, "sklearn is imported")
    killed.kill()
    killed.communicate()
    assert maker.listed()["sklearn-1.2"]["state"] == "not made"
    (leftover,) = maker.files()
    # What the killed one has started still runs.
    second = maker.start("make", "sklearn-1.2")
    said(second, "waiting for it")
    assert maker.files() == [leftover]
    waits.unlink()
    assert second.communicate(timeout=DEADLINE)[1] == "" and second.returncode == 0
    assert maker.files() == [maker.made("sklearn-1.2").folder.name, "sklearn-1.2"]
    assert maker.made("sklearn-1.2").folder.name != leftover


def test_of_two_makers_one_waits_and_makes_nothing(maker: Maker, tmp_path: Path) -> None:
    waits = tmp_path / "waits"
    waits.touch()
    first = maker.start("make", "sklearn-1.2", WAIT_WHILE=str(waits))
    until((tmp_path / "waits.now").exists, "sklearn is imported")
    second = maker.start("make", "sklearn-1.2")
    said(second, "another process makes or removes environments here; waiting for it")
    waits.unlink()
    assert "already there" in second.communicate(timeout=DEADLINE)[0]
    first.communicate(timeout=DEADLINE)
    assert (first.returncode, second.returncode) == (0, 0)
    assert len(maker.files()) == 2


@pytest.mark.skipif(os.getuid() != 0, reason="only root mounts a file system")
def test_a_full_disk_leaves_nothing(maker: Maker) -> None:
    maker.lock("sklearn-1.2", "1.2.2", size=20 * 2**20)
    maker.folder.mkdir(parents=True)
    script = 'mount -t tmpfs -o size=24m tmpfs "$0" && "$@"; code=$?; ls "$0"; exit $code'
    command = ["unshare", "--mount", "sh", "-c", script, str(maker.folder), maker.python, "-m", "launcher.environments"]
    ended = subprocess.run(
        [*command, "make", "sklearn-1.2"], cwd=maker.house, env=maker.variables, capture_output=True, text=True
    )
    assert ended.returncode == 1
    assert "No space left on device" in ended.stderr and "free some space" in ended.stderr
    assert ended.stdout.splitlines()[-1].startswith("sklearn-1.2: installing"), ended.stdout  # ls shows nothing


@pytest.mark.slow
@pytest.mark.parametrize("tool", PYTHONS)
def test_requirements_of_the_operator_are_installed_with_what_modelgate_needs(tool: str, tmp_path: Path) -> None:
    maker = Maker.in_folder(tmp_path, PYTHONS[tool])
    (tmp_path / "own").mkdir()
    file = wheel(tmp_path / "own", "boosting", "0.1", "boosting")
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(f"{file}\nscikit-learn<1.3\n")
    ended = maker.run("make", "risk", "--requirements", requirements, "--plain")
    assert ended.returncode == 0, ended
    environment = maker.made("risk")
    assert environment.libraries.items() >= {"boosting": "0.1", "scikit-learn": "1.2.2", "pandas": "1.3.2"}.items()
    assert environment.python.startswith(f"{HERE}.")
    assert (environment.folder / "requirements.txt").read_text() == requirements.read_text()
    assert maker.listed()["risk"]["state"] == "ready"
    assert "already there" in maker.run("make", "risk", "--requirements", requirements).stdout
    maker.needs.write_text("numpy>=1.3\npandas>=1.2\nscikit-learn>=1.2\n")  # a later release of Modelgate
    assert maker.listed()["risk"]["state"] == "out of date"
    requirements.write_text("scikit-learn==1.1.3\n")
    refused = maker.run("make", "risk", "--requirements", requirements)
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "scikit-learn==1.1.3" in refused.stderr and "scikit-learn>=1.2" in refused.stderr
    assert maker.made("risk").folder == environment.folder


def test_what_cannot_be_imported_is_not_an_environment(maker: Maker) -> None:
    maker.needs.write_text(maker.needs.read_text() + "broken\n")
    wheel(maker.index, "broken", "1.0", "broken", "raise ImportError('needs libmissing.so')")
    requirements = maker.house / "requirements.txt"
    requirements.touch()
    ended = maker.run("make", "risk", "--requirements", requirements)
    assert ended.returncode == 1 and "cannot be imported: ImportError: needs libmissing.so" in ended.stderr
    assert maker.files() == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("../risk",), "there is no environment '../risk'"),
        (("sklearn-1.1",), "there is no environment 'sklearn-1.1'; there are sklearn-1.2, "),
        (("../risk", "--requirements", "needs"), "'../risk' is no name"),
        (("Risk", "--requirements", "needs"), "'Risk' is no name"),
        (("sklearn-1.2", "--requirements", "needs"), "'sklearn-1.2' is a name of ours"),
        (("sklearn-mine", "--requirements", "needs"), "'sklearn-mine' is a name of ours"),
        (("today", "--requirements", "needs"), "'today' is a name of ours"),
        (("risk", "--requirements", "needs", "--python", "3.10"), "needs 3.11 or later"),
        (("risk", "--requirements", "needs", "--python", "3.11; rm"), "--python 3.11; rm is not supported"),
        (("risk", "--requirements", "missing.txt"), "missing.txt: No such file"),
        (("risk", "other", "--requirements", "needs"), "--requirements is of one environment"),
    ],
)
def test_a_wrong_name_or_python_is_refused(arguments: tuple[str, ...], message: str, maker: Maker) -> None:
    words = [str(maker.needs) if word == "needs" else word for word in arguments]
    ended = maker.run("make", *words)
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert ended.stderr.startswith("modelgate: ") and message in ended.stderr
    assert maker.files() == []


def test_without_a_python_of_that_version_the_message_says_how_to_get_one(tmp_path: Path) -> None:
    maker = Maker.in_folder(tmp_path, PYTHONS["pip"])
    ended = maker.run("make", "risk", "--requirements", maker.needs, "--python", "3.99")
    assert "there is no Python 3.99 with the module venv here: install python3.99, or uv" in ended.stderr
    maker.python = PYTHONS["uv"]
    ended = maker.run("make", "risk", "--requirements", maker.needs, "--python", "3.99")
    assert "Python 3.99" in ended.stderr and "install python3.99" in ended.stderr
    assert maker.files() == []


def test_a_link_that_leads_elsewhere_is_no_environment(maker: Maker, tmp_path: Path) -> None:
    assert maker.run("make", "sklearn-1.2").returncode == 0
    elsewhere = tmp_path / ".sklearn-1.3.abcdefgh"
    shutil.copytree(maker.made("sklearn-1.2").folder, elsewhere, symlinks=True)
    text = (elsewhere / "environment.json").read_text().replace("sklearn-1.2", "sklearn-1.3")
    (elsewhere / "environment.json").write_text(text)
    (maker.folder / "sklearn-1.3").symlink_to(elsewhere)
    (maker.folder / "sklearn-1.4").symlink_to(maker.made("sklearn-1.2").folder.name)
    (maker.folder / "loop").symlink_to("loop")
    states = {name: entry["state"] for name, entry in maker.listed().items()}
    assert {states["sklearn-1.3"], states["sklearn-1.4"]} == {"not made"} and "loop" not in states
    assert maker.run("make", "sklearn-1.3").returncode == 0
    assert maker.made("sklearn-1.3").libraries["scikit-learn"] == "1.3.2"
    assert maker.run("remove", "sklearn-1.4").returncode == 0
    assert maker.run("remove", "loop").returncode == 0
    assert elsewhere.exists() and maker.find("sklearn-1.2") is not None


def test_an_environment_that_a_model_is_served_with_stays(maker: Maker) -> None:
    assert maker.run("make", "sklearn-1.2").returncode == 0
    for name, alias, environment in (
        ("loan", "current", "sklearn-1.2"),
        ("risk", "canary", "sklearn-1.2"),
        ("iris", "current", ""),
    ):
        version = maker.models / name / "versions/3"
        version.mkdir(parents=True)
        (version / "manifest.json").write_text(json.dumps({"name": name, "environment": environment}))
        (maker.models / name / "aliases.json").write_text(json.dumps({alias: 3, "gone": 2}))
    refused = maker.run("remove", "sklearn-1.2")
    assert refused.returncode == 1 and "loan, risk@canary are served with sklearn-1.2" in refused.stderr
    assert maker.find("sklearn-1.2") is not None
    assert maker.run("remove", "sklearn-1.2", "--force").stdout == "sklearn-1.2: removed\n"
    assert maker.files() == []
    assert "there is no environment 'sklearn-1.2'" in maker.run("remove", "sklearn-1.2").stderr


def test_the_files_of_a_removed_environment_go_when_no_process_runs_in_it(maker: Maker) -> None:
    assert maker.run("make", "sklearn-1.2").returncode == 0
    folder = maker.made("sklearn-1.2").folder
    with running(maker.made("sklearn-1.2")) as process:
        assert "processes still run in it" in maker.run("remove", "sklearn-1.2").stdout
        assert maker.listed()["sklearn-1.2"]["state"] == "not made"
        print("import sklearn.late; print(sklearn.late.version)", file=process.stdin, flush=True)
        said(process, "1.2.2")
    assert maker.run("make", "sklearn-1.3").returncode == 0
    assert not folder.exists()


def test_the_command_lists_them_as_a_table_and_as_json(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    state = tmp_path / ".modelgate"
    state.mkdir()
    (state / "environments").symlink_to(environment_for_tests("sklearn-1.2").folder.parent)
    assert run(["environment", "list", "--home", str(tmp_path)]) == 0
    table = capfd.readouterr()
    row = next(line.split() for line in table.out.splitlines() if line.startswith("sklearn-1.2"))
    assert row[:5] == ["sklearn-1.2", "ready", "1.2.2", "1.26.4", "2.0.3"] and row[-1] == "2023-06-30"
    assert run(["environment", "list", "--json", "--home", str(tmp_path)]) == 0
    entries = json.loads(capfd.readouterr().out)
    assert [entry["name"] for entry in entries] == [*SUPPORT_ENDED, "today"]


def test_the_command_interrupted_removes_what_it_has_begun(maker: Maker) -> None:
    home = maker.house.parent / "home"
    home.mkdir()
    command = [sys.executable, "-m", "modelgate.command", "environment"]
    refused = subprocess.run([*command, "make", "../x", "--home", home], capture_output=True, text=True)
    assert (refused.returncode, refused.stdout) == (1, "") and "there is no environment '../x'" in refused.stderr
    with subprocess.Popen(
        [*command, "make", "risk", "--requirements", maker.needs, "--home", home],
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        said(process, "installing needs.in and what Modelgate needs")
        os.killpg(process.pid, signal.SIGINT)
        assert process.communicate(timeout=DEADLINE)[1].endswith("modelgate: interrupted\n")
    assert process.returncode == 130
    assert os.listdir(home / ".modelgate/environments") == [".lock"]


@pytest.mark.environments
@pytest.mark.parametrize("name", SUPPORT_ENDED)
def test_an_environment_of_a_release_fits_and_predicts(name: str) -> None:
    environment = environment_for_tests(name)
    assert environment_of(environment.libraries["scikit-learn"]) == name
    code = """
import cloudpickle, cryptography, duckdb, joblib, numpy, obstore, orjson, pandas, redis, skops.io
from sklearn.ensemble import RandomForestClassifier
frame = pandas.DataFrame({"x": [1.0, 2.0, 8.0, 9.0] * 5})
print(RandomForestClassifier(n_jobs=2, random_state=0).fit(frame, [0, 0, 1, 1] * 5).predict(frame[:4]))
"""
    ended = subprocess.run([environment.interpreter, "-c", code], capture_output=True, text=True, timeout=DEADLINE)
    assert ended.stdout == "[0 0 1 1]\n", ended.stderr
