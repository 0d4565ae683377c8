"""Finds out what an estimator answers: its outputs, and the methods that rows can be sent to."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import pandas as pd
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import LabelBinarizer, LabelEncoder, MultiLabelBinarizer

from contract.model.manifest import ManifestDraft, Remark
from contract.model.signature import OTHER_METHODS, PREDICT, AnswerForm, Output, OutputKind, Signature
from contract.row import Row, Value
from contract.wording import listed, spelt_alike
from scoring.answers import named_columns
from scoring.estimators import predict_rows
from scoring.methods import MAX_NAMES, find_methods, has_method
from scoring.sklearn_internals import estimator_type
from trainer.importing import Refused
from trainer.importing.assumptions import unknown_outputs
from trainer.importing.files.reasons import explained
from trainer.importing.other_libraries import output_names

ROUNDING = 1e-4
"""Largest distance of the sum of a row's probabilities from 1. scikit-learn's error is 1e-15, or 1e-7 in 32 bits; other
libraries compute thousands of classes in 32 bits."""

_NO_ESTIMATORS = (type, pd.DataFrame, pd.Series, pd.Index)
"""Types whose objects have methods of the same names, such as `transform`."""


class DoesNotPredict(Exception):
    """The estimator raised `cause` when it was tried."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


class NoProbabilities(Exception):
    """The estimator's probabilities are invalid; the message is a row of them."""


def answers_rows(thing: Any) -> bool:
    """Return whether it is an object with a method that rows can be sent to."""
    if isinstance(thing, _NO_ESTIMATORS) or only_fits(thing) is not None:
        return False
    names = {PREDICT.name, *OTHER_METHODS} - {"apply"}  # a word of many libraries
    return any(has_method(thing, name) or has_method(_last_step(thing), name) for name in names)


def only_fits(thing: Any) -> str | None:
    """Return why an estimator has no answer for other rows than those that it was fitted on; None if it has one."""
    last = _last_step(thing)
    if isinstance(last, LabelEncoder | LabelBinarizer | MultiLabelBinarizer):
        return f"holds a {type(last).__name__}, which works on labels, not on rows; save it in one dict with its model"
    if type(last).__name__ == "PatchExtractor":
        return "holds a PatchExtractor, which takes pictures, not rows; make columns of their pixels, and use those"
    if has_method(thing, PREDICT.name) or has_method(thing, "transform"):
        return None
    if isinstance(last, LocalOutlierFactor):
        instead = "fit it with novelty=True"
    elif has_method(thing, "fit_predict"):
        instead = "fit a KNeighborsClassifier on the same rows and their labels_, or use KMeans"
    elif has_method(thing, "fit_transform"):
        instead = "use PCA, Isomap or another estimator that has transform"
    elif has_method(last, "get_indices"):
        instead = "fit a KNeighborsClassifier on the same rows and their row_labels_"
    else:
        return None
    return (
        f"holds a fitted {type(last).__name__}, which answers only for the rows that it was fitted on; {instead}, and"
        " save that"
    )


def _last_step(thing: Any) -> Any:
    return _last_step(thing.steps[-1][1]) if isinstance(thing, Pipeline) else thing


def with_methods(estimator: Any, rows: Sequence[Row], draft: ManifestDraft) -> tuple[ManifestDraft, list[Remark]]:
    """Return the draft with the detected outputs and methods, and remarks. Raises `Refused`, `DoesNotPredict`,
    `NoProbabilities` and `MemoryError`."""
    try:
        outputs, remarks = _outputs(estimator, rows, draft) if has_method(estimator, PREDICT.name) else ((), [])
        signature = dataclasses.replace(draft.signature, outputs=outputs)
        methods, failed = find_methods(estimator, rows, signature, draft.artifact)
    except (MemoryError, Refused, NoProbabilities):
        raise
    except Exception as error:
        raise DoesNotPredict(error) from error
    if not methods:
        raise DoesNotPredict(next(iter(failed.values()), AttributeError("it has no method that answers rows")))
    remarks += [Remark(f"it is served without {name}: {explained(error)}") for name, error in failed.items()]
    remedy = "differ by case or blanks alone: fit it on one spelling if they are one class"
    alike = [texts for output in outputs for texts in spelt_alike(output.labels or ())]
    remarks += [Remark(f"its classes {listed(texts)} {remedy}") for texts in alike]
    signature = _with_scores(dataclasses.replace(signature, methods=methods), estimator)
    return dataclasses.replace(draft, signature=signature), remarks


