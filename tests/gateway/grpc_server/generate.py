"""`python -m tests.gateway.grpc_server.generate` writes the modules of gateway/grpc_server/inference.proto."""

from __future__ import annotations

import sys
from pathlib import Path

from grpc_tools import protoc

from tests.support import PROJECT

FOLDER = PROJECT / "gateway" / "grpc_server"


def generate(folder: Path) -> None:
    """Write both modules into `folder`."""
    options = ["", f"--proto_path={FOLDER}", f"--python_out={folder}", f"--pyi_out={folder}", "inference.proto"]
    if protoc.main(options):
        sys.exit("protoc failed")


if __name__ == "__main__":
    generate(FOLDER)
