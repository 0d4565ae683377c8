"""Edits of a signature: a partial signature in a request → the signature of a new version, or every error in it."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, TypeVar

from contract.errors import MAX_ERRORS, FieldError
from contract.instances import RepeatedKeys
from contract.jobs import Value
from contract.manifest import InputFormat
from contract.signature import AnswerForm, Field, Format, Kind, Method, Null, Output, RowFormat, Signature
from contract.suggestions import Suggestions
from contract.values import is_encodable
from contract.wording import counted, listed, shown

MAX_NAME = 256
"""Most characters of a name, a label or a category."""
MAX_TEXTS = 10_000
"""Most categories, aliases or names in one list."""

_FORMATS: Mapping[Kind, tuple[Format, ...]] = {
    Kind.NUMBER: (Format.DECIMAL_COMMA, Format.THOUSANDS_COMMA),
    Kind.INTEGER: (Format.DECIMAL_COMMA, Format.THOUSANDS_COMMA),
    Kind.DATETIME: (Format.DAY_FIRST, Format.MONTH_FIRST, Format.YEAR_FIRST),
}
_NAMED_FORMS = (AnswerForm.NUMBERS, AnswerForm.NAMED, AnswerForm.NONZERO)

E = TypeVar("E", bound=StrEnum)


class InvalidEdit(Exception):
    """A partial signature that cannot be applied. `errors` are the first ones; `total` counts all."""

    def __init__(self, errors: Sequence[FieldError], total: int) -> None:
        super().__init__(errors[0].message)
        self.errors = tuple(errors)
        self.total = total


def edit_signature(signature: Signature, input_format: InputFormat, edits: object) -> Signature:
    """Return `signature` with the changes in `edits`, a partial signature; what it does not name stays.

    `inputs`, `outputs` and `methods` are objects of changes by name, or lists: an entry says by its `name` which one it
    changes, and a list of all of them under new names renames them in their order. `input_format` is what the
    estimator takes. Raises `InvalidEdit`.
    """
    errors = _Errors()
    given = errors.part("", edits, ("inputs", "outputs", "methods", "id_field", "format"))
    _check_same(given, {"format": signature.format}, "", errors)
    changed = dataclasses.replace(
        signature,
        inputs=_inputs(signature, input_format, given.get("inputs", {}), errors),
        outputs=_outputs(signature, given.get("outputs", {}), errors),
        methods=_methods(signature, given.get("methods", {}), errors),
        id_field=_id_field(signature, given, errors),
    )
    _check_names(signature, changed, errors)
    if not errors.total and changed == signature:
        errors.add("", "unchanged", "the version has this very signature already; send what is to change")
    if errors.total:
        raise InvalidEdit(errors.kept, errors.total)
    return changed


class _Errors:
    """Collects the errors of one edit, and reads values. A value that cannot be read is an error and None."""

    def __init__(self) -> None:
        self.kept: list[FieldError] = []
        self.total = 0
        self._suggestions = Suggestions()

    def add(self, where: str, code: str, message: str) -> None:
        self.total += 1
        if len(self.kept) < MAX_ERRORS:
            self.kept.append(FieldError(None, where[:MAX_NAME] or None, code, message))

    def hint(self, word: object, known: Sequence[str]) -> str:
        found = self._suggestions.closest(word, known, 0.6) if isinstance(word, str) else None
        return f"; did you mean {found!r}?" if found else ""

    def part(self, where: str, value: object, known: Sequence[str]) -> Mapping[str, Any]:
        """Return an object's known keys; others are errors."""
        if not isinstance(value, Mapping):
            self.add(where, "not_an_object", f"{where or 'signature'} must be an object; it is {shown(value)}")
            return {}
        for key in [key for key in value if key not in known]:
            hint = self.hint(key, known) or f"; it may have {', '.join(known)}"
            message = f"{shown(key)} is not a key of {where or 'a signature'}{hint}"
            self.add(f"{where}.{key}" if where else key, "unknown_key", message)
        for key in value.repeated if isinstance(value, RepeatedKeys) else ():
            self.add(where, "repeated_field", f"{where or 'signature'} has {shown(key)} more than once")
        return {key: value[key] for key in known if key in value}

    def text(self, where: str, value: object) -> str | None:
        if isinstance(value, str) and 0 < len(value) <= MAX_NAME and is_encodable(value) and "\0" not in value:
            return value
        self.add(where, "not_a_string", f"{where} must be text of 1 to {MAX_NAME} characters; it is {shown(value)}")
        return None

    def texts(self, where: str, value: object) -> tuple[str, ...] | None:
        if not isinstance(value, list) or len(value) > MAX_TEXTS:
            self.add(where, "not_a_list", f"{where} must be a list of at most {MAX_TEXTS} texts; it is {shown(value)}")
            return None
        found = tuple(name for place, item in enumerate(value) if (name := self.text(f"{where}[{place}]", item)))
        if twice := _repeated(found):
            self.add(where, "repeated_field", f"{where} has {shown(twice)} more than once")
        return tuple(dict.fromkeys(found))

    def flag(self, where: str, value: object) -> bool:
        if not isinstance(value, bool):
            self.add(where, "not_a_boolean", f"{where} must be true or false; it is {shown(value)}")
        return value is True

    def choice(self, where: str, value: object, choices: Sequence[E]) -> E | None:
        if isinstance(value, str) and value in choices:
            return next(choice for choice in choices if choice == value)
        hint = self.hint(value, choices)
        self.add(where, "unknown_value", f"{where} must be one of {', '.join(choices)}; it is {shown(value)}{hint}")
        return None


