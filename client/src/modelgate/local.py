"""A Modelgate on this machine: started, found and stopped by the client, where the server is installed, too."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import platformdirs
import requests

from modelgate.errors import ModelgateError, TimedOut, Unreachable

STATE = ".modelgate"
"""The folder of the server's state below its home; `models` beside it holds the models."""
ADDRESS, LOG, PID = "address", "modelgate.log", "supervisord.pid"
"""Files in that folder: where the server listens, what it said if it was detached, its first process."""

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_USUAL_PORT = 8080
_START, _STOP = 180.0, 120.0
"""Seconds that a server may take to answer, and to end."""
_PAUSE = 0.05


def default_home(folder: str | Path | None = None) -> Path:
    """Return the folder that a server keeps everything in: `folder`, else `MODELGATE_HOME`, else the current folder
    if a server was started in it, else the folder for data of this user's programs."""
    chosen = folder or os.environ.get("MODELGATE_HOME")
    if chosen:
        return Path(chosen).expanduser().absolute()
    here = Path.cwd()
    return here if (here / STATE).is_dir() else platformdirs.user_data_path("modelgate")


def state_of(home: Path) -> Path:
    """Return the folder of the server's state: `STATE_DIR` for the usual home, if it is set."""
    return _setting("STATE_DIR", home) or home / STATE


def _setting(name: str, home: Path) -> Path | None:
    """Return the folder that a variable names; None without one, or for a home that is named itself."""
    chosen = os.environ.get(name)
    return Path(chosen).expanduser().absolute() if chosen and home == default_home() else None


def check_server() -> None:
    """Raise `ModelgateError` if no server can be started by this Python."""
    if os.name != "posix":
        raise ModelgateError(
            "the server does not run on Windows itself; run it in containers or in WSL, and the client here"
        )
    if find_spec("modelgate_server") is None:
        raise ModelgateError("this is the client alone; the server comes with: pip install modelgate")


def free_port(host: str = "127.0.0.1") -> int:
    """Return the usual port of a Modelgate if nothing listens there, else any free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in (_USUAL_PORT, 0):
        with socket.socket(family) as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            return int(probe.getsockname()[1])
    raise ModelgateError(f"cannot listen on {host}; name an address of this machine")


@dataclass(frozen=True)
class LocalServer:
    """A server that this process has started."""

    url: str
    api_key: str | None
    process: subprocess.Popen[bytes]

    def check(self) -> None:
        """Raise `Unreachable` if it has ended."""
        if self.process.poll() is not None:
            raise Unreachable(f"the server has ended, with the code {self.process.returncode}; see what it said before")

    def stop(self) -> None:
        """Stop it and wait for its end. Harmless to repeat."""
        self.process.terminate()
        try:
            self.process.wait(_STOP)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)


@contextmanager
def running_server(host: str = "127.0.0.1", port: int | None = None) -> Iterator[LocalServer]:
    """Start a server and stop it at the end; it also ends if this process is killed.

    All that it keeps is in a folder that is removed at the end. `port`: by default a free one. It takes pickles from
    programs of this user alone, or from the holder of its key: it has one if other machines can connect, or if this
    system cannot tell the users of a connection. Raises `ModelgateError`, after what the server itself has said on
    standard error.
    """
    check_server()
    port = port or free_port(host)
    api_key = None if host in _LOOPBACK and sys.platform == "linux" else secrets.token_hex(32)
    settings = {
        "HOST": host,
        "PORT": str(port),
        "ADMIN_KEY": api_key or "",
        "ALLOW_UPLOAD": "1" if api_key else "local",
        "GATEWAY_PROCESSES": "1",  # a second one would take the processor that the models need now
        "LOG_LEVEL": "error",
        "REDIS_URL": "",
        "SPOOL_DIR": "",
        "TRAIN_ON_START": "none",
    }
    with ExitStack() as at_the_end:
        folder = Path(at_the_end.enter_context(_removed_folder()))
        _use_environments(folder)
        server = LocalServer(url_of(host, port), api_key, _started(environment(folder, settings)))
        at_the_end.callback(server.stop)
        _wait_until_it_answers(server)
        yield server


@contextmanager
def _removed_folder() -> Iterator[str]:
    folder = tempfile.mkdtemp(prefix="modelgate-")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _use_environments(folder: Path) -> None:
    """Let the server in `folder` serve old releases with the environments that this user has made."""
    made = state_of(default_home()) / "environments"
    if made.is_dir():
        (folder / STATE).mkdir(mode=0o700)
        (folder / STATE / "environments").symlink_to(made)


def _started(variables: Mapping[str, str]) -> subprocess.Popen[bytes]:
    # A session of its own: Ctrl-C is for this process, which stops the server in order.
    return subprocess.Popen(  # noqa: S603
        command("--quiet", "--until-eof"),
        env=variables,
        stdin=subprocess.PIPE,
        stdout=sys.stderr.fileno() if _has_descriptor(sys.stderr) else None,
        start_new_session=True,
    )


def command(*options: str) -> list[str]:
    """Return the command line that starts a server."""
    return program("launcher", *options)


def program(*arguments: str) -> list[str]:
    """Return the command line of a program of the server, whatever lies in the current folder."""
    return [sys.executable, "-P", "-m", "modelgate_server", *arguments]


def environment(home: Path, settings: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a server with everything in `home`; those of this process that `settings` lacks stay.
    `STATE_DIR` and `MODELS_DIR` are about the usual home."""
    models = _setting("MODELS_DIR", home) or home / "models"
    return {**os.environ, "STATE_DIR": str(state_of(home)), "MODELS_DIR": str(models), **settings}


