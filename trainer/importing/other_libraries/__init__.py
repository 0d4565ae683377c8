"""What models of other libraries say of their columns, each in its own way.

An object of a library exists only where that library is installed and imported, so nothing is imported here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from modelgate_artifacts import WithCategories, WithConstant, XGBoostModel
from trainer.importing import Refused
from trainer.importing.files.packages import forecasts
from trainer.importing.files.reasons import of_time_series
from trainer.importing.other_libraries import boosted_trees, smaller_libraries
from trainer.importing.other_libraries.boosted_trees import is_booster, libraries
from trainer.importing.other_libraries.described import Described


def described(thing: Any) -> Described | None:
    """Return what an object of another library says of its columns; None for an object that says nothing, or of a
    library that is not known here. Raises `Refused`."""
    if isinstance(thing, WithCategories):
        return described(thing.estimator)
    if isinstance(thing, WithConstant):
        return described(thing.results)
    if isinstance(thing, XGBoostModel):
        return described(thing.booster)
    describe = next((_DESCRIBE[library] for library in libraries(thing) if library in _DESCRIBE), None)
    if describe is None:
        return None
    try:
        return describe(thing)
    except (Refused, MemoryError):
        raise
    except Exception:  # another release, or an object of the library that is no model
        return None


def as_estimator(thing: Any) -> Any:
    """Return a native booster of XGBoost as an object that predicts from rows, and any other thing as it is."""
    return XGBoostModel(thing) if is_booster(thing, "xgboost") else thing


def adapted(estimator: Any, parts: Iterable[Any]) -> tuple[Any, list[str]]:
    """Return an object with a `predict` that takes the inputs: `estimator` itself, or an adapter around it; and
    warnings. `parts` of it get the inputs unchanged. Raises `Refused` for a model that does not predict rows."""
    if forecasts(type(estimator).__module__):
        raise Refused(of_time_series(type(estimator).__name__))
    descriptions = [known for part in parts if (known := described(part))]
    estimator = as_estimator(estimator)
    if not descriptions:
        return estimator, []
    if descriptions[0].constant is not None:
        estimator = WithConstant(estimator, descriptions[0].constant)
    if descriptions[0].categories:
        estimator = WithCategories(estimator, descriptions[0].categories)
    return estimator, list(descriptions[0].warnings)


def output_names(estimator: Any, count: int) -> list[str] | None:
    """Return names for the `count` outputs of a native booster with as many classes: their numbers. Else None."""
    booster = estimator.estimator if isinstance(estimator, WithCategories) else estimator
    if isinstance(booster, XGBoostModel):
        model = json.loads(booster.booster.save_config())["learner"]["learner_model_param"]
        classes = int(model["num_class"])
    else:
        classes = booster.num_model_per_iteration() if is_booster(booster, "lightgbm") else 0
    return [str(number) for number in range(count)] if classes == count else None


_DESCRIBE: Mapping[str, Callable[[Any], Described | None]] = {
    "xgboost": boosted_trees.xgboost,
    "lightgbm": boosted_trees.lightgbm,
    "catboost": boosted_trees.catboost,
    "statsmodels": smaller_libraries.statsmodels,
    "category_encoders": smaller_libraries.category_encoders,
    "feature_engine": smaller_libraries.feature_engine,
    "mlxtend": smaller_libraries.mlxtend,
}
"""How to ask an object, by the package of its class."""
