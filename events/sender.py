"""Sends one message to one URL: to an address that is allowed, without redirects, within a few seconds."""

from __future__ import annotations

import http.client
import ipaddress
import logging
import random
import socket
import ssl
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from broker.sides.deliveries import Delivery
from contract.work.jobs import timestamp_now
from contract.work.webhooks import Address, AllowedTargets, Target, signed_headers, target

log = logging.getLogger("events")

CONNECT_TIMEOUT = 5.0
TIMEOUT = 15.0
"""Seconds of one try, with the time to connect. An answer that comes byte by byte does not extend it."""

PAUSES = (5, 30, 120, 600, 3600, 3 * 3600, 6 * 3600, 12 * 3600)
"""Seconds after each failed try; each may be a fifth shorter or longer. After the last one, no more is tried."""

LONGEST_PAUSE = 3600.0
"""Most seconds for which a receiver can put off the next try with Retry-After."""

GONE = 410
"""The status with which a receiver asks for no further tries (Standard Webhooks)."""


@dataclass(frozen=True)
class Try:
    """How a try ended: with the `status` of the answer, or with `error`. `retry_after`: seconds that it asks for."""

    at: str
    ms: float
    status: int | None = None
    error: str | None = None
    retry_after: float | None = None

    @property
    def delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    def to_json(self) -> Mapping[str, object]:
        return {"at": self.at, "status": self.status, "error": self.error, "ms": round(self.ms, 1)}


class Sender:
    """Sends messages, each signed with every secret. Several threads may use it."""

    def __init__(self, secrets: Sequence[bytes], allowed: AllowedTargets) -> None:
        self._secrets = secrets
        self._allowed = allowed
        self._tls = ssl.create_default_context()

    def send(self, delivery: Delivery) -> Try:
        """Try once. Never raises."""
        began, at = time.perf_counter(), timestamp_now()
        status, error, retry_after = None, None, None
        try:
            wanted = target(delivery.url)
            with _Deadline(TIMEOUT) as deadline:
                sock = self._connect(wanted, deadline)
                status, retry_after = self._post(sock, wanted, delivery)
            if status and 300 <= status < 400:
                error = "redirects are not followed"
        except (OSError, ValueError, http.client.HTTPException) as problem:
            error = _reason(problem) if time.perf_counter() - began < TIMEOUT else f"no answer within {TIMEOUT:g} s"
        except Exception:
            log.exception("a webhook cannot be sent", extra={"delivery": delivery.id})
            error = "Modelgate failed to send it; its log says why"
        return Try(at, (time.perf_counter() - began) * 1000, status, error, retry_after)

    def _connect(self, wanted: Target, deadline: _Deadline) -> socket.socket:
        """Connect to an allowed address of the host. The address that is checked is the one that is used."""
        refused: list[Address] = []
        failure: OSError | None = None
        for family, kind, _, _, sockaddr in socket.getaddrinfo(wanted.host, wanted.port, type=socket.SOCK_STREAM):
            address = ipaddress.ip_address(str(sockaddr[0]).partition("%")[0])
            if not self._allowed.allow(wanted.host, address):
                refused.append(address)
                continue
            sock = deadline.watch(socket.socket(family, kind))
            try:
                sock.settimeout(CONNECT_TIMEOUT)
                sock.connect(sockaddr)
            except OSError as error:
                sock.close()
                failure = error
                continue
            if wanted.tls:
                return deadline.watch(self._tls.wrap_socket(sock, server_hostname=wanted.host))
            return sock
        if failure is None and refused:
            raise ValueError(f"{wanted.host} has the address {refused[0]}, which is not public (WEBHOOK_ALLOW)")
        raise failure or OSError("the host has no address")

    def _post(self, sock: socket.socket, wanted: Target, delivery: Delivery) -> tuple[int, float | None]:
        headers = {
            "Host": wanted.host_header,
            "Content-Type": "application/json",
            "User-Agent": "modelgate-webhooks",
            "Connection": "close",
            **signed_headers(self._secrets, delivery.id, int(time.time()), delivery.body),
        }
        sock.settimeout(TIMEOUT)
        connection = http.client.HTTPConnection(wanted.host, wanted.port)
        connection.sock = sock
        try:
            connection.request("POST", wanted.path, delivery.body, headers)
            answer = connection.getresponse()
            return answer.status, _seconds(answer.getheader("Retry-After"))
        finally:
            connection.close()


def pause_after(tries: int, retry_after: float | None) -> float | None:
    """Return the seconds until the next try after `tries` failed ones; None: there is none."""
    if tries > len(PAUSES):
        return None
    pause = PAUSES[tries - 1] * random.uniform(0.8, 1.2)  # noqa: S311
    return max(pause, min(retry_after or 0.0, LONGEST_PAUSE))


class _Deadline:
    """Ends what a thread waits for on a socket: the socket's own time-out begins anew with each byte."""

    def __init__(self, seconds: float) -> None:
        self._sockets: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._expire)
        self._timer.daemon = True

    def watch(self, sock: socket.socket) -> socket.socket:
        self._sockets.append(sock)
        return sock

    def __enter__(self) -> _Deadline:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        for sock in self._sockets:
            sock.close()

    def _expire(self) -> None:
        for sock in list(self._sockets):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


def _seconds(text: str | None) -> float | None:
    """Return the seconds of Retry-After, a number or a date (RFC 9110); None for anything else."""
    if not text:
        return None
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not valid: {error.verify_message}"
    if isinstance(error, socket.gaierror):
        return f"its host is unknown: {error.strerror}"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text)[:200]
