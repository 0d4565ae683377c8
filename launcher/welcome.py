"""Waits until Modelgate is ready, then prints its address and a first request."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Callable
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from contract.settings import Settings

EXAMPLE_MODEL = "iris"
"""The model of the printed request, if it exists."""

READY_TIMEOUT = 600
"""Seconds; enough to train every recipe on a slow machine."""


def main() -> int:
    settings = Settings.from_environ()
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"http://{host}:{settings.port}"
    trained = settings.state_dir / "trainer.ready"
    ready = _until(lambda: trained.exists() and _ask(f"{address}/health/ready").get("status") == "ok")
    if not ready:
        reason = _ask(f"{address}/health/ready").get("detail", "the gateway does not answer")
        print(f"modelgate: not ready yet: {reason}; the logs are in {settings.state_dir}", file=sys.stderr)
        return 0
    names = [item["name"] for item in _ask(f"{address}/v1/models")["items"]]
    print(_welcome(address, names), flush=True)
    return 0


def _welcome(address: str, names: list[str]) -> str:
    name = EXAMPLE_MODEL if EXAMPLE_MODEL in names else names[0]
    example = json.dumps(_ask(f"{address}/v1/models/{name}")["example"])
    return f"""
Modelgate is ready at {address} and serves {", ".join(names)}.

  curl -s {address}/v1/models/{name}/predict \\
    -H 'Content-Type: application/json' -H 'Prefer: wait=5' \\
    -d {shlex.quote(example)}
"""


def _until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + READY_TIMEOUT
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.1)
    return False


def _ask(url: str) -> dict[str, Any]:
    """Return the JSON object at `url`, also that of an error; {} if nothing answers."""
    try:
        with urlopen(url, timeout=5) as response:
            answer: dict[str, Any] = json.load(response)
    except HTTPError as error:
        answer = json.load(error)
    except (URLError, OSError, ValueError):
        answer = {}
    return answer


if __name__ == "__main__":
    sys.exit(main())
