"""Answers as Modelgate does, in a folder that `modelgate export` has written: `mlflow.pyfunc.load_model` calls
`_load_pyfunc`. The folder has a copy of this module, which imports nothing of ours."""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import cloudpickle
import joblib
import numpy as np
import pandas as pd

Manifest = Mapping[str, Any]

_NULLS: dict[str, Any] = {"nan": np.nan, "nan_object": np.nan, "none": None, "na": pd.NA, "na_object": pd.NA}
_DTYPES: dict[str, Any] = {"number": np.float64, "integer": np.int64, "boolean": np.bool_}
_NULLABLE = {"number": "Float64", "integer": "Int64", "boolean": "boolean", "string": "string"}
"""The dtypes of pandas that have NA."""
_TEXTS: Any = pd.Series(["text"]).dtype
"""What pandas makes of texts: objects before 3.0."""
_ISO_8601: dict[str, Any] = {} if pd.__version__.startswith("1.") else {"format": "ISO8601"}


class ExportedModel:
    """A version of a model: its estimator and its manifest."""

    def __init__(self, estimator: Any, manifest: Manifest) -> None:
        self.estimator = estimator
        self.manifest = manifest

    def predict(self, X: Any, params: Mapping[str, Any] | None = None) -> Any:  # noqa: ARG002  # MLflow's signature
        """Return what Modelgate answers to rows: an array of a value for each row, or a DataFrame of several outputs.
        A model without `predict` returns what its `transform` returns.

        X: a DataFrame with the columns of the signature; an array of rows, or a list of texts or of dicts, if the model
        was fitted on such.
        """
        signature = self.manifest["signature"]
        if decision := signature["outputs"] and signature["outputs"][0].get("decision"):
            return _decided(self.estimator.predict_proba(matrix(X, self.manifest)), decision, signature["outputs"][0])
        values = getattr(self.estimator, signature["methods"][0]["name"])(matrix(X, self.manifest))
        return _predictions(values, signature["outputs"]) if signature["outputs"] else values


