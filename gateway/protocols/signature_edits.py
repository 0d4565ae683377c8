"""A request for a version with an edited signature, in JSON: `{"from": 3, "signature": {…}}`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from contract.json_objects import Object, Rule
from contract.model.manifest import ModelManifest
from contract.model.signature_edits import InvalidEdit, edit_signature
from contract.wording import shown
from gateway.problems import ProblemCode
from gateway.problems.problem import invalid, read_valid

VERSION = Rule(
    lambda value: isinstance(value, int | str) and not isinstance(value, bool) and bool(value),
    "not_a_version",
    "{field} must be the number or an alias of a version; it is {value}",
)
_BODY = Object(
    {
        "from": VERSION,
        "signature": Rule(
            lambda value: isinstance(value, dict),
            "not_an_object",
            "{field} must be an object with what is to change; it is {value}",
        ),
    },
    ("unknown_key", "{name} is not a key of the body{hint}; it has from and signature"),
    required=("from", "signature"),
    body='the body must be {"from": 3, "signature": {…}}',
)


@dataclass(frozen=True)
class EditRequest:
    """`source` is the number or an alias of the version to edit, `edits` a partial signature."""

    source: str
    edits: Mapping[str, Any]


def edit_request(body: object) -> EditRequest:
    """Return the request in `body`. Raises `Problem` with every error."""
    members = read_valid(body, _BODY, ProblemCode.INVALID_SIGNATURE)
    source = members["from"]
    return EditRequest(shown(source) if isinstance(source, int) else source, members["signature"])


def check_edits(manifest: ModelManifest, edits: Mapping[str, Any]) -> None:
    """Raise `Problem` with every error if the signature of the version cannot be edited so."""
    try:
        edit_signature(manifest.signature, manifest.artifact.input_format, edits)
    except InvalidEdit as edit:
        raise invalid(ProblemCode.INVALID_SIGNATURE, edit.found) from edit
