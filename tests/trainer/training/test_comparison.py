"""Versions are compared on rows that are new to both, and the verdict names their number."""

from __future__ import annotations

import json
import math
import random
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest, permutation_test, ttest_1samp
from sklearn.model_selection import train_test_split

from contract.model.repository import Repository
from contract.model.signature import Decision
from contract.settings import Settings
from contract.work.training import Gate, TrainingRequest, TrainingResult
from storage.models.repository_writer import RepositoryWriter
from trainer.importing.edits.signature_edits import publish_edited
from trainer.publishing.aliases import move_alias
from trainer.report.evidence import Evidence
from trainer.report.facts import comparison
from trainer.training import ROW_HASHES_FILE
from trainer.training.comparison import by_chance
from trainer.training.row_hashes import hashes
from trainer.training.train import train

pytestmark = pytest.mark.usefixtures("unverified", "unreported")

NO_GATE = Gate()
ACCEPT = ("signature",)
RECIPE = """
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.tree import DecisionTreeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.preprocessing import OneHotEncoder
from contract.model.manifest import InputFormat
from trainer.recipe import recipe

@recipe(test_size=0.25, input_format=InputFormat.DATAFRAME)
def fit(X, y, *, deaf: bool = False, broken: bool = False, constant: bool = False, trees: bool = False):
    words = make_column_selector(dtype_include=[object, "string"])
    columns = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), words), remainder="passthrough")
    draw = np.random.default_rng(1)
    y = draw.permutation(y) if deaf else y
    model = RidgeCV() if y.dtype.kind == "f" else LogisticRegression()
    model = DummyClassifier() if constant else DecisionTreeClassifier(max_depth=3) if trees else model
    fitted = make_pipeline(columns, model).fit(X, y)
    if broken:
        del fitted.steps[-1][1].coef_
    return fitted
"""


class Trainer:
    """Trains the model `m` on tables and promotes it; `current` is the version that is."""

    def __init__(self, folder: Path) -> None:
        for name in ("models", "data", "recipes"):
            (folder / name).mkdir()
        (folder / "recipes/mine.py").write_text(RECIPE)
        self.folder, self.models = folder, folder / "models"
        self.log: list[str] = []

    def train(
        self,
        table: list[dict[str, Any]],
        gate: Gate = NO_GATE,
        target: str = "z",
        accept: Sequence[str] = (),
        alias: str = "current",
        **parameters: Any,
    ) -> TrainingResult:
        lines = [",".join(table[0]), *(",".join(map(str, row.values())) for row in table)]
        (self.folder / "data/t.csv").write_text("\n".join(lines) + "\n")
        request = TrainingRequest(
            "m", "mine", parameters, target=target, path="t.csv", gate=gate, accept=accept, alias=alias
        )
        settings = Settings(models_dir=self.models, data_dir=self.folder / "data", recipes_dir=self.folder / "recipes")
        return train(request, settings, lambda _: None, self.log.append, self._promote)

    def _promote(self, model: str, version: int, alias: str) -> None:
        move_alias(RepositoryWriter(self.models), model, alias, version)

    @property
    def current(self) -> int | None:
        return Repository(self.models).aliases("m").get("current")


@pytest.fixture
def trainer(tmp_path: Path) -> Trainer:
    return Trainer(tmp_path)


def table(rows: int, seed: int = 0) -> list[dict[str, Any]]:
    draw = random.Random(seed)
    rows_made = []
    for _ in range(rows):
        a, b, w = round(draw.gauss(0, 1), 6), round(draw.gauss(0, 1), 6), draw.choice("pqr")
        rows_made.append({"a": a, "b": b, "w": w, "z": "yes" if a + (w == "p") + draw.gauss(0, 1) > 0 else "no"})
    return rows_made


def unseen(old: int, new: int) -> int:
    """Count the held-out rows of the first `new` rows that are new to a version trained on the first `old` rows."""
    learnt, _ = train_test_split(np.arange(old), test_size=0.25, random_state=42)
    _, held_out = train_test_split(np.arange(new), test_size=0.25, random_state=42)
    return len(set(held_out) - set(learnt))


def compared(result: TrainingResult) -> int:
    """Return the number of compared rows."""
    match = re.search(r" on ([\d,]+) held-out rows that are new to both", result.verdict)
    assert match, result.verdict
    return int(match[1].replace(",", ""))


