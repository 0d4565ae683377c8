"""Promotions of a protected model: asked for by one person, and decided by another."""

from __future__ import annotations

from typing import Any

from modelgate.prediction_log import LoggedModel


def protect(self: LoggedModel) -> dict[str, Any]:
    """Protect the model: from now on, `current` moves once a second person approves it. Return the state of the model.
    Raises `Forbidden` without a key."""
    return _sent(self, "PUT", "settings", {"protected": True})


def promotions(self: LoggedModel) -> list[dict[str, Any]]:
    """Return the last requests to promote, the newest first. The `ending` of the one that waits is None."""
    items: list[dict[str, Any]] = self._connection.request("GET", f"/v1/models/{self.name}/promotions")["items"]
    return items


def ask_promotion(self: LoggedModel, version: int | None = None, note: str = "") -> dict[str, Any]:
    """Ask a second person to make a version of a protected model current, or without one to protect it no more. Return
    the request. Raises `Conflict` if the model is not protected."""
    wanted = {"unprotect": True} if version is None else {"version": version}
    return _sent(self, "POST", "promotions", {**wanted, "note": note})


def approve(self: LoggedModel, id: str, *, force: bool = False) -> dict[str, Any]:  # noqa: A002
    """Do what a request asks for, and return the state of the model. Raises `Forbidden` for the owner who asked, and
    `NotFound` if it does not wait."""
    return _sent(self, "POST", f"promotions/{id}/approve", {"force": force})


def reject(self: LoggedModel, id: str) -> dict[str, Any]:  # noqa: A002
    """Reject a request of somebody else, and return it. Raises as `approve`."""
    return _sent(self, "POST", f"promotions/{id}/reject")


def withdraw(self: LoggedModel, id: str) -> dict[str, Any]:  # noqa: A002
    """Withdraw a request, and return it. Raises `NotFound` if it does not wait."""
    return _sent(self, "DELETE", f"promotions/{id}")


def _sent(model: LoggedModel, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    answer: dict[str, Any] = model._connection.request(method, f"/v1/models/{model.name}/{path}", json=body)
    return answer
