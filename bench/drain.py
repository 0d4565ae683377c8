"""The row `drain`: how fast one scorer empties a queue of 5,000 single-row jobs."""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis import Redis
from rq import Queue as RQQueue

from bench import models, servers
from bench.alternatives import rq_waited
from bench.measures import Measure, Measures
from bench.processes import START_DEADLINE, WORK, DidNotStart, Process, WrongAnswer, free_port, redis_server, until
from bench.rows import SAMPLES
from bench.servers import Command, Deployment
from bench.wire import manifest, send

JOBS = 5000
PATIENCE = 15.0
"""Seconds after which a slow drain is ended; its rate is that of the jobs done by then."""


@dataclass(frozen=True)
class DrainedQueue:
    """A queue: `post` fills it, `scorer` empties it, `done` counts the successful jobs of a model, at least nearly."""

    server: str
    post: Callable[[Deployment, str], None]
    scorer: Callable[[Deployment], Command]
    done: Callable[[Any, str], int]


def drain(queue: DrainedQueue, model: str, number: int, repository: Path, into: Measures) -> None:
    with into.failures(f"drain {model}", queue.server):
        into.add(Measure(f"drain {model}", queue.server, number, _rate(queue, model, repository)))


def _rate(queue: DrainedQueue, model: str, repository: Path) -> float:
    """Return jobs per second from the first done jobs on, so that the scorer's start does not count."""
    with ExitStack() as stack:
        url = stack.enter_context(redis_server())
        deployment = Deployment(free_port(), repository, [model], url)
        queue.post(deployment, model)
        redis: Any = stack.enter_context(Redis.from_url(url))
        before = queue.done(redis, model)
        command = queue.scorer(deployment)
        log = WORK / "logs" / f"drain-{queue.server}.log"
        scorer = Process(command.arguments, {**deployment.environment, **command.environment}, log)
        stack.callback(scorer.stop)
        if not until(lambda: scorer.ended or queue.done(redis, model) > before, START_DEADLINE, 0.002):
            raise DidNotStart(f"no job was done: {scorer.last_words()}")
        first, began = queue.done(redis, model) - before, time.perf_counter()
        until(lambda: scorer.ended or queue.done(redis, model) - before >= JOBS, PATIENCE, 0.002)
        done, took = queue.done(redis, model) - before, time.perf_counter() - began
        if scorer.ended or done <= first:
            raise DidNotStart(f"only {done} of {JOBS} jobs were done: {scorer.last_words()}")
    return (done - first) / took


def _counted(index: str) -> Callable[[Any, str], int]:
    return lambda redis, model: int(redis.zcard(index.format(model=model)))


def _bodies(deployment: Deployment, model: str) -> list[Any]:
    names = manifest(deployment.repository, model).signature.names
    return [servers.plain_body(model, names, [row]) for row in models.samples(model, SAMPLES)]


def _post_modelgate(deployment: Deployment, model: str) -> None:
    """Post through a gateway started for this. Without `Prefer` it answers 202 as soon as the job is in Redis."""
    environment = {
        "PORT": str(deployment.port),
        "MODELS_DIR": str(deployment.repository),
        "REDIS_URL": deployment.redis_url,
    }
    gateway = Process([sys.executable, "-m", "gateway"], environment, WORK / "logs" / "drain-gateway.log")
    try:
        wire = b"".join(_request(deployment, model, body) for body in _bodies(deployment, model))
        if not until(lambda: _takes_connections(deployment.port), START_DEADLINE):
            raise DidNotStart(f"the gateway: {gateway.last_words()}")
        # Requests in flight at the last counted answer add a few jobs.
        if send(wire, deployment.port, 64, 60, 0, JOBS, '"queued"').bad:
            raise WrongAnswer("not every job was accepted")
    finally:
        gateway.stop()


def _request(deployment: Deployment, model: str, body: Any) -> bytes:
    text = json.dumps(body, separators=(",", ":"))
    head = f"POST /v1/models/{model}/predict HTTP/1.1\r\nHost: 127.0.0.1:{deployment.port}\r\n"
    request = f"{head}Content-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n{text}"
    return f"{len(request)} 0\n{request}".encode()


def _takes_connections(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _post_rq(deployment: Deployment, model: str) -> None:
    bodies = _bodies(deployment, model)
    with Redis.from_url(deployment.redis_url) as redis:
        queue = RQQueue(rq_waited.QUEUE, connection=redis)
        for start in range(0, JOBS, 500):
            wanted = [(model, bodies[i % len(bodies)]) for i in range(start, start + 500)]
            queue.enqueue_many([RQQueue.prepare_data(rq_waited.SCORE, args, result_ttl=600) for args in wanted])


def _post_celery(deployment: Deployment, model: str) -> None:
    # Here, since the environment of the tests has no Celery.
    from celery import Celery

    url = deployment.redis_url.replace("unix://", "redis+socket://")
    bodies = _bodies(deployment, model)
    with Celery("bench", broker=url, backend=url) as tasks, tasks.producer_or_acquire() as producer:
        for i in range(JOBS):
            tasks.send_task("score", (model, bodies[i % len(bodies)]), producer=producer)


def _modelgate_worker(deployment: Deployment) -> Command:
    return Command([sys.executable, "-m", "worker"], {"MODELS_DIR": str(deployment.repository), "WORKERS": "1"})


QUEUES: Sequence[DrainedQueue] = (
    DrainedQueue("modelgate", _post_modelgate, _modelgate_worker, _counted("mg:ended:finished:predict:{model}")),
    DrainedQueue("rq", _post_rq, lambda _: servers.simple_worker(), _counted(f"rq:finished:{rq_waited.QUEUE}")),
    # One key a result, and a few of the worker's own.
    DrainedQueue("celery", _post_celery, lambda _: servers.celery_worker(), lambda redis, _: int(redis.dbsize())),
)
