"""The client of a Modelgate."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from modelgate import exporting, profiles, publishing, training
from modelgate.connection import Connection
from modelgate.jobs import Job, job_of
from modelgate.models import Model


class Client(Connection):
    """A Modelgate: its models, trainings and jobs. It may be used by many threads.

    >>> mg = Client()
    >>> "iris" in [model["name"] for model in mg.models()]
    True
    """

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        profile: str | None = None,
        timeout: float = 60,
        verify: bool | str = True,
    ) -> None:
        """Without arguments, the address and the key are those of `MODELGATE_URL` and `MODELGATE_API_KEY`, else of the
        profile that `MODELGATE_PROFILE` names or that was chosen, else the Modelgate on this machine. An empty
        `api_key` means none.

        `timeout`: seconds that a request may take with its retries. `verify`: a file with certificates to trust, or
        False to trust any.
        """
        chosen = profiles.resolve(url, api_key, profile)
        super().__init__(chosen.url, chosen.api_key, timeout, verify)

    def models(self) -> list[dict[str, Any]]:
        """Return the served models, by name: `name`, `version`, `aliases`, `metrics`, …"""
        items: list[dict[str, Any]] = self.request("GET", "/v1/models")["items"]
        return items

    def model(self, reference: str) -> Model:
        """Return a model, which may take the place of the pickled estimator: `loan`, `loan@3` or `loan@canary`.

        Raises `NotFound`.

        >>> Client().model("iris").predict([[5.1, 3.5, 1.4, 0.2], [5.9, 3.0, 5.1, 1.8]])
        array([0, 2])
        """
        return Model(self, reference)

    def remove(self, name: str) -> dict[str, Any]:
        """Remove a model with all its versions. `restore` brings it back until `restorable_until`.

        Raises `NotFound`.

        >>> from sklearn.linear_model import LinearRegression
        >>> mg = Client()
        >>> made = mg.publish("mistake", LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0]))
        >>> mg.remove("mistake")["versions"], mg.restore("mistake")["versions"]
        ([], [1])
        """
        removed: dict[str, Any] = self.request("DELETE", f"/v1/models/{name}", params={"confirm": name})
        return removed

    def restore(self, name: str, version: int | None = None) -> dict[str, Any]:
        """Restore the model that was removed last under this name, or the one that was removed with `version`.

        Raises `NotFound`, and `Conflict` if there is a model of this name again.
        """
        body = {} if version is None else {"version": version}
        restored: dict[str, Any] = self.request("POST", f"/v1/models/{name}/restore", json=body)
        return restored

    publish = publishing.publish
    export = exporting.export
    train = training.train

    def job(self, job_id: str) -> Job:
        """Return a job. Raises `NotFound`."""
        return job_of(self, self.request("GET", f"/v1/jobs/{job_id}"))

    def jobs(
        self,
        *,
        model: str | None = None,
        status: str | None = None,
        kind: str | None = None,
        created_after: str | None = None,
        created_before: str | None = None,
    ) -> Iterator[Job]:
        """Yield the jobs, newest first. Times are as in RFC 3339: `2026-01-02T03:04:05Z`.

        >>> [job.id for job in Client().jobs(model="iris", status="failed")]
        []
        """
        params: dict[str, Any] = {"limit": 100, "model": model, "status": status, "kind": kind}
        params |= {"created_after": created_after, "created_before": created_before}
        while True:
            page = self.request("GET", "/v1/jobs", params=params)
            for item in page["items"]:
                yield job_of(self, item)
            if page["next_cursor"] is None:
                return
            params["cursor"] = page["next_cursor"]

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Client of {self.shown_url}>"
