"""Webhooks: the header `Webhook-Url`, and subscriptions in JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from wsgiref.types import WSGIEnvironment

from broker.state.webhook_store import EVENTS
from contract.json_objects import Errors, ListOf, Object, Rule, WrongValue, made_by, one_of
from contract.model.repository import valid_name
from contract.wording import listed, shown
from contract.work.api_keys import Key, Scope
from contract.work.jobs import timestamp_now
from contract.work.webhooks import NAME, OF_ADMINS, AllowedTargets, Format, Subscription, target
from gateway.problems import Problem, ProblemCode
from gateway.problems.problem import invalid, read_body

_MOST_MODELS = 1000


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
    if not NAME.fullmatch(name):
        detail = f"{name[:64]!r} cannot be the name of a webhook; use 1 to 64 of a-z, 0-9, _, . and -"
        raise Problem(ProblemCode.INVALID_NAME, detail)
    sees_all = caller.allows(Scope.ADMIN)
    members: Mapping[str, Callable[[str, Any, Errors], Any]] = {
        "url": made_by(lambda url: _allowed_url(url, allowed)),
        "events": ListOf(
            one_of(EVENTS, "unknown_event", "{value} is no event{hint}"),
            f"events must be a list of some of {listed(EVENTS)}",
            least=1,
            code="missing_member",
            item_path="{field}",
        ),
        "models": ListOf(
            Rule(
                lambda model: isinstance(model, str) and valid_name(model) and caller.may_use(model),
                "unknown_model",
                "{value} is no model that your key may use",
            ),
            "models must be a list of names of models; leave it out for all that your key may use",
            least=1,
            most=_MOST_MODELS,
        ),
        "format": one_of(list(Format), "unknown_format", "format must be standard or chat; it is {value}"),
    }
    unknown = ("unknown_member", "{name} is no part of a webhook{hint}")
    rules = Object(members, unknown, required=("url", "events"))
    values, errors = read_body(body, rules, ProblemCode.INVALID_WEBHOOK)
    for event in () if sees_all else set(OF_ADMINS).intersection(values.get("events", ())):
        errors.add("events", "not_taken", f"{event} is for keys with the scope admin alone")
    if errors.total:
        raise invalid(ProblemCode.INVALID_WEBHOOK, errors)
    models = values.get("models", caller.models)
    owner = "" if sees_all else caller.owner
    wanted = tuple(event for event in EVENTS if event in values["events"])
    form = Format(values.get("format", Format.STANDARD))
    of = None if models is None else tuple(sorted(models))
    return Subscription(name, values["url"], wanted, timestamp_now(), owner, of, form)


def _allowed_url(url: object, allowed: AllowedTargets) -> str:
    if not isinstance(url, str):
        raise WrongValue("missing_member", "url must be the address that gets the events")
    try:
        allowed.check(target(url))
    except ValueError as error:
        raise WrongValue("not_a_url", f"url {shown(url)}: {error}") from error
    return url
