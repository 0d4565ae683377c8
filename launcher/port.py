"""`make up` checks its port before it installs anything: only the standard library is there yet."""

from __future__ import annotations

import errno
import socket
import sys

from contract.errors import SettingsError
from contract.settings import Settings


class CannotStartError(Exception):
    """Modelgate cannot start; the message says why, and what to do."""


def check_port(host: str, port: int, name: str = "PORT") -> None:
    """Raise `CannotStartError` unless this process can listen on `host` and `port`, the setting `name`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            advice = f"set another port, such as {name}={port + 1}"
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                advice = "set HOST to an address of this machine"
            raise CannotStartError(f"cannot listen on {host}:{port} ({error.strerror}); {advice}") from error


def main() -> int:
    """Print a sentence and return 1 if Modelgate cannot listen where its settings say."""
    try:
        settings = Settings.from_environ()
        check_port(settings.host, settings.port)
        if settings.grpc_port:
            check_port(settings.host, settings.grpc_port, "GRPC_PORT")
    except (SettingsError, CannotStartError) as error:
        print(f"modelgate: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
