"""`python -m worker`: scores prediction jobs until it is told to stop; `--check`: is one alive on this host?"""

from __future__ import annotations

import argparse
import functools
import logging
import os
import socket
import sys
import uuid

from redis.exceptions import RedisError
from rq import Worker

from broker.connection import connect
from contract.repository import Repository
from contract.settings import Settings, SettingsError

log = functools.partial(print, "worker:", file=sys.stderr, flush=True)


class _NotAlive(Exception):
    """No worker of this host does its work; the message says why that is believed."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m worker", description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit with 0 if a worker of this host is alive")
    arguments = parser.parse_args()
    try:
        settings = Settings.from_environ()
        if not settings.redis_url:
            raise SettingsError("REDIS_URL is not set; the worker needs the Redis that the gateway uses")
        if arguments.check:
            _check(settings)
        else:
            _work(settings)
    except (SettingsError, _NotAlive) as error:
        log(str(error))
        return 1
    return 0


def _work(settings: Settings) -> None:
    # Before numpy is imported: one thread a process, or the processes fight over the cores.
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = "1"
    from broker.rq_worker import TurnWorker
    from contract.jobs import PREDICT
    from worker.model_cache import ModelCache
    from worker.scorer import Scorer

    repository = Repository(settings.models_dir)
    scorer = Scorer(ModelCache(repository, settings.model_cache_mb * 1_000_000))
    name = f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}"
    worker = TurnWorker(connect(settings.redis_url), {PREDICT: scorer.predict}, name)
    log(f"{name} serves the models of {settings.models_dir}")
    worker.work(logging_level=logging.getLevelName(logging.WARNING))


def _check(settings: Settings) -> None:
    try:
        workers = Worker.all(connection=connect(settings.redis_url))
    except RedisError as error:
        raise _NotAlive(f"Redis does not answer: {error}") from error
    if not any(worker.hostname == socket.gethostname() for worker in workers):
        raise _NotAlive("no worker of this host is registered")


if __name__ == "__main__":
    sys.exit(main())
