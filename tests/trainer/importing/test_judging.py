"""An imported version replaces another one only through the gate of trainings."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression

from contract.model.repository import Repository
from contract.settings import Settings
from storage.models.repository_writer import RepositoryWriter
from trainer.forks import Forks
from trainer.importing.inbox.imports import import_file
from trainer.importing.inbox.judging import Promotion, Wish, promote_if_passed
from trainer.publishing.aliases import move_alias
from trainer.training import ROW_HASHES_FILE
from trainer.training.row_hashes import hashes

pytestmark = pytest.mark.usefixtures("unverified", "examined_here", "unmeasured")


@pytest.fixture
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Imports without the report on the sample, which takes several seconds."""
    monkeypatch.setattr("trainer.importing.trial.examine.measure_on_sample", lambda *_: (None, []))


@pytest.fixture
def settings(root: Path) -> Settings:
    return Settings(models_dir=root)


def saved(model: Any, tmp_path: Path, name: str = "m.pkl") -> Path:
    path = tmp_path / name
    path.write_bytes(pickle.dumps(model))
    return path


def test_an_import_has_the_gate_of_trainings(settings: Settings, tmp_path: Path, template: Forks) -> None:
    draw = np.random.default_rng(0)
    X = pd.DataFrame({"a": draw.normal(size=200), "b": draw.normal(size=200)})
    y = np.where(X.a + X.b > 0, "yes", "no")
    rows = tmp_path / "rows.csv"
    X.assign(z=y).to_csv(rows, index=False)
    good, yes = LogisticRegression().fit(X, y), DummyClassifier(strategy="constant", constant="yes").fit(X, y)
    three = LinearRegression().fit(X, np.c_[X.a, X.b, X.a])

    def bring(model: Any, sample: Path | None = rows, **wish: Any) -> Promotion:
        manifest = import_file(settings, "m", saved(model, tmp_path), sample, forks=template)
        return promote_if_passed(settings, manifest, sample, Wish(**wish), move, template)

    def move(model: str, version: int, alias: str) -> None:
        move_alias(RepositoryWriter(settings.models_dir), model, alias, version)

    assert bring(good) == Promotion(True)
    useless = bring(yes)
    assert not useless.promoted and "; it is no better than always giving the same answer" in str(useless.reason)
    assert "there is no decision_function any more" in str(useless.reason)
    assert str(useless.reason).endswith("; to promote it anyway: modelgate promote m@2")
    assert useless.verdict == (
        "Cannot be compared with version 1: version 1 has no record of the rows that it was trained on."
    )
    broken = bring(three)
    assert "predict answers an object of 'y0', 'y1', 'y2' instead of one value" in str(broken.reason)
    assert bring(three, None).reason is not None
    assert Repository(settings.models_dir).aliases("m") == {"current": 1}
    assert bring(good, promote=False) == Promotion(False, verdict=useless.verdict)
    assert bring(yes, alias="candidate") == Promotion(True)
    assert Repository(settings.models_dir).aliases("m") == {"current": 1, "candidate": 6}
    assert bring(three, None, accept=["signature"]).promoted
    assert bring(good).reason is not None and bring(good, accept=["signature"]).promoted


def test_an_import_is_compared_on_sample_rows_that_the_other_version_has_not_learnt_from(
    settings: Settings, tmp_path: Path, template: Forks
) -> None:
    draw = np.random.default_rng(0)
    X = pd.DataFrame({"a": draw.normal(size=300).round(6), "b": draw.normal(size=300).round(6)})
    y = np.where(X.a + X.b > 0, "yes", "no")
    rows = tmp_path / "rows.csv"
    X.assign(z=y).to_csv(rows, index=False)
    good, worse = LogisticRegression().fit(X, y), LogisticRegression().fit(X[["a", "b"]] * [1, -1], y)

    def verdict_after(learnt: int) -> Promotion:
        """Import the worse model after a version that has a record of the first rows."""
        manifest = import_file(settings, f"m{learnt}", saved(good, tmp_path), rows, forks=template)
        move_alias(RepositoryWriter(settings.models_dir), manifest.name, "current", 1)
        folder = Repository(settings.models_dir).files(manifest.name, 1).folder / "report"
        known = hashes(X.to_numpy().tolist()[:learnt], y.tolist()[:learnt], manifest.training_data.fingerprint)
        folder.mkdir(exist_ok=True)
        (folder / ROW_HASHES_FILE).write_bytes(np.sort(known, axis=None).astype("<u8").tobytes())
        file = folder.parent / "manifest.json"
        file.write_text(file.read_text().replace('"rows": 0,', f'"rows": {learnt},'))
        new = import_file(settings, manifest.name, saved(worse, tmp_path), rows, forks=template)
        return promote_if_passed(settings, new, rows, Wish(), lambda *_: None, template)

    part, all_of_them = verdict_after(200), verdict_after(300)
    assert part.verdict.startswith("Worse than version 1: log loss ")
    assert "on 100 sample rows that are new to version 1" in part.verdict
    assert not part.promoted and "it is significantly worse than version 1" in str(part.reason)
    assert all_of_them.promoted
    assert all_of_them.verdict == "Cannot be compared with version 1: version 1 was trained on all of the sample rows."
