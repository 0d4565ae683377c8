"""Examines this machine: whether a server could start here, as the server itself checks it, and with how much room."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from modelgate import local
from modelgate.command.doctor.findings import Finding, bad, doubt, good
from modelgate.errors import ModelgateError

_MB = 2**20
_LEAST_MEMORY, _LEAST_DISK = 1_024 * _MB, 1_024 * _MB
"""Bytes that four processes with scikit-learn take, and that Redis' file and a few versions of models may take."""


def examine() -> Iterator[Finding]:
    """Yield what there is to say about a server on this machine; nothing where only the client is installed."""
    try:
        local.check_server()
    except ModelgateError as error:
        if os.name != "posix":
            yield doubt(str(error))
        return
    yield _start()
    yield from _home(local.default_home())
    memory = _available_memory()
    if memory is not None and memory < _LEAST_MEMORY:
        yield doubt(f"only {memory // _MB} MB of memory are free", "a server with a few small models takes about 1 GB")


def _start() -> Finding:
    """Have the server check its settings, its port, Redis and the trainer, with a state folder of its own."""
    with tempfile.TemporaryDirectory(prefix="modelgate-") as folder:
        variables = local.environment(Path(folder), {})
        checked = subprocess.run(local.command("--check"), env=variables, capture_output=True, text=True)  # noqa: S603
    if checked.returncode == 0:
        return good(f"a server can start here, with Python {platform.python_version()} and {os.cpu_count()} processors")
    lines = checked.stderr.strip().splitlines() or [f"its check ended with the code {checked.returncode}"]
    what, _, advice = lines[-1].removeprefix("modelgate: ").partition("; ")
    return bad(f"no server can start here: {what}", advice or "see the settings in .env.example")


def _home(home: Path) -> Iterator[Finding]:
    """Yield what is wrong with the folder that `modelgate up` would use."""
    existing = next(folder for folder in (home, *home.parents) if folder.is_dir())
    if not os.access(existing, os.W_OK):
        yield bad(f"{existing} cannot be written, so nothing can be kept in {home}", "set MODELGATE_HOME")
    free = shutil.disk_usage(existing).free
    if free < _LEAST_DISK:
        yield doubt(f"only {free // _MB} MB are free on the disk of {home}", "free some, or set MODELGATE_HOME")


def _available_memory() -> int | None:
    """Return the bytes of memory that programs may still take, or None where that cannot be seen."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    sizes = dict(line.split(":", 1) for line in lines)
    return int(sizes["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in sizes else None
