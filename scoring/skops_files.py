"""Saves estimators in the skops format, which holds no code, and loads those whose types are all on a list."""

from __future__ import annotations

import zipfile
from io import BytesIO
from typing import Any

from scoring.skops_audit import UntrustedTypes, check_estimator, check_nodes

_KERNELS = "sklearn.gaussian_process.kernels"

ALLOWED = (
    # A forged tree can make `predict` read outside of its arrays, which is why skops leaves trees off its own list.
    # It cannot run code, and a scorer that crashes fails nothing but the job: without trees there would be no forests.
    "sklearn.tree._tree.Tree",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    # What scikit-learn's estimators hold besides each other.
    "functools.partial",
    "numpy.dtype",
    *(f"modelgate_artifacts.{name}" for name in ("days", "flat", "floats", "remainder")),
    *(f"modelgate_artifacts.{name}" for name in ("ColumnSteps", "DecodedTarget", "ModelsByName")),
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.compose._column_transformer._RemainderColsList",
    "sklearn.metrics._scorer._PassthroughScorer",
    "sklearn.model_selection._split.KFold",
    "sklearn.model_selection._split.StratifiedKFold",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.utils._bunch.Bunch",
    "sklearn.utils.validation.check_array",
    *(f"{_KERNELS}.{name}" for name in ("ConstantKernel", "Matern", "Product", "RBF", "Sum", "WhiteKernel")),
)
"""Types and functions that are loaded besides those that skops itself trusts: estimators of scikit-learn, arrays,
numpy's and scipy's element-wise functions. None of them runs code that a file brings."""

_TIMES_LARGER = 100
"""How many times larger a file may be unpacked. Its text repeats itself, but that of a zip bomb far more."""

# skops imports all of scikit-learn: only where there is something to do with it.


def dumps(estimator: Any) -> bytes:
    """Raise `Untrusted` if `loads` would, and whatever skops raises."""
    import skops.io

    check_estimator(estimator)
    data: bytes = skops.io.dumps(estimator)
    names = untrusted_types(data)
    if names:
        raise UntrustedTypes(names)
    return data


def loads(data: bytes) -> Any:
    """Load `data`. Raises `Untrusted` (for types before any object is constructed), ValueError, and whatever skops
    raises."""
    from skops.io._audit import audit_tree, get_tree
    from skops.io._utils import read_schema
    from skops.io.exceptions import UntrustedTypesFoundException

    with zipfile.ZipFile(BytesIO(data)) as file:
        unpacked = sum(entry.file_size for entry in file.infolist())
        if unpacked > _TIMES_LARGER * len(data):
            raise ValueError(f"{len(data)} bytes claim to hold {unpacked}")
        # As skops.io.loads, with checks of ours in between.
        schema, context = read_schema(file)
        tree = get_tree(schema, context, trusted=ALLOWED)
    try:
        audit_tree(tree, trusted=ALLOWED)
    except UntrustedTypesFoundException as error:
        raise UntrustedTypes(untrusted_types(data)) from error
    check_nodes(tree)
    estimator = tree.construct()
    check_estimator(estimator)
    return estimator


def untrusted_types(data: bytes) -> list[str]:
    """Return the types in `data` that are not on the list, sorted. Constructs nothing."""
    import skops.io

    return [name for name in skops.io.get_untrusted_types(data=data) if name not in ALLOWED]
