"""A version predicts with kernels only if these answer as its estimator does, bit for bit."""

from __future__ import annotations

import dataclasses
import logging
import subprocess
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from modelgate_kernels import comparison, layout
from modelgate_kernels.comparison import revision
from modelgate_kernels.forests import ForestKernel
from modelgate_kernels.kernel import NotCovered
from modelgate_kernels.linear import LinearKernel
from sklearn.datasets import make_classification
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import LabelEncoder, StandardScaler

from contract.model import signature
from contract.model.manifest import (
    ArtifactDraft,
    ArtifactFormat,
    Golden,
    InputFormat,
    Kernels,
    ManifestDraft,
    TrainingData,
)
from contract.model.repository import Repository
from contract.model.signature import Output, OutputKind, Signature
from contract.model.version_files import REPORT_HTML
from gateway.serving.model_versions import describe
from modelgate_artifacts import DecodedTarget
from scoring import kernels as version_kernels
from scoring.estimators import predict_rows
from scoring.kernels import compared
from scoring.predict import predict
from scoring.trust import Trust
from tests.support import PROJECT, numbers, write_version
from worker.model_cache import Model, ModelLoader

X, y = make_classification(300, 4, n_informative=3, n_redundant=0, random_state=1)
OUTPUT = Output(OutputKind.CLASS, (0, 1), probabilities=True)
LINEAR = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)
FOREST = RandomForestClassifier(10, random_state=0).fit(X, y)
OFF = "so scikit-learn's own methods answer"


def draft_of(estimator: Any) -> ManifestDraft:
    """A draft with the answers to eight golden rows."""
    signature = Signature(numbers(*"abcd"), (OUTPUT,))
    layout = ArtifactDraft(ArtifactFormat.JOBLIB, InputFormat.ARRAY)
    draft = ManifestDraft("m", "by hand", layout, signature, TrainingData("by hand", 300, ""))
    rows = tuple(map(tuple, X[:8].tolist()))
    answer = predict(estimator, draft, rows)
    return dataclasses.replace(draft, golden=Golden(rows, tuple(answer.values), tuple(answer.probabilities or ())))


def plant(monkeypatch: pytest.MonkeyPatch, kind: type, change: Callable[[Any], Any]) -> None:
    """Change what the raw answers of a kind of kernel are."""
    right = kind.raw  # type: ignore[attr-defined]
    monkeypatch.setattr(kind, "raw", lambda self, matrix: change(right(self, matrix)))


@pytest.mark.parametrize("estimator", [LINEAR, FOREST, VotingClassifier([("a", LINEAR), ("b", FOREST)], voting="soft")])
def test_kernels_that_answer_the_same_are_used(estimator: Any) -> None:
    draft = compared(draft_of(estimator.fit(X, y)), estimator)
    assert draft.artifact.kernels == Kernels(revision(), used=True)
    assert draft.warnings == ()


def test_an_estimator_without_a_kernel_has_nothing_to_compare() -> None:
    estimator = QuadraticDiscriminantAnalysis().fit(X, y)
    estimator.predict = estimator.predict  # what has methods of its own may do anything
    draft = compared(draft_of(estimator), estimator)
    assert (draft.artifact.kernels, draft.warnings) == (None, ())


def test_a_difference_in_the_last_bit_turns_the_kernels_off(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, LinearKernel, lambda raw: np.nextafter(raw, np.inf))
    draft = compared(draft_of(LINEAR), LINEAR)
    assert draft.artifact.kernels == Kernels(revision(), used=False)
    assert len(draft.warnings) == 1
    assert draft.warnings[0].startswith("Modelgate's own kernels answer the golden rows differently, ")
    again = compared(draft, LINEAR)
    assert again.warnings == draft.warnings
    monkeypatch.undo()
    assert compared(draft, LINEAR).warnings == ()


def test_a_difference_for_one_row_alone_turns_the_kernels_off(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, LinearKernel, lambda raw: raw * 2 if len(raw) == 1 else raw)
    assert "answer a golden row alone differently" in compared(draft_of(LINEAR), LINEAR).warnings[0]


