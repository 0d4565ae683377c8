"""`python -m worker` scores prediction jobs until it is stopped."""

from __future__ import annotations

import logging
import socket
import sys

from contract.errors import SettingsError
from contract.settings import Settings
from runtime import logs
from runtime.program import parser_of
from runtime.tracing import check_tracing
from storage.models.mirror_notes import wait_for_mirror
from worker.supervisor import Supervisor

log = logging.getLogger("worker")


def main() -> int:
    parser = parser_of("worker", __doc__)
    parser.add_argument(
        "--name",
        default=socket.gethostname(),
        help="of this worker, the same after a restart; default: the host's name",
    )
    arguments = parser.parse_args()
    logs.configure("worker")
    try:
        settings = Settings.from_environ()
        if not settings.redis_url:
            raise SettingsError("REDIS_URL is not set; set it to the URL of the gateway's Redis")
        check_tracing(settings)
        wait_for_mirror(settings, log)
        log.info("serving the models in %s", settings.models_dir)
        Supervisor(settings, arguments.name, arguments.health_socket).run()
    except SettingsError as error:
        log.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
