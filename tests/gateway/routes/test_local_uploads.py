"""An upload without `ALLOW_UPLOAD`: only from a process of the gateway's own user, on this machine."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
import requests

from gateway.door import local_user
from gateway.door.local_user import is_own_user
from tests.stacks.gateways import Gateway

pytestmark = pytest.mark.waits

UPLOAD = "/v1/models/sum/versions"


def code_of(server: Gateway, **headers: str) -> str:
    """The code of the problem. No trainer runs: an upload that is allowed waits for one in vain."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = requests.post(server.address + UPLOAD, files={"file": b"x"}, headers=names, timeout=60)
    return str(answer.json()["code"])


def test_the_own_user_may_upload_and_a_proxy_may_not(server: Gateway) -> None:
    assert code_of(server) == "no_trainer"
    for header in ("Forwarded", "X_Forwarded_For", "X_Real_IP", "Via", "CF_Connecting_IP"):
        assert code_of(server, **{header: "for=127.0.0.1"}) == "uploads_off"


def test_a_page_of_another_port_of_this_machine_may_not_upload(server: Gateway) -> None:
    """The user's browser is a program of the user, so the kernel vouches for it, whichever page it shows."""
    host = server.address.removeprefix("http://")
    for headers in ({"Origin": "http://127.0.0.1:1"}, {"Sec_Fetch_Site": "same-site"}, {"Origin": f"https://{host}"}):
        assert code_of(server, **headers) == "foreign_origin", headers
    assert code_of(server, Origin=f"http://{host}", Sec_Fetch_Site="same-origin") == "no_trainer"


def test_a_unix_socket_shows_no_user() -> None:
    end, other = socket.socketpair()
    with end, other:
        assert not is_own_user({"gunicorn.socket": end})


class TornTable:
    """What the kernel writes of its connections while others come and go: the first looks miss all, the next one sees
    them twice."""

    def __init__(self, table: Path) -> None:
        self._table = table
        self._looks = 0

    def read_text(self) -> str:
        self._looks += 1
        return "" if self._looks < 3 else self._table.read_text() * 2


def test_a_table_that_the_kernel_changes_meanwhile_refuses_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(local_user._TABLES, socket.AF_INET, TornTable(local_user._TABLES[socket.AF_INET]))
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()),
        server.accept()[0] as end,
    ):
        assert is_own_user({"gunicorn.socket": end})


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_another_user_of_the_machine_may_not_upload(server: Gateway) -> None:
    os.seteuid(65534)  # a socket belongs to the user who opens it
    try:
        assert code_of(server) == "uploads_off"
    finally:
        os.seteuid(0)
