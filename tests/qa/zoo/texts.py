"""Models of texts and of records."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.compose import make_column_transformer
from sklearn.decomposition import NMF, LatentDirichletAllocation, TruncatedSVD
from sklearn.ensemble import IsolationForest, RandomForestClassifier, VotingClassifier
from sklearn.feature_extraction import DictVectorizer, FeatureHasher
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfTransformer, TfidfVectorizer
from sklearn.feature_selection import SelectKBest, chi2
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import BernoulliNB, ComplementNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC, LinearSVC

from tests.qa.zoo import data
from tests.qa.zoo.specimens import WAYS, Saved, Specimen, fitted


def specimens() -> Iterator[Specimen]:
    for index, (name, make) in enumerate((*_of_texts(), *_of_records())):
        save, suffix = WAYS[index % len(WAYS)]
        if "cloudpickle" in name:
            save, suffix = cloudpickle.dumps, ".pkl"
        yield Specimen(name, make, save, suffix)
    yield Specimen(
        "FeatureHasher of lists of texts",
        lambda: Saved(
            make_pipeline(FeatureHasher(8, input_type="string"), Ridge()).fit(
                [t.split() for t in data.TEXTS], data.YES
            ),
            [],
        ),
        refused="takes lists",
    )
    yield Specimen(
        "TfidfVectorizer of words already split, by cloudpickle",
        lambda: Saved(
            make_pipeline(TfidfVectorizer(analyzer=lambda words: words), Ridge()).fit(
                [t.split() for t in data.TEXTS], data.YES
            ),
            [],
        ),
        cloudpickle.dumps,
        refused="lists of words",
    )


def words_in(text: str) -> list[str]:
    """Return the words as a tokenizer of one's own does."""
    return [word.strip("!") for word in text.lower().split() if len(word) > 2]


def louder(text: str) -> str:
    return text.replace("!", " exclamation")


def lengths(texts: Any) -> Any:
    return np.array([[len(text), text.count("!")] for text in texts], dtype=float)


def _by_value(model: Any, X: Any, y: Any) -> Saved:
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    return fitted(model, X, y)


