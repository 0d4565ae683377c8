"""The private names of scikit-learn's support vector machines."""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any

from modelgate_kernels.sklearn_internals import has_method

_PARAMETERS = ("X", "support", "SV", "nSV", "sv_coef", "intercept", "probA", "probB", "svm_type", "kernel")


@cache
def can_ask_libsvm() -> bool:
    """Return whether `pair_decisions` and `machine_probabilities` work. Otherwise the machine's own methods have to
    predict."""
    try:
        from sklearn.svm import SVC
        from sklearn.svm._base import LIBSVM_IMPL
        from sklearn.svm._libsvm import decision_function
    except ImportError:
        return False
    parameters = [*inspect.signature(decision_function).parameters]
    return (
        parameters[: len(_PARAMETERS)] == [*_PARAMETERS]
        and {"degree", "cache_size", "coef0", "gamma"} <= {*parameters}
        and {"c_svc", "nu_svc", "one_class", "epsilon_svr", "nu_svr"} <= {*LIBSVM_IMPL}
        and has_method(SVC, "_dense_predict_proba", "X")
    )


def is_dense_and_whole(machine: Any) -> bool:
    """Return whether a machine was fitted on an array, and has as many support vectors as it counts: libsvm would
    read beyond them."""
    return not machine._sparse and machine.n_support_.sum() == machine.support_vectors_.shape[0]


def pair_decisions(machine: Any, matrix: Any) -> Any:
    """Return the decision for each pair of classes, positive for the first: rows × pairs; for a machine without
    classes rows × 1. `matrix` is rows × columns of float64, in C order and finite."""
    from sklearn.svm._base import LIBSVM_IMPL
    from sklearn.svm._libsvm import decision_function

    return decision_function(
        matrix,
        machine.support_,
        machine.support_vectors_,
        machine._n_support,
        machine._dual_coef_,
        machine._intercept_,
        machine._probA,
        machine._probB,
        svm_type=LIBSVM_IMPL.index(machine._impl),
        kernel=machine.kernel,
        degree=machine.degree,
        cache_size=machine.cache_size,
        coef0=machine.coef0,
        gamma=machine._gamma,
    )


def machine_probabilities(machine: Any, matrix: Any) -> Any:
    """Return the probability of each class: rows × classes. `matrix` as above. Raises ValueError for a machine that was
    fitted without probabilities."""
    if not machine._probA.size:
        raise ValueError("fitted without probabilities")
    return machine._dense_predict_proba(matrix)