def _load_pyfunc(path: str) -> ExportedModel:
    """Load the estimator in the folder `path`, beside its manifest. Raises `ValueError` if it is another file than the
    manifest says, or if MLflow is set to load no pickles; and whatever unpickling raises."""
    if os.environ.get("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "true").lower() in ("false", "0"):
        raise ValueError("loading this model may run code, which MLFLOW_ALLOW_PICKLE_DESERIALIZATION=false forbids")
    folder = Path(path)
    manifest = json.loads((folder / "version.json").read_bytes())
    artifact = manifest["artifact"]
    data = (folder / artifact["file"]).read_bytes()
    if hashlib.sha256(data).hexdigest() != artifact["sha256"]:
        raise ValueError(f"{folder / artifact['file']} was changed since it was exported; export the model again")
    with own_classes():
        return ExportedModel(_READ[artifact["format"]](data), manifest)


@contextmanager
def own_classes() -> Iterator[None]:
    """Give what this block unpickles classes of its own. A class of a notebook has one id in all its cloudpickles, and
    where one of that id is loaded, cloudpickle writes newer code, or older, into that one: of another model."""
    known = "_DYNAMIC_CLASS_TRACKER_BY_ID"
    # Older joblibs bring a cloudpickle of their own.
    picklers = [vars(sys.modules[name]) for name in [*sys.modules] if name.endswith("cloudpickle.cloudpickle")]
    before = [pickler.get(known) for pickler in picklers]
    for pickler in picklers:
        pickler[known] = WeakValueDictionary()
    try:
        yield
    finally:
        for pickler, classes in zip(picklers, before, strict=True):
            pickler[known] = classes


def _from_skops(data: bytes) -> Any:
    import skops.io

    # Modelgate has audited the file that has this checksum, and this folder brings code anyway.
    return skops.io.loads(data, trusted=skops.io.get_untrusted_types(data=data))


_READ: Mapping[str, Callable[[bytes], Any]] = {
    "joblib": lambda data: joblib.load(io.BytesIO(data)),
    "cloudpickle": cloudpickle.loads,
    "skops": _from_skops,
}


# What the estimator takes


def matrix(X: Any, manifest: Manifest) -> Any:
    """Return rows as the estimator was fitted on them. Raises `KeyError` for a missing column."""
    inputs, artifact = manifest["signature"]["inputs"], manifest["artifact"]
    input_format, dtype = artifact["input_format"], artifact["input_dtype"]
    if input_format == "records":
        return _records(X)
    if input_format in ("texts", "series"):
        texts = list(X.iloc[:, 0] if isinstance(X, pd.DataFrame) else X)
        return pd.Series(texts, dtype=object) if input_format == "series" else texts
    by_name = isinstance(X, pd.DataFrame) and not {column["name"] for column in inputs}.isdisjoint(X.columns)
    table = X if by_name else pd.DataFrame(np.asarray(X), columns=[column["name"] for column in inputs])
    values = {column["name"]: list(map(_value, table[column["name"]])) for column in inputs}
    if input_format != "array":
        frame = pd.DataFrame({column["name"]: _series(values[column["name"]], column, dtype) for column in inputs})
        return frame.set_axis(range(len(inputs)), axis=1) if input_format == "numbered_dataframe" else frame
    if any(column["kind"] not in _DTYPES or _holds_objects(column) for column in inputs):
        cells = [[_NULLS[column["null"]] if v is None else v for v in values[column["name"]]] for column in inputs]
        objects = np.empty((len(table), len(inputs)), dtype=object)
        objects.T[:] = cells
        return objects
    return np.array([values[column["name"]] for column in inputs], dtype=dtype).T.copy()


def _records(X: Any) -> list[dict[str, Any]]:
    """Return rows of any names as dicts, without what is null."""
    rows: Any = X.to_dict("records") if isinstance(X, pd.DataFrame) else X
    return [{name: value for name, value in row.items() if not _is_null(value)} for row in rows]


def _value(cell: Any) -> Any:
    """Return a cell as JSON has it: None for each null, and a text for a moment."""
    if _is_null(cell):
        return None
    return pd.Timestamp(cell).isoformat() if hasattr(cell, "isoformat") or isinstance(cell, np.datetime64) else cell


def _is_null(cell: Any) -> bool:
    return np.ndim(cell) == 0 and bool(pd.isna(cell))


def _holds_objects(column: Manifest) -> bool:
    return bool(column["nullable"]) and column["null"] != "nan"


def _series(values: list[Any], column: Manifest, dtype: str) -> Any:
    """Return a column of a DataFrame."""
    kind, null = column["kind"], _NULLS[column["null"]]
    if kind == "datetime":
        moments: Any = pd.to_datetime(pd.Series(values, dtype=object), utc=True, **_ISO_8601)
        if column.get("nanoseconds") and moments.dtype.unit != "ns":  # pandas before 3 reads them so
            moments = moments.dt.as_unit("ns")
        moments = moments.dt.tz_convert(column.get("zone") or "UTC")
        moments = moments.dt.tz_localize(None) if column["naive"] else moments
        objects = _holds_objects(column)
        return pd.Series([null if m is pd.NaT else m for m in moments], dtype=object) if objects else moments
    if _holds_objects(column) and column["null"] == "na":
        return pd.Series(values, dtype=_NULLABLE[kind])
    if _holds_objects(column):
        return pd.Series([null if value is None else value for value in values], dtype=object)
    if kind in _DTYPES:
        floats = np.float32 if kind == "number" and (dtype == "float32" or column.get("float32")) else np.float64
        return np.array(values, dtype=floats if kind == "number" or column["nullable"] else _DTYPES[kind])
    if not any(value is not None for value in values):
        return pd.array([np.nan] * len(values), dtype=_TEXTS)
    return np.array([np.nan if value is None else value for value in values], dtype=object)


# What it answers


def _decided(table: Any, decision: Manifest, output: Manifest) -> Any:
    """Return the label of the decision where its probability reaches the threshold, else the other one."""
    labels = output["labels"]
    column = labels.index(decision["label"])
    probabilities = np.asarray(table, dtype=float)[:, column]
    either = np.array([labels[1 - column], labels[column]])[(probabilities >= decision["threshold"]).astype(int)]
    unknown = np.isnan(probabilities)
    return _named(np.where(unknown, None, either.astype(object)) if unknown.any() else either, output)


def _predictions(values: Any, outputs: Sequence[Manifest]) -> Any:
    """Return predictions with the names of outputs and labels that answers have."""
    values = values.toarray() if hasattr(values, "toarray") else values
    if len(outputs) == 1 and outputs[0]["name"] is None:
        column = np.asarray(values)
        return _named(column[:, 0] if column.ndim == 2 else column, outputs[0])
    if isinstance(values, np.ndarray | pd.Series) and values.ndim == 1:
        values = values.tolist()  # a dict for each row
    names = [str(output["name"]) for output in outputs]
    table = pd.DataFrame(values)
    table = table.set_axis(names if isinstance(values, np.ndarray) else [*map(str, table.columns)], axis=1)
    return pd.DataFrame({output["name"]: _named(table[output["name"]].to_numpy(), output) for output in outputs})


def _named(values: Any, output: Manifest) -> Any:
    """Return the predictions of one output with the names of its labels, where the signature gives them names."""
    if output["label_names"] is None:
        return values
    names = dict(zip(output["labels"], output["label_names"], strict=True))
    return np.array([names.get(value, value) for value in values.tolist()], dtype=object)
