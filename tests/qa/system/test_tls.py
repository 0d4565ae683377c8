"""TLS by the proxy in front of two gateways, with a certificate of one's own, and what the gateways know of clients."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from broker.access.key_store import KEYS
from contract.work.api_keys import Key, Scope, fingerprint, new_token
from tests.qa.system.stack import IRIS, ROOT, TWO_GATEWAYS, Stack, until, why_no_docker

ADMIN_KEY = "0123456789abcdef" * 4
HOST = "models.example.org"
PAGE = (ROOT / "docs" / "how-to" / "serve-with-tls.md").read_text()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the certificate that the how-to makes."""
    folder = tmp_path_factory.mktemp("tls")
    return make_certificate(folder)


def make_certificate(folder: Path) -> Path:
    """Run the commands of the how-to in `folder`, and return the folder of the certificate."""
    (block,) = (block for block in PAGE.split("```console\n") if "openssl req" in block)
    script = re.sub(r"^[$>] ", "", block.partition("```")[0], flags=re.MULTILINE)
    ran = subprocess.run(["sh", "-ec", script], cwd=folder, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    if os.getuid() == 0:
        for path in (folder / "certificates", folder / "certificates" / "models.pem"):
            os.chown(path, 1000, 1000)
    return folder / "certificates"


@pytest.fixture(scope="module")
def closed(certificates: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack of its own: once it has had a key, a stack stays closed."""
    if reason := why_no_docker():
        pytest.skip(reason)
    models_dir, owner = tmp_path_factory.mktemp("models"), os.getuid() or 1000
    if os.getuid() == 0:
        os.chown(models_dir, owner, owner)
    stack = Stack(models_dir, owner)
    settings = {
        "COMPOSE_FILE": TWO_GATEWAYS,
        "TLS_CERTIFICATES": str(certificates),
        "ADMIN_KEY": ADMIN_KEY,
        "ALLOWED_HOSTS": HOST,
        "TRAIN_ON_START": "iris",
    }
    try:
        with stack.changed(**settings):
            stack.compose("build", timeout=900)
            stack.up()
            yield stack
    finally:
        with stack.changed(**settings):
            stack.down("--volumes", "--rmi", "local")


class Client(requests.Session):
    """Speaks TLS, and trusts the certificate of the how-to alone."""

    def __init__(self, stack: Stack, certificates: Path, token: str | None = ADMIN_KEY) -> None:
        super().__init__()
        self.base = f"https://localhost:{stack.port}"
        self.trust_env = False  # REQUESTS_CA_BUNDLE would replace the certificate
        self.verify = str(certificates.parent / "models.crt")
        if token:
            self.headers["Authorization"] = f"Bearer {token}"

    def request(self, method: Any, url: Any, *arguments: Any, **options: Any) -> requests.Response:
        return super().request(method, self.base + url, *arguments, timeout=60, **options)


@pytest.fixture
def client(closed: Stack, certificates: Path) -> Iterator[Client]:
    with Client(closed, certificates) as client:
        yield client


def made(stack: Stack, **changes: Any) -> str:
    """Put a key into Redis, and return it as its holder has it."""
    (redis,) = stack.containers("redis")
    token = new_token()
    key = {**Key("k1", "ci", "risk", frozenset({Scope.PREDICT})).to_json(), **changes}
    stack.execute(redis["Id"], "redis-cli", "HSET", KEYS, fingerprint(token), json.dumps(key))
    return token


def test_a_key_over_tls_predicts(closed: Stack, client: Client, certificates: Path) -> None:
    predicted = client.post("/v1/models/iris/predict", json=IRIS, headers={"Prefer": "wait=30"})
    assert (predicted.status_code, predicted.json()["status"]) == (200, "succeeded")
    assert predicted.headers["Location"].startswith("/v1/jobs/")
    with Client(closed, certificates, made(closed)) as holder:
        assert holder.post("/v1/models/iris/predict", json=IRIS, headers={"Host": HOST}).status_code == 202
    report = client.get("/v1/models/iris/versions/1/report").text
    assert f"https://localhost:{closed.port}" in report


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"expires_at": "2026-01-02T03:04:05Z"}, 401, "expired_key"),
        ({"scopes": ["train"]}, 403, "missing_scope"),
        ({"models": ["loan"]}, 404, "unknown_model"),
    ],
)
def test_a_key_that_may_not_is_refused(
    closed: Stack, certificates: Path, changes: dict[str, Any], status: int, code: str
) -> None:
    with Client(closed, certificates, made(closed, **changes)) as client:
        refused = client.post("/v1/models/iris/predict", json=IRIS)
    assert (refused.status_code, refused.json()["code"]) == (status, code)


def test_the_request_of_the_how_to_works(closed: Stack, certificates: Path) -> None:
    (command,) = re.findall(r"^\$ (curl .*)$", PAGE, re.MULTILINE)
    ran = subprocess.run(
        ["sh", "-ec", command.replace(":8080", f":{closed.port}")],
        cwd=certificates.parent,
        env={"PATH": os.environ["PATH"], "ADMIN_KEY": ADMIN_KEY},
        capture_output=True,
        text=True,
    )
    assert [item["name"] for item in json.loads(ran.stdout)["items"]] == ["iris"], ran.stderr


def test_no_key_is_refused(closed: Stack, certificates: Path) -> None:
    with Client(closed, certificates, None) as client:
        refused = client.get("/v1/models")
    assert (refused.status_code, refused.json()["code"]) == (401, "missing_key")


def test_another_name_than_the_certificates_is_refused_by_the_client(closed: Stack, certificates: Path) -> None:
    context = ssl.create_default_context(cafile=str(certificates.parent / "models.crt"))
    with (
        socket.create_connection(("127.0.0.1", closed.port), 10) as connection,
        context.wrap_socket(connection, server_hostname=HOST) as tls,
    ):
        assert tls.version() == "TLSv1.3"
    with (
        socket.create_connection(("127.0.0.1", closed.port), 10) as connection,
        pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"),
    ):
        context.wrap_socket(connection, server_hostname="evil.example")


def test_old_protocols_and_clear_text_are_refused(closed: Stack, certificates: Path) -> None:
    context = ssl.create_default_context(cafile=str(certificates.parent / "models.crt"))
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with socket.create_connection(("127.0.0.1", closed.port), 10) as connection, pytest.raises((ssl.SSLError, OSError)):
        context.wrap_socket(connection, server_hostname=HOST)
    with pytest.raises(requests.ConnectionError):
        requests.get(f"http://127.0.0.1:{closed.port}/v1/models", timeout=10)


def test_the_audit_log_names_the_client_and_not_the_proxy(closed: Stack, client: Client) -> None:
    forged = {"X-Forwarded-For": "192.0.2.66", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "gopher"}
    moved = client.put("/v1/models/iris/aliases/canary", json={"version": 1}, headers=forged)
    assert moved.status_code == 200, moved.text
    moves = client.get("/v1/audit", params={"action": "move_alias"}).json()["items"]
    (entry,) = (move for move in moves if move["actor"] != "trainer")  # which has promoted the first versions
    networks = closed.containers("haproxy")[0]["NetworkSettings"]["Networks"]
    (public,) = (network for name, network in networks.items() if name.endswith("_public"))
    # A connection from this machine to a published port has the address of Docker's bridge.
    assert (entry["actor"], entry["client"]) == ("ADMIN_KEY", public["Gateway"])


def test_a_new_certificate_is_used_after_a_reload(closed: Stack, certificates: Path, tmp_path: Path) -> None:
    before = ssl.get_server_certificate(("127.0.0.1", closed.port))
    (command,) = (line for line in PAGE.splitlines() if "kill -USR2" in line)
    (make_certificate(tmp_path) / "models.pem").replace(certificates / "models.pem")
    closed.compose(*shlex.split(command.removeprefix("$ docker compose ")))
    until(lambda: ssl.get_server_certificate(("127.0.0.1", closed.port)) != before)
