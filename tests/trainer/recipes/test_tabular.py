"""`tabular` trains on any table: classes or numbers, with columns of any kind."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from sklearn import datasets
from threadpoolctl import threadpool_limits

from contract.model.manifest import ArtifactFormat, ModelManifest
from contract.model.repository import Repository
from contract.model.signature import Kind, OutputKind
from contract.rows.coercion import coerce
from contract.rows.instances import Records
from contract.settings import Settings
from contract.work.training import TrainingRequest, TrainingResult
from gateway.protocols import csv_rows
from scoring import skops_files
from scoring.artifacts import load
from scoring.predict import Prediction, predict
from scoring.trust import Trust
from tests.trainer.conftest import check_without_trainer, leave_out_reports
from trainer.recipe import RecipeError
from trainer.training.train import train

pytestmark = pytest.mark.usefixtures("unverified", "unreported")


class Trained:
    """`tabular` on a CSV file, published, and loaded as a worker does."""

    def __init__(
        self, models: Path, csv_file: Path, target: str, *, pickle: Literal["allow", "deny"] = "allow", **more: Any
    ) -> None:
        self.log: list[str] = []
        self.models = models
        settings = Settings(models_dir=models, data_dir=csv_file.parent, pickle=pickle)
        request = TrainingRequest("m", "tabular", target=target, path=csv_file.name, **more)
        self.result: TrainingResult = train(request, settings, lambda _: None, self.log.append, lambda *_: None)
        repository = Repository(models)
        self.manifest: ModelManifest = repository.manifest("m", self.result.version)
        self.estimator = load(self.manifest, repository.files("m", self.result.version), Trust.from_settings(settings))

    def answer(self, *bodies: dict[str, Any]) -> Prediction:
        with threadpool_limits(1):  # as a worker; many threads that wait for each other take a hundred times longer
            return predict(self.estimator, self.manifest, coerce(Records(bodies), self.manifest.signature).rows)


def mixed_rows(rows: int, seed: int = 0) -> list[dict[str, Any]]:
    """Every kind of column; `risk` follows from a number, a word, a boolean and the day of the week."""
    draw = random.Random(seed)
    made_rows = []
    for number in range(rows):
        day = draw.randrange(700)
        date = np.datetime64("2023-01-02") + day
        row: dict[str, Any] = {
            "account": f"A-{number:05}",
            "amount": round(draw.lognormvariate(3, 1), 2),
            "items": draw.randrange(6),
            "member": draw.choice(["true", "false"]),
            "colour": draw.choice(["red", "green", "blue"]),
            "town": f"town {draw.randrange(120)}",
            "ordered": f"{date}T{draw.randrange(24):02}:00:00Z",
            "currency": "EUR",
            "empty": None,
        }
        score = (row["amount"] > 20) + (row["colour"] == "red") + (row["member"] == "true") + (day % 7 >= 5)
        row["risk"] = "high" if score + draw.gauss(0, 0.4) > 1.6 else "low"
        for name in ("amount", "colour", "town", "ordered", "items"):
            if draw.random() < 0.05:
                row[name] = None
        made_rows.append(row)
    return made_rows


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    lines = [",".join(rows[0]), *(",".join("" if v is None else str(v) for v in row.values()) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("mixed")
    patch = pytest.MonkeyPatch()
    patch.setattr("trainer.publishing.publish.verify", lambda *_: None)
    leave_out_reports(patch)
    try:
        return Trained(folder / "models", write(folder / "mixed.csv", mixed_rows(400)), "risk")
    finally:
        patch.undo()


@pytest.mark.slow
def test_a_mixed_table_is_learnt_and_its_fields_are_inferred(mixed: Trained) -> None:
    assert mixed.result.metrics["accuracy"] > max(0.8, mixed.result.metrics["baseline_accuracy"])
    fields = {f.name: f for f in mixed.manifest.signature.inputs}
    kinds = [Kind.NUMBER, Kind.INTEGER, Kind.BOOLEAN, Kind.STRING, Kind.STRING, Kind.DATETIME]
    assert list(fields) == ["amount", "items", "member", "colour", "town", "ordered"]
    assert [f.kind for f in fields.values()] == kinds
    assert (fields["colour"].categories, fields["town"].categories) == (("blue", "green", "red"), None)
    assert {name for name, f in fields.items() if not f.nullable} == {"member"}
    output = mixed.manifest.signature.output
    assert (output.kind, output.labels, output.probabilities) == (OutputKind.CLASS, ("high", "low"), True)
    assert mixed.manifest.training_data.target == "risk"


def test_columns_that_were_left_out_or_hashed_are_in_the_log(mixed: Trained) -> None:
    said = "\n".join(mixed.log)
    for part in (
        "account is left out",
        "currency is left out",
        "empty is left out",
        ": their words are hashed into 64",
    ):
        assert part in said
    assert "blend: log loss 0." in said


def test_rows_are_answered_alike_alone_and_together(mixed: Trained) -> None:
    names = mixed.manifest.signature.names
    bodies = [{name: row[name] for name in names} for row in mixed_rows(12, seed=1)]
    bodies += [{**bodies[0], name: None} for name in names if name != "member"]
    bodies += [{**bodies[0], "town": "Elsewhere, never seen"}]
    together, alone = mixed.answer(*bodies), [mixed.answer(body) for body in bodies]
    assert together.values == [answer.values[0] for answer in alone]
    assert together.probabilities is not None
    for row, answer in zip(together.probabilities, alone, strict=True):
        assert answer.probabilities is not None
        assert answer.probabilities[0] == pytest.approx(row, rel=1e-12)


@pytest.mark.slow
def test_the_artifact_needs_libraries_alone(mixed: Trained, tmp_path: Path) -> None:
    assert mixed.manifest.artifact.format is ArtifactFormat.JOBLIB
    check_without_trainer(mixed.models, "m@1", tmp_path)


def test_a_skops_file_predicts_identically_to_the_last_bit(mixed: Trained) -> None:
    names = mixed.manifest.signature.names
    bodies = [{name: row[name] for name in names} for row in mixed_rows(40, seed=2)]
    rows = coerce(Records(bodies), mixed.manifest.signature).rows
    with threadpool_limits(1):
        held = predict(skops_files.loads(skops_files.dumps(mixed.estimator)), mixed.manifest, rows)
    assert held == mixed.answer(*bodies)


@pytest.mark.parametrize("target", ["risk", "amount"])
def test_under_pickle_deny_it_is_published_as_a_skops_file(tmp_path: Path, target: str) -> None:
    table = write(tmp_path / "t.csv", mixed_rows(120))
    trained = Trained(tmp_path / "models", table, target, pickle="deny", parameters={"estimator": "linear"})
    assert trained.manifest.artifact.format is ArtifactFormat.SKOPS
    golden = trained.manifest.golden
    assert trained.answer(
        *(dict(zip(trained.manifest.signature.names, row, strict=True)) for row in golden.rows)
    ).values == (list(golden.predictions))


@pytest.mark.slow
def test_training_again_gives_the_same_version_again(tmp_path: Path, mixed: Trained) -> None:
    again = Trained(tmp_path / "models", write(tmp_path / "mixed.csv", mixed_rows(400)), "risk")
    assert again.manifest.metrics == mixed.manifest.metrics
    assert again.manifest.golden == mixed.manifest.golden
    assert again.manifest.training_data.fingerprint == mixed.manifest.training_data.fingerprint


def test_a_rare_class_has_calibrated_probabilities_and_a_threshold(tmp_path: Path) -> None:
    draw = random.Random(0)
    rows = [{"a": draw.gauss(0, 1), "b": draw.gauss(0, 1), "fraud": "no"} for _ in range(1900)]
    rows += [{"a": draw.gauss(1.5, 1), "b": draw.gauss(0, 1), "fraud": "yes"} for _ in range(100)]
    draw.shuffle(rows)
    trained = Trained(tmp_path / "models", write(tmp_path / "t.csv", rows), "fraud", parameters={"estimator": "linear"})
    assert any("the classes are imbalanced (class 'yes' has " in line for line in trained.log)
    metrics = trained.result.metrics
    assert trained.result.headline == "average_precision" == next(iter(metrics))
    assert metrics["average_precision"] > 3 * metrics["baseline_average_precision"]
    assert metrics["cv_average_precision"] > 3 * metrics["baseline_average_precision"]
    assert 0.05 < metrics["best_threshold"] < 0.5 and metrics["best_threshold_recall"] > 0.2
    assert any("from a probability of 0.5 on: " in remark for remark in trained.result.remarks)
    answer = trained.answer(*({"a": row["a"], "b": row["b"]} for row in rows))
    assert answer.probabilities is not None
    mean = float(np.mean([row["yes"] for row in answer.probabilities]))
    assert mean == pytest.approx(0.05, abs=0.01)


def test_numbers_are_estimated_with_their_errors_and_baseline(tmp_path: Path) -> None:
    rows = [{"x": n % 17, "noise": n * 7 % 11, "price": n % 17 * 2.5 + 0.1} for n in range(300)]
    trained = Trained(tmp_path / "models", write(tmp_path / "t.csv", rows), "PRICE", parameters={"estimator": "linear"})
    metrics = trained.result.metrics
    assert list(metrics)[:3] == ["r2", "mean_absolute_error", "baseline_mean_absolute_error"]
    assert metrics["r2"] > 0.999
    assert metrics["mean_absolute_error"] < 0.1 < metrics["baseline_mean_absolute_error"]
    assert metrics["cv_r2"] > 0.999
    assert metrics["cv_r2_spread"] < 0.01
    assert trained.manifest.signature.output.kind is OutputKind.NUMBER


@pytest.mark.parametrize(("task", "kind"), [("auto", OutputKind.CLASS), ("regression", OutputKind.NUMBER)])
def test_few_whole_numbers_are_classes_unless_regression_is_asked_for(
    tmp_path: Path, task: str, kind: OutputKind
) -> None:
    rows = [{"x": n % 17, "stars": n % 17 // 4} for n in range(100)]
    parameters = {"estimator": "linear", "task": task}
    trained = Trained(tmp_path / "models", write(tmp_path / "t.csv", rows), "stars", parameters=parameters)
    assert trained.manifest.signature.output.kind is kind


def test_regression_on_text_is_refused(tmp_path: Path) -> None:
    rows = [{"x": n % 17, "stars": "many" if n % 2 else "few"} for n in range(100)]
    with pytest.raises(RecipeError, match="the target stars is text, but regression needs numbers"):
        Trained(tmp_path / "models", write(tmp_path / "t.csv", rows), "stars", parameters={"task": "regression"})


@pytest.mark.slow
def test_useless_columns_are_reported_as_no_better_than_the_baseline(tmp_path: Path) -> None:
    draw = random.Random(1)
    rows = [{"x": draw.random(), "z": draw.choice("ab")} for _ in range(200)]
    trained = Trained(tmp_path / "models", write(tmp_path / "t.csv", rows), "z", parameters={"estimator": "forest"})
    assert any("has no better log loss than always giving the same answer" in line for line in trained.log)


def test_no_candidate_is_tried_after_the_time_limit(tmp_path: Path) -> None:
    rows = [{"x": n % 17, "z": "ab"[n % 17 > 8]} for n in range(100)]
    trained = Trained(tmp_path / "models", write(tmp_path / "t.csv", rows), "z", parameters={"seconds": 0})
    assert "'boosting', 'forest', 'blend' was not tried: the time limit was reached (seconds=0)" in "\n".join(
        trained.log
    )


def test_candidates_are_compared_on_a_sample_of_many_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.recipes.tabular.MOST_CELLS", 1)
    rows = [{"x": n % 17, "z": "ab"[n % 17 > 8]} for n in range(3000)]
    trained = Trained(tmp_path / "models", write(tmp_path / "t.csv", rows), "z", parameters={"estimator": "linear"})
    assert any(line.startswith("candidates are compared on 20") for line in trained.log)


def test_a_class_of_a_few_rows_among_many_is_in_the_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.recipes.tabular.MOST_CELLS", 1)
    rows = [{"x": n % 17, "z": "often" if n % 2000 else "rare"} for n in range(12_000)]
    trained = Trained(tmp_path / "models", write(tmp_path / "t.csv", rows), "z", parameters={"estimator": "linear"})
    assert trained.manifest.signature.output.labels == ("often", "rare")


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (["rare" if n in (3, 30) else "often" for n in range(60)], "'often' with 44 and 'rare' with 1: "),
        ([f"c{n % 20}" for n in range(60)], " with 3 and 'c"),
    ],
)
def test_too_few_rows_of_each_class_are_refused_in_a_sentence(tmp_path: Path, labels: list[str], said: str) -> None:
    rows = [{"x": n % 17, "z": label} for n, label in enumerate(labels)]
    with pytest.raises(RecipeError, match="the most frequent classes of the training rows are") as refused:
        Trained(tmp_path / "models", write(tmp_path / "t.csv", rows), "z")
    assert said in str(refused.value)


@pytest.mark.slow
def test_a_date_that_stands_for_never_is_a_date(tmp_path: Path) -> None:
    dates = ["9999-12-31", "2024-02-01", "0001-01-01", "2023-05-06T07:08:09.123456Z"]
    rows = [{"x": n % 17, "until": dates[n % 4], "z": "ab"[n % 4 > 1]} for n in range(100)]
    trained = Trained(tmp_path / "models", write(tmp_path / "t.csv", rows), "z", parameters={"estimator": "forest"})
    bodies = [{"x": 1, "until": date} for date in dates]
    assert trained.answer(*bodies).values == ["a", "a", "b", "b"]
    assert [trained.answer(body).values[0] for body in bodies] == ["a", "a", "b", "b"]


@pytest.mark.parametrize(
    ("name", "metric", "least", "parameters"),
    [
        ("wine", "accuracy", 0.95, {}),
        pytest.param("breast_cancer", "accuracy", 0.95, {}, marks=pytest.mark.slow),
        ("diabetes", "r2", 0.45, {}),
        ("digits", "accuracy", 0.95, {"estimator": "linear"}),
    ],
)
def test_datasets_of_scikit_learn_are_learnt(
    tmp_path: Path, name: str, metric: str, least: float, parameters: dict[str, Any]
) -> None:
    getattr(datasets, f"load_{name}")(as_frame=True).frame.to_csv(tmp_path / f"{name}.csv", index=False)
    trained = Trained(tmp_path / "models", tmp_path / f"{name}.csv", "target", parameters=parameters)
    assert next(iter(trained.result.metrics)) == metric
    assert trained.result.metrics[metric] > least


def test_loan_is_as_good_as_in_the_post_on_the_posts_own_hold_out(real_data: Path, tmp_path: Path) -> None:
    trained = Trained(tmp_path, real_data / "loan.csv", "Loan_Status")
    assert trained.result.metrics["accuracy"] >= 120 / 154
    assert trained.result.metrics["baseline_accuracy"] == pytest.approx(100 / 154)


def test_boston_is_better_than_in_the_post(real_data: Path, tmp_path: Path) -> None:
    assert Trained(tmp_path, real_data / "boston.csv", "medv").result.metrics["r2"] >= 0.7106


def test_a_churn_table_with_blanks_is_trained_on_and_scored_unchanged(tmp_path: Path) -> None:
    draw = random.Random(3)
    lines = ["customer,tenure,Contract,MonthlyCharges,TotalCharges,Churn"]
    for number in range(120):
        months, charge = draw.choice([0, *range(1, 70)]), draw.choice([20.05, 56.95, 104.8])
        total = " " if number % 15 == 0 else f"{months * charge:.2f}"
        lines.append(f"{number:04}-X,{months},{draw.choice(['One year', 'Two year'])},{charge},{total},{months < 12}")
    (tmp_path / "churn.csv").write_text("\n".join(lines))
    trained = Trained(
        tmp_path / "models", tmp_path / "churn.csv", "Churn", id_field="customer", parameters={"estimator": "linear"}
    )
    coerced = coerce(csv_rows.read((tmp_path / "churn.csv").read_bytes()), trained.manifest.signature, "Churn")
    with threadpool_limits(1):
        assert len(predict(trained.estimator, trained.manifest, coerced.rows).values) == 120
    assert coerced.ids is not None and coerced.ids[0] == "0000-X"
    assert coerced.warnings == ["ignored columns that are not inputs of the model: 'Churn'; 'Churn' is the target"]
