"""Finds out whether the answer to a row depends on the rows beside it: scorers ask for those of several requests
together."""

from __future__ import annotations

import dataclasses
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, zip_longest
from typing import Any

import numpy as np

from contract.errors import ModelgateError
from contract.model.manifest import InputDtype, ManifestDraft, Remark
from contract.model.signature import RowFormat
from contract.row import Row
from contract.wording import counted, listed, shown
from scoring.artifacts import unpack
from scoring.held_objects import holds_own_code, parts_in
from scoring.kernels import find_version_kernel
from scoring.predict import predict
from trainer.publishing.verify import TOLERANCE, same

CODE = "scored_alone"
MEMORY = "undecided_doubt_about_memory"
"""The codes of the remark. A version with the second waits for a person, since scoring it alone does not help."""
SECONDS, _MORE = 20.0, 5.0
"""For the first rows, and for all others."""
FEWEST_ROWS = 20
"""Fewest different rows that show what code of the user's own does."""

_MOST_ROWS, _MOST_PAIRS, _MOST_OF_LIBRARY = 200, 200, 20
"""The rows and pairs with which a model is tried, and the rows if it is of library classes alone, or get nulls."""
_DOUBLE, _SINGLE, _LIBRARY = (TOLERANCE, 1e-12), (1e-5, 1e-6), (1e-3, 1e-3)
"""Up to which part of a number, and of the greatest one, a difference is rounding: a small number may be a sum of large
ones, and some models of scikit-learn amplify the rounding of their input, such as KernelRidge."""
_TIE, _FEW = 1e-6, 0.05
"""Classes that are more alike tie. And the share of rows for which rounding may change all in a model of library
classes, as at the threshold of a tree."""
_OF_BATCH = {"BernoulliRBM", "DummyClassifier", "MiniBatchNMF", "NMF"}
"""The classes of scikit-learn that draw numbers for the rows of a batch one after the other, or iterate until the batch
as a whole has converged: no difference in their answers is rounding."""
_OURS = "modelgate_artifacts"
_KNOWN = ("sklearn", "numpy", _OURS)
"""The packages whose classes take each row by itself, unless a trial shows another thing."""

Packed = Callable[[], bytes] | None
_Answer = list[Any] | None
"""What the methods answer to a row: value, probabilities and score of each; None if one of them raises."""


