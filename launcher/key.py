"""`make key`, `make key-list`, `make key-rotate`, `make key-revoke`: the API keys of the Modelgate of this folder."""

from __future__ import annotations

import os
import sys

from contract.settings import Settings, SettingsError
from launcher.redis_server import running

FAILED, USAGE_ERROR = 1, 2


def main(arguments: list[str]) -> int:
    """Become `python -m gateway key`, or return 1 if no Redis runs, 2 for an invalid setting."""
    try:
        settings = Settings.from_environ()
    except SettingsError as error:
        print(f"modelgate: {error}", file=sys.stderr)
        return USAGE_ERROR
    url = os.environ.get("REDIS_URL") or running(settings.state_dir)
    if not url:
        print(
            f"modelgate: keys are in Redis, and no Modelgate runs with STATE_DIR={settings.state_dir}; start it with"
            " `make up`, or set STATE_DIR or REDIS_URL as at its start (in containers: docker compose exec gateway"
            " python -m gateway key)",
            file=sys.stderr,
        )
        return FAILED
    environment = {**os.environ, "REDIS_URL": url}
    os.execve(sys.executable, [sys.executable, "-m", "gateway", "key", *arguments], environment)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
