"""Connections to Redis that give up soon enough to answer the caller."""

from __future__ import annotations

from typing import Any

from redis import BlockingConnectionPool, Redis, exceptions
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

MOST_CONNECTIONS = 100
"""Most connections of a process. Further callers wait for one; redis-py's usual pool would raise an error."""


def connect(url: str, socket_timeout: float = 5, *, own: bool = False, resends: int = 2) -> Redis:
    """Return a client for `url` that sends a failed command again, twice within about half a second.

    Modelgate only sends commands that are harmless to repeat, and scripts, which are too. `socket_timeout` in seconds
    must exceed the longest blocking read. A client with its `own` connection can only send one command at a time, and
    sends it at half the cost: taking a connection from the pool and checking it costs as much as a command.
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
