"""`make up`: checks that this machine can run Modelgate, then becomes its process manager."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from contract.settings import Settings, SettingsError
from launcher import redis_server


class CannotStartError(Exception):
    """What stands in the way of a start, and what to do about it, in one line."""


def main(arguments: Sequence[str] = ()) -> int:
    """With `--check` it only says what stands in the way: make adds a line of its own to what fails, and has to run the
    process manager in its own place, so that a signal to make ends it."""
    try:
        settings = Settings.from_environ()
        settings.check_host()
        check_port(settings.host, settings.port)
        lock_state(settings.state_dir)
        environment = prepare(settings)
    except (SettingsError, CannotStartError, redis_server.RedisUnavailableError) as error:
        print(f"modelgate: {error}", file=sys.stderr)
        return 1
    if "--check" in arguments:
        return 0
    command = [sys.executable, "-m", "supervisor.supervisord", "-c", "supervisord.conf"]
    if os.getuid() == 0:
        command += ["-u", "root"]  # said explicitly, or supervisor warns about it
    # Every process opens a redirected output anew and appends; what is written here must not overwrite that.
    for output in (1, 2):
        fcntl.fcntl(output, fcntl.F_SETFL, fcntl.fcntl(output, fcntl.F_GETFL) | os.O_APPEND)
    print("modelgate: starting; Ctrl-C stops everything", flush=True)
    os.execve(sys.executable, command, environment)


def check_port(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            advice = f"choose another port: PORT={port + 1} make up"
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                advice = "HOST has to be an address of this machine"
            raise CannotStartError(f"cannot listen on {host}:{port} ({error.strerror}); {advice}") from error


def lock_state(folder: Path) -> None:
    """Restrict `folder` to this user, and lock it while this process, or the process manager that it becomes, lives."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)  # an older release let others read it
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise CannotStartError(
            f"another Modelgate runs from here and uses {folder}; stop it, or give this one its own STATE_DIR"
        ) from error
    except OSError as error:
        raise CannotStartError(
            f"cannot write to {folder} ({error.strerror}); set STATE_DIR to a folder of yours"
        ) from error
    os.set_inheritable(lock, True)


def prepare(settings: Settings) -> dict[str, str]:
    """The environment of the process manager and of all that it starts."""
    state = settings.state_dir.resolve()
    (state / "trainer.ready").unlink(missing_ok=True)
    try:
        settings.models_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotStartError(
            f"cannot make the model repository {settings.models_dir} ({error.strerror}); set MODELS_DIR"
        ) from error
    if settings.redis_url:
        redis_server.check(settings.redis_url)
        redis_command, url = "true", os.environ["REDIS_URL"]
    else:
        redis_command, url = redis_server.command(state, settings.redis_fsync, settings.redis_maxmemory)
    return {
        **os.environ,
        "PYTHON": sys.executable,
        "STATE_DIR": str(state),
        "STOP_GRACE": str(settings.stop_grace),
        "REDIS_URL": url,
        "TRAINER_SECRET": os.environ.get("TRAINER_SECRET") or str(state / "trainer.secret"),
        "SPOOL_DIR": os.environ.get("SPOOL_DIR") or str(state / "spool"),
        "REDIS_COMMAND": redis_command,
        "REDIS_AUTOSTART": "false" if settings.redis_url else "true",
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
