"""Decides by the gate of trainings whether an imported version gets its alias, and moves it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from contract.errors import ModelgateError
from contract.model.manifest import ModelManifest
from contract.model.repository import CURRENT, Repository
from contract.model.signature_changes import signature_changes
from contract.settings import Settings
from contract.work.training import ANYWAY, Gate
from runtime.environments import Environments
from scoring.trust import Trust
from trainer.forks import Forks
from trainer.importing import Refused
from trainer.importing.assumptions import DOUBT, undecided
from trainer.importing.import_process import SAMPLE
from trainer.importing.inbox.imports import copy_sample
from trainer.importing.inbox.sample_comparison import compare_on_sample
from trainer.publishing.promotion import Promote
from trainer.publishing.repositories import repository_of
from trainer.report.evidence import VersionComparison
from trainer.training.gate import objection
from trainer.training.verdict import verdict


@dataclass(frozen=True)
class Wish:
    """What the sender wants: the version gets `alias` if `promote`, and the gate objects to nothing in `accept`."""

    alias: str = CURRENT
    promote: bool = True
    accept: Sequence[str] = ()


@dataclass(frozen=True)
class Promotion:
    """Whether the alias was `promoted` to the version, with a `remark`; or the `reason` why not, with the request that
    does it. `verdict` compares it with the version that has the alias, in a sentence; '' without one."""

    promoted: bool
    reason: str | None = None
    remark: str | None = None
    verdict: str = ""


def promote_if_passed(
    settings: Settings, manifest: ModelManifest, sample: Path | None, wish: Wish, promote: Promote, forks: Forks
) -> Promotion:
    """Promote an imported version unless the gate refuses it. `sample`: the rows that came with it.

    A version with an undecided assumption stays without an alias: what it serves would be a guess.
    Raises what `promote` raises, except `ModelgateError`.
    """
    command = f"modelgate promote {manifest.name}@{manifest.version}"
    command += "" if wish.alias == CURRENT else f" --alias {wish.alias}"
    if undecided(manifest.remarks):
        guess = "the kinds that its own code reads are a guess, as its warnings say; import it again with a sample"
        if any(remark.code.startswith(DOUBT) for remark in manifest.remarks):
            guess = "its answers rest on a guess; do what its warnings ask for, and import it again"
        return Promotion(False, f"{guess}, or if the guess is right: {command}")
    sentence, refused = _judged(settings, manifest, sample, wish, forks)
    if refused is not None:
        return Promotion(False, f"{refused}{ANYWAY}{command}", verdict=sentence)
    if not wish.promote:
        return Promotion(False, verdict=sentence)
    try:
        return Promotion(True, None, promote(manifest.name, manifest.version, wish.alias), sentence)
    except ModelgateError as error:
        return Promotion(False, str(error), verdict=sentence)


def _compared(
    settings: Settings, manifest: ModelManifest, version: int, sample: Path, forks: Forks
) -> tuple[Mapping[str, float], VersionComparison]:
    """Return the metrics on the sample, and the comparison with `version`."""
    repository = repository_of(settings)
    try:
        with repository.import_folder() as folder:
            copy_sample(settings, sample, folder / SAMPLE)
            trust, environments = Trust.from_settings(settings), Environments(settings.environments_dir)
            return compare_on_sample(repository, manifest, version, folder / SAMPLE, trust, environments, forks)
    except Refused as refused:
        return {}, VersionComparison(version, missing=f"the import {refused}")
    except OSError as error:
        return {}, VersionComparison(version, missing=f"the sample cannot be copied ({error.strerror})")


def _judged(
    settings: Settings, manifest: ModelManifest, sample: Path | None, wish: Wish, forks: Forks
) -> tuple[str, str | None]:
    """Return the verdict, and why the version is not promoted or None."""
    repository = Repository(settings.models_dir)
    version = repository.aliases(manifest.name).get(wish.alias)
    if version in (None, manifest.version):
        return "", None
    try:
        previous = repository.manifest(manifest.name, version)
    except ModelgateError as error:
        return f"Cannot be compared with version {version}: {error}.", None
    changes = signature_changes(previous.signature, manifest.signature)
    metrics: Mapping[str, float] = {}
    comparison = VersionComparison(version, missing="it came without a sample")
    if sample is not None:
        metrics, comparison = _compared(settings, manifest, version, sample, forks)
    comparison = dataclasses.replace(comparison, changes=[*changes.breaking, *changes.decisions])
    refused = objection(Gate(), metrics, comparison, wish.accept)
    if comparison.outcome is None:
        return f"Cannot be compared with version {version}: {comparison.missing}.", refused
    return verdict(metrics, comparison).text, refused
