"""`python -m gateway` serves HTTP under gunicorn until it is stopped; `python -m gateway routes` lists the routes and
checks ROUTES_FILE, and `python -m gateway key` makes and revokes API keys."""

from __future__ import annotations

import logging
import os
import resource
import sys
from pathlib import Path

from broker.access.signatures import Signer
from contract.errors import SettingsError
from contract.settings import Settings
from runtime import logs
from runtime.tracing import check_tracing
from storage.models.mirror_notes import wait_for_mirror

log = logging.getLogger("gateway")

OPEN_FILES = 8_192
"""Enough for the connections of clients (worker_connections in gunicorn.conf.py), those to Redis, and files."""


def main() -> int:
    # Not at the top: gunicorn imports the application itself, and takes half a second for it.
    if sys.argv[1:2] == ["routes"]:
        from gateway.commands import route_commands

        return route_commands.main(sys.argv[2:])
    if sys.argv[1:2] == ["key"]:
        from gateway.commands import key_commands

        return key_commands.main(sys.argv[2:])
    logs.configure("gateway")
    try:
        settings = Settings.from_environ()
        if not settings.redis_url:
            raise SettingsError("REDIS_URL is not set; the gateway needs the Redis that the workers use")
        settings.check_host()
        check_tracing(settings)
        Signer.from_settings(settings)
        wait_for_mirror(settings, log)
        if settings.routes_file:
            from gateway.commands.route_commands import check

            for concern in check(settings.routes_file, settings):
                log.warning("ROUTES_FILE: %s", concern)
    except SettingsError as error:
        log.error("%s", error)
        return 1
    _allow_open_files()
    config = Path(__file__).parent / "server" / "gunicorn.conf.py"
    command = [sys.executable, "-m", "gateway.server", "--config", str(config), "gateway.server.wsgi:application()"]
    os.execv(sys.executable, command)


def _allow_open_files() -> None:
    """Raise the limit of this process: most systems begin with 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


if __name__ == "__main__":
    sys.exit(main())
