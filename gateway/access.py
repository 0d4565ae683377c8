"""Who may write: a foreign `Host` or `Origin` is refused, so that no web page can use a local gateway."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from urllib.parse import urlsplit

from flask import Request, request

from contract.settings import is_loopback
from gateway.problems import Problem

Guard = Callable[..., None]
"""Raises `Problem` (403) unless the request, by default Flask's current one, may write."""


def refuse_foreign(allowed_hosts: Collection[str]) -> Guard:
    """Lets only requests write that name this gateway as loopback or an allowed host.

    A page of another site reaches a loopback address through the visitor's browser: with its own `Origin`,
    or, after DNS rebinding, with its own `Host`.
    """
    allowed = {host.lower() for host in allowed_hosts}

    def may_write(host: str) -> bool:
        return is_loopback(host) or host in allowed

    def guard(asked: Request = request) -> None:
        host = _host_of(f"//{asked.environ.get('HTTP_HOST', '')}")
        if not may_write(host):
            raise Problem(403, "foreign_host", f"the Host {host!r} is not one of this gateway; add it to ALLOWED_HOSTS")
        origin = asked.environ.get("HTTP_ORIGIN")
        if origin is not None and not may_write(_host_of(origin)):
            raise Problem(403, "foreign_origin", f"the Origin {origin!r} may not write; add its host to ALLOWED_HOSTS")

    return guard


@functools.lru_cache(maxsize=1024)
def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
