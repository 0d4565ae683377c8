"""What stands in the way of a start is said in a line, with what would do."""

from __future__ import annotations

import socket

import pytest

from launcher.__main__ import CannotStartError, check_port


def test_a_port_that_is_taken_is_answered_with_another() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotStartError, match=rf"choose another port: PORT={port + 1} make up"):
            check_port("127.0.0.1", port)


@pytest.mark.parametrize("host", ["192.0.2.1", "host.invalid"])
def test_an_address_of_another_machine_is_not_blamed_on_the_port(host: str) -> None:
    with pytest.raises(CannotStartError, match=rf"cannot listen on {host}:8080 .*; HOST has to be"):
        check_port(host, 8080)
