"""Webhooks: the header `Webhook-Url`, and subscriptions in JSON."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from contract.errors import FieldError
from contract.jobs import timestamp
from contract.keys import Key, Scope
from contract.webhooks import EVENTS, AllowedTargets, Subscription, target
from contract.wording import listed, shown
from gateway.problem_codes import ProblemCode
from gateway.problems import Problem, did_you_mean

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_MEMBERS = ("url", "events")


def webhook_url(environ: WSGIEnvironment, allowed: AllowedTargets | None) -> str:
    """Return the URL that the job of a request reports its end to; '' for none. Raises `Problem` for one that is no
    webhook's, and if there are no webhooks (`allowed` None)."""
    url: str | None = environ.get("HTTP_WEBHOOK_URL")
    if url is None:
        return ""
    require(allowed)
    return _checked("Webhook-Url", url.strip(), allowed)


def require(allowed: AllowedTargets | None) -> None:
    """Raise `Problem` if there are no webhooks."""
    if allowed is None:
        raise Problem(
            ProblemCode.NO_WEBHOOKS, "there are no webhooks here; an operator turns them on with WEBHOOK_SECRET"
        )


def subscription(name: str, body: object, caller: Key, allowed: AllowedTargets) -> Subscription:
    """Return the subscription in a body. It belongs to the owner of `caller`, and gets events of the models that the
    key may use; that of an admin gets those of all. Raises `Problem` with every error."""
    if not isinstance(body, Mapping):
        raise _invalid(
            [FieldError(None, None, "not_an_object", f"the body must be a JSON object; it is {shown(body)}")]
        )
    errors = [
        FieldError(None, member[:256], "unknown_member", f"{member[:64]!r} is no part of a webhook{_hint(member)}")
        for member in body
        if member not in _MEMBERS
    ]
    url, events = body.get("url"), body.get("events")
    if not isinstance(url, str):
        errors.append(FieldError(None, "url", "missing_member", "url must be the address that gets the events"))
    else:
        try:
            allowed.check(target(url))
        except ValueError as error:
            errors.append(FieldError(None, "url", "not_a_url", f"url {shown(url)}: {error}"))
    errors += _wrong_events(events)
    if errors:
        raise _invalid(errors)
    sees_all = caller.allows(Scope.ADMIN)
    models = None if caller.models is None else tuple(sorted(caller.models))
    owner = "" if sees_all else caller.owner
    asked = tuple(event for event in EVENTS if event in events)  # type: ignore[operator]
    return Subscription(name, str(url), asked, timestamp(datetime.now(UTC)), owner, models)


def _wrong_events(events: object) -> list[FieldError]:
    if not isinstance(events, list) or not events:
        return [FieldError(None, "events", "missing_member", f"events must be a list of some of {listed(EVENTS)}")]
    return [
        FieldError(None, "events", "unknown_event", f"{shown(event)} is no event{did_you_mean(str(event), EVENTS)}")
        for event in events[: len(EVENTS) + 1]
        if event not in EVENTS
    ]


def _checked(name: str, url: str, allowed: AllowedTargets | None) -> str:
    try:
        wanted = target(url)
        if allowed:
            allowed.check(wanted)
    except ValueError as error:
        raise Problem(ProblemCode.INVALID_PARAMETER, f"{name} {shown(url)}: {error}") from None
    return url


def _hint(member: str) -> str:
    return did_you_mean(member, _MEMBERS)


def _invalid(errors: list[FieldError]) -> Problem:
    detail = errors[0].message if len(errors) == 1 else f"{len(errors)} values cannot be used; see errors"
    return Problem(ProblemCode.INVALID_WEBHOOK, detail, errors=[error.to_json() for error in errors])
