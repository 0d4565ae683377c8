"""A start that is impossible ends with one line that says why and what to do."""

from __future__ import annotations

import shlex
import socket
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from contract.settings import Settings
from launcher.__main__ import CannotStartError, check_port, lock_state, main, prepare
from tests.support import answers, until


def test_a_taken_port_is_refused_with_another_suggested() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotStartError, match=rf"choose another port: PORT={port + 1} make up"):
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
        " set ALLOW_ANONYMOUS=1 if that is meant\n"
    )


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
            found: Any = redis.config_get("maxmemory*")
    finally:
        process.terminate()
        process.wait(30)
    assert (found["maxmemory"], found["maxmemory-policy"]) == (str(64 * 1024 * 1024), "noeviction")


def test_gateway_and_trainer_share_one_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(state_dir=tmp_path / "state", models_dir=tmp_path / "models")
    monkeypatch.delenv("TRAINER_SECRET", raising=False)
    assert prepare(settings)["TRAINER_SECRET"] == str(tmp_path / "state" / "trainer.secret")
    monkeypatch.setenv("TRAINER_SECRET", "/etc/modelgate/secret")
    assert prepare(settings)["TRAINER_SECRET"] == "/etc/modelgate/secret"