def test_a_version_that_learnt_from_a_part_of_the_file_is_compared_on_rows_that_neither_has_seen(
    trainer: Trainer,
) -> None:
    rows = table(1200)
    assert trainer.train(rows).promoted
    part = trainer.train(rows[:800])
    assert compared(part) == unseen(1200, 800) == 82
    assert part.verdict.startswith("No significant difference from version 1: log loss ")
    assert part.promoted and trainer.current == 2


def test_neither_the_order_of_the_columns_nor_other_columns_matter(trainer: Trainer) -> None:
    rows = table(1000)
    trainer.train(rows[:700])
    more = [{"c": n % 7, **dict(reversed(row.items()))} for n, row in enumerate(rows)]
    assert compared(trainer.train(more)) == unseen(700, 1000)


def test_equal_rows_get_different_hashes(trainer: Trainer) -> None:
    rows = [{"w": row["w"], "z": row["z"]} for row in table(1000)]
    trainer.train(rows[:700])
    assert len({tuple(row.values()) for row in rows}) == 6
    assert compared(trainer.train(rows)) == unseen(700, 1000)


def test_a_row_that_was_learnt_with_another_target_is_not_new(trainer: Trainer) -> None:
    rows = table(1200)
    trainer.train(rows)
    part = [{**row, "z": "no" if row["z"] == "yes" else "yes"} for row in rows[:800]]
    assert compared(trainer.train(part)) == unseen(1200, 800)


def test_rows_that_the_other_version_does_not_take_are_left_out(trainer: Trainer) -> None:
    rows = table(1000)
    trainer.train(rows[:700])
    for row in rows[-8:]:
        row["w"] = "s"
    assert compared(trainer.train(rows)) <= unseen(700, 1000)
    for row in rows:
        row["w"] = "s" if row["w"] == "p" else row["w"]
    lost = trainer.train([{"a": row["a"], "w": row["w"], "z": row["z"]} for row in rows])
    assert lost.verdict.startswith(
        "Cannot be compared with version 2: version 2 does not accept the new version's rows: "
    )


def test_a_version_is_promoted_if_there_are_too_few_rows_to_compare(trainer: Trainer) -> None:
    rows = table(150)
    trainer.train(rows)
    again = trainer.train(rows, deaf=True)
    assert "Cannot be compared with version 1: only 38 held-out rows are new to both versions" in again.verdict
    assert again.promoted
    assert again.verdict in trainer.log
    why = "only 38 held-out rows are new to both versions; a comparison needs 50"
    assert again.remarks[-1] == f"not compared with version 1: {why}" and again.comparison is None


def test_one_row_is_no_comparison(trainer: Trainer) -> None:
    trainer.train(table(400))
    compared_on_one = trainer.train(table(next(rows for rows in range(20, 400) if unseen(400, rows) == 1)))
    assert (
        "only 1 held-out row is new to both versions" in compared_on_one.remarks[-1]
        and compared_on_one.comparison is None
    )


@pytest.mark.parametrize("damage", ["gone", "cut", "long"])
def test_a_version_without_a_record_of_its_training_rows_cannot_be_compared(trainer: Trainer, damage: str) -> None:
    rows = table(400)
    trainer.train(rows)
    file = trainer.models / "m/versions/1/report" / ROW_HASHES_FILE
    assert len(file.read_bytes()) == 300 * 16
    if damage == "gone":
        shutil.rmtree(file.parent)
    else:
        file.write_bytes({"cut": file.read_bytes()[:-3], "long": bytes(401 * 16)}[damage])
    again = trainer.train(rows, deaf=True)
    assert (
        "Cannot be compared with version 1: version 1 has no record of the rows that it was trained on."
        in again.verdict
    )
    assert again.promoted


def test_a_worse_version_gets_no_alias_and_the_reason_names_the_request_that_promotes_it(trainer: Trainer) -> None:
    rows = table(600)
    trainer.train(rows)
    worse = trainer.train(rows, deaf=True)
    assert not worse.promoted and trainer.current == 1
    assert worse.verdict.startswith("Worse than version 1: log loss ")
    assert str(worse.reason).startswith("it is significantly worse than version 1 (p = ")
    way_out = 'to promote it anyway: PUT /v1/models/m/aliases/current {"version": 2}'
    assert str(worse.reason).endswith(way_out)
    assert trainer.train(rows, Gate(margin=10.0, floor=0.0), deaf=True).promoted


