"""Reads the JSON of requests to make, change or rotate a key, and finds every error in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from contract.json_objects import Errors, ListOf, Object, Rule, WrongValue, made_by, one_of, or_null
from contract.model.repository import valid_name
from contract.wording import shown
from contract.work.api_keys import EVERY_USER, NAME, USER, Detail, Key, Limits, Scope, new_id
from contract.work.jobs import timestamp, timestamp_now
from gateway.problems import ProblemCode
from gateway.problems.problem import invalid, read_body, read_valid
from gateway.protocols.parameters import utc

DURATION = re.compile(r"([1-9][0-9]{0,4})([smhdw])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_LONGEST = timedelta(days=3660)
_LONGEST_OVERLAP = timedelta(days=30)
MOST_MODELS = 1000
LARGEST_LIMIT = 10**9
"""The largest limit."""


@dataclass(frozen=True)
class Rotation:
    """`overlap`: seconds for which the previous secret still works. `expires_at`: None keeps that of the key."""

    overlap: float = 0
    expires_at: str | None = None


def key_request(body: object) -> Key:
    """Return the new key that `body` asks for. Raises `Problem` with every error."""
    members, errors = read_body(body, _KEY, ProblemCode.INVALID_KEY_REQUEST)
    scopes = frozenset(map(Scope, members.get("scopes", ())))
    models = members.get("models")
    _check_models(scopes, models, errors)
    reads = not scopes.isdisjoint({Scope.READ, Scope.ADMIN})
    return Key(
        id=new_id(),
        name=members["name"],
        owner=members.get("owner", members["name"]),
        scopes=scopes,
        models=models and frozenset(models),
        limits=Limits.from_json(members.get("limits", {})),
        detail=Detail(members.get("detail", Detail.FULL if reads else Detail.TERSE)),
        created_at=timestamp_now(),
        expires_at=members.get("expires"),
        user=members.get("user"),
    )


def key_change(body: object) -> Callable[[Key], Key]:
    """Return a function that makes the change that `body` asks for. Members that it does not name stay. Raises
    `Problem` with every error, and so does the function for a key that it does not fit."""
    members = read_valid(body, _CHANGE, ProblemCode.INVALID_KEY_REQUEST)

    def changed(key: Key) -> Key:
        scopes = frozenset(map(Scope, members.get("scopes", key.scopes)))
        models = members.get("models", key.models)
        _check_models(scopes, models, Errors())
        return replace(
            key,
            scopes=scopes,
            models=models and frozenset(models),
            limits=Limits.from_json({**key.limits.to_json(), **members.get("limits", {})}),
            detail=Detail(members.get("detail", key.detail)),
            expires_at=members.get("expires", key.expires_at),
        )

    return changed


def _check_models(scopes: Collection[Scope], models: Collection[str] | None, errors: Errors) -> None:
    """Raise `Problem` with the errors, and with one more if models limit an admin."""
    if models and Scope.ADMIN in scopes:
        message = "models cannot limit a key with the scope admin, which can make any key"
        errors.add("models", "not_taken", message)
    if errors.total:
        raise invalid(ProblemCode.INVALID_KEY_REQUEST, errors)


def rotation_request(body: object) -> Rotation:
    """Return the rotation that `body` asks for. Raises `Problem` with every error."""
    members = read_valid(body, _ROTATION, ProblemCode.INVALID_KEY_REQUEST)
    return Rotation(members.get("overlap", 0), members.get("expires"))


def _expires(value: object) -> str:
    """Return the time in RFC 3339."""
    now = datetime.now(UTC)
    duration = _duration(value)
    moment = now + duration if duration else utc(value)
    if moment is None:
        message = "expires must be a duration such as 90d or 12h, or a time such as 2030-01-31T00:00:00Z"
        raise WrongValue("not_a_time", f"{message}; it is {shown(value)}")
    if not now < moment <= now + _LONGEST:
        message = f"expires must be in the future, and at most ten years away; it is {shown(value)}"
        raise WrongValue("out_of_range", message)
    return timestamp(moment)


def _user(value: object) -> str:
    """Return the person in lower case."""
    user = value.lower() if isinstance(value, str) else ""
    if user != EVERY_USER and not USER.fullmatch(user):
        message = (
            "user must be a person as your proxy names them, such as ann@corp.com (up to 128 of a-z, 0-9, ., _, @, +"
            f" and -), or * for everybody without an entry; it is {shown(value)}"
        )
        raise WrongValue("not_a_user", message)
    return user


def _overlap(value: object) -> float:
    """Return the seconds."""
    duration = timedelta() if value == 0 else _duration(value)
    if duration is None or duration > _LONGEST_OVERLAP:
        message = f"overlap must be a duration of at most 30 days, such as 1h or 7d; it is {shown(value)}"
        raise WrongValue("not_a_duration", message)
    return duration.total_seconds()


def _duration(value: object) -> timedelta | None:
    matched = DURATION.fullmatch(value) if isinstance(value, str) else None
    return timedelta(**{_UNITS[matched[2]]: int(matched[1])}) if matched else None


def _present(read: Callable[[str, Any, Errors], Any], code: str, use: str) -> Callable[[str, Any, Errors], Any]:
    """Return `read`, which says of a missing member how to `use` it."""

    def read_present(field: str, value: Any, errors: Errors) -> Any:
        if value is None:
            raise WrongValue(code, f"{field} is missing; {use}")
        return read(field, value, errors)

    return read_present


_SCOPES = tuple(map(str, Scope))
_USE = "use 1 to 64 of a-z, 0-9, _, . and -, beginning with a letter or digit"
_GIVE = f'give a list of {", ".join(_SCOPES)}, such as ["predict"]'
_NAME = Rule(
    lambda value: isinstance(value, str) and bool(NAME.fullmatch(value)),
    "not_a_name",
    f"{{field}} cannot be {{value}}; {_USE}",
)
_LIMIT = Rule(
    lambda value: type(value) is int and 1 <= value <= LARGEST_LIMIT,
    "out_of_range",
    f"{{field}} must be a whole number from 1 to {LARGEST_LIMIT}, or null for no limit; it is {{value}}",
)
_UNKNOWN = ("unknown_field", "{name} is not a member of {what}{hint}; it has {known}")
_SCOPE_LIST = ListOf(
    one_of(_SCOPES, "unknown_scope", "there is no scope {value}{hint}; there are {known}"),
    f"scopes is {{value}}; {_GIVE}",
    least=1,
)
_MODELS = ListOf(
    Rule(
        lambda value: isinstance(value, str) and valid_name(value),
        "not_a_name",
        "{value} cannot be the name of a model; give names without versions, such as loan",
    ),
    f"models must be a list of 1 to {MOST_MODELS} names; leave it out for all models",
    least=1,
    most=MOST_MODELS,
)
_LIMIT_NAMES = [limit.name for limit in fields(Limits)]
_DETAIL = one_of(list(Detail), "unknown_detail", "detail must be full or terse; it is {value}")
_KEY = Object(
    {
        "name": _present(_NAME, "missing_field", _USE),
        "owner": _NAME,
        "user": made_by(_user),
        "scopes": _present(_SCOPE_LIST, "not_a_list", _GIVE),
        "models": _MODELS,
        "expires": made_by(_expires),
        "limits": Object(dict.fromkeys(_LIMIT_NAMES, _LIMIT), _UNKNOWN),
        "detail": _DETAIL,
    },
    _UNKNOWN,
    required=("name", "scopes"),
    what="a key",
)
_CHANGE = Object(
    {
        "scopes": _SCOPE_LIST,
        "models": or_null(_MODELS),
        "expires": or_null(made_by(_expires)),
        "limits": Object(dict.fromkeys(_LIMIT_NAMES, or_null(_LIMIT)), _UNKNOWN, nullable=_LIMIT_NAMES),
        "detail": _DETAIL,
    },
    _UNKNOWN,
    nullable=("models", "expires"),
    what="a change of a key",
)
_ROTATION = Object({"overlap": made_by(_overlap), "expires": made_by(_expires)}, _UNKNOWN, what="a rotation")
