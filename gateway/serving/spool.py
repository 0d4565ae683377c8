"""What the gateway receives into SPOOL_DIR, within the limits of its caller."""

from __future__ import annotations

import errno
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import IO

from gevent import get_hub

from contract.errors import Code, ModelgateError
from contract.settings import MB
from gateway.problems import Problem, ProblemCode
from runtime.spool.names import tag_of
from runtime.spool.store import IncomingFile, IncomingUpload, Spool, UploadTooLarge

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES})

_PIECE = 256 * 1024
"""Bytes of a file that are hashed before other requests run."""


class GatewaySpool(Spool):
    """Receives uploads: each of at most `megabytes_each`, together at most `megabytes`."""

    def __init__(
        self,
        folder: Path,
        megabytes: int,
        megabytes_each: int,
        received: Callable[[int], object] = lambda _: None,
        take: Callable[[int, Callable[[], int]], AbstractContextManager[None]] = lambda *_: nullcontext(),
        owner: Callable[[], str] = str,
    ) -> None:
        """`received` is called with the size of each complete file. `take` takes the bytes of an upload from the
        caller's allowance (`gateway.serving.upload_allowance`). `owner` returns that of the caller, "" without keys."""
        super().__init__(folder, megabytes)
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
            with self.incoming(size, self._largest, tag) as upload, self._take(size, upload.received):
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
            yield (file := upload.open())
            self.job(job_id).create(self.upload(file.keep()), upload.tag)

    def discard_job(self, job_id: str) -> None:
        """Remove the folder of a file prediction, if it has one."""
        self.job(job_id).remove()

    def open(self, name: str) -> IO[bytes]:
        """Open a file that was received."""
        return self.upload(name).open("rb")

    def digest(self, name: str) -> str:
        """Return the SHA-256 of a file that was received; other requests run meanwhile."""
        digest = hashlib.sha256()
        with self.open(name) as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
                time.sleep(0)
        return digest.hexdigest()

    def flush(self, descriptor: int) -> None:
        """Wait until a file is on disk; other requests go on meanwhile."""
        get_hub().threadpool.apply(os.fsync, (descriptor,))
