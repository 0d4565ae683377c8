"""The row `memory`: PSS of all processes that hold models, after each of 50 models of 5 MB has answered once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench import models, servers
from bench.measures import Measure, Measures
from bench.processes import pss_mb
from bench.servers import Server, running
from bench.wire import Exchanges

NAMES = [f"big{number:02}" for number in range(models.COPIES)]

HOLDERS: Sequence[tuple[Server, str]] = (
    (replace(servers.MODELGATE, commands=servers.modelgate(WORKERS="2")), "-m worker"),
    (servers.FLASK, ""),
    (servers.PRELOAD, ""),
    (replace(servers.RQ, name="rq-1", commands=servers.rq(1)), "-m bench.alternatives.rq_waited"),
    (servers.MLSERVER, ""),
)
"""Servers, and what the command lines have of those of their processes that hold models ("": all)."""


def memory(server: Server, part: str, repository: Path, into: Measures) -> None:
    with into.failures("memory", server.name), running(server, repository, NAMES) as run:
        for name in NAMES:
            # More than once: two scorers or processes share the requests.
            Exchanges(run, name, [models.samples(name, 1)] * 4)
        into.add(Measure("memory", server.name, 0, pss_mb(run.tree(part))))
