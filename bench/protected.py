"""A Modelgate that asks for keys."""

from __future__ import annotations

import json
import secrets
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from bench.processes import DidNotStart, until
from bench.servers import MODELGATE, Command, Deployment, Running, running


@contextmanager
def protected(repository: Path, model: str, **settings: str) -> Iterator[Running]:
    """Start a Modelgate that asks for keys, and make one, which goes with the requests."""
    admin = secrets.token_hex(32)

    def commands(deployment: Deployment) -> list[Command]:
        environment = {"ADMIN_KEY": admin, **settings}
        return [
            replace(command, environment={**command.environment, **environment})
            for command in MODELGATE.commands(deployment)
        ]

    server = replace(MODELGATE, commands=commands)
    with running(server, repository, [model]) as run:
        wait_until_ready(run)
        headers = {**server.headers, "Authorization": f"Bearer {_make_key(run.deployment, admin)}"}
        yield replace(run, server=replace(server, headers=headers))


def wait_until_ready(run: Running) -> None:
    """Raises `DidNotStart` after 90 seconds."""
    if not until(lambda: _is_ready(run), 90):
        raise DidNotStart(run.trouble or "the gateway is not ready")


def _is_ready(run: Running) -> bool:
    try:
        return bool(answer_of(f"http://127.0.0.1:{run.deployment.port}/health/ready"))
    except OSError:
        return False


def _make_key(deployment: Deployment, admin: str) -> str:
    """Make a key that may predict, and return its secret."""
    body = {"name": "timed", "scopes": ["predict"]}
    answer = answer_of(f"http://127.0.0.1:{deployment.port}/v1/keys", body, {"Authorization": f"Bearer {admin}"})
    return str(answer["secret"])


def answer_of(url: str, body: object = None, headers: Mapping[str, str] = {}) -> Mapping[str, object]:
    """Return the JSON at `url`; a `body` is posted."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **headers})  # noqa: S310
    with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
        answer: Mapping[str, object] = json.load(response)
        return answer
