"""The access log: a line for each request, for a part of them at high rates."""

from __future__ import annotations

import logging

from contract.work.api_keys import without_keys
from gateway.http.exchange import Exchange
from runtime.logs import ACCESS, LineQuota

log = logging.getLogger(ACCESS)

ROUTINE = ("/health/", "/metrics")
"""Requests that come every few seconds. They are logged only if they fail, and not if a line says why already."""
_LONGEST_PATH = 200


class AccessLog:
    """Logs requests: at most `rate` a second, and besides these as many that fail with 5xx."""

    def __init__(self, rate: int) -> None:
        self._quota = LineQuota(rate)
        self._failures = LineQuota(rate)
        self._left_out = 0

    def __call__(self, exchange: Exchange) -> None:
        """Log the request that has ended, with the ids that `log_context` adds."""
        environ, status, route = exchange.environ, exchange.status, exchange.route
        path = environ["PATH_INFO"]
        if path.startswith(ROUTINE) and (status < 400 or (status >= 500 and exchange.code)):
            return
        if not (self._quota.take() or (status >= 500 and self._failures.take())):
            self._left_out += 1
            return
        method = environ["REQUEST_METHOD"]
        path = route.rule if route and route.row_in_path else _readable(path)
        log.info(
            "%s %s %d",
            method,
            path,
            status,
            extra={
                "method": method,
                "path": path,
                "status": status,
                "route": route and route.rule,
                "code": exchange.code,
                "bytes": exchange.size,
                "duration_ms": round(exchange.seconds * 1000, 3),
                "client": environ.get("REMOTE_ADDR"),
            },
        )

    def report_left_out(self) -> None:
        """Log how many requests were left out since the last call. Call it once a second."""
        if left_out := self._left_out:
            self._left_out = 0
            log.info("%d requests were not logged (ACCESS_LOG_RATE)", left_out, extra={"left_out": left_out})


def _readable(path: str) -> str:
    """Return a path as WSGI has it, decoded, without keys, and cut last: half of a key is not recognised."""
    return without_keys(path.encode("latin-1").decode(errors="replace"))[:_LONGEST_PATH]
