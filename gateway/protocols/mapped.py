"""An address of an old service: rows in its path or in a body of JSON, and the answer that its clients expect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contract.errors import FieldError, InvalidInstances
from contract.model.signature import PREDICT, Output, OutputKind, RowFormat, Signature
from contract.row import Value
from contract.rows.instances import Instances
from contract.wording import shown
from contract.work.jobs import Job
from gateway.protocols import native
from gateway.protocols.mapped_answers import AnswerColumn, JsonAnswer, TextAnswer, unfit
from gateway.protocols.mapped_rows import RequestRows

Numbers = Mapping[str, int | float]
"""The number that stands for each label in the answers of an old service."""


@dataclass(frozen=True)
class MappedRoute:
    """One address. `variables` are the names in the path of a GET, which are the fields of its row; with `exact`, the
    path has no other spelling. `model`: `loan`, `loan@3` or `loan@canary`. `rows`: how clients send theirs. `numbers`:
    what stands for the labels, if they are not answered as they are.

    `media_type`: that of an answer, if it is not the usual one. `require_media_type`: a body without one is refused as
    one of another. `status`: that of an answer. `statuses`: those of problems by code, where they are not ours.
    `error`: the members of an error, each with what it holds: `status`, `code` or `message`; None: errors are problems.
    `key`: the name of the key whose rights callers without a key have.
    """

    method: str
    path: str
    exact: bool
    variables: tuple[str, ...]
    model: str
    rows: RequestRows
    answer: TextAnswer | JsonAnswer
    numbers: Numbers | None
    media_type: str | None
    require_media_type: bool
    status: int
    statuses: Mapping[str, int]
    error: Mapping[str, str] | None
    key: str | None

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def begin(self) -> str:
        """The path up to its first variable."""
        return self.path.partition("<")[0].rstrip("/")

    @property
    def content_type(self) -> str:
        return self.media_type or self.answer.content_type

    def read_path(self, values: Mapping[str, str], signature: Signature) -> Instances:
        """Return the row in the variables of a path."""
        return self.rows.named(native.read_fields(values.items()), signature)

    def read_body(self, body: bytes, signature: Signature) -> Instances:
        """Return the rows in a body of JSON. Raises `MalformedBody`, and `InvalidInstances` also for several rows, if
        the answer is about one."""
        rows = self.rows.read(body, signature)
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
        self.rows.check(signature)
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
        sent = self.rows.sent_as(self.variables)
        for variable, name in zip(self.variables, sent, strict=True):
            if name not in spellings and name != signature.id_field:
                raise unfit(f"has no input {variable!r}, which the path names")
        filled = {spellings.get(name) for name in (*sent, *self.rows.sent_as(self.rows.defaults or ()))}
        for name in signature.names:
            if name not in filled:
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


def _one_with_probabilities(outputs: Sequence[Output]) -> bool:
    return len(outputs) == 1 and outputs[0].probabilities


def _without_ids(id_field: str | None) -> Sequence[Value]:
    message = f"the rows have no {shown(id_field)}, which the answer of this address names them by"
    raise InvalidInstances([FieldError(None, id_field, "missing_field", message)])
