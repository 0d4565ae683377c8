"""Imports a saved model as a version of the model repository, or refuses it with the cause and a remedy."""

from __future__ import annotations

import dataclasses
import errno
import fcntl
import hashlib
import logging
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from contract.errors import Code, ModelgateError
from contract.manifest import ModelManifest
from contract.repository import NAME, Repository, valid_name
from contract.settings import MB, Settings
from contract.training import RepositoryCommand
from scoring.trust import SIGNATURE_BYTES
from trainer.importing import ALTERED, Refused
from trainer.importing.formats import PICKLE, recognise
from trainer.importing.import_process import ARTIFACT, FILE, SAMPLE, ImportResult, ImportTask, examine_in_process
from trainer.importing.signatures import PART, SAMPLE_PART, NotSigned, check
from trainer.publishing.aliases import retain
from trainer.publishing.disk import STAGING, no_link, staging
from trainer.publishing.publish import PublishRefused, WriteReport, publish
from trainer.publishing.signing import SigningPolicy

RECIPE = "imported"
"""Stands for the recipe in the manifests of imported versions."""

CHECK_TIMEOUT = 120
"""Most seconds for unpickling a file and trying the model."""

_FOLDER_PREFIX = "inbox"
"""The prefix of import folders in the staging area. No model has this name."""

log = logging.getLogger("trainer")
_FILE = re.compile(r"(.+)\.(?:pkl|pickle|joblib|cloudpickle|skops)(?:\.(?:gz|bz2|xz|z))?", re.IGNORECASE | re.DOTALL)


def import_file(
    settings: Settings,
    name: str,
    file: Path,
    sample: Path | None = None,
    signature: Path | None = None,
    called: str | None = None,
) -> ModelManifest:
    """Publish `file` as a version of the model `name`, tried with the rows of the CSV file `sample`. `called`: a name
    for the file in messages, if its own means nothing to the user.

    No alias moves. Raises `ModelgateError` with the cause and a remedy: `not_signed` where imports have to be
    signed and `signature` is not that of `file` and `sample`, else `not_published`. Nothing of the file is unpickled in
    this process.
    """
    called = called or _shown(file.name)
    try:
        if not valid_name(name):
            raise Refused(
                f"cannot become the model {name[:64]!r}: a name has up to 64 of a-z, 0-9, _ and - (and is not inbox)"
            )
        with _import_folder(settings.models_dir) as folder:
            result = _examined(settings, name, file, sample, signature, folder, called)
            artifact = folder / ARTIFACT
            data = (artifact if artifact.exists() else folder / FILE).read_bytes()
            if hashlib.sha256(data).hexdigest() != result.sha256:
                raise Refused(ALTERED)
            signing, report = SigningPolicy.from_settings(settings), _report(result.facts)
            manifest = publish(settings.models_dir, data, result.draft, signing, report)
            retain(settings.models_dir, name, settings.keep_versions)
            return manifest
    except Refused as refused:
        code = Code.NOT_SIGNED if isinstance(refused, NotSigned) else Code.NOT_PUBLISHED
        raise ModelgateError(code, f"{called} {refused}", model=name) from None
    except PublishRefused as refused:
        raise ModelgateError(Code.NOT_PUBLISHED, f"{called}: {refused}", model=name) from None
    except OSError as error:
        what = f"{called} is not published: {error.strerror or error}"
        raise ModelgateError(Code.NOT_PUBLISHED, what, model=name) from error


def import_upload(settings: Settings, command: RepositoryCommand) -> ModelManifest:
    """Publish the files in SPOOL_DIR that a command (`RepositoryAction.IMPORT`) names, and remove them. Raises as
    `import_file`."""
    file = _spooled(settings, command.upload or "")
    sample = _spooled(settings, command.sample) if command.sample else None
    signature = _spooled(settings, command.signature) if command.signature else None
    called = _shown(command.upload_name) if command.upload_name else "the file that was sent"
    try:
        return import_file(settings, command.model, file, sample, signature, called)
    finally:
        for sent in filter(None, (file, sample, signature)):
            sent.unlink(missing_ok=True)


def imported_before(root: Path, name: str, file: Path, after: int) -> ModelManifest | None:
    """Return the version above `after` that was made from this very file, or None. Raises OSError."""
    repository, fingerprint = Repository(root), _sha256(file)
    for version in reversed(repository.versions(name)):
        with suppress(ModelgateError):
            manifest = repository.manifest(name, version)
            made_of_it = manifest.recipe == RECIPE and manifest.training_data.fingerprint == fingerprint
            if version > after and made_of_it:
                return manifest
    return None


def stem(file_name: str) -> str | None:
    """Return a file name without the suffix of a model file; None if it has none."""
    found = _FILE.fullmatch(file_name)
    return found[1] if found else None


