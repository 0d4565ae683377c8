"""Files of rows through HTTP, and the memory that they take."""

from __future__ import annotations

import http.client
import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from bench.processes import DidNotStart
from bench.protected import answer_of
from bench.servers import Running

TYPES = {".csv": "text/csv", ".parquet": "application/vnd.apache.parquet"}
PIECE = 1 << 20
MB = 2**20


def address(run: Running) -> str:
    return f"http://127.0.0.1:{run.deployment.port}"


def submit(run: Running, model: str, source: Path) -> str:
    """Send a file and return the id of its job."""
    connection = http.client.HTTPConnection("127.0.0.1", run.deployment.port, timeout=600)
    with source.open("rb") as file:
        headers = {"Content-Type": TYPES[source.suffix], "Content-Length": str(source.stat().st_size)}
        connection.request("POST", f"/v1/models/{model}/predict-file", file, headers)
        answer: dict[str, Any] = json.load(connection.getresponse())
    return str(answer["id"])


def wait_for(run: Running, job: str) -> None:
    """Raises `DidNotStart` unless the job succeeds."""
    while (state := answer_of(f"{address(run)}/v1/jobs/{job}?wait=20"))["status"] in ("queued", "running"):
        pass
    if state["status"] != "succeeded":
        raise DidNotStart(f"the file has not succeeded: {state}")


def download(run: Running, job: str, target: Path) -> int:
    """Write the output to a file and return its size."""
    connection = http.client.HTTPConnection("127.0.0.1", run.deployment.port, timeout=600)
    connection.request("GET", f"/v1/jobs/{job}/output")
    answer = connection.getresponse()
    with target.open("wb") as file:
        while piece := answer.read(PIECE):
            file.write(piece)
    return target.stat().st_size


@contextmanager
def peaks() -> Iterator[dict[str, int]]:
    """Sample the memory of each process of the server that it shares with no other, within the block."""
    peaks_by_name: dict[str, int] = defaultdict(int)
    stop = threading.Event()

    def sample() -> None:
        while not stop.wait(0.1):
            for process in psutil.Process().children(recursive=True):
                try:
                    name, memory = _name(process), process.memory_full_info().uss
                except psutil.Error:
                    continue
                peaks_by_name[name] = max(peaks_by_name[name], memory)

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield peaks_by_name
    finally:
        stop.set()
        thread.join()


def _name(process: psutil.Process) -> str:
    command = " ".join(process.cmdline())
    known = ("worker.template", "worker", "gunicorn", "redis-server", "trainer", "launcher")
    return f"{next((name for name in known if name in command), command[:20])} {process.pid}"


def delete(run: Running, job: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", run.deployment.port, timeout=60)
    connection.request("DELETE", f"/v1/jobs/{job}")
    connection.getresponse().read()
