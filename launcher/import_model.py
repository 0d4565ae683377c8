"""`make import`: publishes a model that was saved elsewhere, with the help of the running Modelgate, if any."""

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
    """Becomes `python -m trainer import`; the exit code is 2 for a wrong argument or setting.

    Publishing needs only write access to the model repository. If a Modelgate runs, its workers load the version before
    it becomes current; they are asked through Redis.
    """
    parser = argparse.ArgumentParser(prog="make import", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--name", help="the model; without it the file's name")
    parser.add_argument("--sample", type=Path, metavar="CSV", help="some rows with a header, to try the model with")
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
            f"modelgate: what answers at port {settings.port} was not started from here; its workers load the version"
            " when they are first asked for it, unless REDIS_URL names its Redis",
            file=sys.stderr,
        )
    command = [sys.executable, "-m", "trainer", "import", str(file)]
    command += [*(["--name", name] if name else []), *(["--sample", str(sample)] if sample else [])]
    os.execve(sys.executable, command, {**os.environ, **({"REDIS_URL": url} if url else {})})


if __name__ == "__main__":
    sys.exit(main())
