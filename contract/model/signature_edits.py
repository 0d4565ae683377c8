"""Edits of a signature: a partial signature in a request → the signature of a new version, or every error in it."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any

from contract.json_objects import (
    BOOLEAN,
    MAX_NAME,
    Errors,
    ListOf,
    Object,
    Rule,
    as_sent,
    is_number,
    is_text,
    one_of,
    or_null,
    repeated,
    text,
)
from contract.model.manifest import InputFormat
from contract.model.signature import (
    ZONE,
    AnswerForm,
    Decision,
    Field,
    Format,
    Kind,
    Method,
    Null,
    Output,
    RowFormat,
    Signature,
)
from contract.row import Value
from contract.wording import counted, listed, shown

MAX_TEXTS = 10_000
"""Most categories, aliases or names in one list."""

_FORMATS: Mapping[Kind, tuple[Format, ...]] = {
    Kind.NUMBER: (Format.DECIMAL_COMMA, Format.THOUSANDS_COMMA),
    Kind.INTEGER: (Format.DECIMAL_COMMA, Format.THOUSANDS_COMMA),
    Kind.DATETIME: (Format.DAY_FIRST, Format.MONTH_FIRST, Format.YEAR_FIRST, Format.MONTH_NAMED),
}
_NAMED_FORMS = (AnswerForm.NUMBERS, AnswerForm.NAMED, AnswerForm.NONZERO)


class InvalidEdit(Exception):
    """A partial signature that cannot be applied. `found` has all errors, `errors` are the first `total` ones."""

    def __init__(self, errors: Errors) -> None:
        super().__init__(errors.first[0].message)
        self.found = errors
        self.errors = tuple(errors.first)
        self.total = errors.total


def edit_signature(signature: Signature, input_format: InputFormat, edits: object) -> Signature:
    """Return `signature` with the changes in `edits`, a partial signature; what it does not name stays.

    `inputs`, `outputs` and `methods` are objects of changes by name, or lists: an entry says by its `name` which one it
    changes, and a list of all of them under new names renames them in their order. `input_format` is what the
    estimator takes. Raises `InvalidEdit`.
    """
    errors = Errors()
    changes = errors.read("", edits, _EDIT) or {}
    _check_same(changes, {"format": signature.format}, "", errors)
    changed = dataclasses.replace(
        signature,
        inputs=_inputs(signature, input_format, changes.get("inputs", {}), errors),
        outputs=_outputs(signature, changes.get("outputs", {}), errors),
        methods=_methods(signature, changes.get("methods", {}), errors),
        id_field=changes.get("id_field", signature.id_field),
    )
    _check_names(signature, changed, errors)
    if not errors.total and changed == signature:
        errors.add("", "unchanged", "the version has this very signature already; send what is to change")
    if errors.total:
        raise InvalidEdit(errors)
    return changed


def _part(**members: Callable[[str, Any, Errors], Any]) -> Object:
    has = "{what} has {name} more than once"
    return Object(members, _UNKNOWN, repeated=("{field}", has), nullable=members)


def _choice(choices: Sequence[str]) -> Rule:
    return one_of(choices, "unknown_value", "{field} must be one of {known}; it is {value}{near}")


_UNKNOWN = ("unknown_key", "{name} is not a key of {what}{near}")
_TEXT = Rule(lambda value: is_text(value, MAX_NAME), "not_a_string", text(MAX_NAME).message)
_TEXTS = ListOf(
    _TEXT,
    f"{{field}} must be a list of at most {MAX_TEXTS} texts; it is {{value}}",
    most=MAX_TEXTS,
    item_path="{field}[{number}]",
    distinct=True,
)
_EDIT = dataclasses.replace(
    _part(inputs=as_sent, outputs=as_sent, methods=as_sent, id_field=or_null(_TEXT), format=as_sent),
    repeated=("", "signature has {name} more than once"),
    what="a signature",
    body="signature must be an object",
)
_RECORD_INPUT = _part(name=_TEXT, kind=_choice(list(Kind)), guessed=as_sent)
_ZONE = Rule(
    lambda value: isinstance(value, str) and ZONE.fullmatch(value) is not None,
    "no_zone",
    "{field} must be a time zone, such as 'Europe/Berlin' or '+02:00'; it is {value}",
)
_INPUT = _part(
    name=_TEXT,
    kind=_choice(list(Kind)),
    categories=or_null(_TEXTS),
    aliases=_TEXTS,
    zone=or_null(_ZONE),
    null=_choice(list(Null)),
    unit=or_null(_TEXT),
    **dict.fromkeys(("nullable", "naive", "nanoseconds", "float32"), BOOLEAN),
    **dict.fromkeys(("format", "guessed", "words"), as_sent),
)
_OUTPUT_SAME = ("kind", "probabilities", "scores", "label_names")
_OUTPUT = _part(**dict.fromkeys(("name", "labels", "decision", *_OUTPUT_SAME), as_sent))
_DECISION = dataclasses.replace(
    _part(
        label=as_sent,
        threshold=Rule(
            lambda value: is_number(value) and 0 < value < 1,
            "out_of_range",
            "{field} must be a number between 0 and 1, such as 0.2; it is {value}",
        ),
    ),
    required=("label", "threshold"),
)
_METHOD = _part(**dict.fromkeys(("name", "answer", "returned", "names"), as_sent))


def _changes(
    edits: object, names: Sequence[str | None], what: str, errors: Errors
) -> Iterator[tuple[int, str, Mapping[str, Any]]]:
    """Yield for each part that changes its position, the path for errors, and the changes. `what` is `input` …"""
    places = {name: index for index, name in enumerate(names) if name is not None}
    if isinstance(edits, Mapping):
        pairs: list[tuple[object, object]] = list(edits.items())
        in_order = False
    elif isinstance(edits, list):
        pairs = [(entry.get("name") if isinstance(entry, Mapping) else None, entry) for entry in edits]
        # If some names are known, an unknown one is more likely misspelt than new.
        in_order = len(pairs) == len(names) and not any(isinstance(name, str) and name in places for name, _ in pairs)
    else:
        message = f"{what}s must be an object of changes by name, or a list; it is {shown(edits)}"
        errors.add(f"{what}s", "not_an_object", message)
        return
    seen: set[int] = set()
    for number, (name, change) in enumerate(pairs):
        named = places.get(name) if isinstance(name, str) else None
        index = number if named is None and in_order else named
        where = f"{what}s[{number}]" if name is None else f"{what}s.{str(name)[:MAX_NAME]}"
        if not isinstance(change, Mapping):
            errors.add(where, "not_an_object", f"{where} must be an object of what changes; it is {shown(change)}")
        elif index is None:
            errors.add(where, f"unknown_{what}", _not_one(name, what, list(places), len(names), errors))
        elif index in seen:
            errors.add(where, "repeated_field", f"{shown(name)} is changed twice; change it once")
        else:
            seen.add(index)
            yield index, where, change


def _not_one(name: object, what: str, known: Sequence[str], count: int, errors: Errors) -> str:
    if name is None or not known:
        return (
            f"a list with a change for each {what} has {counted(count, 'entry') if count == 1 else f'{count} entries'}"
        )
    return f"the model has no {what} {shown(name)}; {errors.near(name, known) or f'it has {listed(known)}'}"


# Inputs


def _inputs(signature: Signature, input_format: InputFormat, edits: object, errors: Errors) -> tuple[Field, ...]:
    fields = list(signature.inputs)
    records = signature.format is RowFormat.RECORDS
    for index, where, change in _changes(edits, signature.names, "input", errors):
        old, read = fields[index], errors.read(where, change, _RECORD_INPUT if records else _INPUT) or {}
        fields[index] = new = _input(old, read, where, errors)
        if new.name != old.name and (records or input_format is InputFormat.DATAFRAME):
            why = "the model knows it by that name" if records else "the model was fitted on a DataFrame that has it"
            message = f"{shown(old.name)} keeps its name, because {why}; give other spellings as aliases"
            errors.add(f"{where}.name", "cannot_change", message)
        if new.kind is not Kind.STRING and change.get("categories") is not None and not records:
            message = f"only an input of the kind string has categories; {shown(old.name)} is of the kind {new.kind}"
            errors.add(f"{where}.categories", "cannot_change", message)
        if new.kind is not Kind.STRING and signature.format is RowFormat.TEXTS:
            message = f"each row of this model is a text, so {shown(old.name)} stays a string; leave kind out"
            errors.add(f"{where}.kind", "cannot_change", message)
    return tuple(fields)


def _input(old: Field, read: Mapping[str, Any], where: str, errors: Errors) -> Field:
    kind = Kind(read.get("kind", old.kind))
    guessed = read.get("guessed", False)
    if guessed is not False and guessed is not old.guessed:
        errors.add(f"{where}.guessed", "cannot_change", f"{where}.guessed can only become false; leave it out")
    if read.get("categories") == []:
        errors.add(f"{where}.categories", "no_categories", f"{where}.categories is empty; null allows every text")
    naive = read.get("naive")
    if naive and not old.naive and kind is not Kind.DATETIME:
        message = f"only an input of the kind datetime is naive; {shown(old.name)} is of the kind {kind}"
        errors.add(f"{where}.naive", "cannot_change", message)
    if naive is None:  # pandas reads most dates without a time zone
        naive = (old.naive or old.kind is not kind) and not read.get("zone")
    kept = old.categories if kind is Kind.STRING else None
    categories = read.get("categories", kept)
    return Field(
        name=read.get("name", old.name),
        kind=kind,
        nullable=read.get("nullable", old.nullable),
        categories=None if categories is None else tuple(categories),
        aliases=tuple(read.get("aliases", old.aliases)),
        format=_format(old, kind, read, where, errors),
        guessed=old.guessed and "kind" not in read and read.get("guessed") is not False,
        naive=naive and kind is Kind.DATETIME,
        words=old.words if kind is Kind.STRING else (),
        zone=read.get("zone", old.zone) if kind is Kind.DATETIME and not naive else None,
        nanoseconds=read.get("nanoseconds", old.nanoseconds) and kind is Kind.DATETIME,
        null=Null(read.get("null", old.null)),
        float32=read.get("float32", old.float32) and kind is Kind.NUMBER,
        unit=read.get("unit", old.unit) if kind in (Kind.NUMBER, Kind.INTEGER) else None,
    )


def _format(old: Field, kind: Kind, read: Mapping[str, Any], where: str, errors: Errors) -> Format | None:
    allowed = _FORMATS.get(kind, ())
    if read.get("format") is None:
        return old.format if "format" not in read and old.format in allowed else None
    if allowed:
        return errors.read(f"{where}.format", read["format"], _choice(allowed)) and Format(read["format"])
    message = f"an input of the kind {kind} has no format; numbers and dates have one"
    errors.add(f"{where}.format", "cannot_change", message)
    return None


# Outputs and methods


def _outputs(signature: Signature, edits: object, errors: Errors) -> tuple[Output, ...]:
    outputs = list(signature.outputs)
    for index, where, change in _changes(edits, [output.name for output in outputs], "output", errors):
        outputs[index] = _output(outputs[index], change, where, len(outputs) == 1, errors)
    return tuple(outputs)


def _output(old: Output, change: Mapping[str, Any], where: str, alone: bool, errors: Errors) -> Output:
    edits = errors.read(where, change, _OUTPUT) or {}
    _check_same(edits, {name: getattr(old, name) for name in _OUTPUT_SAME}, where, errors)
    name = edits.get("name", old.name)
    if name is not None or not alone:
        name = errors.read(f"{where}.name", name, _TEXT)
    new = dataclasses.replace(old, name=name)
    if "labels" in edits and edits["labels"] != list(old.labels or ()):
        new = dataclasses.replace(new, label_names=_label_names(old, edits["labels"], where, errors))
    if "decision" in edits:
        new = dataclasses.replace(new, decision=_decision(new, edits["decision"], f"{where}.decision", alone, errors))
    return new


def _decision(output: Output, edits: object, where: str, alone: bool, errors: Errors) -> Decision | None:
    """Return a decision; `label` may be the model's label or its name in answers."""
    if edits is None:
        return None
    if not alone or not output.decidable:
        message = "only a model with one output of two classes and probabilities has a decision; leave it out"
        errors.add(where, "cannot_change", message)
        return None
    read = errors.read(where, edits, _DECISION) or {}
    if "label" not in read or "threshold" not in read:
        return None
    names = [*map(str, (*output.shown_labels, *(output.labels or ())))]
    if (label := str(read["label"])[:MAX_NAME]) not in names:
        near = errors.near(label, names) or f"it is {shown(read['label'])}"
        known = listed(output.shown_labels)
        errors.add(f"{where}.label", "unknown_label", f"{where}.label must be one of {known}; {near}")
        return None
    return Decision((output.labels or ())[names.index(label) % 2], float(read["threshold"]))