def _of_texts() -> Iterator[tuple[str, Callable[[], Saved]]]:
    texts, spam = data.TEXTS, data.SPAM
    vectorizers: list[Any] = [
        CountVectorizer(),
        TfidfVectorizer(),
        HashingVectorizer(n_features=256, alternate_sign=False),
    ]
    models: list[Any] = [MultinomialNB(), LogisticRegression(), LinearSVC(), RandomForestClassifier(6, random_state=0)]
    for vectorizer in vectorizers:
        for model in models:
            yield (
                f"{type(vectorizer).__name__} + {type(model).__name__}",
                partial(fitted, make_pipeline(vectorizer, model), texts, spam),
            )
    for model in (
        SGDClassifier(loss="log_loss", random_state=0),
        SVC(random_state=0),
        KNeighborsClassifier(),
        ComplementNB(),
        BernoulliNB(),
        CalibratedClassifierCV(LinearSVC(), cv=2),
        VotingClassifier([("a", MultinomialNB()), ("b", LogisticRegression())], voting="soft"),
    ):
        yield (
            f"TfidfVectorizer + {type(model).__name__}",
            partial(fitted, make_pipeline(TfidfVectorizer(), model), texts, spam),
        )
    for name, vectorizer in {
        "in pairs": TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True),
        "of letters": TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4)),
        "without stop words": CountVectorizer(stop_words="english", max_features=5),
        "of known words": CountVectorizer(vocabulary=["win", "free", "lunch"]),
        "with case": CountVectorizer(lowercase=False, token_pattern=r"\S+", binary=True),
    }.items():
        yield f"Texts {name}", partial(fitted, make_pipeline(vectorizer, LogisticRegression()), texts, spam)
    chain = make_pipeline(CountVectorizer(), TfidfTransformer(), SelectKBest(chi2, k=4), MultinomialNB())
    both = FeatureUnion([("words", TfidfVectorizer()), ("letters", CountVectorizer(analyzer="char"))])
    yield "Texts counted, weighed and selected", partial(fitted, chain, texts, spam)
    yield "Texts in a union", partial(fitted, make_pipeline(both, LogisticRegression(max_iter=500)), texts, spam)
    yield (
        "Texts in a search",
        partial(
            fitted,
            GridSearchCV(
                make_pipeline(TfidfVectorizer(), LogisticRegression()), {"logisticregression__C": [1, 9]}, cv=2
            ),
            texts,
            spam,
        ),
    )
    yield (
        "Texts reduced by TruncatedSVD",
        partial(
            fitted, make_pipeline(TfidfVectorizer(), TruncatedSVD(3, random_state=0), LogisticRegression()), texts, spam
        ),
    )
    yield (
        "Texts of a Series",
        partial(fitted, make_pipeline(TfidfVectorizer(), LogisticRegression()), pd.Series(texts, name="message"), spam),
    )
    yield "Texts of an array", partial(fitted, make_pipeline(TfidfVectorizer(), MultinomialNB()), np.array(texts), spam)
    yield "Texts to a number", partial(fitted, make_pipeline(TfidfVectorizer(), Ridge()), texts, data.NUMBER)
    yield (
        "Texts to clusters",
        partial(fitted, make_pipeline(TfidfVectorizer(), KMeans(3, n_init=1, random_state=0)), texts),
    )
    yield (
        "Texts to topics",
        partial(fitted, make_pipeline(CountVectorizer(), LatentDirichletAllocation(3, random_state=0)), texts),
    )
    yield "Texts to topics by NMF", partial(fitted, make_pipeline(TfidfVectorizer(), NMF(2, random_state=0)), texts)
    yield (
        "Texts to an embedding",
        partial(fitted, make_pipeline(TfidfVectorizer(), TruncatedSVD(2, random_state=0)), texts),
    )
    yield (
        "Texts that are outliers",
        partial(fitted, make_pipeline(TfidfVectorizer(), IsolationForest(n_estimators=5, random_state=0)), texts),
    )
    yield (
        "Texts with several labels",
        partial(fitted, make_pipeline(TfidfVectorizer(), OneVsRestClassifier(LogisticRegression())), texts, data.YESES),
    )
    yield (
        "Texts to several outputs",
        partial(fitted, make_pipeline(TfidfVectorizer(), MultiOutputClassifier(MultinomialNB())), texts, data.WORDS),
    )
    yield (
        "Texts split by a function, by cloudpickle",
        partial(
            _by_value,
            make_pipeline(
                TfidfVectorizer(tokenizer=words_in, preprocessor=louder, token_pattern=None), LogisticRegression()
            ),
            texts,
            spam,
        ),
    )
    measured = FeatureUnion([("words", TfidfVectorizer()), ("lengths", FunctionTransformer(lengths))])
    yield (
        "Texts and their lengths, by cloudpickle",
        partial(_by_value, make_pipeline(measured, LogisticRegression(max_iter=500)), texts, spam),
    )
    frame = pd.DataFrame({"title": texts, "body": texts[::-1], "price": data.X[:, 0]})
    titles = make_column_transformer((TfidfVectorizer(), "title"), (CountVectorizer(), "body"))
    beside = make_column_transformer((TfidfVectorizer(), "title"), (StandardScaler(), ["price"]))
    yield (
        "Two columns of text",
        partial(fitted, make_pipeline(titles, LogisticRegression()), frame[["title", "body"]], spam),
    )
    yield (
        "Text beside a number",
        partial(fitted, make_pipeline(beside, LogisticRegression()), frame[["title", "price"]], spam),
    )
    yield "Text beside a number, transformed", partial(fitted, beside, frame[["title", "price"]])
    yield (
        "One column of text in a frame",
        partial(
            fitted,
            make_pipeline(make_column_transformer((TfidfVectorizer(), "title")), LinearSVC()),
            frame[["title"]],
            spam,
        ),
    )


def _of_records() -> Iterator[tuple[str, Callable[[], Saved]]]:
    records, word = data.RECORDS, data.WORD
    plain = [{name: value for name, value in record.items() if name != "vip"} for record in records]
    for name, rows in {"": plain, " with booleans": records}.items():
        yield (
            f"DictVectorizer + LogisticRegression{name}",
            partial(fitted, make_pipeline(DictVectorizer(), LogisticRegression()), rows, word),
        )
        yield (
            f"FeatureHasher + SGDClassifier{name}",
            partial(fitted, make_pipeline(FeatureHasher(16), SGDClassifier(random_state=0)), rows, word),
        )
    listed = [{**record, "tags": data.TEXTS[index].split()[:2]} for index, record in enumerate(plain)]
    yield (
        "DictVectorizer of lists",
        partial(
            fitted, make_pipeline(DictVectorizer(sparse=False), RandomForestClassifier(5, random_state=0)), listed, word
        ),
    )
    yield "DictVectorizer to a number", partial(fitted, make_pipeline(DictVectorizer(), Ridge()), plain, data.NUMBER)
    counts = [{word: float(text.split().count(word)) for word in text.split()} for text in data.TEXTS]
    yield (
        "DictVectorizer of counts",
        partial(fitted, make_pipeline(DictVectorizer(), MultinomialNB()), counts, data.SPAM),
    )
