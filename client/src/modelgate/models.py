"""A model on the server, in the place of the estimator that was pickled."""

from __future__ import annotations

import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

from modelgate import submitting
from modelgate.answers import Answers
from modelgate.errors import Forbidden, Invalid, ModelgateError, ModelgateWarning, TimedOut, counted_from, failure_of
from modelgate.reports import Report
from modelgate.rows import Inputs, Rows, numpy, rows_of
from modelgate.text import visible

if TYPE_CHECKING:
    from modelgate.connection import Connection

_WAIT = 20
"""Seconds that one request waits for its prediction; after that it asks again."""
_FITTING = ("fit", "fit_predict", "fit_transform", "partial_fit", "set_params")


class Version:
    """A version as the server describes it: what its rows hold, and what each of its methods answers."""

    def __init__(self, description: dict[str, Any]) -> None:
        self.description = description
        self.inputs = Inputs.of(description)
        names = [method["name"] for method in description["signature"]["methods"]]
        self.answers = {name: Answers.of(description, name) for name in names}


class Model:
    """A served model. Its methods are those of the estimator, with the same answers: `predict`, and as far as it has
    them `predict_proba`, `decision_function`, `transform`, `score_samples`, `kneighbors` and others.

    `loan` follows the version that is current; `loan@3` is that version, for good. It may be used by many threads.

    >>> from modelgate import Client
    >>> iris = Client().model("iris")
    >>> iris.classes_, iris.n_features_in_
    (array([0, 1, 2]), 4)
    >>> iris.predict([[5.1, "wide", 1.4, 0.2]])
    Traceback (most recent call last):
    modelgate.errors.Invalid: row 0: 'sepal_width' must be a finite number; it is 'wide'
    """

    def __init__(self, connection: Connection, reference: str) -> None:
        """Raises `NotFound` if there is no such model."""
        self._connection = connection
        self.reference = reference
        self._versions: dict[int, Version] = {}
        self._latest: Version | None = None
        with suppress(Forbidden):  # a key may predict and not read; then types are inferred from the answers
            self.refresh()

    def refresh(self) -> dict[str, Any]:
        """Return what the server says about the version that answers now: its `signature`, `metrics`, `aliases`, …"""
        description: dict[str, Any] = self._connection.request("GET", f"/v1/models/{self.reference}")
        self._versions[description["version"]] = self._latest = Version(description)
        return description

    # The estimator

    if TYPE_CHECKING:

        def predict(self, X: Any) -> Any: ...
        def predict_proba(self, X: Any) -> Any: ...
        def predict_log_proba(self, X: Any) -> Any: ...
        def decision_function(self, X: Any) -> Any: ...
        def score_samples(self, X: Any) -> Any: ...
        def transform(self, X: Any) -> Any: ...
        def kneighbors(self, X: Any) -> Any: ...
        def apply(self, X: Any) -> Any: ...

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in self._methods():
            return partial(self._ask, name)
        if name in _ATTRIBUTES and (value := _ATTRIBUTES[name](self)) is not None:
            return value
        if name in _FITTING:
            raise AttributeError(
                f"{self.reference!r} is served and cannot be fitted here; publish() or train() a version"
            )
        raise AttributeError(f"{self.reference!r} has no {name!r}; it has {', '.join(self._methods())}")

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._methods(), *(name for name in _ATTRIBUTES if hasattr(self, name))]

    def _methods(self) -> list[str]:
        return list(self._latest.answers if self._latest else _METHODS)

    def _ask(self, method: str, X: Any) -> Any:
        rows, jobs = self._asked(method, X)
        answers, version = [], 0
        for job in jobs:
            version = job["model"]["version"]
            answers += job["output"]["predictions"]
            for warning in job["warnings"]:
                warnings.warn(visible(warning), ModelgateWarning, stacklevel=2)
        described = self._described(version)
        return (described.answers[method] if described else Answers(method)).decoded(answers, rows.index)

    def _asked(self, method: str, X: Any) -> tuple[Rows, Iterator[dict[str, Any]]]:
        """Return the rows, and the jobs of their parts. The rows are written as the version takes them that answered
        last; if another one answers now and takes others, they are written again."""
        known = self._latest
        rows = rows_of(X, known.inputs if known else None)
        jobs = self._parts(self.reference, method, rows)
        try:
            first = next(jobs)
            now = self._described(first["model"]["version"])
        except Invalid as error:
            if known is None or error.status != 422:
                raise
            with suppress(ModelgateError):  # the error of the rows says more
                self.refresh()
            now = self._latest
            if now is None or now.inputs == known.inputs:
                raise
        else:
            if known is None or now is None or now.inputs == known.inputs:
                return rows, chain([first], jobs)
        rows = rows_of(X, now.inputs)
        return rows, self._parts(f"{self.name}@{now.description['version']}", method, rows)

    def _parts(self, reference: str, method: str, rows: Rows) -> Iterator[dict[str, Any]]:
        """Yield the jobs of the rows, in their order: one, unless there are too many for one request."""
        spans = rows.spans()
        while spans:
            start, stop = spans.pop()
            try:
                job = self._predicted(reference, method, rows.body(start, stop))
            except Invalid as error:
                if error.status != 413 or stop - start < 2:
                    error.errors = counted_from(start, error.errors)
                    raise
                middle = (start + stop) // 2
                spans += [(middle, stop), (start, middle)]
                continue
            reference = f"{job['model']['name']}@{job['model']['version']}"  # one version answers all rows of a call
            yield job

    def _described(self, version: int) -> Version | None:
        """Return this version, which is the latest from now on; None if the key may not read models."""
        if self._latest is None:
            return None
        if version not in self._versions:
            self._versions[version] = Version(self._connection.request("GET", f"/v1/models/{self.name}@{version}"))
        self._latest = version_used = self._versions[version]
        return version_used

    def _predicted(self, reference: str, method: str, body: bytes) -> dict[str, Any]:
        """Return the job of these rows once it has succeeded. Ctrl-C cancels it."""
        connection, end = self._connection, time.monotonic() + self._connection.timeout
        path, key = f"/v1/models/{reference}/{method}", str(uuid.uuid4())
        try:
            job = connection.request("POST", path, data=body, headers={**_JSON, "Idempotency-Key": key})
            while job["completed_at"] is None:
                if time.monotonic() > end:
                    raise TimedOut(f"{reference!r} did not answer within {connection.timeout:g} s; submit() more rows")
                job = connection.request("GET", f"/v1/jobs/{job['id']}", params={"wait": _WAIT})
        except (KeyboardInterrupt, TimedOut):
            connection.cancel_made_with(key)
            raise
        if job["status"] != "succeeded":
            raise failure_of(job)
        succeeded: dict[str, Any] = job
        return succeeded

    # The server

    @property
    def name(self) -> str:
        return self.reference.partition("@")[0]

    @property
    def version(self) -> int:
        """The version that answers now."""
        return int(self.refresh()["version"])

    @property
    def report(self) -> Report:
        """The report of the version that answers now; a notebook shows it."""
        return Report(self._connection, self.name, self.version)

    submit = submitting.submit

    def promote(self, version: int, alias: str = "current", *, force: bool = False) -> dict[str, Any]:
        """Make `alias` name this version, and return the aliases and versions of the model.

        Raises `Conflict` if no worker can load the version; `force` moves the alias all the same.

        >>> from modelgate import Client
        >>> from sklearn.linear_model import LinearRegression
        >>> mg = Client()
        >>> answers = [mg.publish("slope", LinearRegression().fit([[0.0], [1.0]], [0.0, rise])) for rise in (1.0, 2.0)]
        >>> mg.model("slope").promote(1)["aliases"]["current"]
        1
        """
        aliases: dict[str, Any] = self._connection.request(
            "PUT", f"/v1/models/{self.name}/aliases/{alias}", json={"version": version, "force": force}
        )
        return aliases

    def rollback(self, *, force: bool = False) -> dict[str, Any]:
        """Go back to the last version that was current and was not rolled back from: the one that `previous` names.
        Return the aliases and versions of the model.

        >>> from modelgate import Client
        >>> from sklearn.linear_model import LinearRegression
        >>> mg = Client()
        >>> answers = [mg.publish("trend", LinearRegression().fit([[0.0], [1.0]], [0.0, rise])) for rise in (1.0, 2.0)]
        >>> mg.model("trend").rollback()["aliases"]["current"]
        1
        """
        aliases: dict[str, Any] = self._connection.request(
            "POST", f"/v1/models/{self.name}/rollback", json={"force": force}
        )
        return aliases

    @property
    def description(self) -> dict[str, Any]:
        """What the server says about the version that answered last: its `signature`, `metrics`, `aliases`, …"""
        return self._latest.description if self._latest else self.refresh()

    @property
    def signature(self) -> dict[str, Any]:
        """What the version that answered last takes and returns, as JSON."""
        signature: dict[str, Any] = self.description["signature"]
        return signature

    def returned(self, method: str) -> dict[str, Any]:
        """What a method returns in Python: its `type`, `dtypes` and `width`; empty if the server does not know."""
        methods = {entry["name"]: entry for entry in self.signature["methods"]}
        return methods.get(method, {}).get("returned") or {}

    @property
    def inputs(self) -> Inputs:
        """What its rows hold."""
        return Inputs.of(self.description)

    def __repr__(self) -> str:
        return f"<Model {self.reference} at {self._connection.shown_url}>"


