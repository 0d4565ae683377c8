"""The Redis of `make up` is found by its folder."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

from contract.redis_url import own_redis
from launcher.redis_server import command
from tests.support import until


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