def _changes(
    given: object, names: Sequence[str | None], what: str, errors: _Errors
) -> Iterator[tuple[int, str, Mapping[str, Any]]]:
    """Yield for each part that changes its position, the path for errors, and the changes. `what` is `input` …"""
    places = {name: place for place, name in enumerate(names) if name is not None}
    if isinstance(given, Mapping):
        pairs: list[tuple[object, object]] = list(given.items())
        in_order = False
    elif isinstance(given, list):
        pairs = [(entry.get("name") if isinstance(entry, Mapping) else None, entry) for entry in given]
        # If some names are known, an unknown one is more likely misspelt than new.
        in_order = len(pairs) == len(names) and not any(isinstance(name, str) and name in places for name, _ in pairs)
    else:
        message = f"{what}s must be an object of changes by name, or a list; it is {shown(given)}"
        errors.add(f"{what}s", "not_an_object", message)
        return
    seen: set[int] = set()
    for number, (name, change) in enumerate(pairs):
        found = places.get(name) if isinstance(name, str) else None
        place = number if found is None and in_order else found
        where = f"{what}s[{number}]" if name is None else f"{what}s.{str(name)[:MAX_NAME]}"
        if not isinstance(change, Mapping):
            errors.add(where, "not_an_object", f"{where} must be an object of what changes; it is {shown(change)}")
        elif place is None:
            errors.add(where, f"unknown_{what}", _not_one(name, what, list(places), len(names), errors))
        elif place in seen:
            errors.add(where, "repeated_field", f"{shown(name)} is changed twice; change it once")
        else:
            seen.add(place)
            yield place, where, change


def _not_one(name: object, what: str, known: Sequence[str], count: int, errors: _Errors) -> str:
    if name is None or not known:
        return (
            f"a list with a change for each {what} has {counted(count, 'entry') if count == 1 else f'{count} entries'}"
        )
    hint = errors.hint(name, known) or f"; it has {listed(known)}"
    return f"the model has no {what} {shown(name)}{hint}"


# Inputs


def _inputs(signature: Signature, input_format: InputFormat, given: object, errors: _Errors) -> tuple[Field, ...]:
    fields = list(signature.inputs)
    records = signature.format is RowFormat.RECORDS
    keys = ("name", "kind", "guessed") if records else tuple(field.name for field in dataclasses.fields(Field))
    for place, where, change in _changes(given, signature.names, "input", errors):
        old, read = fields[place], errors.part(where, change, keys)
        fields[place] = new = _input(old, read, where, errors)
        if new.name != old.name and (records or input_format is InputFormat.DATAFRAME):
            why = "the model knows it by that name" if records else "the model was fitted on a DataFrame that has it"
            message = f"{shown(old.name)} keeps its name, because {why}; give other spellings as aliases"
            errors.add(f"{where}.name", "cannot_change", message)
        if new.kind is not Kind.STRING and signature.format is RowFormat.TEXTS:
            message = f"each row of this model is a text, so {shown(old.name)} stays a string; leave kind out"
            errors.add(f"{where}.kind", "cannot_change", message)
    return tuple(fields)


