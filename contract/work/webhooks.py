"""Webhooks: where they may go, which events there are, and how a message is signed (Standard Webhooks 1.0)."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hashlib
import hmac
import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from contract.release import known

MODEL_EVENTS = (
    *("model.published", "model.promoted", "model.removed"),
    *("model.drifted", "model.degraded", "model.recovered", "model.experiment_ended"),
    *("model.promotion_asked", "model.failing", "model.failing_ended", "key.expiring"),
)
"""Those that concern no job."""
OF_ADMINS = ("key.expiring",)
"""Those that only subscriptions without an owner get."""
TEST = "test"
"""The event of a message that somebody sends to try a webhook."""

_WORDS = {
    "model.published": "a model has a new version",
    "model.promoted": "another version is current",
    "model.removed": "a model was removed",
    "model.promotion_asked": "a second person has to approve a change",
    "model.drifted": "rows no longer look like those of the training",
    "model.degraded": "outcomes are worse than the report promised",
    "model.recovered": "nothing is wrong with the current version any more",
    "model.experiment_ended": "an experiment has ended",
    "model.failing": "many more requests than usual are refused or fail",
    "model.failing_ended": "errors are back to few",
    "key.expiring": "a key expires within 14 days, and within a day",
    TEST: "this is a test",
}
_ENDS = {"canceled": "was cancelled", "expired": "has waited too long"}
_LONGEST_TEXT = 3000
_MARKUP = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


class Format(StrEnum):
    """What the body of a message is: Standard Webhooks, or `{"text": "…"}`, which chat tools show."""

    STANDARD = "standard"
    CHAT = "chat"


def in_words(event: str) -> str:
    """Return when this event happens."""
    kind, _, end = event.replace("_", " ").rpartition(".")
    return _WORDS.get(event) or f"a {kind} {_ENDS.get(end, end)}"


def chat_text(event: str, data: Mapping[str, Any]) -> str:
    """Return what a message of this event says to people. Names and findings cannot mention anybody: `<` is escaped, as
    Slack asks for."""
    about = data.get("model") or data
    subject = f"{about['name']}@{about['version']}" if about.get("version") else about["name"]
    error, experiment, promotion = (data.get(part) or {} for part in ("error", "experiment", "promotion"))
    said = error.get("message"), experiment.get("reason"), promotion.get("note"), data.get("expires_at")
    details = (*said, *data.get("findings", ()))
    text = ". ".join((f"{subject}: {in_words(event)}", *filter(None, details)))
    return text[:_LONGEST_TEXT].translate(_MARKUP)


NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
"""The name of a subscription."""

LONGESTWEB_ADDRESS = 2048
WEB_ADDRESS = re.compile(r"https?://[!-~]+", re.IGNORECASE)
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,251}[a-z0-9])?\.?", re.IGNORECASE | re.ASCII)

SECRET_PREFIX = "whsec_"  # noqa: S105
_SECRET_BYTES = range(24, 65)
"""Bytes of a secret, as Standard Webhooks asks for."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_SPECIAL = tuple(
    map(
        ipaddress.ip_network,
        ("192.0.0.0/24", "192.88.99.0/24", "3fff::/20", "5f00::/16", "64:ff9b:1::/48", "fec0::/10"),
    )
)
"""Networks that are not public, though some release of Python says so: protocol assignments, relays of 6to4,
documentation, segment routing, local NAT64, site-local addresses.

Source: https://www.iana.org/assignments/iana-ipv4-special-registry, …/iana-ipv6-special-registry, RFC 3879, RFC 7526
"""


@dataclass(frozen=True)
class Target:
    """The parts of a webhook's URL. `path` has the query; `host` is lower-case and without brackets."""

    tls: bool
    host: str
    port: int
    path: str

    @property
    def address(self) -> Address | None:
        """The address that the URL names itself; None for a name."""
        try:
            return ipaddress.ip_address(self.host)
        except ValueError:
            return None

    @property
    def host_header(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"


def target(url: str) -> Target:
    """Return the parts of the URL. Raises `ValueError` with what is wrong with it."""
    if len(url) > LONGESTWEB_ADDRESS:
        raise ValueError(f"the URL has {len(url)} characters; the most are {LONGESTWEB_ADDRESS}")
    if not WEB_ADDRESS.fullmatch(url):
        raise ValueError("it is not a URL that begins with https:// or http:// and has only printable ASCII characters")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"it is not a URL ({error})") from None
    host = (parts.hostname or "").lower()
    if "@" in parts.netloc:
        raise ValueError("a user or password in the URL is not sent; put a token into the path or the query")
    tls = parts.scheme.lower() == "https"
    parsed = Target(
        tls, host, port or (443 if tls else 80), (parts.path or "/") + (f"?{parts.query}" * bool(parts.query))
    )
    if port == 0 or (parsed.address is None and not _is_name(host)):
        raise ValueError(f"{parts.netloc[:80]!r} is not a host with an optional port")
    return parsed


