"""ROUTES_FILE: the addresses of old services, the model that answers each of them, and the answer that its clients
expect. `docs/reference/routes-file.md` has every setting."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from contract.errors import Code
from contract.model.repository import valid_name
from contract.wording import listed, shown
from contract.work.api_keys import NAME as KEY_NAME
from gateway.problems import ProblemCode
from gateway.problems.problem import did_you_mean
from gateway.protocols.mapped import MappedRoute, Numbers
from gateway.protocols.mapped_answers import AnswerColumn, Constant, EachRow, JsonAnswer, Template, TextAnswer
from gateway.protocols.mapped_rows import RequestRows

REFERENCE = "reference"
"""The name of a variable that stands for the model in our own paths."""

_REQUIRED = ("method", "path", "model", "answer")
_OPTIONAL = (
    *("rows", "inputs", "defaults", "numbers", "media_type", "status", "malformed", "unsupported", "invalid"),
    *("failed", "expired", "error", "key", "trailing_slash", "default_nulls", "require_media_type"),
)
_METHODS = ("GET", "POST")
_ERROR_PARTS = ("status", "code", "message")

_MALFORMED = (ProblemCode.MALFORMED_BODY,)
_UNSUPPORTED = (ProblemCode.UNSUPPORTED_MEDIA_TYPE, ProblemCode.UNSUPPORTED_CONTENT_ENCODING)
_INVALID = (Code.INVALID_INSTANCES, ProblemCode.TOO_MANY_ROWS, ProblemCode.BODY_TOO_LARGE, *_MALFORMED, *_UNSUPPORTED)
_FAILED = (Code.MODEL_ERROR, Code.OUT_OF_MEMORY, Code.TIMEOUT, Code.WORKER_CRASHED)
_EXPIRED = (ProblemCode.NOT_IN_TIME,)
_NO_MODEL = (ProblemCode.UNKNOWN_MODEL, ProblemCode.NO_CURRENT_VERSION)
_CODES = {
    "invalid": _INVALID,
    "malformed": _MALFORMED,
    "unsupported": _UNSUPPORTED,
    "failed": _FAILED,
    "expired": _EXPIRED,
}
"""The codes of problems that are one thing to an old service, by the setting with their status."""

_SEGMENT = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@-]*|<(?P<variable>[^<>]*)>", re.ASCII)
_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+(; ?[a-z0-9_-]+=[A-Za-z0-9._-]+)*", re.ASCII)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_TEXT = re.compile(r"(?P<before>[^{}]*)\{prediction(?::\.(?P<decimals>\d\d?)f)?\}(?P<after>[^{}]*)", re.DOTALL)


class RoutesFileError(Exception):
    """The file cannot be used. The message is one line that says where, why, and what to write instead."""


def read(text: str) -> list[MappedRoute]:
    """Return the routes in the text of the file. Raises `RoutesFileError`."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RoutesFileError(f"is not TOML: {error}") from None
    except RecursionError:
        raise RoutesFileError("is nested too deeply") from None
    tables = data.pop("routes", None)
    if data:
        raise RoutesFileError(f"has {shown(next(iter(data)))}; begin each route with the line [[routes]]")
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        raise RoutesFileError("has no routes; begin each with the line [[routes]]")
    return [_Table(number, table).route() for number, table in enumerate(tables, 1)]


