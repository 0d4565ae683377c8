"""The verbs about a server on this machine: `serve`, `up`, `status`, `logs`, `down`."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import time
import webbrowser
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from modelgate import Client, local
from modelgate.command.backup import Folder
from modelgate.command.exits import ExitCode, Failed
from modelgate.command.publishing import likely_name, publish
from modelgate.command.session import Session, segment
from modelgate.command.terminal import count, one_line
from modelgate.command.verbs import flag, option
from modelgate.errors import ModelgateError, Unavailable

Host = Annotated[
    str | None, option("The address to listen on; by default this machine's own, 127.0.0.1.", metavar="ADDRESS")
]
Port = Annotated[int | None, option("The port to listen on.", metavar="N", min=1, max=65535)]

_EXAMPLES = "blobs,iris,loan,sepals"
_LOOK = 0.5
"""Seconds between two looks at a file."""
_PATIENCE = 2
"""Seconds that a server may take to say how it is."""


def serve(
    session: Session,
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="Pickle, joblib, cloudpickle or skops files.")],
    name: Annotated[str | None, option("The name of the model; by default that of the file.", metavar="MODEL")] = None,
    sample: Annotated[
        Path | None, option("Rows to try it with; with the target, it gets a report.", metavar="CSV")
    ] = None,
    code: Annotated[Path | None, option("The script or module that defines the model's classes.", metavar="PY")] = None,
    host: Host = None,
    port: Port = None,
    watch: Annotated[bool, flag("Publish a file again whenever it changes.", "--watch")] = False,
    opens: Annotated[bool, flag("Open the page of the model in a browser.", "--open")] = False,
) -> None:
    """Serve saved models from now until Ctrl-C, which leaves nothing behind.

    It starts a server of its own on a free port, publishes the files as `publish` does, and prints a request that
    works. Other machines can connect if `--host` says so; they need the key that is then printed.

    A pickle is a program that Modelgate runs: serve only what you would run.
    """
    if len(files) > 1 and (name or sample or code):
        raise Failed("--name, --sample and --code are about one file; serve the others by themselves", ExitCode.USAGE)
    for missing in (file for file in files if not file.is_file()):
        raise Failed(f"{missing}: there is no such file", ExitCode.USAGE)
    local.check_server()
    began = time.monotonic()
    print("modelgate: starting a server; the first time takes longer", file=sys.stderr)
    # Ctrl-C is how it ends, and no failure.
    with suppress(KeyboardInterrupt), local.running_server(host or "127.0.0.1", port) as server:
        session.client = Client(server.url, server.api_key or "")

        def publish_file(file: Path) -> str | None:
            """Return the name of the model, or None if it is not served."""
            model = name or likely_name(str(file))
            try:
                publish(session, str(file), model, code=code, sample=sample)
            except typer.Exit:
                pass  # published, but not promoted, which `publish` has said
            except (ModelgateError, OSError) as error:
                reason = one_line(error)  # most begin with the name of the file
                print(f"modelgate: {reason if reason.startswith(file.name) else f'{file}: {reason}'}", file=sys.stderr)
                return None
            return model

        before = list(map(_state, files))
        served = [model for file in files if (model := publish_file(file))]
        if not served and not watch:
            raise typer.Exit(ExitCode.FAILED)
        session.show({"url": server.url, "models": served}, lambda: _invitation(session, server, served, began))
        if opens and served:
            webbrowser.open(f"{server.url}/ui/models/{served[0]}")
        _watch(server, files if watch else [], before, publish_file)


def _watch(
    server: local.LocalServer, files: Sequence[Path], before: list[Any], changed: Callable[[Path], object]
) -> None:
    """Call `changed` with each file that has changed since `before`, once it has stayed the same for a while; raise
    `Unreachable` when the server has ended."""
    published, looked = list(before), list(before)
    while True:
        time.sleep(_LOOK)
        server.check()
        for index, file in enumerate(files):
            state = _state(file)
            if state and state != published[index] and state == looked[index]:
                published[index] = state
                changed(file)
            looked[index] = state


def _state(file: Path) -> tuple[int, int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None  # about to be replaced
    return status.st_mtime_ns, status.st_size, status.st_ino


def _invitation(session: Session, server: local.LocalServer, models: Sequence[str], began: float) -> Iterator[str]:
    """Yield what to do with the models now."""
    yield f"Modelgate is ready at {server.url}, after {time.monotonic() - began:.1f} s. Ctrl-C stops it."
    if server.api_key:
        yield "It needs this key. From other machines, write the name of this one for the address:"
        yield f"\n  export MODELGATE_URL={server.url} MODELGATE_API_KEY={server.api_key}"
    for model in models[:1]:
        yield f"\n  {_first_request(session, server.url, model, needs_key=bool(server.api_key))}\n"
    for model in models:
        yield f"  {server.url}/ui/models/{model}"
    yield f"  {server.url}/docs"


def _first_request(session: Session, url: str, model: str, *, needs_key: bool) -> str:
    """Return a line of curl with the example of a model."""
    version = session.get(f"/v1/models/{segment(model)}")
    method, body = version["signature"]["methods"][0]["name"], json.dumps(version["example"], ensure_ascii=False)
    key = ' -H "Authorization: Bearer $MODELGATE_API_KEY"' if needs_key else ""
    return (
        f"curl -s {url}/v1/models/{model}/{method}{key} -H 'Content-Type: application/json' -H 'Prefer: wait=10'"
        f" -d {shlex.quote(body)}"
    )


def up(
    session: Session,
    folder: Folder = None,
    host: Host = None,
    port: Port = None,
    examples: Annotated[bool, flag("Train four example models at the first start.", "--examples")] = False,
    detach: Annotated[bool, flag("Return once it answers, and let it run.", "--detach", "-d")] = False,
) -> None:
    """Start a server with Redis, gateway, worker and trainer, and keep its models and jobs.

    It keeps everything in FOLDER, else in the folder that MODELGATE_HOME names, else in the current one if a server was
    started there before, else in the folder for data of your programs. The settings of `.env.example` are read from the
    environment, STATE_DIR and MODELS_DIR only without FOLDER. Ctrl-C stops it; queued jobs are still there at the next
    start.
    """
    local.check_server()
    home = local.default_home(folder)
    if home != local.default_home() and (elsewhere := [name for name in _FOLDERS if os.environ.get(name)]):
        raise Failed(
            f"{elsewhere[0]} is set, and FOLDER says where everything is kept: leave one of them out", ExitCode.USAGE
        )
    home.mkdir(parents=True, exist_ok=True)
    settings = {"HOST": host, "PORT": port and str(port), "TRAIN_ON_START": os.environ.get("TRAIN_ON_START") or "none"}
    settings |= {"TRAIN_ON_START": _EXAMPLES} if examples else {}
    chosen = {name: value for name, value in settings.items() if value}
    if detach:
        url = local.detached_server(home, chosen)
        facts = {"url": url, "home": str(home)}
        session.show(facts, lambda: [f"Modelgate runs at {url} and keeps everything in {home}", _hints(home)])
        return
    sys.stdout.flush()
    os.execve(sys.executable, local.command(), local.environment(home, chosen))  # noqa: S606


_FOLDERS = ("STATE_DIR", "MODELS_DIR")


def _hints(home: Path) -> str:
    folder = "" if home == local.default_home() else f" {shlex.quote(str(home))}"
    return f"modelgate status{folder}, modelgate logs{folder} and modelgate down{folder} are about it"


def status(session: Session, folder: Folder = None) -> None:
    """Say whether the server runs, where, and how it is. Exits with 3 if it does not run or cannot serve."""
    home = local.default_home(folder)
    process = local.process_of(home)
    facts: dict[str, Any] = {"home": str(home), "running": process is not None}
    if process is not None:
        session.url = session.url or local.address_of(home)
        facts |= {"process": process, "url": session.client.shown_url, **_health(session)}
    session.show(facts, lambda: _status_lines(facts))
    if facts.get("status") not in ("ok", "degraded"):
        raise typer.Exit(ExitCode.UNREACHABLE)


def _health(session: Session) -> Mapping[str, Any]:
    try:
        health: Mapping[str, Any] = session.client.request("GET", "/health/ready", timeout=_PATIENCE)
    except Unavailable as error:
        health = {"status": "not ready", **error.problem}
    except ModelgateError as error:
        health = {"status": "not ready", "detail": str(error)}
    return {name: health[name] for name in ("status", "detail", "models", "workers") if name in health}


def _status_lines(facts: Mapping[str, Any]) -> Iterator[str]:
    if not facts["running"]:
        yield f"no server runs in {facts['home']}; modelgate up starts one"
        return
    yield f"Modelgate runs at {facts['url']} and keeps everything in {facts['home']} (process {facts['process']})"
    about = [count(facts["models"], "model"), count(facts["workers"], "scorer")] if "workers" in facts else []
    yield ", ".join([str(facts["status"]), *about])
    if facts.get("detail"):
        yield str(facts["detail"])


def logs(
    session: Session,
    folder: Folder = None,
    lines: Annotated[int, option("How many of the last lines.", "--lines", "-n", metavar="N", min=0)] = 100,
    follow: Annotated[bool, flag("Print further lines as they come, until Ctrl-C.", "--follow", "-f")] = False,
) -> None:
    """Print what a server that was started with `--detach` has logged."""
    home = local.default_home(folder)
    file = local.state_of(home) / local.LOG
    if not file.exists():
        raise Failed(f"there is no {file}: a server in the foreground writes to its terminal", ExitCode.USAGE)
    with suppress(KeyboardInterrupt), file.open("rb") as log:
        for line in log.read().splitlines()[-lines or sys.maxsize :]:
            session.print(line.decode(errors="replace"))
        while follow and (local.process_of(home) or file.stat().st_size > log.tell()):
            if file.stat().st_size < log.tell():
                log.seek(0)  # its content has moved to a second file
            shutil.copyfileobj(log, sys.stdout.buffer)
            sys.stdout.flush()
            time.sleep(_LOOK)


def down(session: Session, folder: Folder = None) -> None:
    """Stop the server and wait until it has ended. Queued jobs are still there at the next start."""
    home = local.default_home(folder)
    stopped = local.stop(home)
    line = f"the server in {home} has stopped" if stopped else f"no server runs in {home}"
    session.show({"home": str(home), "stopped": stopped}, lambda: [line])
