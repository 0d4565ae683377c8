"""`python -m bench.owners`: what an owner notices of another one that floods the same model.

In each round the clients of one owner are timed alone, and while thousands of jobs of another owner wait.
"""

from __future__ import annotations

import argparse
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from redis import Redis

from bench import models, rows
from bench.console import say
from bench.measures import spread
from bench.processes import WORK, DidNotStart, until, use_two_cores
from bench.servers import MODELGATE, Running, modelgate, running
from bench.wire import Exchanges, LoadResult, compile_generator
from broker.sides.gateway.job_client import Jobs
from contract.work.api_keys import Key, Scope
from contract.work.jobs import PredictionJob

FLOOD, PER_CALL = 150_000, 500
"""Jobs of the owner that floods, more than are scored meanwhile; and those of one round trip."""
LEAST_LEFT = 1000
"""Jobs that must still wait at the end of a measurement."""
DRAINED = 60.0
MAX_QUEUE_ROWS = 1_000_000
CREATED = "2026-01-02T03:04:05.000006Z"
FLOODER = Key("flooder", "flooder", "flooder", frozenset({Scope.PREDICT}))


def main() -> int:
    options = _options()
    use_two_cores()
    compile_generator()
    models.build(WORK / "models", say)
    bad = 0
    for clients in options.clients:
        ratios, factors = [], []
        with connected(options.model) as (run, redis):
            exchanges = Exchanges(run, options.model, [[row] for row in models.samples(options.model, rows.SAMPLES)])
            for number in range(options.rounds):
                alone = exchanges.load(clients, options.seconds, options.seconds / 4)
                flooded = beside_a_flood(exchanges, redis, options.model, clients, options.seconds)
                bad += alone.bad + flooded.bad
                ratios.append(flooded.p99_ms / alone.p99_ms)
                factors.append(flooded.rate / alone.rate)
                say(f"{clients} clients, round {number + 1}: {line(alone)} alone, {line(flooded)} beside a flood")
        say(f"{clients} clients: p99 {spread(ratios)} of that alone, throughput {spread(factors)}")
    return 1 if bad else 0


@contextmanager
def connected(model: str) -> Iterator[tuple[Running, Redis]]:
    """Start a Modelgate that asks for keys, whose requests have one, and connect to its Redis."""
    admin = secrets.token_hex(32)
    server = replace(MODELGATE, commands=modelgate(ADMIN_KEY=admin, MAX_QUEUE_ROWS=str(MAX_QUEUE_ROWS)))
    with running(server, WORK / "models" / models.SPEED, [model]) as run:
        run.wait_until_ready()
        body = {"name": "timed", "scopes": ["predict"]}
        secret = run.answer("/v1/keys", body, {"Authorization": f"Bearer {admin}"})["secret"]
        server = replace(server, headers={**server.headers, "Authorization": f"Bearer {secret}"})
        socket = (run.deployment.state / "redis.sock").resolve()
        with Redis.from_url(f"unix://{socket}") as redis:
            yield replace(run, server=server), redis


def beside_a_flood(exchanges: Exchanges, redis: Redis, model: str, clients: int, seconds: float) -> LoadResult:
    """Time the clients while jobs of the other owner wait."""
    jobs = Jobs(redis, max_queue_rows=MAX_QUEUE_ROWS, timeout=30, result_ttl=60)
    row = models.samples(model, 1)[0]
    for _ in range(0, FLOOD, PER_CALL):
        ids = [secrets.token_hex(16) for _ in range(PER_CALL)]
        jobs.submit([PredictionJob(name, CREATED, model, 1, [row], caller=FLOODER) for name in ids])
    load = exchanges.load(clients, seconds, seconds / 4)
    left = jobs.backlog(model, FLOODER.owner).jobs
    if left < LEAST_LEFT:
        raise DidNotStart(f"only {left} jobs of the flood were left; use fewer --seconds")
    if not until(lambda: jobs.backlog(model, FLOODER.owner).jobs == 0, DRAINED):
        raise DidNotStart("the flood has not ended")
    return load


def line(load: LoadResult) -> str:
    return f"p99 {load.p99_ms:.2f} ms at {load.rate:,.0f}/s"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.owners", description=__doc__)
    parser.add_argument("--model", default="tiny", choices=rows.SINGLE)
    parser.add_argument("--clients", type=int, nargs="+", default=[64])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="for which one load is counted; default: 2")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