def test_a_difference_at_a_threshold_turns_the_kernels_off(monkeypatch: pytest.MonkeyPatch) -> None:
    right = ForestKernel.raw
    golden = draft_of(FOREST)
    monkeypatch.setattr(ForestKernel, "raw", lambda self, matrix: right(self, np.nextafter(matrix, np.inf)))
    assert np.array_equal(FOREST.predict_proba(X[:8]), FOREST.predict_proba(np.nextafter(X[:8], np.inf)))
    draft = compared(golden, FOREST)
    assert "thresholds of its RandomForestClassifier differently" in draft.warnings[0]


def test_a_kernel_that_answers_what_the_estimator_refuses_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    right = ForestKernel.raw
    monkeypatch.setattr(ForestKernel, "raw", lambda self, matrix: right(self, np.clip(matrix, -1e30, 1e30)))
    assert "accept rows with nulls, unknown words or extreme numbers" in compared(draft_of(FOREST), FOREST).warnings[0]


def test_a_kernel_that_leaves_golden_rows_to_the_estimator_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, LinearKernel, lambda _: 1 / 0)
    draft = compared(draft_of(LINEAR), LINEAR)
    assert "raise ZeroDivisionError for the golden rows" in draft.warnings[0]


def test_a_kernel_that_does_not_cover_the_golden_rows_is_off_without_a_warning(
    models: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def leave(_: Any) -> Any:
        raise NotCovered

    plant(monkeypatch, LinearKernel, leave)
    draft = compared(draft_of(LINEAR), LINEAR)
    assert (draft.artifact.kernels, draft.warnings) == (Kernels(revision(), used=False), ())
    model = written(models, LINEAR, None).load("m", 1)
    assert model.kernel is None
    assert answers_right(model, LINEAR)
    assert not logged(caplog)


def test_a_comparison_that_fails_or_takes_long_turns_the_kernels_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(version_kernels, "_TO_PUBLISH", 0.0)
    assert "take over 0 s to compare" in compared(draft_of(LINEAR), LINEAR).warnings[0]
    monkeypatch.setattr(comparison, "threshold_rows", lambda *_: 1 / 0)
    monkeypatch.setattr(version_kernels, "_TO_PUBLISH", 20.0)
    assert "cannot be compared (ZeroDivisionError" in compared(draft_of(FOREST), FOREST).warnings[0]


@pytest.mark.parametrize("target", ["label", "number"])
def test_a_model_and_the_decoder_of_its_target_have_a_kernel(target: str) -> None:
    if target == "label":
        words = np.array(["no", "yes"])[y]
        encoder = LabelEncoder().fit(words)
        estimator = DecodedTarget(RandomForestClassifier(5, random_state=0).fit(X, encoder.transform(words)), encoder)
        output = Output(OutputKind.CLASS, ("no", "yes"), probabilities=True)
    else:
        scaler = StandardScaler().fit(X[:, :1])
        regressor = RandomForestRegressor(5, random_state=0).fit(X, np.ravel(scaler.transform(X[:, :1])))
        estimator, output = DecodedTarget(regressor, scaler), Output(OutputKind.NUMBER)
    draft = draft_of(LINEAR)
    draft = dataclasses.replace(draft, signature=dataclasses.replace(draft.signature, outputs=(output,)))
    assert compared(draft, estimator).artifact.kernels == Kernels(revision(), used=True)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(signature.Kind, layout.Kind), (signature.Null, layout.Null), (InputFormat, layout.InputFormat)],
    ids=["kinds", "nulls", "formats"],
)
def test_the_words_of_a_signature_are_those_of_a_layout(ours: type[StrEnum], theirs: type[StrEnum]) -> None:
    assert {*ours} == {*theirs}


# When a version is loaded


def written(models: Path, estimator: Any, kernels: Kernels | None) -> ModelLoader:
    draft = draft_of(estimator)
    manifest = write_version(models, "m", estimator, numbers(*"abcd"), OUTPUT, golden=draft.golden)
    artifact = dataclasses.replace(manifest.artifact, kernels=kernels)
    text = dataclasses.replace(manifest, artifact=artifact).dumps()
    (models / "m/versions/1/manifest.json").write_text(text)
    return ModelLoader(Repository(models), Trust())


