"""Gathers the facts of a report from the evidence: `report.json` holds them, and the page shows them."""

from __future__ import annotations

import json
import pprint
import re
import shlex
from collections.abc import Mapping
from typing import Any

from contract.model.manifest import ManifestDraft, ModelManifest
from contract.model.report_placeholders import ADDRESS
from contract.model.signature import OutputKind, Signature
from contract.wording import UNSHOWN, clean
from trainer.report.candidates import candidates
from trainer.report.classification import Classes, classification
from trainer.report.classification import curves as curves_of_classes
from trainer.report.dependence import dependence
from trainer.report.evidence import Evidence, VersionAnswers, VersionComparison
from trainer.report.importance import importance
from trainer.report.parts import MISSING, PARAGRAPH, Facts, NotShown, number, part
from trainer.report.profile import profile
from trainer.report.regression import Numbers, regression
from trainer.report.regression import curves as curves_of_numbers
from trainer.report.slices import slices
from trainer.report.worst import worst

MOST_REMARKS, MOST_PARAMETERS, MOST_LIBRARIES, MOST_METRICS, MOST_LEAKS = 50, 80, 80, 40, 10
SENTENCE = 500


LONGEST = 16_000
"""Most characters of an example in a report."""

_PYTHON = """\
import json
import urllib.request

gateway = "{address}"
rows = [
{row}
]
request = urllib.request.Request(
    f"{{gateway}}{path}",
    json.dumps(rows).encode(),
    {{"Content-Type": "application/json", "Prefer": "wait=10"}},
)
with urllib.request.urlopen(request) as answer:
    print(json.load(answer)["output"])
"""


def gather(evidence: Evidence) -> Facts:
    """Return all facts except those of publishing (`published`). Takes seconds; raises nothing."""
    draft = evidence.draft
    matters = part("importance", lambda: importance(evidence))
    named = {leak.sentence for leak in evidence.leaks}
    remarks = [remark for remark in evidence.remarks if remark not in named]
    strongest = [column["name"] for column in matters.get("columns", ())]
    return {
        "notes": clean(evidence.notes, PARAGRAPH, keep_lines=True),
        "target": clean(evidence.target),
        "kind": "regression" if draft.signature.output.kind is OutputKind.NUMBER else "classification",
        "inputs": len(draft.signature.inputs),
        "tested": {"rows": len(evidence.y_test), "held_out": evidence.held_out, "sample": evidence.sample},
        "verdict": clean(evidence.verdict, SENTENCE),
        "level": str(evidence.level),
        "refused": None if evidence.refused is None else clean(evidence.refused, SENTENCE),
        "leaks": [clean(leak.sentence, SENTENCE) for leak in evidence.leaks[:MOST_LEAKS]],
        "remarks": [clean(remark, SENTENCE) for remark in remarks[:MOST_REMARKS]],
        "remarks_left_out": max(0, len(remarks) - MOST_REMARKS),
        "headline": clean(evidence.headline),
        "metrics": _metrics(draft.metrics),
        "intervals": {name: list(map(number, limits)) for name, limits in evidence.intervals.items()},
        "candidates": part("candidates", lambda: candidates(evidence.candidates, evidence.chosen)),
        "comparison": part("comparison", lambda: comparison(evidence)),
        **_answers(evidence, strongest),
        "importance": matters,
        "dependence": part("dependence", lambda: dependence(evidence, strongest)),
        "data": part("data", lambda: profile(evidence)),
        "parameters": _parameters(draft),
    }


def _answers(evidence: Evidence, strongest: list[str]) -> Facts:
    """Return the facts about the model's predictions of the test rows: `answers`, the `worst` of them, and `slices`."""
    predictions: list[Classes | Numbers] = []

    def answers() -> Facts:
        if evidence.draft.signature.output.kind is OutputKind.NUMBER:
            numeric = Numbers.of(evidence)
            predictions.append(numeric)
            return regression(numeric)
        classes = Classes.of(evidence)
        predictions.append(classes)
        best = evidence.thresholds and evidence.thresholds.best
        return classification(classes, best.threshold if best else None)

    facts = {"answers": part("answers", answers)}
    without = {MISSING: facts["answers"].get(MISSING, "")}
    return {
        **facts,
        "worst": part("worst", lambda: worst(evidence, predictions[0], strongest)) if predictions else without,
        "slices": part("slices", lambda: slices(evidence, predictions[0], strongest)) if predictions else without,
    }


