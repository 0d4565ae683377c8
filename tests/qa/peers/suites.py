"""All suites."""

from tests.qa.peers import kserve, mlserver
from tests.qa.peers.suite import Suite

SUITES: tuple[Suite, ...] = (mlserver.SUITE, kserve.SUITE)
