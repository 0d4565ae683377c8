"""`Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header-07): which requests count as the same one."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from gateway.problems import Problem, ProblemCode

_BARE = re.compile(r"[!#-~][!-~]{0,254}", re.ASCII)
_QUOTED = re.compile(r'"((?:[!#-\[\]-~]|\\["\\]){1,255})"', re.ASCII)
_ESCAPED = re.compile(r'\\(["\\])')


def idempotency(header: str, owner: str, parts: Iterable[str | bytes]) -> str:
    """Return the key in `header` and the fingerprint of a request of `owner`, as the scripts take them:
    `<owner>:<SHA-256 of the key> <SHA-256 of the parts>`. The same key quoted or bare is the same.

    `parts`: all of the request that changes what it makes. Raises `Problem` for an invalid key.
    """
    return f"{record(header, owner)} {_digest(parts)}"


def record(header: str, owner: str) -> str:
    """Return where what a request of `owner` has made is noted: `<owner>:<SHA-256 of the key>`. Raises `Problem` for an
    invalid key."""
    return f"{owner}:{hashlib.sha256(_key_in(header).encode()).hexdigest()}"


def _key_in(header: str) -> str:
    text = header.strip(" \t")
    if quoted := _QUOTED.fullmatch(text):
        return _ESCAPED.sub(r"\1", quoted[1])
    if _BARE.fullmatch(text):
        return text
    detail = "Idempotency-Key must be 1 to 255 visible ASCII characters, bare or in double quotes; send a new UUID"
    raise Problem(ProblemCode.INVALID_PARAMETER, f"{detail} for each request, and the same one when you repeat it")


def _digest(parts: Iterable[str | bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode(errors="surrogateescape") if isinstance(part, str) else part
        digest.update(b"%d:" % len(data))  # so that no two lists of parts are the same bytes
        digest.update(data)
    return digest.hexdigest()
