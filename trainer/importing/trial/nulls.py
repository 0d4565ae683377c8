"""Finds out which inputs may be null, and what a null is to the estimator: by looking at what it was fitted on, and by
trying each null and comparing the answers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from modelgate_kernels.same import same

from contract.errors import ModelgateError
from contract.model.manifest import InputFormat, ManifestDraft, Remark
from contract.model.signature import Field, Kind, Null, RowFormat, Signature
from contract.row import Row
from scoring.estimators import call_method, prepare
from scoring.methods import has_method
from scoring.predict import predict
from trainer.importing import Refused
from trainer.importing.assumptions import mixed_nulls, random_nulls, unknown_nulls
from trainer.importing.inputs.fitted_inputs import takes_nan
from trainer.importing.inputs.number_types import as_requested, with_integers
from trainer.importing.other_libraries.described import Hint

_MOST_TRIALS = 50
_MOST_COMPARISONS = 64
_BASES, _MOST_ROWS = 5, 500
"""Whole rows in which a null is tried, and most rows with nulls of one comparison, if that leaves one a column."""
_TELLING = ("predict_proba", "decision_function", "transform", "score_samples")
"""Methods whose answers show small differences, the most telling first."""
_ORDER = (Null.NONE, Null.NAN_OBJECT, Null.NAN, Null.NA, Null.NA_OBJECT)
"""Which of the nulls that a column held reaches the estimator: first None, which JSON's null is in Python."""
_KINDS: Mapping[Kind, tuple[Null, ...]] = {
    Kind.BOOLEAN: (Null.NAN_OBJECT, Null.NONE, Null.NA),
    Kind.STRING: (Null.NAN, Null.NONE, Null.NA),
    Kind.DATETIME: (Null.NAN, Null.NONE, Null.NAN_OBJECT, Null.NA_OBJECT),
}
"""What a null may be by the kind of a column."""
_OF_NUMBERS = (Null.NAN, Null.NAN_OBJECT, Null.NONE, Null.NA)

_Answers = list[Any] | None
"""What each method answers rows, and then what they answer a row alone; None if one of them raises."""


@dataclasses.dataclass(frozen=True)
class PossibleNulls:
    """What a null of one column may be; `shown`: the estimator or the sample shows that it was."""

    nulls: tuple[Null, ...]
    shown: bool

    @classmethod
    def of(cls, kind: Kind, hint: Hint, sampled: Collection[Null]) -> PossibleNulls:
        """Return those of a column, of which the rows that the model was fitted on held the `sampled` ones."""
        held = {*sampled}
        if hint.nulls and not sampled:
            # A later step has seen None behind an imputer of NaN: there may have been NaN, too.
            held = {*hint.nulls, *(hint.imputed & {Null.NAN if kind is Kind.STRING else Null.NAN_OBJECT})}
        if held:
            return cls(tuple(null for null in _ORDER if null in held), shown=True)
        every = _KINDS.get(kind, _OF_NUMBERS)
        return cls(tuple(null for null in every if null not in hint.not_nulls) or every, shown=False)

    def in_array(self) -> PossibleNulls:
        """Return those of a column of an array, which has no nullable dtype."""
        if self.shown:
            return self
        return PossibleNulls(tuple(null for null in self.nulls if null is not Null.NA) or (Null.NAN,), shown=False)


@dataclasses.dataclass(frozen=True)
class ChosenNulls:
    """A draft with what a null is in each input, the rows with which it can be tried, and remarks. `refused` are the
    inputs that take no null: they may not be null, or it is answered differently each time, or another null is and
    nothing shows which of them they were fitted on."""

    draft: ManifestDraft
    rows: list[Row]
    refused: Collection[str] = ()
    remarks: Sequence[Remark] = ()


def choose_nulls(
    estimator: Any,
    draft: ManifestDraft,
    rows: Sequence[Row],
    possible: Mapping[str, PossibleNulls | None],
    doubtful: Collection[str] = (),
) -> ChosenNulls:
    """Choose what a null is in each input that may be null; `doubtful` ones may hold integers, which NaN makes floats.
    Those that are None in `possible` may not be null. Raises `Refused` if no row is left without a null that is
    refused."""
    signature, names = draft.signature, draft.signature.names
    if signature.format is not RowFormat.TABLE:
        return ChosenNulls(draft, list(rows))
    wanted = [position for position, field in enumerate(signature.inputs) if field.nullable]
    wanted += _that_may_be_nan(estimator, signature)
    columns = [(position, nulls) for position in wanted if (nulls := possible[names[position]])]
    if draft.artifact.input_format is InputFormat.ARRAY:
        columns = [(position, nulls.in_array()) for position, nulls in columns]
    tried = with_integers(draft, {names[position] for position, _ in columns if names[position] in doubtful})
    choices = dict(_NullTrial(estimator, tried, as_requested(tried, rows)).settle(columns))
    unknown = sorted(position for position, (null, _) in choices.items() if null is None)
    kept = [row for row in rows if all(row[position] is not None for position in unknown)]
    refusals = {of_them: [names[p] for p in unknown if choices[p][1] is drawn] for of_them, drawn in _REFUSALS.items()}
    remarks = [of_them(columns) for of_them, columns in refusals.items() if columns]
    if not kept:
        raise Refused(f"has no sample row without a null that it cannot be tried with: {remarks[0].text}")
    mixed: dict[Null, list[str]] = {}
    fields = list(signature.inputs)
    for position, (null, is_mixed) in choices.items():
        changes = {"nullable": False} if null is None else {"null": null}
        fields[position] = dataclasses.replace(fields[position], **changes)
        if is_mixed and null:
            mixed.setdefault(null, []).append(names[position])
    remarks += [mixed_nulls(columns, null) for null, columns in mixed.items()]
    kept *= 2 if len(kept) == 1 else 1
    refused = {name for name, nulls in possible.items() if nulls is None} | {names[position] for position in unknown}
    return ChosenNulls(_with_inputs(draft, fields), kept, refused, remarks)


