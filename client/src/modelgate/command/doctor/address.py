"""Examines the way to a Modelgate: which address and key are used and why, the name, the connection, TLS."""

from __future__ import annotations

import os
import socket
import ssl
import stat
from collections.abc import Iterator
from urllib.parse import SplitResult, urlsplit

from requests.utils import get_environ_proxies

from modelgate import profiles
from modelgate.command.doctor.findings import Finding, Stop, bad, doubt, good
from modelgate.command.session import Session
from modelgate.profiles import LOCAL, Profile
from modelgate.text import without_password

_TIMEOUT = 5
"""Seconds that a connection may take."""
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_NOT_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "UNEXPECTED_EOF")
"""How OpenSSL calls an answer that is not TLS."""


class NotStarted(Stop):
    """Nothing listens on this machine, at least at this port."""


def examine(session: Session, profile: Profile) -> Iterator[Finding]:
    """Yield what there is to say about the way to the server. Raises `Stop` where it ends."""
    yield _source(session, profile)
    yield from _permissions()
    parts = urlsplit(profile.url)
    if profile.api_key and parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        yield doubt(f"the key goes to {parts.hostname} unencrypted", "use https:// if the server there speaks TLS")
    if proxies := get_environ_proxies(profile.url, no_proxy=None):
        proxy = proxies.get(parts.scheme) or next(iter(proxies.values()))
        yield doubt(
            f"requests go through the proxy {without_password(proxy)}",
            f"if it should not be: NO_PROXY={parts.hostname}",
        )
        return
    yield _connects(parts)
    if parts.scheme == "https":
        yield _certificate(parts)


def _source(session: Session, profile: Profile) -> Finding:
    name = session.profile or profiles.default()
    if session.url:
        source = "--url"
    elif session.profile or not os.environ.get("MODELGATE_URL"):
        source = f"the profile {name}" if name else "the default, as no --url, MODELGATE_URL or profile names another"
    else:
        source = "MODELGATE_URL"
    return good(
        f"address: {without_password(profile.url)} ({source}), {'with a key' if profile.api_key else 'without a key'}"
    )


def _permissions() -> Iterator[Finding]:
    file = profiles.path()
    if os.name != "posix":  # elsewhere a file has no such modes, and the folder of a user is closed to others
        return
    if file.exists() and stat.S_IMODE(file.stat().st_mode) & 0o077:
        yield bad(f"other users may read {file}, and the keys in it", f"chmod 600 {file}; then rotate the keys")


def _connects(parts: SplitResult) -> Finding:
    host, port = str(parts.hostname), parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        raise Stop(
            f"the host {host!r} is unknown", "check its spelling, the DNS, and the VPN if there is one"
        ) from None
    try:
        socket.create_connection((host, port), _TIMEOUT).close()
    except ConnectionRefusedError:
        refused = NotStarted if host in _LOOPBACK else Stop
        raise refused(f"nothing listens at {host}:{port}", _start(host, port)) from None
    except OSError as error:
        why = "no answer" if isinstance(error, TimeoutError) else error.strerror
        raise Stop(f"{host}:{port} cannot be reached ({why})", "check the address, and the firewall between") from None
    return good(f"{host}:{port} accepts connections")


def _start(host: str, port: int) -> str:
    if host not in _LOOPBACK:
        return "check the port, and whether Modelgate runs there; by default it serves its own machine alone (HOST)"
    other = "" if port == urlsplit(LOCAL).port else f"; this port is not the usual one, which is {LOCAL}"
    return f"start it: `modelgate up`, `make up`, or `docker compose up`{other}"


def _certificate(parts: SplitResult) -> Finding:
    host, port = str(parts.hostname), parts.port or 443
    bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    try:
        context = ssl.create_default_context(cafile=bundle or None)
        with (
            socket.create_connection((host, port), _TIMEOUT) as plain,
            context.wrap_socket(plain, server_hostname=host) as tls,
        ):
            return good(f"the certificate is trusted ({tls.version()})")
    except ssl.SSLCertVerificationError as error:
        raise Stop(f"the certificate of {host} is not accepted: {error.verify_message}", _trust(error)) from None
    except ssl.SSLError as error:
        if (error.reason or "") in _NOT_TLS:
            raise Stop(f"{host}:{port} does not speak TLS", f"use http://{host}:{port}") from None
        raise Stop(f"TLS with {host} fails: {error.reason}", "see the log of the proxy or gateway there") from None
    except OSError as error:
        advice = f"REQUESTS_CA_BUNDLE names {bundle}: is that a file of certificates?" if bundle else "try again"
        raise Stop(f"TLS with {host} fails: {error.strerror or error}", advice) from None


def _trust(error: ssl.SSLCertVerificationError) -> str:
    message = error.verify_message.lower()
    if "expired" in message:
        return "renew the certificate there; if it is not expired, the clock of this machine is wrong"
    if "mismatch" in message:
        return "use the name that the certificate is for, or have one made for this name"
    return "if it is signed by your own authority, name that one's certificate: REQUESTS_CA_BUNDLE=/path/ca.pem"
