"""Evidence → the facts of a report: what `report.json` holds, and all that the page is made of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from contract.manifest import ModelManifest, OutputKind, Signature
from trainer.report.classification import classification
from trainer.report.evidence import Evidence
from trainer.report.importance import importance
from trainer.report.parts import PARAGRAPH, Facts, NotShown, clean, number, part
from trainer.report.profile import profile
from trainer.report.regression import regression

MOST_CANDIDATES, MOST_REMARKS, MOST_PARAMETERS, MOST_LIBRARIES, MOST_METRICS = 20, 50, 80, 80, 40
LESS_IS_BETTER = ("error", "loss", "brier", "mae", "rmse", "mse")


def gather(evidence: Evidence) -> Facts:
    """All facts but those that only publishing knows (`published` has them). Takes seconds; raises nothing."""
    manifest = evidence.manifest
    numeric = manifest.signature.output.kind is OutputKind.NUMBER
    answers = regression if numeric else classification
    return {
        "notes": clean(evidence.notes, PARAGRAPH, keep_lines=True),
        "target": clean(evidence.target),
        "kind": "regression" if numeric else "classification",
        "inputs": len(manifest.signature.inputs),
        "training_data": {"source": clean(manifest.training_data.source, 200), "rows": manifest.training_data.rows},
        "tested": {"rows": len(evidence.y_test), "held_out": evidence.held_out},
        "remarks": [clean(remark, 500) for remark in evidence.remarks[:MOST_REMARKS]],
        "remarks_left_out": max(0, len(evidence.remarks) - MOST_REMARKS),
        "metrics": _metrics(manifest.metrics),
        "candidates": part("candidates", lambda: candidates(evidence)),
        "comparison": part("comparison", lambda: comparison(evidence)),
        "answers": part("answers", lambda: answers(evidence)),
        "importance": part("importance", lambda: importance(evidence)),
        "data": part("data", lambda: profile(evidence)),
        "parameters": _parameters(manifest),
    }


def published(manifest: ModelManifest) -> Facts:
    """Which version it is, of when, and made with what."""
    libraries = sorted(manifest.libraries.items())[:MOST_LIBRARIES]
    return {
        "model": manifest.name,
        "version": manifest.version,
        "created_at": manifest.created_at,
        "recipe": clean(manifest.recipe),
        "libraries": {clean(name): clean(version) for name, version in libraries},
        "artifact": {
            "format": str(manifest.artifact.format),
            "size": manifest.artifact.size,
            "sha256": clean(manifest.artifact.sha256),
        },
    }


def candidates(evidence: Evidence) -> Facts:
    """Best first, by the cross-validated mean; those whose mean is not finite last, with null."""
    tried = evidence.candidates
    if not tried:
        raise NotShown("This recipe fits one estimator and chose it without cross-validation.")
    metric = tried[0].metric
    sign = 1 if less_is_better(metric) else -1
    ordered = sorted(tried, key=lambda c: sign * c.mean if math.isfinite(c.mean) else math.inf)
    items = [
        {"name": clean(c.name), "mean": number(c.mean), "spread": number(c.spread), "seconds": number(c.seconds, 3)}
        for c in ordered[:MOST_CANDIDATES]
    ]
    return {"metric": clean(metric), "items": items, "left_out": max(0, len(tried) - MOST_CANDIDATES)}


def comparison(evidence: Evidence) -> Facts:
    """Each metric of this and of the `previous` version. `verdict` only where both were measured on the same rows."""
    previous = evidence.previous
    if previous is None:
        raise NotShown("There is no version that this one would replace.")
    same_rows = evidence.previous_metrics is not None
    now = evidence.manifest.metrics
    before = evidence.previous_metrics if evidence.previous_metrics is not None else previous.metrics
    names = list(dict.fromkeys([*now, *before]))[:MOST_METRICS]
    return {
        "version": previous.version,
        "created_at": clean(previous.created_at),
        "same_rows": same_rows,
        "metrics": [_compared(name, now.get(name), before.get(name), same_rows) for name in names],
        "inputs": _changed_inputs(evidence.manifest.signature, previous.signature),
    }


def _compared(name: str, now: float | None, before: float | None, same_rows: bool) -> Facts:
    facts: Facts = {
        "name": clean(name),
        "now": None if now is None else number(now),
        "before": None if before is None else number(before),
        "difference": None,
        "verdict": None,
    }
    if facts["now"] is None or facts["before"] is None:
        return facts
    difference = number(facts["now"] - facts["before"])
    facts["difference"] = difference
    if same_rows and difference is not None and "baseline" not in name:
        better = difference < 0 if less_is_better(name) else difference > 0
        facts["verdict"] = "the same" if difference == 0 else "better" if better else "worse"
    return facts


def less_is_better(metric: str) -> bool:
    """scikit-learn's `neg_…` scorers turn an error's sign round."""
    words = metric.lower().split("_")
    return words[0] != "neg" and any(word in LESS_IS_BETTER for word in words)


def _changed_inputs(now: Signature, before: Signature) -> Facts:
    ours, theirs = ({f.name: f.kind for f in signature.inputs} for signature in (now, before))
    changes = {
        "new": [name for name in ours if name not in theirs],
        "gone": [name for name in theirs if name not in ours],
        "of_another_kind": [name for name in ours if name in theirs and ours[name] != theirs[name]],
    }
    return {
        change: {"names": [clean(name) for name in names[:20]], "left_out": max(0, len(names) - 20)}
        for change, names in changes.items()
    }


def _metrics(metrics: Mapping[str, float]) -> dict[str, float | None]:
    return {clean(name): number(value) for name, value in list(metrics.items())[:MOST_METRICS]}


def _parameters(manifest: ModelManifest) -> Facts:
    def plain(value: Any) -> Any:
        if isinstance(value, float):
            return number(value, 12)
        return value if value is None or isinstance(value, int) else clean(value, 200)

    items = list(manifest.parameters.items())
    return {
        "values": {clean(name): plain(value) for name, value in items[:MOST_PARAMETERS]},
        "left_out": max(0, len(items) - MOST_PARAMETERS),
    }
