"""What README and docs show of the client, from a notebook to a served model and back."""

from __future__ import annotations

import doctest
import importlib
import sys
import textwrap
from pathlib import Path
from typing import Any

import modelgate
import numpy as np
import pandas as pd
import pytest
from modelgate import Client
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.flow.conftest import MakeUp
from tests.support import PROJECT

pytestmark = pytest.mark.slow

CHURN = PROJECT / "docs" / "tutorial" / "churn.csv"

OWN_CODE = """
    import numpy as np
    from sklearn.base import BaseEstimator, ClassifierMixin
    from own_rules import LIMIT

    class Rule(ClassifierMixin, BaseEstimator):
        def fit(self, X, y):
            self.classes_, self.n_features_in_ = np.unique(y), 2
            return self

        def predict(self, X):
            return self.classes_[(np.asarray(X)[:, 0] > LIMIT()).astype(int)]
"""


class Logarithms(BaseEstimator, TransformerMixin):
    """Remembers nothing of its columns."""

    fitted_ = True

    def fit(self, *_: Any) -> Logarithms:
        return self

    def transform(self, X: Any) -> Any:
        return np.log1p(np.asarray(X, dtype=float))


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two modules beside the notebook, which no server has."""
    (tmp_path / "own_rules.py").write_text("def LIMIT():\n    return 0.5\n")
    (tmp_path / "own_model.py").write_text(textwrap.dedent(OWN_CODE))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_rules", raising=False)
    monkeypatch.delitem(sys.modules, "own_model", raising=False)


def test_the_way_of_a_model_from_a_notebook(mg: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import duckdb
    from sklearn.linear_model import LogisticRegression

    monkeypatch.chdir(tmp_path)
    df = pd.read_csv(CHURN).drop(columns="customer")
    numbers = df.select_dtypes("number").columns
    X, y = df[numbers].fillna(0), df["stays"]
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)

    mg.publish("churn", pipeline, X=X, y=y)
    churn = mg.model("churn")
    np.testing.assert_array_equal(churn.predict(X), pipeline.predict(X))
    np.testing.assert_allclose(churn.predict_proba(X), pipeline.predict_proba(X), rtol=1e-12)
    assert churn.classes_.tolist() == pipeline.classes_.tolist()
    assert churn.report.facts["tested"]["sample"]

    X.to_csv("june.csv", index=False)
    duckdb.sql("COPY (FROM 'june.csv') TO 'june.parquet'")
    job = churn.submit("june.parquet")
    job.wait().download("scored.parquet")
    scored = duckdb.sql("SELECT prediction FROM 'scored.parquet'").fetchall()
    assert [prediction for (prediction,) in scored] == pipeline.predict(X).tolist()

    run = mg.train("churn", df, target="stays").wait()
    assert "<iframe" in run.report._repr_html_() and "confusion" in run.report.facts["answers"]
    churn.promote(run.version, force=True)
    assert churn.version == run.version
    assert churn.rollback()["aliases"]["current"] == 1


def test_a_model_that_records_no_names_is_served_after_it_was_published_with_its_rows(mg: Client) -> None:
    X = pd.DataFrame({"a": np.arange(30.0), "b": np.arange(30.0) ** 2, "target": 1.0})
    y = pd.Series(X.a * 2 + X.b, name="a")
    for name, model in (
        ("fitted_on_arrays", LinearRegression().fit(X.to_numpy(), y)),
        ("own_step", make_pipeline(Logarithms(), LinearRegression()).fit(X, y)),
    ):
        assert mg.publish(name, model, X=X, y=y)["promoted"]
        assert mg.model(name).inputs.names == ("a", "b", "target")
        np.testing.assert_allclose(mg.model(name).predict(X), model.predict(X.to_numpy()))


def test_a_frame_is_submitted_with_its_types(mg: Client, tmp_path: Path) -> None:
    frame = pd.DataFrame(np.random.default_rng(1).random((3000, 4)), columns=mg.model("iris").inputs.names)
    frame.iloc[7, 1] = np.nan
    job = mg.model("iris").submit(frame).wait(timeout=60)
    assert (job.rows, job.errors) == (3000, 1)
    assert [error["row"] for error in job.row_errors()] == [7]
    output = pd.read_csv(job.download(tmp_path / "out.csv"))
    pd.testing.assert_frame_equal(output[frame.columns], frame, check_exact=True)
    with pytest.raises(modelgate.Invalid, match="submit the rows with output='parquet'"):
        job.download(tmp_path / "out.parquet")


@pytest.mark.usefixtures("own_module")
def test_classes_of_a_module_beside_the_notebook_travel_along(mg: Client) -> None:
    rule = importlib.import_module("own_model").Rule().fit(None, ["below", "above"])
    mg.publish("own_rule", rule)
    assert mg.model("own_rule").predict([[0.7, 0], [0.2, 0]]).tolist() == ["below", "above"]


def test_a_model_of_another_python_is_refused_before_it_is_unpickled(
    mg: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.python_version", lambda: "3.9.18")

    class Doubles:
        def predict(self, X: np.ndarray) -> np.ndarray:
            return X[:, 0] * 2

    with pytest.raises(modelgate.Invalid, match=r"holds code of Python 3\.9\.18, and Modelgate runs 3\."):
        mg.publish("other_python", Doubles())


@pytest.mark.usefixtures("scoring_processes_end")
def test_the_examples_in_the_docstrings_work(running: MakeUp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELGATE_URL", running.address)
    folder = Path(modelgate.__file__).parent
    modules = [modelgate, *(importlib.import_module(f"modelgate.{path.stem}") for path in folder.glob("[a-z]*.py"))]
    results = [
        doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE) for module in modules
    ]
    assert sum(result.failed for result in results) == 0
    assert sum(result.attempted for result in results) > 10
