"""`python -m worker` scores prediction jobs until it is stopped; `--check` tells whether a worker runs on this host."""

from __future__ import annotations

import argparse
import logging
import socket
import sys

from redis.exceptions import RedisError

from broker.connection import connect
from broker.supervisor import Leases
from contract.settings import Settings, SettingsError
from runtime import logs
from worker.supervisor import Supervisor

log = logging.getLogger("worker")


class _NotAlive(Exception):
    """No worker runs on this host; the message says how that shows."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m worker", description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit with 0 if a worker runs on this host, else 1")
    arguments = parser.parse_args()
    logs.configure("worker")
    try:
        settings = Settings.from_environ()
        if not settings.redis_url:
            raise SettingsError("REDIS_URL is not set; set it to the URL of the gateway's Redis")
        if arguments.check:
            _check(settings)
        else:
            log.info("serving the models in %s", settings.models_dir)
            Supervisor(settings).run()
    except (SettingsError, _NotAlive) as error:
        log.error("%s", error)
        return 1
    return 0


def _check(settings: Settings) -> None:
    try:
        hosts = Leases(connect(settings.redis_url)).hosts()
    except RedisError as error:
        raise _NotAlive(f"Redis does not answer: {error}") from error
    if socket.gethostname() not in hosts:
        raise _NotAlive("no scorer of this host has a lease")


if __name__ == "__main__":
    sys.exit(main())
