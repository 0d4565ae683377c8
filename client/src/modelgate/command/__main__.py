"""The entry point of `modelgate` and `python -m modelgate.command`."""

from __future__ import annotations

import signal
import sys
from io import TextIOWrapper

from modelgate.command.application import run


def main() -> None:
    """Run the command and exit with its code. SIGTERM, which `timeout` sends, cancels a job as Ctrl-C does."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # an encoding of Windows may lack "→"
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
