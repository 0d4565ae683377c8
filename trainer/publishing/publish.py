"""Publishes versions: the only writer of versions. Readers of the model repository see complete versions only.

A version is written into a folder of `.staging/`, flushed, loaded in a fresh process, checked on its golden rows, and
renamed into place. Publishing holds the lock on `.staging/<model>.lock`, whose content is the last version number. A
number is never used again, even if the model's folder is deleted: gateway and workers cache what they know of a version
for ever. This module moves no alias: see `promotion.py`.
"""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from contract.model.manifest import Artifact, ArtifactFormat, ManifestDraft, ModelManifest
from contract.model.repository import MANIFEST_FILE, REPORT_DIR, SIGNATURE_FILE, VERSIONS_DIR, Repository
from contract.work.jobs import timestamp
from scoring.artifacts import library_versions, pack
from scoring.skops_audit import Untrusted, UntrustedTypes
from scoring.trust import Trust
from trainer.forks import Forks, ForkTask, forks_or_own
from trainer.publishing.disk import STAGING, locked, locked_if_free, staging, sync, write
from trainer.publishing.signing import UNSIGNED, SigningPolicy
from trainer.recipes import pickled_by_value

log = logging.getLogger("trainer")

VERIFY_TIMEOUT = 300


class PublishRefused(Exception):
    """A version that must not be served; the message says why. Readers see nothing of it."""


WriteReport = Callable[[Path, ModelManifest], None]
"""Writes the report of a version into an existing, empty folder."""


def publish(
    root: Path,
    estimator: Any,
    draft: ManifestDraft,
    signing: SigningPolicy = UNSIGNED,
    report: WriteReport | None = None,
    forks: Forks | None = None,
    libraries: Mapping[str, str] | None = None,
) -> ModelManifest:
    """Publish `estimator` as a new version of the model `draft.name` and return its manifest. No alias moves.

    An `estimator` that is bytes is the artifact itself, made with `libraries`; None: with those that run here. If
    `signing` allows no pickles, the artifact is a skops file, whatever format `draft` names. It is verified by `forks`,
    or else by forks of its own. Waits while another process publishes the same model. If `report` raises, the version
    has no report. Raises `PublishRefused`, and OSError if `root` cannot be written.
    """
    ready = isinstance(estimator, bytes)
    artifact_format = draft.artifact.format if signing.trust.pickles or ready else ArtifactFormat.SKOPS
    data = estimator if ready else _packed(estimator, artifact_format)
    with locked(root, draft.name) as lock:
        version = _next_version(root, draft.name, lock)
        manifest = draft.publish(
            version=version,
            created_at=timestamp(datetime.now(UTC)),
            artifact=Artifact(
                file=f"model.{artifact_format}",
                format=artifact_format,
                input_format=draft.artifact.input_format,
                size=len(data),
                sha256=hashlib.sha256(data).hexdigest(),
                input_dtype=draft.artifact.input_dtype,
                kernels=draft.artifact.kernels,
            ),
            libraries=libraries or library_versions(),
        )
        text = manifest.dumps().encode()
        with _staged(root, draft.name) as folder:
            write(folder / manifest.artifact.file, data)
            write(folder / MANIFEST_FILE, text)
            if signing.key:
                write(folder / SIGNATURE_FILE, signing.key.sign(text))
            sync(folder)
            with forks_or_own(forks) as own_forks:
                verify(folder, manifest, signing.own_trust, own_forks)
            if report:
                _write_report(folder / REPORT_DIR, manifest, report)
            _record_version(lock, version)
            _rename_into(root / draft.name / VERSIONS_DIR, folder, version)
    return manifest


def sweep(root: Path) -> None:
    """Remove the staging folders of publishers that died. Folders in use stay.

    Creates `root`. Raises OSError if it cannot be written.
    """
    for folder in (staging(root), root):
        tempfile.TemporaryFile(dir=folder).close()
    for folder in staging(root).iterdir():
        if not folder.is_dir():
            continue
        with locked_if_free(root, folder.name.rpartition("-")[0]) as lock:
            if lock:
                shutil.rmtree(folder, ignore_errors=True)


