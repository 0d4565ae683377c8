"""Where events are sent: the subscriptions of a caller, with a form for them."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request

from broker.state.webhook_store import EVENTS
from contract.work.api_keys import Scope
from contract.work.webhooks import OF_ADMINS, AllowedTargets, Format, in_words
from gateway.door.sessions import PATH
from gateway.http.exchange import caller, note_problem
from gateway.http.problem_answers import problem_of
from gateway.pages.layout import blueprint_of_pages, page, see
from gateway.problems import Problem, ProblemCode
from gateway.protocols.webhooks import require, subscription
from gateway.serving.subscriptions import Subscriptions

HERE = f"{PATH}/notifications"
_OF_NAME = (ProblemCode.INVALID_NAME, ProblemCode.NAME_TAKEN)


def blueprint(subscriptions: Subscriptions, allowed: AllowedTargets | None) -> Blueprint:
    """`allowed`: where webhooks may go; None: there are none."""
    routes = blueprint_of_pages("notifications")

    @routes.get("/notifications", level=Scope.PUBLISH, page=True)
    def index() -> Response:
        edited = request.args.get("edit")
        if edited is None:
            return show({"events": ["training.failed", "model.failing", "model.drifted"], "format": Format.STANDARD})
        chosen, _ = subscriptions.get(edited)
        return show({**chosen.to_json(), "models": ", ".join(chosen.models or ()), "edit": edited})

    @routes.post("/notifications", level=Scope.PUBLISH, page=True, audit="set_webhook")
    def save() -> Response:
        form = request.form
        body: dict[str, Any] = {name: form.get(name, "").strip() for name in ("url", "format")}
        body["events"] = form.getlist("events")
        if models := form.get("models", "").replace(",", " ").split():
            body["models"] = models
        try:
            subscriptions.put(subscription(form.get("name", "").strip(), body, caller(), require(allowed)))
        except Problem as error:
            return show({**form, "events": form.getlist("events")}, problem_of(error))
        return see(HERE)

    @routes.post("/notifications/<webhook>/test", level=Scope.PUBLISH, page=True, audit="test_webhook")
    def test(webhook: str) -> Response:
        require(allowed)
        subscriptions.test(webhook)
        return see(f"{HERE}?tested={webhook}")

    @routes.post("/notifications/<webhook>/delete", level=Scope.PUBLISH, page=True, audit="delete_webhook")
    def delete(webhook: str) -> Response:
        subscriptions.delete(webhook)
        return see(HERE)

    def show(entered: dict[str, Any], problem: Problem | None = None) -> Response:
        """Return the page, with what was entered and what is wrong with it."""
        items, wrong = subscriptions.all(), dict[str, str]()
        if problem:
            note_problem(problem.code)
            errors: Any = problem.members.get("errors", ())
            wrong = {error["field"]: error["message"] for error in errors}
            if not entered["events"]:
                wrong["events"] = "choose at least one"
            wrong |= {"name" if problem.code in _OF_NAME else "": problem.detail} if not wrong else {}
        return page(
            "notifications.html",
            problem.status if problem else 200,
            title="Notifications",
            items=items,
            on=allowed is not None,
            events=[event for event in EVENTS if event not in OF_ADMINS or caller().allows(Scope.ADMIN)],
            in_words=in_words,
            tested=next((item.name for item, _ in items if item.name == request.args.get("tested")), None),
            entered={"name": "", "url": "", "models": "", "edit": None, "format": Format.STANDARD, **entered},
            wrong=wrong,
        )

    return routes
