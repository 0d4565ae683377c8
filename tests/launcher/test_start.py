"""A start that is impossible ends with one line that says why and what to do."""

from __future__ import annotations

import configparser
import shlex
import socket
import stat
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from modelgate import Client
from redis import Redis
from supervisor.datatypes import dict_of_key_value_pairs

from contract.settings import Settings
from launcher import welcome
from launcher.__main__ import check_grpc, check_routes, lock_state, main, prepare
from launcher.port import CannotStartError, check_port
from launcher.welcome import remember, url
from tests.support import DEADLINE, PROJECT, answers, until


def test_a_taken_port_is_refused_with_another_suggested() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotStartError, match=rf"set another port, such as PORT={port + 1}$"):
            check_port("127.0.0.1", port)


@pytest.mark.parametrize("host", ["192.0.2.1", "host.invalid"])
def test_an_address_of_another_machine_is_refused_with_advice_about_host(host: str) -> None:
    with pytest.raises(CannotStartError, match=rf"cannot listen on {host}:8080 .*; set HOST to"):
        check_port(host, 8080)


def test_listening_to_other_machines_without_keys_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOST", "0.0.0.0")
    assert main() == 1
    assert capsys.readouterr().err == (
        "modelgate: HOST=0.0.0.0 lets other machines in, and there are no keys to tell them apart;"
        " set ADMIN_KEY or ALLOW_ANONYMOUS=0, or ALLOW_ANONYMOUS=1 if that is meant\n"
    )


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:8080"),
        ("0.0.0.0", "http://127.0.0.1:8080"),
        ("::", "http://[::1]:8080"),
        ("fd00::1", "http://[fd00::1]:8080"),
    ],
)
def test_a_gateway_at_every_address_is_asked_at_loopback(host: str, address: str) -> None:
    assert url(Settings(host=host)) == address


def test_commands_in_the_folder_ask_the_modelgate_that_was_started_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("HOST", "PORT", "MODELGATE_URL", "MODELGATE_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    assert Client().url == "http://127.0.0.1:8080"
    state = tmp_path / ".modelgate"
    state.mkdir()
    remember(Settings(port=18101))
    assert Client().url == "http://127.0.0.1:18101"


@pytest.mark.slow
def test_a_routes_file_with_which_the_gateway_could_not_start_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "routes.toml"
    monkeypatch.setenv("ROUTES_FILE", str(file))
    monkeypatch.setenv("MODELS_DIR", str(tmp_path))
    route = '[[routes]]\nmethod = "POST"\npath = "/{}"\nmodel = "boston"\nanswer = "{{prediction:.2f}}"\n'
    for text, said in (
        (route.format("mass") * 2, ": POST /mass collides with another POST /mass; give one of them another path"),
        ("[[routes]]", ": route 1 has no 'method'; a route needs 'method', 'path', 'model', 'answer'"),
    ):
        file.write_text(text)
        with pytest.raises(CannotStartError) as refused:
            check_routes()
        assert str(refused.value) == f"ROUTES_FILE={file}{said}"
    file.write_text(route.format("mass"))
    check_routes()  # its model is not there yet


def test_a_grpc_server_that_cannot_start_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotStartError, match=rf"set another port, such as GRPC_PORT={port + 1}$"):
            check_grpc(Settings(grpc_port=port))
    monkeypatch.setattr("launcher.__main__.find_spec", lambda _: None)
    with pytest.raises(CannotStartError, match=r"gRPC is not installed; install requirements/grpc\.txt, or"):
        check_grpc(Settings(grpc_port=port))


@pytest.mark.parametrize("existing", [False, True])
def test_only_the_owner_can_read_the_state_folder(tmp_path: Path, existing: bool) -> None:
    folder = tmp_path / "state"
    if existing:
        folder.mkdir(mode=0o755)
    lock_state(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_our_own_redis_refuses_jobs_at_its_limit_and_evicts_none(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path / "state", models_dir=tmp_path / "models", redis_maxmemory="64mb")
    environment = prepare(settings)
    process = subprocess.Popen(shlex.split(environment["REDIS_COMMAND"]), stdout=subprocess.DEVNULL)
    try:
        until(lambda: answers(environment["REDIS_URL"]), "Redis answers")
        with Redis.from_url(environment["REDIS_URL"]) as redis:
            config: Any = redis.config_get("maxmemory*")
    finally:
        process.terminate()
        process.wait(DEADLINE)
    assert (config["maxmemory"], config["maxmemory-policy"]) == (str(64 * 1024 * 1024), "noeviction")


@pytest.mark.parametrize(
    ("secret", "programs"),
    [("ADMIN_KEY", {"gateway", "grpc", "welcome"}), ("WEBHOOK_SECRET", {"gateway", "grpc", "events"})],
)
def test_a_secret_reaches_the_programs_that_need_it_alone(secret: str, programs: set[str]) -> None:
    configuration = configparser.ConfigParser(interpolation=None)
    configuration.read(PROJECT / "launcher" / "supervisord.conf")
    environments = {
        name.removeprefix("program:"): dict_of_key_value_pairs(configuration[name].get("environment", ""))
        for name in configuration.sections()
        if name.startswith("program:")
    }
    assert {name for name in environments if environments[name].get(secret) != ""} == programs


def test_no_program_is_given_up_because_it_ended_too_often() -> None:
    configuration = configparser.ConfigParser(interpolation=None)
    configuration.read([PROJECT / "launcher" / "supervisord.conf", PROJECT / "trainer" / "programs.conf"])
    programs = {name: program for name, program in configuration.items() if program.get("autorestart") == "true"}
    assert len(programs) > 8
    for name, program in programs.items():
        assert program.get("startsecs") == "0" or int(program.get("startretries", "3")) > 10_000, name


def test_the_welcome_takes_another_program_at_its_address_for_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(404)  # with a page of HTML

        def log_message(self, *_: object) -> None:
            pass

    monkeypatch.setattr(welcome, "READY_TIMEOUT", 0.1)
    monkeypatch.setattr(welcome.logs, "configure", lambda *_, **__: None)
    for name in ("STATE_DIR", "HEALTH_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), Other) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("PORT", str(server.server_port))
        assert welcome.main() == 0
        server.shutdown()
    assert "not ready yet: the gateway does not answer" in caplog.text
