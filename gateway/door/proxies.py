"""Trusted proxies: takes the address, scheme and host of a client from their `X-Forwarded-*` headers."""

from __future__ import annotations

import functools
import ipaddress
import logging
import re
from collections.abc import Callable, Sequence
from wsgiref.types import WSGIEnvironment

log = logging.getLogger(__name__)

USER = "modelgate.user"
"""The key of the environment for the person whom a trusted proxy has signed in. No header can set it."""

_MOST_HOPS = 16
"""Most addresses of `X-Forwarded-For` that are read, from the right."""

_CACHED = 1024
"""Addresses that are cached: proxies are few, and their clients return."""

_WITH_PORT = re.compile(r"\[(?P<v6>[^\]]*)\](?::[0-9]{1,5})?|(?P<v4>[0-9.]+):[0-9]{1,5}", re.ASCII)


class TrustedProxies:
    """Replaces address, scheme and host in the environment of a request that comes from a trusted proxy.

    The client is the rightmost address of `X-Forwarded-For` that is not itself trusted: each proxy adds the address
    that it sees, so a client can forge only what is further to the left. Of `X-Forwarded-Proto` and `X-Forwarded-Host`
    the rightmost value counts. `Forwarded` does not: a proxy that sets one of the two passes on the other as the client
    sent it.

    `user_header` names the person whom the proxy has signed in. It counts if the peer itself is trusted, whatever
    `X-Forwarded-For` says.
    """

    def __init__(self, networks: Sequence[str], user_header: str = "") -> None:
        """Addresses or networks, such as `10.0.0.7` or `10.1.0.0/16`, and a name, as `contract.settings` has checked
        them. '': there is no such header."""
        self._address = _reader([ipaddress.ip_network(network) for network in networks])
        self._user_header = user_header
        self._user_key = f"HTTP_{user_header.upper().replace('-', '_')}"
        self._warned = False

    def apply(self, environ: WSGIEnvironment) -> None:
        peer = environ.get("REMOTE_ADDR", "")
        trusted = self._address(peer)[1]
        if self._user_header and (user := environ.get(self._user_key, "").strip()):
            if trusted:
                environ[USER] = user.encode("latin-1").decode(errors="replace").lower()
            elif not self._warned:
                self._warned = True
                log.warning(
                    "ignored %s from %s, which is not in TRUSTED_PROXIES; name it there if it is your proxy, else"
                    " somebody tries to sign in as another",
                    self._user_header,
                    peer,
                )
        if trusted:
            environ["REMOTE_ADDR"] = self._client(environ)
            if (scheme := _last(environ, "HTTP_X_FORWARDED_PROTO").lower()) in ("http", "https"):
                environ["wsgi.url_scheme"] = scheme
            if host := _last(environ, "HTTP_X_FORWARDED_HOST"):
                environ["HTTP_HOST"] = host

    def _client(self, environ: WSGIEnvironment) -> str:
        client: str = environ["REMOTE_ADDR"]
        for text in reversed(environ.get("HTTP_X_FORWARDED_FOR", "").rsplit(",", _MOST_HOPS)[-_MOST_HOPS:]):
            address, trusted = self._address(text)
            if address is None:  # the proxy to the right of it is the last known address
                break
            client = address
            if not trusted:
                break
        return client


def _reader(
    networks: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network],
) -> Callable[[str], tuple[str | None, bool]]:
    """Return a function that reads an address, which may have a port; it returns the address (None: it is none), and
    whether it is trusted."""

    @functools.lru_cache(_CACHED)
    def read(text: str) -> tuple[str | None, bool]:
        text = text.strip(" \t")
        if matched := _WITH_PORT.fullmatch(text):
            text = matched["v6"] or matched["v4"] or ""
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return None, False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped  # an IPv4 client of a socket for both
        return str(address), any(address in network for network in networks)

    return read


def _last(environ: WSGIEnvironment, header: str) -> str:
    text: str = environ.get(header, "")
    return text.rpartition(",")[2].strip(" \t")
