"""Connections to Redis that give up soon enough to answer the caller."""

from __future__ import annotations

from typing import Any

from redis import BlockingConnectionPool, Redis, exceptions
from redis.backoff import ExponentialBackoff
from redis.connection import SSLConnection, parse_url
from redis.driver_info import DriverInfo
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool, SentinelManagedConnection

from broker.link.faults import OldDataError
from contract.redis_url import SentinelUrl

MOST_CONNECTIONS = 100
"""Most connections of a process. A further call waits for a free one; redis-py's default pool would raise."""

OF_BEFORE = "mg:recipes"
"""A key that every trainer from before 1.0.0 has written at its start, and no later one."""

SENTINEL_TIMEOUT = 0.5
"""Seconds for connecting to a Sentinel, and for its answer. Then the next one is asked."""


class _PrimaryConnection(SentinelManagedConnection):
    """Asks the Sentinels for the primary whenever it connects; redis-py's own does not when it sends a command again,
    and would connect to the former primary."""

    def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        if self._sock is None:
            self.connect()  # type: ignore[no-untyped-call]
        super().send_packed_command(command, check_health)  # type: ignore[no-untyped-call]


class _PrimaryTlsConnection(_PrimaryConnection, SSLConnection):
    pass


class _PrimaryPool(SentinelConnectionPool, BlockingConnectionPool):
    """A blocking pool of these connections. When the primary has changed, it closes the idle ones."""


_DRIVER = DriverInfo()
"""Made once: it looks for the version of redis-py in the installed packages, which takes milliseconds."""


def connect(url: str, socket_timeout: float = 5, *, own: bool = False, resends: int = 2, check: bool = True) -> Redis:
    """Return a client for `url` that sends a failed command again, twice within about half a second.

    Modelgate's commands are harmless to repeat. `url` may name Sentinels (`contract.redis_url`); then the client always
    uses the primary. `socket_timeout`, in seconds, must exceed the longest blocking read. With `own` the client keeps
    one connection and uses no pool: taking a connection from the pool and checking it costs as much as a command. Only
    for callers that never send two commands at once. Commands raise `OldDataError` if Redis holds data from before
    1.0.0, unless `check` is False: the Redis users of worker and events may not look. Raises ValueError for an invalid
    URL.
    """
    options: dict[str, Any] = {
        "max_connections": MOST_CONNECTIONS,
        "timeout": socket_timeout,
        "socket_timeout": socket_timeout,
        "socket_connect_timeout": 2,
        "driver_info": _DRIVER,
        "retry": Retry(
            ExponentialBackoff(cap=0.4, base=0.1),
            resends,
            supported_errors=(exceptions.ConnectionError, exceptions.TimeoutError),
        ),
    }
    if check:
        options["redis_connect_func"] = _open
    sentinel = SentinelUrl.parse(url)
    pool: Any = _primary_pool(sentinel, options) if sentinel else BlockingConnectionPool.from_url(url, **options)
    client = Redis.from_pool(pool)
    if own:
        client.connection = pool.make_connection()
    return client


def _open(connection: Any) -> None:
    """Open a session, and raise `OldDataError` if Redis holds data from before 1.0.0."""
    connection.on_connect()
    connection.send_command("EXISTS", OF_BEFORE, check_health=False)
    if connection.read_response():
        raise OldDataError(
            "Redis holds data from before release 1.0.0, which does not read them;"
            " empty Redis (redis-cli FLUSHDB), or name another database in REDIS_URL"
        )


def _primary_pool(url: SentinelUrl, options: dict[str, Any]) -> _PrimaryPool:
    of_redis = parse_url(url.redis_url)  # type: ignore[no-untyped-call]
    del of_redis["host"]
    tls = of_redis.pop("connection_class", None) is not None
    of_sentinels = {name: value for name, value in of_redis.items() if name.startswith("ssl_")}
    timeouts = {"socket_timeout": SENTINEL_TIMEOUT, "socket_connect_timeout": SENTINEL_TIMEOUT}
    sentinels = Sentinel(  # type: ignore[no-untyped-call]
        url.sentinels,
        sentinel_kwargs={**of_sentinels, **timeouts, "ssl": tls, "username": url.user, "password": url.password},
    )
    kind = _PrimaryTlsConnection if tls else _PrimaryConnection
    return _PrimaryPool(url.primary, sentinels, connection_class=kind, **of_redis, **options)  # type: ignore[no-untyped-call]
