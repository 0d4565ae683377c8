"""Compares what Modelgate answers with what the process answered that has fitted the model."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, Protocol

import numpy as np

from contract.model.manifest import ModelManifest
from contract.model.signature import AnswerForm, OutputKind, RowFormat, Signature

RELATIVE = 1e-12
"""How far a number may be from the other where the last digits may differ."""
BESIDE_OTHERS, OF_FLOAT32 = 1e-9, 1e-5
"""How far if the rows of a batch or the method before differ; the second one where all answers are float32."""
_ABSOLUTE = 1e-15
JSON, CSV = "application/json", "text/csv"
OTHER_BATCHES = ("client, each row alone", "Parquet file", "CSV file")
"""Dialects whose rows are scored in other batches, on which the last digits of a product of matrices depend."""
REFUSES_NULL = re.compile(r"null in .* is refused: .*; publish it from Python with its rows \(X\), or set", re.DOTALL)
Output = Mapping[str, Any]
Ways = Iterator[tuple[str, Callable[[], Output]]]


class Rejected(Exception):
    """Modelgate does not answer a question; the message is its own."""


@dataclass(frozen=True)
class Question:
    """A request's body in one dialect."""

    dialect: str
    media_type: str
    body: bytes


class Served(Protocol):
    """A model that Modelgate serves."""

    @property
    def manifest(self) -> ModelManifest: ...

    @property
    def signature(self) -> Signature: ...

    def ask_at_once(self, requests: Sequence[tuple[str, Question]]) -> Sequence[Output | Rejected]:
        """Return the outputs of requests that wait together."""

    def other_ways(self, written: Mapping[str, Any]) -> Ways:
        """Yield other ways to ask for predictions of the rows: a name, and what returns the output."""


def asked(served: Served, method: str, question: Question) -> Output:
    """Return the output of one request. Raises `Rejected`."""
    (output,) = served.ask_at_once([(method, question)])
    if isinstance(output, Rejected):
        raise output
    return output


def differences(written: Mapping[str, Any], rounding: bool, served: Served) -> Iterator[str]:
    """Yield how the answers differ from those `written` by `tests.qa.zoo.fit`, for each method and dialect.

    `rounding`: the last digits may differ.
    """
    signature = served.signature
    listed = [method.name for method in signature.methods]
    beside_them = {"predict_proba"} if any(output.probabilities for output in signature.outputs) else set()
    for method in written["answers"]:
        if method not in listed and method not in beside_them:
            yield f"{method} is not served"
    for method in listed:
        if method not in written["answers"]:
            yield f"{method} is served, and raised where it was fitted"
            continue
        ways: Ways = (
            (question.dialect, partial(asked, served, method, question)) for question in questions(written, signature)
        )
        if method == "predict":
            ways = chain(ways, served.other_ways(written))
        for dialect, ask in ways:
            try:
                output = ask()
            except Rejected as error:
                yield f"{method}, {dialect}: {error}"
                continue
            relative = RELATIVE if rounding or dialect in OTHER_BATCHES else 0.0
            if said := difference(method, written, output, signature, relative):
                yield f"{method}, {dialect}: {said}"


def without_nulls(written: Mapping[str, Any], served: Served) -> Mapping[str, Any]:
    """Return what was written without rows with null, if the model refuses null and says in a warning what to do."""
    told = any(REFUSES_NULL.match(warning) for warning in served.manifest.warnings)
    kept = [index for index, row in enumerate(written["rows"]) if None not in row]
    refused = [row for row in written["rows"] if None in row]
    if not told or not refused:
        return written
    rows = [dict(zip(written["columns"], row, strict=True)) for row in refused]
    with suppress(Rejected):
        asked(served, "predict", Question("objects", JSON, json.dumps(rows).encode()))
        raise AssertionError("null is answered, and a warning says that it is refused")
    of_kept = {
        part: {method: [rows[index] for index in kept] for method, rows in written[part].items()}
        for part in ("answers", "alone")
    }
    return {**written, "rows": [written["rows"][index] for index in kept], **of_kept}


