"""Why Redis refuses a command or does not answer, in words for callers and operators."""

from __future__ import annotations

import re
from collections.abc import Mapping

from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from contract.errors import Failure


class DiskError(ResponseError):
    """Redis cannot write to its disk, so it refuses every write (`MISCONF`)."""


class SlowDiskError(ResponseError):
    """Redis has not handed a job to its append-only file in time, because a sync of its disk takes too long."""


class TooFewReplicas(ResponseError):
    """Fewer replicas than REDIS_REPLICAS have a job, or Redis has too few replicas to take one (`NOREPLICAS`)."""


class OldDataError(ResponseError):
    """Redis holds what a Modelgate from before 1.0.0 has written."""


UNAVAILABLE = Failure("redis_unavailable", "Redis does not answer; try again")
REFUSED = Failure("redis_unavailable", "Redis refuses the command; the log of the gateway says why; try again")
LOADING = Failure("redis_loading", "Redis has just started and is still reading its data; try again")
FULL = Failure(
    "redis_full",
    "Redis is full and takes no new jobs until workers have scored some or results expire; try again later",
)
READ_ONLY = Failure(
    "redis_read_only", "Redis is a read-only replica and takes no jobs; try again once the gateway finds the primary"
)
DENIED = Failure(
    "redis_denied", "Redis refuses this user or password; check REDIS_URL and REDIS_PASSWORD_FILE of the gateway"
)
TOO_FEW_REPLICAS = Failure(
    "too_few_replicas", "too few replicas of Redis confirmed the job in time; it may still run; try again"
)

DISK_SLOW = Failure(
    "redis_disk_slow", "the disk of Redis is too slow: it has not written the job in time; it may still run; try again"
)

_KINDS: Mapping[str, type[ResponseError]] = {
    "OOM": OutOfMemoryError,
    "READONLY": ReadOnlyError,
    "MISCONF": DiskError,
    "NOREPLICAS": TooFewReplicas,
}
# Redis 6 wraps an error within a script into one of its own.
_KIND = re.compile(r"(?:^|-)(OOM|READONLY|MISCONF|NOREPLICAS) ")
_DISK_REASON = re.compile(r"AOF file: (.{1,80}?)(?: script:|\s*$)")


def specific(error: ResponseError) -> ResponseError:
    """Return the error as redis-py's class for it, or as `DiskError`, however this release of Redis words it."""
    match = _KIND.search(str(error))
    if match is None or isinstance(error, _KINDS[match[1]]):
        return error
    return _KINDS[match[1]](str(error))


def fault_of(error: RedisError) -> Failure:
    """Return what an error of Redis means for a caller."""
    error = specific(error) if isinstance(error, ResponseError) else error
    match error:
        case OutOfMemoryError():
            return FULL
        case ReadOnlyError():
            return READ_ONLY
        case DiskError():
            return _disk_full(str(error))
        case SlowDiskError():
            return DISK_SLOW
        case TooFewReplicas():
            return TOO_FEW_REPLICAS
        case BusyLoadingError():
            return LOADING
        case OldDataError():
            return Failure("redis_unavailable", str(error))
        case AuthenticationError() | NoPermissionError():
            return DENIED
        case ResponseError():
            return REFUSED
    return UNAVAILABLE


def _disk_full(message: str) -> Failure:
    reason = _DISK_REASON.search(message)
    why = f" ({reason[1]})" if reason else ""
    detail = f"Redis cannot write to its disk{why} and takes no jobs until it can; free space there, then try again"
    return Failure("redis_disk_full", detail)
