"""What the clients of an old service get: text, or JSON that is made of a template."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from contract.wording import shown
from gateway.problems import Problem, ProblemCode
from gateway.protocols import native


class AnswerColumn(StrEnum):
    """What an answer can have for a row."""

    PREDICTION = "prediction"
    PROBABILITIES = "probabilities"
    ID = "id"


Columns = Mapping[AnswerColumn, Sequence[Any]]
"""The values of each column, a row each."""


@dataclass(frozen=True)
class Constant:
    """The same value in each answer."""

    value: Any


@dataclass(frozen=True)
class EachRow:
    """A list with a value for each row; `as_text`: as a JSON text inside of the JSON, as pandas'
    `to_json(orient="records")` makes it."""

    of: Template
    as_text: bool = False


Template = AnswerColumn | Constant | EachRow | Mapping[str, "Template"] | tuple["Template", ...]
"""A JSON value to fill in: a column stands for its value in a row, a mapping for an object, a tuple for a list. Outside
of `EachRow` it is about the only row."""


@dataclass(frozen=True)
class TextAnswer:
    """The prediction of the only row as text, with `decimals` if it is a number; None: as Python writes it."""

    before: str
    decimals: int | None
    after: str

    content_type = "text/plain; charset=utf-8"
    columns = (AnswerColumn.PREDICTION,)
    one_row = True

    def write(self, rows: Columns) -> bytes:
        """Raises `Problem` for a prediction that is no number, if there are `decimals`."""
        (prediction,) = rows[AnswerColumn.PREDICTION]
        return f"{self.before}{self._text(prediction)}{self.after}".encode(errors="replace")

    def _text(self, prediction: Any) -> str:
        if prediction is None:
            return "nan"
        if self.decimals is None:
            return str(prediction)
        if not isinstance(prediction, int | float):
            raise unfit(f"answers {shown(prediction)}, which has no decimals")
        return f"{prediction:.{self.decimals}f}"


@dataclass(frozen=True)
class JsonAnswer:
    """A JSON value, made of a template."""

    template: Template

    content_type = "application/json"

    @property
    def columns(self) -> Sequence[AnswerColumn]:
        return [part for part, _ in _parts(self.template) if isinstance(part, AnswerColumn)]

    @property
    def one_row(self) -> bool:
        return any(isinstance(part, AnswerColumn) and not each_row for part, each_row in _parts(self.template))

    def write(self, rows: Columns) -> bytes:
        return native.line(_filled(self.template, rows, 0))


def _parts(template: Template, each_row: bool = False) -> Iterator[tuple[Template, bool]]:
    """Yield a template and all in it, and whether it is about each row."""
    yield template, each_row
    if isinstance(template, EachRow):
        yield from _parts(template.of, each_row=True)
    elif isinstance(template, Mapping | tuple):
        for part in template.values() if isinstance(template, Mapping) else template:
            yield from _parts(part, each_row)


def _filled(template: Template, rows: Columns, row: int) -> Any:
    if isinstance(template, AnswerColumn):
        return rows[template][row]
    if isinstance(template, Constant):
        return template.value
    if isinstance(template, EachRow):
        values = [_filled(template.of, rows, number) for number in range(len(rows[AnswerColumn.PREDICTION]))]
        return native.to_json(values).rstrip().replace("/", r"\/") if template.as_text else values  # as pandas has it
    if isinstance(template, tuple):
        return [_filled(part, rows, row) for part in template]
    return {name: _filled(part, rows, row) for name, part in template.items()}


def unfit(what: str) -> Problem:
    """Return the refusal for a model that cannot give the answer; `what` continues "the model of this address"."""
    detail = f"the model of this address {what}; change the route in ROUTES_FILE, or name another model there"
    return Problem(ProblemCode.UNFIT_MODEL, detail)
