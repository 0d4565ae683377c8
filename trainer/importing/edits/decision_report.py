"""What remains true of the figures of a version under another decision, and what its held-out rows show of the new one.

Each number that depends on the decision is computed anew from the counts at thresholds in the report, or left out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from contract.model.card_limits import OTHER_SHAPE
from contract.model.manifest import ManifestDraft, Remark
from contract.model.signature import Decision, Output
from contract.model.thresholds import ThresholdCounts, counts_at, known_counts
from contract.model.version_metrics import BASELINE, CROSS_VALIDATED, TRAINING
from contract.wording import clean, listed, metric_in_words
from trainer.report.evidence import ComparisonOutcome, Level, VersionComparison
from trainer.training.verdict import ClassRecall, Verdict, beside_baseline, compared_in_words

Facts = Mapping[str, Any]

CODE = "figures_left_out"
"""The code of the remark about metrics that are left out."""
_BY_PROBABILITIES = ("log_loss", "roc_auc", "average_precision", "recall_at_half_precision", "best_threshold", BASELINE)
_OTHER_DECISION = {"missing": "It is not known under this decision: the report is that of another one."}


def decided_anew(draft: ManifestDraft, facts: Facts | None) -> tuple[ManifestDraft, dict[str, Any] | None]:
    """Return the draft with the metrics, and the facts of its report, under the decision of its signature; `facts` are
    those under another one."""
    counts = _counts(draft.signature.output, facts)
    measured = _metrics(draft.metrics, counts)
    before = draft.metrics or (facts or {}).get("metrics") or {}  # an import has none in its manifest
    left_out = [metric_in_words(name) for name in before if name not in _metrics(before, counts)]
    remarks = tuple(remark for remark in draft.remarks if remark.code != CODE)
    if left_out:
        text = f"{listed(left_out)} are left out: they are not known under its decision; the source version has its own"
        remarks = (*remarks, Remark(text, CODE))
    profile = draft.profile and dataclasses.replace(draft.profile, outputs=())  # what the other decision answered
    draft = dataclasses.replace(draft, metrics=measured, remarks=remarks, profile=profile)
    try:
        return draft, None if facts is None else _facts(facts, draft, counts)
    except OTHER_SHAPE:  # of an import
        return draft, None


def _counts(output: Output, facts: Facts | None) -> ThresholdCounts | None:
    """Return the counts under the decision of `output`, or the model's own."""
    known = known_counts(facts)
    if facts is None or not known:
        return None
    part = facts["answers"]["thresholds"]
    if output.decision is None:
        own = next((item["threshold"] for item in part["items"] if item.get("served")), None)
        return None if own is None else counts_at(known, own)
    if clean(output.decision.label) != part["label"]:
        return None
    return counts_at(known, output.decision.threshold)


def _depends(metric: str) -> bool:
    """Return whether a metric depends on the decision, as far as anyone knows."""
    return not metric.removeprefix(TRAINING).removeprefix(CROSS_VALIDATED).startswith(_BY_PROBABILITIES)


def _metrics(metrics: Mapping[str, float], counts: ThresholdCounts | None) -> dict[str, float]:
    known: dict[str, float] = {}
    if counts:
        others = counts.rows - counts.positives
        kept = others - counts.false_alarms
        known["accuracy"] = (counts.right + kept) / counts.rows
        if others and counts.positives:
            known["balanced_accuracy"] = (counts.right / counts.positives + kept / others) / 2
    measured = {name: known.get(name.removeprefix(TRAINING)) if _depends(name) else metrics[name] for name in metrics}
    return {name: value for name, value in measured.items() if value is not None}


