"""The methods of an estimator that is somewhere else, with the answers that it would give here."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, NoReturn, Self

from modelgate import estimator_tags
from modelgate.answers import Answers
from modelgate.errors import Invalid, ModelgateError, ModelgateWarning, UnknownMethod, counted_from
from modelgate.rows import Inputs, Rows, RowsLike, numpy, rows_of
from modelgate.text import visible

if TYPE_CHECKING:
    from numpy import float64, int64
    from numpy.typing import ArrayLike, NDArray

_FITTING = ("fit_predict", "fit_transform", "partial_fit")


class Version:
    """A version as the server describes it: what its rows hold, and what each of its methods answers."""

    def __init__(self, description: dict[str, Any]) -> None:
        self.description = description
        self.inputs = Inputs.of(description)
        names = [method["name"] for method in description["signature"]["methods"]]
        self.answers = {name: Answers.of(description, name) for name in names}


class RemoteEstimator:
    """Sends rows to where a model is, and returns what its estimator would have returned for them."""

    _takes_packed = False
    """Whether rows may be sent as other bytes than JSON."""

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

    def _predicted(self, reference: str, method: str, kind: str, body: bytes) -> dict[str, Any]:
        """Return the job of the rows in a body of this media type once it has succeeded. Raises `ModelgateError`."""
        raise NotImplementedError

    if TYPE_CHECKING:

        def predict(self, X: RowsLike) -> NDArray[Any]: ...
        def predict_proba(self, X: RowsLike) -> NDArray[float64]: ...
        def predict_log_proba(self, X: RowsLike) -> NDArray[float64]: ...
        def decision_function(self, X: RowsLike) -> NDArray[float64]: ...
        def score_samples(self, X: RowsLike) -> NDArray[float64]: ...
        def transform(self, X: RowsLike) -> Any: ...  # an array, a sparse matrix or a DataFrame
        def kneighbors(self, X: RowsLike) -> tuple[NDArray[float64], NDArray[int64]]: ...
        def apply(self, X: RowsLike) -> NDArray[Any]: ...

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in self._methods():
            method = partial(self._ask, name)
            method.__name__ = name  # type: ignore[attr-defined]  # scikit-learn asks a method for it
            return method
        if name in _ATTRIBUTES and (value := _ATTRIBUTES[name](self)) is not None:
            return value
        if name in _FITTING:
            self._refuse_to_fit()
        raise AttributeError(f"{self.reference!r} has no {name!r}; it has {', '.join(self._methods())}")

    # What scikit-learn's tools ask of an estimator

    def fit(self, X: Any = None, y: Any = None, **options: Any) -> NoReturn:  # noqa: ARG002
        """Raise `UnknownMethod`: a served model is fitted already. It is here because tools take nothing without it."""
        self._refuse_to_fit()

    def _refuse_to_fit(self) -> NoReturn:
        raise UnknownMethod(
            f"{self.reference!r} is served and cannot be fitted here; publish() or train() a version, or give a tool"
            " that fits what it gets a sklearn.frozen.FrozenEstimator(model)"
        )

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002
        """Return {}: parameters belong to fitting."""
        return {}

    def set_params(self, **parameters: Any) -> Self:
        """Return the model. Raises `UnknownMethod` for any parameter: it would change nothing."""
        if parameters:
            raise UnknownMethod(
                f"{self.reference!r} is served, so {', '.join(parameters)} cannot be set here; publish() or train() a"
                " version with other parameters"
            )
        return self

    def score(self, X: RowsLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return the accuracy of a classifier, R² of a regressor, for rows and what was true of them. Raises
        `UnknownMethod` for other models, and ImportError without scikit-learn."""
        metric = {"classifier": "accuracy_score", "regressor": "r2_score"}.get(self._estimator_type or "")
        if metric is None:
            raise UnknownMethod(f"{self.reference!r} is no classifier or regressor; use a function of sklearn.metrics")
        from sklearn import metrics

        return float(getattr(metrics, metric)(y, self.predict(X), sample_weight=sample_weight))

    @property
    def _estimator_type(self) -> str | None:
        return estimator_tags.type_of(self.signature)

    def __sklearn_tags__(self) -> Any:
        return estimator_tags.tags_of(self.signature)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_clone__(self) -> Self:
        return self

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
                kind, body = rows.content(start, stop, packed=self._takes_packed)
                job = self._predicted(reference, method, kind, body)
            except Invalid as error:
                if error.status == 415 and self._takes_packed:  # an older server
                    self._takes_packed = False
                    spans.append((start, stop))
                    continue
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
