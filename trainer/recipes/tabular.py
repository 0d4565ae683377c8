"""Any table: a pipeline for the kinds of its columns, and the estimator that cross-validation prefers.

The artifact holds classes of scikit-learn and functions of pandas and NumPy alone.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import Any, Literal

import numpy as np
from sklearn.base import clone
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import get_scorer
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.pipeline import make_pipeline

from contract.kinds import listed
from contract.manifest import InputFormat, Kind
from trainer.inference import FEW_VALUES
from trainer.preparation import high_cardinality, preparation
from trainer.recipe import RecipeError, Run, recipe
from trainer.report.evidence import Candidate

SEED = 0
FOLDS = 5
MOST_CELLS = 1_000_000
"""Candidates are compared on at most so many cells; the one that is chosen is fitted on all rows."""
ROWS_A_TREE = 20_000
IMBALANCED = 0.4
"""Classes are out of balance when the rarest has less than this share of what it would have among equals."""


@recipe(test_size=0.25, input_format=InputFormat.DATAFRAME)
def fit(
    X: Any,
    y: Any,
    run: Run,
    *,
    task: Literal["auto", "classification", "regression"] = "auto",
    estimator: Literal["best", "linear", "boosting", "forest"] = "best",
    seconds: int = 300,
) -> Any:
    """`seconds`: when so much time is gone, no further candidate is begun."""
    classes = _classifies(y, run, task)
    y = y if classes else y.astype(float)
    balance = classes and _out_of_balance(y, run)
    metric = ("balanced_accuracy" if balance else "accuracy") if classes else "r2"
    models = _classifiers("balanced" if balance else None) if classes else _regressors()
    if len(y) > ROWS_A_TREE:
        models["forest"].set_params(max_samples=ROWS_A_TREE)
    hashed = high_cardinality(X, run)
    candidates = {
        name: make_pipeline(*preparation(X, run.inputs, hashed, scaled=name == "linear"), model)
        for name, model in models.items()
        if name == "baseline" or estimator in ("best", name)
    }
    best = _compare(candidates, X, y, metric, seconds, run)
    return candidates[best].fit(X, y)


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


def _classifiers(weight: str | None) -> dict[str, Any]:
    """From the simplest on: of equals the first is chosen."""
    return {
        "baseline": DummyClassifier(strategy="prior"),
        "linear": LogisticRegression(max_iter=1000, class_weight=weight),
        "boosting": HistGradientBoostingClassifier(
            class_weight=weight, max_leaf_nodes=15, early_stopping=False, random_state=SEED
        ),
        "forest": RandomForestClassifier(200, min_samples_leaf=2, class_weight=weight, n_jobs=1, random_state=SEED),
    }


def _regressors() -> dict[str, Any]:
    return {
        "baseline": DummyRegressor(),
        "linear": RidgeCV(np.logspace(-3, 3, 13)),
        "boosting": HistGradientBoostingRegressor(max_leaf_nodes=15, early_stopping=False, random_state=SEED),
        "forest": RandomForestRegressor(200, min_samples_leaf=2, max_features=0.5, n_jobs=1, random_state=SEED),
    }


def _compare(candidates: dict[str, Any], X: Any, y: Any, metric: str, seconds: int, run: Run) -> str:
    """The name of the candidate with the best mean over the folds, all of which go to `run`."""
    X, y = _sample(X, y, run)
    splitter = KFold if metric == "r2" else StratifiedKFold
    folds = list(splitter(FOLDS, shuffle=True, random_state=SEED).split(X, y))
    score, started = get_scorer(metric), time.monotonic()
    tried: dict[str, Candidate] = {}
    for done, (name, candidate) in enumerate(candidates.items()):
        # The baseline and one that can be chosen are compared, however long they take.
        if done > 1 and time.monotonic() - started > seconds:
            run.remark(f"{listed(list(candidates)[done:])} was not tried: {seconds} s are over (seconds={seconds})")
            break
        began, scores = time.monotonic(), []
        leader = max((found.mean for found in tried.values()), default=None)
        for train, test in folds:
            run.tell((done + len(scores) / FOLDS) / len(candidates), done, len(candidates), leader)
            fitted = clone(candidate).fit(X.iloc[train], y[train])
            scores.append(score(fitted, X.iloc[test], y[test]))
        found = Candidate(name, metric, float(np.mean(scores)), float(np.std(scores)), time.monotonic() - began)
        run.say(f"{name}: {metric} {found.mean:.4f} ± {found.spread:.4f} over {FOLDS} folds, {found.seconds:.1f} s")
        run.candidates.append(found)
        tried[name] = found
    baseline, *real = tried.values()
    run.chosen = max(real, key=lambda found: found.mean)
    run.tell(1.0, len(tried), len(candidates), run.chosen.mean)
    if run.chosen.mean <= baseline.mean:
        run.remark(
            f"{run.chosen.name} is no better than always giving the same answer: the columns tell little of"
            f" {run.target.name}"
        )
    return run.chosen.name


def _sample(X: Any, y: Any, run: Run) -> tuple[Any, Any]:
    most = max(2000, MOST_CELLS // X.shape[1])
    if len(y) <= most:
        return X, y
    run.remark(f"candidates are compared on {most} of {len(y)} rows, drawn at random; the chosen one learns from all")
    chosen = np.sort(np.random.default_rng(SEED).choice(len(y), most, replace=False))
    return X.iloc[chosen], y[chosen]
