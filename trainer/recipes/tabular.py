"""A recipe for any table: preprocessing by the kinds of the columns, and the estimator with the best cross-validation.

The artifact holds only classes of scikit-learn and functions of `modelgate_artifacts`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn import ensemble
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from contract.model.manifest import InputFormat
from contract.model.signature import Field, Kind
from contract.wording import listed, percent, shown
from modelgate_artifacts import days, flat, floats, remainder
from trainer.recipe import Candidate, OutOfFold, RecipeError, Run, recipe
from trainer.tables.balance import average_precision, out_of_balance, rarest
from trainer.tables.field_inference import FEW_VALUES

SEED = 0
FOLDS = 5
MOST_CELLS = 1_000_000
"""Candidates are compared on at most this many cells; the chosen one is fitted on all rows."""
ROWS_A_TREE = 20_000
FEW_ROWS = 2_000
"""With fewer rows, boosting uses small trees and a low learning rate, so as not to overfit."""
RARE_L2 = 10.0
"""If nearly all rows of a leaf are of one class, a boosting step would be too large."""
BLEND = "blend"
LOG_LOSS = "neg_log_loss"
"""Compares candidates by how sure they were of each row, even if they are right equally often. Higher is better."""


MOST_CATEGORIES = 50
"""A text column with more different values is hashed: one-hot encoding would make too many columns."""
HASHES = 64
YEAR = 365.2425


@recipe(test_size=0.25, input_format=InputFormat.DATAFRAME)
def fit(
    X: Any,
    y: Any,
    run: Run,
    *,
    task: Literal["auto", "classification", "regression"] = "auto",
    estimator: Literal["best", "linear", "boosting", "forest", "blend"] = "best",
    seconds: int = 300,
) -> Any:
    """`seconds`: after this time, no further candidate is tried."""
    classes = _classifies(y, run, task)
    y = y if classes else y.astype(float)
    if classes:
        _check_classes(y, run)
    prepared = preprocessor(X, run.inputs, _high_cardinality(X, run))
    candidates = {
        name: make_pipeline(clone(prepared), model)
        for name, model in _models(y, classes).items()
        if name == "baseline" or estimator in ("best", name)
    }
    return candidates[_compare(candidates, X, y, classes, seconds, run)].fit(X, y)


def _classifies(y: Any, run: Run, task: str) -> bool:
    """Return whether the target is classes: text and booleans are, and so are few different whole numbers."""
    kind, name = run.target.kind, run.target.name
    if task == "regression" and kind is Kind.STRING:
        raise RecipeError(f"the target {name} is text, but regression needs numbers")
    if task == "classification" and kind is Kind.NUMBER and (y % 1).any():
        raise RecipeError(f"the target {name} has numbers with fractions, which cannot be classes")
    if task != "auto":
        return task == "classification"
    classes = kind in (Kind.STRING, Kind.BOOLEAN) or (kind is Kind.INTEGER and len(np.unique(y)) <= FEW_VALUES)
    if classes and kind is Kind.INTEGER:
        run.remark(
            f"{name} has few different whole numbers, so they are classes; make it a `number` in `kinds` for regression"
        )
    return classes


def _check_classes(y: Any, run: Run) -> None:
    """Add remarks on rare classes. Raises `RecipeError` if a class has too few rows."""
    counts = Counter(y.tolist())
    if len(counts) < 2:
        raise RecipeError(f"the training rows have only one class, {listed(list(counts))}: add rows of another")
    (first, most), (second, fewer) = counts.most_common(2)
    if most < FOLDS or fewer < 2:
        raise RecipeError(
            f"the most frequent classes of the training rows are {listed([first])} with {most} and"
            f" {listed([second])} with {fewer}: comparing candidates needs {FOLDS} rows of one and 2 of another"
        )
    rare = [label for label, count in counts.items() if count < 2 * FOLDS]
    if rare:
        run.remark(f"too few rows to learn {listed(sorted(rare))}: fewer than {2 * FOLDS} each")
    label, count = rarest(y.tolist())
    if out_of_balance(y.tolist()):
        run.remark(
            f"the classes are imbalanced (class {shown(label)} has {percent(count / len(y))} of the rows): accuracy"
            " says little, so average precision leads; classes have no weights, so probabilities fit the data"
        )


def _models(y: Any, classes: bool) -> dict[str, Any]:
    """Return the candidates, the simplest first: the first of equals is chosen. The last blends all but the
    baseline."""
    boosting: dict[str, Any] = {"max_leaf_nodes": 31, "early_stopping": False, "random_state": SEED}
    if len(y) < FEW_ROWS:
        boosting |= {"max_leaf_nodes": 8, "learning_rate": 0.05}
    if classes and out_of_balance(y.tolist()):
        boosting["l2_regularization"] = RARE_L2
    forest = {"min_samples_leaf": 2, "max_samples": min(1.0, ROWS_A_TREE / len(y)), "n_jobs": 1, "random_state": SEED}
    if classes:
        models = {
            "baseline": DummyClassifier(strategy="prior"),
            "linear": LogisticRegression(max_iter=1000),
            "boosting": ensemble.HistGradientBoostingClassifier(**boosting),
            "forest": ensemble.RandomForestClassifier(100, **forest),
        }
        return {**models, BLEND: ensemble.VotingClassifier(list(models.items())[1:], voting="soft")}
    models = {
        "baseline": DummyRegressor(),
        "linear": RidgeCV(np.logspace(-3, 3, 13)),
        "boosting": ensemble.HistGradientBoostingRegressor(**boosting),
        "forest": ensemble.RandomForestRegressor(100, max_features=0.5, **forest),
    }
    return {**models, BLEND: ensemble.VotingRegressor(list(models.items())[1:])}


def _compare(candidates: dict[str, Any], X: Any, y: Any, classes: bool, seconds: int, run: Run) -> str:
    """Compare the candidates, report them to `run`, and return the name of the best."""
    X, y = _sample(X, y, classes, run)
    splitter: Any = StratifiedKFold if classes else KFold
    folds = list(splitter(FOLDS, shuffle=True, random_state=SEED).split(X, y))
    labels = np.unique(y) if classes else None
    headline = _headline(y) if classes else "r2"
    started = time.monotonic()
    tried: list[_Tried] = []
    for done, (name, candidate) in enumerate(candidates.items()):
        # The baseline and one real candidate are always tried, however long they take.
        if done > 1 and time.monotonic() - started > seconds:
            run.remark(
                f"{listed(list(candidates)[done:])} was not tried: the time limit was reached (seconds={seconds})"
            )
            break
        began, scores = time.monotonic(), []
        leader = max((entry.compared.mean for entry in tried), default=None)
        answers = np.zeros(len(y) if labels is None else (len(y), len(labels)))
        run.tell(done / len(candidates), done, len(candidates), leader)
        parts = Parallel(return_as="generator")(delayed(_fold)(candidate, X, y, *fold, labels) for fold in folds)
        for number, ((_, test), part) in enumerate(zip(folds, parts, strict=True), start=1):
            answers[test] = part
            scores.append(_scores(y[test], part, labels, headline))
            if number < FOLDS:
                run.tell((done + number / FOLDS) / len(candidates), done, len(candidates), leader)
        took, means, spreads = time.monotonic() - began, np.nanmean(scores, axis=0), np.nanstd(scores, axis=0)
        scored, shown = (
            Candidate(name, metric, float(mean), float(spread), took)
            for metric, mean, spread in zip((LOG_LOSS if classes else "r2", headline), means, spreads, strict=True)
        )
        score = f"log loss {-scored.mean:.4f}" if classes else f"R² {scored.mean:.4f}"
        run.say(f"{name}: {score} ± {scored.spread:.4f} over {FOLDS} folds, {took:.1f} s")
        run.candidates.append(scored)
        tried.append(_Tried(scored, shown, answers))
    baseline, *real = tried
    best = max(real, key=lambda entry: entry.compared.mean)
    run.chosen = best.shown
    run.out_of_fold = None if labels is None else OutOfFold(y, best.answers, tuple(labels.tolist()))
    run.tell(1.0, len(tried), len(candidates), best.compared.mean)
    if best.compared.mean <= baseline.compared.mean:
        run.remark(
            f"{best.compared.name} has no better {'log loss' if classes else 'R²'} than always giving the same answer:"
            f" the columns hardly predict {run.target.name}"
        )
    return best.compared.name


def _fold(candidate: Any, X: Any, y: Any, train: Any, test: Any, labels: Any) -> Any:
    """Return the answers for the rows `test` of the candidate, fitted on the rows `train`; on a cluster elsewhere."""
    return _answers(clone(candidate).fit(X.iloc[train], y[train]), X.iloc[test], labels)


@dataclass(frozen=True)
class _Tried:
    """A tried candidate: the metric that it is compared by, its headline metric, and the predictions of the folds."""

    compared: Candidate
    shown: Candidate
    answers: Any


def _headline(y: Any) -> str:
    return "average_precision" if out_of_balance(y.tolist()) else "accuracy"


def _answers(fitted: Any, X: Any, labels: Any) -> Any:
    """Return the predicted numbers, or the probabilities of `labels` (rows × classes): a small fold may lack a
    class."""
    if labels is None:
        return fitted.predict(X)
    table = np.zeros((len(X), len(labels)))
    table[:, np.searchsorted(labels, fitted.classes_)] = fitted.predict_proba(X)
    return table


def _scores(y: Any, answers: Any, labels: Any, headline: str) -> tuple[float, float]:
    """Return the metric that candidates are compared by, and the headline metric; higher is better for both."""
    if labels is None:
        return r2_score(y, answers), r2_score(y, answers)
    probabilities = answers[np.arange(len(y)), np.searchsorted(labels, y)]
    # One confident wrong prediction must not outweigh all others.
    sure = float(np.log(np.clip(probabilities, 1e-4, 1)).mean())
    if headline == "accuracy":
        return sure, float((labels[answers.argmax(axis=1)] == y).mean())
    return sure, average_precision(y, answers, labels.tolist())


def _sample(X: Any, y: Any, classes: bool, run: Run) -> tuple[Any, Any]:
    most = max(2000, MOST_CELLS // X.shape[1])
    if len(y) <= most:
        return X, y
    chosen = np.sort(np.random.default_rng(SEED).choice(len(y), most, replace=False))
    if classes:  # keep rows of rare classes
        chosen = np.union1d(chosen, pd.Series(y).groupby(y).head(2 * FOLDS).index)
    run.remark(
        f"candidates are compared on {len(chosen)} of {len(y)} rows, drawn at random; the chosen one is fitted on all"
    )
    return X.iloc[chosen], y[chosen]


# Preprocessing: turns columns of any kind into numbers


def _high_cardinality(X: Any, run: Run) -> frozenset[str]:
    """Return the text columns to hash, and add a remark on each."""
    counts = {f.name: X[f.name].nunique() for f in run.inputs if f.kind is Kind.STRING}
    hashed = {name: count for name, count in counts.items() if count > MOST_CATEGORIES}
    for name, count in hashed.items():
        run.remark(
            f"{name} has {count:,} different texts in the {len(X):,} rows for training: their words are hashed into"
            f" {HASHES} columns"
        )
    return frozenset(hashed)


def preprocessor(X: Any, inputs: Sequence[Field], hashed: frozenset[str]) -> Any:
    """Return a transformer from a DataFrame with the columns `inputs` to a float64 matrix (rows × features) without
    nulls."""
    numbers = [f.name for f in inputs if f.kind in (Kind.NUMBER, Kind.INTEGER, Kind.BOOLEAN)]
    words = [f.name for f in inputs if f.kind is Kind.STRING and f.name not in hashed]
    dates = [f.name for f in inputs if f.kind is Kind.DATETIME]
    parts = [
        ("numbers", make_pipeline(FunctionTransformer(floats), *_imputed_and_scaled()), numbers),
        # Null becomes a category.
        ("words", OneHotEncoder(handle_unknown="ignore", sparse_output=False), words),
        *((f"text_{number}", _hashing(), [name]) for number, name in enumerate(sorted(hashed))),
    ]
    if dates:
        parts.append(("dates", make_pipeline(*_date_steps(X[dates]), *_imputed_and_scaled()), dates))
    used = [part for part in parts if part[2]]
    # A ColumnTransformer takes most of the time of a row, and is not needed if all columns are numbers.
    return used[0][1] if numbers == list(X) else ColumnTransformer(used, sparse_threshold=0)


def _imputed_and_scaled() -> list[Any]:
    return [SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True), StandardScaler()]


def _date_steps(dates: Any) -> list[Any]:
    """Return steps that turn dates into days since 1970, and positions in the day, week and year if the data span
    more than one."""
    frame = pd.DataFrame(days(dates))
    span = (frame.max() - frame.min()).max()
    periods = [("day", 1.0)] if (frame % 1).fillna(0).to_numpy().any() else []
    periods += [(name, length) for name, length in (("week", 7.0), ("year", YEAR)) if span > length]
    cycles = [(n, FunctionTransformer(remainder, kw_args={"of": length})) for n, length in periods]
    return [FunctionTransformer(days), FeatureUnion([("since_1970", "passthrough"), *cycles])]


def _hashing() -> Any:
    return make_pipeline(
        SimpleImputer(strategy="constant", fill_value=""),
        FunctionTransformer(flat),
        HashingVectorizer(n_features=HASHES, token_pattern=r"\S+"),  # noqa: S106
    )
