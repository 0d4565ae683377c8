"""`python -m trainer` trains missing models and runs jobs until it is stopped; its commands train, import and sign
once."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from broker.signatures import Signer
from contract.errors import ModelgateError, SettingsError
from contract.repository import CURRENT, Repository
from contract.settings import Settings
from contract.training import GENERIC_RECIPE, SIGNATURE, Gate, TrainingRequest
from runtime import logs
from runtime.health import serve_health
from runtime.liveness import Watchdog
from trainer import recipes
from trainer.arguments import parsed
from trainer.child_processes import INBOX, QUEUES, ChildProcesses
from trainer.console import print_line
from trainer.importing import signatures
from trainer.missing import train_missing
from trainer.processes import RECIPE_PREFIX, hide_memory, only_environment
from trainer.publishing.signing import SigningPolicy, make_keys, read_private_key
from trainer.stop_signal import TerminationSignals

log = logging.getLogger("trainer")

FAILED, WRONG_USE = 1, 2

LOOP_TIMEOUT = 300.0
"""Seconds that may pass between two turns of the main loop, which looks for missing models meanwhile."""

# Importing scikit-learn takes a second or two, so functions import it where they use it: --help does not wait for it.


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code: 0, 1 if something could not be trained or written, 2 for a wrong argument or setting."""
    logs.configure("trainer", sys.stdout, command=True)
    try:
        settings = Settings.from_environ()
        options = parsed(arguments, __doc__, recipes.names(settings.recipes_dir))
        match options.command:
            case "train":
                return _train_now(settings, options.names, options.csv, options.request)
            case "import":
                accept = [SIGNATURE] if options.accept_signature else []
                return _import_now(settings, options.file, options.name, options.sample, options.code, accept)
            case "keys":
                return _make_keys(options.folder)
            case "sign":
                return _sign(settings, options.unsigned, options.model, options.version)
            case "sign-file":
                return _sign_file(settings, options.file, options.name, options.sample, options.code)
            case _:
                return _serve(settings, options.ready_file, options.health_socket)
    except SettingsError as error:
        log.error("%s", error)
        return WRONG_USE


def _serve(settings: Settings, ready_file: Path | None, health_socket: Path | None) -> int:
    logs.configure("trainer", sys.stdout)
    signals = TerminationSignals()
    signing = SigningPolicy.from_settings(settings)
    signatures.keys(settings)  # raises for invalid keys at the start instead of at the first import
    known = recipes.names(settings.recipes_dir)
    for problem in recipes.problems(settings.recipes_dir):
        log.warning("%s", problem)
    unknown = [name for name in settings.train_on_start if name not in known]
    if unknown:
        raise SettingsError(f"TRAIN_ON_START names {', '.join(unknown)}, but the recipes are {', '.join(known)}")
    if ready_file:
        ready_file.unlink(missing_ok=True)
    if not _swept(settings.models_dir):
        return FAILED
    if settings.redis_url:
        Signer.from_settings(settings)
    commands = {**INBOX, **QUEUES} if settings.redis_url else INBOX
    watchdog = Watchdog(LOOP_TIMEOUT)
    children = ChildProcesses(signals, commands, ready_file, watchdog.beat)
    if health_socket:
        serve_health(health_socket, lambda: watchdog.problems() + children.problems())
    if not settings.redis_url:
        log.warning("REDIS_URL is not set, so no model can be trained over HTTP")
    train_missing(settings.models_dir, settings.train_on_start, signing, ready_file, children)
    children.terminate(settings.stop_grace - 1)
    log.info("stopped")
    return 0


def _train_now(settings: Settings, names: Sequence[str], csv_file: Path | None, asked: Mapping[str, Any]) -> int:
    # Ctrl-C ends it without a traceback. It is safe to kill a publisher at any point.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if not _swept(settings.models_dir):
        return FAILED
    with only_environment(RECIPE_PREFIX):
        trained = [_train(settings, name, csv_file, asked) for name in names]
    return 0 if all(trained) else FAILED


