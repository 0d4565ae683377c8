"""Objects are read by tables of their members, and every error in them is named at once."""

from __future__ import annotations

from typing import Any

import pytest

from contract.errors import MAX_ERRORS, FieldError, ModelgateError
from contract.json_objects import BOOLEAN, Errors, ListOf, Object, RepeatedKeys, one_of, text
from contract.model.manifest_reader import read
from contract.model.signature import Field

COLORS = one_of(("red", "green"), "unknown_color", "{field} must be one of {known}; it is {value}{hint}")
PEN = Object(
    {
        "name": text(8),
        "color": COLORS,
        "cap": Object({"closed": BOOLEAN}, ("unknown_key", "{name} is not a key of {what}{hint}; it has {known}")),
        "tags": ListOf(text(8, message="{value} is no tag"), "{field} must be a list", distinct=True),
    },
    ("unknown_key", "{name} is not a key of {what}{near}"),
    required=("name",),
    what="a pen",
)


def checked(body: Any, members: Object = PEN) -> tuple[Any, dict[str | None, str]]:
    errors = Errors()
    value = errors.read("", body, members)
    return value, {error.field: f"{error.code}: {error.message}" for error in errors.first}


def test_valid_members_are_returned_and_a_null_counts_as_missing() -> None:
    values = {"name": "mine", "cap": {"closed": True}, "tags": ["a", "b"]}
    assert checked({**values, "color": None}) == (values, {})


def test_every_error_is_named_at_once_with_what_would_be_right() -> None:
    body = {"nme": 1, "color": "gren", "cap": {"close": 1, "closed": 1}, "tags": ["a", "a"], "ink": 2}
    assert checked(body)[1] == {
        "nme": "unknown_key: 'nme' is not a key of a pen; did you mean 'name'?",
        "ink": "unknown_key: 'ink' is not a key of a pen; it may have name, color, cap, tags",
        "name": "not_a_string: name must be text of 1 to 8 characters; it is null",
        "color": "unknown_color: color must be one of red, green; it is 'gren' (did you mean 'green'?)",
        "cap.close": "unknown_key: 'close' is not a key of cap (did you mean 'closed'?); it has closed",
        "cap.closed": "not_a_boolean: cap.closed must be true or false; it is 1",
        "tags": "repeated_field: tags has 'a' more than once",
    }


@pytest.mark.parametrize("body", [None, [], "pen", 3])
def test_a_body_that_is_no_object_is_one_error(body: Any) -> None:
    assert list(checked(body)[1]) == [None]
    assert checked({"name": "x", "cap": "on"})[1] == {"cap": "not_an_object: cap must be an object; it is 'on'"}


def test_a_member_that_is_there_twice_is_refused() -> None:
    body = RepeatedKeys({"name": "b"})
    body.repeated = ("name",)
    assert checked(body)[1] == {"name": "repeated_field: 'name' appears more than once"}


def test_the_first_errors_are_kept_and_all_are_counted() -> None:
    errors = Errors([FieldError(None, None, "x", "first")])
    assert errors.summary == "first"
    for number in range(MAX_ERRORS):
        errors.add(f"no{number}", "unknown_key", "no")
    assert (len(errors.first), errors.total) == (MAX_ERRORS, MAX_ERRORS + 1)
    assert errors.summary == "101 values cannot be used; see errors (the first 100 are listed)"


def test_a_dataclass_is_read_by_its_annotations_and_all_wrong_parts_are_named() -> None:
    whole = {"name": "a", "kind": "number", "nullable": False, "aliases": ["b"], "guessed": False, "naive": False}
    assert read({**whole, "null": "nan"}, Field).aliases == ("b",)
    with pytest.raises(ModelgateError) as error:
        read({**whole, "kind": "text", "nullable": 1}, Field)
    assert str(error.value) == (
        "the manifest needs kind, one of number, integer, string, boolean, datetime; it has 'text';"
        " needs nullable, true or false; it has 1; needs null, one of nan, nan_object, none, na, na_object; it has null"
    )
