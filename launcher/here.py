"""Becomes the command `modelgate` for the Modelgate that `make up` runs with the same settings."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from contract.settings import Settings, SettingsError

USAGE_ERROR = 2
ADDRESS_FILE = "address"
"""The file in STATE_DIR with the address of the Modelgate that was started last."""


def main(arguments: Sequence[str]) -> int:
    """Become `modelgate` with these arguments, or return 2 for an invalid setting."""
    try:
        settings = Settings.from_environ()
    except SettingsError as error:
        print(f"modelgate: {error}", file=sys.stderr)
        return USAGE_ERROR
    os.execve(sys.executable, [sys.executable, "-m", "modelgate.command", *arguments], environment(settings))


def environment(settings: Settings) -> dict[str, str]:
    """Return the environment of the command. The key is `API_KEY`, else `ADMIN_KEY`, else `MODELGATE_API_KEY`, unless
    that one is for another address."""
    address = url(settings) if {"HOST", "PORT"} & os.environ.keys() else _remembered(settings) or url(settings)
    given = os.environ.get("MODELGATE_API_KEY", "") if os.environ.get("MODELGATE_URL", address) == address else ""
    key = settings.api_key or settings.admin_key or given
    return {**os.environ, "MODELGATE_URL": address, "MODELGATE_API_KEY": key}


def remember(settings: Settings) -> None:
    """Write the address of the gateway where commands in this folder look for it, the client among them."""
    (settings.state_dir / ADDRESS_FILE).write_text(f"{url(settings)}\n")


def _remembered(settings: Settings) -> str:
    try:
        return (settings.state_dir / ADDRESS_FILE).read_text().strip()
    except OSError:
        return ""


def url(settings: Settings) -> str:
    """Return the address of the gateway on this machine."""
    host = _LOOPBACK.get(settings.host, settings.host)
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
"""Where a gateway that listens at every address is asked: it refuses these two as a `Host`."""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
