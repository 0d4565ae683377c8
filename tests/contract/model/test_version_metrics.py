"""Which values of a metric are better, and whether a version is better than always giving the same answer."""

from __future__ import annotations

import pytest

from contract.model.version_metrics import baseline_of, data_look_wrong, headline_first, is_better, missed_baselines

BASELINES = {"baseline_accuracy": 0.7, "baseline_log_loss": 0.65}


@pytest.mark.parametrize(
    "name", ["log_loss", "training_log_loss", "mean_absolute_error", "brier_score", "RMSE", "cv_accuracy_spread"]
)
def test_less_of_an_error_is_better(name: str) -> None:
    assert is_better(name, 0.1, 0.2) and not is_better(name, 0.2, 0.1) and not is_better(name, 0.1, 0.1)


@pytest.mark.parametrize("name", ["accuracy", "r2", "roc_auc", "recall_at_half_precision"])
def test_more_of_other_metrics_is_better(name: str) -> None:
    assert is_better(name, 0.2, 0.1) and not is_better(name, 0.1, 0.2) and not is_better(name, 0.1, 0.1)


def test_each_metric_has_a_name_for_its_baseline() -> None:
    assert baseline_of("accuracy") == "baseline_accuracy"
    assert baseline_of("training_accuracy") == "training_baseline_accuracy"


def test_the_headline_comes_first_and_baselines_and_cross_validation_not_at_all() -> None:
    names = ["accuracy", "baseline_accuracy", "cv_accuracy", "log_loss", "training_baseline_r2", "training_r2"]
    assert headline_first(names, "log_loss") == ["log_loss", "accuracy", "training_r2"]
    assert headline_first(names, None) == ["accuracy", "log_loss", "training_r2"]


@pytest.mark.parametrize(
    ("metrics", "missed"),
    [
        ({"accuracy": 0.7, "log_loss": 0.66, **BASELINES}, {"accuracy": 0.7, "log_loss": 0.65}),
        ({"accuracy": 0.7, "log_loss": 0.64, **BASELINES}, {}),
        ({"accuracy": 0.71, "log_loss": 0.66, **BASELINES}, {}),
        ({"log_loss": 0.66, "accuracy": 0.9, **BASELINES}, {"log_loss": 0.65}),
        ({"r2": -0.1}, {"r2": 0.0}),
        ({"r2": 0.1}, {}),
        ({"roc_auc": 0.1}, {}),
        ({}, {}),
    ],
)
def test_a_version_that_is_better_in_neither_figure_misses_the_baselines(
    metrics: dict[str, float], missed: dict[str, float]
) -> None:
    assert missed_baselines(metrics) == missed


@pytest.mark.parametrize(
    ("now", "before", "wrong"),
    [
        # An accuracy of 0.54 beside a baseline of 0.53 is chance on 300 rows, and tells something on 90,000.
        ({"accuracy": 0.51, "log_loss": 0.77}, {"accuracy": 0.54, "log_loss": 0.9}, {300}),
        ({"accuracy": 0.51, "log_loss": 0.77}, {"accuracy": 0.52, "log_loss": 0.9}, {300, 90_000}),
        ({"accuracy": 0.51, "log_loss": 0.68}, {"accuracy": 0.51, "log_loss": 0.9}, set()),
        ({"accuracy": 0.8, "log_loss": 0.9}, {"accuracy": 0.51, "log_loss": 0.9}, set()),
        ({"accuracy": 0.51}, {"accuracy": 0.54}, set()),
        ({"r2": -0.1}, {"r2": -2.0}, {300, 90_000}),
        ({"r2": -0.1}, {"r2": 0.1}, set()),
        ({"r2": -0.1}, {}, set()),
    ],
)
def test_data_look_wrong_if_always_giving_the_same_answer_is_as_good_as_both_versions(
    now: dict[str, float], before: dict[str, float], wrong: set[int]
) -> None:
    baselines = {"baseline_accuracy": 0.53, "baseline_log_loss": 0.69}
    for rows in (300, 90_000):
        reason = data_look_wrong({**now, **baselines}, {**before, **baselines}, rows)
        assert bool(reason) is (rows in wrong)
        assert not reason or reason.startswith("the new data look wrong: ")
