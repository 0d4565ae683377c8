"""A version under another decision answers by it, and has no figure of the old one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score

from contract.model.manifest import ModelManifest
from contract.model.repository import Repository
from contract.model.signature import Decision
from contract.model.thresholds import counts_at, known_counts
from contract.settings import Settings
from tests.trainer.importing.test_signature_edits import imported
from trainer.importing.edits.decision_report import decided_anew
from trainer.importing.edits.signature_edits import publish_edited

pytestmark = pytest.mark.usefixtures("examined_here", "unverified")

DRAW: Any = np.random.default_rng(3)
X = DRAW.normal(size=(900, 2))
FRAUD = DRAW.random(900) < 1 / (1 + np.exp(4 - 1.2 * X[:, 0]))
Y = np.where(FRAUD, "fraud", "none")
ROWS = "".join(f"{a!r},{b!r},{y}\n" for a, b, y in zip(*X.T.tolist(), Y, strict=True))
MODEL = LogisticRegression().fit(X, Y)
REACHED = MODEL.predict_proba(X)[:, 0]


@pytest.fixture
def settings(root: Path, tmp_path: Path) -> Settings:
    (tmp_path / "spool").mkdir()
    return Settings(models_dir=root, spool_dir=tmp_path / "spool", state_dir=tmp_path)


def decide(settings: Settings, threshold: float | None, version: int = 1, label: str = "fraud") -> ModelManifest:
    decision = None if threshold is None else {"label": label, "threshold": threshold}
    return publish_edited(settings, "m", version, {"outputs": [{"decision": decision}]})


def facts(settings: Settings, version: int) -> dict[str, Any]:
    known = Repository(settings.models_dir).files("m", version).report_facts()
    assert known
    return dict(known)


@pytest.mark.slow
def test_figures_are_those_of_the_new_decision_and_others_are_left_out(settings: Settings) -> None:
    old = imported(settings, MODEL, f"x0,x1,kind\n{ROWS}")
    before = facts(settings, 1)
    assert before["verdict"].startswith(f"Finds none of the {FRAUD.sum()} sample")
    new = decide(settings, 0.1)
    assert new.signature.output.decision == Decision("fraud", 0.1)
    flagged = REACHED >= 0.1
    right, decided = int((flagged & FRAUD).sum()), np.where(flagged, "fraud", "none")
    after = facts(settings, 2)
    metrics, own = after["metrics"], before["metrics"]
    assert (
        metrics["accuracy"] == pytest.approx((decided == Y).mean(), rel=1e-5) and own["accuracy"] != metrics["accuracy"]
    )
    assert metrics["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(Y, decided), rel=1e-5)
    for name in ("log_loss", "roc_auc", "average_precision", "baseline_accuracy"):
        assert metrics[name] == own[name]
    assert list(metrics) == list(own) and new.warnings == old.warnings
    assert after["verdict"].startswith(
        f"Finds {right} of the {FRAUD.sum()} sample rows where kind is 'fraud' from a probability of 0.1 on;"
        f" {right} of its {flagged.sum()} alarms are right."
    )
    missed = int(FRAUD.sum()) - right
    alarms = int(flagged.sum()) - right
    assert after["answers"]["confusion"]["counts"] == [[right, missed], [alarms, 900 - int(FRAUD.sum()) - alarms]]
    assert [item["predicted"] for item in after["answers"]["classes"]["items"]] == [flagged.sum(), 900 - flagged.sum()]
    assert [item["threshold"] for item in after["answers"]["thresholds"]["items"] if item["decided"]] == [0.1]
    assert after["answers"]["roc"] == before["answers"]["roc"] and after["importance"] == before["importance"]
    assert "accuracy" not in after["intervals"] and "log_loss" in after["intervals"]
    assert "missing" in after["worst"] and "missing" in after["slices"]
    assert new.profile and not new.profile.outputs
    page = (Repository(settings.models_dir).files("m", 2).folder / "report/report.html").read_text()
    assert "this version&#39;s decision" in page or "this version's decision" in page
    expected = ["fraud" if row["fraud"] >= 0.1 else "none" for row in new.golden.probabilities or ()]  # type: ignore[index, call-overload]
    assert list(new.golden.predictions) == expected
    assert Repository(settings.models_dir).aliases("m") == {}
    back = decide(settings, None, version=2)
    assert back.signature == old.signature and facts(settings, 3)["metrics"] == pytest.approx(own, rel=1e-5)
    assert facts(settings, 3)["answers"]["confusion"] == before["answers"]["confusion"]


@pytest.mark.slow
def test_what_no_held_out_row_shows_is_left_out_with_a_remark(settings: Settings) -> None:
    old = imported(settings, MODEL, f"x0,x1,kind\n{ROWS}")
    for version, (threshold, label) in enumerate([(0.04321987, "fraud"), (0.5, "none")], 2):
        new = decide(settings, threshold, label=label)
        measured = facts(settings, version)["metrics"]
        assert new.version == version and "accuracy" not in measured and "log_loss" in measured
        (said,) = set(new.warnings) - set(old.warnings)
        assert "'accuracy', 'balanced accuracy' are left out" in said
        assert "missing" in facts(settings, version)["answers"]["confusion"]
        assert "Finds" not in facts(settings, version)["verdict"]
    known = decide(settings, 0.2, version=2)
    assert "accuracy" not in facts(settings, known.version)["metrics"], "what was left out stays away"


def test_a_trained_version_keeps_its_comparison_and_its_leaks_and_has_metrics_of_its_own(settings: Settings) -> None:
    old = imported(settings, MODEL, f"x0,x1,kind\n{ROWS}")
    known = facts(settings, 1)
    metrics = {**known["metrics"], "cv_accuracy": 0.96, "cv_log_loss": 0.1, "own": 1.0}
    losses = {"loss": "log loss", "loss_now": 0.2, "loss_before": 0.1, "p_worse": 0.01, "p_better": 0.99}
    compared = [{"name": "accuracy", "now": 0.9, "before": 0.9}, {"name": "log_loss", "now": 0.2, "before": 0.1}]
    trained = {
        **known,
        "metrics": metrics,
        "tested": {"rows": 900, "held_out": True, "sample": False},
        "leaks": ["'x0' alone predicts 'kind'"],
        "refused": "accuracy is 0.96",
        "comparison": {"version": 7, "rows": 500, "outcome": "worse", "reason": None, **losses, "metrics": compared},
    }
    output = replace(old.signature.output, decision=Decision("fraud", 0.1))
    draft = replace(old.draft(), metrics=metrics, signature=replace(old.signature, outputs=(output,)))
    decided, now = decided_anew(draft, trained)
    assert now and now["refused"] is None and now["comparison"]["metrics"] == compared[1:]
    worse = "Worse than version 7: log loss 0.2000 against 0.1000 on 500 held-out rows that are new to both (p = 0.01)."
    assert now["verdict"].startswith(worse) and now["level"] == "bad"
    assert now["verdict"].index("Finds ") > 0 and "Too good to be true? 'x0' alone predicts 'kind'." in now["verdict"]
    assert set(metrics) - set(decided.metrics) == {"cv_accuracy", "own"}
    assert "'own'" in decided.warnings[-1] and "cross-validated accuracy" in decided.warnings[-1]
    assert decided.metrics["accuracy"] != metrics["accuracy"] and decided.metrics["cv_log_loss"] == 0.1
    trained["comparison"] = {**trained["comparison"], "loss": "share of errors"}
    assert "missing" in decided_anew(draft, trained)[1]["comparison"]  # type: ignore[index]
    assert decided_anew(draft, {**trained, "answers": 3})[1] is None


def test_a_version_without_a_report_gets_a_decision(settings: Settings) -> None:
    imported(settings, MODEL)
    new = decide(settings, 0.1)
    assert new.version == 2 and not Repository(settings.models_dir).files("m", 2).has_report()
    path = Repository(settings.models_dir).files("m", 2).folder / "manifest.json"
    assert json.loads(path.read_text())["signature"]["outputs"][0]["decision"] == {"label": "fraud", "threshold": 0.1}
    path = Repository(settings.models_dir).files("m", 1).folder / "manifest.json"
    assert "decision" not in json.loads(path.read_text())["signature"]["outputs"][0], "1.0 wrote none"


def test_counts_are_those_of_the_very_comparison_at_every_known_threshold(settings: Settings) -> None:
    imported(settings, MODEL, f"x0,x1,kind\n{ROWS}")
    known = known_counts(facts(settings, 1))
    for threshold in (0.0001, 0.001, 0.0123, 0.02, 0.2, 0.315, 0.999):
        counts, flagged = counts_at(known, threshold), threshold <= REACHED
        if threshold == 0.0123:
            assert counts is None or counts.flagged == flagged.sum()
            continue
        assert counts and (counts.flagged, counts.right) == (flagged.sum(), (flagged & FRAUD).sum())
        assert (counts.rows, counts.positives) == (900, FRAUD.sum())
    assert len(known) < 1100 and counts_at(known, 0.9995) is None
    assert known_counts({"answers": {"thresholds": {"missing": "x"}}}) == known_counts(None) == []
