"""A model on the server, in the place of the estimator that was pickled."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from modelgate import experiments, explanations, outcomes, prediction_log, promotions, scorer, submitting
from modelgate.errors import Forbidden, TimedOut, failure_of
from modelgate.estimator import RemoteEstimator, Version
from modelgate.reports import Report

if TYPE_CHECKING:
    from modelgate.connection import Connection

_CARD_FORMATS = {"json": "application/json", "markdown": "text/markdown"}
_WAIT = 20
"""Seconds that one request waits for its prediction; after that it asks again."""


class Model(RemoteEstimator):
    """A served model. Its methods are those of the estimator, with the same answers: `predict`, and as far as it has
    them `predict_proba`, `decision_function`, `transform`, `score_samples`, `kneighbors` and others.

    `loan` follows the version that is current; `loan@3` is that version, for good. It may be used by many threads.

    >>> from modelgate import Client
    >>> iris = Client().model("iris")
    >>> iris.classes_, iris.n_features_in_
    (array([0, 1, 2]), 4)
    >>> iris.predict([[5.1, "wide", 1.4, 0.2]])
    Traceback (most recent call last):
    modelgate.errors.Invalid: row 0: 'sepal_width' must be a finite number; it is 'wide'
    """

    _takes_packed = True

    def __init__(self, connection: Connection, reference: str) -> None:
        """Raises `NotFound` if there is no such model."""
        super().__init__(reference)
        self._connection = connection
        with suppress(Forbidden):  # a key may predict and not read; then types are inferred from the answers
            self.refresh()

    def refresh(self) -> dict[str, Any]:
        """Return what the server says about the version that answers now: its `signature`, `metrics`, `aliases`, …"""
        description: dict[str, Any] = self._connection.request("GET", f"/v1/models/{self.reference}")
        self._versions[description["version"]] = self._latest = Version(description)
        return description

    def _described(self, version: int) -> Version | None:
        """Return this version, which is the latest from now on; None if the key may not read models."""
        if self._latest is None:
            return None
        if version not in self._versions:
            self._versions[version] = Version(self._connection.request("GET", f"/v1/models/{self.name}@{version}"))
        self._latest = version_used = self._versions[version]
        return version_used

    def _predicted(self, reference: str, method: str, kind: str, body: bytes) -> dict[str, Any]:
        """Return the job of these rows once it has succeeded. Ctrl-C cancels it."""
        connection, end = self._connection, time.monotonic() + self._connection.timeout
        path, key = f"/v1/models/{reference}/{method}", str(uuid.uuid4())
        try:
            headers = {**_WAITING, "Content-Type": kind, "Idempotency-Key": key}
            job = connection.request("POST", path, data=body, headers=headers)
            while job["completed_at"] is None:
                if time.monotonic() > end:
                    raise TimedOut(f"{reference!r} did not answer within {connection.timeout:g} s; submit() more rows")
                job = connection.request("GET", f"/v1/jobs/{job['id']}", params={"wait": _WAIT})
        except (KeyboardInterrupt, TimedOut):
            connection.cancel_made_with(key)
            raise
        if job["status"] != "succeeded":
            raise failure_of(job)
        succeeded: dict[str, Any] = job
        return succeeded

    # The server

    @property
    def version(self) -> int:
        """The version that answers now."""
        return int(self.refresh()["version"])

    @property
    def report(self) -> Report:
        """The report of the version that answers now; a notebook shows it."""
        return Report(self._connection, self.name, self.version)

    def card(self, version: int | str | None = None, format: str = "json") -> Any:  # noqa: A002
        """Return the model card of a version, by default of the one that answers now: a dict, or with
        `format="markdown"` a text. It says what the version predicts from what, how good it is, where its limits are,
        and what is known of it since.

        >>> from modelgate import Client
        >>> print(Client().model("iris").card(format="markdown").splitlines()[2])
        ## What it predicts
        """
        if format not in _CARD_FORMATS:
            raise ValueError(f"format must be 'json' or 'markdown', not {format!r}")
        path = f"/v1/models/{self.name}/versions/{version or self.version}/card"
        answer = self._connection.send("GET", path, headers={"Accept": _CARD_FORMATS[format]})
        return answer.json() if format == "json" else answer.content.decode()

    def failures(self, since: str | None = None, version: int | str | None = None) -> dict[str, Any]:
        """Return why requests to the model fail, the most frequent cause first, with their requests by version and key.

        `since`: a time with its zone, by default a day ago. `version`: only requests to this one, or to this alias.

        >>> from modelgate import Client
        >>> Client().model("iris").failures()["items"]
        [...]
        """
        report: dict[str, Any] = self._connection.request(
            "GET", f"/v1/models/{self.name}/failures", params={"since": since, "version": version}
        )
        return report

    explain = explanations.explain
    submit = submitting.submit
    scorer = scorer.scorer
    log = prediction_log.log
    predictions = prediction_log.predictions
    forget = prediction_log.forget
    add_outcomes = outcomes.add_outcomes
    measured = outcomes.measured
    start_experiment = experiments.start_experiment
    stop_experiment = experiments.stop_experiment
    experiment = experiments.experiment
    experiments = experiments.experiments
    protect = promotions.protect
    ask_promotion = promotions.ask_promotion
    approve = promotions.approve
    reject = promotions.reject
    withdraw = promotions.withdraw
    promotions = promotions.promotions

    def describe(
        self, description: str | None = None, owner: str | None = None, tags: Sequence[str] | None = None
    ) -> dict[str, Any]:
        """Say what the model is for, who owns it, or which tags it has, and return what is said now, with its
        `history`. What is None stays as it is; without arguments nothing changes. Changes need a key with the scope
        `publish`.

        >>> from modelgate import Client
        >>> Client().model("iris").describe("Tells irises apart.", tags=["demo"])["tags"]
        ['demo']
        """
        members = {"description": description, "owner": owner, "tags": None if tags is None else list(tags)}
        if wanted := {name: value for name, value in members.items() if value is not None}:
            self._connection.request("PATCH", f"/v1/models/{self.name}", json=wanted)
        about: dict[str, Any] = self._connection.request("GET", f"/v1/models/{self.name}/about")
        return about

    def promote(self, version: int, alias: str = "current", *, force: bool = False) -> dict[str, Any]:
        """Make `alias` name this version, and return the aliases and versions of the model.

        Raises `Conflict` if no worker can load the version; `force` moves the alias all the same.

        >>> from modelgate import Client
        >>> from sklearn.linear_model import LinearRegression
        >>> mg = Client()
        >>> answers = [mg.publish("slope", LinearRegression().fit([[0.0], [1.0]], [0.0, rise])) for rise in (1.0, 2.0)]
        >>> mg.model("slope").promote(1)["aliases"]["current"]
        1
        """
        aliases: dict[str, Any] = self._connection.request(
            "PUT", f"/v1/models/{self.name}/aliases/{alias}", json={"version": version, "force": force}
        )
        return aliases

    def rollback(self, *, force: bool = False) -> dict[str, Any]:
        """Go back to the last version that was current and was not rolled back from: the one that `previous` names.
        Return the aliases and versions of the model.

        >>> from modelgate import Client
        >>> from sklearn.linear_model import LinearRegression
        >>> mg = Client()
        >>> answers = [mg.publish("trend", LinearRegression().fit([[0.0], [1.0]], [0.0, rise])) for rise in (1.0, 2.0)]
        >>> mg.model("trend").rollback()["aliases"]["current"]
        1
        """
        aliases: dict[str, Any] = self._connection.request(
            "POST", f"/v1/models/{self.name}/rollback", json={"force": force}
        )
        return aliases

    def __repr__(self) -> str:
        return f"<Model {self.reference} at {self._connection.shown_url}>"


_WAITING = {"Prefer": f"wait={_WAIT}"}
