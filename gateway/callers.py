"""Is whoever asked still there?"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from flask import Request

_ESTABLISHED = 1
_TCP_INFO = getattr(socket, "TCP_INFO", None)  # Linux has it


def hung_up(request: Request) -> Callable[[], bool]:
    """Tells, whenever it is asked, whether the caller of `request` has closed the connection.

    Only the state of the connection is looked at: to read from it could take what belongs to the next request. Where
    that state is not to be had, nobody ever hangs up.
    """
    connection: Any = request.environ.get("gunicorn.socket")
    if connection is None or _TCP_INFO is None:
        return lambda: False

    def closed() -> bool:
        try:
            return bool(connection.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, 1)[0] != _ESTABLISHED)
        except OSError:
            return True

    return closed
