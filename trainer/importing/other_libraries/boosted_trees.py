"""XGBoost, LightGBM and CatBoost."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from contract.model.manifest import InputFormat
from contract.model.signature import Kind
from contract.wording import listed
from trainer.importing import Refused
from trainer.importing.other_libraries.described import Described, Hint, finite_ends, of_pandas_categories


def libraries(thing: Any) -> Iterator[str]:
    """Yield the packages of its class and of the classes that it inherits from."""
    for kind in type(thing).__mro__:
        yield kind.__module__.partition(".")[0]


def is_booster(thing: Any, library: str) -> bool:
    """Return whether it is the native model of XGBoost or LightGBM."""
    return type(thing).__name__ == "Booster" and library in libraries(thing)


# XGBoost


def xgboost(thing: Any) -> Described | None:
    booster = thing
    if not is_booster(thing, "xgboost"):
        try:
            booster = thing.get_booster()
        except Exception:  # it is not fitted, or not a model
            return None
    names, types = booster.feature_names, booster.feature_types or ()
    hints = [Hint(nullable=True)] * booster.num_features()
    categories = _xgboost_categories(booster, names) if names and "c" in types else {}
    for index, kind in enumerate(types):
        if kind == "i":
            hints[index] = Hint(Kind.BOOLEAN, nullable=True)
    for index, words in categories.items():
        hints[index] = of_pandas_categories(words)
    takes = InputFormat.DATAFRAME if categories else InputFormat.ARRAY
    return Described(tuple(hints), tuple(names) if names else None, takes, categories)


def _xgboost_categories(booster: Any, names: Sequence[str]) -> dict[int, list[Any]]:
    """Return the categories that a booster keeps since XGBoost 3.1. Raises `Refused` if it does not have them whole."""
    kept = _kept_by_xgboost(booster).get("enc") or [{}] * len(names)
    remedy = "put an OrdinalEncoder and the model into one Pipeline"
    categories = {}
    for index, name in enumerate(names):
        if booster.feature_types[index] != "c":
            continue
        words = _decoded(kept[index])
        if not words:
            raise Refused(
                f"does not hold the categories of {name!r}, which XGBoost keeps since 3.1; fit it with that release, or"
                f" {remedy}"
            )
        if not all(str(word).isascii() for word in words):
            raise Refused(
                f"has categories of {name!r} with other letters than a to z, and XGBoost keeps only a part of those"
                f" ({listed(words)}); {remedy}"
            )
        categories[index] = words
    return categories


def _kept_by_xgboost(booster: Any) -> dict[str, Any]:
    """Return the part of its JSON that has the categories. All of the JSON would take seconds to read."""
    text = booster.save_raw("json").decode()
    _, name, rest = text.partition('"cats":')
    content: object = json.JSONDecoder().raw_decode(rest)[0] if name else {}
    return content if isinstance(content, dict) else {}


def _decoded(kept: Mapping[str, Any]) -> list[Any]:
    """Return categories as XGBoost keeps them: numbers, or the bytes of all texts and where each begins."""
    values = kept.get("values", [])
    if "offsets" not in kept:
        return list(values)
    data = bytes(value % 256 for value in values)
    return [data[begin:end].decode(errors="replace") for begin, end in pairwise(kept["offsets"])]


# LightGBM


def lightgbm(thing: Any) -> Described | None:
    booster = thing
    if not is_booster(thing, "lightgbm"):
        try:
            booster = thing.booster_
        except Exception:  # it is not fitted, or not a model
            return None
    names = tuple(booster.feature_name())
    infos = _lightgbm_ranges(booster)
    hints = [_of_range(info) for info in infos]
    categories = _lightgbm_categories(booster, names, infos)
    for index, words in categories.items():
        hints[index] = of_pandas_categories(words)
    if all(re.fullmatch(r"Column_\d+", name) for name in names):
        return Described(tuple(hints), None, InputFormat.ARRAY)
    # LightGBM writes a name with a blank in this way, and a request may have either.
    hints = [
        dataclasses.replace(hint, aliases=(name, name.replace("_", " ")) if "_" in name.strip("_") else ())
        for name, hint in zip(names, hints, strict=True)
    ]
    takes = InputFormat.DATAFRAME if categories else InputFormat.ARRAY
    columns = listed([names[index] for index in categories])
    warning = (
        f"{columns} {'is' if len(categories) == 1 else 'are'} taken for what had the dtype category, as LightGBM finds"
        " it by itself; if you named categorical_feature, compare some answers"
    )
    return Described(tuple(hints), names, takes, categories, renames=True, warnings=(warning,) if categories else ())


def _lightgbm_ranges(booster: Any) -> list[str]:
    """Return for each column `[least:greatest]`, the codes of its categories as `-1:0:1`, or `none`."""
    for line in booster.model_to_string(num_iteration=1).splitlines():
        if line.startswith("feature_infos="):
            return str(line.partition("=")[2]).split()
    return ["none"] * int(booster.num_feature())


def _of_range(info: str) -> Hint:
    numbers = [float(part) for part in info.strip("[]").split(":")] if info.startswith("[") else []
    return Hint(nullable=True, values=tuple(number for number in numbers if np.isfinite(number)))


def _lightgbm_categories(booster: Any, names: Sequence[str], infos: Sequence[str]) -> dict[int, list[Any]]:
    """Return the categories of pandas' columns. The booster keeps them in the order of these columns."""
    kept = booster.pandas_categorical or []
    if not kept:
        return {}
    codes = {index: info.split(":") for index, info in enumerate(infos) if not info.startswith("[") and info != "none"}
    categories = {index: list(words) for index, words in zip(codes, kept, strict=False)}
    if len(codes) != len(kept) or any(int(codes[index][-1]) >= len(words) for index, words in categories.items()):
        raise Refused(
            f"does not tell which {len(kept)} of its columns ({listed(names)}) have the dtype category; fit it without"
            " categorical_feature and without ordered categories, and it finds them by itself"
        )
    return categories


# CatBoost


def catboost(model: Any) -> Described | None:
    if not getattr(model, "is_fitted", bool)():
        return None
    names = tuple(model.feature_names_)
    if vectors := model.get_embedding_feature_indices():
        raise Refused(
            f"takes vectors in {listed([names[index] for index in vectors])} (embedding features), and a cell holds one"
            " value; fit it on a column for each number"
        )
    words = {*model.get_cat_feature_indices(), *model.get_text_feature_indices()}
    borders = model.get_borders()
    hints = [
        # CatBoost reads a category 7 as the text 7.
        Hint(Kind.STRING) if index in words else Hint(nullable=True, values=finite_ends(borders.get(index, ())))
        for index in range(len(names))
    ]
    by_position = names == tuple(map(str, range(len(names))))
    return Described(tuple(hints), None if by_position else names, InputFormat.ARRAY)
