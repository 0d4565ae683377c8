"""Whether the client of a request is still connected."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_ESTABLISHED = 1
_TCP_INFO = getattr(socket, "TCP_INFO", None)  # Linux has it


def hung_up(environ: WSGIEnvironment) -> Callable[[], bool]:
    """Return a function that says whether the client has closed its connection by now.

    It asks the kernel for the state of the connection: a read could take bytes of the next request. Where that state is
    unknown, it always says no.
    """
    connection: Any = environ.get("gunicorn.socket")
    if connection is None or _TCP_INFO is None:
        return lambda: False

    def closed() -> bool:
        try:
            return bool(connection.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, 1)[0] != _ESTABLISHED)
        except OSError:
            return True

    return closed
