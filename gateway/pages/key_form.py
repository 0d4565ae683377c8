"""The form of an API key: what it sends, as the body of the HTTP interface, and what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from typing import Any

from werkzeug.datastructures import MultiDict

from contract.work.api_keys import EVERYBODY, Key, Limits, Scope
from gateway.problems import Problem

KEEP = "keep"
"""The expiry of a key that an edit leaves as it is."""
EXPIRIES = {"": "never", "7d": "in 7 days", "30d": "in 30 days", "90d": "in 90 days", "365d": "in a year"}
LIMITS = {
    "rows_per_second": ("Rows a second", "That this key may send to each model. More get 429, with a time to wait."),
    "rows_waiting": ("Rows waiting", "Of its owner, for each model."),
    "jobs_in_flight": ("Jobs in flight", "Of its owner, for each model: predictions and files that wait or run."),
    "trainings_waiting": ("Trainings waiting", "Of its owner, and so many schedules besides."),
    "upload_mb_per_day": ("Uploads a day, in MB", "Of this key: files to predict and to train on."),
}
"""For each limit its label and what it means."""
_TEXTS = ("name", "owner", "user", "models", "expires", "detail")
_WRONG = {
    "scopes": "choose at least one thing that the key may do",
    **{f"limits.{name}": "enter a whole number from 1 to a billion, or nothing for no limit" for name in LIMITS},
}


@dataclass(frozen=True)
class KeyForm:
    """What was `entered`. `errors` are by field; `problem`: what else was wrong, or ''."""

    entered: Mapping[str, Any]
    errors: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""

    @classmethod
    def new(cls, caller: Key, *, first: bool) -> KeyForm:
        """Return the form for a key. `first`: there is none yet."""
        is_open = caller is EVERYBODY
        scope = Scope.ADMIN if is_open and first else Scope.PREDICT
        empty = dict.fromkeys([*_TEXTS, *(f"limits.{name}" for name in LIMITS)], "")
        return cls({**empty, "expires": "" if is_open else "90d", "scopes": [scope]})

    @classmethod
    def of(cls, key: Key) -> KeyForm:
        """Return the form that changes a key."""
        limits = {f"limits.{limit.name}": str(getattr(key.limits, limit.name) or "") for limit in fields(Limits)}
        scopes = [str(scope) for scope in Scope if scope in key.scopes]
        models = ", ".join(sorted(key.models or ()))
        return cls({"models": models, "expires": KEEP, "detail": str(key.detail), "scopes": scopes, **limits})

    @property
    def as_text(self) -> str:
        """What the form sends with a change, so that only what was changed is."""
        return json.dumps(self.entered)

    @property
    def limits_open(self) -> bool:
        """Whether the folded part has an entry, or an error."""
        shown = [name for name, value in self.entered.items() if name.startswith("limits.") and value]
        return bool(shown) or not self.errors.keys().isdisjoint([*(f"limits.{name}" for name in LIMITS), "detail"])

    def sent(self, form: MultiDict[str, str]) -> KeyForm:
        """Return the form with what a browser has sent."""
        texts = {name: form.get(name, "").strip() for name in self.entered if name != "scopes"}
        return replace(self, entered={**texts, "scopes": form.getlist("scopes")})

    def refused(self, problem: Problem) -> KeyForm:
        """Return the form with what is wrong with it."""
        every: Any = problem.members.get("errors") or []
        errors: dict[str, str] = {}
        for error in every:
            name = str(error["field"])
            errors.setdefault(name, _WRONG.get(name, error["message"]))
        unknown = [message for name, message in errors.items() if name not in self.entered]
        return replace(self, errors=errors, problem="; ".join(unknown) if errors else problem.detail)

    def body(self) -> dict[str, Any]:
        """Return the body of `POST /v1/keys`."""
        return _body(self.entered)

    def change(self, shown: str) -> dict[str, Any]:
        """Return the body of `PATCH /v1/keys/{id}`, with what differs from the form as it was `shown` (`as_text`): what
        another admin has changed meanwhile stays."""
        before: object = None
        with suppress(ValueError, RecursionError):
            before = json.loads(shown)
        known = before if isinstance(before, dict) else {"expires": KEEP}
        return _body({name: value for name, value in self.entered.items() if value != known.get(name)})


def _body(entered: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members. What is empty is null, and what is no number is sent as it is, so that it is refused."""
    body: dict[str, Any] = {name: value or None for name, value in entered.items() if not name.startswith("limits.")}
    if models := body.get("models"):
        body["models"] = models.replace(",", " ").split() or None
    if "scopes" in entered:
        body["scopes"] = entered["scopes"]
    limits = {name[7:]: _number(value) for name, value in entered.items() if name.startswith("limits.")}
    return {**body, "limits": limits}


def _number(text: str) -> int | str | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else text or None
