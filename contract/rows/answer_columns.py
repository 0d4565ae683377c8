"""What a method of a model answers, as columns of a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from contract.model.signature import EXPLAIN, PREDICT, AnswerForm, Method, OutputKind, RowFormat, Signature
from contract.row import Answer


def answer_names(signature: Signature, method: str, kept: Iterable[str]) -> list[str]:
    """Return the names of the columns that a method adds to the columns `kept`.

    `predict` adds `prediction`, or a column for each output that has a name; then `probability_<class>` and `score`, or
    `probability_<output>_<class>`. A method with names adds `<method>_<name>`, any other a column with its own name. An
    explanation adds `base`, `value`, `class` if the model answers with classes, `error`, and `contribution_<input>`, or
    `contributions` of a text or a record. A name that is taken gets `prediction_` before it, or `_2`, `_3` behind it.
    """
    taken = {name.lower() for name in kept}
    names: list[str] = []
    for name in _wanted_names(signature, method):
        tries = [name, *([f"prediction_{name}"] if name in _output_names(signature) else [])]
        free = next((candidate for candidate in tries if candidate.lower() not in taken), None)
        number = 2
        while free is None:
            free = f"{name}_{number}" if f"{name}_{number}".lower() not in taken else None
            number += 1
        taken.add(free.lower())
        names.append(free)
    return names


def _output_names(signature: Signature) -> list[str]:
    return [output.name for output in signature.outputs if output.name is not None]


def _wanted_names(signature: Signature, method: str) -> Iterator[str]:
    if method == EXPLAIN:
        yield from ("base", "value", *(["class"] if explains_classes(signature) else []), "error")
        is_table = signature.format is RowFormat.TABLE
        yield from [f"contribution_{name}" for name in signature.names] if is_table else ["contributions"]
        return
    if method != PREDICT.name:
        yield from (f"{prefix}_{name}" if name else prefix for prefix, name in _other_names(signature, method))
        return
    outputs = signature.outputs
    yield from _output_names(signature) or ["prediction"]
    if outputs[0].probabilities:
        yield from (f"probability_{name}" for name in _labels(signature))
    if outputs[0].scores:
        yield "score"


def _other_names(signature: Signature, name: str) -> list[tuple[str, str]]:
    method = _method(signature, name)
    prefix = "probability" if name == "predict_proba" else name
    if method.answer is AnswerForm.LABELS:
        return [(prefix, label) for label in _labels(signature)]
    if method.answer is AnswerForm.NAMED:
        return [(prefix, column) for column in method.names or _output_names(signature)]
    return [(name, "")]


def _labels(signature: Signature) -> Iterator[str]:
    for output in signature.outputs:
        for label in output.shown_labels:
            yield str(label) if output.name is None else f"{output.name}_{label}"


def _method(signature: Signature, name: str) -> Method:
    method = signature.method(name)
    if method is None:
        raise ValueError(f"the signature has no method {name!r}")
    return method


def explains_classes(signature: Signature) -> bool:
    """Return whether explanations have a column with the class that is explained, as text."""
    return any(output.kind is OutputKind.CLASS for output in signature.outputs)


def unnamed(answers: Sequence[Any] | None, signature: Signature) -> Sequence[Any] | None:
    """Return answers, or numbers by label, of the only output without its name, if it has one; those of several as they
    are."""
    if answers is None or len(signature.outputs) != 1 or (name := signature.output.name) is None:
        return answers
    return [answer and answer[name] for answer in answers]


def answer_columns(
    values: Sequence[Answer],
    probabilities: Sequence[Answer] | None,
    scores: Sequence[Answer] | None,
    signature: Signature,
    method: str,
) -> Iterator[Sequence[Any]]:
    """Yield what a method answered for each row as the columns of `answer_names`. A row that was not scored has None
    in place of each answer."""
    answers: Any = values
    if method == EXPLAIN:
        yield from ([answer and answer[name] for answer in answers] for name in ("base", "value"))
        if explains_classes(signature):
            yield [answer and str(answer["class"]) for answer in answers]
        yield [answer and max((answer["errors"] or {}).values(), default=None) for answer in answers]
        told = [answer and answer["contributions"] for answer in answers]
        is_table = signature.format is RowFormat.TABLE
        yield from ([one and one[name] for one in told] for name in signature.names) if is_table else [told]
        return
    if method == PREDICT.name:
        names = _output_names(signature)
        yield from ([value and value[name] for value in answers] for name in names) if names else [answers]
        if signature.outputs[0].probabilities:
            yield from _by_label(probabilities, signature)
        if signature.outputs[0].scores:
            yield scores or ()
        return
    form = _method(signature, method).answer
    if form is AnswerForm.LABELS:
        yield from _by_label(answers, signature)
    elif form is AnswerForm.NAMED:
        yield from ([value and value[name] for value in answers] for _, name in _other_names(signature, method))
    else:
        yield answers


def _by_label(values: Any, signature: Signature) -> Iterator[list[Any]]:
    for output in signature.outputs:
        output_values = values if output.name is None else [value and value[output.name] for value in values]
        for label in map(str, output.shown_labels):
            yield [value and value[label] for value in output_values]
