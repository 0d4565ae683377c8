"""Kernels of the vectorizers of texts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from modelgate_kernels.table import find_transform
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfTransformer, TfidfVectorizer

from kernels.tests.compare import Case, assert_same

TEXTS = [
    "Free entry in a weekly competition to WIN the cup, text now!",
    "nah, I don't think he goes there. He lives around here, though",
    "Even my brother is not like to speak with me :-(",
    "Café au lait, naïve façade: ÄÖÜ straße İstanbul",
    "win win win win win",
    "x",
    "",
]


def fitted(vectorizer: Any) -> tuple[Any, Any]:
    return vectorizer.fit(TEXTS), TEXTS


def weighted(**parameters: Any) -> tuple[Any, Any]:
    counts = CountVectorizer().fit_transform(TEXTS)
    return TfidfTransformer(**parameters).fit(counts), counts


def letters(text: str) -> list[str]:
    return [*text]


CASES = [
    Case("counts", lambda: fitted(CountVectorizer())),
    Case("counts of one or none", lambda: fitted(CountVectorizer(binary=True, dtype=np.float32))),
    Case("pairs without stop words", lambda: fitted(CountVectorizer(ngram_range=(1, 2), stop_words="english"))),
    Case("letters", lambda: fitted(CountVectorizer(analyzer="char", ngram_range=(2, 4), strip_accents="unicode"))),
    Case("letters of words", lambda: fitted(CountVectorizer(analyzer="char_wb", ngram_range=(3, 3), lowercase=False))),
    Case("own analyzer", lambda: fitted(CountVectorizer(analyzer=letters, max_features=10))),
    Case("own tokenizer", lambda: fitted(CountVectorizer(tokenizer=str.split, token_pattern=None, max_df=0.9))),
    Case("own vocabulary", lambda: fitted(CountVectorizer(vocabulary=["win", "cup", "café"]))),
    Case("weights", lambda: fitted(TfidfVectorizer())),
    Case("weights of logarithms", lambda: fitted(TfidfVectorizer(sublinear_tf=True, norm="l1", smooth_idf=False))),
    Case("weights of 32 bits", lambda: fitted(TfidfVectorizer(dtype=np.float32, strip_accents="ascii"))),
    Case("weights without norm", lambda: fitted(TfidfVectorizer(norm=None, use_idf=False, ngram_range=(2, 3)))),
    Case("weights of counts", lambda: weighted()),
    Case("weights of logarithms of counts", lambda: weighted(sublinear_tf=True, norm=None)),
    Case("hashes", lambda: fitted(HashingVectorizer(n_features=64, token_pattern=r"\S+"))),
    Case("hashes of one or none", lambda: fitted(HashingVectorizer(binary=True, norm="l1", alternate_sign=False))),
    Case("hashes without norm", lambda: fitted(HashingVectorizer(n_features=16, norm=None, dtype=np.float32))),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_vectorizer_answers_the_same(case: Case) -> None:
    assert_same(case, 50)


@pytest.mark.parametrize(
    "vectorizer",
    [CountVectorizer(input="filename"), HashingVectorizer(input="file"), TfidfVectorizer(norm="l2", input="file")],
)
def test_a_vectorizer_of_files_has_no_kernel(vectorizer: Any) -> None:
    vectorizer.vocabulary_ = {"a": 0}
    assert find_transform(vectorizer) is None
