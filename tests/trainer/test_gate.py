"""The gate lets good versions through, and says in a sentence why another one stays where it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

from contract.manifest import Field, Kind, ModelManifest, Output, OutputKind
from contract.training import Gate
from scoring.trust import Trust
from tests.support import numbers, write_version
from trainer.training.gate import Previous, ask_previous, objection

METRICS = {"accuracy": 0.9, "log_loss": 0.3, "training_r2": 0.8}
X = np.arange(40.0).reshape(20, 2)
y = X[:, 0] * 2 + np.tile([0, 1], 10)
LABELS = Output(OutputKind.CLASS, (0, 1))


def manifest(root: Path, name: str, inputs: tuple[Field, ...], estimator: Any, output: Output | None = None) -> Any:
    return write_version(root, name, estimator, inputs, output)


@pytest.fixture
def old(models: Path) -> ModelManifest:
    return manifest(models, "m", numbers("a", "b"), LinearRegression().fit(X, y))


@pytest.fixture
def new(tmp_path: Path) -> ModelManifest:
    """Of the same model, in no repository."""
    return manifest(tmp_path / "elsewhere", "m", numbers("b", "a"), LinearRegression().fit(X[:, ::-1], y))


def asked(models: Path, new: ModelManifest, targets: Any = y) -> Previous:
    rows = [tuple(row) for row in X[:, ::-1].tolist()]
    return ask_previous(models, Trust(), "current", new, rows, targets, held_out=True)


@pytest.fixture
def previous(old: ModelManifest) -> Previous:
    return Previous(old, {"accuracy": 0.95, "log_loss": 0.25})


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        (Gate(), None),
        (Gate(floor=0.9), None),
        (Gate(floor=0.91), "accuracy is 0.9, and the gate wants at least 0.91"),
        (Gate("log_loss", floor=0.3), None),
        (Gate("log_loss", floor=0.29), "log_loss is 0.3, and the gate wants at most 0.29"),
        (Gate(margin=0.05), None),
        (Gate(margin=0.04), "accuracy is 0.9, and version 1 has 0.95 on the same held-out rows: worse by 0.05"),
        (Gate("log_loss", margin=0.05), None),
        (Gate("log_loss", margin=0.04), "log_loss is 0.3, and version 1 has 0.25"),
        (Gate("f1", floor=0.1), "the gate asks for f1, and the version has accuracy, log_loss, training_r2"),
        (Gate("training_r2", floor=0.1), "the gate asks for held-out rows, and the recipe holds none out"),
    ],
)
def test_a_gate_opens_or_says_why_not(previous: Previous, gate: Gate, said: str | None) -> None:
    found = objection(gate, METRICS, previous)
    assert found is None if said is None else found is not None and found.startswith(said)


def test_the_first_version_is_better_than_none(old: ModelManifest) -> None:
    assert objection(Gate(margin=0.0), METRICS, Previous()) is None


def test_a_previous_version_that_cannot_be_compared_is_no_reason_to_promote(old: ModelManifest) -> None:
    said = objection(Gate(margin=0.0), METRICS, Previous(old, silent="it is mute"))
    assert said is not None and "version 1 cannot be compared on the held-out rows: it is mute" in said
    said = objection(Gate("accuracy", margin=0.0), METRICS, Previous(old, {"r2": 1.0}))
    assert said is not None and "it has no accuracy" in said
    assert objection(Gate(floor=0.5), METRICS, Previous(old, silent="it is mute")) is None


def test_the_previous_version_is_asked_for_the_same_rows_in_its_own_order(
    models: Path, old: ModelManifest, new: ModelManifest
) -> None:
    found = asked(models, new)
    assert found.silent is None
    assert found.metrics is not None and found.metrics["r2"] == pytest.approx(LinearRegression().fit(X, y).score(X, y))
    assert asked(models, new, np.zeros(20)).metrics != found.metrics


def test_there_is_no_previous_version_where_the_alias_is_nowhere(models: Path, new: ModelManifest) -> None:
    assert asked(models, new) == Previous()


def test_a_previous_version_with_other_inputs_says_which(models: Path, new: ModelManifest) -> None:
    manifest(models, "m", (*numbers("a"), Field("c", Kind.NUMBER)), LinearRegression().fit(X, y))
    assert asked(models, new).silent == "it does not take the new one's rows: 'c' is missing"


def test_a_previous_version_that_predicts_something_else_says_so(models: Path, tmp_path: Path, new: Any) -> None:
    labels = (y > y.mean()).astype(int)
    manifest(models, "m", numbers("a", "b"), LogisticRegression().fit(X, labels), LABELS)
    assert asked(models, new).silent == "it predicts a class, and the new one a number"
    words = np.where(labels, "Y", "N")
    output = Output(OutputKind.CLASS, ("N", "Y"))
    other = manifest(tmp_path / "other", "m", numbers("b", "a"), LogisticRegression().fit(X, words), output)
    assert asked(models, other, words).silent == "it knows none of the new one's classes"


def test_a_previous_version_that_is_broken_says_so(models: Path, old: ModelManifest, new: ModelManifest) -> None:
    (models / "m/versions/1/model.joblib").write_bytes(b"")
    assert "has an artifact of 0 bytes" in str(asked(models, new).silent)
    (models / "m/aliases.json").write_text(json.dumps({"current": 7}))
    assert "version 7 of the model 'm' is not in the model repository" in str(asked(models, new).silent)


def test_a_previous_version_that_raises_says_what(models: Path, new: ModelManifest) -> None:
    manifest(models, "m", numbers("a", "b"), LinearRegression())
    assert str(asked(models, new).silent).startswith("it raised NotFittedError: ")
