"""Thresholds beside a model: they are applied or refused, never ignored."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from sklearn.model_selection import FixedThresholdClassifier

from contract.wording import listed, shown
from trainer.importing import Refused
from trainer.importing.contents.containers import labels_of

_NAME = re.compile(
    r"((best|optimal|opt|decision|class|classification|prob|proba|probability|model|final|chosen|tuned|custom)_)*"
    r"(thresholds?|thresh|thr|cut_?offs?)(_(value|best|optimal|opt))?"
)
_REMEDY = "put the model into a class whose predict applies it, or save the model without it"


def thresholds(parts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the thresholds among `parts`, or in a dict among them, by name."""
    return dict(_find(parts))


def _find(parts: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, part in parts.items():
        words = re.sub(r"(?<=[a-z])(?=[A-Z])|[ .-]", "_", str(key)).lower()
        if _NAME.fullmatch(words) and part is not None:
            yield str(key), part
        elif isinstance(part, Mapping):
            yield from _find(part)


def with_threshold(model: Any, candidates: Mapping[str, Any]) -> tuple[Any, str]:
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
    deciding = FixedThresholdClassifier(model, threshold=threshold, pos_label=positive, response_method="predict_proba")
    deciding.estimator_ = model  # as fit() would leave it
    return deciding, (
        f"it predicts {shown(positive)} if its probability is at least {threshold:g}, and otherwise"
        f" {shown(otherwise)}: the file has {names} beside the model"
    )


def _number(value: object) -> float | None:
    value = value.item() if isinstance(value, np.generic | np.ndarray) and value.size == 1 else value
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        return None
    return float(value)