def _has_descriptor(stream: Any) -> bool:
    with suppress(OSError, AttributeError):  # a notebook replaces its streams
        return bool(stream.fileno())
    return False


def url_of(host: str, port: int) -> str:
    """Return the address on this machine of a server that listens on `host`."""
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"


def _wait_until_it_answers(server: LocalServer) -> None:
    deadline = time.monotonic() + _START
    with requests.Session() as session:
        session.trust_env = False  # no proxy knows this address
        while time.monotonic() < deadline:
            server.check()
            with suppress(requests.RequestException):
                if session.get(f"{server.url}/health/live", timeout=1).ok:
                    return
            time.sleep(_PAUSE)
    raise TimedOut(f"the server at {server.url} has not answered within {_START:.0f} s")


# Servers that others have started


def address_of(home: Path) -> str | None:
    """Return the address of the server that was started last in `home`, or None. A file of another user could have a
    key sent anywhere, so only one of our own counts."""
    file = state_of(home) / ADDRESS
    try:
        is_own = not hasattr(os, "getuid") or file.stat().st_uid == os.getuid()
        return file.read_text(encoding="utf-8").strip() or None if is_own else None
    except (OSError, UnicodeDecodeError):
        return None


def process_of(home: Path) -> int | None:
    """Return the process id of the server that runs in `home`, or None."""
    with suppress(OSError, ValueError):
        process = int((state_of(home) / PID).read_text())
        return process if _is_locked(home) else None
    return None


def _is_locked(home: Path) -> bool:
    """Whether a server uses the state in `home`: it holds a lock for as long as it lives."""
    import fcntl  # not on Windows

    with (state_of(home) / "lock").open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def stop(home: Path) -> bool:
    """Stop the server that runs in `home` and wait for its end; return whether there was one. Raises `TimedOut`."""
    process = process_of(home)
    if process is None:
        return False
    os.kill(process, signal.SIGTERM)
    deadline = time.monotonic() + _STOP
    while _is_locked(home):
        if time.monotonic() > deadline:
            raise TimedOut(f"the server in {home} has not ended within {_STOP:.0f} s; its process is {process}")
        time.sleep(_PAUSE)
    return True


def detached_server(home: Path, settings: Mapping[str, str]) -> str:
    """Start a server that outlives this process and writes to its own log; return its address once it answers. Raises
    `ModelgateError`, after what the server itself has said on standard error."""
    check_server()
    variables = environment(home, settings)
    if subprocess.run(command("--check"), env=variables, stdout=subprocess.DEVNULL).returncode:  # noqa: S603
        raise ModelgateError("the server cannot start; see the line above")
    log = state_of(home) / LOG
    process = subprocess.Popen(  # noqa: S603
        command("--quiet", "--log", str(log)), env=variables, stdin=subprocess.DEVNULL, start_new_session=True
    )
    url = url_of(variables.get("HOST") or "127.0.0.1", int(variables.get("PORT") or _USUAL_PORT))
    _wait_until_it_answers(LocalServer(url, None, process))
    return url
