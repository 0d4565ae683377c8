"""API keys in Redis: two admins at once do no harm, and neither does a command that is sent again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from redis import Redis

from broker.access.key_store import Keys, KeyUses, LastAdmin, NameTaken
from broker.link.outbox import Outbox
from broker.link.scripts import Scripts
from contract.work.api_keys import Key, Limits, Scope

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
    assert not Overtaken(redis, lambda: keys.revoke("k1")).rotate("k1", "f2")
    assert not keys.exist()


def test_a_key_that_is_rotated_twice_at_once_has_one_secret_and_no_lost_overlap(redis: Redis) -> None:
    keys = Keys(redis)
    keys.add("f1", KEY)
    assert Overtaken(redis, lambda: keys.rotate("k1", "f2")).rotate("k1", "f3", 60)
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


def test_a_change_reaches_every_secret_and_a_replaced_one_keeps_its_end(redis: Redis) -> None:
    keys = Keys(redis)
    keys.add("f1", KEY)
    keys.rotate("k1", "f2", 60)
    end = keys.all()[0].previous.key.expires_at  # type: ignore[union-attr]
    wide = {"scopes": frozenset({Scope.READ}), "expires_at": "2100-01-01T00:00:00.000000Z"}
    assert keys.change("k1", lambda key: replace(key, **wide), keep_admin=True)
    for fingerprint, expires in (("f1", end), ("f2", "2100-01-01T00:00:00.000000Z")):
        stored = keys.find(fingerprint)
        assert stored and (stored.scopes, stored.expires_at) == ({Scope.READ}, expires)
    keys.change("k1", lambda key: replace(key, expires_at="2026-01-01T00:00:00.000000Z"), keep_admin=True)
    assert [keys.find(name).expires_at[:4] for name in ("f1", "f2")] == ["2026", "2026"]  # type: ignore[union-attr,index]
    assert not keys.change("k9", lambda key: key, keep_admin=True)


def test_two_changes_at_once_both_stay(redis: Redis) -> None:
    keys = Keys(redis)
    keys.add("f1", KEY)
    limited = Limits(rows_per_second=5)
    meanwhile = lambda: keys.change("k1", lambda key: replace(key, limits=limited), keep_admin=True)  # noqa: E731
    read = frozenset({Scope.READ})
    assert Overtaken(redis, meanwhile).change("k1", lambda key: replace(key, scopes=read), keep_admin=True)
    (issued,) = keys.all()
    assert (issued.key.scopes, issued.key.limits) == (read, limited)


def test_a_rotation_keeps_what_is_changed_meanwhile(redis: Redis) -> None:
    keys = Keys(redis)
    keys.add("f1", KEY)
    read = frozenset({Scope.READ})
    meanwhile = lambda: keys.change("k1", lambda key: replace(key, scopes=read), keep_admin=True)  # noqa: E731
    assert Overtaken(redis, meanwhile).rotate("k1", "f2")
    (issued,) = keys.all()
    assert (issued.current.fingerprint, issued.key.scopes) == ("f2", read)


def test_of_two_admins_who_resign_at_once_one_stays(redis: Redis) -> None:
    keys, admins, none = Keys(redis), frozenset({Scope.ADMIN}), frozenset({Scope.READ})
    for number in (1, 2):
        keys.add(f"f{number}", replace(KEY, id=f"k{number}", name=f"n{number}", scopes=admins))
    meanwhile = lambda: keys.change("k2", lambda key: replace(key, scopes=none), keep_admin=True)  # noqa: E731
    with pytest.raises(LastAdmin):
        Overtaken(redis, meanwhile).change("k1", lambda key: replace(key, scopes=none), keep_admin=True)
    assert keys.change("k1", lambda key: replace(key, scopes=none), keep_admin=False)