def test_a_version_that_callers_would_have_to_change_for_gets_no_alias_unless_that_is_accepted(
    trainer: Trainer,
) -> None:
    rows = table(400)
    trainer.train(rows)
    renamed = [{"a_new": row["a"], **{name: row[name] for name in "bwz"}} for row in rows]
    again = trainer.train(renamed)
    assert not again.promoted and trainer.current == 1
    assert str(again.reason).startswith("callers of version 1 have to change something: 'a_new' is needed (")
    assert '("accept": ["signature"] or --accept-signature promotes such a version)' in str(again.reason)
    assert again.comparison is None
    narrow = [row for row in rows if row["w"] != "p"]
    narrowed = trainer.train(narrow)
    assert not narrowed.promoted and "'w' no longer takes 'p'" in str(narrowed.reason)
    assert trainer.train(narrow, accept=ACCEPT).promoted and trainer.current == 4


@pytest.mark.slow
def test_a_version_that_is_worse_and_breaks_callers_is_refused_for_both(trainer: Trainer) -> None:
    rows = table(800)
    trainer.train(rows)
    more = [{**row, "more": round(row["a"] - row["b"], 6)} for row in rows]
    result = trainer.train(more, deaf=True)
    assert "'more' is needed" in str(result.reason) and "; it is no better than always giving" in str(result.reason)
    result = trainer.train(more, accept=ACCEPT, deaf=True)
    assert not result.promoted and str(result.reason).startswith("it is no better than always giving")


def decide(trainer: Trainer, version: int, threshold: float) -> int:
    """Save a decision as a new version, make that current, and return its number."""
    settings = Settings(models_dir=trainer.models, spool_dir=trainer.folder)
    edits = {"outputs": [{"decision": {"label": "yes", "threshold": threshold}}]}
    decided = publish_edited(settings, "m", version, edits).version
    move_alias(RepositoryWriter(trainer.models), "m", "current", decided)
    return decided


def rare(rows: int, seed: int = 0) -> list[dict[str, Any]]:
    """A table where few rows are `yes`, and none of them is probable."""
    draw = random.Random(seed)
    return [
        {"a": (a := round(draw.gauss(0, 1), 6)), "z": "yes" if draw.random() < 0.03 * math.exp(a) else "no"}
        for _ in range(rows)
    ]


@pytest.mark.usefixtures("examined_here")
def test_a_training_keeps_the_decision_of_the_version_that_it_replaces(trainer: Trainer) -> None:
    rows = rare(1500)
    assert trainer.train(rows[:1200]).verdict.startswith("Finds none of the ")
    assert decide(trainer, 1, 0.1) == 2
    again = trainer.train(rows)
    assert again.promoted and trainer.current == 3
    manifest = Repository(trainer.models).manifest("m", 3)
    assert manifest.signature.output.decision == Decision("yes", 0.1)
    assert "it decides for 'yes' from a probability of 0.1 on, as version 2 does" in again.remarks
    said = re.match(
        r"Finds (\d+) of the (\d+) held-out rows where z is 'yes' from a probability of 0.1 on; (\d+) of its (\d+)"
        r" alarms are right\. No significant difference from version 2",
        again.verdict,
    )
    assert said, again.verdict
    found, positives, right, alarms = map(int, said.groups())
    assert 0 < found == right < alarms
    tested = round(0.25 * len(rows))
    wrong = positives - found + alarms - right
    assert manifest.metrics["accuracy"] == pytest.approx(1 - wrong / tested)
    golden = manifest.golden
    assert golden.probabilities
    pairs = zip(golden.predictions, golden.probabilities, strict=True)
    assert all((answer == "yes") == (shares["yes"] >= 0.1) for answer, shares in pairs)


@pytest.mark.usefixtures("examined_here")
def test_a_training_for_another_alias_keeps_the_decision_of_the_current_version(trainer: Trainer) -> None:
    trainer.train(rare(400))
    decide(trainer, 1, 0.1)
    trainer.train(rare(400, 1), alias="canary")
    assert Repository(trainer.models).manifest("m", 3).signature.output.decision == Decision("yes", 0.1)


@pytest.mark.usefixtures("examined_here")
def test_a_training_of_other_classes_has_no_decision_and_is_not_promoted(trainer: Trainer) -> None:
    rows = table(400)
    trainer.train(rows)
    decide(trainer, 1, 0.3)
    other = trainer.train([{**row, "z": row["z"].replace("no", "never")} for row in rows])
    assert Repository(trainer.models).manifest("m", 3).signature.output.decision is None
    assert not other.promoted and "predict decides as the model itself does instead of for 'yes'" in str(other.reason)


