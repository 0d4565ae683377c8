"""The protocol's invariants hold after each call of its scripts, in any order and by any process."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from redis import Redis

from tests.broker.machine import ProtocolMachine

pytestmark = pytest.mark.waits

SOAK = int(os.environ.get("SOAK", "1"))
"""Factor for the number of walks."""

walks = settings(
    max_examples=60 * SOAK,
    stateful_step_count=50,
    derandomize=True,
    database=None,
    deadline=None,
    report_multiple_bugs=False,  # several would come as a group of exceptions
    suppress_health_check=list(HealthCheck),
    phases=(Phase.generate,),
)


def test_the_invariants_hold_after_any_sequence_of_calls(redis: Redis) -> None:
    run_state_machine_as_test(lambda: ProtocolMachine(redis), settings=walks)
