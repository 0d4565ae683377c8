"""The prediction log of a model: what it was asked and answered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from modelgate.connection import Connection
from modelgate.errors import Invalid, NotFound, Unavailable
from modelgate.rows import pandas

_PAGE = 1_000


class LoggedModel(Protocol):
    """A model whose requests may be logged."""

    _connection: Connection

    @property
    def name(self) -> str:
        """The model's name, without a version or an alias."""


def predictions(
    self: LoggedModel,
    id: object = None,  # noqa: A002
    *,
    job: str | None = None,
    since: str | None = None,
    until: str | None = None,
    limit: int = 10_000,
) -> Any:
    """Return what the model was asked and answered, newest first: at most `limit` rows as a DataFrame, with a column
    `inputs.<name>` for each input and `probabilities.<label>` for each label; a list of dicts without pandas.

    `id`: only rows with this id of yours (`id_field`). `job`: only those of this job. `since` and `until`: times with
    their zone, such as `2026-01-02T03:04:05Z`. The model has to be logged (`log`), and the key needs the scope `log`.

    >>> from modelgate import Client
    >>> iris = Client().model("iris")
    >>> iris.log(share=1)["share"]
    1.0
    >>> answer = iris.predict([[5.1, 3.5, 1.4, 0.2]])
    >>> list(iris.predictions(limit=1)["inputs.sepal_length"])
    [5.1]
    """
    rows = logged(self._connection, self.name, limit, id=id, job=job, since=since, until=until)
    pd = pandas()
    if pd is None:
        return list(rows)
    frame = pd.DataFrame([dict(cells(row)) for row in rows])
    if len(frame):
        frame["time"] = pd.to_datetime(frame["time"])
    return frame


def log(self: LoggedModel, share: float, *, leave_out: Sequence[str] = (), keep_days: int = 90) -> dict[str, Any]:
    """Have the prediction log keep a share of the requests to the model, from 0 (none) to 1 (all), without the inputs
    `leave_out`, for `keep_days`. Return what it keeps. Raises `Invalid` for an input that no version has."""
    body = {"share": share, "leave_out": list(leave_out), "keep_days": keep_days}
    kept: dict[str, Any] = self._connection.request("PUT", f"/v1/models/{self.name}/logging", json=body)
    return kept


def forget(self: LoggedModel, id: object) -> int:  # noqa: A002
    """Delete what the prediction log has under this id of yours, and return how many rows that were. What still comes
    of requests that were accepted before is not kept."""
    path = f"/v1/models/{self.name}/predictions"
    deleted: int = self._connection.request("DELETE", path, params={"id": str(id)})["deleted"]
    return deleted


def logged(connection: Connection, name: str, limit: int, **filters: Any) -> Iterator[dict[str, Any]]:
    """Yield the newest rows of the log of a model, page by page."""
    params = {key: value for key, value in filters.items() if value is not None}
    while limit > 0:
        params["limit"] = min(limit, _PAGE)
        page = connection.request("GET", f"/v1/models/{name}/predictions", params=params)
        yield from page["items"]
        limit -= len(page["items"])
        if page["next_cursor"] is None:
            return
        params["cursor"] = page["next_cursor"]


def cells(row: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the name and the value of each column of a row: one for each input, and for each probability."""
    for name, value in row.items():
        if name == "model":
            yield from (("version", value["version"]), ("alias", value["alias"]))
        elif isinstance(value, dict) and name in ("inputs", "probabilities"):
            yield from ((f"{name}.{part}", inner) for part, inner in value.items())
        else:
            yield name, value


@dataclass(frozen=True)
class Replay:
    """What the version that has answered a logged `row` answers today. `differences` are empty if that is the same to
    the last bit. `reason`: why it cannot be asked, or ''."""

    row: Mapping[str, Any]
    differences: Sequence[str] = ()
    reason: str = ""

    @property
    def equal(self) -> bool:
        return not (self.reason or self.differences)

    def to_json(self) -> dict[str, Any]:
        shown = {name: self.row[name] for name in ("time", "model", "job", "row", "id")}
        return {**shown, "equal": self.equal, "differences": list(self.differences), "reason": self.reason or None}


def replay(connection: Connection, name: str, rows: Iterable[Mapping[str, Any]]) -> Iterator[Replay]:
    """Send logged rows to the very versions that have answered them, and compare the answers. A number has the same
    digits in JSON only if it is the same to the last bit."""
    formats: dict[int, str] = {}
    for row in rows:
        version = row["model"]["version"]
        path = f"/v1/models/{name}@{version}"
        if lost := [name for name in row["left_out"] if name in row["inputs"]]:
            yield Replay(row, reason=f"the log does not keep {', '.join(lost)}")
            continue
        try:
            if version not in formats:
                formats[version] = connection.request("GET", path)["signature"]["format"]
            body = _body(row["inputs"], formats[version])
            job = connection.request("POST", f"{path}/predict", json=body, headers={"Prefer": "wait=30"})
        except NotFound:
            yield Replay(row, reason=f"version {version} is removed")
            continue
        except (Invalid, Unavailable) as error:  # its environment may be gone, or its signature may have changed
            yield Replay(row, reason=str(error))
            continue
        if job["status"] != "succeeded":
            yield Replay(row, reason=(job["error"] or {}).get("message") or f"its job is {job['status']}")
            continue
        yield Replay(row, list(_differences(row, job["output"])))


def _body(inputs: Mapping[str, Any], row_format: str) -> dict[str, Any]:
    return {"instances": [next(iter(inputs.values())) if row_format == "texts" else inputs]}


def _differences(row: Mapping[str, Any], output: Mapping[str, Any]) -> Iterator[str]:
    now = output["predictions"][0]
    if isinstance(now, dict) and len(now) == 1:  # the only output has a name, which the log leaves out
        (now,) = now.values()
    if now != row["prediction"]:
        yield f"prediction: {row['prediction']!r} was answered, and {now!r} is"
    before, probabilities = row["probabilities"] or {}, _flat((output["probabilities"] or [{}])[0])
    for label in before:
        if before[label] != probabilities.get(label):
            yield f"probability of {label}: {before[label]!r} was answered, and {probabilities.get(label)!r} is"


def _flat(probabilities: Mapping[str, Any]) -> dict[str, Any]:
    """Return the probabilities by label, as the log has them; of several outputs by `output: label`."""
    flat: dict[str, Any] = {}
    if len(probabilities) == 1 and isinstance(only := next(iter(probabilities.values())), dict):
        return only
    for name, value in probabilities.items():
        flat |= (
            {f"{name}: {label}": share for label, share in value.items()} if isinstance(value, dict) else {name: value}
        )
    return flat
