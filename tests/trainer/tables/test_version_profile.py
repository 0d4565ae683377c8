"""A version keeps what its training rows held: bounded counts for each input and each output."""

from __future__ import annotations

from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from contract.model.manifest import ColumnProfile
from tests.trainer.fitting import fitted
from trainer import recipes
from trainer.importing.trial.examine import examine


def test_a_training_profiles_the_rows_that_it_learnt_from_and_its_answers_to_the_others() -> None:
    _, draft = fitted(recipes.get("loan"))
    profile = draft.profile
    assert profile is not None and not profile.sample
    assert profile.rows < draft.training_data.rows
    assert len(profile.inputs) == len(draft.signature.inputs)
    assert {sum(column.counts) + column.nulls + column.others for column in profile.inputs} == {profile.rows}
    (answers,) = profile.outputs
    assert sum(answers.counts) == draft.training_data.rows - profile.rows


def test_an_import_profiles_its_sample_and_says_so(tmp_path: Path) -> None:
    X = pd.DataFrame({"age": np.arange(40.0), "town": ["Bonn", "Kiel"] * 20})
    model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression()).fit(X, [0, 1] * 20)
    joblib.dump(model, tmp_path / "m.joblib")
    X.to_csv(tmp_path / "m.csv", index=False)
    profile = examine("m", tmp_path / "m.joblib", tmp_path / "m.csv").draft.profile
    assert profile is not None and profile.sample and profile.rows == 40
    age, town = profile.inputs
    assert (age.edges[0], age.edges[-1]) == (0.0, 39.0)
    assert (town.values, town.counts) == (("Bonn", "Kiel"), (20, 20))
    assert profile.outputs == (ColumnProfile(0, values=(0, 1), counts=(20, 20)),)
    assert examine("m", tmp_path / "m.joblib", None).draft.profile is None
