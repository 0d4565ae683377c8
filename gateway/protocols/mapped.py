"""An address of an old service: rows in its path or in a body of JSON, and the answer that its clients expect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from contract.errors import FieldError, InvalidInstances
from contract.model.signature import PREDICT, Output, OutputKind, RowFormat, Signature
from contract.row import Value
from contract.rows.instances import Instances
from contract.wording import shown
from contract.work.jobs import Job
from gateway.problems import Problem, ProblemCode
from gateway.protocols import native

Numbers = Mapping[str, int | float]
"""The number that stands for each label in the answers of an old service."""


class AnswerColumn(StrEnum):
    """What an answer can have for a row."""

    PREDICTION = "prediction"
    PROBABILITIES = "probabilities"
    ID = "id"


@dataclass(frozen=True)
class TextAnswer:
    """The prediction of the only row as text, with `decimals` if it is a number; None: as Python writes it."""

    before: str
    decimals: int | None
    after: str

    content_type = "text/plain; charset=utf-8"
    columns = (AnswerColumn.PREDICTION,)
    one_row = True

    def write(self, rows: Mapping[AnswerColumn, Sequence[Any]]) -> bytes:
        """Raises `Problem` for a prediction that is no number, if there are `decimals`."""
        (prediction,) = rows[AnswerColumn.PREDICTION]
        return f"{self.before}{self._text(prediction)}{self.after}".encode()

    def _text(self, prediction: Any) -> str:
        if prediction is None:
            return "nan"
        if self.decimals is None:
            return str(prediction)
        if not isinstance(prediction, int | float):
            raise unfit(f"answers {shown(prediction)}, which has no decimals")
        return f"{prediction:.{self.decimals}f}"


@dataclass(frozen=True)
class RowsAsText:
    """A JSON text inside of JSON: an object for each row, as pandas' `to_json(orient="records")` makes it."""

    members: Mapping[str, AnswerColumn]

    def write(self, rows: Mapping[AnswerColumn, Sequence[Any]]) -> str:
        columns = zip(*(rows[column] for column in self.members.values()), strict=True)
        return native.to_json([dict(zip(self.members, row, strict=True)) for row in columns]).rstrip()


@dataclass(frozen=True)
class JsonAnswer:
    """An object. A column stands for its value in the only row."""

    members: Mapping[str, AnswerColumn | RowsAsText]

    content_type = "application/json"

    @property
    def columns(self) -> Sequence[AnswerColumn]:
        return [
            column
            for member in self.members.values()
            for column in (member.members.values() if isinstance(member, RowsAsText) else [member])
        ]

    @property
    def one_row(self) -> bool:
        return any(isinstance(member, AnswerColumn) for member in self.members.values())

    def write(self, rows: Mapping[AnswerColumn, Sequence[Any]]) -> bytes:
        members = {
            name: member.write(rows) if isinstance(member, RowsAsText) else rows[member][0]
            for name, member in self.members.items()
        }
        return native.line(members)


