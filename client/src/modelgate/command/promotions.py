"""The verbs of protected models: `protect`, `approve`, `reject`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from modelgate.command.exits import Failed
from modelgate.command.models import Name
from modelgate.command.publishing import Force, asked, what_waits
from modelgate.command.session import Session, segment
from modelgate.command.verbs import flag


def protect(
    session: Session,
    name: Name,
    off: Annotated[bool, flag("Ask a second person to protect it no more.", "--off")] = False,
) -> None:
    """Protect a model: `current` then moves once a second person approves it."""
    model = f"/v1/models/{segment(name)}"
    if off:
        state = session.client.request("POST", f"{model}/promotions", json={"unprotect": True})
    else:
        state = session.client.request("PUT", f"{model}/settings", json={"protected": True})
    session.notes(state["warnings"])
    session.show(state, lambda: [asked(name, state) if off else f"{name} is protected"])


def approve(session: Session, name: Name, force: Force = False) -> None:
    """Approve the request that waits: its version becomes current. Takes a second person, with the scope approve."""
    request = _waiting(session, name)
    state = session.client.request("POST", f"{_address(name, request)}/approve", json={"force": force})
    session.notes(state["warnings"])
    done = f"{name}@{request['version']} is current" if request["version"] else f"{name} is protected no more"
    session.show(state, lambda: [f"{done}, as {request['asker']} has asked"])


def reject(
    session: Session,
    name: Name,
    withdraw: Annotated[bool, flag("Withdraw it, for which the scope publish is enough.", "--withdraw")] = False,
) -> None:
    """Reject the request that waits. Takes a second person, with the scope approve."""
    address = _address(name, _waiting(session, name))
    ended = (
        session.client.request("DELETE", address) if withdraw else session.client.request("POST", f"{address}/reject")
    )
    session.show(ended, lambda: [f"{what_waits(name, ended)}: {ended['ending']}"])


def _waiting(session: Session, name: str) -> Mapping[str, Any]:
    newest = next(iter(session.get(f"/v1/models/{segment(name)}/promotions")["items"]), None)
    if newest is None or newest["ending"]:
        raise Failed(f"nothing about {name} waits for a second person")
    request: Mapping[str, Any] = newest
    return request


def _address(name: str, request: Mapping[str, Any]) -> str:
    return f"/v1/models/{segment(name)}/promotions/{segment(request['id'])}"