def with_nulls_that_work(
    estimator: Any, draft: ManifestDraft, rows: Sequence[Row], refused: Collection[str]
) -> ManifestDraft:
    """Make inputs nullable if something shows that they may be, or the estimator says that it takes NaN, and it has
    predicted a row with a null in it. Those that are `refused` are not."""
    signature = draft.signature
    is_table = signature.format is RowFormat.TABLE
    seen = {position for row in rows for position, value in enumerate(row) if value is None}
    may_be = {position for position, field in enumerate(signature.inputs) if field.nullable}
    may_be.update(_that_may_be_nan(estimator, signature))
    wanted = [position for position in sorted(may_be - seen) if signature.names[position] not in refused]
    nullable = _with_nullable(draft, {*wanted, *seen})

    def works(nulls: Collection[int]) -> bool:
        row = [None if position in nulls else value for position, value in enumerate(rows[0])]
        if not is_table:
            row = [{**rows[0][0], **{signature.names[position]: None for position in nulls}}]
        try:
            answer = predict(estimator, nullable, [row, rows[1]])
        except ModelgateError:
            return False
        # A prediction has to be a number, but a scaler passes nulls on.
        return not signature.outputs or not answer.warnings

    return _with_nullable(draft, seen | _that_work(wanted, works))


def _that_may_be_nan(estimator: Any, signature: Signature) -> list[int]:
    """Return the positions of inputs that nothing shows to be nullable, of an estimator that says it takes NaN."""
    kinds = (Kind.NUMBER, Kind.STRING)[: 2 if signature.format is RowFormat.TABLE else 1]
    fields = enumerate(signature.inputs) if takes_nan(estimator) else ()
    return [position for position, field in fields if field.kind in kinds and not field.nullable]


def _with_nullable(draft: ManifestDraft, positions: Collection[int]) -> ManifestDraft:
    fields = enumerate(draft.signature.inputs)
    return _with_inputs(draft, (dataclasses.replace(field, nullable=index in positions) for index, field in fields))


def _with_inputs(draft: ManifestDraft, inputs: Iterable[Field]) -> ManifestDraft:
    return dataclasses.replace(draft, signature=dataclasses.replace(draft.signature, inputs=tuple(inputs)))


