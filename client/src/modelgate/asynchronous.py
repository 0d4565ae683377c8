"""The client for asyncio: `AsyncClient` has the verbs of `Client` as coroutines."""

from __future__ import annotations

import io
import ssl
from collections.abc import AsyncIterator, Coroutine, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests
from requests.structures import CaseInsensitiveDict
from requests.utils import select_proxy

from modelgate.bridge import awaited, chained, check_installed, iterating, making, run, verb
from modelgate.client import Client
from modelgate.connection import CONNECTIONS, PIECE
from modelgate.jobs import FileJob, FileJobFacts, Job, JobFacts, TrainingFacts, TrainingRun
from modelgate.models import Model
from modelgate.reports import Report

if TYPE_CHECKING:
    import httpx
    from numpy import float64, int64
    from numpy.typing import NDArray

    from modelgate.rows import RowsLike


_POOLS = 16
"""Pools of httpx: the time that one takes for a request grows with its connections."""


class _BridgedClient(Client):
    """A client whose requests the event loop awaits."""

    def _connect(self) -> None:
        # Made in the loop that uses them. A client of httpx would have cookies.
        self._pools: list[_Pool] = []

    def close(self) -> None:
        pools, self._pools = self._pools, []
        for pool in pools:
            awaited(pool.transport.aclose())

    def _pause(self, seconds: float) -> None:
        import asyncio

        awaited(asyncio.sleep(seconds))

    def _transmit(self, request: requests.Request, stream: bool, timeout: tuple[float, float]) -> requests.Response:
        import httpx

        prepared, (connect, left) = request.prepare(), timeout
        try:
            pool = self._pool()
            sent = httpx.Request(
                str(prepared.method),
                str(prepared.url),
                headers=dict(prepared.headers),
                content=_content(prepared.body),
                extensions={"timeout": {"connect": connect, "read": left, "write": left, "pool": left}},
            )
            with pool:
                answer = awaited(pool.transport.handle_async_request(sent))
                raw = _Stream(answer) if stream else io.BytesIO(awaited(answer.aread()))
        except httpx.ReadTimeout as error:
            raise requests.ReadTimeout(str(error)) from error
        except httpx.TransportError as error:
            raise requests.ConnectionError(str(error)) from error
        except httpx.InvalidURL as error:
            raise requests.exceptions.InvalidURL(str(error)) from error
        response = requests.Response()
        response.status_code, response.url, response.raw = answer.status_code, str(prepared.url), raw
        response.headers = CaseInsensitiveDict(answer.headers)
        return response

    def _pool(self) -> _Pool:
        """Return the pool with the fewest requests."""
        import httpx

        if not self._pools:
            verify = _trusting(self._verify) if isinstance(self._verify, str) else self._verify
            context, proxy = httpx.create_ssl_context(verify, trust_env=False), select_proxy(self.url, self._proxies)
            limits = httpx.Limits(max_keepalive_connections=CONNECTIONS // _POOLS)
            self._pools = [
                _Pool(httpx.AsyncHTTPTransport(context, trust_env=False, limits=limits, proxy=proxy))
                for _ in range(_POOLS)
            ]
        return min(self._pools, key=lambda pool: pool.requests)


class _Pool:
    """Some of the connections, and how many requests use them now."""

    def __init__(self, transport: httpx.AsyncHTTPTransport) -> None:
        self.transport, self.requests = transport, 0

    def __enter__(self) -> None:
        self.requests += 1

    def __exit__(self, *_: object) -> None:
        self.requests -= 1


def _trusting(path: str) -> ssl.SSLContext:
    """Return a context that trusts the certificates in a file or a folder."""
    if Path(path).is_dir():
        return ssl.create_default_context(capath=path)
    return ssl.create_default_context(cafile=path)


def _content(body: Any) -> bytes | AsyncIterator[bytes] | None:
    return body if body is None or isinstance(body, bytes) else _pieces(body)


async def _pieces(body: Any) -> AsyncIterator[bytes]:
    for piece in iter(lambda: body.read(PIECE), b"") if hasattr(body, "read") else body:
        yield piece


class _Stream:
    """The body of an answer that is not read yet, as requests reads those of urllib3."""

    def __init__(self, answer: httpx.Response) -> None:
        self._answer = answer

    def stream(self, size: int, decode_content: bool = True) -> Iterator[bytes]:  # noqa: ARG002
        import httpx

        pieces = self._answer.aiter_bytes(size)
        try:
            while piece := awaited(anext(pieces, b"")):
                yield piece
        except httpx.TransportError as error:
            raise requests.ConnectionError(str(error)) from error

    def close(self) -> None:
        awaited(self._answer.aclose())


class AsyncReport:
    """The report of a version."""

    def __init__(self, report: Report) -> None:
        self._blocking = report
        self.model, self.version, self.url = report.model, report.version, report.url

    @property
    def html(self) -> Coroutine[Any, Any, str]:
        """The page, to be awaited: HTML that needs nothing else. Raises `NotFound` for a version without a report."""
        return run(lambda: self._blocking.html)

    @property
    def facts(self) -> Coroutine[Any, Any, dict[str, Any]]:
        """The facts of the page as JSON, to be awaited."""
        return run(lambda: self._blocking.facts)

    save = verb(Report.save)


class AsyncJob(JobFacts):
    """A job."""

    def __init__(self, job: Job) -> None:
        self._blocking = job

    @property
    def json(self) -> dict[str, Any]:
        return self._blocking.json

    refresh = chained(Job.refresh)
    wait = chained(Job.wait)
    cancel = chained(Job.cancel)
    delete = verb(Job.delete)
    read_log = verb(Job.read_log)

    @property
    def log(self) -> Coroutine[Any, Any, str]:
        """The log of a training, to be awaited; of a long one about the last megabyte."""
        return run(lambda: self._blocking.log)


class AsyncFileJob(FileJobFacts, AsyncJob):
    """A file of rows that is being scored, or has been."""

    download = verb(FileJob.download)
    download_errors = verb(FileJob.download_errors)
    row_errors = iterating(dict[str, Any], FileJob.row_errors)


class AsyncTrainingRun(TrainingFacts, AsyncJob):
    """A training that runs, or has made a version."""

    _blocking: TrainingRun

    @property
    def report(self) -> AsyncReport:
        """The report of the version."""
        return AsyncReport(self._blocking.report)


def _job_of(job: Job) -> AsyncJob:
    kinds: dict[type[Job], type[AsyncJob]] = {FileJob: AsyncFileJob, TrainingRun: AsyncTrainingRun}
    return kinds.get(type(job), AsyncJob)(job)


class AsyncModel:
    """A served model, whose methods are those of the estimator as coroutines."""

    def __init__(self, model: Model) -> None:
        self._blocking = model
        self.reference, self.name = model.reference, model.name

    if TYPE_CHECKING:

        async def predict(self, X: RowsLike) -> NDArray[Any]: ...
        async def predict_proba(self, X: RowsLike) -> NDArray[float64]: ...
        async def predict_log_proba(self, X: RowsLike) -> NDArray[float64]: ...
        async def decision_function(self, X: RowsLike) -> NDArray[float64]: ...
        async def score_samples(self, X: RowsLike) -> NDArray[float64]: ...
        async def transform(self, X: RowsLike) -> Any: ...
        async def kneighbors(self, X: RowsLike) -> tuple[NDArray[float64], NDArray[int64]]: ...
        async def apply(self, X: RowsLike) -> NDArray[Any]: ...

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        value = getattr(self._blocking, name)
        return partial(run, value) if name in self._blocking._methods() else value

    @property
    def version(self) -> Coroutine[Any, Any, int]:
        """The version that answers now, to be awaited."""
        return run(lambda: self._blocking.version)

    @property
    def report(self) -> Coroutine[Any, Any, AsyncReport]:
        """The report of the version that answers now, to be awaited."""
        return run(lambda: AsyncReport(self._blocking.report))

    refresh = verb(Model.refresh)
    score = verb(Model.score)
    card = verb(Model.card)
    failures = verb(Model.failures)
    explain = verb(Model.explain)
    submit = making(AsyncFileJob, Model.submit)
    scorer = verb(Model.scorer)
    log = verb(Model.log)
    predictions = verb(Model.predictions)
    forget = verb(Model.forget)
    add_outcomes = verb(Model.add_outcomes)
    measured = verb(Model.measured)
    start_experiment = verb(Model.start_experiment)
    stop_experiment = verb(Model.stop_experiment)
    experiment = verb(Model.experiment)
    experiments = verb(Model.experiments)
    protect = verb(Model.protect)
    ask_promotion = verb(Model.ask_promotion)
    approve = verb(Model.approve)
    reject = verb(Model.reject)
    withdraw = verb(Model.withdraw)
    promotions = verb(Model.promotions)
    describe = verb(Model.describe)
    promote = verb(Model.promote)
    rollback = verb(Model.rollback)

    def __repr__(self) -> str:
        return f"<AsyncModel {self.reference} at {self._blocking._connection.shown_url}>"


class AsyncClient:
    """A Modelgate: its models, trainings and jobs, for the tasks of one event loop.

    The verbs are those of `Client`, with their arguments and errors, as coroutines. A task that is cancelled cancels
    its job, as Ctrl-C does.

    >>> import asyncio
    >>> async def main():
    ...     async with AsyncClient() as mg:
    ...         iris = await mg.model("iris")
    ...         rows = [[5.1, 3.5, 1.4, 0.2]], [[5.9, 3.0, 5.1, 1.8]]
    ...         return await asyncio.gather(*map(iris.predict, rows))
    >>> asyncio.run(main())
    [array([0]), array([2])]
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
        """As of `Client`. Raises `ModelgateError` where httpx or greenlet is missing."""
        check_installed()
        self._blocking = _BridgedClient(url, api_key, profile=profile, timeout=timeout, verify=verify)

    models = verb(Client.models)
    model = making(AsyncModel, Client.model)
    remove = verb(Client.remove)
    restore = verb(Client.restore)
    publish = verb(Client.publish)
    export = verb(Client.export)
    train = making(AsyncTrainingRun, Client.train)
    job = making(_job_of, Client.job)
    jobs = iterating(_job_of, Client.jobs)
    request = verb(Client.request)
    send = verb(Client.send)
    stream = iterating(bytes, Client.stream)
    close = verb(_BridgedClient.close)

    @property
    def url(self) -> str:
        """The address."""
        return self._blocking.url

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<AsyncClient of {self._blocking.shown_url}>"
