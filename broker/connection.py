"""Connections to Redis that give up soon enough to answer the caller."""

from __future__ import annotations

from typing import Any

from redis import BlockingConnectionPool, Redis, exceptions
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

MOST_CONNECTIONS = 100
"""Most connections of a process. A further call waits for a free one; redis-py's default pool would raise."""


def connect(url: str, socket_timeout: float = 5, *, own: bool = False, resends: int = 2) -> Redis:
    """Return a client for `url` that sends a failed command again, twice within about half a second.

    Modelgate's commands are harmless to repeat. `socket_timeout`, in seconds, must exceed the longest blocking read.
    With `own` the client keeps one connection and uses no pool: taking a connection from the pool and checking it costs
    as much as a command. Only for callers that never send two commands at once.
    """
    pool: Any = BlockingConnectionPool.from_url(
        url,
        max_connections=MOST_CONNECTIONS,
        timeout=socket_timeout,
        socket_timeout=socket_timeout,
        socket_connect_timeout=2,
        retry=Retry(
            ExponentialBackoff(cap=0.4, base=0.1),
            resends,
            supported_errors=(exceptions.ConnectionError, exceptions.TimeoutError),
        ),
    )
    client = Redis.from_pool(pool)
    if own:
        client.connection = pool.make_connection()
    return client
