"""The address of the Modelgate that `make up` runs."""

from __future__ import annotations

from contract.settings import Settings

ADDRESS_FILE = "address"
"""The file in STATE_DIR with the address of the Modelgate that was started last; the client reads it there."""


def remember(settings: Settings) -> None:
    """Write the address of the gateway where commands in this folder look for it."""
    (settings.state_dir / ADDRESS_FILE).write_text(f"{url(settings)}\n")


def url(settings: Settings) -> str:
    """Return the address of the gateway on this machine."""
    host = _LOOPBACK.get(settings.host, settings.host)
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
"""Where a gateway that listens at every address is asked: it refuses these two as a `Host`."""