def verify(folder: Path, manifest: ModelManifest, trust: Trust, forks: Forks) -> None:
    """Load the staged version in a fork, under `trust`. Raises `PublishRefused` unless its answers to the golden rows
    are the same."""
    # Custom code may depend on the order of a set, which differs between the processes that serve it.
    custom = manifest.artifact.format is ArtifactFormat.CLOUDPICKLE
    arguments = {"folder": str(folder.resolve()), "trust": trust.to_json()}
    try:
        ended = forks.run(ForkTask.VERIFY, arguments, VERIFY_TIMEOUT, another_hash_seed=custom)
    except subprocess.TimeoutExpired:
        raise PublishRefused(f"{manifest.name} is not published: loading takes over {VERIFY_TIMEOUT} s") from None
    problem = ended.answer.decode(errors="replace").strip()
    if problem or not ended.answer:
        shown = problem or (ended.lines or [f"it ended with {ended.code}"])[-1]
        raise PublishRefused(f"{manifest.name} is not published: a fresh process cannot use it: {shown}")


def _packed(estimator: Any, artifact_format: ArtifactFormat) -> bytes:
    try:
        with pickled_by_value():
            return pack(estimator, artifact_format)
    except UntrustedTypes as error:
        raise PublishRefused(
            f"the model is not published: {error}; use scikit-learn's own classes, or publish it under PICKLE=allow"
        ) from error
    except Untrusted as error:
        raise PublishRefused(f"the model is not published: {error}") from error
    except Exception as error:
        raise PublishRefused(
            f"the model is not published: it cannot be written as {artifact_format}: {error}"
        ) from error


def _write_report(folder: Path, manifest: ModelManifest, report: WriteReport) -> None:
    """Write the report. If that fails, the version is published without one."""
    folder.mkdir()
    try:
        report(folder, manifest)
        for path in (folder, *folder.rglob("*"), folder.parent):
            sync(path)
    except Exception:
        log.warning("version %s of %s is published without a report", manifest.version, manifest.name, exc_info=True)
        shutil.rmtree(folder)


def record_numbers(root: Path, name: str, lock: IO[str]) -> None:
    """Record every number that the model has used, before its folder goes."""
    _record_version(lock, _next_version(root, name, lock) - 1)


def _next_version(root: Path, name: str, lock: IO[str]) -> int:
    """Return one more than every number that was used before, exists on disk, was removed, or has an alias."""
    lock.seek(0)
    recorded = [int(line) for line in lock.read().split() if line.isdecimal()]
    versions = root / name / VERSIONS_DIR
    on_disk = [int(entry) for entry in (os.listdir(versions) if versions.is_dir() else ()) if entry.isdecimal()]
    repository = Repository(root)
    removed = [number for removal in repository.removals(name) for number in removal.versions]
    return max([0, *recorded, *on_disk, *removed, *repository.aliases(name).values()]) + 1


def _record_version(lock: IO[str], version: int) -> None:
    lock.write(f"{version}\n")  # at the end: a publisher that dies here takes no earlier number with it
    lock.flush()
    os.fsync(lock.fileno())


@contextmanager
def _staged(root: Path, name: str) -> Iterator[Path]:
    """Create a staging folder, and remove it afterwards unless it was renamed. Older ones are of dead publishers."""
    for old in (root / STAGING).glob(f"{name}-*/"):
        if old.name.rpartition("-")[0] == name:
            shutil.rmtree(old, ignore_errors=True)
    # Not mkdtemp: its folders are readable only by their owner.
    folder = root / STAGING / f"{name}-{secrets.token_hex(4)}"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _rename_into(versions: Path, folder: Path, version: int) -> None:
    versions.mkdir(parents=True, exist_ok=True)
    folder.rename(versions / str(version))
    for changed in (versions, versions.parent, versions.parent.parent):
        sync(changed)