@dataclass(frozen=True)
class _Table:
    """One `[[routes]]`, the first of which has the number 1."""

    number: int
    data: Mapping[str, Any]

    def route(self) -> MappedRoute:
        for name in self.data:
            if name not in (*_REQUIRED, *_OPTIONAL):
                self._refuse(f"has the unknown setting {shown(name)}", name, (*_REQUIRED, *_OPTIONAL))
        for name in _REQUIRED:
            if name not in self.data:
                self._refuse(f"has no {name!r}; a route needs {listed(_REQUIRED)}")
        method = self._choice("method", _METHODS)
        path, variables = self._path(method)
        status = self._status("status", 200, 203)
        return MappedRoute(
            method=method,
            path=path,
            exact=self._exact(path),
            variables=variables,
            model=self._model(),
            rows=self._rows(method),
            answer=self._answer(),
            numbers=self._numbers(),
            media_type=self._media_type(),
            require_media_type=self._require_media_type(method),
            status=200 if status is None else status,
            statuses=self._statuses(),
            error=self._error(),
            key=self._key(),
        )

    def _text(self, name: str) -> str:
        value = self.data[name]
        if not isinstance(value, str) or not value:
            self._refuse(f"has {name} = {shown(value)}; it must be a text")
        return value

    def _choice(self, name: str, choices: tuple[str, ...]) -> str:
        if (value := self._text(name)) not in choices:
            self._refuse(f"has {name} = {shown(value)}; it must be {' or '.join(map(repr, choices))}")
        return value

    def _path(self, method: str) -> tuple[str, tuple[str, ...]]:
        path = self._text("path")
        first, *segments = path.split("/")
        if first or not segments:
            self._refuse(f"has path = {shown(path)}; begin it with a slash")
        variables: list[str] = []
        for segment in segments:
            matched = _SEGMENT.fullmatch(segment)
            if matched is None:
                self._refuse(f"has {shown(segment)} in its path; write letters, digits, -._~, or <name>")
            if (variable := matched["variable"]) is not None:
                variables.append(self._variable(variable, variables))
        if method == "GET" and not variables:
            self._refuse("is a GET whose path names no input; write <name> where the value of an input stands")
        if method == "POST" and variables:
            self._refuse(f"is a POST with <{variables[0]}> in its path; its rows come in the body")
        return path, tuple(variables)

    def _variable(self, name: str, before: Iterable[str]) -> str:
        if not _VARIABLE.fullmatch(name):
            self._refuse(f"has {shown(f'<{name}>')} in its path; write an input of the model, or its alias: <area>")
        if name in before:
            self._refuse(f"has <{name}> twice in its path")
        if name == REFERENCE:
            self._refuse(f"has <{name}> in its path, a name that Modelgate uses itself; give the input an alias")
        return name

    def _model(self) -> str:
        model = self._text("model")
        name, at, version = model.partition("@")
        if not valid_name(name) or bool(at) != bool(version):
            self._refuse(f"has model = {shown(model)}; write loan, loan@3 or loan@canary")
        return model

    def _answer(self) -> TextAnswer | JsonAnswer:
        answer = self.data["answer"]
        if isinstance(answer, str):
            if not (matched := _TEXT.fullmatch(answer)):
                self._refuse(f"has answer = {shown(answer)}; write a text with {{prediction}} or {{prediction:.2f}}")
            decimals = matched["decimals"]
            return TextAnswer(matched["before"], None if decimals is None else int(decimals), matched["after"])
        if not isinstance(answer, dict | list) or not answer:
            self._refuse(
                f"has answer = {shown(answer)}; write a text, a list or an object such as {_EXAMPLES['answer']}"
            )
        return JsonAnswer(self._template("answer", answer))

    def _template(self, name: str, value: object, *, each_row: bool = False) -> Template:
        if isinstance(value, list) and len(value) == 1 and not each_row:
            return EachRow(self._template(name, value[0], each_row=True))
        if isinstance(value, list) and value:
            return tuple(self._template(name, part, each_row=each_row) for part in value)
        if not isinstance(value, dict):
            return self._column(name, value)
        if list(value) == ["constant"]:
            return Constant(value["constant"])
        if "rows_as_text" in value:
            rows = value["rows_as_text"]
            if list(value) != ["rows_as_text"] or not isinstance(rows, dict) or not rows or each_row:
                self._refuse(f'has an answer whose {shown(name)} is no {{ rows_as_text = {{ 0 = "id" }} }}')
            return EachRow(self._template(name, rows, each_row=True), as_text=True)
        return {member: self._template(member, part, each_row=each_row) for member, part in value.items()}

    def _column(self, name: str, value: object) -> AnswerColumn:
        if value not in [*AnswerColumn]:
            self._refuse(
                f"has an answer whose {shown(name)} is {shown(value)}, not one of {listed([*map(str, AnswerColumn)])}"
            )
        return AnswerColumn(str(value))

    def _exact(self, path: str) -> bool:
        slash = self._switch("trailing_slash", True)
        if not slash and path.endswith("/"):
            self._refuse("has a path that ends with a slash; leave out trailing_slash")
        return not slash

    def _rows(self, method: str) -> RequestRows:
        path: tuple[str, ...] = ()
        if "rows" in self.data:
            if method == "GET":
                self._refuse("is a GET with rows, which say where the rows are in a body")
            path = tuple(self._text("rows").split("."))
            if not all(path):
                self._refuse(f"has rows = {shown(self.data['rows'])}; write the names that lead to them: data.ndarray")
        inputs = self._object("inputs") if "inputs" in self.data else None
        for name, value in (inputs or {}).items():
            if not isinstance(value, str) or not value:
                self._refuse(f"has {shown(value)} for the name {shown(name)}; it must be an input of the model")
        defaults = self._object("defaults") if "defaults" in self.data else None
        for name, value in (defaults or {}).items():
            if not isinstance(value, str | int | float | bool) or value != value or value in (math.inf, -math.inf):
                self._refuse(f"has the default {shown(value)} for {shown(name)}; write a number, a text or a boolean")
        nulls = self._switch("default_nulls", False)
        if nulls and defaults is None:
            self._refuse("has default_nulls without defaults; write the values that stand for nulls")
        return RequestRows(path, inputs, defaults, nulls)

    def _media_type(self) -> str | None:
        if "media_type" not in self.data:
            return None
        if not _MEDIA_TYPE.fullmatch(kind := self._text("media_type")):
            self._refuse(f"has media_type = {shown(kind)}; write one such as text/html; charset=utf-8")
        return kind

    def _require_media_type(self, method: str) -> bool:
        required = self._switch("require_media_type", False)
        if required and method == "GET":
            self._refuse("is a GET with require_media_type, which is about bodies")
        return required

    def _numbers(self) -> Numbers | None:
        if "numbers" not in self.data:
            return None
        for label, number in self._object("numbers").items():
            if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
                self._refuse(f"has {shown(number)} for the label {shown(label)}; it must be a number")
        return dict(self.data["numbers"])

    def _statuses(self) -> Mapping[str, int]:
        """Return the statuses of problems by code. A model that is not there yet is 503: the address exists."""
        statuses: dict[str, int] = dict.fromkeys(map(str, _NO_MODEL), 503)
        for name, codes in _CODES.items():  # the later ones are about a part of the earlier
            if (status := self._status(name, 400, 599)) is not None:
                statuses |= dict.fromkeys(map(str, codes), status)
        return statuses

    def _switch(self, name: str, default: bool) -> bool:
        value = self.data.get(name, default)
        if not isinstance(value, bool):
            self._refuse(f"has {name} = {shown(value)}; it must be true or false")
        return value

    def _status(self, name: str, least: int, most: int) -> int | None:
        status = self.data.get(name)
        if status is not None and (type(status) is not int or not least <= status <= most):
            self._refuse(f"has {name} = {shown(status)}; it must be a status from {least} to {most}")
        return status

    def _error(self) -> Mapping[str, str] | None:
        if "error" not in self.data:
            return None
        for name, value in self._object("error").items():
            if value not in _ERROR_PARTS:
                self._refuse(f"has an error whose {shown(name)} is {shown(value)}, not one of {listed(_ERROR_PARTS)}")
        return dict(self.data["error"])

    def _key(self) -> str | None:
        if "key" in self.data and not KEY_NAME.fullmatch(self._text("key")):
            shown_key = shown(self.data["key"])
            self._refuse(f"has key = {shown_key}, which names no key; `python -m gateway key list` lists them")
        return self.data.get("key")

    def _object(self, name: str) -> Mapping[str, Any]:
        value = self.data[name]
        if not isinstance(value, dict) or not value:
            self._refuse(f"has {name} = {shown(value)}; write an object such as {_EXAMPLES[name]}")
        return value

    def _refuse(self, what: str, misspelt: str = "", names: Iterable[str] = ()) -> NoReturn:
        named = (self.data.get("method"), self.data.get("path"))
        parts = [part for part in named if isinstance(part, str) and part.isprintable()]
        where = f" ({' '.join(parts)[:80]})" if parts else ""
        raise RoutesFileError(f"route {self.number}{where} {what}{did_you_mean(misspelt, names) if misspelt else ''}")


_EXAMPLES = {
    "answer": '{ class = "prediction" }',
    "error": '{ message = "message" }',
    "numbers": "{ no = 0, yes = 1 }",
    "inputs": '{ area = "sqft" }',
    "defaults": "{ area = 0 }",
}
