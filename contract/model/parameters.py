"""The parameters of recipes and the values that they take, so that the gateway can refuse a value before the training
waits."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from contract.errors import MAX_ERRORS, FieldError
from contract.release import known
from contract.row import Value
from contract.wording import Suggestions, shown

TYPES = {"bool": "true or false", "int": "a whole number", "float": "a number", "str": "text", "None": "null"}
"""Annotations of parameters, in words."""


@dataclass(frozen=True)
class RecipeParameter:
    """A parameter that takes any value of `types` (keys of `TYPES`), or one of `values`."""

    name: str
    types: Sequence[str]
    values: Sequence[Value]
    default: Value

    def takes(self, value: object) -> bool:
        same = any(type(value) is type(choice) and value == choice for choice in self.values)
        return same or any(_is(value, name) for name in self.types)

    @property
    def allowed(self) -> str:
        """The values that it takes, in words."""
        return " or ".join([*map(shown, self.values), *(TYPES[name] for name in self.types)])

    def __str__(self) -> str:
        return f"{self.name}, {self.allowed} (default {shown(self.default)})"

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RecipeParameter:
        return cls(**known(cls, data))


def parameter_errors(
    values: Mapping[str, object], recipe: str, parameters: Sequence[RecipeParameter]
) -> list[FieldError]:
    """Return the first errors in the values that are given for the recipe."""
    errors: list[FieldError] = []
    suggestions = Suggestions()
    known = {parameter.name: parameter for parameter in parameters}
    for name, value in values.items():
        if len(errors) == MAX_ERRORS:
            break
        if name not in known:
            near = suggestions.closest(name, known, 0.6)
            hint = f"; did you mean {shown(near)}?" if near else "."
            has = "; ".join(map(str, known.values())) or "none"
            message = f"{shown(name)} is not a parameter of the recipe {recipe}{hint} It takes: {has}"
            errors.append(FieldError(None, f"parameters.{name}"[:80], "unknown_parameter", message))
        elif not known[name].takes(value):
            choices = [choice for choice in known[name].values if isinstance(choice, str)]
            near = suggestions.closest(value, choices, 0.6) if isinstance(value, str) else None
            hint = f"; did you mean {shown(near)}?" if near else ""
            message = f"{shown(name)} of the recipe {recipe} must be {known[name].allowed}, not {shown(value)}{hint}"
            errors.append(FieldError(None, f"parameters.{name}", "invalid_parameter", message))
    return errors


def _is(value: object, name: str) -> bool:
    if name == "float":
        return type(value) is int or (type(value) is float and isfinite(value))
    return value is None if name == "None" else type(value).__name__ == name
