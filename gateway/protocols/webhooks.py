"""Webhooks: the header `Webhook-Url`, and subscriptions in JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from wsgiref.types import WSGIEnvironment

from broker.state.webhook_store import EVENTS
from contract.json_objects import Errors, ListOf, Object, WrongValue, made_by, one_of
from contract.wording import listed, shown
from contract.work.api_keys import Key, Scope
from contract.work.jobs import timestamp
from contract.work.webhooks import AllowedTargets, Subscription, target
from gateway.problems import Problem, ProblemCode
from gateway.problems.problem import read_valid


def webhook_url(environ: WSGIEnvironment, allowed: AllowedTargets | None) -> str:
    """Return the URL that the job of a request reports its end to; '' for none. Raises `Problem` for one that is no
    webhook's, and if there are no webhooks (`allowed` None)."""
    url: str | None = environ.get("HTTP_WEBHOOK_URL")
    if url is None:
        return ""
    targets, url = require(allowed), url.strip()
    try:
        targets.check(target(url))
    except ValueError as error:
        raise Problem(ProblemCode.INVALID_PARAMETER, f"Webhook-Url {shown(url)}: {error}") from None
    return url


def require(allowed: AllowedTargets | None) -> AllowedTargets:
    """Return where webhooks may go. Raises `Problem` if there are none."""
    if allowed is None:
        raise Problem(
            ProblemCode.NO_WEBHOOKS, "there are no webhooks here; an operator turns them on with WEBHOOK_SECRET"
        )
    return allowed


def subscription(name: str, body: object, caller: Key, allowed: AllowedTargets) -> Subscription:
    """Return the subscription in a body. It belongs to the owner of `caller`, and gets events of the models that the
    key may use; that of an admin gets those of all. Raises `Problem` with every error."""
    members: Mapping[str, Callable[[str, Any, Errors], Any]] = {
        "url": made_by(lambda url: _allowed_url(url, allowed)),
        "events": ListOf(
            one_of(EVENTS, "unknown_event", "{value} is no event{hint}"),
            f"events must be a list of some of {listed(EVENTS)}",
            least=1,
            code="missing_member",
            item_path="{field}",
        ),
    }
    unknown = ("unknown_member", "{name} is no part of a webhook{hint}")
    values = read_valid(body, Object(members, unknown, required=members), ProblemCode.INVALID_WEBHOOK)
    sees_all = caller.allows(Scope.ADMIN)
    models = None if caller.models is None else tuple(sorted(caller.models))
    owner = "" if sees_all else caller.owner
    wanted = tuple(event for event in EVENTS if event in values["events"])
    return Subscription(name, values["url"], wanted, timestamp(datetime.now(UTC)), owner, models)


def _allowed_url(url: object, allowed: AllowedTargets) -> str:
    if not isinstance(url, str):
        raise WrongValue("missing_member", "url must be the address that gets the events")
    try:
        allowed.check(target(url))
    except ValueError as error:
        raise WrongValue("not_a_url", f"url {shown(url)}: {error}") from error
    return url