def _outputs(estimator: Any, rows: Sequence[Row], draft: ManifestDraft) -> tuple[tuple[Output, ...], list[Remark]]:
    """Return the outputs of `predict`, and remarks. Raises what `predict` raises, and `Refused`."""
    values, *_ = predict_rows(estimator, rows, draft.signature, draft.artifact)
    names, columns = named_columns(values)
    if not columns or any(column.shape != (len(rows),) for column in columns):
        raise Refused(
            f"answers {len(rows)} rows with an array of the shape {np.shape(values)}; it must be one value a row, or"
            " one for each output"
        )
    if len(columns) > MAX_NAMES:
        raise Refused(
            f"predicts {len(columns)} values a row, and at most {MAX_NAMES} are served; split it into several models"
        )
    if names is not None and len(set(names)) < len(names):
        raise Refused(f"predicts two outputs of the same name ({listed(names)}); give each output its own name")
    labels = _labels_of_each(estimator, columns, named=names is not None)
    remarks = []
    if names is None and len(columns) > 1:
        names = _quantiles(estimator, len(columns)) or output_names(estimator, len(columns))
        if names is None:
            names = [f"y{number}" for number in range(len(columns))]
            remarks = [unknown_outputs(names)]
    is_class = _answers_classes(estimator)
    outputs = tuple(
        Output(_kind(column, known, is_class), known, name=names[index] if names else None)
        for index, (column, known) in enumerate(zip(columns, labels, strict=True))
    )
    return _with_probabilities(estimator, rows, draft, outputs, columns, remarks)


def _kind(column: Any, labels: tuple[Value, ...] | None, is_class: bool) -> OutputKind:
    """Return the kind of an output. Raises `Refused` for what JSON cannot hold."""
    values = [value.item() if isinstance(value, np.generic) else value for value in column.tolist()]
    strange = {
        type(value).__name__ for value in values if value is not None and not isinstance(value, str | int | float)
    }
    if column.dtype.kind in "mM":  # NumPy makes integers of dates
        strange = {column.dtype.name}
    if strange:
        raise Refused(
            f"predicts values of the type {min(strange)}, and an answer has numbers and texts; wrap it in a class whose"
            " predict gives one for each row, or a dict of such"
        )
    words = any(isinstance(value, str | bool) for value in values)
    whole = is_class and column.dtype.kind in "iu"
    return OutputKind.CLASS if labels is not None or words or whole else OutputKind.NUMBER


def _answers_classes(estimator: Any) -> bool:
    """Return whether whole numbers are classes, as of clusters and outliers."""
    with suppress(Exception):
        kind = estimator_type(estimator)
        if kind is not None:
            return kind in ("classifier", "clusterer", "outlier_detector", "density_estimator")
    return has_method(estimator, "fit_predict") or has_method(estimator, "decision_function")


# Labels


def classes_of(estimator: Any) -> tuple[Value, ...] | None:
    """Return the class labels, or None if it has none, or some for each of several outputs. Raises `Refused`."""
    classes = _classes(estimator)
    return None if classes is None or _are_of_each(classes) else _plain(classes)


def _classes(estimator: Any) -> Any:
    with suppress(Exception):
        return estimator.classes_
    return None


def _are_of_each(classes: Any) -> bool:
    return isinstance(classes, list | tuple) and any(isinstance(part, np.ndarray) for part in classes)


def _plain(classes: Any) -> tuple[Value, ...] | None:
    labels = np.asarray(classes).tolist()
    if labels == []:  # a regressor of CatBoost
        return None
    if not isinstance(labels, list) or not all(isinstance(label, str | int | float) for label in labels):
        raise Refused(f"has classes that JSON cannot represent ({listed(list(classes))}); fit it on texts or numbers")
    return tuple(labels)


def _labels_of_each(estimator: Any, columns: Sequence[Any], named: bool) -> list[tuple[Value, ...] | None]:
    """Return the labels of each output, None for one that has none. `named`: the outputs have names of their own, so
    that the only labels of a wrapper may be those of one of them."""
    classes = _classes(estimator)
    if classes is not None and _are_of_each(classes):
        if len(classes) == len(columns):
            return [_plain(part) for part in classes]
        return [None] * len(columns)
    if len(columns) == 1 and not named:
        return [_plain(classes) if classes is not None else _labels_by_type(estimator)]
    if classes is None or named:
        return [None] * len(columns)
    known = _plain(classes)
    # The classes of a multi-label classifier are the numbers of its labels.
    multi_label = known == tuple(range(len(columns))) and all(np.isin(column, (0, 1)).all() for column in columns)
    return [(0, 1) if multi_label else known] * len(columns)


def _labels_by_type(estimator: Any) -> tuple[Value, ...] | None:
    """Return the labels of an outlier detector, or of clusters that have centers; None for others."""
    with suppress(Exception):
        if estimator_type(estimator) == "outlier_detector":
            return (-1, 1)
        last = _last_step(estimator)
        clusters = range(len(last.cluster_centers_))
        if set(np.asarray(last.labels_).tolist()) <= set(clusters):
            return tuple(clusters)
    return None


