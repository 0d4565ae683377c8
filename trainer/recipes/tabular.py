"""Any table: a pipeline for the kinds of its columns, and the estimator that cross-validation prefers.

The artifact holds classes of scikit-learn and functions of `scoring.steps` alone.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import Any, Literal

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import get_scorer
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.pipeline import make_pipeline

from contract.kinds import listed
from contract.manifest import InputFormat, Kind
from trainer.recipe import Candidate, RecipeError, Run, recipe
from trainer.tables.inference import FEW_VALUES
from trainer.tables.preparation import high_cardinality, preparation

SEED = 0
FOLDS = 5
MOST_CELLS = 1_000_000
"""Candidates are compared on at most so many cells; the one that is chosen is fitted on all rows."""
ROWS_A_TREE = 20_000
FEW_ROWS = 2_000
"""Below, boosting learns slowly and with small trees; it would learn the rows by heart."""
BLEND = "blend"
LOG_LOSS = "neg_log_loss"
"""Tells two candidates apart that are right in as many rows: it sees how sure they were of each. Higher is better."""
IMBALANCED = 0.4
"""Classes are out of balance when the rarest has less than this share of what it would have among equals."""


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
    """`seconds`: when so much time is gone, no further candidate is begun."""
    classes = _classifies(y, run, task)
    y = y if classes else y.astype(float)
    balance = classes and _out_of_balance(y, run)
    metric = ("balanced_accuracy" if balance else LOG_LOSS) if classes else "r2"
    prepared = preparation(X, run.inputs, high_cardinality(X, run))
    candidates = {
        name: make_pipeline(clone(prepared), model)
        for name, model in _models(classes, "balanced" if balance else None, len(y)).items()
        if name == "baseline" or estimator in ("best", name)
    }
    return candidates[_compare(candidates, X, y, metric, seconds, run)].fit(X, y)


def _classifies(y: Any, run: Run, task: str) -> bool:
    """Whether the values are classes: words and truths are, and whole numbers if they are few."""
    kind, name = run.target.kind, run.target.name
    if task == "regression" and kind is Kind.STRING:
        raise RecipeError(f"the target {name} is text; only numbers can be estimated by regression")
    if task == "classification" and kind is Kind.NUMBER and (y % 1).any():
        raise RecipeError(f"the target {name} has numbers with fractions; those are no classes")
    if task != "auto":
        return task == "classification"
    classes = kind in (Kind.STRING, Kind.BOOLEAN) or (kind is Kind.INTEGER and len(np.unique(y)) <= FEW_VALUES)
    if classes and kind is Kind.INTEGER:
        run.remark(f"the few whole numbers of {name} are taken for classes; task=regression estimates them instead")
    return classes


def _out_of_balance(y: Any, run: Run) -> bool:
    counts = Counter(y.tolist())
    if len(counts) < 2:
        raise RecipeError(f"the rows to learn from have one class only, {listed(list(counts))}: more rows are needed")
    (first, most), (second, fewer) = counts.most_common(2)
    if most < FOLDS or fewer < 2:
        raise RecipeError(
            f"the most frequent classes among the rows to learn from are {listed([first])} with {most} and"
            f" {listed([second])} with {fewer}: to compare candidates it takes {FOLDS} of one and 2 of another"
        )
    rare = [label for label, count in counts.items() if count < 2 * FOLDS]
    if rare:
        run.remark(f"hardly anything can be learnt about {listed(sorted(rare))}: fewer than {2 * FOLDS} rows each")
    (label, count) = min(counts.items(), key=lambda item: item[1])
    if count >= IMBALANCED * len(y) / len(counts):
        return False
    run.remark(
        f"the classes are out of balance ({listed([label])} in {count / len(y):.1%} of the rows): they weigh alike,"
        " candidates are compared by balanced accuracy, and probabilities favour the rare ones"
    )
    return True


def _models(classes: bool, weight: str | None, rows: int) -> dict[str, Any]:
    """From the simplest on: of equals the first is chosen. The last one blends the others but the baseline."""
    boosting: dict[str, Any] = {"max_leaf_nodes": 31, "early_stopping": False, "random_state": SEED}
    if rows < FEW_ROWS:
        boosting |= {"max_leaf_nodes": 8, "learning_rate": 0.05}
    forest = {"min_samples_leaf": 2, "max_samples": min(1.0, ROWS_A_TREE / rows), "n_jobs": 1, "random_state": SEED}
    if classes:
        found = {
            "baseline": DummyClassifier(strategy="prior"),
            "linear": LogisticRegression(max_iter=1000, class_weight=weight),
            "boosting": HistGradientBoostingClassifier(class_weight=weight, **boosting),
            "forest": RandomForestClassifier(100, class_weight=weight, **forest),
        }
        return {**found, BLEND: VotingClassifier(list(found.items())[1:], voting="soft")}
    found = {
        "baseline": DummyRegressor(),
        "linear": RidgeCV(np.logspace(-3, 3, 13)),
        "boosting": HistGradientBoostingRegressor(**boosting),
        "forest": RandomForestRegressor(100, max_features=0.5, **forest),
    }
    return {**found, BLEND: VotingRegressor(list(found.items())[1:])}


def _compare(candidates: dict[str, Any], X: Any, y: Any, metric: str, seconds: int, run: Run) -> str:
    """The name of the candidate with the best mean over the folds; `run` hears of all."""
    X, y = _sample(X, y, metric != "r2", run)
    splitter: Any = KFold if metric == "r2" else StratifiedKFold
    folds = list(splitter(FOLDS, shuffle=True, random_state=SEED).split(X, y))
    headline = "r2" if metric == "r2" else "accuracy"
    started = time.monotonic()
    tried: dict[str, tuple[Candidate, Candidate]] = {}
    for done, (name, candidate) in enumerate(candidates.items()):
        # The baseline and one that can be chosen are compared, however long they take.
        if done > 1 and time.monotonic() - started > seconds:
            run.remark(f"{listed(list(candidates)[done:])} was not tried: {seconds} s are over (seconds={seconds})")
            break
        began, scores = time.monotonic(), []
        leader = max((found.mean for found, _ in tried.values()), default=None)
        for number, (train, test) in enumerate(folds):
            run.tell((done + number / FOLDS) / len(candidates), done, len(candidates), leader)
            fitted = clone(candidate).fit(X.iloc[train], y[train])
            scores.append([_score(each, fitted, X.iloc[test], y[test]) for each in (metric, headline)])
        took, means, spreads = time.monotonic() - began, np.mean(scores, axis=0), np.std(scores, axis=0)
        found, shown = (
            Candidate(name, each, float(mean), float(spread), took)
            for each, mean, spread in zip((metric, headline), means, spreads, strict=True)
        )
        run.say(f"{name}: {metric} {found.mean:.4f} ± {found.spread:.4f} over {FOLDS} folds, {took:.1f} s")
        run.candidates.append(found)
        tried[name] = found, shown
    (baseline, _), *real = tried.values()
    best, run.chosen = max(real, key=lambda pair: pair[0].mean)
    run.tell(1.0, len(tried), len(candidates), best.mean)
    if best.mean <= baseline.mean:
        run.remark(
            f"{best.name} is no better than always giving the same answer: the columns tell little of {run.target.name}"
        )
    return best.name


def _score(metric: str, fitted: Any, X: Any, y: Any) -> float:
    """Higher is better."""
    if metric != LOG_LOSS:
        return float(get_scorer(metric)(fitted, X, y))
    # A fold of few rows may lack a class, which scikit-learn's own does not bear; and one row of which a model was
    # altogether sure, and wrong, must not outweigh all others.
    table = np.column_stack([fitted.predict_proba(X), np.zeros(len(y))])
    places = {label: place for place, label in enumerate(fitted.classes_.tolist())}
    own = table[np.arange(len(y)), [places.get(label, -1) for label in y.tolist()]]
    return float(np.log(np.clip(own, 1e-4, 1)).mean())


def _sample(X: Any, y: Any, classes: bool, run: Run) -> tuple[Any, Any]:
    most = max(2000, MOST_CELLS // X.shape[1])
    if len(y) <= most:
        return X, y
    chosen = np.sort(np.random.default_rng(SEED).choice(len(y), most, replace=False))
    if classes:  # a rare one must not get lost
        chosen = np.union1d(chosen, pd.Series(y).groupby(y).head(2 * FOLDS).index)
    run.remark(
        f"candidates are compared on {len(chosen)} of {len(y)} rows, drawn at random; the chosen one learns from all"
    )
    return X.iloc[chosen], y[chosen]
