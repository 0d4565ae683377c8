"""`make import` publishes a saved model; if Modelgate runs, its workers load the model before it becomes current."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from contract.settings import Settings, SettingsError
from launcher.arguments import WrongArgument, model_name, readable_file
from launcher.http_client import Modelgate
from launcher.redis_server import running

USAGE_ERROR = 2


def main(arguments: list[str] | None = None) -> int:
    """Become `python -m trainer import`, or return 2 for an invalid argument or setting.

    Publishing needs only write access to the model repository. REDIS_URL lets the trainer ask the workers to load the
    version first.
    """
    parser = argparse.ArgumentParser(prog="make import", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--name", help="name of the model (default: that of the file)")
    parser.add_argument("--sample", type=Path, metavar="CSV", help="a few rows with a header, to try the model with")
    options = parser.parse_args(arguments)
    try:
        settings = Settings.from_environ()
        file, sample = readable_file(options.file, "FILE"), readable_file(options.sample, "SAMPLE")
        name = model_name(options.name) if options.name else None
    except (SettingsError, WrongArgument) as error:
        print(f"modelgate: {error}", file=sys.stderr)
        return USAGE_ERROR
    url = settings.redis_url or running(settings.state_dir)
    if not url and Modelgate.from_settings(settings).is_alive():
        print(
            f"modelgate: the Modelgate at port {settings.port} was started from another folder; its workers load the"
            " version only on its first request. To have it loaded before, set REDIS_URL to its Redis",
            file=sys.stderr,
        )
    command = [sys.executable, "-m", "trainer", "import", str(file)]
    command += [*(["--name", name] if name else []), *(["--sample", str(sample)] if sample else [])]
    os.execve(sys.executable, command, {**os.environ, **({"REDIS_URL": url} if url else {})})


if __name__ == "__main__":
    sys.exit(main())
