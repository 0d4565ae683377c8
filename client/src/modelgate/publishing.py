"""Publishes a fitted model: pickled with the code of its own classes, with sample rows, and signed where there is a
key."""

from __future__ import annotations

import csv
import hashlib
import importlib
import io
import json
import os
import pickle
import pickletools
import platform
import re
import sys
import sysconfig
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from modelgate import mlflow_models
from modelgate.connection import Connection
from modelgate.errors import ModelgateError, ModelgateWarning
from modelgate.forms import Form
from modelgate.mlflow_models import SavedModel
from modelgate.progress import OnSent, counting
from modelgate.text import visible

_SAMPLE = 1000
"""Most rows of a sample that Modelgate reads."""
_LIBRARIES = ("scikit-learn", "numpy", "pandas", "scipy")
_PICKLERS = ("cloudpickle", "joblib.externals.cloudpickle")

File = str | Path
Parts = dict[str, tuple[str, bytes | Path]]


def publish(
    client: Connection,
    name: str,
    model: Any,
    *,
    X: Any = None,
    y: Any = None,
    sample: File | None = None,
    code: File | None = None,
    signature: File | None = None,
    signing_key: File | None = None,
    target: str | None = None,
    environment: str | None = None,
    alias: str | None = None,
    promote: bool = True,
    accept: Sequence[str] = (),
    notes: str = "",
    progress: bool | None = None,
    on_sent: OnSent | None = None,
) -> dict[str, Any]:
    """Publish `model` as a new version of the model `name`, and return the answer: its `version`, the `aliases` and
    `warnings`, whether it was `promoted`, the `reason` if not, and the `verdict`. Raises `ModelgateError`.

    `model`: a fitted estimator, the name of a file that holds one, or a model of MLflow: its URI, such as
    `models:/loan/3`, or its folder. `X` and `y`: rows like those that it was fitted on, of which up to 1,000 are sent,
    evenly spread; they show what columns hold, and with `y` it gets a report. For a file, `sample` may be a CSV file
    with such rows, `target` its column with what the model predicts, `code` the module with its classes, and
    `signature` the file that signs them. `signing_key`, by default `MODELGATE_SIGNING_KEY`: the file with the private
    key that signs, where that is needed. `progress`: show a bar; by default in a terminal and in a notebook. `on_sent`
    gets the bytes sent and their total instead.

    The version is served in `environment`, by default that of the release of scikit-learn that has saved the model, if
    the server has it. It gets `alias`, by default `current`, if `promote` and unless the gate refuses it, which a
    warning says. `accept=["signature"]`: promote it even if callers have to change something. It keeps `notes`.

    >>> from modelgate import Client
    >>> from sklearn.linear_model import LinearRegression
    >>> mg = Client()
    >>> answer = mg.publish("line", LinearRegression().fit([[0.0], [1.0]], [1.0, 3.0]))
    >>> mg.model("line").predict([[2.0]])
    array([5.])
    """
    choices = {"alias": alias, "environment": environment, "notes": notes, "promote": "" if promote else "false"}
    choices["accept"] = json.dumps(list(accept)) if accept else ""
    fields = {name: choice for name, choice in choices.items() if choice}
    with mlflow_models.opened(model) if mlflow_models.is_mlflow(model) else nullcontext(SavedModel(model)) as saved:
        X = saved.example if X is None else X
        parts = _parts(name, saved.model, X, y, sample, code or saved.code)
        key = signing_key or os.environ.get("MODELGATE_SIGNING_KEY")
        if signature is not None:
            parts["signature"] = (Path(signature).name, Path(signature))
        elif key:
            parts["signature"] = (f"{name}.sig", signature_of(name, parts, Path(key)))
        fields |= {} if isinstance(saved.model, str | Path) else {"versions": json.dumps(versions())}
        if "sample" in parts and sample is None:
            fields |= {"nulls": json.dumps(nulls)} if (nulls := nulls_of(X)) else {}
            target = target_of(X, y) or ""
        fields |= {} if target is None else {"target": target}
        form = Form({**saved.fields, **fields}, parts)
        with counting(progress, on_sent) as count:
            published: dict[str, Any] = client.request(
                "POST", f"/v1/models/{name}/versions", data=lambda: form.open(count), headers=form.headers, upload=True
            )
    if promote and published.get("reason"):
        warnings.warn(visible(published["warnings"][-1]), ModelgateWarning, stacklevel=2)
    return published


