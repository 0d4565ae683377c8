"""The head of every page about a model: its name, its current version, and its tabs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from contract.errors import ModelgateError
from contract.model.experiments import Experiment
from contract.model.manifest import ModelManifest, VersionSummary
from contract.model.model_settings import ModelSettings
from contract.model.promotions import PromotionRequest
from contract.model.repository import CURRENT, Repository
from contract.model.signature import RowFormat, Signature
from contract.wording import counted
from contract.work.api_keys import Detail, Key, Scope
from gateway.serving.model_versions import aliases_by_version

_TABS = (
    ("Overview", "", Scope.READ),
    ("Try", "/try", Scope.PREDICT),
    ("Versions", "/versions", Scope.READ),
    ("Traffic", "/traffic", Scope.READ),
    ("Failures", "/failures", Scope.READ),
    ("Health", "/health", Scope.READ),
    ("Experiments", "/experiments", Scope.READ),
    ("Log", "/log", Scope.READ),
    ("API", "/api", Scope.PREDICT),
)


_MOST_CLASSES = 5


@dataclass(frozen=True)
class ModelPurpose:
    """What a model predicts, for its head and for the list of models: `target` is the column, `answer` its classes or
    `a number`, `source` what it predicts from. Each may be ''."""

    target: str
    answer: str
    source: str

    @classmethod
    def of(cls, repository: Repository, name: str, version: int | None) -> ModelPurpose | None:
        """Return that of a version, or None if the version cannot be read or predicts nothing."""
        try:
            model = repository.manifest(name, version) if version is not None else None
        except ModelgateError:  # the version's own page says why
            return None
        return cls.of_version(model) if model else None

    @classmethod
    def of_version(cls, model: ModelManifest | VersionSummary) -> ModelPurpose | None:
        """Return that of a version that was read, or None if it predicts nothing."""
        signature = model.signature
        if not signature.outputs:
            return None
        return cls(model.training_data.target or "", answer_of(signature), source_of(signature))


@dataclass(frozen=True)
class ModelHeader:
    """`current` is None for a model without a current version. `aliases`: those of each version. `tabs`: labels and
    addresses of the pages that the caller may open. `prediction`: what the current version predicts; None if that is
    unknown, or none of the caller's business. `experiment`: the one that runs, and `promotion` the request that a
    second person has to decide, for a caller who may read them."""

    name: str
    current: int | None
    aliases: Mapping[int, list[str]]
    tabs: list[tuple[str, str]]
    prediction: ModelPurpose | None
    experiment: Experiment | None
    promotion: PromotionRequest | None

    @classmethod
    def of(cls, repository: Repository, name: str, caller: Key) -> ModelHeader:
        tabs = [(label, f"/ui/models/{name}{path}") for label, path, scope in _TABS if caller.allows(scope)]
        current = repository.aliases(name).get(CURRENT)
        prediction = ModelPurpose.of(repository, name, current) if sees_inputs(caller) else None
        settings = repository.settings(name) if caller.allows(Scope.READ) else ModelSettings()
        by_version = aliases_by_version(repository, name)
        return cls(name, current, by_version, tabs, prediction, settings.experiment, settings.waiting)


def sees_inputs(caller: Key) -> bool:
    """Return whether the caller may learn the inputs of a model. A terse key needs the scope `read` for it."""
    return caller.detail is Detail.FULL or caller.allows(Scope.READ)


def answer_of(signature: Signature) -> str:
    """Return what `predict` answers, such as `a number` or `0, 1`; '' if the model has no `predict`."""
    if not signature.outputs:
        return ""
    if len(signature.outputs) > 1:
        return counted(len(signature.outputs), "value")
    if (labels := signature.output.shown_labels) and len(labels) <= _MOST_CLASSES:
        return ", ".join(str(label)[:40] for label in labels)
    return f"{len(labels)} classes" if labels else f"a {signature.output.kind}"


def source_of(signature: Signature) -> str:
    """Return what the model predicts from: `11 inputs`, `a text` or `records`."""
    if signature.format is RowFormat.TABLE:
        return counted(len(signature.inputs), "input")
    return "a text" if signature.format is RowFormat.TEXTS else "records"
