"""Artifacts name one module of ours, which is there under that name in every release."""

from __future__ import annotations

import io
import pickle
from typing import Any

import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import LabelEncoder

import modelgate_artifacts
from contract.model.signature import Field, Kind
from trainer.recipes.tabular import preprocessor

INPUTS = [Field("rooms", Kind.NUMBER), Field("kind", Kind.STRING), Field("built", Kind.DATETIME)]
TABLE = pd.DataFrame(
    {
        "rooms": [3.0, None, 5.0, 4.0],
        "kind": ["house", "flat", "flat", None],
        "built": pd.to_datetime(["2001-01-01", "2011-05-01", None, "2020-02-02"], utc=True).as_unit("us"),
    }
)


class Names(pickle.Unpickler):
    """Notes the module of each name that a pickle holds."""

    def __init__(self, text: bytes) -> None:
        super().__init__(io.BytesIO(text))
        self.modules = set[str]()

    def find_class(self, module: str, name: str) -> Any:
        self.modules.add(module.partition(".")[0])
        return super().find_class(module, name)


def modules_in(estimator: object) -> set[str]:
    names = Names(pickle.dumps(estimator))
    names.load()
    return names.modules


def test_a_pipeline_of_tabular_names_installed_libraries_and_one_module_of_ours() -> None:
    pipeline = make_pipeline(preprocessor(TABLE, INPUTS, frozenset({"kind"})), LogisticRegression()).fit(
        TABLE, [0, 1, 0, 1]
    )
    assert modules_in(pipeline) >= {"modelgate_artifacts", "sklearn"}
    assert modules_in(pipeline) <= {
        "modelgate_artifacts",
        "builtins",
        "functools",
        "numpy",
        "pandas",
        "sklearn",
        "joblib",
    }


def test_estimators_of_parts_and_adapters_are_named_under_the_same_module() -> None:
    model = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    for whole in (
        modelgate_artifacts.ColumnSteps([], ["a"], ["a"]),
        modelgate_artifacts.DecodedTarget(model, LabelEncoder().fit(["no", "yes"])),
        modelgate_artifacts.ThresholdClassifier(model, 0.2),
        modelgate_artifacts.ModelsByName(["risk"], [model]),
        modelgate_artifacts.WithConstant(model, 0),
        modelgate_artifacts.WithCategories(model, {0: ["no", "yes"]}),
        modelgate_artifacts.XGBoostModel(None),
    ):
        assert "modelgate_artifacts" in modules_in(whole)
        assert modules_in(whole) <= {"modelgate_artifacts", "builtins", "numpy", "sklearn"}


@pytest.mark.parametrize(
    ("name", "answer"),
    [("floats", [[1.5, 0.0]]), ("flat", [1.5, 0.0]), ("remainder", [[1.5, 0.0]])],
)
def test_the_functions_answer_as_ever(name: str, answer: list[Any]) -> None:
    more = {"of": 2.0} if name == "remainder" else {}
    assert getattr(modelgate_artifacts, name)([[1.5, 0]], **more).tolist() == answer