def _facts(facts: Facts, draft: ManifestDraft, counts: ThresholdCounts | None) -> dict[str, Any]:
    answers, metrics = facts["answers"], _metrics(facts["metrics"], counts)
    comparison = {**facts["comparison"]}
    if comparison.get("loss") not in (None, "", "log loss"):
        comparison = dict(_OTHER_DECISION)
    elif "metrics" in comparison:
        comparison["metrics"] = [item for item in comparison["metrics"] if not _depends(item["name"])]
    said = _verdict({**facts, "metrics": metrics, "comparison": comparison}, draft.signature.output.decision, counts)
    of_answers = {"confusion": _OTHER_DECISION, "classes": _OTHER_DECISION}
    if counts:
        of_answers = _of_counts(counts, [clean(label) for label in draft.signature.output.labels or ()], answers)
    return {
        **facts,
        "notes": draft.notes,
        "metrics": {name: float(f"{value:.6g}") for name, value in metrics.items()},
        "intervals": {name: limits for name, limits in facts["intervals"].items() if not _depends(name)},
        "verdict": said.text,
        "level": str(said.level),
        "refused": None,
        "comparison": comparison,
        "answers": {**answers, **of_answers},
        "worst": _OTHER_DECISION,
        "slices": _OTHER_DECISION,
    }


def _of_counts(counts: ThresholdCounts, labels: list[str], answers: Facts) -> dict[str, Any]:
    """Return the confusion matrix, the figures of each class, and the thresholds with that of the decision."""
    part = answers["thresholds"]
    at = labels.index(part["label"])
    others = counts.rows - counts.positives
    matrix = [[0, 0], [0, 0]]
    matrix[at][at], matrix[at][1 - at] = counts.right, counts.missed
    matrix[1 - at][at], matrix[1 - at][1 - at] = counts.false_alarms, others - counts.false_alarms
    items = [_class(label, matrix[i][i], sum(matrix[i]), matrix[0][i] + matrix[1][i]) for i, label in enumerate(labels)]
    mean = {name: sum(item[name] or 0.0 for item in items) / 2 for name in ("precision", "recall", "f1")}
    own = _class(part["label"], counts.right, counts.positives, counts.flagged)
    here = {"threshold": counts.threshold, **{name: own[name] for name in ("precision", "recall", "f1")}}
    here |= {"flagged": counts.flagged, "served": False, "recommended": False, "decided": True}
    rows = [{**item, "decided": False} for item in part["items"] if item["threshold"] != counts.threshold]
    rows += [{**item, "decided": True} for item in part["items"] if item["threshold"] == counts.threshold] or [here]
    return {
        "confusion": {"labels": labels, "counts": matrix, "classes_left_out": 0, "rows_left_out": 0},
        "classes": {"items": items, "mean": mean, "left_out": 0},
        "thresholds": {**part, "items": sorted(rows, key=lambda item: -item["threshold"])},
    }


def _class(label: str, right: int, rows: int, predicted: int) -> dict[str, Any]:
    precision, recall = right / predicted if predicted else None, right / rows if rows else None
    f1 = 2 * right / (rows + predicted) if rows + predicted else None
    return {"label": label, "rows": rows, "predicted": predicted, "precision": precision, "recall": recall, "f1": f1}


def _verdict(facts: Facts, decision: Decision | None, counts: ThresholdCounts | None) -> Verdict:
    tested, comparison = facts["tested"], facts["comparison"]
    where = "sample row" if tested["sample"] else "held-out row" if tested["held_out"] else "training row"
    points: list[tuple[Level, str]] = []
    if counts and counts.positives:
        label = decision.label if decision else facts["answers"]["thresholds"]["label"]
        found = (counts.positives, counts.flagged, counts.right, counts.threshold if decision else None)
        recall = ClassRecall(facts["target"], label, *found)
        points.append((recall.level, recall.sentence(where)))
    points += [(Level.WARN, f"Too good to be true? {leak}.") for leak in facts["leaks"][:1]]
    if comparison.get("outcome"):
        names = [entry.name for entry in dataclasses.fields(VersionComparison) if entry.name in comparison]
        known = {name: comparison[name] for name in names if name not in ("metrics", "outcome")}
        outcome = ComparisonOutcome(comparison["outcome"])
        level = Level.BAD if outcome is ComparisonOutcome.WORSE else Level.GOOD
        points.append((level, compared_in_words(VersionComparison(**known), outcome)))
    elif not tested["sample"]:
        points.append((Level.GOOD, beside_baseline(facts["metrics"])))
    return Verdict.of(points)
