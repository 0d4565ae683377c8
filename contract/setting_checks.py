"""Reads and checks single settings, and secrets in files."""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from contract.errors import SettingsError
from contract.redis_url import SentinelUrl, with_password, with_sentinel_password
from contract.work.api_keys import TOKEN
from contract.work.webhooks import AllowedTargets

_ADMIN_KEY = re.compile(r"[!-~]{32,256}")
_HEADER = re.compile(r"[A-Za-z0-9]+(-[A-Za-z0-9]+)*", re.ASCII)
_ORIGIN = re.compile(r"https?://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?", re.ASCII)


def check_admin_key(key: str) -> None:
    """Raise `SettingsError` if a key is too weak for what it may do. Empty: there is none."""
    if key and not _ADMIN_KEY.fullmatch(key):
        raise SettingsError(
            "ADMIN_KEY is too short, or has blanks or characters beyond ASCII; make one with `openssl rand -hex 32`"
        )
    if TOKEN.fullmatch(key):
        raise SettingsError(
            "ADMIN_KEY has the form of an issued key, whose holder could then do everything, even once it is"
            " revoked; make another one with `openssl rand -hex 32`. For the command"
            " `modelgate`, set MODELGATE_API_KEY instead"
        )


def check_origins(origins: Sequence[str]) -> None:
    """Raise `SettingsError` for an entry of CORS_ORIGINS that is no origin."""
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            raise SettingsError(
                f"CORS_ORIGINS has {origin!r}, which is no origin; write each in lower case, with its scheme and"
                " without a path: https://app.example.org or http://localhost:3000. There is no * for all"
            )


def check_proxies(networks: Sequence[str], user_header: str) -> None:
    """Raise `SettingsError` for an entry of TRUSTED_PROXIES that is no network, or for a TRUSTED_USER_HEADER that is no
    header or that anybody could send."""
    if user_header and not _HEADER.fullmatch(user_header):
        raise SettingsError(
            f"TRUSTED_USER_HEADER={user_header!r} is no name of a header; use letters, digits and hyphens, as in"
            " X-Forwarded-Email or Remote-User"
        )
    if user_header and not networks:
        raise SettingsError(
            f"TRUSTED_USER_HEADER={user_header} needs TRUSTED_PROXIES, or anybody could claim to be anyone; name there"
            " the address of the proxy that sets it, such as 10.0.0.7"
        )
    for network in networks:
        try:
            if not ipaddress.ip_network(network).prefixlen and user_header:
                raise SettingsError(
                    f"TRUSTED_PROXIES has {network!r}, all addresses, so with TRUSTED_USER_HEADER anybody could claim"
                    " to be anyone; name the address of the proxy alone, such as 10.0.0.7"
                )
        except ValueError as error:
            raise SettingsError(
                f"TRUSTED_PROXIES has {network!r}, which is neither an address nor a network ({error}); write each as"
                " 10.0.0.7 or 10.1.0.0/16"
            ) from None


def check_stop(delay: float, grace: float) -> None:
    """Raise `SettingsError` if STOP_DELAY takes more than half of STOP_GRACE, both in seconds."""
    if delay > grace / 2:
        raise SettingsError(
            f"STOP_DELAY={delay} is more than half of STOP_GRACE={grace}, which leaves too little time to finish"
            " requests; raise STOP_GRACE or lower STOP_DELAY"
        )


def check_targets(targets: Sequence[str]) -> None:
    """Raise `SettingsError` for an entry of WEBHOOK_ALLOW that is neither a host nor a network."""
    try:
        AllowedTargets(targets)
    except ValueError as error:
        raise SettingsError(f"WEBHOOK_ALLOW: {error}; write each as hooks.internal, 10.0.0.7 or 10.1.0.0/16") from None


def check_cluster(address: str) -> None:
    """Raise `SettingsError` for an address in TRAIN_CLUSTER at which others could run code, or that is none. Empty:
    there is no cluster."""
    if not address:
        return
    parts = urlsplit(address)
    try:
        complete = bool(parts.hostname and parts.port) and address == f"{parts.scheme}://{parts.netloc}"
    except ValueError:
        complete = False
    if not complete or parts.scheme not in ("tls", "tcp"):
        raise SettingsError(f"TRAIN_CLUSTER={address!r} is no address of a scheduler; write it as tls://scheduler:8786")
    if parts.scheme == "tcp" and not is_loopback(str(parts.hostname)):
        raise SettingsError(
            f"TRAIN_CLUSTER={address} has no TLS, so everybody who reaches the scheduler can run code on the cluster"
            f" and in the trainer; give the cluster certificates and write tls://{parts.netloc}"
        )


def with_passwords(url: str, values: Mapping[str, Any]) -> str:
    """Return the URL with the passwords of the files. Raises `SettingsError`, also for an invalid Sentinel URL."""
    try:
        sentinel = SentinelUrl.parse(url)
    except ValueError as error:
        raise SettingsError(f"REDIS_URL is invalid: {error}") from None
    if "redis_password_file" in values:
        password = _read_password("REDIS_PASSWORD_FILE", values["redis_password_file"])
        url = with_password(url, password)
        if sentinel and sentinel.user and not sentinel.password:
            url = with_sentinel_password(url, password)
    return url


def secret_of(name: str, text: str, environ: Mapping[str, str]) -> str:
    """Return a secret, from its variable or from the file that another one names. Raises `SettingsError`."""
    file = environ.get(f"{name}_FILE", "").strip()
    if text and file:
        raise SettingsError(f"{name} and {name}_FILE are both set; keep one of them")
    return _read_password(f"{name}_FILE", Path(file)) if file else text


def _read_password(name: str, file: Path) -> str:
    try:
        password = file.read_text().strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise SettingsError(f"{name}={file} cannot be read ({reason})") from error
    if not password:
        raise SettingsError(f"{name}={file} is empty; put the secret into it")
    return password


@functools.lru_cache(maxsize=1024)
def is_loopback(host: str) -> bool:
    """Whether `host`, a name or an address, can only mean this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
