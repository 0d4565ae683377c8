"""Reads typed parts out of a manifest's JSON, and names the part that is missing or wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from enum import StrEnum
from math import isfinite
from typing import Any, TypeVar

from contract.errors import Code, ModelgateError
from contract.jobs import Value

T = TypeVar("T")


def parse(text: str | bytes, build: Callable[[Reader], T]) -> T:
    """Return what `build` makes of the JSON object in `text`. Raises `ModelgateError` (`manifest_invalid`)."""
    try:
        data = json.loads(text, parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError) as error:
        raise invalid(f"is not JSON ({error})") from error
    if not isinstance(data, dict):
        raise invalid("is not a JSON object")
    try:
        return build(Reader(data, ""))
    except (TypeError, ValueError, RecursionError) as error:
        raise invalid(f"has a value of the wrong type ({error})") from error


class Reader:
    """Reads the parts of a JSON object. Its errors name the path of the part."""

    def __init__(self, data: Mapping[str, Any], path: str) -> None:
        self._data = data
        self._path = path

    def get(self, key: str) -> Any:
        return self._data.get(key)

    def value(self, key: str, kind: type[T]) -> T:
        value = self._data.get(key)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise self.wrong(key, f"a {kind.__name__}", value)
        return value

    def wrong(self, key: str, wanted: str, value: object) -> ModelgateError:
        return invalid(f"needs {self._path}{key}, {wanted}; it has {value!r:.60}")

    def optional(self, key: str, kind: type[T]) -> T | None:
        return None if self._data.get(key) is None else self.value(key, kind)

    def choice(self, key: str, choices: type[StrEnum]) -> str:
        text = self.value(key, str)
        if text not in list(choices):
            raise self.wrong(key, f"one of {', '.join(choices)}", text)
        return text

    def part(self, key: str) -> Reader:
        return Reader(self.value(key, dict), f"{self._path}{key}.")

    def parts(self, key: str) -> list[Reader]:
        items = self.value(key, list)
        for index, item in enumerate(items):
            if not isinstance(item, dict):
                raise invalid(f"needs {self._path}{key}[{index}], an object; it has {item!r:.60}")
        return [Reader(item, f"{self._path}{key}[{index}].") for index, item in enumerate(items)]

    def texts(self, key: str) -> tuple[str, ...]:
        texts = self.value(key, list)
        if wrong := [item for item in texts if not isinstance(item, str)]:
            raise self.wrong(key, "a list of texts", wrong[0])
        return tuple(texts)

    def scalars(self, key: str) -> tuple[Value, ...]:
        values = self.value(key, list)
        if wrong := [item for item in values if isinstance(item, list | dict)]:
            raise self.wrong(key, "a list of plain values", wrong[0])
        return tuple(values)


def _finite(text: str) -> float:
    """Return the number. Raises ValueError for NaN, Infinity and 1e999: Python reads them, but they are not JSON."""
    number = float(text)
    if not isfinite(number):
        raise ValueError(f"{text:.40} is not a finite number")
    return number


def invalid(what: str) -> ModelgateError:
    """Return the error `the manifest <what>`."""
    return ModelgateError(Code.MANIFEST_INVALID, f"the manifest {what}")