_JSON = {"Content-Type": "application/json", "Prefer": f"wait={_WAIT}"}
_METHODS = (
    *("predict", "predict_proba", "predict_log_proba", "decision_function"),
    *("score_samples", "transform", "kneighbors", "apply"),
)


def _classes(model: Model) -> Any:
    outputs, np = model.signature["outputs"], numpy()
    if not outputs or any(output.get("labels") is None for output in outputs):
        return None
    labels_by_output = [output.get("label_names") or output["labels"] for output in outputs]
    if np is None:
        return labels_by_output[0] if len(labels_by_output) == 1 else labels_by_output
    if len(labels_by_output) > 1 and model.returned("predict_proba").get("type") == "ndarray":
        return np.arange(len(labels_by_output))  # of a multi-label classifier, these are the numbers of its labels
    if len(labels_by_output) > 1:
        return [np.array(labels) for labels in labels_by_output]
    return Answers.of(model.description, "predict").decoded(labels_by_output[0])


def _feature_names_in(model: Model) -> Any:
    inputs = model.inputs
    if inputs.fitted_on != "dataframe":
        return None
    np = numpy()
    return list(inputs.names) if np is None else np.array(inputs.names, dtype=object)


def _n_features_in(model: Model) -> Any:
    return len(model.inputs.names) if model.inputs.format == "table" else None


_ATTRIBUTES: Mapping[str, Callable[[Model], Any]] = {
    "classes_": _classes,
    "feature_names_in_": _feature_names_in,
    "n_features_in_": _n_features_in,
}