def _that_work(positions: Sequence[int], works: Callable[[Collection[int]], bool]) -> set[int]:
    """Return those of `positions` that may be null, halving those that do not work together. Thousands of columns, one
    by one, would take minutes."""
    working: set[int] = set()
    waiting = [positions] if positions else []
    for _ in range(_MOST_TRIALS):
        if not waiting:
            break
        some = waiting.pop(0)
        if works(some):
            working.update(some)
        elif len(some) > 1:
            waiting += [some[: len(some) // 2], some[len(some) // 2 :]]
    return working


_Column = tuple[int, PossibleNulls]
_Choice = tuple[Null | None, bool]
"""What a null is, None if it is refused; and whether the column held several that are answered differently, or it is
refused since it is answered differently each time."""
_REFUSALS: Mapping[Callable[[Sequence[str]], Remark], bool] = {unknown_nulls: False, random_nulls: True}


class _NullTrial:
    """Asks an estimator for rows with each of the nulls that their columns may have held."""

    def __init__(self, estimator: Any, draft: ManifestDraft, rows: Sequence[Row]) -> None:
        self._estimator = estimator
        self._draft = draft
        self._rows = rows
        self._whole = _whole_rows(rows)

    def settle(self, columns: Sequence[_Column]) -> Iterator[tuple[int, _Choice]]:
        """Yield what a null is in each of the columns: all together if that does not matter, otherwise in halves."""
        alike: dict[PossibleNulls, list[_Column]] = {}
        for column in columns:
            alike.setdefault(column[1], []).append(column)
        waiting, left = list(alike.values()), _MOST_COMPARISONS
        while waiting:
            some = waiting.pop(0)
            possible, positions = some[0][1], [position for position, _ in some]
            answers = {null: self._answers(positions, null) for null in dict.fromkeys((Null.NAN, *possible.nulls))}
            drawn = answers[Null.NAN] and not _alike(answers[Null.NAN], self._answers(positions, Null.NAN))
            choice = (None, True) if drawn else _choice(possible, answers)
            left -= 1
            # One column in which a null does not work hides what it does in others.
            if len(some) == 1 or left < 0 or (choice[0] and not choice[1] and None not in answers.values()):
                yield from ((position, choice) for position in positions)
            else:
                waiting += [some[: len(some) // 2], some[len(some) // 2 :]]

    def _answers(self, positions: Sequence[int], null: Null) -> _Answers:
        fields = [
            dataclasses.replace(field, nullable=True, null=null) if position in positions else field
            for position, field in enumerate(self._draft.signature.inputs)
        ]
        draft = _with_inputs(self._draft, fields)
        rows = [*self._whole, *self._with_null(positions)]
        # pandas infers the dtype of a column that is null in every row, as in a request of one.
        alone = [tuple(None if position in positions else value for position, value in enumerate(self._whole[0]))]
        answers = self._tried(rows, draft)
        return answers and [*answers, self._tried(alone, draft)]

    def _tried(self, rows: Sequence[Row], draft: ManifestDraft) -> _Answers:
        try:
            return list(self._asked(rows, draft))
        except MemoryError:
            raise
        except Exception:  # code of users may raise anything
            return None

    def _with_null(self, positions: Sequence[int]) -> Iterator[Row]:
        """Yield rows with a null at one of the `positions`: made of whole rows, and those that there are."""
        bases = self._whole[: max(1, _MOST_ROWS // len(positions))]
        for position in positions:
            for row in bases:
                yield (*row[:position], None, *row[position + 1 :])
        others = {position for position, field in enumerate(self._draft.signature.inputs) if position not in positions}
        real = [row for row in self._rows if None in row and all(row[position] is not None for position in others)]
        yield from real[:_BASES]

    def _asked(self, rows: Sequence[Row], draft: ManifestDraft) -> Iterator[Any]:
        """Yield what methods answer; what reaches the last step, too, if they answer nothing but classes. Raises what
        they raise, and ValueError for predictions that are no finite numbers."""
        estimator, signature, artifact = self._estimator, draft.signature, draft.artifact
        if has_method(estimator, "predict"):
            yield (values := np.asarray(call_method(estimator, rows, signature, artifact, "predict")))
            if values.dtype.kind == "f":
                if not np.isfinite(values).all():
                    raise ValueError("not finite")
                return
        telling = next((name for name in _TELLING if has_method(estimator, name)), None)
        if telling:
            yield call_method(estimator, rows, signature, artifact, telling)
        else:
            yield next(prepare(estimator, rows, signature, artifact))[1]


def _choice(possible: PossibleNulls, answers: Mapping[Null, _Answers]) -> _Choice:
    """Return what a null is, given what the estimator answers for each that it may be."""
    that_work = [null for null in possible.nulls if answers[null] is not None]
    is_date = Null.NA_OBJECT in possible.nulls
    if not possible.shown and not is_date and {Null.NAN, Null.NAN_OBJECT} <= {*that_work}:
        that_work.remove(Null.NAN_OBJECT)  # numbers are floats, unless they cannot be
    if not that_work:
        works = not possible.shown and answers[Null.NAN] is not None
        return Null.NAN if works else possible.nulls[0], False
    first, *others = that_work
    if all(_alike(answers[first], answers[other]) for other in others):
        return Null.NAN if _alike(answers[Null.NAN], answers[first]) else first, False
    return (first, True) if possible.shown else (None, False)


def _whole_rows(rows: Sequence[Row]) -> list[Row]:
    """Return some rows without nulls, made with values of other rows if there are none."""
    whole = [row for row in rows if None not in row][:_BASES]
    if whole or not rows:
        return whole
    columns = [[value for value in column if value is not None] or [None] for column in zip(*rows, strict=True)]
    return [tuple(column[number % len(column)] for column in columns) for number in range(min(_BASES, len(rows)))]


def _alike(some: _Answers, others: _Answers) -> bool:
    """Return whether answers are equal up to rounding, which depends on how the numbers lie in memory."""
    if not some or not others or len(some) != len(others):
        return False
    return all(map(_is_alike, some, others))


def _is_alike(answer: Any, other: Any) -> bool:
    if answer is None or isinstance(answer, list):
        return (answer is None and other is None) or _alike(answer, other)
    dtypes = {getattr(getattr(array, "dtype", None), "kind", "") for array in (answer, other)}
    if dtypes == {"f"} and not hasattr(answer, "indptr") and np.shape(answer) == np.shape(other):
        return bool(np.allclose(answer, other, rtol=1e-6, atol=1e-9, equal_nan=True))
    return same(other, answer)