@dataclass(frozen=True)
class MappedRoute:
    """One address. `variables` are the names in the path of a GET, which are the fields of its row. `model`: `loan`,
    `loan@3` or `loan@canary`. `numbers`: what stands for the labels, if they are not answered as they are.

    `status`: that of an answer. `statuses`: those of problems by code, where they are not ours. `error`: the members of
    an error, each with what it holds: `status`, `code` or `message`; None: errors are problems. `key`: the name of the
    key whose rights callers without a key have.
    """

    method: str
    path: str
    variables: tuple[str, ...]
    model: str
    answer: TextAnswer | JsonAnswer
    numbers: Numbers | None
    status: int
    statuses: Mapping[str, int]
    error: Mapping[str, str] | None
    key: str | None

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def read_body(self, body: bytes, signature: Signature) -> Instances:
        """Return the rows in a body of JSON. Raises `MalformedBody`, and `InvalidInstances` also for several rows, if
        the answer is about one."""
        rows = native.read(body, signature)
        if self.answer.one_row and len(rows.rows) > 1:
            message = f"this address takes one row; the body has {len(rows.rows)}"
            raise InvalidInstances([FieldError(None, None, "not_a_row", message)])
        return rows

    def write(self, job: Job, signature: Signature) -> bytes:
        """Return the body. Raises `InvalidInstances` for rows without the id that the answer needs, and `Problem` for a
        prediction that the answer cannot hold."""
        output: Mapping[str, Any] = job.output or {}
        rows: dict[AnswerColumn, Sequence[Any]] = {
            AnswerColumn.PREDICTION: [self._number(prediction) for prediction in output["predictions"]]
        }
        if AnswerColumn.PROBABILITIES in self.answer.columns:
            rows[AnswerColumn.PROBABILITIES] = [row and [*row.values()] for row in output["probabilities"]]
        if AnswerColumn.ID in self.answer.columns:
            rows[AnswerColumn.ID] = output["ids"] or _without_ids(signature.id_field)
        return self.answer.write(rows)

    def write_error(self, status: int, code: str, sentence: str) -> tuple[object, Mapping[str, str]]:
        """Return an error in the shape of the old service."""
        values = {"status": status, "code": code, "message": sentence}
        return {name: values[what] for name, what in (self.error or {}).items()}, {}

    def check_fit(self, signature: Signature) -> None:
        """Raise `Problem` if a model with this signature cannot give the answer."""
        if signature.method(PREDICT.name) is None:
            raise unfit("has no predict")
        self._check_inputs(signature)
        if AnswerColumn.PROBABILITIES in self.answer.columns and not _one_with_probabilities(signature.outputs):
            raise unfit("has no probabilities, which the answer needs")
        if AnswerColumn.ID in self.answer.columns and signature.id_field is None:
            raise unfit("has no column of ids, which the answer needs")
        for output in signature.outputs:
            self._check_output(output, len(signature.outputs))

    def _check_inputs(self, signature: Signature) -> None:
        if self.method != "GET" or signature.format is not RowFormat.TABLE:
            return
        spellings = {word: field.name for field in signature.inputs for word in (field.name, *field.aliases)}
        for name in self.variables:
            if name not in spellings and name != signature.id_field:
                raise unfit(f"has no input {name!r}, which the path names")
        for name in signature.names:
            if name not in {spellings.get(variable) for variable in self.variables}:
                raise unfit(f"has the input {name!r}, which the path does not name")

    def _check_output(self, output: Output, count: int) -> None:
        if isinstance(self.answer, TextAnswer) and count > 1:
            raise unfit(f"answers {count} values for a row, and a text holds one")
        if output.kind is not OutputKind.CLASS:
            return
        for label in output.shown_labels:
            answered = self._number(label)
            if isinstance(self.answer, TextAnswer):
                self.answer.write({AnswerColumn.PREDICTION: [answered]})

    def _number(self, prediction: Any) -> Any:
        if self.numbers is None or not isinstance(prediction, str):
            return prediction
        if prediction not in self.numbers:
            raise unfit(f"answers {shown(prediction)}, for which `numbers` has no number")
        return self.numbers[prediction]


def unfit(what: str) -> Problem:
    """Return the refusal for a model that cannot give the answer; `what` continues "the model of this address"."""
    detail = f"the model of this address {what}; change the route in ROUTES_FILE, or name another model there"
    return Problem(ProblemCode.UNFIT_MODEL, detail)


def _one_with_probabilities(outputs: Sequence[Output]) -> bool:
    return len(outputs) == 1 and outputs[0].probabilities


def _without_ids(id_field: str | None) -> Sequence[Value]:
    message = f"the rows have no {shown(id_field)}, which the answer of this address names them by"
    raise InvalidInstances([FieldError(None, id_field, "missing_field", message)])