def with_independence(
    estimator: Any,
    draft: ManifestDraft,
    rows: Sequence[Row],
    packed: Packed = None,
    *,
    made_up: bool = False,
    shown_before: bool = False,
) -> ManifestDraft:
    """Return the draft, scored alone and with a remark that says why, unless asking for some of these rows together,
    alone and in pairs gives the same answers. Code of the user's own also has to answer as its artifact (`packed`) does
    when nothing was asked before.

    Of the user's own code, and of `_OF_BATCH`, rows that are `made_up` or too few do not show that, unless it was
    `shown_before`. Takes about `SECONDS` at most. Raises `MemoryError`.
    """
    own = holds_own_code(estimator)
    of_batch = next((type(part).__name__ for part in parts_in(estimator) if _is_of_batch(part)), "")
    library = not own and not of_batch and all(map(_is_known, parts_in(estimator)))
    most = _MOST_OF_LIBRARY if library else _MOST_ROWS
    distinct = [*{repr(row): row for row in list(rows)[:: max(1, -(-len(rows) // most))]}.values()]
    trial = _Trial(estimator, draft, distinct, library, 0.0 if of_batch else _TIE)
    with warnings.catch_warnings(action="ignore"):
        why = trial.dependence()
        why = (memory := trial.memory(packed()) if own and packed else None) or why
    tried = len([number for number in trial.alone if number < len(distinct)])
    if why is None and (own or of_batch) and not shown_before and (made_up or tried < FEWEST_ROWS):
        code, on = of_batch or "its own code", "made-up rows" if made_up else counted(tried, "different row")
        more = f"import it again with a sample of {FEWEST_ROWS} or more"
        why = f"{code} was tried on {on}, which do not show that it takes each row by itself: {more}"
    if why is None:
        return draft
    then = "its requests are scored one after the other, which takes longer when many wait, and its files row by row"
    then = "take what its code keeps between requests out of it" if memory else then
    new = Remark(f"{why}; {then}", MEMORY if memory else CODE)
    remarks = (*(remark for remark in draft.remarks if remark.code != new.code), new)
    return dataclasses.replace(draft, artifact=dataclasses.replace(draft.artifact, alone=True), remarks=remarks)


def _is_of_batch(part: Any) -> bool:
    return type(part).__name__ in _OF_BATCH and getattr(part, "strategy", "uniform") in ("uniform", "stratified")


def _is_known(part: Any) -> bool:
    """Return whether a part takes each row by itself, as far as its class shows. So do NumPy's functions of numbers."""
    function, package = getattr(part, "func", None), type(part).__module__.partition(".")[0]
    is_known = function is None or isinstance(function, np.ufunc) or getattr(function, "__module__", "") == _OURS
    return is_known and package in _KNOWN


class _Trial:
    """Asks one estimator, by its kernel if that is used, for rows in several arrangements. `library`: of scikit-learn's
    classes alone, so that what differs little, or for few rows, is rounding. `alone`: its answers to rows that were
    asked for alone."""

    def __init__(self, estimator: Any, draft: ManifestDraft, rows: list[Row], library: bool, tie: float) -> None:
        self._tie = tie
        self._estimator, self._draft, self._rows, self._library = estimator, draft, [*rows], library
        kernels, methods, outputs = draft.artifact.kernels, draft.signature.methods, draft.signature.outputs
        self._kernel = (
            find_version_kernel(estimator, draft.signature, draft.artifact) if kernels and kernels.used else None
        )
        others = ("predict_proba", "predict_log_proba") if outputs and outputs[0].probabilities else ()
        self._methods = [method.name for method in methods if method.name not in others]
        dtypes = {dtype for method in methods if method.returned for dtype in method.returned.dtypes}
        single = "float32" in dtypes or draft.artifact.input_dtype is InputDtype.FLOAT32
        self._rounding = _LIBRARY if library else _SINGLE if single else _DOUBLE
        self._greatest, self._end = 0.0, time.monotonic() + SECONDS
        self.alone: dict[int, _Answer] = {}

    def memory(self, packed: bytes) -> str | None:
        """Return a row that a fresh copy of the model answers in another way, as a sentence. None if no row is answered
        so, or if two copies differ, since then the model is random."""
        end, first = time.monotonic() + _MORE, range(len(self._rows))[:FEWEST_ROWS]
        new_copy = partial(unpack, packed, self._draft.artifact.format)
        copies = (self._asked(first, new_copy()) for _ in range(2))
        if self._changed([*zip(first, *copies, strict=True)], "at first", "then"):
            return None
        ranked = sorted(self._answers_alone(first), key=lambda number: [*_floats(self.alone[number])])
        for number in [*ranked[-1:], *ranked[:: -(-len(ranked) // FEWEST_ROWS)]]:
            (later,), (fresh,) = self._asked([number]), self._asked([number], new_copy())
            if changed := self._changed([(number, fresh, later)], "if nothing was asked before", "after other rows"):
                return f"its answers depend on what others have asked before: {changed}"
            if time.monotonic() > end:
                break
        return None

    def dependence(self) -> str | None:
        """Return a row whose answer changes with the rows beside it, as a sentence; None if no answer changes."""
        first = range(len(self._rows))[:FEWEST_ROWS]
        twice = zip(first, self._asked(first), self._asked(first), strict=True)
        if changed := self._changed([*twice], "at first", "then"):
            return f"its answers are random: {changed}"
        for batch in chain([first], self._arrangements()):
            together, alone = self._asked(batch), self._answers_alone(batch)
            pairs = [
                (number, (alone[number] or [])[: len(self._methods)] or None, answer)
                for number, answer in zip(batch, together, strict=True)
                if number in alone
            ]
            raises = all(answer is None for answer in together) and any(answer is None for _, answer, _ in pairs)
            if not raises and (changed := self._changed(pairs, "alone", f"beside {counted(len(batch) - 1, 'other')}")):
                return f"its answer to a row changes with the rows beside it: {changed}"
            if time.monotonic() > self._end:
                break
            del self._methods[1:]  # they share their steps, and each takes as long again
            self._end = min(self._end, time.monotonic() + _MORE)
        return None

    def _arrangements(self) -> Iterator[Sequence[int]]:
        """Yield batches, as the numbers of their rows; first the batches that tell most."""
        yield range(len(self._rows))
        if self._library:
            return
        draw, signature = np.random.default_rng(0), self._draft.signature
        yield draw.permutation(len(self._rows)).tolist()
        nullable = [index for index, field in enumerate(signature.inputs) if field.nullable]
        if nullable and signature.format is RowFormat.TABLE:
            for row in self._rows[:_MOST_OF_LIBRARY]:
                nulls = draw.choice(nullable, (len(nullable) + 1) // 2, replace=False).tolist()
                self._rows.append(tuple(None if index in nulls else value for index, value in enumerate(row)))
            alone = self._answers_alone(range(len(self._rows)))
            yield draw.permutation([number for number in alone if alone[number]]).tolist()
        for _ in range(_MOST_PAIRS):
            yield draw.integers(len(self._rows), size=2).tolist()

    def _answers_alone(self, numbers: Iterable[int]) -> Mapping[int, _Answer]:
        """Return the answers to rows asked for alone: to these, until the time is over, and to those of before."""
        for number in numbers:
            if number not in self.alone and time.monotonic() < self._end:
                (self.alone[number],) = self._asked([number])
        return self.alone

    def _asked(self, numbers: Sequence[int], copy: Any = None) -> Sequence[_Answer]:
        """Return the answers of the estimator, or of a `copy` of it, to rows together."""
        answers, rows = [], [self._rows[number] for number in numbers]
        model = self._estimator if copy is None else copy
        try:
            for method in self._methods:
                answer = predict(model, self._draft, rows, self._kernel if copy is None else None, method)
                shares, scores = (part or [None] * len(rows) for part in (answer.probabilities, answer.scores))
                by_row = zip(answer.values, shares, scores, strict=True)
                answers.append([[_decided(value, share, self._tie), share, score] for value, share, score in by_row])
        except ModelgateError:
            return [None] * len(rows)
        self._greatest = max([self._greatest, *map(abs, _floats(answers))])
        return list(map(list, zip(*answers, strict=True)))

    def _changed(self, pairs: Sequence[tuple[int, _Answer, _Answer]], first: str, second: str) -> str | None:
        """Return a row with two answers that differ, as a sentence; None if they are equal but for rounding."""
        relative, absolute = self._rounding[0], max(1e-15, self._rounding[1] * self._greatest)
        changed = [pair for pair in pairs if not same(pair[1], pair[2], relative, absolute)]
        if len(changed) <= (_FEW * len(pairs) if self._library else 0):
            return None
        number, *answers = changed[0]
        values = zip_longest(*map(_leaves, answers), fillvalue="no answer")
        differing = (value for value in values if not same(value[0], value[1], relative, absolute))
        before, after = next(differing, ("one answer", "another"))
        return f"the row {listed(self._rows[number])} gets {shown(before)} {first} and {shown(after)} {second}"


def _decided(value: Any, shares: Any, tie: float) -> Any:
    """Return a prediction, or None if the two most probable classes are as probable as each other."""
    top = sorted(_floats(shares))[-2:]
    return None if len(top) == 2 and top[1] - top[0] < tie else value


def _leaves(answer: Any) -> Iterator[Any]:
    """Yield the values in an answer."""
    if isinstance(answer, Mapping | list | tuple):
        for part in answer.values() if isinstance(answer, Mapping) else answer:
            yield from _leaves(part)
    elif answer is not None:
        yield answer


def _floats(answer: Any) -> Iterator[float]:
    return (leaf for leaf in _leaves(answer) if isinstance(leaf, float))
