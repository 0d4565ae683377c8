"""Publishes versions. Readers of the model repository see complete versions only.

A version is staged, flushed, loaded in a fresh process and checked on its golden rows before readers see it. Publishing
holds the lock of the model, whose content is the last version number. A number is never used again, even if the model's
folder is deleted: gateway and workers cache what they know of a version for ever. This module moves no alias: see
`promotion.py`.
"""

from __future__ import annotations

import hashlib
import json
import logging
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from contract.model.card_text import card_files
from contract.model.manifest import Artifact, ArtifactFormat, ManifestDraft, ModelManifest
from contract.model.model_card import model_card
from contract.model.version_files import REPORT_JSON
from contract.work.jobs import timestamp_now
from scoring.artifacts import library_versions, pack
from scoring.skops_files import Untrusted, UntrustedTypes
from scoring.trust import Trust
from storage.models.repository_writer import RepositoryWriter, StagedVersion
from storage.models.states import NumberTaken
from trainer.forks import Forks, ForkTask, forks_or_own
from trainer.publishing.signing import UNSIGNED, SigningPolicy
from trainer.recipes import pickled_by_value

log = logging.getLogger("trainer")

VERIFY_TIMEOUT = 300


class PublishRefused(Exception):
    """A version that must not be served; the message says why. Readers see nothing of it."""


MakeReport = Callable[[ModelManifest], Mapping[str, bytes]]
"""Returns the files of the report of a version, by name."""


def publish(
    repository: RepositoryWriter,
    estimator: Any,
    draft: ManifestDraft,
    signing: SigningPolicy = UNSIGNED,
    report: MakeReport | None = None,
    forks: Forks | None = None,
    libraries: Mapping[str, str] | None = None,
) -> ModelManifest:
    """Publish `estimator` as a new version of the model `draft.name` and return its manifest. No alias moves.

    An `estimator` that is bytes is the artifact itself, made with `libraries`; None: with those that run here. If
    `signing` allows no pickles, the artifact is a skops file, whatever format `draft` names. It is verified by `forks`,
    or else by forks of its own. Waits while another process publishes the same model. The version gets a model card,
    and no report if `report` raises. Raises `PublishRefused`, and OSError if the repository cannot be written.
    """
    ready = isinstance(estimator, bytes)
    artifact_format = draft.artifact.format if signing.trust.pickles or ready else ArtifactFormat.SKOPS
    data = estimator if ready else packed(estimator, artifact_format)
    with repository.locked(draft.name) as lock:
        while True:
            version = repository.next_number(draft.name, lock)
            manifest = _numbered(draft, version, artifact_format, data, libraries or library_versions())
            text = manifest.dumps().encode()
            with repository.staged(draft.name) as staged, suppress(NumberTaken):  # by a publisher of another machine
                staged.write(text, manifest.artifact.file, data, signing.key.sign(text) if signing.key else None)
                with forks_or_own(forks) as own_forks:
                    verify(staged, manifest, signing.own_trust, own_forks)
                _write_report(staged, manifest, report)
                repository.add(staged, draft.name, version, lock)
                return manifest


def _numbered(
    draft: ManifestDraft, version: int, artifact_format: ArtifactFormat, data: bytes, libraries: Mapping[str, str]
) -> ModelManifest:
    return draft.publish(
        version=version,
        created_at=timestamp_now(),
        artifact=Artifact(
            file=f"model.{artifact_format}",
            size=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            **{**vars(draft.artifact), "format": artifact_format},
        ),
        libraries=libraries,
    )


def verify(staged: StagedVersion, manifest: ModelManifest, trust: Trust, forks: Forks) -> None:
    """Load the staged version in a fork, under `trust`. Raises `PublishRefused` unless its answers to the golden rows
    are the same."""
    # Custom code may depend on the order of a set, which differs between the processes that serve it.
    custom = manifest.artifact.format is ArtifactFormat.CLOUDPICKLE
    arguments = {"folder": str(staged.folder.resolve()), "trust": trust.to_json()}
    try:
        ended = forks.run(ForkTask.VERIFY, arguments, VERIFY_TIMEOUT, another_hash_seed=custom)
    except subprocess.TimeoutExpired:
        raise PublishRefused(f"{manifest.name} is not published: loading takes over {VERIFY_TIMEOUT} s") from None
    problem = ended.answer.decode(errors="replace").strip()
    if problem or not ended.answer:
        shown = problem or (ended.lines or [f"it ended with {ended.code}"])[-1]
        raise PublishRefused(f"{manifest.name} is not published: a fresh process cannot use it: {shown}")


def packed(estimator: Any, artifact_format: ArtifactFormat) -> bytes:
    """Return the artifact. Raises `PublishRefused`."""
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


def _write_report(staged: StagedVersion, manifest: ModelManifest, report: MakeReport | None) -> None:
    """Write the report, if there is one, and the model card. If that fails, the version is published without them."""
    files: dict[str, bytes] = {}
    try:
        files |= report(manifest) if report else {}
    except Exception:
        log.warning("version %s of %s is published without a report", manifest.version, manifest.name, exc_info=True)
    try:
        card = model_card(manifest, json.loads(files.get(REPORT_JSON, b"null")))
        staged.write_report({**files, **card_files(card)})
    except Exception:
        log.warning("version %s of %s has no report and card", manifest.version, manifest.name, exc_info=True)
