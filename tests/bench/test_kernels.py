"""The comparison of kernels finds answers that differ and marks what is slower; another checkout runs its own code."""

from __future__ import annotations

import dataclasses
import sys

import pytest
from modelgate_kernels.same import same
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bench import kernel_models, kernels
from bench.kernel_models import FittedModel
from bench.kernels import Comparison
from bench.other_checkout import OtherCheckout
from bench.processes import PROJECT

RECIPES = kernel_models.all_models()


@pytest.fixture(scope="module")
def other() -> OtherCheckout:
    return OtherCheckout(PROJECT)


@pytest.fixture(scope="module")
def model() -> FittedModel:
    (recipe,) = (recipe for recipe in RECIPES if recipe.name == "StandardScaler, LogisticRegression")
    return kernel_models.fitted(recipe)


def test_a_kernel_that_answers_as_its_estimator_has_no_difference(model: FittedModel) -> None:
    batches = kernels.batches_of(model.rows, 64)
    assert kernels.difference(model, kernels.kernel_of(model), batches) is None


def test_the_kernel_of_another_fit_answers_differently(model: FittedModel) -> None:
    labels = model.estimator.predict(model.rows)
    estimator = make_pipeline(StandardScaler(), LogisticRegression(C=0.01)).fit(model.rows, labels)
    kernel = kernels.kernel_of(dataclasses.replace(model, estimator=estimator))
    assert kernels.difference(model, kernel, [model.rows[:64]]) == "the kernel answers differently"


def test_a_model_without_a_kernel_is_named(model: FittedModel) -> None:
    assert kernels.difference(model, None, [model.rows[:1]]) == "no kernel"


def test_batches_have_different_rows_as_far_as_there_are_any() -> None:
    assert kernels.batches_of([(1,), (2,), (3,)], 1) == [[(1,)], [(2,)], [(3,)]]
    assert kernels.batches_of([(1,), (2,), (3,)], 5) == [[(1,), (2,), (3,), (1,), (2,)]]


def test_all_ways_are_measured_in_each_round(model: FittedModel, other: OtherCheckout) -> None:
    found = kernels.compare(model, 1, 2, other)
    assert found.microseconds > 0
    assert {way: len(ratios) for way, ratios in found.ratios.items()} == {"scikit-learn": 2, "before": 2}


def test_a_size_that_takes_too_long_is_left_out(model: FittedModel, capsys: pytest.CaptureFixture[str]) -> None:
    found = kernels.comparisons(model, (1, 10**9), 1, None)
    assert [each.size for each in found] == [1]
    assert "1,000,000,000 rows: left out, a batch takes about" in capsys.readouterr().out


def test_the_other_checkout_answers_with_its_own_modules(model: FittedModel, other: OtherCheckout) -> None:
    assert sys.modules["scoring.estimators"].predict_rows is kernels.predict_rows
    assert other.estimators is not sys.modules["scoring.estimators"]
    signature = other.copy(model.signature)
    assert type(signature) is not type(model.signature)
    assert signature.names == model.signature.names
    rows = model.rows[:5]
    found = kernels.way_of(other, model)(rows)
    assert all(map(same, found, kernels.own_methods(model)(rows)))


def test_the_table_has_medians_and_marks_what_is_slower_and_what_is_not_compared() -> None:
    page = kernels.page(
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
    assert len({recipe.name for recipe in RECIPES}) == len(RECIPES) > 30
