"""What a prediction has to know of the client that asks for it: who it is, and whether it is still connected."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from gateway.http.exchange import current, travelling_ids
from gateway.protocols.parameters import experiment_key
from gateway.serving.predicting import RequestContext

HUNG_UP = "modelgate.hung_up"
"""The key of an environment for what says whether the client has left, if the server knows that itself."""

_ESTABLISHED = 1
_TCP_INFO = getattr(socket, "TCP_INFO", None)  # Linux has it


def request_context() -> RequestContext:
    """Return the context of a prediction that answers the current request."""
    exchange = current()
    return RequestContext(
        exchange.new_job_id(),
        exchange.caller,
        exchange.travelling_ids(),
        exchange.idempotency,
        exchange.job_accepted,
        hung_up(),
        exchange.alias,
        experiment_key(exchange.environ.get("HTTP_EXPERIMENT_KEY")),
        exchange.request_id if exchange.plain else "",
    )


def further_context() -> RequestContext:
    """Return the context of one more prediction for the current request. Its job has an id of its own and the id of the
    request. An idempotency key belongs to the first job alone."""
    job_id = os.urandom(16).hex()
    return replace(request_context(), job_id=job_id, request_ids=travelling_ids(), idempotency="")


def hung_up() -> Callable[[], bool]:
    """Return a function that says whether the client of the current request has closed its connection by now.

    It asks the kernel for the state of the connection: a read could take bytes of the next request. Where that state is
    unknown, it always says no.
    """
    environ = current().environ
    if HUNG_UP in environ:
        known: Callable[[], bool] = environ[HUNG_UP]
        return known
    connection: Any = environ.get("gunicorn.socket")
    if connection is None or _TCP_INFO is None:
        return lambda: False

    def closed() -> bool:
        try:
            return bool(connection.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, 1)[0] != _ESTABLISHED)
        except OSError:
            return True

    return closed
