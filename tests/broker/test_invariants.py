"""The protocol's scripts in any order, called by anybody: its invariants hold after each."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from redis import Redis

from tests.broker.machine import ProtocolMachine

SOAK = int(os.environ.get("SOAK", "1"))
"""How many times the usual number of walks are taken."""

walks = settings(
    max_examples=60 * SOAK,
    stateful_step_count=50,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.generate,),
)


def test_the_invariants_hold_whatever_happens_in_whatever_order(redis: Redis) -> None:
    run_state_machine_as_test(lambda: ProtocolMachine(redis), settings=walks)
