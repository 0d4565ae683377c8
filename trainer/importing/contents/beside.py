"""Tells what lies beside a model: encoders of its inputs or of its target, what may change its answers, and facts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np

from trainer.importing.inputs.sample import Sample

_OF_ENCODER = re.compile(r"(^|_)(le|enc|encoder|encoders|label|labels|ordinal|map|mapping)(?=_|$)")
NO_INPUTS = re.compile(r"(^|[_ .-])(y|targets?|labels?|class(es)?|tests?|train(ing)?|pred\w*|outputs?)(?=$|[_ .-])")
"""Finds words in the name of a list that does not name inputs."""

_FACTS = re.compile(
    r"_(metrics?|scores?|scor(er|ing)|accuracy|auc|f1|precision|recall|r2|ma?p?e|r?mse|errors?|loss(es)?|report|matrix|cv|"
    r"importances?|coefs?|shap|explain\w*|history|versions?|authors?|tags|created|notes?|comments?|descri\w*|features_$|"
    r"feature_names|columns_$|cols_$|[xy]_(train|test|val\w*|pred\w*|true))_|_(best_|model_|hyper_?)?param(eter)?s_$"
)
_GROUPS = re.compile(r"_(meta\w*|info|config\w*|settings|extras?|details|artifacts?)_")
_STEPS = re.compile(
    r"_(\w*transform|\w*scal(e|er|ers|ed|ing)_|inverse|pre_?proc|normali[sz]|standardi[sz]|box_?cox|sqrt|expm?1?_|z_?score|"
    r"means?_|avg_|stds?_|stdev|variance|medians?_|mu_|sigma|center|offset|lm?bda_|bias_|shift|calibrat|multiplier|factor|"
    r"(?<!reg_)lambda_(?!l)|(?<!_training_)log(1p|10|2)?_(?!file|path|dir|level|url))"
)
_TRANSFORMATION = re.compile(
    r"((np|numpy)\.)?(log(1p|10|2)?|ln|sqrt|square|expm?1?|box-?cox|yeo-?johnson|standard\w*|min-?max\w*|z-?score|"
    r"normali[sz]\w+)"
)
_PLAIN = str | int | float | np.generic | date | type | bytes
_NOTHING = ("", "none", "no", "off", "false", "raw", "identity")


def labels_of(thing: Any) -> list[Any]:
    """Return the labels of a classifier or an encoder; none for a model of several outputs, which has some for each."""
    labels = getattr(thing, "classes_", ())
    return [] if isinstance(labels, list) else np.asarray(labels).tolist()


# Encoders


def _plain(name: str) -> str:
    """Return a key or a column in lower case, without words such as `le` or `encoder`."""
    word = re.sub(r"\W+", "_", name).lower()
    return _OF_ENCODER.sub("", word).strip("_") or word


def column_of(key: str, table: Sequence[str]) -> str | None:
    """Return the column that a key such as `le_city` or `city_encoder` names, or None."""
    return {_plain(name): name for name in table}.get(_plain(key))


def is_of_target(
    key: str, encoder: Any, models: Mapping[str, Any], table: Sequence[str], sample: Sample | None
) -> bool:
    """Return whether an encoder shows that it is that of the predictions: it has the classes of a model, and either the
    target of the sample holds its labels, or the inputs are known and none is called like it."""
    labels, classes = labels_of(encoder), [*map(labels_of, models.values())]
    if not any(len(labels) == len(codes) for codes in classes):
        return False
    held = {name: {*sample.cells(name)} - {None} for name in sample.columns if name not in table} if sample else {}
    words, *numbers = ({*map(str, some)} for some in (labels, *classes))
    targets = [sample.target] if sample and sample.target else [n for n in held if held[n] in (words, *numbers)]
    if len(targets) == 1 and held.get(targets[0]) == words:
        return True
    called = {*_plain(key.rpartition(".")[2]).split("_")} - {""}
    return bool(table) and not any(called & {*_plain(name).split("_")} for name in table)


# Steps, and facts


def may_change_answers(parts: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Yield the keys of parts that may belong to a step before or after the model. Text and numbers are facts, unless
    they name a transformation or are called like one or like its figures; all else is one only if called so."""
    for key, part in parts.items():
        words = f"_{re.sub(r'(?<=[a-z])(?=[A-Z])|[^a-zA-Z0-9]+', '_', str(key)).lower()}_"
        text = part.strip().lower() if isinstance(part, str) else None
        if part is None or part is False or text in _NOTHING or _FACTS.search(words):
            continue
        if isinstance(part, Mapping) and _GROUPS.search(words):
            yield from may_change_answers(part, f"{path}{key}.")
        elif not isinstance(part, _PLAIN) or _STEPS.search(words) or (text and _TRANSFORMATION.fullmatch(text)):
            yield f"{path}{key}"
