"""Models that were saved in their library's own format, and again by the lines that its refusal has."""

from __future__ import annotations

import importlib.util
import re
import tempfile
from collections.abc import Iterator
from functools import partial
from typing import Any

import joblib

from tests.qa.zoo.other_libraries import AMOUNT, BINARY, NEW, NUMBERS, ROWS, THREE, WORDS
from tests.qa.zoo.specimens import Saved, Specimen
from trainer.importing.files.formats import wrong_suffix

_KINDS: tuple[tuple[str, str, str, Any], ...] = (
    ("xgboost", "XGBClassifier", ".json", THREE),
    ("xgboost", "XGBRegressor", ".json", AMOUNT),
    ("xgboost", "XGBClassifier", ".ubj", BINARY),
    ("xgboost", "XGBRegressor", ".ubj", AMOUNT),
    ("lightgbm", "LGBMClassifier", ".txt", BINARY),
    ("lightgbm", "LGBMRegressor", ".txt", AMOUNT),
    ("catboost", "CatBoostClassifier", ".cbm", WORDS),
    ("catboost", "CatBoostRegressor", ".cbm", AMOUNT),
)


def specimens() -> Iterator[Specimen]:
    for library, kind, suffix, target in _KINDS:
        if importlib.util.find_spec(library):
            yield Specimen(f"{kind} of its {suffix}", partial(_saved_again, library, kind, suffix, target))


def _saved_again(library: str, kind: str, suffix: str, target: Any) -> Saved:
    options = {"allow_writing_files": False} if library == "catboost" else {}
    estimator = getattr(importlib.import_module(library), kind)(n_estimators=8, **options)
    model = estimator.fit(NUMBERS[:ROWS], target[:ROWS])
    # LightGBM's format holds the booster alone.
    model = getattr(model, "booster_", model)
    load, dump = re.findall("`(.+?)`", wrong_suffix(f"m{suffix}"))
    load = load.replace("Classifier", "Regressor") if "Regressor" in kind else load
    with tempfile.TemporaryDirectory() as folder:
        model.save_model(f"{folder}/m{suffix}")
        lines = f"import joblib, {library}\n{load}\n{dump}"
        exec(lines.replace("FILE", f"{folder}/m{suffix}").replace('"model.', f'"{folder}/model.'), {})
        return Saved(joblib.load(f"{folder}/model.joblib"), NUMBERS[NEW], model)
