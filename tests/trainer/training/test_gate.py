"""The gate passes good versions, and gives a reason for refusing others."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from contract.model.signature import Output, OutputKind
from contract.work.training import DERIVED_METRICS, ComparedFigures, Gate
from contract.work.training import METRICS as MEASURED
from trainer.report.evidence import ComparisonOutcome, VersionComparison
from trainer.training.fitting import measure
from trainer.training.gate import compared, objection

METRICS = {"accuracy": 0.9, "log_loss": 0.3, "training_r2": 0.8}
FIRST = VersionComparison(1, missing="it is mute")
PREVIOUS = VersionComparison(
    1,
    rows=200,
    metrics=METRICS,
    previous={"accuracy": 0.95, "log_loss": 0.25},
    loss="log loss",
    loss_now=0.3,
    loss_before=0.25,
    p_worse=0.2,
    p_better=0.8,
    outcome=ComparisonOutcome.SAME,
)
WORSE = dataclasses.replace(PREVIOUS, p_worse=0.004, outcome=ComparisonOutcome.WORSE)


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        (Gate(), None),
        (Gate(floor=0.9), None),
        (Gate(floor=0.91), "accuracy is 0.9, but the gate requires at least 0.91"),
        (Gate("log_loss", floor=0.3), None),
        (Gate("log_loss", floor=0.29), "log_loss is 0.3, but the gate requires at most 0.29"),
        (Gate(margin=0.05), None),
        (Gate(margin=0.04), "accuracy is 0.9, and version 1 has 0.95 on the same held-out rows: worse by 0.05"),
        (Gate("log_loss", margin=0.05), None),
        (Gate("log_loss", margin=0.04), "log_loss is 0.3, and version 1 has 0.25"),
        (Gate("f1", floor=0.1), "the gate needs f1, but the version has only accuracy, log_loss, training_r2"),
        (Gate("training_r2", floor=0.1), "the gate needs held-out rows, but the recipe holds none out"),
    ],
)
def test_a_gate_passes_a_version_or_gives_the_reason(gate: Gate, said: str | None) -> None:
    reason = objection(gate, METRICS, PREVIOUS)
    assert reason is None if said is None else reason is not None and reason.startswith(said)


@pytest.mark.parametrize("gate", [Gate(), Gate(margin=0.0)])
def test_the_first_version_is_better_than_none(gate: Gate) -> None:
    assert objection(gate, {"accuracy": 0.3, "baseline_accuracy": 0.6}, None) is None


def test_a_version_is_not_promoted_under_a_margin_if_the_previous_one_cannot_be_compared() -> None:
    said = objection(Gate(margin=0.0), METRICS, FIRST)
    assert said is not None and "version 1 cannot be compared on the held-out rows: it is mute" in said
    said = objection(Gate("accuracy", margin=0.0), METRICS, dataclasses.replace(PREVIOUS, previous={"r2": 1.0}))
    assert said is not None and "it has no accuracy" in said
    assert objection(Gate(floor=0.5), METRICS, FIRST) is None
    assert objection(Gate(), {"accuracy": 0.3, "baseline_accuracy": 0.6}, FIRST) is None


def test_a_version_whose_callers_have_to_change_something_does_not_pass_unless_that_is_accepted() -> None:
    changed = dataclasses.replace(PREVIOUS, changes=["'a' is needed", "'b' may no longer be null"])
    assert objection(Gate(), METRICS, changed) == (
        "callers of version 1 have to change something: 'a' is needed; 'b' may no longer be null"
        ' ("accept": ["signature"] or --accept-signature promotes such a version)'
    )
    assert objection(Gate(), METRICS, changed, ["signature"]) is None
    worse = dataclasses.replace(WORSE, changes=changed.changes)
    both = objection(Gate(), METRICS, worse)
    assert both is not None and both.startswith("callers of ") and "; it is significantly worse than" in both
    figures = compared(Gate(), METRICS, worse)
    assert figures and not figures.decisive
    figures = compared(Gate(), METRICS, worse, ["signature"])
    assert figures and figures.decisive


def test_a_gate_that_requires_a_comparison_refuses_what_cannot_be_compared() -> None:
    strict = Gate(require_comparison=True)
    assert objection(strict, METRICS, FIRST) == (
        "it cannot be compared with version 1: it is mute; the gate requires a comparison"
    )
    assert objection(strict, METRICS, None) is None and objection(strict, METRICS, PREVIOUS) is None


def test_a_significantly_worse_version_does_not_pass_unless_a_margin_is_given() -> None:
    for gate in (Gate(), Gate(floor=0.5)):
        assert objection(gate, METRICS, WORSE) == (
            "it is significantly worse than version 1 (p = 0.004): log loss 0.3000 against 0.2500"
            " on 200 held-out rows that are new to both"
        )
    assert objection(Gate(margin=0.1), METRICS, WORSE) is None


@pytest.mark.parametrize(
    ("metrics", "passes"),
    [
        ({"accuracy": 0.6, "baseline_accuracy": 0.6}, False),
        ({"accuracy": 0.61, "baseline_accuracy": 0.6}, True),
        ({"accuracy": 0.6, "baseline_accuracy": 0.6, "log_loss": 0.7, "baseline_log_loss": 0.67}, False),
        ({"accuracy": 0.59, "baseline_accuracy": 0.6, "log_loss": 0.6, "baseline_log_loss": 0.67}, True),
        ({"average_precision": 0.2, "baseline_average_precision": 0.1}, True),
        ({"r2": -0.01, "mean_absolute_error": 2.0, "baseline_mean_absolute_error": 1.0}, False),
        ({"r2": 0.01, "mean_absolute_error": 2.0, "baseline_mean_absolute_error": 1.0}, True),
        ({"an_own_metric": 0.5}, True),
    ],
)
def test_a_version_that_is_no_better_than_one_answer_for_all_does_not_pass_unless_a_floor_is_given(
    metrics: dict[str, float], passes: bool
) -> None:
    reason = objection(Gate(), metrics, PREVIOUS)
    assert (reason is None) == passes
    assert passes or str(reason).startswith("it is no better than always giving the same answer: ")
    assert objection(Gate(floor=-1.0), metrics, PREVIOUS) is None


def test_a_gate_may_ask_for_every_metric_that_is_measured() -> None:
    y, table = np.array([0] * 19 + [1]), np.column_stack([np.full(20, 0.9), np.full(20, 0.1)])
    classes = measure(y, np.zeros(20), table, Output(OutputKind.CLASS, (0, 1), probabilities=True))
    numbers = measure(y + 0.5, y + 0.4, None, Output(OutputKind.NUMBER))
    measured = [name for name in (*classes, *numbers) if not name.startswith(DERIVED_METRICS)]
    assert set(measured) == set(MEASURED)


FEW = dataclasses.replace(PREVIOUS, outcome=None, missing="only 10 rows are new to both")
ACCURACY = ComparedFigures(1, 200, "accuracy", 0.9, 0.95, decisive=False)


@pytest.mark.parametrize(
    ("gate", "comparison", "figures"),
    [
        (Gate(), None, None),
        (Gate(), FIRST, None),
        (Gate(), PREVIOUS, ACCURACY),
        (Gate(), WORSE, dataclasses.replace(ACCURACY, decisive=True)),
        (Gate(margin=0.01), PREVIOUS, dataclasses.replace(ACCURACY, decisive=True)),
        (Gate(margin=0.1), WORSE, ACCURACY),
        (Gate("log_loss", margin=0.01), WORSE, ComparedFigures(1, 200, "log_loss", 0.3, 0.25, decisive=True)),
        (Gate(floor=0.99), WORSE, ACCURACY),
        (Gate(), FEW, None),
        (Gate(require_comparison=True), FEW, None),
        (Gate(margin=0.1), FEW, ACCURACY),
        (Gate(margin=0.01, require_comparison=True), FEW, ACCURACY),
    ],
)
def test_the_compared_figures_are_those_that_decided(
    gate: Gate, comparison: VersionComparison | None, figures: ComparedFigures | None
) -> None:
    assert compared(gate, METRICS, comparison) == figures


def test_a_version_that_is_better_or_worse_only_in_what_the_test_compares_is_shown_with_that() -> None:
    better = dataclasses.replace(PREVIOUS, outcome=ComparisonOutcome.BETTER, loss_now=0.25, loss_before=0.3)
    assert compared(Gate(), METRICS, better) == ComparedFigures(1, 200, "log_loss", 0.25, 0.3, decisive=False)
    worse = dataclasses.replace(WORSE, previous={"accuracy": 0.85})
    assert compared(Gate(), METRICS, worse) == ComparedFigures(1, 200, "log_loss", 0.3, 0.25, decisive=True)
