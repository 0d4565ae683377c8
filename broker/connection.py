"""Connections to Redis that give up soon enough to answer the caller."""

from __future__ import annotations

from typing import Any

from redis import BlockingConnectionPool, Redis, exceptions
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

MOST_CONNECTIONS = 100
"""Of a process; whoever asks Redis beyond that waits for its turn, where redis-py's usual pool raises an error."""


def connect(url: str, socket_timeout: float = 5, *, own: bool = False, resends: int = 2) -> Redis:
    """A client for `url` that resends a command, twice within about half a second.

    All that Modelgate sends may be sent twice: transitions of a job are scripts that are harmless to
    repeat. `socket_timeout` in seconds must exceed the longest blocking read.
    With `own` the client keeps a connection to itself, for those who never send two commands at once: to take one from
    the pool and to see whether it still lives costs as much as a command.
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