def _is_name(host: str) -> bool:
    """Return whether `host` is a name. 127.1 and 0x7f000001 are addresses to the C library, and names to nobody."""
    last = host.rstrip(".").rpartition(".")[2]
    return bool(_HOST.fullmatch(host)) and not last.isdigit() and not last.startswith("0x")


class AllowedTargets:
    """The addresses that a webhook may go to: public ones, and those that the operator allows."""

    def __init__(self, entries: Sequence[str] = ()) -> None:
        """`entries`: names of hosts, addresses and networks, such as `hooks.internal` or `10.1.0.0/16`. Raises
        `ValueError` for one that is none of these."""
        self._hosts: set[str] = set()
        self._networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
        for entry in entries:
            try:
                self._networks.append(ipaddress.ip_network(entry.strip("[]")))
            except ValueError:
                if "/" in entry or not _is_name(entry):
                    raise ValueError(f"{entry!r} is neither a host nor an address nor a network") from None
                self._hosts.add(entry.lower().rstrip("."))

    def allow(self, host: str, address: Address) -> bool:
        """Return whether a webhook to `host` may connect to `address`, which it resolves to."""
        if host.rstrip(".") in self._hosts:
            return True
        plain = _embedded(address)
        if any(candidate in network for candidate in (address, plain) for network in self._networks):
            return True
        special = plain.is_multicast or plain.is_reserved or any(plain in network for network in _SPECIAL)
        return plain.is_global and not special

    def check(self, wanted: Target) -> None:
        """Raise `ValueError` if the URL itself says that its address is not allowed. The sender resolves all names."""
        local = ipaddress.ip_address("127.0.0.1") if wanted.host.rstrip(".") == "localhost" else None
        address = wanted.address or local
        if address is not None and not self.allow(wanted.host, address):
            raise ValueError(
                f"{wanted.host} is not a public address; an operator can allow it with WEBHOOK_ALLOW={wanted.host}"
            )


def _embedded(address: Address) -> Address:
    """Return the IPv4 address inside an IPv6 one that leads to it, else the address."""
    if isinstance(address, ipaddress.IPv6Address):
        if inner := address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]:
            return inner
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def secrets_in(text: str) -> tuple[bytes, ...]:
    """Return the secrets in WEBHOOK_SECRET: one, or two with a blank between them while receivers change to the first.
    Raises `ValueError` with what to do."""
    secrets = []
    for part in text.split():
        try:
            secret = base64.b64decode(part.removeprefix(SECRET_PREFIX), validate=True)
        except (binascii.Error, ValueError):
            secret = b""
        if not part.startswith(SECRET_PREFIX) or len(secret) not in _SECRET_BYTES:
            raise ValueError(
                "WEBHOOK_SECRET is not whsec_ and 24 to 64 bytes in base64; make one with"
                ' `echo "whsec_$(openssl rand -base64 32)"`'
            )
        secrets.append(secret)
    return tuple(secrets)


def signed_headers(secrets: Sequence[bytes], message_id: str, seconds: int, body: bytes) -> Mapping[str, str]:
    """Return the headers that identify and sign a message sent at `seconds` since 1970, one signature a secret.

    Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    """
    signed = f"{message_id}.{seconds}.".encode() + body
    digests = (hmac.new(secret, signed, hashlib.sha256).digest() for secret in secrets)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests),
    }


@dataclass(frozen=True)
class Subscription:
    """A URL that gets events. `owner`: the owner of the jobs that it gets; '': all. `models`: None for all."""

    name: str
    url: str
    events: tuple[str, ...]
    created_at: str
    owner: str = ""
    models: tuple[str, ...] | None = None
    format: Format = Format.STANDARD

    def wants(self, event: str, model: str, owner: str | None = None) -> bool:
        """Return whether it gets this event of a model, and of a job of `owner` (None: no job)."""
        if event not in self.events or not (self.models is None or model in self.models):
            return False
        return owner is None or self.owner in ("", owner)

    def to_json(self) -> dict[str, object]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Subscription:
        models = data["models"]
        parts = {"events": tuple(data["events"]), "models": None if models is None else tuple(models)}
        return cls(**{**known(cls, data), **parts, "format": Format(data.get("format", Format.STANDARD))})
