"""`python -m modelgate_server launcher.environments make|list|remove`: the virtual environments of older models."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from contract.errors import SettingsError
from contract.settings import Settings
from launcher.environments import installers, wanted
from launcher.environments.failures import EnvironmentFailedError
from launcher.environments.listing import listed
from launcher.environments.making import make
from launcher.environments.removing import remove
from runtime import logs

log = logging.getLogger("launcher")

_INTERRUPTED = 130


def main(arguments: Sequence[str]) -> int:
    """Do what `arguments` say and return the exit code: 0, 1 after one sentence on standard error, or 130 after Ctrl-C.

    Each step goes to standard output at once. `list` prints JSON.
    """
    options = _parsed(arguments)
    logs.configure("modelgate", command=True)
    try:
        settings = Settings.from_environ()
        folder = settings.environments_dir.absolute()
        if options.action == "list":
            sys.stdout.write(json.dumps(listed(folder)) + "\n")
        elif options.action == "remove":
            with _progress(options.name, plain=True) as say:
                remove(folder, settings.models_dir, options.name, say, force=options.force)
        else:
            for environment in _wanted(options):
                with _progress(environment.name, options.plain or not sys.stdout.isatty()) as say:
                    make(folder, environment, say)
    except (EnvironmentFailedError, SettingsError) as error:
        log.error("%s", error)
        return 1
    except OSError as error:
        log.error("%s: %s", error.filename or folder, error.strerror or error)
        return 1
    except KeyboardInterrupt:
        log.error("interrupted")
        return _INTERRUPTED
    return 0


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m modelgate_server launcher.environments", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("list", help="print what there is, as JSON")
    making = actions.add_parser("make", help="make environments, or bring them up to date")
    making.add_argument("names", nargs="+", metavar="NAME")
    making.add_argument("--requirements", type=Path, metavar="FILE", help="what it holds; only with a name of your own")
    making.add_argument("--python", default=installers.HERE, metavar="3.N", help="its Python; only with --requirements")
    making.add_argument("--plain", action="store_true", help="print a line for each step, on a terminal, too")
    removing = actions.add_parser("remove", help="remove an environment")
    removing.add_argument("name", metavar="NAME")
    removing.add_argument("--force", action="store_true", help="also if models are served with it")
    return parser.parse_args(arguments)


def _wanted(options: argparse.Namespace) -> list[wanted.Wanted]:
    if options.requirements is None:
        return list(map(wanted.release, options.names))
    if len(options.names) > 1:
        raise EnvironmentFailedError("--requirements is of one environment; make the others by themselves")
    return [wanted.own(options.names[0], options.requirements, options.python)]


@contextmanager
def _progress(name: str, plain: bool) -> Iterator[Callable[[str], None]]:
    """Yield what prints a step: below the one before, or unless `plain` in its place."""

    def say(step: str) -> None:
        print(f"{name}: {step}" if plain else f"\r\x1b[K{name}: {step}", end="\n" if plain else "", flush=True)

    try:
        yield say
    finally:
        print(end="" if plain else "\n", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
