"""`python -m bench.first_paint`: the milliseconds until Chromium paints each page, and a hello-world page beside them.

Cold: in a new browser context with an empty cache. Warm: opened again in the same context. Needs Chromium and the
environment of the clients (`make clients` makes it).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from bench import models
from bench.console import say
from bench.measures import spread
from bench.processes import PROJECT, WORK, use_two_cores
from bench.servers import MODELGATE, Running, Server, gunicorn, running

CLIENTS = PROJECT / ".venv-clients" / "bin" / "python"
HELLO = Server(
    "hello_page",
    "a hello-world page",
    lambda deployment: [gunicorn("hello_page:app", deployment, "--workers", "2", "--worker-class", "gevent")],
)
PAGES = (
    *("", "/models/boston", "/models/boston/versions", "/models/boston/versions/1", "/models/boston/traffic"),
    *("/models/boston/api", "/models/boston/compare?a=1&b=1", "/models/boston/versions/1/promote"),
    *("/train", "/jobs", "/jobs/{job}", "/system", "/keys", "/audit", "/nothing"),
)

Times = Mapping[bool, list[float]]
"""Milliseconds by whether the page was opened cold."""


def main() -> int:
    options = _options()
    use_two_cores()
    models.build(WORK / "models", say)
    repository = WORK / "models" / models.SPEED
    with running(MODELGATE, repository, ["boston"]) as run, running(HELLO, repository, []) as hello:
        run.wait_until_ready()
        origin = f"http://127.0.0.1:{run.deployment.port}"
        names = {f"http://127.0.0.1:{hello.deployment.port}/": "hello world"}
        names |= {f"{origin}/ui{page.format(job=_job(run))}": f"/ui{page}" for page in PAGES}
        first_bytes, paints = opened(names, options.rounds)
    for address, name in names.items():
        cold, warm = (spread(paints[address][cold]) for cold in (True, False))
        say(f"{name}: cold {cold} ms, first byte {spread(first_bytes[address][True])}; warm {warm} ms")
    return 0


def opened(addresses: Iterable[str], rounds: int) -> tuple[Mapping[str, Times], Mapping[str, Times]]:
    """Open each page so many times, cold and warm. Return the times to the first byte, and to the first paint."""
    command = [str(CLIENTS), str(PROJECT / "bench" / "chromium.py"), str(rounds), *addresses]
    lines = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()  # noqa: S603
    first_bytes: dict[str, Any] = defaultdict(lambda: defaultdict(list))
    paints: dict[str, Any] = defaultdict(lambda: defaultdict(list))
    for opening in map(json.loads, lines):
        first_bytes[opening["address"]][opening["cold"]].append(opening["first_byte"])
        paints[opening["address"]][opening["cold"]].append(opening["paint"])
    return first_bytes, paints


def _job(run: Running) -> str:
    """Return the id of an ended prediction."""
    example = run.answer("/v1/models/boston")["example"]
    return str(run.answer("/v1/models/boston/predict", example, {"Prefer": "wait=30"})["id"])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.first_paint", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="openings of each page, cold and warm; default: 9")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
