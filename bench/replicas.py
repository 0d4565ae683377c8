"""The row `replicas`: compares 2 and 4 scorers with one, for a model that sleeps and needs no core."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bench import models, servers
from bench.measures import Measure, Measures
from bench.rows import SAMPLES, Effort
from bench.servers import running
from bench.wire import Exchanges

SCORERS = (1, 2, 4)


def name(scorers: int) -> str:
    return f"{scorers} scorer{'s' if scorers > 1 else ''}"


def replicas(scorers: int, number: int, repository: Path, effort: Effort, into: Measures) -> None:
    server = replace(servers.MODELGATE, name=name(scorers), commands=servers.modelgate(WORKERS=str(scorers)))
    with into.failures("replicas", server.name), running(server, repository, ["sleeper"]) as run:
        requests = [[row] for row in models.samples("sleeper", SAMPLES)]
        load = Exchanges(run, "sleeper", requests).load(64, effort.seconds, effort.warm)
        into.add(Measure("replicas", server.name, number, load.rate, load.bad))