def _label_names(old: Output, edits: object, where: str, errors: Errors) -> tuple[Value, ...] | None:
    """Return the names that labels have in answers. `edits` maps labels of the model to names, or to null."""
    where, labels = f"{where}.labels", old.labels or ()
    if edits is None:
        return None
    if not labels:
        message = "the model does not list its classes, so they cannot be renamed; leave labels out"
        errors.add(where, "cannot_change", message)
        return None
    places = {str(label): index for index, label in enumerate(labels)}
    if not isinstance(edits, Mapping):
        message = (
            f'{where} must be an object of names by label, such as {{"{labels[0]}": "a name"}}; it is {shown(edits)}'
        )
        errors.add(where, "not_an_object", message)
        return None
    names = list(old.shown_labels)
    for label, name in edits.items():
        index = places.get(label)
        if index is None:
            hint = errors.near(label, places) or f"it has {listed(list(places))}"
            errors.add(f"{where}.{label}", "unknown_label", f"the model has no class {shown(label)}; {hint}")
        else:
            names[index] = labels[index] if name is None else errors.read(f"{where}.{label}", name, _TEXT)
    if twice := repeated(list(map(str, names))):
        errors.add(where, "repeated_field", f"two classes would be {shown(twice)}; give each its own name")
    return None if names == list(labels) else tuple(names)


