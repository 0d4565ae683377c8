"""A request for a version with an edited signature, in JSON: `{"from": 3, "signature": {…}}`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contract.errors import FieldError
from contract.manifest import ModelManifest
from contract.signature_edits import InvalidEdit, edit_signature
from contract.wording import shown
from gateway.problem_codes import ProblemCode
from gateway.problems import Problem, did_you_mean

_KEYS = ("from", "signature")


@dataclass(frozen=True)
class EditRequest:
    """`source` is the number or an alias of the version to edit, `edits` a partial signature."""

    source: str
    edits: Mapping[str, Any]


def edit_request(body: object) -> EditRequest:
    """Return the request in `body`. Raises `Problem` with every error."""
    if not isinstance(body, dict):
        message = f'the body must be {{"from": 3, "signature": {{…}}}}; it is {shown(body)}'
        raise _invalid([FieldError(None, None, "not_an_object", message)])
    errors = [_unknown_key(key) for key in body if key not in _KEYS]
    source, edits = body.get("from"), body.get("signature")
    if isinstance(source, bool) or not isinstance(source, int | str) or not source:
        message = f"from must be the number or an alias of the version to edit; it is {shown(source)}"
        errors.append(FieldError(None, "from", "not_a_version", message))
    if not isinstance(edits, dict):
        message = f"signature must be an object with what is to change; it is {shown(edits)}"
        errors.append(FieldError(None, "signature", "not_an_object", message))
    if errors:
        raise _invalid(errors, len(errors))
    return EditRequest(shown(source) if isinstance(source, int) else str(source), edits or {})


def check_edits(manifest: ModelManifest, edits: Mapping[str, Any]) -> None:
    """Raise `Problem` with every error if the signature of the version cannot be edited so."""
    try:
        edit_signature(manifest.signature, manifest.artifact.input_format, edits)
    except InvalidEdit as invalid:
        raise _invalid(invalid.errors, invalid.total) from invalid


def _unknown_key(key: str) -> FieldError:
    hint = did_you_mean(key, _KEYS)
    return FieldError(
        None, key[:256], "unknown_key", f"{shown(key)} is not a key of the body{hint}; it has from and signature"
    )


def _invalid(errors: Sequence[FieldError], total: int = 1) -> Problem:
    detail = errors[0].message if total == 1 else f"{total} values cannot be used; see errors"
    if total > len(errors):
        detail += f" (the first {len(errors)} are listed)"
    return Problem(ProblemCode.INVALID_SIGNATURE, detail, errors=[error.to_json() for error in errors])
