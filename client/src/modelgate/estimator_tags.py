"""What a signature says about a model, in scikit-learn's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def type_of(signature: Mapping[str, Any]) -> str | None:
    """Return the type of the estimator: `classifier`, `regressor`, `clusterer`, `outlier_detector` or
    `density_estimator`; None for one without `predict`."""
    outputs, methods = signature["outputs"], _methods(signature)
    if not outputs:
        return None
    if outputs[0]["kind"] == "number":
        return "regressor"
    if "score_samples" in methods:  # no classifier has it
        return "outlier_detector" if outputs[0]["labels"] == [-1, 1] else "density_estimator"
    distances = (methods.get("transform") or {}).get("dtypes") or [""]
    # A hard vote of classifiers has these methods, too; its `transform` returns labels.
    is_clusterer = distances[0].startswith("float") and not methods.keys() & {"predict_proba", "decision_function"}
    return "clusterer" if is_clusterer else "classifier"


def tags_of(signature: Mapping[str, Any]) -> Any:
    """Return the tags of scikit-learn 1.6 or newer."""
    from sklearn.utils import ClassifierTags, InputTags, RegressorTags, Tags, TargetTags, TransformerTags

    kind, rows, inputs = type_of(signature), signature["format"], signature["inputs"]
    several = len(signature["outputs"]) > 1
    return Tags(
        kind,
        TargetTags(required=False, multi_output=several, single_output=not several),
        TransformerTags() if "transform" in _methods(signature) else None,
        ClassifierTags(multi_label=several) if kind == "classifier" else None,
        RegressorTags() if kind == "regressor" else None,
        input_tags=InputTags(
            one_d_array=rows == "texts",
            two_d_array=rows == "table",
            sparse=rows == "table",
            categorical=any(field["kind"] == "string" for field in inputs),
            string=rows == "texts" or any(field["kind"] == "string" for field in inputs),
            dict=rows == "records",
            allow_nan=rows == "table" and all(field["nullable"] for field in inputs),
        ),
    )


def _methods(signature: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return what each method returns in Python."""
    return {method["name"]: method.get("returned") or {} for method in signature["methods"]}