def published(manifest: ModelManifest) -> Facts:
    """Return the facts of publishing: name and number of the version, time, warnings, libraries and artifact."""
    libraries = sorted(manifest.libraries.items())[:MOST_LIBRARIES]
    return {
        "model": manifest.name,
        "version": manifest.version,
        "created_at": manifest.created_at,
        "recipe": clean(manifest.recipe),
        "warnings": [clean(warning, SENTENCE) for warning in manifest.warnings[:MOST_REMARKS]],
        "warnings_left_out": max(0, len(manifest.warnings) - MOST_REMARKS),
        "training_data": {"source": clean(manifest.training_data.source, 200), "rows": manifest.training_data.rows},
        "libraries": {clean(name): clean(version) for name, version in libraries},
        "artifact": {
            "format": str(manifest.artifact.format),
            "size": manifest.artifact.size,
            "sha256": clean(manifest.artifact.sha256),
        },
        "usage": part("usage", lambda: usage(manifest)),
    }


def comparison(evidence: Evidence) -> Facts:
    """Return the metrics of both versions on the `rows` that are new to both; `outcome` is None, with a
    `reason`, if they cannot be compared.

    `metrics` are empty without such rows, or if the other version cannot predict them; so are `curves`, which have
    those of both versions.
    """
    compared, previous = evidence.comparison, evidence.previous
    if compared is None:
        raise NotShown("There is no version that this one would replace.")
    return {
        "version": compared.version,
        "rows": compared.rows,
        "outcome": None if compared.outcome is None else str(compared.outcome),
        "reason": None if compared.missing is None else clean(compared.missing, SENTENCE),
        "loss": clean(compared.loss),
        **{name: _number(getattr(compared, name)) for name in ("loss_now", "loss_before", "p_worse", "p_better")},
        "metrics": _compared(compared),
        "inputs": _changed_inputs(evidence.draft.signature, previous.signature) if previous else {},
        "curves": {
            name: part("curves", lambda answers=answers: _curves(compared.actual, answers))  # type: ignore[misc]
            for name, answers in (("now", compared.now), ("before", compared.before))
            if answers is not None
        },
    }


def _curves(y: Any, answers: VersionAnswers) -> Facts:
    if answers.output.kind is OutputKind.CLASS:
        return curves_of_classes(Classes.beside(y, answers, y.tolist()))
    return curves_of_numbers(Numbers.beside(y, answers.predicted))


def _compared(compared: VersionComparison) -> list[Facts]:
    now, before = compared.metrics or {}, compared.previous or {}
    return [
        {"name": clean(name), "now": _number(now.get(name)), "before": _number(before.get(name))}
        for name in list(dict.fromkeys([*now, *before]))[:MOST_METRICS]
    ]


def _number(value: float | None) -> float | None:
    return None if value is None else number(value)


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


def _parameters(draft: ManifestDraft) -> Facts:
    def plain(value: Any) -> Any:
        if isinstance(value, float):
            return number(value, 12)
        return value if value is None or isinstance(value, int) else clean(value, 200)

    items = list(draft.parameters.items())
    return {
        "values": {clean(name): plain(value) for name, value in items[:MOST_PARAMETERS]},
        "left_out": max(0, len(items) - MOST_PARAMETERS),
    }


# How to use the version: a request with its own example, to paste into a shell or into Python


def usage(manifest: ModelManifest) -> Facts:
    """Return requests for `curl` and `python` that name this very version."""
    if not manifest.example:
        raise NotShown("The version has no example of a request.")
    path = f"/v1/models/{manifest.name}@{manifest.version}/predict"
    # Characters that are unsafe on a page or in a shell are written as escapes of JSON and Python.
    body = UNSHOWN.sub(_escaped, json.dumps(manifest.example, ensure_ascii=False, allow_nan=False))
    if len(body) > LONGEST:
        raise NotShown(f"The example is too long for a report; GET /v1/models/{manifest.name} shows it.")
    row = pprint.pformat(dict(manifest.example), sort_dicts=False, width=100)
    return {
        "curl": f"curl -s {ADDRESS}{path} \\\n"
        "  -H 'Content-Type: application/json' -H 'Prefer: wait=10' \\\n"
        f"  -d {shlex.quote(body)}",
        "python": _PYTHON.format(row=re.sub(r"^", "    ", row, flags=re.MULTILINE), address=ADDRESS, path=path),
    }


def _escaped(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"
