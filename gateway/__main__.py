"""`python -m gateway`: serves HTTP under gunicorn until it is told to stop."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

from broker.signatures import Signer
from contract.settings import Settings, SettingsError

OPEN_FILES = 8_192
"""For the connections of clients (worker_connections in gunicorn.conf.py), those to Redis, and what is read."""


def main() -> int:
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


def _allow_open_files() -> None:
    """Most systems begin with 1,024, beyond which nobody can connect and no file of a model can be read."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


if __name__ == "__main__":
    sys.exit(main())
