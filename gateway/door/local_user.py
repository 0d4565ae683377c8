"""Whether a request comes from a program of the user who runs the gateway, on this machine."""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from pathlib import Path
from typing import Any
from wsgiref.types import WSGIEnvironment

from contract.setting_checks import is_loopback

_TABLES = {socket.AF_INET: Path("/proc/net/tcp"), socket.AF_INET6: Path("/proc/net/tcp6")}
_ESTABLISHED = "01"
_LOOKS = 5
"""Most looks into a table. The kernel writes it in pieces, so while other connections come and go, a line may be
missing, or be there twice."""

_PROXY_HEADERS = ("HTTP_FORWARDED", "HTTP_X_FORWARDED_", "HTTP_X_REAL_IP", "HTTP_VIA", "HTTP_CF_")


def is_own_user(environ: WSGIEnvironment) -> bool:
    """Return whether a process of the gateway's own user holds the other end of a loopback connection.

    Only Linux tells the user of a socket; elsewhere the answer is False. It is also False for a request that a proxy
    has passed on, because the user of a proxy is not that of its clients.
    """
    connection: Any = environ.get("gunicorn.socket")
    if connection is None or any(name.startswith(_PROXY_HEADERS) for name in environ):
        return False
    table = _TABLES.get(connection.family)
    if table is None:
        return False
    try:
        client, server = connection.getpeername(), connection.getsockname()
        if not is_loopback(client[0]):
            return False
        wanted = f"{_as_the_kernel_writes(client)} {_as_the_kernel_writes(server)} {_ESTABLISHED}"
        looks = (_users_of(wanted, table) for _ in range(_LOOKS))
        return next(filter(None, looks), None) == {str(os.getuid())}
    except OSError:
        return False


def _users_of(connection: str, table: Path) -> set[str]:
    """Return the users of this connection; none if the table lacks it. Raises OSError."""
    return {line.split()[7] for line in table.read_text().splitlines() if connection in line}


def _as_the_kernel_writes(address: tuple[Any, ...]) -> str:
    """Return address and port as in /proc/net/tcp: words of 32 bits in the order of this machine's bytes."""
    packed = ipaddress.ip_address(address[0]).packed
    words = [int.from_bytes(packed[start : start + 4], sys.byteorder) for start in range(0, len(packed), 4)]
    return f"{''.join(f'{word:08X}' for word in words)}:{address[1]:04X}"
