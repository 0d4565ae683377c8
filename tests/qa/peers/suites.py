"""All suites."""

from tests.qa.peers.suite import Suite

SUITES: tuple[Suite, ...] = ()