def _input(old: Field, given: Mapping[str, Any], where: str, errors: _Errors) -> Field:
    kind = (errors.choice(f"{where}.kind", given["kind"], list(Kind)) if "kind" in given else None) or old.kind
    if given.get("guessed", False) is not False and given["guessed"] is not old.guessed:
        errors.add(f"{where}.guessed", "cannot_change", f"{where}.guessed can only become false; leave it out")
    return Field(
        name=(errors.text(f"{where}.name", given["name"]) if "name" in given else None) or old.name,
        kind=kind,
        nullable=errors.flag(f"{where}.nullable", given["nullable"]) if "nullable" in given else old.nullable,
        categories=_categories(old, kind, given, where, errors),
        aliases=(errors.texts(f"{where}.aliases", given["aliases"]) or ()) if "aliases" in given else old.aliases,
        format=_format(old, kind, given, where, errors),
        guessed=old.guessed and "kind" not in given and given.get("guessed") is not False,
        naive=_naive(old, kind, given, where, errors),
        null=(errors.choice(f"{where}.null", given["null"], list(Null)) if "null" in given else None) or old.null,
    )


def _naive(old: Field, kind: Kind, given: Mapping[str, Any], where: str, errors: _Errors) -> bool:
    """Return whether a date reaches the model without a time zone, as pandas reads most dates."""
    naive = errors.flag(f"{where}.naive", given["naive"]) if "naive" in given else None
    if kind is not Kind.DATETIME:
        if naive and not old.naive:
            message = f"only an input of the kind datetime is naive; {shown(old.name)} is of the kind {kind}"
            errors.add(f"{where}.naive", "cannot_change", message)
        return False
    return (old.naive or old.kind is not kind) if naive is None else naive


def _categories(
    old: Field, kind: Kind, given: Mapping[str, Any], where: str, errors: _Errors
) -> tuple[str, ...] | None:
    if given.get("categories") is None:
        return old.categories if "categories" not in given and kind is Kind.STRING else None
    found = errors.texts(f"{where}.categories", given["categories"])
    if found == ():
        errors.add(f"{where}.categories", "no_categories", f"{where}.categories is empty; null allows every text")
    if kind is not Kind.STRING:
        message = f"only an input of the kind string has categories; {shown(old.name)} is of the kind {kind}"
        errors.add(f"{where}.categories", "cannot_change", message)
    return found


def _format(old: Field, kind: Kind, given: Mapping[str, Any], where: str, errors: _Errors) -> Format | None:
    allowed = _FORMATS.get(kind, ())
    if given.get("format") is None:
        return old.format if "format" not in given and old.format in allowed else None
    if allowed:
        return errors.choice(f"{where}.format", given["format"], allowed)
    message = f"an input of the kind {kind} has no format; numbers and dates have one"
    errors.add(f"{where}.format", "cannot_change", message)
    return None


# Outputs and methods


def _outputs(signature: Signature, given: object, errors: _Errors) -> tuple[Output, ...]:
    outputs = list(signature.outputs)
    for place, where, change in _changes(given, [output.name for output in outputs], "output", errors):
        outputs[place] = _output(outputs[place], change, where, len(outputs) == 1, errors)
    return tuple(outputs)


def _output(old: Output, change: Mapping[str, Any], where: str, alone: bool, errors: _Errors) -> Output:
    same = {name: getattr(old, name) for name in ("kind", "probabilities", "scores", "label_names")}
    given = errors.part(where, change, ("name", "labels", *same))
    _check_same(given, same, where, errors)
    name = given.get("name", old.name)
    if name is not None or not alone:
        name = errors.text(f"{where}.name", name)
    if "labels" not in given or given["labels"] == list(old.labels or ()):
        return dataclasses.replace(old, name=name)
    return dataclasses.replace(old, name=name, label_names=_label_names(old, given["labels"], where, errors))


