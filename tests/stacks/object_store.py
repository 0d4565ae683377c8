"""A server that speaks S3: moto's, in a process and an environment of its own."""

from __future__ import annotations

import itertools
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

from tests.stacks.ports import free_port
from tests.support import DEADLINE, PROJECT, until

_NUMBERS = itertools.count()


@dataclass(frozen=True)
class S3:
    """A server with buckets, one for each test. `host`: its address."""

    port: int
    folder: Path
    host: str = "127.0.0.1"

    def bucket(self) -> str:
        """Make a bucket, and return a URL in it."""
        name = f"bucket{next(_NUMBERS)}"
        requests.put(f"http://{self.host}:{self.port}/{name}", timeout=30).raise_for_status()
        return f"s3://{name}/of/models"

    def options(self, port: int = 0) -> Path:
        """Return the file with what it takes to reach the server, by way of `port` if given."""
        file = self.folder / f"{port or self.port}.json"
        options = {
            "aws_endpoint": f"http://{self.host}:{port or self.port}",
            "aws_access_key_id": "test",
            "aws_secret_access_key": "test",
            "aws_region": "us-east-1",
        }
        file.write_text(json.dumps(options))
        return file


@contextmanager
def s3_server(folder: Path, host: str = "127.0.0.1") -> Iterator[S3]:
    """Run the server at an address of this machine until the end of the context."""
    port = free_port()
    server = PROJECT / ".venv-moto" / "bin" / "moto_server"
    with (folder / "moto.log").open("wb") as log:
        process = subprocess.Popen([server, "-H", host, "-p", str(port)], stdout=log, stderr=log)
    try:
        until(lambda: _answers(host, port), f"{server} answers")
        yield S3(port, folder, host)
    finally:
        process.terminate()
        process.wait(DEADLINE)


def _answers(host: str, port: int) -> bool:
    try:
        return requests.get(f"http://{host}:{port}/moto-api/", timeout=30).ok
    except requests.ConnectionError:
        return False
