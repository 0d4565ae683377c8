"""Makes the client and its command part of this virtual environment: no build, no network."""

from __future__ import annotations

import shlex
import sys
import sysconfig
from pathlib import Path


def install(source: Path) -> None:
    """Let this Python import `modelgate` from the folder `source`, and write the script `modelgate` beside it."""
    paths = sysconfig.get_paths()
    Path(paths["purelib"], "modelgate.pth").write_text(f"{source}\n")
    script = Path(paths["scripts"], "modelgate")
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m modelgate.command "$@"\n')
    script.chmod(0o755)


if __name__ == "__main__":
    install(Path(sys.argv[1]))
