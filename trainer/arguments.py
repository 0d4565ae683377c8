"""The arguments of `python -m trainer`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


def parsed(arguments: Sequence[str] | None, description: str | None, known: Sequence[str]) -> argparse.Namespace:
    """Return the options in `arguments` (None: those of this process); `known` are the names of the recipes. Exits with
    a usage error if they are wrong or contradict each other."""
    parser = _parser(description, known)
    options = parser.parse_args(arguments)
    if options.command == "train":
        _check_train(parser, options, known)
    return options


def _check_train(parser: argparse.ArgumentParser, options: argparse.Namespace, known: Sequence[str]) -> None:
    """Exit with a usage error if the options of `train` contradict each other. Adds --target to the request."""
    if (options.csv or options.request) and len(options.names) > 1:
        parser.error("--csv and --request train one recipe: name one")
    if options.target:
        options.request["target"] = options.target
    if not options.request.get("target") and (unknown := set(options.names) - set(known)):
        parser.error(
            f"there is no recipe {sorted(unknown)[0]!r}; there are {', '.join(known)}, and --target trains any CSV file"
            " by naming the column to predict"
        )


def _parser(description: str | None, known: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m trainer", description=description, epilog="Settings: .env.example."
    )
    parser.add_argument(
        "--ready-file", type=Path, metavar="PATH", help="created once every missing model has been tried"
    )
    parser.add_argument(
        "--health-socket", type=Path, metavar="PATH", help="where `python -m runtime.health PATH` asks for its health"
    )
    commands = parser.add_subparsers(dest="command", title="commands")
    _add_training(commands.add_parser, known)
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
    return parser


def _add_training(add: Callable[..., argparse.ArgumentParser], known: Sequence[str]) -> None:
    train = add(
        "train",
        help="train recipes now and make the new versions current",
        description="Trains recipes now and makes the new versions current, in MODELS_DIR."
        " Training data: --csv, else DATA_DIR/NAME.csv, else the recipe's own.",
    )
    train.add_argument("names", nargs="+", metavar="NAME", help=f"one of {', '.join(known)}, or any with --target")
    train.add_argument("--csv", type=Path, metavar="FILE", help="training data, with a header in any case")
    train.add_argument("--target", metavar="COLUMN", help="the column to predict, for a model without its own recipe")
    train.add_argument(
        "--request",
        type=_request,
        default="{}",
        metavar="JSON",
        help='further parts of a training request, such as {"features": ["a"], "kinds": {"zip": "string"}}',
    )


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


def _request(text: str) -> dict[str, Any]:
    """Parse --request. Raises ValueError, which argparse reports."""
    request = json.loads(text)
    if not isinstance(request, dict) or set(request) - {
        "target",
        "features",
        "id_field",
        "kinds",
        "parameters",
        "gate",
        "accept",
    }:
        raise ValueError(text)
    return request


def _add_import_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--name", metavar="NAME", help="the model (default: the file's name)")
    parser.add_argument("--sample", type=Path, metavar="CSV", help="rows with a header to try the model with")
    parser.add_argument("--code", type=Path, metavar="PY", help="the script or module that defines the model's classes")
