"""A worker that restarts under its name gets its former incarnations; if the name is in use, it takes another."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from redis import Redis

from broker.sides.supervisor import Leases
from tests.support import until
from worker.pool import Identity

LEASE = 60.0


@pytest.fixture
def leases(redis: Redis) -> Leases:
    return Leases(redis, lease=LEASE)


def settled(identity: Identity, meanwhile: Callable[[], object] = lambda: None) -> list[str]:
    former: list[str] = []

    def look() -> bool:
        meanwhile()
        former.extend(identity.claim())
        return identity.name is not None

    until(look, "the name is settled")
    return former


def test_a_free_name_is_claimed_at_once(leases: Leases) -> None:
    leases.register("other-0-a")
    identity = Identity(leases, "w", LEASE)
    assert (identity.claim(), identity.name) == ([], "w")


def test_former_incarnations_are_returned_once_their_leases_are_no_longer_renewed(redis: Redis, leases: Leases) -> None:
    for inc in ("w-0-a", "w-1-b", "w-2-0-c"):
        leases.register(inc)
    identity = Identity(leases, "w", LEASE)
    assert identity.claim() == []
    assert identity.name is None
    for inc in ("w-0-a", "w-1-b"):
        redis.pexpire(f"mg:lease:{inc}", round(0.7 * LEASE * 1000))  # as after some seconds
    assert settled(identity) == ["w-0-a", "w-1-b"]
    assert identity.name == "w"
    assert all(left > 0 for left in leases.remaining("w").values())


def test_a_name_whose_leases_are_renewed_is_in_use(leases: Leases) -> None:
    leases.register("w-0-a")
    identity = Identity(leases, "w", LEASE)
    assert settled(identity, lambda: leases.renew(["w-0-a"])) == []
    assert identity.name
    assert identity.name.startswith("w.")


@pytest.mark.parametrize(("wanted", "name"), [("my host:1", "my_host_1"), ("", "worker")])
def test_a_name_keeps_only_the_characters_that_an_incarnation_may_have(leases: Leases, wanted: str, name: str) -> None:
    identity = Identity(leases, wanted, LEASE)
    identity.claim()
    assert identity.name == name
