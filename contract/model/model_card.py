"""The model card of a version: what it predicts from what, how it was made, how good it is, and where its limits are.

A card is plain facts, valid in JSON; `card_text` writes it as words. The trainer keeps one with each version that it
publishes. Facts of imports and names of columns are not trusted: they are cut and cleaned here, and escaped where they
are written.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from contract.errors import ModelgateError
from contract.model.card_limits import limits_of_answers, limits_of_data, limits_of_figures
from contract.model.manifest import ModelManifest
from contract.model.repository import Repository
from contract.model.signature import Kind
from contract.model.signature_changes import signature_changes
from contract.model.version_files import CARD_JSON
from contract.model.version_metrics import CROSS_VALIDATED, TRAINING, baseline_of, headline_first
from contract.wording import clean, rows_of, shown

Card = dict[str, Any]
Facts = Mapping[str, Any]

SCHEMA_VERSION = 1
MOST, LONGEST, NAME = 80, 1000, 200
"""Most entries of a list or an object of a card, and characters of a text and of a name in it."""

_OF_MANIFEST = (
    "name",
    "version",
    "created_at",
    "recipe",
    "training_data",
    "signature",
    "parameters",
    "libraries",
    "notes",
)


def model_card(manifest: ModelManifest, facts: Facts | None, before: ModelManifest | None = None) -> Card:
    """Return the card of a version, from its manifest and the `facts` of its report (None: it has none). `before`: the
    version that it is set beside. Facts with another shape than those of reports are left out."""
    known, described = facts or {}, json.loads(manifest.dumps())
    limits = [
        *_read(lambda: [*limits_of_figures(known)], []),
        *_read(lambda: [*limits_of_answers(known)], []),
        *limits_of_data(manifest),
    ]
    card = {
        **{name: described[name] for name in _OF_MANIFEST},
        "environment": manifest.environment,
        "inputs": len(manifest.signature.inputs),
        "seen": _read(lambda: _seen(manifest), None),
        **{name: known.get(name) for name in ("verdict", "tested", "slices")},
        "metrics": _read(lambda: [*_metrics(manifest, known)], []),
        "calibration": _read(lambda: known["answers"]["calibration"], None),
        "limits": limits,
        "changes": _read(lambda: _changes(manifest, known, before), None),
        "warnings": [*manifest.warnings, *_read(lambda: [*known["remarks"]], [])],
    }
    return {"schema_version": SCHEMA_VERSION, **_cleaned(card)}


def kept_card(repository: Repository, manifest: ModelManifest) -> Card:
    """Return the card that is kept with a version, or make that of one which was published without."""
    files = repository.files(manifest.name, manifest.version)
    with suppress(OSError, ValueError, RecursionError):
        card = json.loads(files.report(CARD_JSON))
        if isinstance(card, dict) and card.get("schema_version") == SCHEMA_VERSION:
            return card
    return new_card(repository, manifest, files.report_facts())


def new_card(repository: Repository, manifest: ModelManifest, facts: Facts | None) -> Card:
    """Return the card of a version beside the one with which its report compares it, or else the one before."""
    earlier = [version for version in repository.versions(manifest.name) if version < manifest.version]
    compared = _read(lambda: (facts or {})["comparison"]["version"], None)
    before = None
    with suppress(ModelgateError):
        if earlier:
            before = repository.manifest(manifest.name, compared if compared in earlier else earlier[-1])
    return model_card(manifest, facts, before)


def _read(make: Callable[[], Any], otherwise: Any) -> Any:
    """Return what `make` reads of facts; `otherwise` if they have another shape."""
    try:
        return make()
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError):
        return otherwise


def _cleaned(value: Any, depth: int = 6) -> Any:
    """Return a value of JSON with bounded lists, objects and texts, and numbers of six digits."""
    if isinstance(value, Mapping) and depth:
        return {clean(name, NAME): _cleaned(item, depth - 1) for name, item in [*value.items()][:MOST]}
    if isinstance(value, list | tuple) and depth:
        return [_cleaned(item, depth - 1) for item in value[:MOST]]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int) else clean(value, LONGEST, keep_lines=True)


def _seen(manifest: ModelManifest) -> Card | None:
    """Return what the training rows (or the `sample` of an import) have in each input: nulls, and the range (of times
    as days) or the most frequent values. None: that is not known."""
    profile, inputs = manifest.profile, []
    if profile is None:
        return None
    for field, column in zip(manifest.signature.inputs, profile.inputs, strict=False):
        ends: list[Any] = [column.edges[0], column.edges[-1]] if column.edges else [None, None]
        if field.kind is Kind.DATETIME and column.edges:
            ends = [str(datetime.fromtimestamp(end, UTC).date()) for end in ends]
        values = dict(zip(map(str, column.values), column.counts, strict=False))
        inputs.append({"nulls": column.nulls, "low": ends[0], "high": ends[1], "values": values})
    return {"rows": profile.rows, "sample": profile.sample, "inputs": inputs}


def _metrics(manifest: ModelManifest, facts: Facts) -> Iterator[Card]:
    """Yield the metrics, the headline first, each with its limits, its baseline and the value of cross-validation."""
    metrics, limits = facts.get("metrics") or manifest.metrics, facts.get("intervals") or {}
    for name in headline_first(metrics, facts.get("headline")):
        low, high = limits.get(name) or (None, None)
        validated = metrics.get(f"{CROSS_VALIDATED}{name.removeprefix(TRAINING)}")
        figures = {"value": metrics[name], "low": low, "high": high, "baseline": metrics.get(baseline_of(name))}
        figures["cross_validated"] = validated
        yield {"name": name, **{key: one if isinstance(one, int | float) else None for key, one in figures.items()}}


def _changes(manifest: ModelManifest, facts: Facts, before: ModelManifest | None) -> Card | None:
    """Return what is different from the version `before`, and the metrics of both on the rows that are new to both."""
    if before is None:
        return None
    compared = facts.get("comparison") or {}
    same = compared if compared.get("version") == before.version else {}
    figures = {name: same.get(name) for name in ("outcome", "reason", "rows", "metrics")}
    return {"version": before.version, **figures, "differences": [*_differences(before, manifest)]}


def _differences(before: ModelManifest, now: ModelManifest) -> Iterator[str]:
    """Yield what is different in data, recipe, parameters, libraries and signature."""
    if before.training_data.fingerprint == now.training_data.fingerprint:
        yield "It was made from the same data."
    else:
        new, old = (rows_of(data.rows, data.source) for data in (now.training_data, before.training_data))
        yield f"It was made from {new}, not {old}."
    if before.recipe != now.recipe:
        yield f"Its recipe is {now.recipe}, not {before.recipe}."
    for earlier, later in ((before.parameters, now.parameters), (before.libraries, now.libraries)):
        for name, value in later.items():
            if name in earlier and earlier[name] != value:
                yield f"{name} is {shown(value)}, not {shown(earlier[name])}."
    changes = signature_changes(before.signature, now.signature)
    yield from (f"{change[:1].upper()}{change[1:]}." for change in changes.breaking)
