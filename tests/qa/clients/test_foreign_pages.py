"""A page that any other program on this machine serves, in the browser of the user who runs Modelgate."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from playwright.sync_api import Browser

from tests.qa.clients.conftest import Modelgate

UPLOAD = """address => {
    const form = new FormData();
    form.append("file", new Blob(["a pickle"]), "model.pkl");
    fetch(address, {method: "POST", mode: "no-cors", body: form}).catch(() => null);
}"""


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>Another program</title>")

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def foreign_port() -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), _Page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_page_of_another_port_of_this_machine_cannot_upload_a_model(
    browser: Browser, modelgate: Modelgate, foreign_port: int
) -> None:
    upload = f"{modelgate.address}/v1/models/planted/versions"
    context = browser.new_context()
    for address, refused in [
        (f"http://127.0.0.1:{foreign_port}/", True),
        (f"http://localhost:{foreign_port}/", True),
        (f"{modelgate.address}/docs", False),
    ]:
        page = context.new_page()
        page.goto(address)
        with page.expect_response(upload) as response:
            page.evaluate(UPLOAD, upload)
        assert (response.value.status == 403) == refused, (address, response.value.status)
    context.close()
