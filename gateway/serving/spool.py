"""What the gateway receives into SPOOL_DIR, within the limits of its caller."""

from __future__ import annotations

import errno
import math
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any

from gevent import get_hub
from redis.exceptions import RedisError

from broker.sides.gateway.upload_counts import UploadCounts
from contract.errors import Code, ModelgateError
from contract.settings import MB
from contract.work.api_keys import Key, Quota
from gateway.problems import Problem, ProblemCode
from storage.spool.names import tag_of
from storage.spool.store import IncomingFile, IncomingUpload, Spool, UploadTooLarge

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES})


@dataclass(frozen=True)
class UploadAllowance:
    """The upload allowance of a key: bytes a day. Counts uploads for the key of the current request, which `caller`
    returns."""

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


class GatewaySpool:
    """Receives uploads into `files`: each of at most `megabytes_each`."""

    def __init__(
        self,
        files: Spool,
        megabytes_each: int,
        received: Callable[[int], object] = lambda _: None,
        take: Callable[[int, Callable[[], int]], AbstractContextManager[None]] = lambda *_: nullcontext(),
        owner: Callable[[], str] = str,
    ) -> None:
        """`received` is called with the size of each complete file. `take` takes the bytes of an upload from the
        caller's allowance (`UploadAllowance.taken`). `owner` returns that of the caller, "" without keys."""
        self.files = files
        self._owner = owner
        self._largest = megabytes_each * MB
        self._received = received
        self._take = take

    @contextmanager
    def receiving(self, size: int) -> Iterator[IncomingUpload]:
        """Receive the files of an upload of `size` bytes. No file stays if the block raises.

        Raises `Problem`: `upload_too_large`, `upload_limit`, or `spool_full`, also during the upload. Raises
        `RedisError` if the caller has an allowance that cannot be read.
        """
        try:
            tag = tag_of(self._owner())
            with self.files.incoming(size, self._largest, tag) as upload, self._take(size, upload.received):
                yield upload
        except UploadTooLarge as error:
            most = f"{self._largest // MB} MB (an eighth of SPOOL_MB)"
            detail = f"the upload has {error.size / MB:.1f} MB, but may have at most {most}"
            raise Problem(ProblemCode.UPLOAD_TOO_LARGE, detail) from error
        except ModelgateError as error:
            if error.failure.code != Code.SPOOL_FULL:
                raise
            raise Problem(ProblemCode.SPOOL_FULL, error.what, retry_after=60) from error
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            detail = f"SPOOL_DIR cannot be written ({error.strerror}); try again later, or make room on its disk"
            raise Problem(ProblemCode.SPOOL_FULL, detail, retry_after=60) from error
        for file in upload.files:
            self._received(file.size)

    @contextmanager
    def receiving_for_job(self, job_id: str, size: int | None) -> Iterator[IncomingFile]:
        """Receive the file of a file prediction, as `receiving` does. `size` is None if the client has not said it.
        After the block the file is in the folder of the job."""
        with self.receiving(size or 0) as upload:
            yield (file := upload.open(job_id))
            file.keep()

    def discard_job(self, job_id: str) -> None:
        """Remove the folder of a file prediction, if it has one."""
        self.files.job(job_id).remove()


def aside(call: Callable[[], Any]) -> Any:
    """Call what waits for a disk or a network in a thread; other requests go on meanwhile."""
    return get_hub().threadpool.apply(call)


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