def test_another_estimator_may_lack_methods_which_is_a_remark(trainer: Trainer) -> None:
    rows = table(400)
    trainer.train(rows)
    with_trees = trainer.train(rows, Gate(margin=1.0), trees=True)
    assert with_trees.promoted
    gone = "there is no decision_function any more; callers of version 1 that use it have to change that"
    assert gone in with_trees.remarks


def test_a_version_that_always_gives_one_answer_does_not_replace_a_better_one_that_it_cannot_be_compared_with(
    trainer: Trainer,
) -> None:
    rows = table(400)
    trainer.train(rows)
    shutil.rmtree(trainer.models / "m/versions/1/report")
    constant = trainer.train(rows, constant=True)
    assert not constant.promoted and constant.verdict.startswith("It is no better than always giving the same answer: ")
    assert ". Cannot be compared with version 1" in constant.verdict
    assert str(constant.reason).startswith("it is no better than always giving the same answer: accuracy is ")
    (trainer.models / "m/aliases.json").write_text('{"current": 2}')
    shutil.rmtree(trainer.models / "m/versions/2/report")
    assert trainer.train(rows, constant=True).promoted


def test_a_gate_may_require_a_comparison(trainer: Trainer) -> None:
    rows = table(150)
    strict = Gate(require_comparison=True)
    assert trainer.train(rows, strict).promoted
    second = trainer.train(rows, strict)
    assert not second.promoted and str(second.reason).startswith(
        "it cannot be compared with version 1: only 38 held-out rows are new to both versions;"
    )
    assert "; the gate requires a comparison; to promote it anyway: PUT " in str(second.reason)
    assert trainer.train(table(800), strict).promoted


def test_the_same_training_again_is_as_good_and_promoted(trainer: Trainer) -> None:
    rows = [{**row, "z": row["a"] * 2 + row["b"] + n % 5} for n, row in enumerate(table(400))]
    trainer.train(rows)
    again = trainer.train(rows)
    assert again.promoted and again.verdict.startswith("No significant difference from version 1: squared error ")
    assert compared(again) == 100
    assert again.verdict.endswith("(p = 1).")


def test_a_version_trained_on_useless_columns_does_not_pass(trainer: Trainer) -> None:
    draw = random.Random(0)
    rows = [{"a": draw.gauss(0, 1), "z": draw.gauss(0, 1)} for _ in range(400)]
    trainer.train(rows, deaf=True)
    (trainer.models / "m/aliases.json").write_text('{"current": 1}')
    again = trainer.train(rows, deaf=True)
    assert str(again.reason).startswith("it is no better than always giving the same answer: R² is -0.")


@pytest.mark.slow
def test_a_previous_version_that_predicts_something_else_or_cannot_predict_is_reported(trainer: Trainer) -> None:
    rows = table(400)
    trainer.train(rows)
    numbers = trainer.train(rows, target="a", accept=ACCEPT)
    assert "Cannot be compared with version 1: version 1 predicts a class, the new one a number." in numbers.verdict
    other = trainer.train([{**row, "z": f"{row['z']}!"} for row in rows], accept=ACCEPT)
    assert "Cannot be compared with version 2: version 2 predicts a number" in other.verdict
    words = trainer.train(rows, accept=ACCEPT)
    assert "Cannot be compared with version 3: version 3 has none of the new version's classes." in words.verdict
    manifest = trainer.models / "m/versions/4/manifest.json"
    text = manifest.read_text()
    transformer = json.loads(text)
    transformer["signature"] |= {"outputs": [], "methods": [{"name": "transform", "answer": "numbers"}]}
    manifest.write_text(json.dumps(transformer))
    assert "version 4 does not predict one value a row, as the new one does." in trainer.train(rows).verdict
    manifest.write_text(text)
    (trainer.models / "m/aliases.json").write_text('{"current": 4}')
    artifact = trainer.models / "m/versions/4/model.joblib"
    artifact = artifact if artifact.exists() else next(artifact.parent.glob("model.*"))
    artifact.write_bytes(b"")
    assert "has an artifact of 0 bytes" in trainer.train(rows).verdict
    (trainer.models / "m/aliases.json").write_text('{"current": 70}')
    assert "version 70 of the model 'm' is not in the model repository" in trainer.train(rows).verdict


