"""Publishes a version again under an edited signature. The version itself never changes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from contract.errors import Code, InvalidInstances, ModelgateError
from contract.model.manifest import ManifestDraft, ModelManifest
from contract.model.repository import Repository
from contract.model.signature_edits import InvalidEdit
from contract.model.version_files import VersionFiles
from contract.rows.background import BACKGROUND_FILE, background_file, rows_of
from contract.settings import Settings
from runtime.environments import Environments
from scoring.artifacts import checked_bytes
from storage.disk import code_of
from storage.models.repository_writer import RepositoryWriter
from trainer.forks import Forks, NoSuchEnvironment
from trainer.importing import Refused
from trainer.importing.assumptions import remaining
from trainer.importing.import_process import FILE, ImportTask, SignatureEdit, examine_in_process
from trainer.importing.inbox.imports import CHECK_TIMEOUT, drawn_report, with_files
from trainer.publishing.aliases import retain
from trainer.publishing.publish import MakeReport, PublishRefused, publish
from trainer.publishing.repositories import repository_of
from trainer.publishing.signing import SigningPolicy
from trainer.training import ROW_HASHES_FILE


def publish_edited(settings: Settings, model: str, version: int, edits: Mapping[str, Any]) -> ModelManifest:
    """Publish a version again, with `edits` in its signature, and return the new manifest. No alias moves.

    The same edit of the same version is published once: then this returns the version that it made. Raises
    `ModelgateError`: `model_not_found`, `not_trusted`, and `not_published` with the cause and a remedy.
    """
    manifest = repository_of(settings).read_manifest(model, version)
    edit = SignatureEdit(manifest, edits)
    note = f"signature edited from version {version}"
    return _published(settings, manifest, edit, lambda: _draft(manifest, note, signature=edit.signature))


def _published(
    settings: Settings, manifest: ModelManifest, edit: SignatureEdit, make_draft: Callable[[], ManifestDraft]
) -> ModelManifest:
    repository = repository_of(settings)
    try:
        draft = make_draft()
        with repository.locked(f"{manifest.name}.signatures"):
            return _published_before(repository, manifest, draft) or _publish(settings, repository, edit, draft)
    except InvalidEdit as invalid:
        raise manifest.error(Code.NOT_PUBLISHED, f"cannot be edited so: {invalid}") from None
    except NoSuchEnvironment as missing:
        raise manifest.error(Code.NOT_PUBLISHED, f"cannot be tried: {missing}") from None
    except Refused as refused:
        raise manifest.error(Code.NOT_PUBLISHED, str(refused)) from None
    except PublishRefused as refused:
        raise ModelgateError(Code.NOT_PUBLISHED, str(refused), model=manifest.name) from None
    except OSError as error:
        what = f"is not published again: {error.strerror or error}"
        raise manifest.error(code_of(error), what) from error


def publish_again(
    settings: Settings, manifest: ModelManifest, environment: str, libraries: Mapping[str, str]
) -> ModelManifest:
    """Publish a version again in another environment, which has these libraries, and return the new manifest. No alias
    moves. Raises `ModelgateError` as `publish_edited` does."""
    note = f"version {manifest.version} of the environment {manifest.environment or 'of today'}"
    draft = _draft(manifest, note, environment=environment)
    edit = SignatureEdit(dataclasses.replace(manifest, libraries=libraries, environment=environment), {})
    return _published(settings, manifest, edit, lambda: draft)


def _draft(manifest: ModelManifest, note: str, **changes: Any) -> ManifestDraft:
    """Return the draft of the new version, with one more note, and still with the old answers and example."""
    notes = "\n".join(filter(None, (manifest.notes, note)))
    return dataclasses.replace(manifest.draft(), notes=notes, **changes)


def _published_before(repository: Repository, source: ModelManifest, draft: ManifestDraft) -> ModelManifest | None:
    """Return the version that the same edit has made, or None."""
    for version in reversed(repository.versions(source.name)):
        with suppress(ModelgateError):
            manifest = repository.read_manifest(source.name, version)
            same_artifact = manifest.artifact.sha256 == source.artifact.sha256
            if version > source.version and same_artifact and _identity(manifest.draft()) == _identity(draft):
                return manifest
    return None


def _identity(draft: ManifestDraft) -> tuple[object, ...]:
    return draft.recipe, draft.signature, draft.environment, draft.notes


def _publish(
    settings: Settings, repository: RepositoryWriter, edit: SignatureEdit, draft: ManifestDraft
) -> ModelManifest:
    source, signing = edit.manifest, SigningPolicy.from_settings(settings)
    files = repository.files(source.name, source.version)
    signing.trust.check(source, files)  # an unsigned version must not get a signature by an edit
    data = checked_bytes(source, files)
    with repository.import_folder() as folder, Forks() as own_forks:
        forks = own_forks.of(Environments(settings.environments_dir), source.environment)
        (folder / FILE).write_bytes(data)
        limits = (CHECK_TIMEOUT, settings.scorer_memory_mb, settings.model_cache_mb)
        task = ImportTask(source.name, source.artifact.sha256, None, None, *limits, edit=edit.to_json())
        examined = examine_in_process(folder, task, forks).draft
        remarks = tuple(remaining(examined.remarks, source.signature, draft.signature))
        draft = dataclasses.replace(
            draft, artifact=examined.artifact, golden=examined.golden, example=examined.example, remarks=remarks
        )
        draft, report = _report(files, source, draft)
        manifest = publish(repository, data, draft, signing, report, forks, source.libraries)
    retain(repository, source.name, settings.keep_versions)
    return manifest


def _report(files: VersionFiles, source: ModelManifest, draft: ManifestDraft) -> tuple[ManifestDraft, MakeReport]:
    """Return the draft with the metrics that remain true, and the function that makes what remains true of the report:
    all of it if inputs and outputs have the same names and kinds, the record of the training rows if the values of rows
    are the same, and the rows of the background that still fit. Another decision changes the figures."""
    old, new = source.signature, draft.signature
    same_values = [field.kind for field in old.inputs] == [field.kind for field in new.inputs]
    before, now = ([output.decision for output in signature.outputs] for signature in (old, new))
    undecided = [dataclasses.replace(output, decision=None) for output in (*old.outputs, *new.outputs)]
    is_true = same_values and old.names == new.names and undecided[: len(before)] == undecided[len(before) :]
    facts = files.report_facts()
    if before != now:
        from trainer.importing.edits.decision_report import decided_anew  # it imports numpy, which few edits need

        draft, facts = decided_anew(draft, facts)
    page = drawn_report({**facts, "notes": draft.notes}) if is_true and facts is not None else None

    kept: dict[str, bytes] = {}
    if same_values:
        with suppress(FileNotFoundError):
            kept[ROW_HASHES_FILE] = files.report(ROW_HASHES_FILE)
    with suppress(OSError, ValueError, RecursionError, InvalidInstances):
        kept |= background_file(rows_of(json.loads(files.report(BACKGROUND_FILE)), new))
    return draft, with_files(page, kept)
