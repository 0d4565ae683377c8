"""URLs of Redis: the ones that redis-py reads, and those that name Sentinels instead of a server."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

SENTINEL_PORT = 26379

OWN_SOCKET = Path("redis.sock")
"""The socket under STATE_DIR of the Redis of `make up`; a symbolic link to it if the path is too long for a socket."""

_SCHEMES = {"redis+sentinel": "redis", "rediss+sentinel": "rediss"}
_HOST = re.compile(r"(?P<name>[^\s:\[\]]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?")
_PATH = re.compile(r"/(?P<primary>[A-Za-z0-9._-]+)(?:/(?P<database>[0-9]{1,5}))?/?")
_FORM = "redis+sentinel://[user:password@]host1:26379,host2:26379/mymaster/0"


def own_redis(state_dir: Path) -> str | None:
    """Return the URL of the Redis that `make up` runs with this STATE_DIR, or None if there is no socket."""
    try:
        return f"unix://{(state_dir / OWN_SOCKET).resolve(strict=True)}"
    except OSError:
        return None


@dataclass(frozen=True)
class SentinelUrl:
    """`redis+sentinel://[user:password@]host1:26379,host2:26379/mymaster/0`; `rediss+sentinel://` with TLS.

    `sentinels` are asked for the address of `primary`. `redis_url` has all the rest for redis-py: scheme, user,
    password, database and options; its host means nothing. `user` and `password` are for the Sentinels, from the
    options `sentinel_username` and `sentinel_password`.
    """

    sentinels: Sequence[tuple[str, int]]
    primary: str
    redis_url: str
    user: str | None
    password: str | None

    @classmethod
    def parse(cls, url: str) -> SentinelUrl | None:
        """Return None for a URL that names a server. Raises ValueError, without any password in the message."""
        parts = urlsplit(url)
        if parts.scheme not in _SCHEMES:
            return None
        login, at, hosts = parts.netloc.rpartition("@")
        path = _PATH.fullmatch(parts.path)
        if path is None:
            raise ValueError(f"it names no primary; write it like {_FORM}")
        options = dict(parse_qsl(parts.query))
        user, password = options.pop("sentinel_username", None), options.pop("sentinel_password", None)
        query = f"?{urlencode(options)}" if options else ""
        redis_url = f"{_SCHEMES[parts.scheme]}://{login}{at}sentinel/{path['database'] or 0}{query}"
        return cls([_address(host) for host in hosts.split(",")], path["primary"], redis_url, user, password)


def _address(text: str) -> tuple[str, int]:
    host = _HOST.fullmatch(text)
    port = int(host["port"] or SENTINEL_PORT) if host else 0
    if host is None or not 0 < port < 65536:
        raise ValueError(f"{text!r} is not the address of a Sentinel; write it like {_FORM}")
    return unquote(host["name"].strip("[]")), port


def with_password(url: str, password: str) -> str:
    """Return the URL with a password for Redis, which replaces the one that it has."""
    parts = urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user.partition(':')[0]}:{quote(password, safe='')}@{host}").geturl()


def with_sentinel_password(url: str, password: str) -> str:
    """Return the URL with a password for the Sentinels, which replaces the one that it has."""
    parts = urlsplit(url)
    options = {**dict(parse_qsl(parts.query)), "sentinel_password": password}
    return parts._replace(query=urlencode(options)).geturl()


def without_passwords(url: str) -> str:
    """Return the URL as a message may show it."""
    hidden = re.sub(r"(?<=://)([^@/]*?):[^@/]*@", r"\1:***@", url)
    return re.sub(r"((?:^|[?&])(?:sentinel_)?password=)[^&]*", r"\1***", hidden)
