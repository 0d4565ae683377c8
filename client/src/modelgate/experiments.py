"""Experiments of a model: a candidate version beside the current one, until what is seen of both decides."""

from __future__ import annotations

from typing import Any

from modelgate.prediction_log import LoggedModel


def start_experiment(self: LoggedModel, /, candidate: int, kind: str = "shadow", **plan: Any) -> dict[str, Any]:
    """Try a version beside the current one, and return the experiment. A `shadow` scores logged requests, and nobody
    sees its answers; a `canary` answers a `share` of the callers.

    `plan`: what the experiment is to show, such as `metric="log_loss", margin=0.01, promote=False, days=7`, as in the
    HTTP interface. Raises `NotFound` for an unknown version, `Conflict` if the two cannot be compared or another
    experiment runs, and `Invalid`.

    >>> from modelgate import Client
    >>> from sklearn.linear_model import LinearRegression
    >>> mg = Client()
    >>> for rise in (1.0, 2.0):
    ...     made = mg.publish("hill", LinearRegression().fit([[0.0], [1.0]], [0.0, rise]))
    >>> hill = mg.model("hill")
    >>> begun = hill.start_experiment(1, "canary", share=0.05, promote=False)
    >>> begun["baseline"], begun["candidate"], hill.stop_experiment(begun["id"])["ending"]
    (2, 1, 'stopped')
    """
    body = {"candidate": candidate, "kind": kind, **plan}
    started: dict[str, Any] = self._connection.request("POST", f"/v1/models/{self.name}/experiments", json=body)
    return started


def experiments(self: LoggedModel) -> list[dict[str, Any]]:
    """Return the experiments of the model, the newest first. The `ending` of one that runs is None."""
    items: list[dict[str, Any]] = self._connection.request("GET", f"/v1/models/{self.name}/experiments")["items"]
    return items


def experiment(self: LoggedModel, id: str) -> dict[str, Any]:  # noqa: A002
    """Return an experiment; while it runs, its `findings` say what has been seen and what is missing. Raises
    `NotFound`."""
    found: dict[str, Any] = self._connection.request("GET", f"/v1/models/{self.name}/experiments/{id}")
    return found


def stop_experiment(self: LoggedModel, id: str) -> dict[str, Any]:  # noqa: A002
    """Stop an experiment, and return it. Nothing moves. Raises `NotFound`."""
    stopped: dict[str, Any] = self._connection.request("DELETE", f"/v1/models/{self.name}/experiments/{id}")
    return stopped