def _make_keys(folder: Path) -> int:
    try:
        private, public = make_keys(folder)
    except OSError as error:
        print_line(f"trainer: cannot make keys: {error.filename}: {error.strerror}")
        return FAILED
    print_line(f"SIGNING_KEY={private}  # for the trainer alone\nVERIFY_KEY={public}  # for trainer and workers")
    return 0


def _sign(settings: Settings, unsigned: bool, model: str | None, version: int | None) -> int:
    from trainer.publishing.resign import resign

    if (model is None) != (version is None):
        raise SettingsError(
            "a version to sign has --model and --version: python -m trainer sign --model loan --version 4"
        )
    key, signing = _signing_key(settings), SigningPolicy.from_settings(settings)
    if not _swept(settings.models_dir):
        return FAILED
    if model is not None and version is not None:
        return _sign_version(settings, key, signing, model, version)
    refused = 0
    for signed, reason in resign(settings.models_dir, key, signing.trust, unsigned):
        print_line(f"trainer: {signed}: {f'not signed: {reason}' if reason else 'signed'}")
        refused += reason is not None
    return FAILED if refused else 0


def _sign_version(settings: Settings, key: Ed25519PrivateKey, signing: SigningPolicy, model: str, version: int) -> int:
    from trainer.publishing.resign import NotSigned, sign_version

    try:
        sign_version(settings.models_dir, key, signing.trust, model, version)
    except (NotSigned, ModelgateError, OSError) as error:
        print_line(f"trainer: {model}@{version}: not signed: {error}")
        return FAILED
    print_line(
        f"trainer: {model}@{version}: signed; make it {CURRENT} where Modelgate runs: curl -X PUT"
        f" http://127.0.0.1:{settings.port}/v1/models/{model}/aliases/{CURRENT}"
        f" -H 'Content-Type: application/json' -d '{{\"version\": {version}}}'"
    )
    return 0


def _sign_file(settings: Settings, file: Path, name: str | None, sample: Path | None, code: Path | None) -> int:
    from trainer.importing import Refused
    from trainer.importing.imports import model_name

    try:
        model = name or model_name(file.name)
        signature = signatures.sign(_signing_key(settings), model, file, sample, code)
    except Refused as refused:
        print_line(f"trainer: {file.name!r} {refused}; or give it one with --name")
        return WRONG_USE
    except OSError as error:
        print_line(f"trainer: not signed: {error.filename}: {error.strerror}")
        return FAILED
    signed = f"{file.name} with the sample {sample.name}" if sample else f"{file.name} without a sample"
    signed += f" and with the code {code.name}" if code else ""
    print_line(f"trainer: {signature} allows the import of {signed} as {model!r}; put it beside the file")
    return 0


def _signing_key(settings: Settings) -> Ed25519PrivateKey:
    if settings.signing_key is None:
        raise SettingsError("SIGNING_KEY is not set; `python -m trainer keys` makes one")
    return read_private_key(settings.signing_key)