def _label_names(old: Output, given: object, where: str, errors: _Errors) -> tuple[Value, ...] | None:
    """Return the names that labels have in answers. `given` maps labels of the model to names, or to null."""
    where, own = f"{where}.labels", old.labels or ()
    if given is None:
        return None
    if not own:
        message = "the model does not list its classes, so they cannot be renamed; leave labels out"
        errors.add(where, "cannot_change", message)
        return None
    places = {str(label): place for place, label in enumerate(own)}
    if not isinstance(given, Mapping):
        message = f'{where} must be an object of names by label, such as {{"{own[0]}": "a name"}}; it is {shown(given)}'
        errors.add(where, "not_an_object", message)
        return None
    names = list(old.shown_labels)
    for label, name in given.items():
        place = places.get(label)
        if place is None:
            hint = errors.hint(label, list(places)) or f"; it has {listed(list(places))}"
            errors.add(f"{where}.{label}", "unknown_label", f"the model has no class {shown(label)}{hint}")
        else:
            names[place] = own[place] if name is None else errors.text(f"{where}.{label}", name)
    if twice := _repeated(list(map(str, names))):
        errors.add(where, "repeated_field", f"two classes would be {shown(twice)}; give each its own name")
    return None if names == list(own) else tuple(names)


def _methods(signature: Signature, given: object, errors: _Errors) -> tuple[Method, ...]:
    methods = list(signature.methods)
    for place, where, change in _changes(given, [method.name for method in methods], "method", errors):
        methods[place] = _method(methods[place], change, where, errors)
    return tuple(methods)


def _method(old: Method, change: Mapping[str, Any], where: str, errors: _Errors) -> Method:
    returned = old.returned and {**dataclasses.asdict(old.returned), "dtypes": list(old.returned.dtypes)}
    same = {"name": old.name, "answer": old.answer, "returned": returned}
    given = errors.part(where, change, (*same, "names"))
    _check_same(given, same, where, errors)
    if given.get("names", old.names) in (old.names, list(old.names or ())):
        return old
    if old.answer not in _NAMED_FORMS or (given["names"] is None and old.answer is AnswerForm.NAMED):
        what = "needs names" if old.answer in _NAMED_FORMS else "answers no list of numbers"
        errors.add(f"{where}.names", "cannot_change", f"{old.name} {what}; leave names out")
        return old
    names = None if given["names"] is None else errors.texts(f"{where}.names", given["names"])
    if names is not None and old.names is not None and len(names) != len(old.names):
        count = f"{len(old.names)} numbers a row, and names has {len(names)}"
        errors.add(f"{where}.names", "wrong_length", f"{old.name} answers {count}; give each number one")
    answer = AnswerForm.NAMED if old.answer is AnswerForm.NUMBERS else old.answer
    return dataclasses.replace(old, answer=answer, names=names)


# What fits together


def _check_same(given: Mapping[str, Any], same: Mapping[str, Any], where: str, errors: _Errors) -> None:
    """Add an error for each part in `given` that cannot be edited and is not as it is now."""
    for key, value in same.items():
        now = list(value) if isinstance(value, tuple) else str(value) if isinstance(value, StrEnum) else value
        if key in given and given[key] != now:
            path = f"{where}.{key}" if where else key
            errors.add(path, "cannot_change", f"{path} is {shown(now)}, and cannot be edited; leave it out")


def _id_field(old: Signature, given: Mapping[str, Any], errors: _Errors) -> str | None:
    found = given.get("id_field", old.id_field)
    return None if found is None else errors.text("id_field", found)


def _check_names(old: Signature, new: Signature, errors: _Errors) -> None:
    spellings = [name for field in new.inputs for name in (field.name, *field.aliases)]
    twice = {name for name, times in Counter(spellings).items() if times > 1}
    for before, field in zip(old.inputs, new.inputs, strict=True):
        collisions = [name for name in dict.fromkeys((field.name, *field.aliases)) if name in twice]
        if collisions and field != before:
            message = f"two inputs would be called {shown(collisions[0])}; give each its own name and aliases"
            errors.add(f"inputs.{before.name}", "repeated_field", message)
    if new.id_field in spellings:
        message = f"{shown(new.id_field)} is an input, so it cannot be the id field, too; name another column"
        errors.add("id_field", "repeated_field", message)
    if twice_out := _repeated([output.name for output in new.outputs if output.name is not None]):
        errors.add(
            "outputs", "repeated_field", f"two outputs would be called {shown(twice_out)}; give each its own name"
        )


def _repeated(names: Sequence[str]) -> str | None:
    return next((name for name, times in Counter(names).items() if times > 1), None)
