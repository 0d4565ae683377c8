"""Kernels of the vectorizers of texts, which count words. The analyzer, which cuts texts into words, is
scikit-learn's own, but is made once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from scipy import sparse
from sklearn import get_config  # type: ignore[attr-defined]
from sklearn.feature_extraction import FeatureHasher
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfTransformer, TfidfVectorizer
from sklearn.utils.sparsefuncs_fast import inplace_csr_row_normalize_l1, inplace_csr_row_normalize_l2

from modelgate_kernels.kernel import NotCovered, Transform, finite
from modelgate_kernels.sklearn_internals import TFIDF

_NORMS = {"l1": inplace_csr_row_normalize_l1, "l2": inplace_csr_row_normalize_l2}
_FLOATS = (np.float64, np.float32)
_TEXT_IN_ROW = "content"
"""The `input` of a vectorizer that gets texts. With others it gets names of files."""


def _count_vectorizer(vectorizer: Any) -> Transform | None:
    if vectorizer.input != _TEXT_IN_ROW:
        return None
    code_of, analyze, width = vectorizer.vocabulary_.get, vectorizer.build_analyzer(), len(vectorizer.vocabulary_)
    make = _sparse_class()

    def transform(texts: Iterable[Any]) -> Any:
        codes: list[int] = []
        ends = [0]
        for text in texts:
            codes.extend([code for code in map(code_of, analyze(text)) if code is not None])
            ends.append(len(codes))
        ones, places = np.ones(len(codes), vectorizer.dtype), np.array(codes, dtype=np.int32)
        counts = make((ones, places, np.array(ends, dtype=np.int32)), shape=(len(ends) - 1, width))
        counts.sum_duplicates()
        if vectorizer.binary:
            counts.data.fill(1)
        return counts

    return transform if width else None


def _tfidf_transformer(transformer: Any) -> Transform | None:
    weigh = _weighing(transformer)
    if weigh is None:
        return None

    def transform(counts: Any) -> Any:
        if getattr(counts, "format", None) != "csr" or counts.dtype.kind not in "fi":
            raise NotCovered
        finite(counts.data)
        return weigh(counts.astype(counts.dtype if counts.dtype in _FLOATS else np.float64))

    return transform


def _tfidf_vectorizer(vectorizer: Any) -> Transform | None:
    count, weigh = _count_vectorizer(vectorizer), _weighing(getattr(vectorizer, TFIDF))
    if count is None or weigh is None or vectorizer.dtype not in _FLOATS:
        return None

    def transform(texts: Iterable[Any]) -> Any:
        return weigh(count(texts))

    return transform


def _weighing(transformer: Any) -> Transform | None:
    """Return what turns counts, a CSR matrix of floats, into weights, in place."""
    weights = getattr(transformer, "idf_", None)

    def weigh(counts: Any) -> Any:
        if transformer.sublinear_tf:
            np.log(counts.data, counts.data)
            counts.data += 1.0
        if weights is not None:
            counts.data *= weights[counts.indices]
        return _normalized(counts, transformer.norm)

    return weigh if transformer.norm in (None, *_NORMS) else None


def _hashing_vectorizer(vectorizer: Any) -> Transform | None:
    if vectorizer.norm not in (None, *_NORMS) or vectorizer.input != _TEXT_IN_ROW:
        return None
    analyze = vectorizer.build_analyzer()
    hasher = FeatureHasher(
        vectorizer.n_features, input_type="string", dtype=vectorizer.dtype, alternate_sign=vectorizer.alternate_sign
    )

    def transform(texts: Iterable[Any]) -> Any:
        hashed = hasher.transform(map(analyze, texts))
        if vectorizer.binary:
            hashed.data.fill(1)
        return _normalized(hashed, vectorizer.norm)

    return transform


def _normalized(matrix: Any, norm: str | None) -> Any:
    if norm is not None:
        finite(matrix.data)
        _NORMS[norm](matrix)
    return matrix


def _sparse_class() -> Any:
    """Return the class of sparse matrices that scikit-learn answers with."""
    return sparse.csr_array if get_config().get("sparse_interface") == "sparray" else sparse.csr_matrix


TRANSFORMS: Mapping[type, Callable[[Any], Transform | None]] = {
    CountVectorizer: _count_vectorizer,
    TfidfVectorizer: _tfidf_vectorizer,
    TfidfTransformer: _tfidf_transformer,
    HashingVectorizer: _hashing_vectorizer,
}
