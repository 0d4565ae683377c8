"""Imports a saved model as a version of the model repository, or refuses it with the cause and a remedy."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import logging
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from contract.errors import Code, ModelgateError
from contract.model.manifest import ManifestDraft, ModelManifest
from contract.model.repository import NAME, Repository, valid_name
from contract.model.version_files import SIGNATURE_BYTES
from contract.rows.background import background_file
from contract.settings import MB, Settings
from contract.work.training import RepositoryCommand
from storage.disk import code_of
from storage.spool.places import spool_of
from trainer.forks import Forks, forks_or_own
from trainer.importing import ALTERED, Refused
from trainer.importing.files.formats import PICKLE, recognise, stem
from trainer.importing.files.signatures import CODE_PART, PART, SAMPLE_PART, ImportNotSigned, check
from trainer.importing.import_process import ARTIFACT, CODE, FILE, SAMPLE, ImportTask
from trainer.importing.inbox.homes import Homes
from trainer.publishing.aliases import retain
from trainer.publishing.publish import MakeReport, PublishRefused, publish
from trainer.publishing.repositories import repository_of
from trainer.publishing.signing import SigningPolicy

RECIPE = "imported"
"""Stands for the recipe in the manifests of imported versions."""

CHECK_TIMEOUT = 120
"""Most seconds for unpickling a file and trying the model."""

MOST_CODE = 1_000_000
"""Largest size of the code beside a file, in bytes."""

log = logging.getLogger("trainer")


def import_file(
    settings: Settings,
    name: str,
    file: Path,
    sample: Path | None = None,
    signature: Path | None = None,
    called: str | None = None,
    code: Path | None = None,
    forks: Forks | None = None,
    versions: Mapping[str, str] | None = None,
    nulls: Mapping[str, Sequence[str]] | None = None,
    columns: Sequence[Mapping[str, Any]] | None = None,
    target: str | None = None,
    environment: str | None = None,
    notes: str | None = None,
) -> ModelManifest:
    """Publish `file` as a version of the model `name`, tried with the rows of the CSV file `sample`. `code` is a file
    of Python with the classes that a pickle names and does not hold. `called`: a name for the file in messages, if its
    own means nothing to the user. `versions`: those of Python and the libraries that made it, if known. `nulls`: what
    they were in the columns of the sample (`Null`), if known. `columns`: those that the model takes, each with `name`,
    `kind` and `nullable`, if known. `target`: the column of the sample with what it predicts, if known. It is examined
    and verified by `forks`, or else by forks of its own, in the `environment` that the version is to live in; None:
    that of the release in the file, if it can be had, or today's. `notes`: a remark that the version keeps.

    No alias moves. Raises `ModelgateError` with the cause and a remedy: `not_signed` where imports have to be
    signed and `signature` is not that of `file`, `sample` and `code`, else `not_published`. Nothing of the file is
    unpickled, and no code is run, in this process.
    """
    called = called or _shown(file.name)
    try:
        if not valid_name(name):
            raise Refused(
                f"cannot become the model {name[:64]!r}: a name has up to 64 of a-z, 0-9, _ and - (and is not inbox)"
            )
        repository = repository_of(settings)
        with repository.import_folder() as folder, forks_or_own(forks) as own_forks:
            parts = _copied_parts(settings, folder, file, sample, code)
            check(settings, name, parts, None if signature is None else _signature(signature))
            _check_allowed(settings, folder / FILE, parts)
            limits = (CHECK_TIMEOUT, settings.scorer_memory_mb, settings.model_cache_mb)
            hashes = (parts[PART], parts.get(SAMPLE_PART), parts.get(CODE_PART))
            task = ImportTask(name, *hashes, *limits, nulls=nulls, columns=columns, target=target)
            homes = Homes.from_settings(settings)
            result, home, home_forks = homes.examine(folder, task, own_forks, versions or {}, environment)
            artifact = folder / ARTIFACT
            data = (artifact if artifact.exists() else folder / FILE).read_bytes()
            if hashlib.sha256(data).hexdigest() != result.sha256:
                raise Refused(ALTERED)
            signing, page = SigningPolicy.from_settings(settings), drawn_report(result.facts)
            draft = dataclasses.replace(result.draft, notes=notes or "")
            draft = _labelled(draft, name, parts, f"{called}{_made_with(versions or {})}", home)
            report = with_files(page, background_file(result.background))
            manifest = publish(repository, data, draft, signing, report, home_forks, result.libraries)
            retain(repository, name, settings.keep_versions)
            return manifest
    except Refused as refused:
        kind = Code.NOT_SIGNED if isinstance(refused, ImportNotSigned) else Code.NOT_PUBLISHED
        raise ModelgateError(kind, f"{called} {refused}", model=name) from None
    except PublishRefused as refused:
        raise ModelgateError(Code.NOT_PUBLISHED, f"{called}: {refused}", model=name) from None
    except OSError as error:
        what = f"{called} is not published: {error.strerror or error}"
        raise ModelgateError(code_of(error), what, model=name) from error


def import_upload(
    settings: Settings,
    command: RepositoryCommand,
    forks: Forks | None = None,
    then: Callable[[ModelManifest, Path | None], Any] = lambda *_: None,
) -> Any:
    """Publish the files in SPOOL_DIR that a command (`RepositoryAction.IMPORT`) names, and remove them. `then` gets the
    manifest and the sample before that; return its answer. Raises as `import_file`."""
    names, spool = (command.upload or "", command.sample, command.signature, command.code), spool_of(settings)
    try:
        file = spool.upload(names[0])
        sample, signature, code = (spool.upload(name) if name else None for name in names[1:])
    except ValueError as error:
        raise ModelgateError(Code.NOT_PUBLISHED, f"the upload {error}") from None
    called = _shown(command.upload_name) if command.upload_name else "the file that was sent"
    try:
        told: dict[str, Any] = {"versions": command.versions, "nulls": command.nulls, "columns": command.columns}
        told |= {"target": command.target, "environment": command.environment, "notes": command.notes}
        manifest = import_file(settings, command.model, file, sample, signature, called, code, forks, **told)
        return then(manifest, sample)
    finally:
        spool.discard(filter(None, names))


def _made_with(versions: Mapping[str, str]) -> str:
    """Return the end of the sentence about the source."""
    return f", made with {', '.join(f'{name} {version}' for name, version in versions.items())}" if versions else ""


def imported_before(repository: Repository, name: str, file: Path, after: int) -> ModelManifest | None:
    """Return the version above `after` that was made from this very file, or None. Raises OSError."""
    fingerprint = _sha256(file)
    for version in reversed(repository.versions(name)):
        with suppress(ModelgateError):
            manifest = repository.manifest(name, version)
            made_of_it = manifest.recipe == RECIPE and manifest.training_data.fingerprint == fingerprint
            if version > after and made_of_it:
                return manifest
    return None


def model_name(file_name: str) -> str:
    """Return the model name for a file name: without its suffix, in lower case, with `_` for other characters.

    Raises `Refused` if no valid name remains.
    """
    letters = (stem(file_name) or file_name).lower()
    name = "".join(letter if NAME.fullmatch(letter) or letter in "_-" else "_" for letter in letters).strip("_-")
    if not valid_name(name):
        raise Refused("has a name that no model can have: use up to 64 of a-z, 0-9, _ and - (and not inbox)")
    return name


def _copied_parts(
    settings: Settings, folder: Path, file: Path, sample: Path | None, code: Path | None
) -> dict[str, str]:
    """Copy the files into `folder`, and return the sha256 of each, in hex. Raises `Refused` and OSError."""
    most = f"{settings.model_cache_mb} MB (MODEL_CACHE_MB); make it smaller, or raise that"
    parts = {PART: _copied(file, folder / FILE, settings.model_cache_mb * MB, most)}
    if sample is not None:
        parts[SAMPLE_PART] = copy_sample(settings, sample, folder / SAMPLE)
    if code is not None:
        most = f"{MOST_CODE // 1000} kB; leave only what defines the classes and functions of the model in it"
        with _refusals_about("code beside it"):
            parts[CODE_PART] = _copied(code, folder / CODE, MOST_CODE, most)
    return parts


def copy_sample(settings: Settings, sample: Path, target: Path) -> str:
    """Copy a sample and return the sha256 of the copy, in hex. Raises `Refused` and OSError."""
    most = f"{settings.model_cache_mb} MB (MODEL_CACHE_MB); make it smaller, or raise that"
    with _refusals_about("a sample"):
        return _copied(sample, target, settings.model_cache_mb * MB, most)


def _check_allowed(settings: Settings, file: Path, parts: Mapping[str, str]) -> None:
    """Raise `Refused` for a pickle, or code, where `PICKLE` denies these."""
    if recognise(file) is PICKLE and settings.pickle == "deny":
        raise Refused("is a pickle, and PICKLE=deny takes only skops files; save the model with skops.io.dump")
    if CODE_PART in parts and settings.pickle == "deny":
        raise Refused("has code beside it, and PICKLE=deny runs none; import the skops file without it")


def _labelled(
    draft: ManifestDraft, name: str, parts: Mapping[str, str], called: str, environment: str
) -> ManifestDraft:
    """Return the draft with what the process that examined the file does not say."""
    source = f"not known; imported: {draft.training_data.source}, from {called}"
    training_data = dataclasses.replace(draft.training_data, source=source, fingerprint=parts[PART])
    return dataclasses.replace(draft, name=name, recipe=RECIPE, training_data=training_data, environment=environment)


def drawn_report(facts: dict[str, Any] | None) -> MakeReport | None:
    """Return the function that makes the report, or None without facts.

    The facts are not trusted: a pickle may have changed them in its process. They are escaped like all data, and the
    pictures are drawn here.
    """
    if facts is None:
        return None
    from trainer.report.page import draw_report  # slow: it imports matplotlib, which few imports need

    try:
        return draw_report(facts)
    except Exception:
        log.warning("a model was imported without a report", exc_info=True)
        return None


def with_files(page: MakeReport | None, files: Mapping[str, bytes]) -> MakeReport:
    """Return the function that makes the report with further files beside it."""
    return lambda manifest: {**(page(manifest) if page else {}), **files}


def _copied(source: Path, target: Path, left: int, most: str) -> str:
    """Copy a file of up to `left` bytes and return the sha256 of the copy, in hex. Others may change `source` during
    the import. `most`: the limit in words."""
    digest = hashlib.sha256()
    with _opened(source) as descriptor, target.open("wb") as copy, os.fdopen(descriptor, "rb", closefd=False) as file:
        while part := file.read(min(left + 1, 1 << 20)):
            left -= len(part)
            if left < 0:
                raise Refused(f"is larger than {most}")
            digest.update(part)
            copy.write(part)
    return digest.hexdigest()


@contextmanager
def _refusals_about(part: str) -> Iterator[None]:
    """Make refusals within the block name this part instead of the file."""
    try:
        yield
    except Refused as refused:
        raise Refused(f"has {part} that {refused}") from None


def _signature(path: Path) -> bytes:
    with _refusals_about("a signature"), _opened(path) as descriptor:
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


def _shown(name: str) -> str:
    """Return a file name for messages: at most 100 characters and no control characters."""
    name = name if len(name) <= 100 else f"{name[:100]}…"
    return name if name.isprintable() else ascii(name)