def _parts(name: str, model: Any, X: Any, y: Any, sample: File | None, code: File | None) -> Parts:
    """Return the files of the form."""
    is_file = isinstance(model, str | Path)
    parts: Parts = {"file": (Path(model).name, Path(model)) if is_file else (f"{name}.pkl", pickled(model))}
    if sample is not None:
        parts["sample"] = (Path(sample).name, Path(sample))
    elif X is not None and (rows := sample_of(X, y)) is not None:
        parts["sample"] = ("sample.csv", rows)
    if code is not None:
        parts["code"] = (Path(code).name, Path(code))
    return parts


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that a model depends on."""
    installed = {"python": platform.python_version()}
    for name in _LIBRARIES:
        with suppress(metadata.PackageNotFoundError):
            installed[name] = metadata.version(name)
    return installed


# The pickle


def pickled(model: Any) -> bytes:
    """Return a model as a pickle that holds the code of classes and functions which no installed package has."""
    pickler = _pickler()
    modules: dict[str, ModuleType] = {}
    while True:
        with _by_value(pickler, modules.values()):
            data: bytes = _dumps(pickler, model)
        # A module that is pickled by value may use others.
        more = {name: module for name, module in _own_modules(data).items() if name not in modules}
        if not more:
            return data
        modules |= more


def _dumps(pickler: Any, model: Any) -> bytes:
    try:
        data: bytes = pickler.dumps(model)
    except (TypeError, AttributeError, ValueError, pickle.PicklingError) as error:
        raise ModelgateError(
            f"the model cannot be pickled ({error}); remove what it holds besides its fitted state, such as open files,"
            " locks and connections, or publish a file that it was saved to"
        ) from error
    return data


def _pickler() -> Any:
    for name in _PICKLERS:
        with suppress(ImportError):
            return importlib.import_module(name)
    raise ModelgateError("publishing a model needs cloudpickle: pip install cloudpickle; or publish a file")


@contextmanager
def _by_value(pickler: Any, modules: Any) -> Iterator[None]:
    known = pickler.list_registry_pickle_by_value()
    added = [module for module in modules if module.__name__ not in known]
    for module in added:
        pickler.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in added:
            pickler.unregister_pickle_by_value(module)


def _own_modules(data: bytes) -> dict[str, ModuleType]:
    """Return the modules that a pickle names and that belong to no installed package."""
    texts = {text for _, text, _ in pickletools.genops(data) if isinstance(text, str)}
    names = {name for text in texts for name in text.split(" ")[:1]}  # GLOBAL has module and name in one text
    modules = {name: sys.modules[name] for name in names if name in sys.modules and name != "__main__"}
    return {name: module for name, module in modules.items() if _is_own(module)}


def _is_own(module: ModuleType) -> bool:
    file = getattr(module, "__file__", None)
    if not file or not file.endswith(".py"):
        return False
    installed = [Path(path).resolve() for path in {*sysconfig.get_paths().values()} if path]
    here = Path(file).resolve()
    return "site-packages" not in here.parts and not any(here.is_relative_to(path) for path in installed)


# The sample


def sample_of(X: Any, y: Any = None) -> bytes | None:
    """Return rows of X, evenly spread because X may be sorted, as CSV, with y as the last column; None for rows that no
    CSV can hold."""
    total = X.shape[0] if hasattr(X, "shape") else len(X)  # a sparse matrix has no length
    count = min(total, _SAMPLE)
    places = [number * total // count for number in range(count)]
    if hasattr(X, "toarray"):
        X = X.tocsr()[places].toarray()  # other formats of sparse matrices have no rows
    elif hasattr(X, "iloc"):
        X = X.iloc[places]
    else:
        X = X[places] if hasattr(X, "shape") else [X[index] for index in places]
    if hasattr(X, "columns"):
        names = [str(name) for name in X.columns]
        columns = [list(X[name]) for name in X.columns]
    else:
        rows = list(X)
        if not rows or isinstance(rows[0], Mapping):
            return None
        is_text = isinstance(rows[0], str)
        names = ["text"] if is_text else [f"x{index}" for index in range(len(rows[0]))]
        columns = [rows] if is_text else [[row[index] for row in rows] for index in range(len(rows[0]))]
    if target := target_of(X, y):
        names.append(target)
        targets = list(y)
        columns.append([targets[index] for index in places])
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(zip(*([_cell(value) for value in column] for column in columns), strict=True))
    return written.getvalue().encode()


def target_of(X: Any, y: Any) -> str | None:
    """Return the name of the column of y in the sample of X, which is no name of X; None if y has not one value a
    row."""
    if y is None or getattr(y, "ndim", 1) != 1 or isinstance(next(iter(y), None), list | tuple):
        return None
    name = str(getattr(y, "name", None) or "").strip() or "target"  # readers of CSV drop blanks around names
    taken = {str(other).strip() for other in getattr(X, "columns", ())}
    while name in taken or (not taken and re.fullmatch(r"text|x\d+", name)):
        name += "_"
    return name


def _cell(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value
    if hasattr(value, "nanosecond") and value == value:  # pandas before 2 has no other unit
        digits = "nanoseconds" if getattr(value, "unit", "ns") == "ns" else "auto"
        zone = getattr(value.tzinfo, "key", None) or getattr(value.tzinfo, "zone", None)
        return value.isoformat(timespec=digits) + (f"[{zone}]" if zone else "")  # RFC 9557
    return "" if _null(value) else value


def nulls_of(X: Any) -> dict[str, list[str]]:
    """Return what the nulls are in each column of a DataFrame or an array, or that it has none: a CSV file has
    one null, which may be a text, and estimators answer None, NaN and pandas' NA differently."""
    if hasattr(X, "columns"):
        columns = {str(name): X[name] for name in X.columns}
    elif getattr(X, "ndim", 1) == 2 and hasattr(X, "dtype") and not hasattr(X, "toarray"):
        columns = {f"x{index}": X[:, index] for index in range(X.shape[1])}
    else:
        return {}
    nulls = {}
    for name, column in columns.items():
        is_object = column.dtype == object
        may_be = slice(None) if is_object else column != column  # NumPy's None equals itself
        values = column[column.isna() if hasattr(column, "isna") else may_be]
        held = {_null(value) for value in values.tolist()} - {""}
        # Among objects, numbers and booleans are those of Python.
        among = "_object" if is_object else ""
        nulls[name] = sorted(null if null == "none" else f"{null}{among}" for null in held)
    return nulls


def _null(value: Any) -> str:
    """Return what a null is: none, nan or na (of pandas); "" for any other value. NaT is like NaN."""
    if value is None:
        return "none"
    if type(value).__name__ == "NAType":
        return "na"
    return "nan" if value != value else ""


# The signature


def signature_of(name: str, parts: Mapping[str, tuple[str, bytes | Path]], key: Path) -> bytes:
    """Return the ed25519 signature of these files under this name, as `python -m trainer sign-file` makes it. Raises
    `ModelgateError` for a key that cannot be used."""
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError:
        raise ModelgateError("signing needs cryptography: pip install cryptography") from None
    try:
        private = load_pem_private_key(key.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise ModelgateError(f"the signing key {key} cannot be read: {error}") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise ModelgateError(f"the signing key {key} is not a private ed25519 key; `python -m trainer keys` makes one")
    digests = {part: hashlib.sha256(_content(content)).hexdigest() for part, (_, content) in parts.items()}
    statement = {"import": {"model": name, "parts": digests}}
    return private.sign(json.dumps(statement, sort_keys=True, separators=(",", ":")).encode())


def _content(content: bytes | Path) -> bytes:
    return content.read_bytes() if isinstance(content, Path) else content
