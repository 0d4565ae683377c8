"""`make up` and `modelgate up` check that Modelgate can start here; then this process becomes its process manager."""

from __future__ import annotations

import argparse
import fcntl
import logging
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from contract.errors import SettingsError
from contract.settings import Settings
from launcher import redis_server
from launcher.locked import holder
from launcher.port import CannotStartError, check_port
from launcher.welcome import remember
from runtime import logs

log = logging.getLogger("launcher")

LONGEST_STATE_DIR = 80
"""Bytes of the path of a folder for sockets: with their names, macOS takes 103."""


REDIS_ENDS_WITHIN = 10.0
"""Seconds that a Redis has to end when its process manager was killed."""


def main(arguments: Sequence[str] = ()) -> int:
    """Check, and without `--check` become the process manager. Returns 1 if Modelgate cannot start.

    `make up` checks first, since make adds a line of its own to a command that fails; the process manager then
    replaces make's shell, so that a signal to make ends it.
    """
    parser = argparse.ArgumentParser(prog="python -m modelgate_server launcher", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only check")
    parser.add_argument("--quiet", action="store_true", help="do not print a first request once all is ready")
    parser.add_argument("--log", type=Path, metavar="FILE", help="append to this file instead of the terminal")
    parser.add_argument("--until-eof", action="store_true", help="stop at the end of standard input: with its parent")
    options = parser.parse_args(arguments)
    if options.log:
        _write_to(options.log)
    logs.configure("modelgate", command=True)
    try:
        settings = Settings.from_environ()
        replace(settings, publish_address="").check_host()  # that one is for containers
        check_port(settings.host, settings.port)
        if settings.grpc_port:
            check_grpc(settings)
        lock_state(settings.state_dir)
        environment = prepare(settings)
        if settings.routes_file:
            check_routes()
        check_trainer(environment)
    except (SettingsError, CannotStartError, redis_server.RedisUnavailableError) as error:
        log.error("%s", error)
        return 1
    if options.check:
        return 0
    remember(settings)
    environment |= {"WELCOME": "false" if options.quiet else "true", "UNTIL_EOF": "1" if options.until_eof else ""}
    environment |= {"LOG_FILE": str(options.log.resolve()) if options.log else ""}
    configuration = Path(__file__).with_name("supervisord.conf")
    command = [sys.executable, "-m", "runtime.process_manager", "modelgate", "-c", str(configuration)]
    if os.getuid() == 0:
        command += ["-u", "root"]  # or supervisor warns that it runs as root
    # Each process reopens a redirected output and appends to it; without O_APPEND our own line would overwrite theirs.
    for output in (1, 2):
        fcntl.fcntl(output, fcntl.F_SETFL, fcntl.fcntl(output, fcntl.F_GETFL) | os.O_APPEND)
    if folder := environment["REMOVED_AT_END"]:
        Path(folder).mkdir(mode=0o700)
    log.info("starting; Ctrl-C stops everything")
    os.execve(sys.executable, command, environment)


def _write_to(file: Path) -> None:
    log_file = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for output in (1, 2):
        os.dup2(log_file, output)
    os.close(log_file)


def lock_state(folder: Path) -> int:
    """Restrict `folder` to this user, and lock it for as long as this process or its process manager lives, or until
    the returned descriptor is closed. Raises `CannotStartError`, also if a Redis has outlived its process manager."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)  # the folder may have existed, readable for others
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise CannotStartError(
            f"another Modelgate uses {folder}; stop it, or set STATE_DIR to another folder"
        ) from error
    except OSError as error:
        raise CannotStartError(
            f"cannot write to {folder} ({error.strerror}); set STATE_DIR to a folder that you may write to"
        ) from error
    end = time.monotonic() + REDIS_ENDS_WITHIN
    while process := holder(redis_server.lock_of(folder)):
        if time.monotonic() > end:
            os.close(lock)
            raise CannotStartError(
                f"the Redis of a start before still uses {folder}, though its process manager was killed: end it (kill"
                f" {process}), and try again"
            )
        time.sleep(0.1)
    os.set_inheritable(lock, True)
    return lock


def prepare(settings: Settings) -> dict[str, str]:
    """Make the folders and check Redis; return the environment of the process manager."""
    state = sockets = settings.state_dir.resolve()
    if len(os.fsencode(state)) > LONGEST_STATE_DIR:
        sockets = Path("/tmp", f"modelgate-{secrets.token_hex(4)}")  # noqa: S108  # TMPDIR may be as long
    try:
        settings.models_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotStartError(
            f"cannot create the model repository {settings.models_dir} ({error.strerror}); set MODELS_DIR"
            " to a folder that you may write to"
        ) from error
    if settings.redis_url:
        redis_server.check(settings.redis_url)
        redis_command, url = "true", os.environ["REDIS_URL"]
    else:
        redis_command, url = redis_server.command(state, sockets, settings.redis_fsync, settings.redis_maxmemory)
    return {
        **os.environ,
        "PYTHON": sys.executable,
        "STATE_DIR": str(state),
        "HEALTH_DIR": str(sockets),
        "REMOVED_AT_END": "" if sockets == state else str(sockets),
        "STOP_GRACE": str(settings.stop_grace),
        "REDIS_URL": url,
        "SPOOL_DIR": os.environ.get("SPOOL_DIR") or str(state / "spool"),
        "PREDICTION_LOG_DIR": os.environ.get("PREDICTION_LOG_DIR") or str(state / "log"),
        "REDIS_COMMAND": redis_command,
        "REDIS_AUTOSTART": "false" if settings.redis_url else "true",
        "GRPC": "true" if settings.grpc_port else "false",
        "EVENTS": "true" if settings.webhook_secret else "false",
        "MIRROR": "true" if settings.models_url else "false",
        # Gateway, trainer and caller are one user's: what they publish, they could run themselves.
        "ALLOW_UPLOAD": os.environ.get("ALLOW_UPLOAD") or "local",
    }


def check_grpc(settings: Settings) -> None:
    """Raise `CannotStartError` if the gRPC server cannot start."""
    check_port(settings.host, settings.grpc_port, "GRPC_PORT")
    if find_spec("grpc_health") is None:
        raise CannotStartError(
            "GRPC_PORT is set, but gRPC is not installed; install requirements/grpc.txt, or modelgate-server[grpc], or"
            " unset it"
        )


def check_routes() -> None:
    """Raise `CannotStartError` if the gateway cannot start with ROUTES_FILE."""
    command = [sys.executable, "-m", "gateway", "routes", "--check"]
    ended = subprocess.run(command, capture_output=True, text=True)
    if ended.returncode:
        raise CannotStartError(ended.stderr.strip().removeprefix("modelgate: "))


def check_trainer(environment: Mapping[str, str]) -> None:
    """Raise `CannotStartError` if the trainer cannot start with this environment."""
    ended = subprocess.run(
        [sys.executable, "-m", "trainer", "--check"], env=environment, capture_output=True, text=True
    )
    if ended.returncode:
        raise CannotStartError(ended.stdout.strip().removeprefix("trainer: ") or ended.stderr.strip())
    sys.stdout.write(ended.stdout)  # warnings


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
