"""Finds columns that predict nearly all of the target by themselves. Usually they are known only afterwards.

Examples are `alive` for `survived`, or `casual` and `registered` for their sum. Candidates are single columns in any
encoding, and the sum, difference, product or quotient of two. The search takes about a second, on a sample of the rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from contract.model.signature import Field, Kind
from contract.row import Row, Value
from contract.wording import percent, shown
from trainer.report.evidence import Leak

NEARLY_ALL = 0.99
"""The share of the variance, or of the errors of always giving the same answer."""
FEWEST_ROWS = 50
"""With fewer rows, some column may predict the target by chance."""
FEWEST_ERRORS = 50
"""Fewest errors of always giving the same answer: avoiding nearly all of fewer may be luck."""
MOST_ROWS, MOST_COLUMNS, MOST_LEAKS = 2000, 100, 5
MOST_IN_PAIRS, MOST_IN_PAIRS_OF_CLASSES = 40, 12
"""Most numeric columns that are tried in pairs, the strongest first. A linear fit is a hundred times faster than a
tree."""
LEAF, SEED = 3, 0
NUMBERS = (Kind.NUMBER, Kind.INTEGER)


def leaks(rows: Sequence[Row], targets: Any, inputs: Sequence[Field], target: str, classes: bool) -> list[Leak]:
    """Return at most `MOST_LEAKS` leaks, single columns before pairs. `targets` is an array with one value a row."""
    chosen = _sample(targets, classes)
    if len(chosen) < FEWEST_ROWS:
        return []
    y = targets[chosen] if classes else targets[chosen].astype(float)
    columns = {f.name: _numbers([rows[n][at] for n in chosen], f.kind) for at, f in enumerate(inputs[:MOST_COLUMNS])}
    alone = {name: _best(_alone(column, y, classes), y, classes) for name, column in columns.items()}
    suspected = [_leak([name], best, y, target, classes) for name, best in alone.items() if best[0] >= NEARLY_ALL]
    numbers = [f.name for f in inputs if f.kind in NUMBERS and f.name in alone and alone[f.name][0] < NEARLY_ALL]
    strongest = set(
        sorted(numbers, key=lambda name: -alone[name][0])[: MOST_IN_PAIRS_OF_CLASSES if classes else MOST_IN_PAIRS]
    )
    for pair in combinations([name for name in numbers if name in strongest], 2):
        best = _best(_together(columns[pair[0]], columns[pair[1]], y, classes), y, classes)
        if best[0] >= NEARLY_ALL:
            suspected.append(_leak(pair, best, y, target, classes))
    return suspected[:MOST_LEAKS]


def question(metrics: Mapping[str, float], rows: int) -> str | None:
    """Return a question about nearly perfect metrics of `rows` held-out rows, or None."""
    name = next((name for name in ("r2", "accuracy") if name in metrics), None)
    if name is None:
        return None
    errors = rows if name == "r2" else rows * (1 - metrics["baseline_accuracy"])
    if errors < FEWEST_ERRORS or rows * (1 - metrics[name]) > (1 - NEARLY_ALL) * errors:
        return None
    return (
        f"{'R²' if name == 'r2' else name} is {metrics[name]:.3f} on {rows:,} held-out rows, which is nearly perfect:"
        " is every column known before the prediction, and is no row in the file twice?"
    )


def _sample(targets: Any, classes: bool) -> Any:
    """Return the positions of at most `MOST_ROWS` rows, equally many of each class. Classes of a few rows are left
    out."""
    order = np.random.default_rng(SEED).permutation(len(targets))
    if not classes:
        return order[:MOST_ROWS]
    labels, codes = np.unique(targets[order], return_inverse=True)
    by_class = [order[codes == code][: max(2 * LEAF, MOST_ROWS // len(labels))] for code in range(len(labels))]
    enough = [positions for positions in by_class if len(positions) >= 2 * LEAF]
    return np.sort(np.concatenate(enough)) if len(enough) > 1 else order[:0]


def _numbers(values: Sequence[Value], kind: Kind) -> Any:
    """Return a column as floats, nulls as NaN. Words are numbered. Of dates only nulls count: a target that rises with
    time is not a leak."""
    if kind is Kind.DATETIME:
        return np.array([float(value is None) for value in values])
    if kind is Kind.STRING:
        ranks = {word: rank for rank, word in enumerate(sorted({str(v) for v in values if v is not None}))}
        return np.array([math.nan if value is None else ranks[str(value)] for value in values])
    return np.array(values, dtype=float)  # None becomes NaN


def _alone(column: Any, y: Any, classes: bool) -> Iterator[tuple[str, Any]]:
    """Yield the ways in which one column may predict the target, with its predictions."""
    yield "alone", _by_tree([column], y, classes)
    if not classes:
        yield "alone", _by_line([column], y)


def _together(a: Any, b: Any, y: Any, classes: bool) -> Iterator[tuple[str, Any]]:
    """Yield the ways in which two columns may predict the target, with their predictions."""
    with np.errstate(all="ignore"):
        product, quotient = a * b, a / b
    if classes:
        yield "together", _by_tree([a, b, a + b, a - b, product, quotient], y, classes)
    else:
        yield "sum", _by_line([a, b], y)
        yield "product", _by_line([product], y)
        yield "quotient", _by_line([quotient], y)


def _by_tree(columns: Sequence[Any], y: Any, classes: bool) -> Any:
    """Return the predictions of a tree for each half of the rows, fitted on the other half."""
    # A tree needs only ranks, and refuses numbers that do not fit into 32 bits.
    X = np.column_stack([np.where(np.isnan(c), math.nan, np.unique(c, return_inverse=True)[1]) for c in columns])
    tree = (DecisionTreeClassifier if classes else DecisionTreeRegressor)(min_samples_leaf=LEAF, random_state=SEED)
    order = np.argsort(y, kind="stable")  # so that each half has its share of each class
    answers = np.empty_like(y)
    for learnt, held_out in (order[::2], order[1::2]), (order[1::2], order[::2]):
        answers[held_out] = tree.fit(X[learnt], y[learnt]).predict(X[held_out])
    return answers


def _by_line(columns: Sequence[Any], y: Any) -> Any:
    """Return the predictions of least squares; the mean for rows with a null."""
    X = np.column_stack([np.ones(len(y)), *columns])
    known = np.isfinite(X).all(axis=1)
    answers = np.full(len(y), y.mean())
    if known.sum() >= FEWEST_ROWS:
        answers[known] = X[known] @ np.linalg.lstsq(X[known], y[known])[0]
    return answers


def _best(ways: Iterator[tuple[str, Any]], y: Any, classes: bool) -> tuple[float, str]:
    """Return the share of the variance or of the errors that the best method explains, and its name."""
    return max((_explained_share(y, answers, classes), how) for how, answers in ways)


def _explained_share(y: Any, answers: Any, classes: bool) -> float:
    if classes:
        _, counts = np.unique(y, return_counts=True)
        return float(1 - (answers != y).mean() / (1 - counts.max() / len(y)))
    with np.errstate(all="ignore"):
        share = 1 - np.square(y - answers).sum() / np.square(y - y.mean()).sum()
    return float(share) if math.isfinite(share) else 0.0


def _leak(columns: Sequence[str], best: tuple[float, str], y: Any, target: str, classes: bool) -> Leak:
    share, how = best
    which = " and ".join(map(shown, columns))
    if how in ("sum", "product", "quotient"):
        which = f"the {'sum or difference' if how == 'sum' else how} of {which}"
    measured = f"with an R² of {share:.3f}"
    if classes:
        measured = f"in {percent(1 - (1 - share) * (1 - np.unique(y, return_counts=True)[1].max() / len(y)))}"
    alone = " alone predicts" if how == "alone" else " predict" if how == "together" else " predicts"
    sentence = (
        f"{which}{alone} {shown(target)} {measured} of {len(y):,} rows: if it is only known afterwards, leave it out of"
        " `features`"
    )
    return Leak(columns, sentence)
