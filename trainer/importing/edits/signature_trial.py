"""Tries the artifact of a version under an edited signature, in the throwaway process."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

from contract.errors import InvalidInstances, ModelgateError
from contract.model.manifest import ArtifactDraft, Golden, InputDtype, InputFormat, ManifestDraft
from contract.model.signature import Field, Kind, RowFormat, Signature
from contract.model.version_files import VersionFiles
from contract.row import Row, Value
from contract.rows.coercion import coerce
from contract.rows.instances import Records
from contract.rows.values import Conversion, Refusal
from contract.wording import listed
from scoring.artifacts import load
from scoring.estimators import call_method
from scoring.kernels import compared
from scoring.predict import Prediction, predict
from scoring.trust import Trust
from trainer.importing import Refused
from trainer.importing.files.reasons import explained
from trainer.importing.import_process import SignatureEdit
from trainer.importing.inputs import fitted_inputs as inputs
from trainer.importing.inputs.number_types import may_matter
from trainer.importing.other_libraries.described import Hint
from trainer.importing.trial.columns import MADE_UP
from trainer.importing.trial.examine import Examined
from trainer.publishing.independence import with_independence
from trainer.publishing.verify import difference

_MOST_ROWS = 1000
"""Most rows of one call."""

_LIKE_NUMBERS = frozenset({Kind.NUMBER, Kind.INTEGER, Kind.BOOLEAN})
_UNSEEN = "a text that no category has"


def try_edit(file: Path, edit: SignatureEdit) -> Examined:
    """Try the artifact in `file`, which the caller trusts. The golden rows of the draft are answered anew under the
    edited signature. Raises `Refused` with the cause, and `MemoryError`."""
    manifest = edit.manifest
    artifact = dataclasses.replace(manifest.artifact, file=file.name)
    try:
        estimator = load(dataclasses.replace(manifest, artifact=artifact), VersionFiles(file.parent), Trust())
    except ModelgateError as error:
        raise Refused(error.what) from None
    trial = _EditTrial(estimator, manifest.draft(), edit.signature)
    return Examined(trial.edited(), None, manifest.artifact.sha256, None)


class _EditTrial:
    """One estimator, with its manifest as it is and an edited signature."""

    def __init__(self, estimator: Any, old: ManifestDraft, new: Signature) -> None:
        self._estimator = estimator
        self._old = old
        self._new = new
        fitted, names = inputs.names(estimator), old.signature.names
        if fitted is not None and len(fitted) > len(names):
            names = fitted  # the model drops some columns, which are no inputs
        hints = dict(zip(names, inputs.hints(estimator, len(names)), strict=True))
        self._is_records = new.format is RowFormat.RECORDS
        self._rows = None if self._is_records else _EditedRows(old.golden.rows, old.signature, new, hints)

    def edited(self) -> ManifestDraft:
        """Return the edited manifest, if the model works under it. Raises `Refused`."""
        self._check_as_it_is()
        draft = self._under(self._new)
        if self._rows is None:
            rows = self._records()
        else:
            self._check_inputs(self._rows)
            rows = self._rows.adapted(self._rows.changed())
        self._check_unchanged(rows)
        self._check_names_of_numbers(rows)
        golden, example = self._golden(draft, rows), self._example(rows)
        draft = compared(dataclasses.replace(draft, golden=golden, example=example), self._estimator)
        return with_independence(self._estimator, draft, rows, shown_before=True)

    def _under(self, signature: Signature) -> ManifestDraft:
        """Return the manifest with another signature."""
        old = self._old
        artifact = _with_dtype(self._estimator, old.artifact, old.signature.inputs, signature.inputs)
        return dataclasses.replace(old, signature=signature, artifact=artifact)

    def _check_as_it_is(self) -> None:
        golden, first = self._old.golden, self._old.signature.methods[0].name
        if golden.rows and (wrong := difference(golden, self._answers(self._old, golden.rows, first))):
            raise Refused(f"does not answer as when it was published: {wrong}")

    # Inputs

    def _check_inputs(self, rows: _EditedRows) -> None:
        """Raise `Refused` for a change of an input with which the model does not work."""
        positions = rows.changed()
        wrong = self._wrong_with(positions, rows) if positions else None
        if wrong:
            # Trying thousands of inputs one by one would take minutes; that is worth it only to find the wrong one.
            alone = (self._wrong_with([position], rows) for position in positions)
            raise Refused(next(filter(None, alone), wrong))

    def _wrong_with(self, positions: Sequence[int], rows: _EditedRows) -> str | None:
        """Return why the model does not work if the inputs at `positions` alone change, or None if it does."""
        fields = rows.fields(positions)
        draft = self._under(dataclasses.replace(self._old.signature, inputs=tuple(fields)))
        names = listed([fields[position].name for position in positions])
        kinds = " and ".join(sorted({str(fields[position].kind) for position in positions}))
        with_nulls, more = rows.with_nulls(positions), list(rows.with_new_categories(positions))
        trials: list[tuple[str, str, Sequence[Row]]] = [
            (f"{names} as {kinds}", "leave kind and categories as they are", rows.adapted(positions)),
            (f"null in {names}", "leave nullable and null as they are", with_nulls),
            (f"a new text in {names}", "leave categories as they are", rows.with_unseen(positions)),
        ]
        for start in range(0, len(more), _MOST_ROWS):
            part = more[start : start + _MOST_ROWS]
            trials.append((f"the new categories of {names}", "leave out those that it does not know", part))
        for what, remedy, some in trials:
            if some and (why := self._why_not(draft, some, finite=some is with_nulls)):
                return f"does not work with {what} ({why}); {remedy}"
        return None

    def _why_not(self, draft: ManifestDraft, rows: Sequence[Row], finite: bool) -> str | None:
        """Return why the model does not answer these rows; `finite`: because an answer is null, too."""
        for method in draft.signature.methods:
            try:
                answers = predict(self._estimator, draft, rows, method=method.name)
            except ModelgateError as error:
                return explained(error.__cause__ or error)
            if finite and answers.warnings:
                return "it answers null"
        return None

    # Answers

    def _records(self) -> Sequence[Row]:
        records = [row[0] for row in self._old.golden.rows]
        try:
            return coerce(Records(records), self._new).rows
        except InvalidInstances as invalid:
            raise Refused(
                f"has golden rows that the edited signature refuses: {invalid}; leave kind as it is"
            ) from None

    def _check_unchanged(self, rows: Sequence[Row]) -> None:
        """Raise `Refused` if rows that the edit does not change get other numbers. Names and labels may differ."""
        before = self._old.golden.rows
        same = [row for old, row in zip(before, rows, strict=True) if _text(old) == _text(row)] if before else []
        if self._rows:
            same = [row for row in same if not self._rows.has_other_null(row)]
        old = dataclasses.replace(self._old.signature, inputs=self._new.inputs)
        for method in self._old.signature.methods if same else ():
            answers = [self._answers(draft, same, method.name) for draft in (self._old, self._under(old))]
            if _text(dataclasses.astuple(answers[0])) != _text(dataclasses.astuple(answers[1])):
                raise Refused(
                    "would answer rows differently that the edit does not change, because their numbers reach it in"
                    " another type; leave kind and nullable as they are"
                )

    def _check_names_of_numbers(self, rows: Sequence[Row]) -> None:
        for old, new in zip(self._old.signature.methods, self._new.methods, strict=True):
            if new.names is not None and new.names != old.names:
                draft = self._under(self._new)
                values = call_method(self._estimator, rows, draft.signature, draft.artifact, new.name)
                shape = np.shape(values)
                if len(shape) != 2 or shape[1] != len(new.names):
                    what = f"an array of the shape {shape} for {len(rows)} rows"
                    raise Refused(f"answers {new.name} with {what}, and {len(new.names)} names are given")

    def _golden(self, draft: ManifestDraft, rows: Sequence[Row]) -> Golden:
        answers, *_ = [self._answers(draft, rows, method.name) for method in draft.signature.methods]
        probabilities = None if answers.probabilities is None else tuple(answers.probabilities)
        return Golden(tuple(map(tuple, rows)), tuple(answers.values), probabilities)

    def _answers(self, draft: ManifestDraft, rows: Sequence[Row], method: str) -> Prediction:
        try:
            return predict(self._estimator, draft, rows, method=method)
        except ModelgateError as error:
            raise Refused(
                f"does not answer under the edited signature ({explained(error.__cause__ or error)}); change less of it"
            ) from None

    def _example(self, rows: Sequence[Row]) -> Mapping[str, Value]:
        """Return the example under the new names, with the values of a golden row if old ones may no longer fit."""
        old, new = self._old.signature, self._new
        example: dict[str, Any] = dict(self._old.example)
        if old.id_field != new.id_field:
            example.pop(old.id_field or "", None)
        if self._rows is None:
            return example
        names = dict(zip(old.names, new.names, strict=True))
        example = {names.get(name, name): value for name, value in example.items()}
        if self._rows.changed():
            whole = next((row for row in rows if None not in row), rows[0])
            example |= dict(zip(new.names, whole, strict=True))
        return example


def _with_dtype(estimator: Any, artifact: ArtifactDraft, old: Sequence[Field], new: Sequence[Field]) -> ArtifactDraft:
    """Return how the estimator takes rows of the `new` inputs: an array holds integers only if all inputs are."""
    if artifact.input_format is not InputFormat.ARRAY or artifact.input_dtype is InputDtype.FLOAT32:
        return artifact
    whole = all(field.kind is Kind.INTEGER and not field.nullable for field in new)
    dtype = artifact.input_dtype if whole else InputDtype.FLOAT64
    if whole and [field.kind for field in old] != [field.kind for field in new] and may_matter(estimator):
        dtype = InputDtype.INT64
    return dataclasses.replace(artifact, input_dtype=dtype)


def _text(value: object) -> str:
    """Return a value as text that differs for 1, 1.0 and true."""
    return json.dumps(value)


# Rows under an edited signature


class _EditedRows:
    """The golden rows of one version before and after its signature is edited. Old values that no longer fit are
    replaced. `hints` are by the name of an input."""

    def __init__(self, golden: Sequence[Row], old: Signature, new: Signature, hints: Mapping[str, Hint]) -> None:
        self._hints = hints
        self._fields = list(zip(old.inputs, new.inputs, strict=True))
        self.golden = list(golden) or [self._made_up_row(old.inputs, number) for number in range(2)]

    def changed(self) -> list[int]:
        """Return the positions of the inputs that take other values than before."""
        return [position for position, (old, new) in enumerate(self._fields) if _takes(old) != _takes(new)]

    def fields(self, positions: Collection[int]) -> list[Field]:
        """Return the inputs under their old names, those at `positions` taking what they take after the edit."""
        return [
            dataclasses.replace(new, name=old.name, aliases=old.aliases) if position in positions else old
            for position, (old, new) in enumerate(self._fields)
        ]

    def adapted(self, positions: Collection[int]) -> list[Row]:
        """Return the golden rows, valid with the changes of the inputs at `positions`."""
        columns = {position: self._column(position) for position in positions}
        return [
            tuple(columns[position][number] if position in positions else value for position, value in enumerate(row))
            for number, row in enumerate(self.golden)
        ]

    def with_nulls(self, positions: Collection[int]) -> list[Row]:
        """Return rows with null in all inputs at `positions` that become nullable, or whose null becomes another; none
        if there are none."""
        nulls = [place for place in positions if self._fields[place][1].nullable and self._changes_null(place)]
        return self._with(positions, dict.fromkeys(nulls)) if nulls else []

    def has_other_null(self, row: Row) -> bool:
        """Return whether a null in it is another to the estimator after the edit."""
        return any(value is None and self._changes_null(position) for position, value in enumerate(row))

    def _changes_null(self, position: int) -> bool:
        old, new = self._fields[position]
        return (old.nullable, old.null) != (new.nullable, new.null)

    def with_unseen(self, positions: Collection[int]) -> list[Row]:
        """Return rows with an unknown text in all inputs at `positions` that take any text from now on."""
        opened = [
            position
            for position in positions
            if (old := self._fields[position][0]).categories is not None
            and (new := self._fields[position][1]).categories is None
            and old.kind is new.kind is Kind.STRING
        ]
        return self._with(positions, dict.fromkeys(opened, _UNSEEN)) if opened else []

    def with_new_categories(self, positions: Collection[int]) -> Iterator[Row]:
        """Yield a row for each category that an input at `positions` gets."""
        for position in positions:
            old, new = self._fields[position]
            for category in new.categories or ():
                if category not in (old.categories or ()):
                    yield self._with(positions, {position: category})[0]

    def _with(self, positions: Collection[int], values: Mapping[int, Value]) -> list[Row]:
        """Return two adapted rows, the first with these values."""
        first, *others = self.adapted(positions)
        return [tuple(values.get(position, value) for position, value in enumerate(first)), *others[:1]]

    def _column(self, position: int) -> list[Value]:
        """Return the values of an input in the golden rows after the edit."""
        old, new = self._fields[position]
        kept = [_converted(row[position], old, new) for row in self.golden]
        others: Sequence[Value] = [v for v in kept if v is not None and not isinstance(v, Refusal)]
        others = others or self._values(new, old.name)
        return [others[n % len(others)] if isinstance(value, Refusal) else value for n, value in enumerate(kept)]

    def _made_up_row(self, fields: Sequence[Field], number: int) -> Row:
        values = [self._values(field, field.name) for field in fields]
        return tuple(some[number % len(some)] for some in values)

    def _values(self, field: Field, name: str) -> Sequence[Value]:
        """Return some values for an input: what the estimator has seen, if it shows that; otherwise made-up ones."""
        hint = self._hints.get(name)
        seen = hint.values if hint is not None and hint.kind is field.kind else ()
        return field.categories or seen or MADE_UP[field.kind]


_takes = attrgetter("kind", "nullable", "categories", "naive", "zone", "nanoseconds", "float32", "null")


def _converted(value: Value, old: Field, new: Field) -> Value | Refusal:
    """Return a value of a golden row as the edited input takes it. Texts and dates do not become another kind: that a
    text looks like a number does not mean that the model reads it as one."""
    conversion = Conversion.for_field(new)
    if value is None:
        return conversion.null
    if old.kind is not new.kind and not {old.kind, new.kind} <= _LIKE_NUMBERS:
        return Refusal("another_kind", f"a {new.kind}")
    return conversion.convert(value)
