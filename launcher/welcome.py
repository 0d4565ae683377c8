"""Waits until Modelgate is ready, then prints its address and a first request."""

from __future__ import annotations

import json
import logging
import os
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from contract.settings import Settings
from runtime import logs
from runtime.health import ask

ADDRESS_FILE, MODELS_FILE = "address", "models_dir"
"""The files in STATE_DIR with the address of the Modelgate that was started last, which the client reads there, and
with its MODELS_DIR, if that is not beside the state."""


def remember(settings: Settings) -> None:
    """Write where the gateway and the models are, for commands that know this folder."""
    (settings.state_dir / ADDRESS_FILE).write_text(f"{url(settings)}\n")
    elsewhere, models = settings.state_dir / MODELS_FILE, settings.models_dir.resolve()
    elsewhere.unlink(missing_ok=True)
    if models != settings.state_dir.resolve().parent / "models":  # the two may move together
        elsewhere.write_text(f"{models}\n")


def url(settings: Settings) -> str:
    """Return the address of the gateway on this machine."""
    host = _LOOPBACK.get(settings.host, settings.host)
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
"""Where a gateway that listens at every address is asked: it refuses these two as a `Host`."""


log = logging.getLogger("launcher")

EXAMPLE_MODEL = "iris"
"""The model of the printed request, if it exists."""

READY_TIMEOUT = 600
"""Seconds; enough to train every recipe on a slow machine."""


def main() -> int:
    logs.configure("modelgate", command=True)
    settings = Settings.from_environ()
    address = url(settings)
    scheduler = Path(os.environ["HEALTH_DIR"], "scheduler.health")
    # If one model cannot be loaded, the health is degraded, but the others are served.
    key = settings.admin_key
    ready = _until(lambda: not ask(scheduler) and _serves(_ask(f"{address}/health/ready", key)))
    if not ready:
        reason = _ask(f"{address}/health/ready", key).get("detail", "the gateway does not answer")
        log.warning("not ready yet: %s; see the lines above, and redis.log in %s", reason, settings.state_dir)
        return 0
    answer = _ask(f"{address}/v1/models", key)
    names = [item["name"] for item in answer.get("items", ())]
    if settings.log_format == "json":
        log.info("ready at %s", address, extra={"models": ",".join(names)})
    else:
        without = _WITHOUT_MODEL.format(address=address) if "items" in answer else _without_key(address)
        print(_welcome(address, names, key) if names else without, flush=True)
    return 0


_WITHOUT_MODEL = """
Modelgate is ready at {address} and has no model yet. To publish one:

  modelgate publish loan.pkl
"""


def _without_key(address: str) -> str:
    state = f"STATE_DIR={shlex.quote(os.environ['STATE_DIR'])} "
    return f"""
Modelgate is ready at {address}. Every request needs a key:

  curl -s {address}/v1/models -H 'Authorization: Bearer mg_…'

To make one:

  {state}{shlex.quote(sys.executable)} -m modelgate_server gateway key add --name me --scopes read,predict
"""


def _welcome(address: str, names: list[str], key: str) -> str:
    name = EXAMPLE_MODEL if EXAMPLE_MODEL in names else names[0]
    model = _ask(f"{address}/v1/models/{name}", key)
    method, example = model["signature"]["methods"][0]["name"], json.dumps(model["example"])
    authorization = ' -H "Authorization: Bearer $ADMIN_KEY"' if key else ""
    return f"""
Modelgate is ready at {address} and serves {", ".join(names)}.

  curl -s {address}/v1/models/{name}/{method}{authorization} \\
    -H 'Content-Type: application/json' -H 'Prefer: wait=5' \\
    -d {shlex.quote(example)}
"""


def _serves(health: dict[str, Any]) -> bool:
    is_empty = [reason["code"] for reason in health.get("reasons", ())] == ["no_model"]
    return (health.get("status") in ("ok", "degraded") or is_empty) and health.get("workers", 0) > 0


def _until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + READY_TIMEOUT
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.1)
    return False


def _ask(url: str, key: str) -> dict[str, Any]:
    """Return the JSON object at `url`, also that of an error; {} if nothing answers, or another program."""
    request = Request(url, headers={"Authorization": f"Bearer {key}"} if key else {})
    try:
        answer = json.loads(_body(request))
    except (OSError, ValueError):
        answer = {}
    return answer if isinstance(answer, dict) else {}


def _body(request: Request) -> bytes:
    try:
        with urlopen(request, timeout=5) as response:
            body: bytes = response.read()
    except HTTPError as error:
        body = error.read()
    return body


if __name__ == "__main__":
    sys.exit(main())
