"""Compares kernels with the methods of their estimators, bit for bit, on random rows and on rows at edges."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from modelgate_kernels.kernel import OwnMethods
from modelgate_kernels.same import same
from modelgate_kernels.table import find_kernel, find_transform
from modelgate_kernels.thresholds import threshold_rows

METHODS = ("predict", "predict_proba", "decision_function")
HUGE = (1e30, -1e30, 1e12, 16777217.0, 3.4e38, -3.4e38)
"""Numbers that float32 rounds, and the largest that it holds."""
TINY = (0.0, -0.0, 1e-300, 5e-324, -5e-324, 1e-45, 1e-38)
"""Zeros and denormal numbers."""
BEYOND = (1e39, 1e200, -1e300, 1.7e308)
"""Numbers that float32 does not hold."""
WORDS = ("", " ", "unknown", "Ünbekannt", "a" * 300, "nan", "None", "1.0")
COUNTS = (1, 2, 7, 64)
"""How many rows are asked about at once, besides all rows of a part."""
ALONE = 8
"""How many rows of each part are asked about one by one."""
FEW = 100
"""With fewer rows, a fourth of these blocks is compared: for estimators that take long."""


@dataclass(frozen=True)
class Case:
    """A kernel to compare. `fit` returns a fitted estimator or transformer, and rows like those it was fitted on: an
    array of numbers (with NaN if the kernel is to answer rows with NaN), an array of objects, a sparse matrix, or a
    list of texts. The kernel may leave rows with `HUGE` numbers to the estimator where `covers_huge` is false."""

    name: str
    fit: Callable[[], tuple[Any, Any]]
    covers_huge: bool = True

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Part:
    """Rows of one sort. `covered`: the kernel has to answer them if the estimator does."""

    name: str
    rows: Any
    covered: bool


def assert_same(case: Case, count: int) -> None:
    """Compare all methods on about `count` rows of each part: all rows at once, few, and single ones, in both orders of
    memory. With more than 10,000 rows, all values at all thresholds of trees are compared."""
    estimator, like = case.fit()
    subject = _Subject(estimator)
    compared = 0
    for part in parts_for(estimator, like, count, case.covers_huge):
        answered = sum(subject.compare(f"{case}, {part.name}", some, part.covered) for some in _blocks(part.rows))
        assert answered or not part.covered, f"{case}: the estimator refuses all rows of the part {part.name!r}"
        compared += answered
    assert compared > 10, f"{case}: the kernel answers too little to compare"


def assert_same_for_own_rows(case: Case) -> None:
    """Compare all methods on the rows that were fitted, together and the first alone: for estimators whose kernel
    `assert_same` compares with another estimator."""
    estimator, rows = case.fit()
    subject = _Subject(estimator)
    for some in (rows, rows[:1]):
        subject.compare(str(case), some, covered=True)


def parts_for(estimator: Any, like: Any, count: int, covers_huge: bool = True, seed: int = 0) -> list[Part]:
    """Return about `count` rows of each sort. All rows are as `like` is."""
    draw = np.random.default_rng(seed)
    if isinstance(like, list):
        return _parts_of_texts(like, count, draw)
    if not isinstance(like, np.ndarray):
        return _sparse_parts(like, count, draw)
    drawn = like[draw.integers(len(like), size=count)]
    if like.dtype == object:
        return _parts_of_objects(drawn, draw)

    def some(values: Sequence[float], share: float = 0.3) -> Any:
        numbers = drawn.astype(np.result_type(drawn, np.float32))
        with np.errstate(over="ignore"):
            return np.where(draw.random(drawn.shape) < share, draw.choice(values, size=drawn.shape), numbers).astype(
                numbers.dtype
            )

    at_thresholds = threshold_rows(estimator, None if count > 10_000 else count)
    with np.errstate(all="ignore"):
        jittered = drawn + draw.normal(size=drawn.shape) * np.nanstd(like, axis=0) * 0.3
    has_nulls = like.dtype.kind == "f" and bool(np.isnan(like).any())
    parts = [
        Part("as fitted", drawn, True),
        Part("jittered", jittered.astype(like.dtype), True),
        Part("tiny numbers", some(TINY).astype(like.dtype), True),
        Part("huge numbers", some(HUGE), covers_huge and like.dtype.kind == "f"),
        Part("numbers beyond float32", some(BEYOND, 0.02), False),
        Part("nulls", some((np.nan,)), has_nulls),
        Part("nothing but nulls", some((np.nan,), 2.0), False),
        Part("infinities", some((np.inf, -np.inf), 0.02), False),
        Part("nulls and infinities", some((np.nan, np.inf, -np.inf), 0.05), False),
    ]
    if at_thresholds is not None:
        parts.append(Part("thresholds", at_thresholds.astype(like.dtype), True))
    others = [dtype for dtype in (np.float64, np.float32, np.int64) if like.dtype != dtype]
    return parts + [Part(f"as {dtype.__name__}", np.nan_to_num(drawn).astype(dtype), False) for dtype in others]


def _parts_of_objects(drawn: Any, draw: Any) -> list[Part]:
    """Return rows of categories: known ones, words that nobody knows, and NaN, which stands for null."""

    def some(values: Sequence[Any]) -> Any:
        cells = drawn.copy()
        wanted = draw.random(drawn.shape) < 0.3
        cells[wanted] = draw.choice(np.array(values, dtype=object), size=int(wanted.sum()))
        return cells

    has_nulls = any(value != value for value in drawn.ravel())
    return [
        Part("as fitted", drawn, True),
        Part("unknown words", some(WORDS), False),
        Part("nulls", some((np.nan,)), has_nulls),
        Part("unknown words and nulls", some((*WORDS, np.nan)), False),
    ]


def _parts_of_texts(like: Sequence[str], count: int, draw: Any) -> list[Part]:
    drawn = [str(like[index]) for index in draw.integers(len(like), size=count)]
    words = " ".join(drawn[:1000]).split()
    mixed = [" ".join(draw.choice([*words, *WORDS], size=draw.integers(30))) for _ in range(count)]
    shouted = [text.upper() + "!?\n\t" + text for text in drawn]
    return [
        Part("as fitted", drawn, True),
        Part("mixed", mixed, True),
        Part("shouted", shouted, True),
        Part("unknown words", [str(word) for word in draw.choice(WORDS, size=count)], True),
    ]


def _sparse_parts(like: Any, count: int, draw: Any) -> list[Part]:
    drawn = like[draw.integers(like.shape[0], size=count)]
    infinite = drawn.astype(np.result_type(drawn.dtype, np.float32))
    infinite.data[draw.random(infinite.data.shape) < 0.01] = np.inf
    return [
        Part("as fitted", drawn, True),
        Part("zeros", drawn * 0, True),
        Part("large", drawn * 1e30, True),
        Part("infinities", infinite, False),
        Part("column by column", drawn.tocsc(), False),
        Part("as integers", drawn.astype(np.int64), False),
    ]


def _blocks(rows: Any) -> Iterator[Any]:
    """Yield all rows in both orders of memory, a few, and some of them alone."""
    yield rows
    if isinstance(rows, np.ndarray) and rows.ndim == 2:
        yield np.asfortranarray(rows)
    size = rows.shape[0] if hasattr(rows, "shape") else len(rows)
    share = 4 if size < FEW else 1
    for few in COUNTS[::share]:
        yield rows[size // 3 : size // 3 + few]
        if isinstance(rows, np.ndarray) and rows.ndim == 2:
            yield np.asfortranarray(rows[size // 3 : size // 3 + few])
    for number in range(0, size, max(1, share * size // ALONE)):
        yield rows[number : number + 1]


class _Subject:
    """An estimator and its kernel, or a transformer and its."""

    def __init__(self, estimator: Any) -> None:
        self._estimator = estimator
        self._kernel = find_kernel(estimator)
        self._transform = find_transform(estimator)
        self._names = getattr(estimator, "feature_names_in_", None)
        has_kernel = self._kernel is not None and not isinstance(self._kernel, OwnMethods)
        assert has_kernel or self._transform, f"{estimator!r:.200} has no kernel"
        methods = [name for name in METHODS if hasattr(estimator, name)] if self._kernel else []
        self._methods = [*methods, *(["transform"] if self._transform else [])]

    def compare(self, what: str, rows: Any, covered: bool) -> int:
        """Compare all methods, and return how many the kernel has answered."""
        before, size = rows.copy(), rows.shape[0] if hasattr(rows, "shape") else len(rows)
        expected = {name: _outcome(getattr(self._estimator, name), self._frame(rows)) for name in self._methods}
        answered = 0
        for methods in (self._methods, self._methods[::-1]):  # they share one raw answer, and none may spoil it
            for name, (answer, left) in self._answers(rows, methods).items():
                answer_of_estimator, raised = expected[name]
                if left is not None:
                    assert raised or not covered, f"{what}: the kernel leaves {size} rows to {name}: {left!r}"
                    continue
                assert raised is None, f"{what}: the kernel answers {size} rows where {name} raises {raised!r}"
                assert same(answer, answer_of_estimator), f"{what}: {name} of {size} rows differs"
                answered += 1
        assert same(rows, before), f"{what}: the kernel changes the rows that it gets"
        return answered

    def _answers(self, rows: Any, methods: Sequence[str]) -> Mapping[str, tuple[Any, Exception | None]]:
        """Return for each method what the kernel answers, or raises."""
        if self._names is not None:  # as `modelgate_kernels.rows` makes an array of what was a DataFrame
            rows = np.asfortranarray(rows)
        outcomes: dict[str, tuple[Any, Exception | None]] = {}
        if self._transform:
            outcomes["transform"] = _outcome(self._transform, rows)
        if self._kernel:
            raw, left = _outcome(self._kernel.raw, rows if self._kernel.takes_arrays else self._frame(rows))
            for name in methods:
                if name != "transform":
                    outcomes[name] = (None, left) if left else _outcome(getattr(self._kernel, name), raw)
        return outcomes

    def _frame(self, rows: Any) -> Any:
        """Return the rows as a DataFrame if the estimator was fitted on one, column by column as `to_matrix` does."""
        return rows if self._names is None else pd.DataFrame(dict(zip(self._names, rows.T, strict=True)))


def _outcome(ask: Callable[[Any], Any], rows: Any) -> tuple[Any, Exception | None]:
    with warnings.catch_warnings(action="ignore"), np.errstate(all="ignore"):
        try:
            return ask(rows), None
        except Exception as error:
            return None, error
