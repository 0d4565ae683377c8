"""Models and files for the tests of imports, and what the importer makes of them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from contract.model.manifest import ManifestDraft
from trainer.importing import Refused
from trainer.importing.files.formats import recognise
from trainer.importing.trial.examine import examine
from trainer.publishing.independence import CODE

PICKLES = Path(__file__).parent / "pickles"
X, y = np.arange(40.0).reshape(20, 2), np.arange(20) // 10
FRAME = pd.DataFrame(
    {"age": [20.0, 30.0, None, 50.0] * 5, "plan": ["basic", "plus", None, "gold"] * 5, "km": [1.0, 2.0, 3.0, 4.0] * 5}
)
TARGET = ["no", "yes", "no", "yes"] * 5


def tried(tmp_path: Path, saved: Any, sample: str | None = None) -> ManifestDraft:
    """The draft of a model's manifest; `saved` is the model, or the bytes of the file."""
    file, rows = tmp_path / "file", tmp_path / "sample.csv"
    if isinstance(saved, Path):
        file = saved
    else:
        file.write_bytes(saved if isinstance(saved, bytes) else pickle.dumps(saved))
    if sample is not None:
        rows.write_text(sample)
    recognise(file)
    return examine("m", file, rows if sample is not None else None).draft


def said(draft: ManifestDraft) -> tuple[str, ...]:
    """The warnings of a draft, but for the one that code which was tried on made-up rows is scored alone."""
    return tuple(remark.text for remark in draft.remarks if remark.code != CODE)


def refusal(tmp_path: Path, saved: Any, sample: str | None = None) -> str:
    with pytest.raises(Refused) as refused:
        tried(tmp_path, saved, sample)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def mixed(*last: Any, frame: pd.DataFrame = FRAME, encoder: Any = None) -> Any:
    """A pipeline: numbers imputed and scaled, words imputed and encoded, and a number passed through."""
    columns = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["age"]),
            ("words", make_pipeline(SimpleImputer(strategy="most_frequent"), encoder or OneHotEncoder()), ["plan"]),
        ],
        remainder="passthrough",
    )
    return make_pipeline(columns, *(last or (LogisticRegression(),))).fit(frame, TARGET)


class Average(BaseEstimator):
    """Predicts the mean of all rows for each."""

    n_features_in_ = 1

    def predict(self, matrix: Any) -> Any:
        return np.full(len(matrix), matrix.mean())
