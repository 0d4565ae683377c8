"""Modelgate answers what the tests of its peers, and of the clients made for them, expect of theirs."""

from __future__ import annotations

import pytest

from tests.qa.clients.conftest import GrpcModelgate
from tests.qa.peers.suite import Case, Server
from tests.qa.peers.suites import SUITES


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=f"{suite.peer}: {case.name}") for suite in SUITES for case in suite.cases]
)
def test_as_the_peer(with_grpc: GrpcModelgate, case: Case) -> None:
    failure = case.failure(Server(with_grpc.address, with_grpc.target))
    if case.differs:
        assert failure, f"it passes, although {case.differs}"
    else:
        assert not failure
