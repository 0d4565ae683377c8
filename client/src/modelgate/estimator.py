"""The methods of an estimator that is somewhere else, with the answers that it would give here."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

from modelgate.answers import Answers
from modelgate.errors import Invalid, ModelgateError, ModelgateWarning, counted_from
from modelgate.rows import Inputs, Rows, numpy, rows_of
from modelgate.text import visible

_FITTING = ("fit", "fit_predict", "fit_transform", "partial_fit", "set_params")


class Version:
    """A version as the server describes it: what its rows hold, and what each of its methods answers."""

    def __init__(self, description: dict[str, Any]) -> None:
        self.description = description
        self.inputs = Inputs.of(description)
        names = [method["name"] for method in description["signature"]["methods"]]
        self.answers = {name: Answers.of(description, name) for name in names}


class RemoteEstimator:
    """Sends rows to where a model is, and returns what its estimator would have returned for them."""

    def __init__(self, reference: str) -> None:
        self.reference = reference
        self._versions: dict[int, Version] = {}
        self._latest: Version | None = None

    def refresh(self) -> dict[str, Any]:
        """Return what the server says about the version that answers now: its `signature`, `metrics`, `aliases`, …"""
        raise NotImplementedError

    def _described(self, version: int) -> Version | None:
        """Return this version, which is the latest from now on; None if it cannot be known."""
        raise NotImplementedError

    def _predicted(self, reference: str, method: str, body: bytes) -> dict[str, Any]:
        """Return the job of the rows in a JSON body once it has succeeded. Raises `ModelgateError`."""
        raise NotImplementedError

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

    @property
    def name(self) -> str:
        return self.reference.partition("@")[0]

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


_METHODS = (
    *("predict", "predict_proba", "predict_log_proba", "decision_function"),
    *("score_samples", "transform", "kneighbors", "apply"),
)


def _classes(model: RemoteEstimator) -> Any:
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


def _feature_names_in(model: RemoteEstimator) -> Any:
    inputs = model.inputs
    if inputs.fitted_on != "dataframe":
        return None
    np = numpy()
    return list(inputs.names) if np is None else np.array(inputs.names, dtype=object)


def _n_features_in(model: RemoteEstimator) -> Any:
    return len(model.inputs.names) if model.inputs.format == "table" else None


_ATTRIBUTES: Mapping[str, Callable[[RemoteEstimator], Any]] = {
    "classes_": _classes,
    "feature_names_in_": _feature_names_in,
    "n_features_in_": _n_features_in,
}
