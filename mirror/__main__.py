"""`python -m mirror` keeps MODELS_DIR as the model repository is at MODELS_URL, until it is stopped."""

from __future__ import annotations

import logging
import socket
import sys

from broker.link.connection import connect
from contract.errors import SettingsError
from contract.settings import Settings
from mirror.service import Mirror, run
from runtime import logs
from runtime.health import serve_health
from runtime.liveness import Watchdog
from runtime.outages import repeat_in_thread
from runtime.program import parser_of, stop_event
from storage.models.bucket import ModelBucket
from storage.models.mirrored import MirroredRepository
from storage.objects import Objects

log = logging.getLogger("mirror")

LOOP_TIMEOUT = 120.0
"""Seconds without a sign of life: more than Redis or the store can delay one."""


def main() -> int:
    parser = parser_of("mirror", __doc__)
    parser.add_argument("--name", default=socket.gethostname(), help="of this mirror; default: the host's name")
    arguments = parser.parse_args()
    logs.configure("mirror")
    try:
        settings = Settings.from_environ()
        if not settings.redis_url or not settings.models_url:
            raise SettingsError("a mirror needs REDIS_URL and MODELS_URL; set both")
        watchdog = Watchdog(LOOP_TIMEOUT)
        objects = Objects.at("MODELS_URL", settings.models_url, settings.store_options_file, watchdog.beat)
        repository = MirroredRepository(settings.models_dir, ModelBucket(objects))
        repository.check_writable()
    except SettingsError as error:
        log.error("%s", error)
        return 1
    except OSError as error:
        log.error("MODELS_DIR=%s cannot be written: %s", settings.models_dir, error.strerror)
        return 1
    stop = stop_event()
    mirror = Mirror(repository, connect(settings.redis_url, socket_timeout=2, check=False), arguments.name)
    if arguments.health_socket:
        serve_health(arguments.health_socket, lambda: watchdog.problems() + mirror.problems())
    repeat_in_thread("reports", mirror.report, 0, log, stop)
    run(mirror, stop, watchdog.beat)
    return 0


if __name__ == "__main__":
    sys.exit(main())
