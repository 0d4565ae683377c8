"""Where Modelgate differs from a post's service on purpose, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_POSTED = ("loan", "iris", "boston", "sepals")
_NUMERALS = ("an underscore in a text number", "digits of another script")
_OTHER_NAMES = ("a misspelt input", "names in upper case", "names with blanks", "other names")
_NO_ROW = ("null", "a boolean", "a number", "zero", "a text", "an empty text as the body", "an empty list")

_REASONS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "Nothing tells that the address was meant to be one of the service; the shape of the error is Modelgate's.": {
        "blobs": ["the features swapped", "upper case"],
    },
    "Flask redirects to the path with single slashes; Modelgate has no such path.": {"blobs": ["slashes for blanks"]},
    "Only Python reads these as numbers.": {
        "blobs": ["1_0 as feature_1", "%D9%A3 as feature_1"],
        **dict.fromkeys(_POSTED, _NUMERALS),
    },
    "JSON between systems is UTF-8 (RFC 8259).": dict.fromkeys(_POSTED, ("UTF-16",)),
    "The post takes the last of two values; which one is meant, nobody knows.": dict.fromkeys(
        _POSTED, ("an input twice",)
    ),
    "The post answers by chance: pandas and NumPy spread a list that stands for a value.": {
        "loan": ["lists of values"],
        "iris": ["lists of values", "a list as a value"],
        "sepals": ["lists of values"],
    },
    "The text is no number; pandas takes it for a missing one.": {"loan": ["a text NaN"]},
    "An id of digits keeps its zeros; pandas takes it for a number.": {"loan": ["digits as Loan_ID"]},
    "The post takes a number for the code of a word.": {"loan": ["a number for a word"]},
    "The post goes by the order of the inputs and ignores their names: a wrong flower, unnoticed.": {
        "iris": ["another order"],
    },
    "The post goes by the order of the inputs; Modelgate refuses names that it does not know.": {"iris": _OTHER_NAMES},
    "There is no row, and the post answers for a home of zeros.": {
        "boston": [*_NO_ROW, "several rows", "a list with a null"],
    },
    "Modelgate reads the row; the post answers for a home of zeros.": {
        "boston": [
            *("a list of the values", "a list of a list", "a list of one row", "rows deeper", "in two JSON texts"),
            "names in upper case",
        ],
    },
    "Modelgate reads the row, and the post finds none.": {
        "sepals": ["a list of the values", "a list of a list", "a list of one row", "rows deeper"],
    },
    "A text in JSON has to hold JSON itself, so it is malformed.": {
        "sepals": ["a text", "an empty text as the body", "a text without JSON"],
    },
}

EXPLAINED: Mapping[str, Mapping[str, str]] = {
    service: {what: reason for reason, where in _REASONS.items() for what in where.get(service, ())}
    for service in ("blobs", *_POSTED)
}
"""The reasons by service and request."""
