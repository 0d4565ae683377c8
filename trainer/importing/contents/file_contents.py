"""Finds the one model among the contents of a file, with its columns and their types."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn import model_selection

from contract.model.signature import Kind
from contract.wording import listed, shown
from modelgate_artifacts import ThresholdClassifier
from trainer.importing import Refused
from trainer.importing.contents.beside import NO_INPUTS, labels_of, may_change_answers
from trainer.importing.contents.containers import compose, flattened
from trainer.importing.files.packages import not_served
from trainer.importing.files.reasons import of_other_library
from trainer.importing.inputs import fitted_inputs as inputs
from trainer.importing.inputs.outputs import answers_rows, only_fits
from trainer.importing.inputs.sample import Sample
from trainer.importing.other_libraries import as_estimator
from trainer.importing.other_libraries.described import exact_kind

_THRESHOLD = re.compile(
    r"((best|optimal|opt|decision|class|classification|prob|proba|probability|model|final|chosen|tuned|custom)_)*"
    r"(thresholds?|thresh|thr|cut_?offs?)(_(value|best|optimal|opt))?"
)
_REMEDY = "put the model into a class whose predict applies it, or save the model without it"


@dataclass(frozen=True)
class FileContents:
    """`alone`: the file holds only the estimator. `kinds` are the known kinds of columns, `nullable` says which may be
    null, as far as that is declared; `warnings` are about objects beside the model, `doubts` what of them a person has
    to decide."""

    estimator: Any
    alone: bool = True
    columns: tuple[str, ...] | None = None
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    nullable: Mapping[str, bool] = field(default_factory=dict)
    doubts: tuple[str, ...] = ()


def find_model(thing: Any, sample: Sample | None = None, declared: Sequence[str] = ()) -> FileContents:
    """Return the model in `thing`: `thing` itself, or the only one in a dict, list or tuple. `declared`: the names of
    its inputs, if its sender says them. Raises `Refused`."""
    if isinstance(thing, type):
        raise Refused(f"holds the class {thing.__name__} and no fitted model; save the object that fit() returned")
    _refuse_other_libraries(thing)
    if answers_rows(thing):
        return FileContents(thing)
    if isinstance(thing, Mapping | list | tuple):
        pairs = thing.items() if isinstance(thing, Mapping) else enumerate(thing)
        what = "dict" if isinstance(thing, Mapping) else type(thing).__name__
        return _from_container({str(key): part for key, part in pairs}, what, sample, declared)
    raise Refused(_no_model(thing))


def with_declared_columns(contents: FileContents, columns: Sequence[Mapping[str, Any]]) -> FileContents:
    """Return `contents` with the columns that the sender of the file declares, each with `name`, `kind` and `nullable`.
    Raises `Refused` if the model was fitted on others."""
    names = tuple(column["name"] for column in columns)
    fitted = inputs.names(contents.estimator, names)
    if fitted and {*fitted} != {*names}:
        raise Refused(
            f"was fitted on {listed(fitted)}, and the columns that are declared for it are {listed(names)}; declare"
            " those that it was fitted on"
        )
    return replace(
        contents,
        columns=names,
        kinds={column["name"]: Kind(column["kind"]) for column in columns},
        nullable={column["name"]: column["nullable"] for column in columns if "nullable" in column},
    )


def _refuse_other_libraries(thing: Any) -> None:
    """Raise `Refused` for an object of a library that Modelgate does not run, even if it has a `predict`."""
    for kind in type(thing).__mro__:
        if library := not_served(kind.__module__):
            raise Refused(of_other_library(library))


def _no_model(thing: Any) -> str:
    save = "save the fitted model itself with joblib.dump"
    if isinstance(thing, np.ndarray):
        return (
            f"holds a bare array of the shape {thing.shape} and no model (so does a joblib file that went through"
            f" pickle.load and was saved again); {save}"
        )
    if isinstance(thing, pd.DataFrame | pd.Series):
        return f"holds a {type(thing).__name__} of {len(thing)} rows, and no model; {save}"
    if isinstance(thing, bytes) and thing.startswith(b"\x80"):
        return f"holds a pickle inside a pickle; {save}, once"
    if thing is None or isinstance(thing, str | bytes | int | float):
        return f"holds {'nothing (None)' if thing is None else f'a {type(thing).__name__}'} and no model; {save}"
    if getattr(thing, "refit", None) is False:
        return f"holds a {type(thing).__name__} that kept no model (refit=False); fit it with refit=True, and save that"
    if hasattr(thing, "fit"):
        return only_fits(thing) or (
            f"holds a fitted {type(thing).__name__}, which has no predict, no transform and no other method that"
            " Modelgate serves; wrap it in a class whose predict calls the method that you need"
        )
    if callable(thing):
        return "holds a function; put it into a class whose predict calls it, and save an object of that class"
    return f"holds a {type(thing).__name__}, which has no predict; {save}"


def _from_container(
    parts: Mapping[str, Any], what: str, sample: Sample | None, declared: Sequence[str]
) -> FileContents:
    parts = {key: as_estimator(part) for key, part in flattened(parts).items()}
    for part in parts.values():
        _refuse_other_libraries(part)
    kinds, widths = _kinds(parts.values()), {inputs.count(part) for part in parts.values() if answers_rows(part)}
    guess: tuple[str, ...] = ()
    columns = tuple(declared) or _columns(parts)
    if not columns:
        of_sample = tuple(name for name in sample.columns if name != sample.target) if sample else ()
        lists = [words for key, part in parts.items() if (words := _words(part)) and not NO_INPUTS.search(key.lower())]
        guess = lists[0] if len(lists) == 1 and {None, len(lists[0])} & widths else ()
        are_inputs = sample is not None and (sample.target is not None or len(of_sample) in widths)
        columns = guess if guess and {*guess} <= {*of_sample} else of_sample if are_inputs else ()
        guess = () if sample else guess
    made = compose(parts, columns or guess, sample)
    if made is None:
        inside = listed([f"{key}: {type(part).__name__}" for key, part in parts.items()]) or "nothing"
        raise Refused(f"holds a {what} without a model ({inside}); save the fitted model itself with joblib.dump")
    rest = {key: part for key, part in parts.items() if key not in made.used}
    functions = [key for key, part in rest.items() if _is_function(part)]
    if functions:
        raise Refused(
            f"holds a {what} with a model and a function ({listed(functions)}), which would not be used; put it into"
            " one Pipeline with the model, as a FunctionTransformer, and save that with cloudpickle.dump"
        )
    estimator, warnings, doubts, columns = made.estimator, made.warnings, made.doubts, columns or guess
    if guess and made.columns == guess and guess not in map(inputs.names, parts.values()):
        doubts.append(
            f"its inputs are called {listed(guess)} after the only list beside the model, since it is as long as they"
            " are many; call that list columns, or import the model again with a sample"
        )
    if candidates := dict(_thresholds(rest)):
        estimator, decides = _with_threshold(estimator, candidates)
        warnings.append(decides)
    rest = {
        key: part for key, part in rest.items() if key not in candidates and not _is_known(part, estimator, columns)
    }
    if asked := list(may_change_answers(rest)):
        doubts.append(
            f"the file has {listed(asked)} beside the model, which Modelgate does not use: put every step that changes"
            " rows or answers into one Pipeline with the model"
        )
    known = made.columns or tuple(kinds) or None
    return FileContents(estimator, False, known, kinds, tuple(warnings), doubts=tuple(doubts))


def _is_function(part: Any) -> bool:
    """Return whether it may be a step before or after the model; a metric only measures answers."""
    measures = str(getattr(part, "__module__", "")).startswith("sklearn.metrics.")
    return callable(part) and not isinstance(part, type) and not measures


def _is_known(part: Any, model: Any, columns: Sequence[str]) -> bool:
    """Return whether `part` says the kinds of columns, or repeats what `model` has."""
    labels = labels_of(model)
    values = part.tolist() if isinstance(part, np.ndarray) else part
    plain = isinstance(values, list | tuple) and all(isinstance(value, str | int | float) for value in values)
    return bool(_kinds([part])) or (plain and list(values) == labels != []) or _words(part) == tuple(columns) != ()


def _columns(parts: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the list of words that is named like columns or features."""
    lists = {key.lower(): words for key, part in parts.items() if (words := _words(part))}
    for hint in ("feature", "column", "input"):
        for key, words in lists.items():
            if hint in key and not NO_INPUTS.search(re.sub("train(ing)?|test", "", key)):
                return words
    return ()