def _quantiles(estimator: Any, count: int) -> list[str] | None:
    """Return names for the quantiles that an estimator predicts, or None if it predicts something else."""
    with suppress(Exception):
        parameters = _last_step(estimator).get_params()
        loss = str(parameters.get("loss_function"))
        of_catboost = re.fullmatch(r"MultiQuantile:alpha=([\d., ]+)", loss)
        of_xgboost, of_forest = parameters.get("quantile_alpha"), parameters.get("default_quantiles")
        quantiles = of_catboost[1].split(",") if of_catboost else of_forest if of_xgboost is None else of_xgboost
        names = [f"quantile_{float(quantile):g}" for quantile in quantiles]
        return names if len(set(names)) == count else None
    return None


# Probabilities and scores


def _with_probabilities(
    estimator: Any,
    rows: Sequence[Row],
    draft: ManifestDraft,
    outputs: tuple[Output, ...],
    columns: Sequence[Any],
    remarks: list[Remark],
) -> tuple[tuple[Output, ...], list[Remark]]:
    """Return the outputs, with probabilities if they can be served, and the remarks with one if they cannot."""
    if not has_method(estimator, "predict_proba"):
        return outputs, remarks
    wanted = dataclasses.replace(outputs[0], probabilities=True)
    signature = dataclasses.replace(draft.signature, outputs=(wanted, *outputs[1:]))
    without = "it is served without probabilities: "
    try:
        _, tables, _ = predict_rows(estimator, rows, signature, draft.artifact)
    except MemoryError:
        raise
    except Exception as error:
        return outputs, [*remarks, Remark(f"{without}{explained(error)}")]
    if len(outputs) == 1 and outputs[0].labels is None:
        labels = _numbers_of_components(columns[0], tables)
        outputs = (dataclasses.replace(outputs[0], labels=labels),)
    if any(output.labels is None for output in outputs):
        return outputs, [*remarks, Remark(f"{without}their classes are unknown")]
    multi_label = len(outputs) > 1 and not isinstance(tables, list)
    by_output = tables if isinstance(tables, list) else [tables]
    shapes = [(len(rows), len(output.labels or ())) for output in outputs]
    shapes = [(len(rows), len(outputs))] if multi_label and {width for _, width in shapes} == {2} else shapes
    if [table.shape for table in by_output] != shapes:
        why = f"{without}they have {_described(by_output)}, and the classes need {_described(shapes)}"
        return outputs, [*remarks, Remark(why)]
    for table in by_output:
        _check_probabilities(table, multi_label)
    kind = OutputKind.CLASS
    return tuple(dataclasses.replace(output, kind=kind, probabilities=True) for output in outputs), remarks


def _described(tables: Sequence[Any]) -> str:
    shapes = {str(getattr(table, "shape", table)) for table in tables}
    return f"the shape {', '.join(sorted(shapes))}"


def _numbers_of_components(values: Any, table: Any) -> tuple[int, ...] | None:
    """Return 0, 1, … as labels if `values` are the column numbers of `table`, as for the components of a mixture; else
    None."""
    if table.ndim != 2 or values.dtype.kind != "i" or not np.array_equal(values, table.argmax(axis=1)):
        return None
    return tuple(range(table.shape[1]))


def _check_probabilities(table: Any, multi_label: bool) -> None:
    """Raise `NoProbabilities` for an invalid row. A row of zeros is valid, since OneVsRestClassifier gives such rows,
    and so are values that are not finite: they are served as null. Those of several labels need no sum."""
    with np.errstate(invalid="ignore"):
        total = table.sum(axis=1)
        outside = ((table < -ROUNDING) | (table > 1 + ROUNDING)).any(axis=1)
        wrong_sum = (np.abs(total - 1) > ROUNDING) & (total != 0) & (not multi_label)
        wrong = np.flatnonzero(outside | wrong_sum)
    if wrong.size:
        raise NoProbabilities(listed([round(float(p), 6) for p in table[wrong[0]]]))


def _with_scores(signature: Signature, estimator: Any) -> Signature:
    """Return the signature, with the scores of an outlier detector beside its answer."""
    method = signature.method("decision_function")
    if len(signature.outputs) != 1 or method is None or method.answer is not AnswerForm.NUMBER:
        return signature
    output = signature.outputs[0]
    if output.kind is OutputKind.NUMBER or output.name is not None or _classes(estimator) is not None:
        return signature
    return dataclasses.replace(signature, outputs=(dataclasses.replace(output, scores=True),))
