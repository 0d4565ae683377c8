"""Keys in containers: the commands of the how-to, what keeps the stack closed, and how it is opened again."""

from __future__ import annotations

import re
from typing import Any

import requests

from broker.access.key_store import KEYS
from contract.work.api_keys import TOKEN
from tests.qa.system.stack import IRIS, KEYS_PAGE, Stack, until


def key(stack: Stack, command: str) -> str:
    """What `python -m gateway key` prints in a gateway."""
    return stack.compose("exec", "-T", "gateway", "python", "-m", "gateway", "key", *command.split())


def ask(stack: Stack, secret: str = "", path: str = "/v1/models") -> requests.Response:
    return stack.get(path, headers={"X-API-Key": secret} if secret else {})


def statuses(stack: Stack, secret: str = "") -> set[int]:
    """The statuses of requests over as many connections, so that every process answers some."""
    return {ask(stack, secret).status_code for _ in range(10)}


def reasons(stack: Stack) -> list[str]:
    health: dict[str, Any] = ask(stack, path="/health/ready").json()
    return [reason["code"] for reason in health.get("reasons", ())]


def test_the_commands_of_the_how_to(closed: Stack) -> None:
    (command,) = re.findall(r"^\$ .venv/bin/python -m gateway key (add .*)$", KEYS_PAGE, re.MULTILINE)
    assert "`docker compose exec gateway python -m gateway key`" in KEYS_PAGE
    secret = key(closed, command.replace("loan", "iris")).strip()
    assert TOKEN.fullmatch(secret)
    headers = {"Authorization": f"Bearer {secret}"}
    accepted = requests.post(f"{closed.url}/v1/models/iris/predict", json=IRIS, headers=headers, timeout=60)
    assert accepted.status_code == 202, accepted.text
    assert statuses(closed) == {401} and statuses(closed, secret) == {403}, "it may predict and nothing else"
    new = key(closed, "rotate ci").strip()
    until(lambda: statuses(closed, secret) == {401})
    assert statuses(closed, new) == {403}
    assert key(closed, "list").splitlines()[1].startswith("ci ")
    key(closed, "revoke ci")
    until(lambda: statuses(closed, new) == {401})
    until(lambda: reasons(closed) == ["no_key"])


def test_it_stays_closed_while_any_trace_of_a_key_is_left(closed: Stack) -> None:
    secret = key(closed, "add --name me --scopes admin").strip()
    closed.compose("rm", "--stop", "--force", "gateway", "owner")
    closed.remove_volume("gateway")
    closed.up()
    assert statuses(closed) == {401} and statuses(closed, secret) == {200}, "the keys are in Redis"
    closed.compose("exec", "-T", "redis", "redis-cli", "DEL", KEYS)  # as in a backup from before the first key
    closed.compose("restart")
    closed.up()
    until(lambda: reasons(closed) == ["no_key"])
    assert statuses(closed) == {401} and statuses(closed, secret) == {401}, "the gateway has made a marker"
    closed.compose("stop", "redis")
    assert statuses(closed) == {401}
    closed.compose("start", "redis")
    until(lambda: reasons(closed) == ["no_key"])