def answers_right(model: Model, estimator: Any) -> bool:
    manifest, rows = model.manifest, X[:50].tolist()
    answers = predict_rows(model.estimator, rows, manifest.signature, manifest.artifact, model.kernel)
    return bool(
        (answers[0] == estimator.predict(X[:50])).all() and (answers[1] == estimator.predict_proba(X[:50])).all()
    )


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if OFF in record.getMessage()]


@pytest.mark.parametrize("kernels", [None, Kernels("of another release", True), Kernels("of another release", False)])
@pytest.mark.parametrize("estimator", [LINEAR, FOREST], ids=["linear", "forest"])
def test_other_kernels_than_those_that_were_compared_are_compared_when_a_version_is_loaded(
    models: Path, estimator: Any, kernels: Kernels | None, caplog: pytest.LogCaptureFixture
) -> None:
    model = written(models, estimator, kernels).load("m", 1)
    assert model.kernel is not None
    assert answers_right(model, estimator)
    assert not model.kernel.has_left_rows
    assert not logged(caplog)


def test_a_version_of_which_a_kernel_is_wrong_is_loaded_without_and_logged_once(
    models: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    plant(monkeypatch, LinearKernel, lambda raw: np.nextafter(raw, np.inf))
    loader = written(models, LINEAR, None)
    for _ in range(2):
        model = loader.load("m", 1)
        assert model.kernel is None
        assert answers_right(model, LINEAR)
    assert logged(caplog) == [f"Modelgate's own kernels answer the golden rows differently, {OFF}"]
    assert (caplog.records[0].__dict__["model"], caplog.records[0].__dict__["version"]) == ("m", 1)


def test_kernels_that_differed_when_the_version_was_published_stay_off(models: Path) -> None:
    model = written(models, LINEAR, Kernels(revision(), used=False)).load("m", 1)
    assert model.kernel is None
    assert answers_right(model, LINEAR)


def test_kernels_that_were_compared_when_the_version_was_published_are_not_compared_again(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(version_kernels, "_quick_comparisons", lambda *_: pytest.fail("compared again"))
    assert written(models, LINEAR, Kernels(revision(), used=True)).load("m", 1).kernel is not None


def test_rows_that_a_kernel_leaves_are_answered_and_logged_once(
    models: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model = written(models, LINEAR, Kernels(revision(), used=True)).load("m", 1)
    monkeypatch.setattr(LinearKernel, "raw", lambda *_: 1 / 0)
    caplog.set_level(logging.INFO, "modelgate_kernels")
    assert answers_right(model, LINEAR)
    assert answers_right(model, LINEAR)
    assert [record.getMessage() for record in caplog.records if "leave" in record.getMessage()] == [
        "scikit-learn's own methods answer rows that the kernels of this version leave to them: ZeroDivisionError"
    ]


# From end to end

PLANTED = """
import numpy as np
from modelgate_kernels.linear import LinearKernel
right = LinearKernel.raw
LinearKernel.raw = lambda self, matrix: np.nextafter(right(self, matrix), np.inf)
from contract.settings import Settings
from contract.work.training import TrainingRequest
from trainer.training.train import train
train(TrainingRequest("blobs", "blobs"), Settings.from_environ(), lambda _: None, print, lambda *_: None)
"""


def test_a_model_is_published_without_kernels_that_differ_says_so_and_answers_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELS_DIR", str(tmp_path))
    trained = subprocess.run(
        [sys.executable, "-c", PLANTED], cwd=PROJECT, capture_output=True, text=True, timeout=240, check=False
    )
    assert trained.returncode == 0, trained.stderr
    assert "Modelgate's own kernels answer the golden rows differently" in trained.stdout
    repository = Repository(tmp_path)
    manifest = repository.manifest("blobs", 1)
    assert manifest.artifact.kernels == Kernels(revision(), used=False)
    assert describe(manifest)["warnings"] == list(manifest.warnings) != []
    page = repository.files("blobs", 1).report(REPORT_HTML).decode()
    assert "own kernels answer the golden rows differently" in page
    model = ModelLoader(repository, Trust()).load("blobs", 1)
    assert model.kernel is None
    prediction = predict(model.estimator, manifest, manifest.golden.rows, model.kernel)
    assert tuple(prediction.values) == manifest.golden.predictions
