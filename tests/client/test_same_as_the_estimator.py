"""A served model answers as the estimator that was pickled: the same values in the same types."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from modelgate import Client
from scipy import sparse

from tests.client.kinds import FRAME, KINDS, METHODS, WORDS

pytestmark = pytest.mark.slow

ROUNDING = {"rtol": 1e-12, "atol": 1e-12}
"""Between two forms of the same rows estimators themselves differ in the last digits: NumPy adds in another order."""


def forms(rows: Any) -> Iterator[tuple[str, Any]]:
    """Yield the rows as they are, and in each other type that may hold them."""
    rows = rows[:20]
    yield "as fitted", rows
    if isinstance(rows, pd.DataFrame):
        yield "as fitted", rows.set_axis([f"row {number}" for number in range(len(rows))])
        yield "array", rows.to_numpy()
        yield "list", rows.to_numpy().tolist()
        yield "Series", rows.iloc[:, 0]
    elif isinstance(rows, np.ndarray):
        yield "list", rows.tolist()
        yield "DataFrame", pd.DataFrame(rows)
        yield "DataFrame", pd.DataFrame(rows, columns=list("pqrs")[: rows.shape[1]])
    elif isinstance(rows, pd.Series):
        yield "list", rows.tolist()
        yield "array", rows.to_numpy()
    elif isinstance(rows[0], str):
        yield "Series", pd.Series(rows)
        yield "array", np.array(rows)


def check_same(answer: Any, wanted: Any, exact: bool) -> None:
    """Fail unless both have the same type, dtype, shape and values."""
    assert type(answer) is type(wanted)
    if isinstance(wanted, int):
        assert answer == wanted
    elif isinstance(wanted, list | tuple):
        assert len(answer) == len(wanted)
        for part, other in zip(answer, wanted, strict=True):
            check_same(part, other, exact)
    elif isinstance(wanted, pd.Series):
        pd.testing.assert_series_equal(answer, wanted, check_exact=exact, **({} if exact else ROUNDING))
    elif isinstance(wanted, pd.DataFrame):
        pd.testing.assert_frame_equal(answer, wanted, check_exact=exact, **({} if exact else ROUNDING))
    elif sparse.issparse(wanted):
        assert (answer.dtype, answer.shape, (answer != wanted).nnz) == (wanted.dtype, wanted.shape, 0)
    else:
        assert (answer.dtype, answer.shape) == (wanted.dtype, wanted.shape)
        if exact or wanted.dtype.kind != "f":
            np.testing.assert_array_equal(answer, wanted)
        else:
            np.testing.assert_allclose(answer, wanted, **ROUNDING)


@pytest.mark.parametrize("kind", KINDS)
def test_a_served_model_answers_as_its_pickle(mg: Client, kind: str) -> None:
    fit, rows = KINDS[kind]
    with warnings.catch_warnings(action="ignore"):  # those of training on few rows
        pickled = pickle.loads(pickle.dumps(fit()))
        mg.publish(kind, pickled, X=rows)
        served = mg.model(kind)
        for method in METHODS:
            assert hasattr(served, method) == hasattr(pickled, method)
            for form, X in forms(rows) if hasattr(pickled, method) else ():
                try:
                    wanted = getattr(pickled, method)(X)
                except Exception:
                    if form == "Series":
                        with pytest.raises(ValueError, match="Expected 2D array, got 1D array instead"):
                            getattr(served, method)(X)
                    continue  # a server can take by position what the estimator wants by name
                if form == "Series" and isinstance(rows, pd.DataFrame):
                    continue  # an estimator that looks at no rows
                check_same(getattr(served, method)(X), wanted, exact=form == "as fitted")
        for name in ("classes_", "feature_names_in_", "n_features_in_"):
            if (known := getattr(pickled, name, None)) is not None:
                check_same(getattr(served, name), known, exact=True)


def test_the_types_stay_with_the_version_that_answers(mg: Client) -> None:
    from sklearn.linear_model import LogisticRegression

    mg.publish("changing", LogisticRegression().fit(FRAME, WORDS), X=FRAME)
    model = mg.model("changing")
    assert model.predict(FRAME[:1]).dtype.kind == "U"
    reordered = FRAME[["d", "c", "b", "a"]]
    newer = LogisticRegression().fit(reordered, WORDS == "no")
    version = mg.publish("changing", newer, X=reordered, accept=["signature"])["version"]
    np.testing.assert_array_equal(model.predict(FRAME), newer.predict(reordered))
    assert model.predict(FRAME).dtype == bool
    assert model.classes_.tolist() == [False, True]
    assert mg.model(f"changing@{version - 1}").classes_.tolist() == ["certainly", "maybe", "no"]


def test_rows_of_any_number_are_answered_by_one_version_in_their_order(mg: Client) -> None:
    frame = pd.concat([FRAME] * 250, ignore_index=True)
    fitted = KINDS["linear"][0]()
    mg.publish("many_rows", fitted, X=FRAME)
    np.testing.assert_allclose(mg.model("many_rows").predict(frame), fitted.predict(frame), **ROUNDING)