def questions(written: Mapping[str, Any], signature: Signature) -> Iterator[Question]:
    """Yield the rows in three dialects, and those of a model of an array with numbers as names."""
    rows = written["rows"]
    if signature.format is RowFormat.TABLE:
        columns = written["columns"] or list(signature.names)
        objects = [dict(zip(columns, row, strict=True)) for row in rows]
        spellings = [{field.name, *field.aliases} for field in signature.inputs]
        places = [index for names in spellings for index, column in enumerate(columns) if column in names]
        lists = [[row[index] for index in places] for row in rows]
        yield Question("objects", JSON, json.dumps(objects).encode())
        yield Question("lists", JSON, json.dumps({"instances": lists}).encode())
        yield Question("CSV", CSV, _csv([columns, *rows]))
        if signature.nameless and len(lists[0]) == len(signature.inputs):
            numbers = [*reversed(range(len(lists[0])))]
            split = {"columns": numbers, "data": [row[::-1] for row in lists]}
            yield Question("columns by number", JSON, json.dumps({"dataframe_split": split}).encode())
    elif signature.format is RowFormat.TEXTS:
        texts = [row if isinstance(row, str) else row[0] for row in rows]
        yield Question("texts", JSON, json.dumps(texts).encode())
        yield Question("objects", JSON, json.dumps([{signature.names[0]: text} for text in texts]).encode())
        yield Question("CSV", CSV, _csv([["text"], *([text] for text in texts)]))
    else:
        yield Question("objects", JSON, json.dumps(rows).encode())
        yield Question("instances", JSON, json.dumps({"instances": rows}).encode())
        if not any(isinstance(value, bool | list) for row in rows for value in row.values()):
            names = list(dict.fromkeys(name for row in rows for name in row))
            yield Question("CSV", CSV, _csv([names, *([row.get(name) for name in names] for row in rows)]))


def _csv(lines: Sequence[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    # Blanks after a separator count only in quotation marks.
    blanks = any(isinstance(cell, str) and cell[:1].isspace() for line in lines[1:] for cell in line)
    # Numbers get the shortest digits that read as the same number.
    csv.writer(text, quoting=csv.QUOTE_NONNUMERIC if blanks else csv.QUOTE_MINIMAL).writerows(lines)
    return text.getvalue().encode()


def difference(
    method: str,
    written: Mapping[str, Any],
    output: Mapping[str, Any],
    signature: Signature,
    relative: float = BESIDE_OTHERS,
) -> str | None:
    """Return how an output differs from the answers that were written."""
    expected = written["answers"]
    answers = output["predictions"]
    form = next(served for served in signature.methods if served.name == method)
    if said := of_table(expected[method], answers, form.answer, relative):
        return said
    if method == "transform" and written["names"] and isinstance(answers[0], dict):
        unknown = {name for row in answers for name in row} - set(written["names"])
        if unknown:
            return f"it answers {sorted(unknown)[0]!r}, which get_feature_names_out does not name"
    if method != "predict":
        return None
    if signature.outputs[0].kind is OutputKind.CLASS and _types(expected[method]) != _types(answers):
        return f"the types are {_types(answers)} instead of {_types(expected[method])}"
    for beside, method_beside in (("probabilities", "predict_proba"), ("scores", "decision_function")):
        if output.get(beside) is None:
            if beside == "probabilities" and method_beside in expected and "predict_proba" not in _names(signature):
                return "it answers without probabilities"
        elif method_beside not in expected:
            return f"it answers with {beside}, and {method_beside} raised where it was fitted"
        elif said := of_table(expected[method_beside], output[beside], AnswerForm.NUMBERS, relative):
            return f"{beside}: {said}"
    tables = output.get("probabilities")
    if tables and written["labels"] and list(tables[0]) != written["labels"]:
        return f"the probabilities are those of {list(tables[0])} instead of {written['labels']}"
    return None


def _names(signature: Signature) -> list[str]:
    return [method.name for method in signature.methods]


def of_table(
    expected: Sequence[Sequence[Any]], answers: Sequence[Any], form: AnswerForm, relative: float
) -> str | None:
    """Return how answers differ from the expected values of each row."""
    if len(answers) != len(expected):
        return f"{len(answers)} answers to {len(expected)} rows"
    if relative == BESIDE_OTHERS and _are_float32(expected):
        relative = OF_FLOAT32
    for index, (old, row) in enumerate(zip(expected, answers, strict=True)):
        old, new = list(old), list(flat(row))
        if form is AnswerForm.NONZERO:
            old = [value for value in old if value != 0]
        if old != new and not (relative and _close(old, new, relative)):
            return f"row {index} is {_short(new)} instead of {_short(old)}"
    return None


def _close(old: Sequence[Any], new: Sequence[Any], relative: float) -> bool:
    return len(old) == len(new) and all(
        first == other
        or (
            isinstance(first, float)
            and isinstance(other, float)
            and math.isclose(first, other, rel_tol=relative, abs_tol=_ABSOLUTE)
        )
        for first, other in zip(old, new, strict=True)
    )


def _are_float32(rows: Sequence[Sequence[Any]]) -> bool:
    numbers = np.array([value for row in rows for value in row if isinstance(value, float)])
    with np.errstate(over="ignore"):
        return bool((numbers.astype(np.float32) == numbers).all())


def flat(answer: Any) -> Iterator[Any]:
    """Yield the values in an answer in their order."""
    if isinstance(answer, dict):
        answer = list(answer.values())
    if not isinstance(answer, list):
        yield answer
        return
    for inner in answer:
        yield from flat(inner)


def _types(rows: Sequence[Any]) -> list[str]:
    return sorted({type(value).__name__ for row in rows for value in flat(row)})


def _short(values: Sequence[Any]) -> str:
    text = json.dumps(values)
    return text if len(text) < 120 else f"{text[:120]}… ({len(values)} values)"
