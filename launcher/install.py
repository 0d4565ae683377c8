"""Makes the client, its command, the kernels and the server part of this virtual environment: no build, no network."""

from __future__ import annotations

import shlex
import sys
import sysconfig
from pathlib import Path


def install(*sources: Path) -> None:
    """Let this Python import what the folders `sources` hold, and `modelgate_server`, and write the script `modelgate`
    beside it. The rooms themselves are no modules of this Python: a scorer, say, must do without the trainer."""
    paths = sysconfig.get_paths()
    Path(paths["purelib"], "modelgate.pth").write_text("".join(f"{source}\n" for source in sources))
    link = Path(paths["purelib"], "modelgate_server")
    link.unlink(missing_ok=True)
    link.symlink_to(Path(__file__).resolve().parents[1] / "modelgate_server")
    script = Path(paths["scripts"], "modelgate")
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m modelgate.command "$@"\n')
    script.chmod(0o755)


if __name__ == "__main__":
    install(*map(Path, sys.argv[1:]))
