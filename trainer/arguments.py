"""The arguments of `python -m trainer`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path


def parsed(arguments: Sequence[str] | None, description: str | None) -> argparse.Namespace:
    """Return the options in `arguments` (None: those of this process). Exits with a usage error if they are wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m trainer", description=description, epilog="Settings: .env.example."
    )
    parser.add_argument("--check", action="store_true", help="only check the settings and the model repository")
    parser.add_argument(
        "--health-dir",
        type=Path,
        metavar="PATH",
        help="folder of the sockets that `python -m runtime.health` asks; default: STATE_DIR",
    )
    commands = parser.add_subparsers(dest="command", title="commands")
    _add_signing(commands.add_parser)
    bring = commands.add_parser(
        "import",
        help="publish a saved model and make it current",
        description="Publishes a pickle, joblib, cloudpickle or skops file as a version in MODELS_DIR and makes it"
        " current. A pickle is a program: import only what you trust.",
    )
    _add_import_arguments(bring)
    bring.add_argument(
        "--accept-signature", action="store_true", help="make it current even if callers have to change something"
    )
    return parser.parse_args(arguments)


def _add_signing(add: Callable[..., argparse.ArgumentParser]) -> None:
    keys = add("keys", help="make a pair of keys for SIGNING_KEY and VERIFY_KEY")
    keys.add_argument("folder", type=Path, metavar="FOLDER")
    sign = add(
        "sign",
        help="sign existing versions",
        description="Signs versions in MODELS_DIR with SIGNING_KEY: those that another key of VERIFY_KEY has signed, or"
        " the version that you name and vouch for.",
    )
    sign.add_argument(
        "--unsigned", action="store_true", help="also sign versions without any signature: you vouch for them"
    )
    sign.add_argument("--model", metavar="NAME", help="sign only a version of this model")
    sign.add_argument("--version", type=int, metavar="N", help="the version to sign")
    outside = add(
        "sign-file",
        help="sign a file to import",
        description="Writes FILE.sig with SIGNING_KEY, so that a trainer with VERIFY_KEY may import FILE.",
    )
    _add_import_arguments(outside)


def _add_import_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--name", metavar="NAME", help="the model (default: the file's name)")
    parser.add_argument("--sample", type=Path, metavar="CSV", help="rows with a header to try the model with")
    parser.add_argument("--code", type=Path, metavar="PY", help="the script or module that defines the model's classes")
