"""Reads the JSON of requests to make or rotate a key, and finds every error in it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from contract.errors import FieldError
from contract.instances import RepeatedKeys
from contract.jobs import timestamp
from contract.keys import NAME, Detail, Key, Limits, Scope, new_id
from contract.repository import valid_name
from contract.suggestions import Suggestions
from contract.wording import shown
from gateway.problem_codes import ProblemCode
from gateway.problems import Problem, did_you_mean

_MEMBERS = ("name", "owner", "scopes", "models", "expires", "limits", "detail")
_LIMITS = tuple(entry.name for entry in fields(Limits))
_DURATION = re.compile(r"([1-9][0-9]{0,4})([smhdw])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_LONGEST = timedelta(days=3660)
_LONGEST_OVERLAP = timedelta(days=30)
_MOST_MODELS = 1000
_MOST = 10**9
"""The largest limit."""


@dataclass(frozen=True)
class Rotation:
    """`overlap`: seconds for which the previous secret still works. `expires_at`: None keeps that of the key."""

    overlap: float = 0
    expires_at: str | None = None


def key_request(body: object) -> Key:
    """Return the new key that `body` asks for. Raises `Problem` with every error."""
    request = _Request(body, _MEMBERS, "a key")
    scopes = request.scopes()
    name = request.name("name")
    reads = not scopes.isdisjoint({Scope.READ, Scope.ADMIN})
    key = Key(
        id=new_id(),
        name=name,
        owner=request.name("owner", name),
        scopes=scopes,
        models=request.models(),
        limits=request.limits(),
        detail=request.detail(Detail.FULL if reads else Detail.TERSE),
        created_at=timestamp(datetime.now(UTC)),
        expires_at=request.expires(),
    )
    if key.models is not None and Scope.ADMIN in key.scopes:
        request.wrong("models", "not_taken", "models cannot limit a key with the scope admin, which can make any key")
    request.check()
    return key


def rotation_request(body: object) -> Rotation:
    """Return the rotation that `body` asks for. Raises `Problem` with every error."""
    request = _Request(body, ("overlap", "expires"), "a rotation")
    rotation = Rotation(request.overlap(), request.expires())
    request.check()
    return rotation


class _Request:
    """Reads the members of a body one by one and collects the errors. A null counts as missing."""

    def __init__(self, body: object, members: Sequence[str], what: str) -> None:
        self._errors: list[FieldError] = []
        self._suggestions = Suggestions()
        if not isinstance(body, Mapping):
            message = f"the body must be a JSON object; it is {shown(body)}"
            raise _invalid([FieldError(None, None, "not_an_object", message)])
        self._check_members(body, members, what)
        self._given: Mapping[str, Any] = {name: value for name, value in body.items() if value is not None}

    def wrong(self, field: str, code: str, message: str) -> None:
        self._errors.append(FieldError(None, field[:256], code, message))

    def check(self) -> None:
        """Raise `Problem` if anything is wrong."""
        if self._errors:
            raise _invalid(self._errors)

    def name(self, field: str, default: str | None = None) -> str:
        value = self._given.get(field, default)
        if isinstance(value, str) and (NAME.fullmatch(value) or value == default):
            return value
        what = "use 1 to 64 of a-z, 0-9, _, . and -, beginning with a letter or digit"
        if value is None:
            self.wrong(field, "missing_field", f"{field} is missing; {what}")
        else:
            self.wrong(field, "not_a_name", f"{field} cannot be {shown(value)}; {what}")
        return ""

    def scopes(self) -> frozenset[Scope]:
        value = self._given.get("scopes")
        names = [str(scope) for scope in Scope]
        known = ", ".join(names)
        if not isinstance(value, list) or not value:
            what = "is missing" if value is None else f"is {shown(value)}"
            self.wrong("scopes", "not_a_list", f'scopes {what}; give a list of {known}, such as ["predict"]')
            return frozenset()
        for one in value:
            if one not in names:
                message = f"there is no scope {shown(one)}{self._hint(one, names)}; there are {known}"
                self.wrong("scopes", "unknown_scope", message)
                return frozenset()
        return frozenset(map(Scope, value))

    def models(self) -> frozenset[str] | None:
        value = self._given.get("models")
        if value is None:
            return None
        if not isinstance(value, list) or not 1 <= len(value) <= _MOST_MODELS:
            message = f"models must be a list of 1 to {_MOST_MODELS} names; leave it out for all models"
            self.wrong("models", "not_a_list", message)
            return None
        for one in value:
            if not isinstance(one, str) or not valid_name(one):
                message = f"{shown(one)} cannot be the name of a model; give names without versions, such as loan"
                self.wrong("models", "not_a_name", message)
                return None
        return frozenset(value)

    def limits(self) -> Limits:
        value = self._given.get("limits", {})
        if not isinstance(value, Mapping):
            self.wrong("limits", "not_an_object", f"limits must be an object; it is {shown(value)}")
            return Limits()
        self._check_members(value, _LIMITS, "limits", "limits.")
        for name in value.keys() & set(_LIMITS):
            if value[name] is not None and (type(value[name]) is not int or not 1 <= value[name] <= _MOST):
                message = f"limits.{name} must be a whole number from 1 to {_MOST}, or null for no limit"
                self.wrong(f"limits.{name}", "out_of_range", f"{message}; it is {shown(value[name])}")
        return Limits.from_json(value)

    def detail(self, default: Detail) -> Detail:
        value = self._given.get("detail", default)
        if value in list(Detail):
            return Detail(value)
        self.wrong("detail", "unknown_detail", f"detail must be full or terse; it is {shown(value)}")
        return default

    def expires(self) -> str | None:
        """Return the time in RFC 3339; None without one."""
        value = self._given.get("expires")
        if value is None:
            return None
        now = datetime.now(UTC)
        moment = _moment(value, now)
        if moment is None:
            message = "expires must be a duration such as 90d or 12h, or a time such as 2030-01-31T00:00:00Z"
            self.wrong("expires", "not_a_time", f"{message}; it is {shown(value)}")
        elif not now < moment <= now + _LONGEST:
            message = f"expires must be in the future, and at most ten years away; it is {shown(value)}"
            self.wrong("expires", "out_of_range", message)
        else:
            return timestamp(moment)
        return None

    def overlap(self) -> float:
        """Return the seconds; 0 without any."""
        value = self._given.get("overlap")
        if value is None or value == 0:
            return 0
        duration = _duration(value)
        if duration is None or duration > _LONGEST_OVERLAP:
            message = f"overlap must be a duration of at most 30 days, such as 1h or 7d; it is {shown(value)}"
            self.wrong("overlap", "not_a_duration", message)
            return 0
        return duration.total_seconds()

    def _check_members(self, given: Mapping[str, Any], known: Sequence[str], what: str, prefix: str = "") -> None:
        for name in given:
            if name not in known:
                message = f"{shown(name)} is not a member of {what}{self._hint(name, known)}; it has {', '.join(known)}"
                self.wrong(prefix + name, "unknown_field", message)
        for name in given.repeated if isinstance(given, RepeatedKeys) else ():
            self.wrong(prefix + name, "repeated_field", f"{shown(name)} appears more than once")

    def _hint(self, value: object, known: Sequence[str]) -> str:
        return did_you_mean(value, known, self._suggestions) if isinstance(value, str) else ""


def _moment(value: object, now: datetime) -> datetime | None:
    if duration := _duration(value):
        return now + duration
    with suppress(ValueError, OverflowError):
        if isinstance(value, str) and (moment := datetime.fromisoformat(value)).tzinfo:
            return moment.astimezone(UTC)
    return None


def _duration(value: object) -> timedelta | None:
    matched = _DURATION.fullmatch(value) if isinstance(value, str) else None
    return timedelta(**{_UNITS[matched[2]]: int(matched[1])}) if matched else None


def _invalid(errors: Sequence[FieldError]) -> Problem:
    detail = errors[0].message if len(errors) == 1 else f"{len(errors)} values cannot be used; see errors"
    return Problem(ProblemCode.INVALID_KEY_REQUEST, detail, errors=[error.to_json() for error in errors[:100]])