def test_hashes_of_two_versions_cannot_be_matched() -> None:
    rows, targets = [(1.0, "x"), (2.0, None), (1.0, "x")], ["a", "b", "a"]
    first, other = hashes(rows, targets, "f" * 64), hashes(rows, targets, "0" * 64)
    assert first.shape == (3, 2) and len(np.unique(first)) == 6
    assert not np.isin(first, other).any()
    assert set(hashes(rows[::-1], targets[::-1], "f" * 64).ravel().tolist()) == set(first.ravel().tolist())
    assert hashes([(1.0,)], [3], "f").tolist() == hashes([(1.0,)], [3.0], "f").tolist()


def test_the_p_value_agrees_with_other_tests() -> None:
    draw = np.random.default_rng(0)
    for mean in (0.0, 0.1, 0.3):
        few = draw.normal(mean, 1, 60)
        exact = permutation_test((few,), np.mean, permutation_type="samples", alternative="greater", rng=1).pvalue
        assert by_chance(few) == pytest.approx(exact, abs=0.02)
        many = draw.normal(mean / 10, 1, 5000)
        assert by_chance(many) == pytest.approx(ttest_1samp(many, 0, alternative="greater").pvalue, abs=0.002)
    wrong = np.repeat([1.0, -1.0, 0.0], [9, 3, 88])  # McNemar's test, exactly
    assert by_chance(wrong) == pytest.approx(binomtest(9, 12, alternative="greater").pvalue, abs=0.01)
    assert by_chance(np.zeros(100)) == 1.0
    assert by_chance(np.r_[1000.0, np.zeros(99)]) > 0.4


@pytest.fixture
def evidences(monkeypatch: pytest.MonkeyPatch, unreported: None) -> list[Evidence]:
    """What the reports would be made of, in order."""
    made: list[Evidence] = []

    monkeypatch.setattr("trainer.training.train.gather", made.append)
    return made


def test_curves_and_metrics_of_both_versions_are_of_the_rows_that_neither_learnt_from(
    trainer: Trainer, evidences: list[Evidence]
) -> None:
    rows = table(1200)
    trainer.train(rows)
    trainer.train([{**row, "a": -row["a"]} for row in rows[:200]] + rows[600:])
    facts = comparison(evidences[1])
    metrics = {item["name"]: item for item in facts["metrics"]}
    assert metrics["log_loss"]["now"] == facts["loss_now"] and metrics["log_loss"]["before"] == facts["loss_before"]
    for side, evidence in (("now", evidences[1]), ("before", evidences[0])):
        (roc,), (precision_recall,) = (facts["curves"][side][kind]["curves"] for kind in ("roc", "precision_recall"))
        assert roc["area"] == metrics["roc_auc"][side] != pytest.approx(evidence.draft.metrics["roc_auc"], abs=1e-4)
        assert precision_recall["area"] == metrics["average_precision"][side]


def test_numbers_have_error_curves_on_the_same_rows(trainer: Trainer, evidences: list[Evidence]) -> None:
    rows = [{**row, "z": row["a"] * 2 + row["b"] + n % 5} for n, row in enumerate(table(600))]
    trainer.train(rows[:400])
    trainer.train(rows)
    facts = comparison(evidences[1])
    (mean,) = [item for item in facts["metrics"] if item["name"] == "mean_absolute_error"]
    for side in ("now", "before"):
        x, y = facts["curves"][side]["error_curve"]["x"], facts["curves"][side]["error_curve"]["y"]
        assert np.trapezoid(1 - np.array(y), x) == pytest.approx(mean[side], rel=0.05), "the area above the curve"


@pytest.mark.slow
def test_data_that_neither_version_predicts_look_wrong_and_promote_nothing(trainer: Trainer) -> None:
    rows, draw = table(1200), random.Random(1)
    trainer.train(rows)
    scrambled = [{**row, "z": draw.choice(["yes", "no"])} for row in table(1200, seed=1)]
    again = trainer.train(scrambled)
    assert again.verdict.startswith("The new data look wrong: on them, both versions are no better than always giving")
    assert any(remark.startswith("the new data look wrong: ") for remark in again.remarks)
    assert not again.promoted and trainer.current == 1
    assert "look wrong" not in trainer.train(rows).verdict
    assert trainer.train(scrambled, Gate(floor=0.0)).promoted, "the caller has decided"
