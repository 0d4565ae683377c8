"""`python -m gateway` serves HTTP under gunicorn until it is stopped; `python -m gateway routes` lists the routes and
checks ROUTES_FILE, and `python -m gateway key` makes and revokes API keys."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from contract.errors import SettingsError
from gateway.start import allow_open_files, checked_settings
from runtime import logs

log = logging.getLogger("gateway")


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
        settings = checked_settings()
        if settings.routes_file:
            from gateway.commands.route_commands import check

            for concern in check(settings.routes_file, settings):
                log.warning("ROUTES_FILE: %s", concern)
    except SettingsError as error:
        log.error("%s", error)
        return 1
    allow_open_files()
    config = Path(__file__).parent / "server" / "gunicorn.conf.py"
    command = [sys.executable, "-m", "gateway.server", "--config", str(config), "gateway.server.wsgi:application()"]
    os.execv(sys.executable, command)


if __name__ == "__main__":
    sys.exit(main())
