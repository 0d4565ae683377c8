"""The package `standardwebhooks` verifies our webhooks."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import requests
from standardwebhooks import Webhook, WebhookVerificationError

from tests.qa.clients.conftest import IRIS, Modelgate, started

NEW, OLD, OTHER = (f"whsec_{base64.b64encode(byte * 32).decode()}" for byte in (b"n", b"o", b"x"))


@pytest.fixture(scope="module")
def reporting(tmp_path_factory: pytest.TempPathFactory, modelgate: Modelgate) -> Iterator[Modelgate]:
    settings = {"WEBHOOK_SECRET": f"{NEW} {OLD}", "WEBHOOK_ALLOW": "127.0.0.1", "TRAIN_ON_START": "none"}
    with started(tmp_path_factory.mktemp("webhooks"), modelgate.models, **settings) as running:
        yield running


@pytest.fixture
def received() -> Iterator[tuple[str, list[tuple[bytes, dict[str, str]]]]]:
    """Yield the URL of a receiver, and what it gets: bodies with their headers."""
    found: list[tuple[bytes, dict[str, str]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.append((self.rfile.read(int(self.headers["Content-Length"])), dict(self.headers.items())))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hook", found
    server.shutdown()
    thread.join()
    server.server_close()


def test_standardwebhooks_verifies_the_end_of_a_prediction(
    reporting: Modelgate, received: tuple[str, list[tuple[bytes, dict[str, str]]]]
) -> None:
    url, messages = received
    answer = requests.post(
        f"{reporting.address}/v1/models/iris/predict", json=IRIS, headers={"Webhook-Url": url}, timeout=60
    )
    assert answer.status_code == 202, answer.text
    end = time.monotonic() + 300
    while not messages and time.monotonic() < end:
        time.sleep(0.05)
    ((body, headers),) = messages
    for secret in (NEW, OLD):
        event = Webhook(secret).verify(body, headers)
        assert event == json.loads(body)
    assert event["type"] == "prediction.succeeded" and event["data"]["id"] == answer.json()["id"]
    assert event["data"]["output"]["predictions"] == [0]
    with pytest.raises(WebhookVerificationError):
        Webhook(OTHER).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(NEW).verify(body + b" ", headers)
    (delivery,) = requests.get(f"{reporting.address}/v1/jobs/{event['data']['id']}/deliveries", timeout=60).json()[
        "items"
    ]
    assert delivery["id"] == headers["webhook-id"]
