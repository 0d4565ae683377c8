"""Explains the answers of a model to rows, as `contract.work.explanations` has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import fsum
from typing import Any, NamedTuple

import numpy as np

from contract.errors import Code, ModelgateError
from contract.model.signature import AnswerForm, OutputKind, RowFormat, Signature
from contract.row import Row, Value
from contract.rows.answer_columns import unnamed
from contract.work.explanations import MOST_ROWS, STRONGEST_WORDS, ExplainRequest
from scoring.explain.games import OTHER_WORDS, Columns, Names, Words
from scoring.explain.shapley import FEWEST_ROUNDS, Shapley, explain
from scoring.explain.structure import contributions
from scoring.files.answers import Scorable
from scoring.files.plan import Steps
from scoring.predict import predict, predict_columns


class _Explained(NamedTuple):
    """What is explained: `answer` returns it for rows. It is about the class `label`, the label with this `number`.
    `additive`: it is a number, a probability or a decision as the final estimator gives it."""

    answer: Callable[[Sequence[Row]], Any]
    label: Value = None
    number: int | None = None
    additive: bool = True


def explain_rows(
    model: Scorable, rows: Sequence[Row], background: Sequence[Row], request: ExplainRequest
) -> Steps[list[Mapping[str, Any]]]:
    """Return an explanation of the answer to each of these rows of the signature. `background` has such rows, at least
    one if they are those of a table. Yields 0 after each call of the model, and 1 after each row.

    Raises `ModelgateError` (`model_error`) if the model raises or answers what is no number, and `MemoryError`.
    """
    found = []
    for row in rows:
        try:
            found.append((yield from _explain_row(model, row, background, request)))
        except (ModelgateError, MemoryError):
            raise
        except Exception as error:  # of a step before the final estimator, which is asked by itself
            what = f"cannot be explained: {type(error).__name__}: {ascii(str(error))[:500]}"
            raise model.manifest.error(Code.MODEL_ERROR, what) from error
        yield 1
    return found


def _explain_row(
    model: Scorable, row: Row, background: Sequence[Row], request: ExplainRequest
) -> Steps[Mapping[str, Any]]:
    explained, signature = _explained(model, row, request), model.manifest.signature
    answer = _each_alone(explained.answer) if model.manifest.artifact.alone else explained.answer
    by_structure, game = None, _game(signature, row, background)
    if isinstance(game, Columns):
        by_structure = contributions(model, game, explained.number) if explained.additive else None
        if by_structure is None and not request.exact:
            most = max(1, MOST_ROWS // (2 * FEWEST_ROUNDS * len(row)))
            game = Columns(signature.names, row, background[:most])
    shapley = yield from explain(game, answer, exact=request.exact, seed=request.seed, by_structure=by_structure)
    if not np.isfinite([shapley.value, shapley.base, *shapley.contributions]).all():
        what = "answers mixtures of this row and its background with numbers that are not finite"
        raise model.manifest.error(Code.MODEL_ERROR, what)
    return _to_json(game, shapley, explained.label)


def _each_alone(answer: Callable[[Sequence[Row]], Any]) -> Callable[[Sequence[Row]], Any]:
    return lambda rows: np.concatenate([answer(rows[place : place + 1]) for place in range(len(rows))])


def _game(signature: Signature, row: Row, background: Sequence[Row]) -> Columns | Words | Names:
    if signature.format is RowFormat.TABLE:
        return Columns(signature.names, row, background)
    return Words.of(row[0]) if signature.format is RowFormat.TEXTS else Names.of(row[0])


def _explained(model: Scorable, row: Row, request: ExplainRequest) -> _Explained:
    outputs = model.manifest.signature.outputs
    place = next((at for at, output in enumerate(outputs) if output.name == request.output), 0)
    output, labels = outputs[place], outputs[place].shown_labels

    def column(rows: Sequence[Row], at: int = place) -> Any:
        return predict_columns(model.estimator, model.manifest, rows, model.kernel)[at]

    if output.kind is OutputKind.NUMBER:
        return _Explained(lambda rows: np.asarray(column(rows), dtype=np.float64))
    label = next((label for label in labels if str(label) == request.label), None)
    label = column([row])[0] if label is None else label
    number = labels.index(label) if label in labels else None
    if output.probabilities and number is not None:
        at = len(outputs) + sum(len(other.shown_labels) for other in outputs[:place]) + number
        return _Explained(lambda rows: column(rows, at), label, number)
    if decision := _decision(model, label, number):
        return _Explained(decision, label, number)
    return _Explained(lambda rows: np.array([float(value == label) for value in column(rows)]), label, additive=False)


def _decision(model: Scorable, label: Value, number: int | None) -> Callable[[Sequence[Row]], Any] | None:
    """Return what asks for the decision about a class, by its `decision_function`; None if there is none."""
    manifest = model.manifest
    signature, name = manifest.signature, "decision_function"
    method = signature.method(name) if len(signature.outputs) == 1 else None
    if method is None or number is None:
        return None

    def asked(rows: Sequence[Row]) -> Sequence[Any]:
        return predict(model.estimator, manifest, rows, model.kernel, name).values

    if method.answer is AnswerForm.LABELS:
        key = str(label)
        return lambda rows: np.array([one[key] for one in unnamed(asked(rows), signature) or ()], dtype=np.float64)
    if method.answer is AnswerForm.NUMBER and len(signature.output.shown_labels) == 2:
        return lambda rows: np.array(asked(rows), dtype=np.float64) * (1 if number else -1)
    return None


def _to_json(game: Columns | Words | Names, shapley: Shapley, label: Value) -> Mapping[str, object]:
    """Return what `contributions` adds up to, and how sure that is. Of a text, those of the strongest words."""
    order = range(len(game.players))
    if isinstance(game, Words):
        order = np.argsort(-np.abs(shapley.contributions), kind="stable")[:STRONGEST_WORDS].tolist()
    rest = sorted({*range(len(game.players))} - {*order})

    def by_player(values: Any) -> dict[str, float]:
        told = {game.players[number]: float(values[number]) for number in order}
        return {**told, OTHER_WORDS: told.get(OTHER_WORDS, 0.0) + fsum(values[rest])} if rest else told

    return {
        "class": label,
        "value": shapley.value,
        "base": shapley.base,
        "contributions": by_player(shapley.contributions),
        "errors": None if shapley.errors is None else by_player(shapley.errors),
        "exact": shapley.errors is None,
        "rows": shapley.rows,
    }
