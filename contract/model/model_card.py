"""The model card of a version: what it predicts from what, how it was made, how good it is, and where its limits are.

A card is plain facts, valid in JSON; `card_text` writes it as words. The trainer keeps one with each version that it
publishes. Facts of imports and names of columns are not trusted: they are cut and cleaned here, and escaped where they
are written.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import chain, repeat
from typing import Any

from contract.model.card_limits import OTHER_SHAPE, limits
from contract.model.manifest import ModelManifest
from contract.model.repository import Repository
from contract.model.signature import Kind
from contract.model.version_files import CARD_JSON
from contract.model.version_metrics import CROSS_VALIDATED, TRAINING, baseline_of, headline_first
from contract.wording import clean

Card = dict[str, Any]
Facts = Mapping[str, Any]

SCHEMA_VERSION = 1
MOST, LONGEST, NAME = 80, 1000, 200
"""Most entries of a list or an object of a card, and characters of a text and of a name in it."""


def model_card(manifest: ModelManifest, facts: Facts | None) -> Card:
    """Return the card of a version, from its manifest and the `facts` of its report (None: it has none). Facts
    with another shape than those of reports are left out."""
    known, data = facts or {}, manifest.training_data
    training = {"source": data.source, "rows": data.rows or None, "fingerprint": data.fingerprint}
    own = ("created_at", "recipe", "parameters", "libraries", "environment", "notes")
    card = {
        "schema_version": SCHEMA_VERSION,
        "name": manifest.name,
        "version": manifest.version,
        "predicts": _predicts(manifest),
        "figures": {"verdict": known.get("verdict"), **_read(lambda: _figures(manifest, known), {})},
        "limits": limits(manifest, known),
        "warnings": [*manifest.warnings, *_read(lambda: [*known["remarks"]], [])],
        "slices": _read(lambda: known["slices"] if known["slices"]["items"] else None, None),
        "inputs": [*_inputs(manifest)],
        "calibration": _read(lambda: _calibration(known["answers"]["calibration"]), None),
        "training": {**training, **{name: getattr(manifest, name) for name in own}},
    }
    cleaned: Card = _cleaned(card)
    return cleaned


def kept_card(repository: Repository, manifest: ModelManifest) -> Card:
    """Return the card that is kept with a version, or make that of one which was published without."""
    files = repository.files(manifest.name, manifest.version)
    with suppress(OSError, ValueError, RecursionError):
        card = json.loads(files.report(CARD_JSON))
        if isinstance(card, dict) and card.get("schema_version") == SCHEMA_VERSION:
            return card
    return model_card(manifest, files.report_facts())


def _read(make: Callable[[], Any], otherwise: Any) -> Any:
    """Return what `make` reads of facts; `otherwise` if they have another shape."""
    try:
        return make()
    except OTHER_SHAPE:
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


def _predicts(manifest: ModelManifest) -> Card:
    signature = manifest.signature
    return {
        "target": manifest.training_data.target,
        "outputs": [
            {"name": one.name, "kind": str(one.kind), "labels": one.shown_labels, "probabilities": one.probabilities}
            for one in signature.outputs
        ],
        "from": str(signature.format),
        "inputs": len(signature.inputs),
        "id_field": signature.id_field,
    }


def _inputs(manifest: ModelManifest) -> Iterator[Card]:
    """Yield each input, with what the training rows (or those of an import's sample) have in it, as far as that is
    known: nulls, and the range (of times as days) or the most frequent values."""
    columns = chain(manifest.profile.inputs if manifest.profile else (), repeat(None))
    for field, column in zip(manifest.signature.inputs[:MOST], columns, strict=False):
        own = {name: getattr(field, name) for name in ("name", "kind", "nullable", "categories")}
        if column is None:
            yield own
        else:
            values = dict(zip(map(str, column.values), column.counts, strict=False))
            yield {**own, "range": _range(field.kind, column.edges), "values": values, "nulls": column.nulls}


def _range(kind: Kind, edges: Sequence[float]) -> Any:
    if kind is Kind.DATETIME:
        return _read(lambda: [str(datetime.fromtimestamp(edges[end], UTC).date()) for end in (0, -1)], None)
    return [edges[0], edges[-1]] if edges else None


def _figures(manifest: ModelManifest, facts: Facts) -> Card:
    """Return on which rows was measured, and the metrics, the headline first: each with its 95 % interval, its baseline
    and the value of cross-validation."""
    metrics, intervals, tested = facts.get("metrics") or manifest.metrics, facts.get("intervals") or {}, facts["tested"]
    rows = [
        {
            "metric": name,
            "value": metrics[name],
            "interval": intervals.get(name),
            "baseline": metrics.get(baseline_of(name)),
            "cross_validated": metrics.get(f"{CROSS_VALIDATED}{name.removeprefix(TRAINING)}"),
        }
        for name in headline_first(metrics, facts.get("headline"))
    ]
    return {"rows": tested["rows"], "held_out": tested["held_out"], "sample": tested["sample"], "metrics": rows}


def _calibration(found: Facts) -> Card:
    intervals = zip(found["low"], found["high"], strict=True)
    bins = zip(found["predicted"], found["observed"], intervals, found["rows"], strict=True)
    names = ("predicted", "observed", "interval", "rows")
    return {"label": found["label"], "gap": found["gap"], "bins": [dict(zip(names, one, strict=True)) for one in bins]}
