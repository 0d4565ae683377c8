"""What clients of the posts' services may send: good requests, and every kind of mistake."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

JSON = "application/json"


@dataclass(frozen=True)
class Asked:
    """A request. `what` is its name in the table; a `media_type` of None: without one."""

    what: str
    path: str
    method: str = "POST"
    body: bytes = b""
    media_type: str | None = JSON


@dataclass(frozen=True)
class Client:
    """How a service is asked. `rows`: whether it takes a list of rows. `in_text`: whether the JSON is in a JSON text.
    `number`, `word`: the inputs that mistakes are about. `changes`: further rows, by what is another in them."""

    path: str
    row: Mapping[str, Any]
    number: str
    word: str | None = None
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    rows: bool = False
    in_text: bool = False

    def body(self, value: Any) -> bytes:
        return (json.dumps(json.dumps(value)) if self.in_text else json.dumps(value)).encode()

    def asks(self, what: str, value: Any) -> Asked:
        return Asked(what, self.path, body=self.body(value))

    def asks_row(self, what: str, row: Mapping[str, Any]) -> Asked:
        return self.asks(what, [row] if self.rows else row)


LOAN = {
    "Loan_ID": "LP001015",
    "Gender": "Male",
    "Married": "Yes",
    "Dependents": "0",
    "Education": "Graduate",
    "Self_Employed": "No",
    "ApplicantIncome": 5720,
    "CoapplicantIncome": 0,
    "LoanAmount": 110.0,
    "Loan_Amount_Term": 360.0,
    "Credit_History": 1.0,
    "Property_Area": "Urban",
}
HOME = dict(
    zip(
        ("crim", "zn", "indus", "chas", "nox", "rm", "age", "dis", "rad", "tax", "ptratio", "b", "lstat"),
        (0.00632, 18.0, 2.31, 0.0, 0.538, 6.575, 65.2, 4.09, 1.0, 296.0, 15.3, 396.9, 4.98),
        strict=True,
    )
)
FLOWER = {"sepal.lenght": 5.1, "sepal.width": 3.5, "petal.lenght": 1.4, "petal.width": 0.2}

REFUSED = {"Loan_ID": "LP001022", "Credit_History": 0.0}
"""What makes the application one that the model declines."""

LOANS: Mapping[str, Mapping[str, Any]] = {
    "an application to decline": REFUSED,
    "nulls in one to decline": {**REFUSED, "Gender": None, "Married": None, "LoanAmount": None},
    "a whole number of Dependents": {"Dependents": 0},
    "the most Dependents": {"Dependents": "3+"},
    "an income as text": {"ApplicantIncome": "5720"},
    "a number as Loan_ID": {"Loan_ID": 7},
    "digits as Loan_ID": {"Loan_ID": "007"},
    "a unicode Loan_ID": {"Loan_ID": "Köln 1"},
    "a Loan_ID with a slash": {"Loan_ID": "2024/1"},
    "a Loan_ID with quotes": {"Loan_ID": 'the "first"'},
}

CLIENTS = {
    "loan": Client("/loan/predict", LOAN, "LoanAmount", "Gender", LOANS, rows=True, in_text=True),
    "iris": Client("/iris/predict", FLOWER, "petal.width"),
    "boston": Client("/mass", HOME, "rm", in_text=True),
    "sepals": Client("/sepals/predict", {"X1": "61.1", "X2": "17.3"}, "X2"),
}

VALUES: Mapping[str, Any] = {
    "a whole number": 4,
    "a text number": "1.5",
    "a text number with blanks": " 1.5 ",
    "a text number with an exponent": "15e-1",
    "a text number with a comma": "1,5",
    "a text number with a plus": "+1.5",
    "an underscore in a text number": "1_0",
    "a hexadecimal text": "0x10",
    "digits of another script": "٣",
    "a word": "many",
    "an empty text": "",
    "a NaN": float("nan"),
    "a text NaN": "nan",
    "an Infinity": float("inf"),
    "a negative number": -3.5,
    "a huge number": 1e300,
    "a number of 400 digits": 10**400,
    "true": True,
    "false": False,
    "a list as a value": [1.5],
    "an object as a value": {"value": 1.5},
}
"""What stands where a number should."""

WORDS: Mapping[str, Any] = {
    "a word in lower case": "male",
    "a word with a blank": "Male ",
    "an unknown word": "Other",
    "a number for a word": 1,
    "a unicode word": "männlich",
}


def of_blobs() -> Iterator[Asked]:
    """Yield the requests of the service whose rows are in its path."""
    texts = ("2.0", "-2", "+2", "1e1", "1E-3", ".5", "5.", "1_0", "%202.0", "2,0", "0x10", "many", "nan", "inf", "true")
    more = ("null", "1e400", "1e300", "%D9%A3", "%C2%BD", "%20", "%00", "2%2F3", "[2]", "2;3", "9" * 400, "2.0%0A")
    for text in (*texts, *more):
        yield Asked(f"{text[:12]} as feature_1", _point(text), "GET", media_type=None)
    yield Asked("feature_2 is a word", _point("2.0", "many"), "GET", media_type=None)
    for method in ("HEAD", "POST", "PUT", "DELETE", "PATCH"):
        yield Asked(f"method {method}", _point("2.0"), method, media_type=None)
    yield Asked("method HEAD, a word", _point("many"), "HEAD", media_type=None)
    for what, path in {
        "a query": _point("2.0") + "?feature_1=5",
        "a slash at the end": _point("2.0") + "/",
        "feature_2 is empty": _point("2.0", ""),
        "feature_1 is empty": _point(""),
        "without feature_2": "/predict/feature_1/2.0",
        "the features swapped": "/predict/feature_2/2.0/feature_1/2.0",
        "a third feature": _point("2.0") + "/feature_3/1",
        "upper case": "/Predict/feature_1/2.0/feature_2/2.0",
        "slashes for blanks": "/predict//feature_1/2.0/feature_2/2.0",
    }.items():
        yield Asked(what, path, "GET", media_type=None)
    yield Asked("a body with a GET", _point("2.0"), "GET", b'{"feature_1": 5}')


def _point(first: str, second: str = "2.0") -> str:
    return f"/predict/feature_1/{first}/feature_2/{second}"


def of(client: Client) -> Iterator[Asked]:
    """Yield the requests of a service whose rows are in a body."""
    yield from _transports(client)
    yield from _shapes(client)
    yield from _rows(client)
    for name in client.row:
        yield client.asks_row(f"{name} is null", {**client.row, name: None})
    for what, change in client.changes.items():
        yield client.asks_row(what, {**client.row, **change})
    for what, value in VALUES.items():
        yield client.asks_row(what, {**client.row, client.number: value})
    if client.word:
        for what, value in WORDS.items():
            yield client.asks_row(what, {**client.row, client.word: value})


def _transports(client: Client) -> Iterator[Asked]:
    good = client.asks_row("good", client.row)
    yield good
    for kind in (None, "application/json; charset=utf-8", "APPLICATION/JSON", "application/vnd.api+json", "text/json"):
        yield replace(good, what=f"media type {kind}", media_type=kind)
    for kind in ("text/plain", "text/csv", "application/x-www-form-urlencoded", "multipart/form-data", "nonsense"):
        yield replace(good, what=f"media type {kind}", media_type=kind)
    for method in ("GET", "HEAD", "PUT", "PATCH", "DELETE"):
        yield replace(good, what=f"method {method}", method=method)
    yield replace(good, what="a slash at the end", path=client.path + "/")
    yield replace(good, what="a query", path=client.path + "?X1=5")
    bodies = {
        "an empty body": b"",
        "an empty body without a media type": b"",
        "a blank body": b" \n ",
        "malformed JSON": b"{",
        "JSON cut off": good.body[:-3],
        "two JSON values": good.body + b"{}",
        "single quotes": good.body.replace(b'"', b"'"),
        "no UTF-8": b'{"X1": "\xff"}',
        "a byte order mark": b"\xef\xbb\xbf" + good.body,
        "blanks around JSON": b"\n " + good.body + b" \n",
        "UTF-16": good.body.decode().encode("utf-16"),
    }
    for what, body in bodies.items():
        yield replace(good, what=what, body=body, media_type=None if "without" in what else JSON)


def _shapes(client: Client) -> Iterator[Asked]:
    row, other = client.row, replace(client, in_text=not client.in_text)
    shapes: dict[str, Any] = {
        "null": None,
        "a boolean": True,
        "a number": 5,
        "zero": 0,
        "a text": "X",
        "an empty text as the body": "",
        "an empty list": [],
        "an empty object": {},
        "a list with an empty object": [{}],
        "a list of the values": list(row.values()),
        "a list of a list": [list(row.values())],
        "an object instead of a list" if client.rows else "a list of one row": row if client.rows else [row],
        "several rows": [row, {**row, **next(iter(client.changes.values()), {})}],
        "a list with a null": [None],
        "lists of values": {name: [value] for name, value in row.items()},
        "rows deeper": {"instances": [row]},
        "column by row": {name: {"0": value} for name, value in row.items()},
    }
    for what, value in shapes.items():
        yield client.asks(what, value)
    yield other.asks_row("not in a text" if client.in_text else "in a JSON text", row)
    yield other.asks("a bare null", None)
    yield Asked("a text without JSON", client.path, body=b'"X1"')
    yield Asked("in two JSON texts", client.path, body=json.dumps(client.body(row).decode()).encode())


def _rows(client: Client) -> Iterator[Asked]:
    row, first, last = dict(client.row), next(iter(client.row)), list(client.row)[-1]
    without = {name: value for name, value in row.items() if name != client.number}
    rows: dict[str, dict[str, Any]] = {
        "without an input": without,
        "without the first input": {name: value for name, value in row.items() if name != first},
        "one input alone": {last: row[last]},
        "an extra input": {**row, "colour": "red"},
        "an extra number": {**row, "colour": 7},
        "a misspelt input": {**without, f"{client.number}s": row[client.number]},
        "names in upper case": {name.upper(): value for name, value in row.items()},
        "names with blanks": {f" {name} ": value for name, value in row.items()},
        "other names": {f"column_{number}": value for number, value in enumerate(row.values())},
        "another order": dict(reversed(row.items())),
        "an empty name": {**row, "": 1},
        "a unicode name": {**row, "größe": 1},
    }
    for what, value in rows.items():
        yield client.asks_row(what, value)
    twice = json.dumps(row)[:-1] + f", {json.dumps(client.number)}: 2.5}}"
    twice = f"[{twice}]" if client.rows else twice
    body = (json.dumps(twice) if client.in_text else twice).encode()
    yield Asked("an input twice", client.path, body=body)


def requests_by_service() -> dict[str, list[Asked]]:
    return {"blobs": [*of_blobs()], **{name: [*of(client)] for name, client in CLIENTS.items()}}
