"""The comparison of kernels finds answers that differ and marks what is slower; another checkout runs its own code."""

from __future__ import annotations

import dataclasses
import sys
from argparse import ArgumentTypeError
from pathlib import Path
from types import ModuleType

import pytest
from modelgate_kernels import predict
from modelgate_kernels.same import same
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from kernels.bench import __main__ as bench
from kernels.bench import models
from kernels.bench.__main__ import Comparison
from kernels.bench.models import FittedModel
from kernels.bench.other_checkout import kernels_of_checkout

MODELS = models.all_models()


@pytest.fixture(scope="module")
def other() -> ModuleType:
    return kernels_of_checkout(str(Path(__file__).parents[2]))


@pytest.fixture(scope="module")
def model() -> FittedModel:
    (fitted,) = (model for model in MODELS if model.name == "StandardScaler, LogisticRegression")
    return models.fitted(fitted)


def test_a_kernel_that_answers_as_its_estimator_has_no_difference(model: FittedModel) -> None:
    batches = bench.batches_of(model.sample.rows, 64)
    assert bench.difference(model, bench.kernel_of(model), batches) is None


def test_the_kernel_of_another_fit_answers_differently(model: FittedModel) -> None:
    labels = model.estimator.predict(model.sample.rows)
    estimator = make_pipeline(StandardScaler(), LogisticRegression(C=0.01)).fit(model.sample.rows, labels)
    kernel = bench.kernel_of(dataclasses.replace(model, estimator=estimator))
    assert bench.difference(model, kernel, [model.sample.rows[:64]]) == "the kernel answers differently"


def test_a_model_without_a_kernel_is_named(model: FittedModel) -> None:
    assert bench.difference(model, None, [model.sample.rows[:1]]) == "no kernel"


def test_batches_have_different_rows_as_far_as_there_are_any() -> None:
    assert bench.batches_of([(1,), (2,), (3,)], 1) == [[(1,)], [(2,)], [(3,)]]
    assert bench.batches_of([(1,), (2,), (3,)], 5) == [[(1,), (2,), (3,), (1,), (2,)]]


def test_all_ways_are_measured_in_each_round(model: FittedModel, other: ModuleType) -> None:
    comparison = bench.compare(model, 1, 2, other)
    assert comparison.microseconds > 0
    assert {way: len(ratios) for way, ratios in comparison.ratios.items()} == {"scikit-learn": 2, "before": 2}


def test_a_size_that_takes_too_long_is_left_out(model: FittedModel, capsys: pytest.CaptureFixture[str]) -> None:
    comparisons = bench.comparisons(model, (1, 10**9), 1, None)
    assert [comparison.size for comparison in comparisons] == [1]
    assert "1,000,000,000 rows: left out, a batch takes about" in capsys.readouterr().out


def test_the_other_checkout_answers_with_its_own_modules(model: FittedModel, other: ModuleType) -> None:
    assert sys.modules["modelgate_kernels"].predict is predict
    assert other.predict is not predict
    rows = model.sample.rows[:5]
    answers = bench.way_of(other, model)(rows)
    assert same(answers, bench.own_methods(model)(rows))


def test_a_folder_without_kernels_is_no_checkout(tmp_path: Path) -> None:
    with pytest.raises(ArgumentTypeError):
        kernels_of_checkout(str(tmp_path))


def test_the_table_has_medians_and_marks_what_is_slower_and_what_is_not_compared() -> None:
    page = bench.page(
        [
            Comparison("tree", 1, 20.4, {"scikit-learn": [12.0, 10.0, 14.0]}),
            Comparison("tree", 64, 90.0, {"scikit-learn": [0.9, 0.8, 1.2]}, "no kernel"),
            Comparison("slow", 1, 3000.0, {"scikit-learn": [1.0]}),
        ]
    )
    assert "| tree | 20 | 12.0 (10.0–14.0) | **0.90 (0.80–1.20)** |" in page
    assert "| slow | 3,000 | 1.00 (1.00–1.00) | – |" in page
    assert "Below 0.95 of scikit-learn: tree at 64." in page
    assert page.endswith("tree: no kernel\n")


def test_each_model_of_the_table_has_a_name_of_its_own() -> None:
    assert len({model.name for model in MODELS}) == len(MODELS) > 30
