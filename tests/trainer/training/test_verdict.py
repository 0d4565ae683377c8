"""The first sentence of a verdict says what matters most, and its level says how bad that is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contract.model.positive_class import positive_class
from contract.model.signature import Output, OutputKind
from contract.row import Value
from tests.trainer.training.test_gate import FIRST, PREVIOUS, WORSE
from tests.trainer.training.test_training import RecordingTrainer
from trainer.report.evidence import Leak
from trainer.training.verdict import ClassRecall, Verdict, verdict

METRICS = {"accuracy": 0.9, "baseline_accuracy": 0.6}
PLAIN = "Accuracy 0.9000 on held-out rows; always giving the same answer would score 0.6000."
FRAUD = Output(OutputKind.CLASS, ("fraud", "none"), True)
COMPARED = "log loss 0.3000 against 0.2500 on 200 held-out rows that are new to both"


def rare(found: int, flagged: int) -> ClassRecall:
    """Of 20 frauds among 1,000 rows."""
    actual, predicted = np.full(1000, "none", dtype=object), np.full(1000, "none", dtype=object)
    actual[:20] = "fraud"
    predicted[20 - found : 20 - found + flagged] = "fraud"
    of_rare = ClassRecall.of(actual, predicted, FRAUD, actual, "kind")
    assert of_rare
    return of_rare


def test_a_model_that_finds_none_of_the_rare_class_says_so_first() -> None:
    said = verdict(METRICS, None, recall=rare(0, 0))
    assert said == Verdict(f"Finds none of the 20 held-out rows where kind is 'fraud'. {PLAIN}", "bad")
    assert rare(0, 1).sentence().endswith("; its only alarm is wrong.")
    assert rare(1, 1).sentence().endswith("; its only alarm is right.")
    some = verdict(METRICS, PREVIOUS, recall=rare(5, 9))
    assert some.level == "warn"
    assert some.text.startswith(
        "Finds 5 of the 20 held-out rows where kind is 'fraud'; 5 of its 9 alarms are right. No significant"
    )
    most = verdict(METRICS, None, recall=rare(15, 15))
    assert most.level == "good" and most.text.endswith(f"; 15 of its 15 alarms are right. {PLAIN}")


def test_of_several_classes_the_one_found_worst_is_named() -> None:
    y = np.repeat(["A", "B", "C", "D"], [80, 20, 12, 3])
    labels = Output(OutputKind.CLASS, ("A", "B", "C", "D"), True)

    def said(predicted: Any) -> Verdict:
        return verdict(METRICS, None, recall=ClassRecall.of(y, predicted, labels, y, "kind"))

    none = "Finds none of the 12 held-out rows where kind is 'C', the worst of 4 classes."
    assert said(np.where(y == "C", "A", y)) == Verdict(f"{none} {PLAIN}", "warn")
    few = np.where((y == "B") & (np.arange(len(y)) >= 85), "A", y)
    found = "Finds 5 of the 20 held-out rows where kind is 'B', the worst of 4 classes."
    assert said(few) == Verdict(f"{found} {PLAIN}", "warn")
    assert said(np.where(y == "D", "A", y)) == said(y) == Verdict(PLAIN, "good")  # three rows say little


def test_nothing_is_said_of_classes_in_balance_and_of_one_that_was_not_tested() -> None:
    y = np.repeat([0, 1], [80, 20])
    assert ClassRecall.of(y, y, Output(OutputKind.CLASS, (0, 1)), y, "y") is None
    y = np.repeat([0, 1], [90, 10])
    assert ClassRecall.of(y[:90], y[:90], Output(OutputKind.CLASS, (0, 1)), y, "y") is None


def test_sentences_come_in_the_order_of_what_matters() -> None:
    assert verdict(METRICS, None) == Verdict(PLAIN, "good")
    assert verdict(METRICS, FIRST).text == f"Cannot be compared with version 1: it is mute. {PLAIN}"
    assert verdict(METRICS, WORSE) == Verdict(f"Worse than version 1: {COMPARED} (p = 0.004).", "bad")
    assert verdict(METRICS, PREVIOUS).text == f"No significant difference from version 1: {COMPARED} (p = 0.2)."
    assert verdict({"training_r2": 0.9}, None).text.startswith("R² 0.9000 on the rows it was trained on; ")
    leak = "Too good to be true? Nearly all comes from 'alive': is it known beforehand?"
    assert verdict(METRICS, None, [Leak(["alive"], "")]) == Verdict(f"{leak} {PLAIN}", "warn")
    doubted = verdict(METRICS, None, doubted=True)
    assert doubted == Verdict(f"Nearly perfect: is every input known beforehand? {PLAIN}", "warn")
    useless = verdict({"accuracy": 0.6, "baseline_accuracy": 0.6}, PREVIOUS)
    assert useless.level == "bad"
    assert useless.text.startswith(
        "It is no better than always giving the same answer: accuracy is 0.6 against 0.6. No signif"
    )
    every = verdict(METRICS, WORSE, [Leak(["alive"], "")], recall=rare(15, 15), wrong="the new data look wrong")
    assert every.text.startswith("The new data look wrong. Worse than version 1") and every.level == "bad"
    assert every.text.index("Too good") < every.text.index("Finds 15")


@pytest.mark.parametrize(
    ("labels", "counts", "positive"),
    [
        (["fault", "none"], [3, 90], "fault"),
        (["fault", "none"], [90, 3], "none"),
        (["fault", "none"], [5, 5], "fault"),
        ([0, 1], [5, 5], 1),
        ([False, True], [5, 5], True),
        (["a", "b"], [5, 5], "b"),
    ],
)
def test_the_positive_class_is_the_rarer_one_and_of_equals_the_one_where_something_has_happened(
    labels: list[Value], counts: list[int], positive: Value
) -> None:
    assert labels[positive_class(labels, counts)] == positive


@pytest.mark.usefixtures("unverified", "unreported")
def test_a_training_whose_model_finds_no_fraud_begins_its_verdict_with_that(tmp_path: Path) -> None:
    draw: Any = np.random.default_rng(0)
    amounts, trainer = draw.normal(size=4000), RecordingTrainer(tmp_path)
    fraud = draw.random(4000) < 0.017 * np.exp(0.6 * amounts - 0.18)
    rows = "\n".join(f"{amount:.4f},{int(target)}" for amount, target in zip(amounts, fraud, strict=True))
    (trainer.data / "payments.csv").write_text(f"amount,fraud\n{rows}\n")
    result = trainer.train(
        "tabular", path="payments.csv", target="fraud", parameters={"estimator": "linear"}, model="payments"
    )
    assert result.level == "bad" and result.to_json()["level"] == "bad"
    tested = int(result.verdict.split()[4])
    assert 5 < tested < 40
    assert result.verdict.startswith(f"Finds none of the {tested} held-out rows where fraud is 1. Average precision 0.")
    assert result.verdict in trainer.log
