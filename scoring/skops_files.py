"""Saves estimators in the skops format, which holds no code, and loads those whose types are all on a list and that
pass further checks.

The list limits the types, not their attributes. A vectorizer with `input="filename"` opens the files that a row names,
and an object with numpy's `__array_interface__` makes numpy read any address as an array.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from encodings.aliases import aliases
from io import BytesIO
from typing import Any

from scoring.held_objects import objects_in

_SHOWN = 10
_CONTAINERS = frozenset(
    {"builtins.dict", "builtins.list", "builtins.set", "collections.OrderedDict", "sklearn.utils._bunch.Bunch"}
)
"""The types that skops may call with the items of a dictionary, list or set. It would call every type and function on
the list."""
_ENCODINGS = frozenset({*aliases, *aliases.values()})

# skops and its nodes are imported only where there is something to do with them: they import all of scikit-learn.


class Untrusted(Exception):
    """The message says what the file holds, and what to do. `details` are for programs."""

    def __init__(self, message: str, details: Mapping[str, object]) -> None:
        super().__init__(message)
        self.details = details


class UntrustedTypes(Untrusted):
    """`names` are the first types in a file that are not on the list; none of them has been imported."""

    def __init__(self, names: list[str]) -> None:
        self.names = names[:_SHOWN]
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        message = f"it holds {', '.join(self.names)}{more}, which skops artifacts must not hold"
        super().__init__(message, {"types": self.names})


class UntrustedParameter(Untrusted):
    def __init__(self, owner: str, name: str, what: str) -> None:
        super().__init__(f"its {owner} {what}", {"parameter": f"{owner}.{name}"})


def check_nodes(tree: Any) -> None:
    """Raise `Untrusted` if constructing skops' `tree` would do more than create objects and set their attributes.

    Special methods are attributes of types. As attributes of an object numpy finds and calls them while it makes an
    array.
    """
    from skops.io import _general as nodes
    from skops.io._audit import CachedNode

    for node in _all_nodes(tree):
        if isinstance(node, nodes.ConstructorFromReduceNode):
            raise UntrustedTypes([_type_name(node)])
        if isinstance(node, nodes.DictNode | nodes.ListNode | nodes.SetNode) and _type_name(node) not in _CONTAINERS:
            raise _not_as_written(node)
        if isinstance(node, nodes.JsonNode) and str(node.content).lstrip()[:1] in ("{", "["):
            raise _not_as_written(node)
        if isinstance(node, nodes.DictNode):
            if special := next((key for key in node.content if key.startswith("__") and key.endswith("__")), None):
                what = f"has the attribute {special[:64]}, which only types have; save it as scikit-learn has fitted it"
                raise UntrustedParameter("object", special[:64], what)
            kinds = node.key_types
            kinds = kinds.cached if isinstance(kinds, CachedNode) else kinds
            if not isinstance(kinds, nodes.ListNode) or any(not isinstance(k, nodes.TypeNode) for k in kinds.content):
                raise _not_as_written(node)
        if isinstance(node, nodes.ObjectNode | nodes.PartialNode):
            state = node.attrs if isinstance(node, nodes.ObjectNode) else node.namespace
            state = state.cached if isinstance(state, CachedNode) else state
            written = nodes.TupleNode if _type_name(node) in _WITH_TUPLES else nodes.DictNode | nodes.JsonNode
            if state is not None and not isinstance(state, written):
                raise _not_as_written(node)


def _all_nodes(tree: Any) -> Iterator[Any]:
    from skops.io._audit import Node

    seen = set()
    waiting = [tree]
    while waiting:
        thing = waiting.pop()
        if isinstance(thing, dict):
            waiting.extend(thing.values())
        elif isinstance(thing, list):
            waiting.extend(thing)
        elif isinstance(thing, Node) and thing not in seen:
            seen.add(thing)
            yield thing
            waiting.extend(thing.children.values())


def _type_name(node: Any) -> str:
    return f"{node.module_name}.{node.class_name}"


def _not_as_written(node: Any) -> Untrusted:
    name = _type_name(node)[:200]
    return Untrusted(f"its {name} is not as skops writes it; save the estimator again", {"types": [name]})


def check_estimator(estimator: Any) -> None:
    """Raise `Untrusted` if `estimator`, or any object in it, would open files or import modules when it is used, or has
    methods replaced. Calls no method of these objects."""
    from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer

    for thing in objects_in(estimator):
        if not hasattr(thing, "__dict__"):
            continue
        owner, attributes = type(thing).__name__, vars(thing)
        for name, value in attributes.items():
            if callable(own := getattr(type(thing), name, None)) and value is not own:
                what = f"has an attribute in place of its method {name}; save it as scikit-learn has fitted it"
                raise UntrustedParameter(owner, name, what)
        if attributes.get("memory") is not None:
            what = f"has memory={_named(attributes['memory'])}, a folder to read from; set memory=None"
            raise UntrustedParameter(owner, "memory", what)
        if isinstance(thing, CountVectorizer | HashingVectorizer):
            _check_vectorizer(owner, attributes)
        if hasattr(type(thing), "check_format"):
            thing.check_format()  # products with a sparse matrix read and write at its indices


def _check_vectorizer(owner: str, attributes: Mapping[str, Any]) -> None:
    source = attributes.get("input")
    if source != "content":
        what = f"has input={_named(source)}, which opens the files that a row names; set input='content'"
        raise UntrustedParameter(owner, "input", what)
    encoding = attributes.get("encoding")
    if not isinstance(encoding, str) or encoding.lower().replace("-", "_") not in _ENCODINGS:
        what = f"has encoding={_named(encoding)}, which Python would look for as a module; set encoding='utf-8'"
        raise UntrustedParameter(owner, "encoding", what)


def _named(value: object) -> str:
    """Return a value as text, without calling `repr` of an object of the file."""
    return repr(value[:80]) if isinstance(value, str) else type(value).__name__


def _rebuild_trees(estimator: Any) -> None:
    """Build the trees of neighbors anew from their points: in a forged one a query reads and writes anywhere. Raises
    `ValueError` for points without a tree."""
    from sklearn.neighbors import BallTree, KDTree

    for tree in objects_in(estimator):
        if isinstance(tree, BallTree | KDTree):
            points, *_, metric, weights = state = tree.__getstate__()
            rebuilt = type(tree)(points, leaf_size=state[4], metric=metric, sample_weight=weights)
            tree.__setstate__(rebuilt.__getstate__())


_DISTANCES = "BrayCurtis Canberra Chebyshev Euclidean Hamming Haversine Manhattan Minkowski SEuclidean"
_TREES = frozenset(("sklearn.neighbors._ball_tree.BallTree", "sklearn.neighbors._kd_tree.KDTree"))
_WITH_TUPLES = _TREES | {f"sklearn.metrics._dist_metrics.{name}Distance64" for name in _DISTANCES.split()}
"""Types that set their state from a tuple by themselves."""

_PARTS = {
    "_loss.loss": "HalfTweedieLoss HalfTweedieLossIdentity",
    "calibration": "_CalibratedClassifier _SigmoidCalibration _TemperatureScaling",
    "compose._column_transformer": "_RemainderColsList make_column_selector",
    "feature_selection._univariate_selection": "chi2 f_classif f_regression r_regression",
    "gaussian_process._gpc": "_BinaryGaussianProcessClassifierLaplace",
    "gaussian_process.kernels": "CompoundKernel ConstantKernel DotProduct ExpSineSquared Exponentiation Matern"
    " PairwiseKernel Product RBF RationalQuadratic Sum WhiteKernel",
    "metrics._classification": "accuracy_score balanced_accuracy_score f1_score log_loss precision_score recall_score",
    "metrics._ranking": "average_precision_score roc_auc_score",
    "metrics._regression": "mean_absolute_error mean_squared_error r2_score root_mean_squared_error",
    "metrics._scorer": "_CurveScorer _MultimetricScorer _PassthroughScorer _Scorer",
    "model_selection._split": "KFold RepeatedStratifiedKFold ShuffleSplit StratifiedKFold TimeSeriesSplit",
    "multiclass": "_ConstantPredictor",
    "neural_network._stochastic_optimizers": "AdamOptimizer SGDOptimizer",
    "utils._bunch": "Bunch",
    "utils._metadata_requests": "MetadataRequest MethodMetadataRequest",
    "utils.validation": "check_array",
}
"""What scikit-learn's estimators hold besides each other, by module."""

