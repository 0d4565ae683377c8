"""Explains the answers of a model to rows, as `contract.work.explanations` has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import fsum
from typing import Any, NamedTuple

import numpy as np

from contract.errors import Code
from contract.model.signature import AnswerForm, OutputKind, RowFormat
from contract.row import Row, Value
from contract.work.explanations import MOST_ROWS, STRONGEST_WORDS, ExplainRequest
from scoring.explain.games import OTHER_WORDS, Columns, Names, Words
from scoring.explain.shapley import FEWEST_ROUNDS, Shapley, explain
from scoring.explain.structure import contributions
from scoring.files.answers import Scorable
from scoring.files.plan import Steps
from scoring.predict import predict, predict_columns


class _Explained(NamedTuple):
    """What is explained: `answer` returns it for rows. `label`: the class that it is about; `number`: that of the
    class; `additive`: it is a number or a probability of the final estimator."""

    answer: Callable[[Sequence[Row]], Any]
    label: Value = None
    number: int | None = None
    additive: bool = True


def explain_row(
    model: Scorable, row: Row, background: Sequence[Row], request: ExplainRequest
) -> Steps[Mapping[str, object]]:
    """Return the explanation of the answer to a row of the signature. `background` has such rows, at least one if rows
    are those of a table. Yields after each call of the model.

    Raises `ModelgateError` (`model_error`) if the model raises or answers what is no number, and `MemoryError`.
    """
    explained, signature = _explained(model, row, request), model.manifest.signature
    by_structure, options = None, {"exact": request.exact, "seed": request.seed}
    if signature.format is RowFormat.TABLE:
        game: Columns | Words | Names = Columns(signature.names, row, background)
        if explained.additive:
            by_structure = contributions(model, game, explained.number)
        if by_structure is None and not request.exact:
            most = max(1, MOST_ROWS // (2 * FEWEST_ROUNDS * len(row)))
            game = Columns(signature.names, row, background[:most])
    else:
        game = Words.of(row[0]) if signature.format is RowFormat.TEXTS else Names.of(row[0])
    shapley = yield from explain(game, explained.answer, by_structure=by_structure, **options)
    if not np.isfinite([shapley.value, shapley.base, *shapley.contributions]).all():
        what = "answers mixtures of this row and its background with numbers that are not finite"
        raise model.manifest.error(Code.MODEL_ERROR, what)
    return _to_json(game, shapley, explained.label)


def _explained(model: Scorable, row: Row, request: ExplainRequest) -> _Explained:
    manifest = model.manifest
    signature, outputs = manifest.signature, manifest.signature.outputs
    place = next((at for at, output in enumerate(outputs) if output.name == request.output), 0)
    output = outputs[place]

    def column(at: int) -> Callable[[Sequence[Row]], Any]:
        return lambda rows: np.asarray(
            predict_columns(model.estimator, manifest, rows, model.kernel)[at], dtype=np.float64
        )

    if output.kind is OutputKind.NUMBER:
        return _Explained(column(place))
    predicted = predict_columns(model.estimator, manifest, [row], model.kernel)[place][0]
    label = next((label for label in output.shown_labels if str(label) == request.label), predicted)
    number = next((at for at, known in enumerate(output.shown_labels) if known == label), None)
    if output.probabilities and number is not None:
        before = sum(len(other.shown_labels) for other in outputs[:place])
        return _Explained(column(len(outputs) + before + number), label, number)
    if (decision := _decision(model, label, number)) is not None:
        return _Explained(decision, label, additive=False)
    predicted_as = lambda rows: predict_columns(model.estimator, manifest, rows, model.kernel)[place]
    return _Explained(lambda rows: np.array([float(value == label) for value in predicted_as(rows)]), label, additive=False)


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
        return lambda rows: np.array([decisions[str(label)] for decisions in asked(rows)], dtype=np.float64)
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
