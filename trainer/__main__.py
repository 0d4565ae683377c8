"""`python -m trainer` keeps the model repository complete; `train NAME` trains now, `import FILE` takes a pickle."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from contract.errors import ModelgateError
from contract.settings import Settings, SettingsError
from trainer import recipes
from trainer.recipe import DataError
from trainer.service import Signals, say, serve

FAILED, WRONG_USE = 1, 2

# What needs scikit-learn, which takes a second or two, is imported where it is used: --help and a misspelt
# name need not wait for it.


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0, 1 when something could not be trained or written, 2 for a wrong argument or setting."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command == "train" and options.csv and len(options.names) > 1:
        parser.error("--csv trains one recipe: name one")
    try:
        settings = Settings.from_environ()
        if options.command == "import":
            return _import_now(settings, options.file, options.name, options.sample)
        if options.command == "train":
            return _train_now(settings, options.names, options.csv)
        return _serve(settings, options.ready_file)
    except SettingsError as error:
        say(f"trainer: {error}")
        return WRONG_USE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m trainer", description=__doc__, epilog="Settings: .env.example.")
    parser.add_argument("--ready-file", type=Path, metavar="PATH", help="touched when what was missing is trained")
    commands = parser.add_subparsers(dest="command", title="commands")
    train = commands.add_parser(
        "train",
        help="train recipes now and make the new versions current",
        description="Trains recipes now and makes the new versions current, in MODELS_DIR."
        " Training data: --csv, else DATA_DIR/NAME.csv, else what the recipe has by itself.",
    )
    known = recipes.names()
    train.add_argument("names", nargs="+", metavar="NAME", choices=known, help=f"one of {', '.join(known)}")
    train.add_argument("--csv", type=Path, metavar="FILE", help="training data, with a header in any case")
    bring = commands.add_parser(
        "import",
        help="publish a model that was saved elsewhere and make it current",
        description="Publishes a pickle, joblib, cloudpickle or skops file as a version in MODELS_DIR and makes it"
        " current. A pickle is a program: import only what you trust.",
    )
    bring.add_argument("file", type=Path, metavar="FILE")
    bring.add_argument("--name", metavar="NAME", help="the model; without it the file's name")
    bring.add_argument("--sample", type=Path, metavar="CSV", help="some rows with a header, to try the model with")
    return parser


def _serve(settings: Settings, ready_file: Path | None) -> int:
    signals = Signals()
    known = recipes.names()
    unknown = [name for name in settings.train_on_start if name not in known]
    if unknown:
        raise SettingsError(f"TRAIN_ON_START names {', '.join(unknown)}, but the recipes are {', '.join(known)}")
    if ready_file:
        ready_file.unlink(missing_ok=True)
    if not _swept(settings.models_dir):
        return FAILED
    serve(settings.models_dir, settings.train_on_start, ready_file, signals)
    return 0


def _train_now(settings: Settings, names: Sequence[str], csv_file: Path | None) -> int:
    # Ctrl-C ends it without a traceback: a publisher may die at any point.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if not _swept(settings.models_dir):
        return FAILED
    trained = [_train(settings, name, csv_file) for name in names]
    return 0 if all(trained) else FAILED


def _import_now(settings: Settings, file: Path, name: str | None, sample: Path | None) -> int:
    from broker.connection import connect
    from trainer.importing import Refused
    from trainer.imports import import_file, model_name
    from trainer.swap import promote

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if not _swept(settings.models_dir):
        return FAILED
    try:
        # Of links only those in the inbox are refused: here somebody has named the file.
        manifest = import_file(
            settings, name or model_name(file.name), file.resolve(), sample.resolve() if sample else None
        )
    except Refused as refused:
        say(f"trainer: {file.name!r} {refused}; or give it one with --name")
        return WRONG_USE
    except ModelgateError as error:
        say(f"trainer: {error}")
        return FAILED
    connection = connect(settings.redis_url) if settings.redis_url else None
    remark = promote(settings, connection, manifest.name, manifest.version)
    for warning in (*manifest.warnings, *filter(None, [remark])):
        say(f"trainer: {manifest.name}: {warning}")
    inputs = ", ".join(f"{field.name} ({field.kind})" for field in manifest.signature.inputs[:20])
    say(f"trainer: {manifest.name}: version {manifest.version} published; it takes {inputs}")
    return 0


def _swept(root: Path) -> bool:
    """Whether the model repository can be written; what dead publishers left is gone then."""
    from trainer.publish import sweep

    try:
        sweep(root)
    except OSError as error:
        say(
            f"trainer: the model repository {root.resolve()} cannot be written by the uid {os.getuid()}"
            f" ({error.strerror}): make it a folder of that user, or in docker compose set UID and GID in .env"
        )
        return False
    return True


def _train(settings: Settings, name: str, csv_file: Path | None) -> bool:
    """Whether it is published; says what happened."""
    from trainer.data import load
    from trainer.publish import PublishRefused
    from trainer.train import train

    started = time.monotonic()
    try:
        recipe = recipes.get(name)
        data = load(recipe, settings.data_dir, csv_file)
        say(f"trainer: {name}: training on {data.source} ({len(data.rows)} rows)")
        manifest = train(recipe, data, settings.models_dir)
    except (DataError, PublishRefused) as error:
        say(f"trainer: {name}: {error}")
        return False
    except Exception as error:
        say(f"trainer: {name}: training failed: {type(error).__name__}: {error}")
        # A recipe's author needs the place, too.
        traceback.print_exc()
        return False
    metric, value = next(iter(manifest.metrics.items()), ("rows", len(data.rows)))
    took = time.monotonic() - started
    say(f"trainer: {name}: version {manifest.version} published, {metric.replace('_', ' ')} {value:.3f}, {took:.1f} s")
    return True


if __name__ == "__main__":
    sys.exit(main())
