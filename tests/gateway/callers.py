"""Clients of a gateway with keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask.testing import FlaskClient
from redis import Redis
from werkzeug.test import TestResponse

from broker.access.key_store import KEYS
from broker.records.job_records import dumps
from contract.work.api_keys import Key, fingerprint, new_token

ADMIN_KEY = "a" * 40


def store(redis: Redis, token: str, key: Key) -> None:
    """Add a key, also one whose name or id another one has."""
    redis.hset(KEYS, fingerprint(token), dumps(key.to_json()))


@dataclass(frozen=True)
class Caller:
    """A client that sends a key with each request."""

    client: FlaskClient
    token: str = ADMIN_KEY

    @classmethod
    def with_key(cls, client: FlaskClient, redis: Redis, key: Key) -> Caller:
        """Make a key, and return its holder."""
        token = new_token()
        store(redis, token, key)
        return cls(client, token)

    def __call__(self, method: str, path: str, **options: Any) -> TestResponse:
        headers = {"Authorization": f"Bearer {self.token}", **options.pop("headers", {})}
        return self.client.open(path, method=method, headers=headers, **options)