def model_name(file_name: str) -> str:
    """Return the model name for a file name: without its suffix, in lower case, with `_` for other characters.

    Raises `Refused` if no valid name remains.
    """
    letters = (stem(file_name) or file_name).lower()
    name = "".join(letter if NAME.fullmatch(letter) or letter in "_-" else "_" for letter in letters).strip("_-")
    if not valid_name(name):
        raise Refused("has a name that no model can have: use up to 64 of a-z, 0-9, _ and - (and not inbox)")
    return name


def _examined(
    settings: Settings, name: str, file: Path, sample: Path | None, signature: Path | None, folder: Path, called: str
) -> ImportResult:
    """Copy the file into `folder` and examine it there. Raises `Refused` and OSError."""
    parts = {PART: _copied(file, folder / FILE, settings.model_cache_mb)}
    if sample is not None:
        with _refusals_about("sample"):
            parts[SAMPLE_PART] = _copied(sample, folder / SAMPLE, settings.model_cache_mb)
    check(settings, name, parts, None if signature is None else _signature(signature))
    if recognise(folder / FILE) is PICKLE and settings.pickle == "deny":
        raise Refused("is a pickle, and PICKLE=deny takes only skops files; save the model with skops.io.dump")
    limits = (CHECK_TIMEOUT, settings.scorer_memory_mb, settings.model_cache_mb)
    result = examine_in_process(folder, ImportTask(name, parts[PART], parts.get(SAMPLE_PART), *limits))
    source = f"not known; imported: {result.draft.training_data.source}, from {called}"
    training_data = dataclasses.replace(result.draft.training_data, source=source, fingerprint=parts[PART])
    draft = dataclasses.replace(result.draft, name=name, recipe=RECIPE, training_data=training_data)
    return dataclasses.replace(result, draft=draft)


def _report(facts: dict[str, Any] | None) -> WriteReport | None:
    """Return the function that writes the report, or None without facts.

    The facts are not trusted: a pickle may have changed them in its process. They are escaped like all data, and the
    pictures are drawn here.
    """
    if facts is None:
        return None
    from trainer.report import Report  # slow: it imports matplotlib, which few imports need

    try:
        return Report.drawn(facts).write
    except Exception:
        log.warning("a model was imported without a report", exc_info=True)
        return None


def _copied(source: Path, target: Path, megabytes: int) -> str:
    """Copy a file and return the sha256 of the copy, in hex. Others may change `source` during the import."""
    digest, left = hashlib.sha256(), megabytes * MB
    with _opened(source) as descriptor, target.open("wb") as copy, os.fdopen(descriptor, "rb", closefd=False) as file:
        while part := file.read(min(left + 1, 1 << 20)):
            left -= len(part)
            if left < 0:
                raise Refused(f"is larger than {megabytes} MB (MODEL_CACHE_MB); make it smaller, or raise that")
            digest.update(part)
            copy.write(part)
    return digest.hexdigest()


@contextmanager
def _refusals_about(part: str) -> Iterator[None]:
    """Make refusals within the block name this part instead of the file."""
    try:
        yield
    except Refused as refused:
        raise Refused(f"has a {part} that {refused}") from None


def _signature(path: Path) -> bytes:
    with _refusals_about("signature"), _opened(path) as descriptor:
        return os.read(descriptor, SIGNATURE_BYTES + 1)


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """Open a regular file. Opening a FIFO or a device could block for ever, or have an effect."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENOENT:
            raise Refused("does not exist; check its path") from None
        if error.errno == errno.ELOOP:
            raise Refused("is a symbolic link; put the file itself there") from None
        if error.errno in (errno.EACCES, errno.EPERM):
            raise Refused(f"cannot be read by the trainer (uid {os.getuid()}); run chmod a+r on it") from None
        if error.errno == errno.ENXIO:
            raise Refused("is not a file (but a socket, a pipe or a device); put a file there") from None
        raise
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise Refused("is not a file (but a folder, a pipe or a device); put a file there")
        yield descriptor
    finally:
        os.close(descriptor)


def _sha256(path: Path) -> str:
    with _opened(path) as descriptor, os.fdopen(descriptor, "rb", closefd=False) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _import_folder(root: Path) -> Iterator[Path]:
    """Create a folder in the staging area and remove it afterwards. `sweep` leaves it alone while it is in use."""
    with open(staging(root) / f"{_FOLDER_PREFIX}.lock", "a", opener=no_link) as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        folder = root / STAGING / f"{_FOLDER_PREFIX}-{secrets.token_hex(4)}"
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _spooled(settings: Settings, name: str) -> Path:
    if not name or Path(name).name != name or name.startswith("."):
        raise ModelgateError(Code.NOT_PUBLISHED, f"the upload {name[:64]!r} is not a file of SPOOL_DIR")
    return settings.spool_dir / name


def _shown(name: str) -> str:
    """Return a file name for messages: at most 100 characters and no control characters."""
    name = name if len(name) <= 100 else f"{name[:100]}…"
    return name if name.isprintable() else ascii(name)
