"""The small bodies of changes to versions, aliases and settings."""

from __future__ import annotations

from typing import Any

from contract.json_objects import BOOLEAN, Object, Rule, text
from contract.model.model_settings import PROTECTED, WARN_UNUSUAL
from contract.model.promotions import MOST_NOTE
from gateway.problems import Problem, ProblemCode
from gateway.problems.problem import invalid, read_body, read_valid
from gateway.protocols import native


def read(body: bytes, members: Object) -> dict[str, Any]:
    """Return the members of the body; a request without a body has none. Raises `Problem`."""
    return read_valid(native.json_value(body) if body else {}, members, ProblemCode.INVALID_BODY)


def settings_request(body: bytes) -> dict[str, bool]:
    """Return the settings to change. Raises `Problem` unless there is one."""
    if settings := read(body, _SETTINGS):
        return settings
    raise Problem(ProblemCode.INVALID_BODY, f'the body must be {{"{WARN_UNUSUAL}": true}} or {{"{PROTECTED}": true}}')


def promotion_request(body: bytes) -> dict[str, Any]:
    """Return the `version`, or `unprotect`, and the `note`. Raises `Problem` unless the body asks for one thing."""
    members, errors = read_body(native.json_value(body), _PROMOTION, ProblemCode.INVALID_BODY)
    if ("version" in members) == ("unprotect" in members) and not errors.total:
        message = 'the body must have the number of a version, such as {"version": 2}, or {"unprotect": true}'
        errors.add("version", "missing_field", message)
    if errors.total:
        raise invalid(ProblemCode.INVALID_BODY, errors)
    return members


def _body_of(*required: str, **members: Rule) -> Object:
    message = f"the body has the unknown key {{name}}; it may have {', '.join(map(repr, members))}"
    return Object(members, ("unknown_key", message), required=required, nullable=members)


_VERSION = Rule(
    lambda value: type(value) is int and 1 <= value < 10**9,
    "not_a_version",
    'the body must have the number of a version, such as {{"version": 2}}',
)
_FORCE = Rule(
    BOOLEAN.test,
    BOOLEAN.code,
    '"force" must be true or false; true moves the alias even if no worker can load the version',
)
_UNPROTECT = Rule(lambda value: value is True, BOOLEAN.code, "{field} must be true; leave it out to promote a version")
_PROMOTION = _body_of(version=_VERSION, unprotect=_UNPROTECT, note=text(MOST_NOTE, least=0))
MOVE = _body_of("version", version=_VERSION, force=_FORCE)
FORCED = _body_of(force=_FORCE)
"""Of a rollback, and of an approval."""
_SETTINGS = _body_of(**dict.fromkeys((WARN_UNUSUAL, PROTECTED), BOOLEAN))
RESTORATION = _body_of(version=_VERSION)