def _words(part: Any) -> tuple[str, ...]:
    if not isinstance(part, list | tuple | np.ndarray | pd.Index | pd.Series) or getattr(part, "ndim", 1) == 0:
        return ()
    words = tuple(part)
    return tuple(map(str, words)) if words and all(isinstance(word, str) for word in words) else ()


def _kinds(parts: Iterable[Any]) -> dict[str, Kind]:
    """Return the kinds from the first mapping of column to dtype, such as `df.dtypes`."""
    for part in parts:
        if not isinstance(part, Mapping | pd.Series) or not len(part):
            continue
        pairs = dict(part.items())
        if any(isinstance(dtype, np.ndarray | np.generic) for dtype in pairs.values()):
            continue  # arrays have a dtype, but are not dtypes
        try:
            kinds = {str(name): exact_kind(pd.api.types.pandas_dtype(dtype)) for name, dtype in pairs.items()}
        except (TypeError, ValueError):
            continue
        if all(isinstance(name, str) for name in pairs):
            return kinds
    return {}


# Thresholds beside a model: they are applied or refused, never ignored


def _thresholds(parts: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the thresholds among `parts`, or in a dict among them, by name."""
    for key, part in parts.items():
        words = re.sub(r"(?<=[a-z])(?=[A-Z])|[ .-]", "_", str(key)).lower()
        if _THRESHOLD.fullmatch(words) and part is not None:
            yield str(key), part
        elif isinstance(part, Mapping):
            yield from _thresholds(part)


def _with_threshold(model: Any, candidates: Mapping[str, Any]) -> tuple[Any, str]:
    """Return `model` with the threshold among `candidates` applied, and a warning about it. Raises `Refused`."""
    names, values = listed(list(candidates)), list(candidates.values())
    if len(values) > 1:
        raise Refused(f"holds a model with several thresholds ({names}); keep the one that counts")
    threshold = _number(values[0])
    if threshold is None:
        raise Refused(f"holds a model with {names}, which is not a number from 0 to 1 ({shown(values[0])}); {_REMEDY}")
    labels = labels_of(model)
    if len(labels) != 2:
        what = f"of {len(labels)} classes" if labels else "without classes"
        raise Refused(f"holds a model {what} with {names}, and a threshold needs exactly two classes; {_REMEDY}")
    if not hasattr(model, "predict_proba"):
        raise Refused(
            f"holds a {type(model).__name__} with {names}, but the model gives no probabilities to compare"
            " with it; wrap the model in a CalibratedClassifierCV"
        )
    otherwise, positive = labels
    return _deciding(model, threshold, positive), (
        f"it predicts {shown(positive)} if its probability is at least {threshold:g}, and otherwise"
        f" {shown(otherwise)}: the file has {names} beside the model"
    )


def _deciding(model: Any, threshold: float, positive: Any) -> Any:
    """Return a classifier that predicts the second class of `model`, `positive`, from this probability on."""
    if not hasattr(model_selection, "FixedThresholdClassifier"):  # before scikit-learn 1.5
        return ThresholdClassifier(model, threshold)
    deciding = model_selection.FixedThresholdClassifier(
        model, threshold=threshold, pos_label=positive, response_method="predict_proba"
    )
    deciding.estimator_ = model  # as fit() would leave it
    return deciding


def _number(value: object) -> float | None:
    value = value.item() if isinstance(value, np.generic | np.ndarray) and value.size == 1 else value
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        return None
    return float(value)