def _import_now(
    settings: Settings, file: Path, name: str | None, sample: Path | None, code: Path | None, accept: Sequence[str]
) -> int:
    from broker.connection import connect
    from trainer.forks import Forks
    from trainer.importing import Refused
    from trainer.importing.imports import import_file, model_name
    from trainer.importing.judging import Wish, promote_if_passed
    from trainer.publishing.promotion import promote

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if not _swept(settings.models_dir):
        return FAILED
    try:
        # Links are refused only in the inbox: here the user has named the file.
        path, signature = file.resolve(), signatures.beside(file)
        sample = sample.resolve() if sample else None
        manifest = import_file(
            settings,
            name or model_name(file.name),
            path,
            sample,
            signature.resolve() if signature.exists() else None,
            code=code.resolve() if code else None,
        )
    except Refused as refused:
        print_line(f"trainer: {file.name!r} {refused}; or give it one with --name")
        return WRONG_USE
    except ModelgateError as error:
        print_line(f"trainer: {error}")
        return FAILED
    connection = connect(settings.redis_url) if settings.redis_url else None
    by_moving = partial(promote, settings, connection)
    with Forks() as forks:
        found = promote_if_passed(settings, manifest, sample, Wish(accept=accept), by_moving, forks)
    outcome = "is published and current" if found.promoted else f"is published, but not current: {found.reason}"
    _audit(settings, "import", manifest.name, manifest.version, CURRENT if found.promoted else "")
    for warning in (*manifest.warnings, *([f"current was {found.remark}"] if found.remark else [])):
        print_line(f"trainer: {manifest.name}: {warning}")
    shown, left = manifest.signature.inputs[:20], len(manifest.signature.inputs[20:])
    inputs = ", ".join(f"{field.name} ({field.kind})" for field in shown) + (f" and {left} more" if left else "")
    methods = ", ".join(method.name for method in manifest.signature.methods)
    print_line(f"trainer: {manifest.name}: version {manifest.version} {outcome}; it takes {inputs}; it has {methods}")
    if Repository(settings.models_dir).report_dir(manifest.name, manifest.version).exists():
        print_line(
            f"trainer: {manifest.name}: its report: /v1/models/{manifest.name}/versions/{manifest.version}/report/"
        )
    return 0


def _swept(root: Path) -> bool:
    """Remove what dead publishers left, and return whether the model repository can be written."""
    from trainer.publishing.publish import sweep

    try:
        sweep(root)
    except OSError as error:
        print_line(
            f"trainer: the model repository {root.resolve()} cannot be written by the uid {os.getuid()}"
            f" ({error.strerror}): make it a folder of that user, or in docker compose set UID and GID in .env"
        )
        return False
    return True


def _train(settings: Settings, name: str, csv_file: Path | None, asked: Mapping[str, Any]) -> bool:
    """Train one model, print the result, and return whether it is published."""
    from trainer.training.train import train

    started = time.monotonic()
    own = name in recipes.names(settings.recipes_dir)
    given = {**asked, "gate": Gate(**asked.get("gate", {}))}
    request = TrainingRequest(model=name, recipe=name if own else GENERIC_RECIPE, **given)
    try:
        result = train(
            request,
            settings,
            report_progress=lambda _: None,
            log=lambda line: print_line(f"trainer: {name}: {line}"),
            promote=lambda model, version, alias: _move(settings, model, alias, version),
            csv_file=csv_file,
        )
    except ModelgateError as error:
        print_line(f"trainer: {name}: {error}")
        return False
    _audit(settings, "train", name, result.version, CURRENT if result.promoted else "")
    scores = [f"{metric.replace('_', ' ')} {value:.3f}, " for metric, value in result.metrics.items()]
    took = time.monotonic() - started
    kept = "" if result.promoted else f", but not {CURRENT}: {result.reason}"
    print_line(f"trainer: {name}: version {result.version} published, {''.join(scores[:1])}{took:.1f} s{kept}")
    return True


def _audit(settings: Settings, action: str, model: str, version: int, alias: str) -> None:
    """Add what this command has done to the audit log if there is a Redis, and say so if that fails."""
    from broker.audit import COMMAND_LINE, AuditEntry, AuditLog
    from broker.connection import connect

    if settings.redis_url:
        connection = connect(settings.redis_url, socket_timeout=1)
        log_of_redis = AuditLog(connection, settings.audit_days, of_trainer=True)
        entry = AuditEntry(action, COMMAND_LINE, model=model, version=version, alias=alias or None)
        if missing := log_of_redis.add(entry):
            print_line(f"trainer: {model}: the audit log does not have this {action}: {missing}")


def _move(settings: Settings, model: str, alias: str, version: int) -> None:
    """Move an alias at once: this command needs neither Redis nor workers."""
    from trainer.publishing.aliases import move_alias
    from trainer.publishing.promotion import check_trust

    check_trust(settings, model, version)
    move_alias(settings.models_dir, model, alias, version)


if __name__ == "__main__":
    hide_memory()
    sys.exit(main())
