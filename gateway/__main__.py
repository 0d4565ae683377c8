"""`python -m gateway`: serves HTTP under gunicorn until it is told to stop."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from contract.settings import Settings, SettingsError


def main() -> int:
    try:
        settings = Settings.from_environ()
        if not settings.redis_url:
            raise SettingsError("REDIS_URL is not set; the gateway needs the Redis that the workers use")
        settings.check_host()
    except SettingsError as error:
        print(f"gateway: {error}", file=sys.stderr)
        return 1
    config = Path(__file__).with_name("gunicorn.conf.py")
    command = [sys.executable, "-m", "gunicorn", "--config", str(config), "gateway.wsgi:application()"]
    os.execv(sys.executable, command)


if __name__ == "__main__":
    sys.exit(main())
