"""What a version predicts from which inputs, and what changed between two versions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from contract.errors import ModelgateError
from contract.model.manifest import ModelManifest
from contract.model.repository import Repository
from contract.model.signature import Field, RowFormat, Signature
from contract.wording import counted, kind_in_words, listed
from gateway.pages.wording import trained_on

NOTHING = "–"
_MOST_INPUTS, _MOST_CLASSES = 30, 5


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
        if model is None or not model.signature.outputs:
            return None
        signature = model.signature
        return cls(model.training_data.target or "", answer_of(signature), source_of(signature))


@dataclass(frozen=True)
class Change:
    """`what` is `before` in one version and `now` in the other; `NOTHING` where a version has none."""

    what: str
    before: str
    now: str


@dataclass(frozen=True)
class Changes:
    """`main`: what they predict and from which inputs, the estimator, the rows, and parameters that both have.

    `one_sided`: parameters that only one version has, mostly because its estimator is another one. `inputs_left_out`:
    how many changed inputs `main` leaves out.
    """

    main: list[Change]
    one_sided: list[Change]
    inputs_left_out: int


def changes(first: ModelManifest, second: ModelManifest, facts: Mapping[int, Mapping[str, Any]]) -> Changes:
    """Return what differs. `facts`: those of the reports, by version."""
    inputs = list(_inputs(first.signature, second.signature))
    parameters = list(_differing("", *({n: str(v) for n, v in m.parameters.items()} for m in (first, second))))
    described = (_described(model, facts[model.version]) for model in (first, second))
    shared = [change for change in parameters if NOTHING not in (change.before, change.now)]
    main = [*_differing("", *described), *inputs[:_MOST_INPUTS], *shared]
    return Changes(main, [p for p in parameters if p not in shared], max(0, len(inputs) - _MOST_INPUTS))


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


def _described(model: ModelManifest, facts: Mapping[str, Any]) -> dict[str, str]:
    described = {
        "predicts": " · ".join(filter(None, (model.training_data.target, answer_of(model.signature)))),
        "recipe": model.recipe,
        "estimator": _estimator(facts),
        "trained on": trained_on(model.training_data),
        "column of ids": model.signature.id_field,
    }
    return {what: text for what, text in described.items() if text}


def _estimator(facts: Mapping[str, Any]) -> str:
    """Return the candidate that the training chose, or '' if the report does not say."""
    candidates = facts.get("candidates")
    items = candidates.get("items", ()) if isinstance(candidates, Mapping) else ()
    return next((str(item["name"]) for item in items if item.get("chosen")), "")


def _inputs(first: Signature, second: Signature) -> Iterator[Change]:
    yield from _differing("input ", *({f.name: _holds(f) for f in signature.inputs} for signature in (first, second)))


def _holds(field: Field) -> str:
    """Return what an input holds, in words."""
    values = "" if field.categories is None else f": {listed(field.categories, 5)}"
    return f"{kind_in_words(field.kind)}{values}{', may be empty' if field.nullable else ''}"


def _differing(prefix: str, before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[Change]:
    for name in dict.fromkeys((*before, *now)):
        if before.get(name) != now.get(name):
            yield Change(prefix + name, before.get(name, NOTHING), now.get(name, NOTHING))
