"""API keys: who makes a request, what they may do, with which models, and how much."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import Any

from contract.release import known

PREFIX = "mg_"
TOKEN = re.compile(f"{PREFIX}[A-Za-z0-9_-]{{43}}", re.ASCII)
"""The secret that a client sends: 256 random bits."""
NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}", re.ASCII)
"""The name of a key or an owner."""
USER = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,127}", re.ASCII)
"""A person, in lower case, as a proxy names them."""
EVERY_USER = "*"
"""Every person whom the proxy lets in and who has no entry of their own."""


class Scope(StrEnum):
    """What a key may do, in the words of the page Keys, and whether changes with it are audited. No scope includes
    another one, except `admin`, which includes all."""

    def __new__(cls, name: str, words: str = "", audited: bool = False) -> Scope:
        scope = str.__new__(cls, name)
        scope._value_ = name
        scope.words, scope.audited = words, audited
        return scope

    words: str
    audited: bool
    READ = "read", "see models, versions, reports and metrics"
    PREDICT = "predict", "ask models for predictions"
    TRAIN = "train", "train models, and set schedules", True
    PUBLISH = "publish", "move aliases, roll back, import and delete versions", True
    LOG = "log", "read what models were asked and answered, and delete it", True
    APPROVE = "approve", "approve or reject, as a second person, what others ask for of protected models", True
    ADMIN = "admin", "all of these, manage keys, and read the audit log", True


class Detail(StrEnum):
    """How much an error says about a model: everything, or only what the caller has sent."""

    FULL = "full"
    TERSE = "terse"


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a key; None: no limit.

    `rows_per_second` counts the rows of this key for each model. `rows_waiting` and `jobs_in_flight` (waiting or
    running) count the jobs of its owner for each model. `trainings_waiting` counts those of its owner, and apart from
    them its schedules; `upload_mb_per_day` counts the uploads of this key.
    """

    rows_per_second: int | None = None
    rows_waiting: int | None = None
    jobs_in_flight: int | None = None
    trainings_waiting: int | None = None
    upload_mb_per_day: int | None = None

    def to_json(self) -> dict[str, int]:
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Limits:
        return cls(**{entry.name: data.get(entry.name) for entry in fields(cls)})


@dataclass(frozen=True, slots=True)
class Key:
    """A key without its secret. Rotation keeps `id` and `owner`. `models`: None stands for all. Times are RFC 3339 in
    UTC; `expires_at`: None stands for never.

    `user`: it has no secret, and is the entry of this person, whom a trusted proxy signs in (`USER`, or `EVERY_USER`).
    """

    id: str
    name: str
    owner: str
    scopes: frozenset[Scope]
    models: frozenset[str] | None = None
    limits: Limits = field(default_factory=Limits)
    detail: Detail = Detail.FULL
    created_at: str = ""
    expires_at: str | None = None
    user: str | None = None

    def allows(self, scope: Scope) -> bool:
        return scope in self.scopes or Scope.ADMIN in self.scopes

    def sees(self, owner: str) -> bool:
        """Return whether the holder of this key sees the jobs and schedules of `owner`."""
        return owner == self.owner or Scope.ADMIN in self.scopes

    def may_use(self, model: str) -> bool:
        return self.models is None or model in self.models

    def to_json(self) -> dict[str, Any]:
        members = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        models = None if self.models is None else sorted(self.models)
        return {**members, "scopes": sorted(self.scopes), "models": models, "limits": self.limits.to_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Key:
        models = None if data["models"] is None else frozenset(data["models"])
        limits, detail = Limits.from_json(data["limits"]), Detail(data["detail"])
        scopes = frozenset(map(Scope, data["scopes"]))
        return cls(**{**known(cls, data), "scopes": scopes, "models": models, "limits": limits, "detail": detail})


EVERYBODY = Key(id="", name="", owner="", scopes=frozenset(Scope))
"""The caller while there are no keys: it may do everything and owns nothing."""

ADMIN = Key(id="admin", name="ADMIN_KEY", owner="admin", scopes=frozenset({Scope.ADMIN}))
"""The caller with ADMIN_KEY."""

NOBODY = Key(id="", name="", owner="", scopes=frozenset())
"""The caller of an open route without a valid key."""


def new_token() -> str:
    """Return a new secret."""
    return PREFIX + secrets.token_urlsafe(32)


def new_id() -> str:
    return f"key_{secrets.token_hex(8)}"


def fingerprint(token: str) -> str:
    """Return the hash of a secret under which Redis stores its key: SHA-256, in hex. It need not be a slow hash,
    because nobody can guess 256 bits."""
    return hashlib.sha256(token.encode()).hexdigest()


def entry_of(user: str) -> str:
    """Return what the entry of a person has in place of a fingerprint. No secret has it."""
    return f"user:{user}"


_hidden: set[str] = set()


def hide(secret: str) -> None:
    """Let `without_keys` leave out a secret that has not the form of an issued key: ADMIN_KEY."""
    _hidden.update((secret, json.dumps(secret)[1:-1]))


def without_keys(text: str) -> str:
    """Return a text without the keys in it: a client may send one in a wrong place, such as a path."""
    if PREFIX in text:
        text = TOKEN.sub(f"{PREFIX}***", text)
    for secret in _hidden:
        text = text.replace(secret, "***")
    return text


PER_FREE = 9
"""How many units of a common limit an owner may have for each free one, so that others find room (ADR 44)."""


def most_of_one_owner(whole: int) -> int:
    """Return how many of `whole` an owner may have while others have none: nine tenths, and at least one."""
    return max(1, whole * PER_FREE // (PER_FREE + 1))


@dataclass(frozen=True, slots=True)
class Quota:
    """An allowance of `limit` units in `window` seconds. `remaining` units may be used now; after `reset` seconds it is
    all of them again."""

    name: str
    limit: int
    window: int
    remaining: int
    reset: float
