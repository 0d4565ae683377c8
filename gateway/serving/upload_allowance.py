"""The upload allowance of a key: bytes a day."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from redis.exceptions import RedisError

from broker.sides.gateway.upload_counts import UploadCounts
from contract.settings import MB
from contract.work.api_keys import Key
from contract.work.quotas import Quota
from gateway.problems import Problem, ProblemCode


@dataclass(frozen=True)
class UploadAllowance:
    """Counts uploads for the key of the current request, which `caller` returns."""

    counts: UploadCounts
    caller: Callable[[], Key]

    @contextmanager
    def taken(self, size: int, received: Callable[[], int]) -> Iterator[None]:
        """Take `size` bytes of the allowance before the block receives them. If the block raises, only the bytes that
        it has `received` stay taken. Raises `Problem` if too few are left."""
        key, upload = self.caller(), uuid.uuid4().hex
        counted = self.counts.count(key, upload, size)
        if counted is not None:
            allowed, quota = counted
            if not allowed:
                raise _refusal(key, size, quota)
        try:
            yield
        except BaseException:
            with suppress(RedisError):  # all of it stays taken then
                self.counts.count(key, upload, received())
            raise


def _refusal(key: Key, size: int, quota: Quota) -> Problem:
    a_day = f"{quota.limit // MB} MB a day (upload_mb_per_day)"
    if size > quota.limit:
        detail = f"the upload has {size / MB:.1f} MB, but the key {key.name!r} may upload at most {a_day}"
        return Problem(ProblemCode.UPLOAD_TOO_LARGE, detail)
    left = f"{quota.remaining / MB:.1f} MB"
    detail = (
        f"the upload has {size / MB:.1f} MB, but the key {key.name!r} has only {left} left of {a_day}; try again after"
        " midnight UTC"
    )
    return Problem(ProblemCode.UPLOAD_LIMIT, detail, retry_after=math.ceil(quota.reset), quota=quota)
