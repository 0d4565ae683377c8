"""API keys in Redis: two admins at once do no harm, and neither does a command that is sent again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from redis import Redis

from broker.access.key_store import Keys, KeyUses, NameTaken
from broker.link.outbox import Outbox
from broker.link.scripts import Scripts
from contract.work.api_keys import Key, Scope

KEY = Key("k1", "ci", "ci", frozenset({Scope.PREDICT}))


class Overtaken(Keys):
    """The keys of an admin whom another one overtakes between reading and writing."""

    def __init__(self, connection: Redis, meanwhile: Callable[[], object]) -> None:
        super().__init__(connection)
        self._meanwhile: list[Callable[[], object]] = [meanwhile]

    def _read(self) -> Any:
        entries = super()._read()
        if self._meanwhile:
            self._meanwhile.pop()()
        return entries


def test_only_one_of_two_admins_gets_a_name_that_both_ask_for_at_once(redis: Redis) -> None:
    slow = Overtaken(redis, lambda: Keys(redis).add("f1", KEY))
    with pytest.raises(NameTaken, match="k1"):
        slow.add("f2", replace(KEY, id="k2"))
    assert [issued.key.id for issued in Keys(redis).all()] == ["k1"]


def test_a_key_that_is_revoked_meanwhile_is_not_rotated(redis: Redis) -> None:
    keys = Keys(redis)
    keys.add("f1", KEY)
    assert not Overtaken(redis, lambda: keys.revoke("k1")).rotate(KEY, "f2")
    assert not keys.exist()


def test_a_key_that_is_rotated_twice_at_once_has_one_secret_and_no_lost_overlap(redis: Redis) -> None:
    keys = Keys(redis)
    keys.add("f1", KEY)
    assert Overtaken(redis, lambda: keys.rotate(KEY, "f2")).rotate(KEY, "f3", 60)
    (issued,) = keys.all()
    assert issued.current.fingerprint == "f3" and issued.previous and issued.previous.fingerprint == "f2"


def test_a_change_that_is_sent_again_counts_as_made(redis: Redis) -> None:
    arguments = ["0", "", 60, "k1", "f1", "{}"]
    answers = [Scripts(redis).run("change_keys", *arguments)[1] for _ in range(2)]
    assert (answers, redis.get("mg-gateway:keys:revision")) == ([1, 1], b"1")


def test_a_last_use_never_moves_back(redis: Redis) -> None:
    Keys(redis).add("f1", KEY)
    for seconds in (1_000_000_060, 1_000_000_000):
        uses, outbox = KeyUses(lambda now=seconds: now), Outbox(redis)  # type: ignore[misc]
        outbox.add_source(uses)
        uses.note("f1")
        outbox.flush()
    (issued,) = Keys(redis).all()
    assert issued.current.last_used_at == "2001-09-09T01:47:40.000000Z"
