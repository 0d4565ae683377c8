"""JSON is read as the standard library reads it."""

from __future__ import annotations

import json

import orjson
import pytest

from runtime.exact_json import JsonText, fragment, loads

CASES = [
    b'{"a": [1, -0, 1.5, -0.0, 1e22, true, null, "\\u00fc \\ud83d\\ude00"]}',
    b"[18446744073709551615, 18446744073709551616, 9223372036854775808]",
    b"[-9223372036854775808, -9223372036854775809]",
    b"[0.1234567890123456789012, 1e400, NaN]",
    b'"\\ud800"',
]


@pytest.mark.parametrize("data", CASES)
def test_values_and_their_types_are_those_of_the_standard_library(data: bytes) -> None:
    assert repr(loads(data)) == repr(json.loads(data))


@pytest.mark.parametrize("data", [b"", b"{", b"[1,]", b"\xff", b"01"])
def test_what_is_not_json_raises_a_value_error(data: bytes) -> None:
    with pytest.raises((json.JSONDecodeError, UnicodeDecodeError)):
        loads(data)


def test_an_object_that_is_still_text_is_written_as_it_is_and_read_as_a_mapping() -> None:
    value = JsonText(b'{"a":1.50,"b":%d}' % 2**70)
    assert orjson.dumps({"output": value}, fragment) == b'{"output":{"a":1.50,"b":%d}}' % 2**70
    assert value == {"a": 1.5, "b": 2**70}
    with pytest.raises(TypeError):
        orjson.dumps({"output": object()}, fragment)
