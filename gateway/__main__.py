"""`python -m gateway` serves HTTP under gunicorn until it is stopped; `python -m gateway routes` lists the routes."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

from broker.signatures import Signer
from contract.settings import Settings, SettingsError

OPEN_FILES = 8_192
"""Enough for the connections of clients (worker_connections in gunicorn.conf.py), those to Redis, and files."""


def main() -> int:
    if sys.argv[1:] == ["routes"]:
        return _list_routes()
    try:
        settings = Settings.from_environ()
        if not settings.redis_url:
            raise SettingsError("REDIS_URL is not set; the gateway needs the Redis that the workers use")
        settings.check_host()
        Signer.from_settings(settings)
    except SettingsError as error:
        print(f"gateway: {error}", file=sys.stderr)
        return 1
    _allow_open_files()
    config = Path(__file__).parent / "server" / "gunicorn.conf.py"
    command = [sys.executable, "-m", "gunicorn", "--config", str(config), "gateway.server.wsgi:application()"]
    os.execv(sys.executable, command)


def _list_routes() -> int:
    """Print each route with its level. Needs no configuration."""
    from gateway.app import create_app
    from gateway.rules import listed

    app = create_app(Settings(redis_url="redis://localhost"))  # the app does not connect to it
    print(*listed(app.url_map.iter_rules()), sep="\n")
    return 0


def _allow_open_files() -> None:
    """Raise the limit of this process: most systems begin with 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


if __name__ == "__main__":
    sys.exit(main())
