"""Reads JSON objects of clients by tables of their members, and names every error in them at once."""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from contract.errors import MAX_ERRORS, FieldError
from contract.wording import Suggestions, shown

MAX_NAME = 256
"""Most characters of a name, and of a field in an error."""

T = TypeVar("T")


class RepeatedKeys(dict[str, object]):
    """A JSON object that named some keys twice; `repeated` holds those. The last value is kept."""

    repeated: tuple[str, ...] = ()


def is_encodable(text: str) -> bool:
    """Return whether `text` can be encoded: JSON can hold lone surrogates, which nothing downstream can write."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class WrongValue(Exception):
    """A value that cannot be used. `field`: the part of it that is wrong, if it is not the whole value."""

    def __init__(self, code: str, message: str, field: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.field = field


class Errors:
    """The errors of one request: `first` holds at most `MAX_ERRORS`, `total` counts all."""

    def __init__(self, errors: Sequence[FieldError] = ()) -> None:
        self.first = list(errors[:MAX_ERRORS])
        self.total = len(errors)
        self._suggestions = Suggestions()

    def add(self, field: str, code: str, message: str) -> None:
        """Add an error; the field '' is the whole body."""
        self.total += 1
        if self.room:
            self.first.append(FieldError(None, field[:MAX_NAME] or None, code, message))

    def read(self, field: str, value: object, read: Callable[[str, Any, Errors], T]) -> T | None:
        """Return what `read` makes of the value; None, and an error more, if it raises `WrongValue`."""
        try:
            return read(field, value, self)
        except WrongValue as wrong:
            self.add(wrong.field or field, wrong.code, str(wrong))
            return None

    def near(self, word: object, known: Collection[str]) -> str:
        """Return `did you mean 'iris'?`, or nothing if none of the known words is similar."""
        match = self._suggestions.closest(word, known, 0.6) if isinstance(word, str) else None
        return f"did you mean {match!r}?" if match else ""

    @property
    def room(self) -> int:
        """How many more errors are kept."""
        return MAX_ERRORS - len(self.first)

    @property
    def summary(self) -> str:
        """The only error, or how many there are."""
        if self.total == 1:
            return self.first[0].message
        listed = f" (the first {len(self.first)} are listed)" if self.total > len(self.first) else ""
        return f"{self.total} values cannot be used; see errors{listed}"


@dataclass(frozen=True)
class Rule:
    """A value that passes `test`. The message may name `{field}`, `{value}`, the `{known}` words, and the similar one
    among them as `{hint}`, in brackets, or `{near}`, after a semicolon."""

    test: Callable[[Any], bool]
    code: str
    message: str
    known: Sequence[str] = ()

    def __call__(self, field: str, value: Any, errors: Errors) -> Any:
        if self.test(value):
            return value
        near = errors.near(value, self.known)
        words = {"hint": f" ({near})" if near else "", "near": f"; {near}" if near else ""}
        known = ", ".join(self.known)
        raise WrongValue(self.code, self.message.format(field=field, value=shown(value), known=known, **words))


@dataclass(frozen=True)
class ListOf:
    """A list of `least` to `most` values that pass `item`, none of them twice if they are `distinct`; `message` and
    `code` refuse another value. `item_path`: that of each wrong item; without it the first one is named by the field.
    """

    item: Callable[[str, Any, Errors], Any]
    message: str
    least: int = 0
    most: float = math.inf
    code: str = "not_a_list"
    item_path: str = ""
    distinct: bool = False

    def __call__(self, field: str, value: Any, errors: Errors) -> list[Any]:
        if not isinstance(value, list) or not self.least <= len(value) <= self.most:
            raise WrongValue(self.code, self.message.format(field=field, value=shown(value)))
        if self.item_path:
            values = []
            for number, item in enumerate(value):
                before = errors.total
                read = errors.read(self.item_path.format(field=field, number=number), item, self.item)
                if errors.total == before:
                    values.append(read)
        else:
            values = [self.item(field, item, errors) for item in value]
        if self.distinct and (twice := repeated(values)) is not None:
            errors.add(field, "repeated_field", f"{field} has {shown(twice)} more than once")
            return list(dict.fromkeys(values))
        return values


@dataclass(frozen=True)
class Object:
    """An object of these members and no others, as a dict of those that are there and can be read.

    A null stands for a missing member, except of `nullable`. `required` members are read as null where they are
    missing. `unknown` is the code and the message of another member, which is ignored without it; the message may name
    it as `{name}`, this object as `{what}`, the `{known}` members and the similar one as `{hint}` or `{near}`. `what`
    is what the body is called there, and `body` says what it must be. `repeated`: field and message of a member that
    the object has twice.
    """

    members: Mapping[str, Callable[[str, Any, Errors], Any]]
    unknown: tuple[str, str] | None = None
    repeated: tuple[str, str] = ("{member}", "{name} appears more than once")
    required: Collection[str] = ()
    nullable: Collection[str] = ()
    what: str = ""
    body: str = "the body must be a JSON object"

    def __call__(self, field: str, value: Any, errors: Errors) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            must = f"{field} must be an object" if field else self.body
            raise WrongValue("not_an_object", f"{must}; it is {shown(value)}")
        prefix, what = f"{field}." if field else "", field or self.what
        known = ", ".join(self.members)
        code, message = self.unknown or ("", "")
        unknown, room = [name for name in value if self.unknown and name not in self.members], errors.room
        errors.total += len(unknown[room:])  # thousands of sentences would take long
        for name in unknown[:room]:
            near = errors.near(name, self.members)
            words = {"hint": f" ({near})" if near else "", "near": f"; {near or f'it may have {known}'}"}
            errors.add(prefix + name, code, message.format(name=shown(name), what=what, known=known, **words))
        for name in value.repeated if isinstance(value, RepeatedKeys) else ():
            path, message = (
                part.format(field=field, member=prefix + name, what=what, name=shown(name)) for part in self.repeated
            )
            errors.add(path, "repeated_field", message)
        values: dict[str, Any] = {}
        for name, read in self.members.items():
            member = value.get(name)
            if member is not None or name in self.required or (name in value and name in self.nullable):
                try:
                    values[name] = read(prefix + name, member, errors)
                except WrongValue as wrong:
                    errors.add(wrong.field or prefix + name, wrong.code, str(wrong))
        return values


def repeated(values: Sequence[T]) -> T | None:
    """Return the first value that is there twice, or None."""
    return next((value for value, times in Counter(values).items() if times > 1), None)


# Rules of several requests


def text(most: int, least: int = 1, message: str = "") -> Rule:
    message = message or f"{{field}} must be text of {least} to {most} characters; it is {{value}}"
    return Rule(lambda value: is_text(value, most, least), "not_a_string", message)


def is_text(value: object, most: int, least: int = 1) -> bool:
    return isinstance(value, str) and least <= len(value) <= most and "\0" not in value and is_encodable(value)


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def as_sent(_field: str, value: Any, _errors: Errors) -> Any:
    """Return the value: any is allowed."""
    return value


def or_null(read: Callable[[str, Any, Errors], Any]) -> Callable[[str, Any, Errors], Any]:
    """Return the reader of a value that may be null."""
    return lambda field, value, errors: None if value is None else read(field, value, errors)


def made_by(read: Callable[[Any], T]) -> Callable[[str, Any, Errors], T]:
    """Return the reader of a value whose field needs no name; `read` may raise `WrongValue`."""
    return lambda _field, value, _errors: read(value)


def chain(*reads: Callable[[str, Any, Errors], Any]) -> Callable[[str, Any, Errors], Any]:
    """Return the reader of a value that passes all these, one after the other."""

    def read(field: str, value: Any, errors: Errors) -> Any:
        for reader in reads:
            value = reader(field, value, errors)
        return value

    return read


def one_of(words: Sequence[str], code: str, message: str) -> Rule:
    known = [*map(str, words)]  # members of an enumeration are no plain words in messages
    return Rule(lambda value: isinstance(value, str) and value in known, code, message, known)


BOOLEAN = Rule(lambda value: isinstance(value, bool), "not_a_boolean", "{field} must be true or false; it is {value}")
OBJECT = Rule(lambda value: isinstance(value, dict), "not_an_object", "{field} must be an object; it is {value}")