ALLOWED = (
    # A forged tree can make `predict` read outside of its arrays, which is why skops leaves trees off its own list.
    # It cannot run code, and a scorer that crashes fails nothing but the job: without trees there would be no forests.
    "sklearn.tree._tree.Tree",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    # What scikit-learn's estimators hold besides each other.
    "functools.partial",
    *(f"numpy.{name}" for name in ("dtype", "mean", "number")),
    "scipy.interpolate._bsplines.BSpline",
    "scipy._lib.array_api_compat.numpy._aliases.asarray",
    *(f"scipy.sparse._{name[:3]}.{name}" for name in ("csc_array", "csc_matrix", "csr_array", "csr_matrix")),
    *(f"modelgate_artifacts.{name}" for name in ("days", "flat", "floats", "remainder", "ColumnSteps")),
    *(f"modelgate_artifacts.{name}" for name in ("DecodedTarget", "ModelsByName", "ThresholdClassifier")),
    *_WITH_TUPLES,
    *(f"sklearn.{module}.{name}" for module, names in _PARTS.items() for name in names.split()),
)
"""Types and functions that are loaded besides those that skops itself trusts: estimators of scikit-learn, arrays,
numpy's and scipy's element-wise functions. None of them runs code that a file brings."""

_TIMES_LARGER = 100
"""How many times larger a file may be unpacked. Its text repeats itself, but that of a zip bomb far more."""


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
    _rebuild_trees(estimator)
    return estimator


def untrusted_types(data: bytes) -> list[str]:
    """Return the types in `data` that are not on the list, sorted. Constructs nothing."""
    import skops.io

    return [name for name in skops.io.get_untrusted_types(data=data) if name not in ALLOWED]