def _methods(signature: Signature, edits: object, errors: Errors) -> tuple[Method, ...]:
    methods = list(signature.methods)
    for index, where, change in _changes(edits, [method.name for method in methods], "method", errors):
        methods[index] = _method(methods[index], change, where, errors)
    return tuple(methods)


def _method(old: Method, change: Mapping[str, Any], where: str, errors: Errors) -> Method:
    returned = old.returned and {**dataclasses.asdict(old.returned), "dtypes": list(old.returned.dtypes)}
    same = {"name": old.name, "answer": old.answer, "returned": returned}
    edits = errors.read(where, change, _METHOD) or {}
    _check_same(edits, same, where, errors)
    if edits.get("names", old.names) in (old.names, list(old.names or ())):
        return old
    if old.answer not in _NAMED_FORMS or (edits["names"] is None and old.answer is AnswerForm.NAMED):
        what = "needs names" if old.answer in _NAMED_FORMS else "answers no list of numbers"
        errors.add(f"{where}.names", "cannot_change", f"{old.name} {what}; leave names out")
        return old
    names = errors.read(f"{where}.names", edits["names"], or_null(_TEXTS))
    if names is not None and old.names is not None and len(names) != len(old.names):
        count = f"{len(old.names)} numbers a row, and names has {len(names)}"
        errors.add(f"{where}.names", "wrong_length", f"{old.name} answers {count}; give each number one")
    answer = AnswerForm.NAMED if old.answer is AnswerForm.NUMBERS else old.answer
    return dataclasses.replace(old, answer=answer, names=None if names is None else tuple(names))


# What fits together


def _check_same(edits: Mapping[str, Any], same: Mapping[str, Any], where: str, errors: Errors) -> None:
    """Add an error for each part in `edits` that cannot be edited and is not as it is now."""
    for key, value in same.items():
        now = list(value) if isinstance(value, tuple) else str(value) if isinstance(value, StrEnum) else value
        if key in edits and edits[key] != now:
            path = f"{where}.{key}" if where else key
            errors.add(path, "cannot_change", f"{path} is {shown(now)}, and cannot be edited; leave it out")


def _check_names(old: Signature, new: Signature, errors: Errors) -> None:
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
    if twice_out := repeated([output.name for output in new.outputs if output.name is not None]):
        errors.add(
            "outputs", "repeated_field", f"two outputs would be called {shown(twice_out)}; give each its own name"
        )
