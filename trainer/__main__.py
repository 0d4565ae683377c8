"""`python -m trainer` checks the settings and becomes supervisord, which runs the trainer's processes.

Its commands import and sign once.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NoReturn

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from broker.access.signatures import Signer
from contract.errors import ModelgateError, SettingsError
from contract.model.repository import CURRENT, Repository
from contract.settings import Settings
from contract.work.training import SIGNATURE
from runtime import logs
from scoring.key_files import private_key
from storage.models.mirror_notes import wait_for_mirror
from storage.models.repository_writer import RepositoryWriter
from trainer import recipes
from trainer.arguments import parsed
from trainer.console import print_line
from trainer.importing.files import signatures
from trainer.processes import hide_memory
from trainer.publishing.repositories import repository_of
from trainer.publishing.signing import SigningPolicy, make_keys
from trainer.training.cluster import check_cluster_client

log = logging.getLogger("trainer")

FAILED, WRONG_USE = 1, 2

# Importing scikit-learn takes a second or two, so functions import it where they use it: --help does not wait for it.


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code: 0, 1 if something could not be imported or written, 2 for a wrong argument or setting."""
    logs.configure("trainer", sys.stdout, command=True)
    try:
        settings = Settings.from_environ()
        options = parsed(arguments, __doc__)
        match options.command:
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
                logs.configure("trainer", sys.stdout, command=options.check)
                possible = _check(settings)
                if possible and not options.check:
                    wait_for_mirror(settings, log)
                    _start(settings, options.health_dir or settings.state_dir.resolve())
                return 0 if possible else FAILED
    except SettingsError as error:
        log.error("%s", error)
        return WRONG_USE


def _check(settings: Settings) -> bool:
    """Return whether the model repository can be written, and say why not. Raises `SettingsError`."""
    if not settings.redis_url:
        raise SettingsError("REDIS_URL is not set; the trainer needs the Redis that the gateway uses")
    SigningPolicy.from_settings(settings)
    signatures.keys(settings)  # raises for invalid keys at the start instead of at the first import
    Signer.from_settings(settings)
    check_cluster_client(settings)
    known = recipes.names(settings.recipes_dir)
    for problem in recipes.problems(settings.recipes_dir):
        log.warning("%s", problem)
    unknown = [name for name in settings.train_on_start if name not in known]
    if unknown:
        raise SettingsError(f"TRAIN_ON_START names {', '.join(unknown)}, but the recipes are {', '.join(known)}")
    return _swept(settings.models_dir)


def _start(settings: Settings, health_dir: Path) -> NoReturn:
    health_dir.mkdir(parents=True, exist_ok=True)
    os.environ |= {"PYTHON": sys.executable, "STOP_GRACE": str(settings.stop_grace), "HEALTH_DIR": str(health_dir)}
    configuration = Path(__file__).with_name("supervisord.conf")
    os.execv(sys.executable, [sys.executable, "-m", "runtime.process_manager", "trainer", "-c", str(configuration)])


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
    for signed, reason in resign(repository_of(settings), key, signing.trust, unsigned):
        print_line(f"trainer: {signed}: {f'not signed: {reason}' if reason else 'signed'}")
        refused += reason is not None
    return FAILED if refused else 0


def _sign_version(settings: Settings, key: Ed25519PrivateKey, signing: SigningPolicy, model: str, version: int) -> int:
    from trainer.publishing.resign import NotSigned, sign_version

    try:
        sign_version(repository_of(settings), key, signing.trust, model, version)
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
    from trainer.importing.inbox.imports import model_name

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
    return private_key(settings.signing_key)


def _import_now(
    settings: Settings, file: Path, name: str | None, sample: Path | None, code: Path | None, accept: Sequence[str]
) -> int:
    from broker.link.connection import connect
    from contract.model.promotions import Person
    from trainer.forks import Forks
    from trainer.importing import Refused
    from trainer.importing.inbox.imports import import_file, model_name
    from trainer.importing.inbox.judging import Wish, promote_if_passed
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
    by_moving = partial(promote, settings, connection, asker=Person("the command line"))
    with Forks() as forks:
        promotion = promote_if_passed(settings, manifest, sample, Wish(accept=accept), by_moving, forks)
    outcome = "is published and current" if promotion.promoted else f"is published, but not current: {promotion.reason}"
    _audit(settings, "import", manifest.name, manifest.version, CURRENT if promotion.promoted else "")
    for warning in (*manifest.warnings, *([f"current was {promotion.remark}"] if promotion.remark else [])):
        print_line(f"trainer: {manifest.name}: {warning}")
    shown, left = manifest.signature.inputs[:20], len(manifest.signature.inputs[20:])
    inputs = ", ".join(f"{field.name} ({field.kind})" for field in shown) + (f" and {left} more" if left else "")
    methods = ", ".join(method.name for method in manifest.signature.methods)
    print_line(f"trainer: {manifest.name}: version {manifest.version} {outcome}; it takes {inputs}; it has {methods}")
    if Repository(settings.models_dir).files(manifest.name, manifest.version).has_report():
        print_line(
            f"trainer: {manifest.name}: its report: /v1/models/{manifest.name}/versions/{manifest.version}/report/"
        )
    return 0


def _swept(root: Path) -> bool:
    """Remove what dead publishers left, and return whether the model repository can be written."""
    repository = RepositoryWriter(root)
    try:
        repository.check_writable()
        repository.sweep()
    except OSError as error:
        print_line(
            f"trainer: the model repository {root.resolve()} cannot be written by the uid {os.getuid()}"
            f" ({error.strerror}): make it a folder of that user, or in docker compose set UID and GID in .env"
        )
        return False
    return True


def _audit(settings: Settings, action: str, model: str, version: int, alias: str) -> None:
    """Add what this command has done to the audit log if there is a Redis, and say so if that fails."""
    from broker.access.audit_log import COMMAND_LINE, AuditEntry, AuditLog
    from broker.link.connection import connect

    if settings.redis_url:
        connection = connect(settings.redis_url, socket_timeout=1)
        log_of_redis = AuditLog(connection, settings.retention.audit_days, of_trainer=True)
        entry = AuditEntry(action, COMMAND_LINE, model=model, version=version, alias=alias or None)
        if missing := log_of_redis.add(entry):
            print_line(f"trainer: {model}: the audit log does not have this {action}: {missing}")


if __name__ == "__main__":
    hide_memory()
    sys.exit(main())
