"""The client for asyncio has the verbs of the other one, and its requests run at once."""

from __future__ import annotations

import asyncio
import functools
import inspect
import io
import os
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import modelgate
import numpy as np
import pytest
from modelgate import AsyncClient, Client, FileJob, Job, Model, Report, TrainingRun
from modelgate.asynchronous import AsyncFileJob, AsyncJob, AsyncModel, AsyncReport, AsyncTrainingRun
from modelgate.connection import PIECE
from redis import Redis

from contract.work.jobs import PredictionOutcome
from tests.client.certificates import with_own_certificate
from tests.client.test_connection import OK, Scripted, problem, script  # noqa: F401
from tests.gateway.conftest import scorer
from tests.stacks.gateways import Gateway, Site, start_site
from tests.support import DEADLINE, PROJECT, Sum, numbers, write_version

AT_ONCE = 64
ROWS = [[1.0, 2.0], [3.0, 4.5]]


def asynchronous(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test in an event loop of its own."""

    @functools.wraps(test)
    def run(**fixtures: Any) -> None:
        async def within() -> None:
            async with asyncio.timeout(DEADLINE):
                await test(**fixtures)

        asyncio.run(within())

    return run


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    while not await condition():
        await asyncio.sleep(0.02)


async def statuses(mg: AsyncClient, **filters: str) -> list[str]:
    return [job.status async for job in mg.jobs(**filters)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A gateway and a worker with the model `sum`, and files."""
    models, folder = tmp_path_factory.mktemp("models"), tmp_path_factory.mktemp("site")
    write_version(models, "sum", Sum(), numbers("a", "b"))
    (folder / "spool").mkdir()
    with start_site(folder, models, spool_dir=folder / "spool", state_dir=folder) as site:
        site.cluster.start("first", spool_dir=folder / "spool").ready()
        yield site


@asynccontextmanager
async def model_of(server: Gateway) -> AsyncIterator[tuple[AsyncClient, AsyncModel]]:
    async with AsyncClient(server.address, timeout=60) as mg:
        yield mg, await mg.model("sum")


@asynchronous
async def test_verbs_answer_and_fail_as_those_of_the_other_client(site: Site) -> None:
    with Client(site.gateway.address, timeout=60) as blocking:
        total, models = blocking.model("sum"), blocking.models()
        answers = total.predict(ROWS)
    async with model_of(site.gateway) as (mg, model):
        np.testing.assert_array_equal(await model.predict(ROWS), answers)
        assert await model.score(ROWS, [3, 7.5]) == 1
        assert await mg.models() == models
        assert (await model.version, model.n_features_in_, model.signature) == (1, 2, total.signature)
        assert (await model.card())["name"] == "sum"
        assert (await model.failures())["items"] == []
        with pytest.raises(modelgate.Invalid, match="row 0: 'b' must be a finite number; it is 'two'"):
            await model.predict([[1, "two"]])
        with pytest.raises(modelgate.NotFound, match="did you mean 'sum'"):
            await mg.model("summ")
        with pytest.raises(modelgate.NotFound):
            await (await model.report).html
        with pytest.raises(AttributeError, match="'sum' has no 'transform'; it has predict"):
            await model.transform(ROWS)
        with pytest.raises(modelgate.ModelgateError, match="this asks the server; await it"):
            model._blocking.predict(ROWS)


@asynchronous
async def test_a_file_is_sent_scored_and_downloaded(site: Site, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,b\n1,2\nx,3\n")
    async with model_of(site.gateway) as (mg, model):
        job = await model.submit(tmp_path / "rows.csv", progress=False)
        assert await job.wait(progress=False) is job and (job.rows, job.errors) == (2, 1)
        assert [error["row"] async for error in job.row_errors()] == [1]
        written = await job.download(tmp_path / "out.csv")
        assert written and written.read_text().startswith("a,b,prediction")
        assert isinstance(await mg.job(job.id), AsyncFileJob) and "succeeded" in repr(job)
        frame = await model.submit({"a": [1.0] * 2000, "b": [2.0] * 2000})
        copy = io.BytesIO()
        await (await frame.wait(progress=False)).download(copy)
        assert copy.getvalue().count(b"3.0") == 2000
        await job.delete()
        with pytest.raises(modelgate.NotFound):
            await mg.job(job.id)


@pytest.mark.slow
@asynchronous
async def test_calls_of_many_tasks_wait_at_the_server_at_once(server: Gateway, redis: Redis) -> None:
    async with model_of(server) as (mg, model):
        calls = asyncio.gather(*(model.predict([[number, 1]]) for number in range(AT_ONCE)))

        async def all_wait() -> bool:
            return len(await statuses(mg, status="queued")) == AT_ONCE

        await until(all_wait)  # none is answered yet
        with scorer(redis, lambda job: PredictionOutcome([sum(row) for row in job.rows], None, [], 0.5, 1)):
            answers = await calls
    assert np.concatenate(answers).tolist() == [number + 1 for number in range(AT_ONCE)]


@pytest.mark.usefixtures("redis")
@asynchronous
async def test_a_task_that_is_cancelled_cancels_its_job(server: Gateway) -> None:
    async with model_of(server) as (mg, model):
        task = asyncio.create_task(model.predict(ROWS))

        async def waits() -> bool:
            return await statuses(mg) == ["queued"]

        await until(waits)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await statuses(mg) == ["canceled"]
        job = await model.submit(io.BytesIO(b"a,b\n1,2\n"), format="csv")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await job.wait(progress=False)
        assert job.status == "canceled" and await statuses(mg) == ["canceled", "canceled"]


@asynchronous
async def test_requests_are_repeated_and_time_out_as_those_of_the_other_client(script: Scripted) -> None:  # noqa: F811
    async with AsyncClient(script.url, "mg_key") as mg:
        script.answers = [OK, None, problem(503, "queue_full", **{"Retry-After": "0"}), (502, {}, b"<html>"), OK]
        await mg.request("GET", "/")
        assert await mg.request("POST", "/", data=lambda: iter([b"ro", b"ws"])) == {"ok": True}
        posts, bodies = zip(*((headers, body) for _, headers, body in script.asked[1:]), strict=True)
        assert bodies == (b"rows",) * 4 and len({headers["Idempotency-Key"] for headers in posts}) == 1
        assert {headers["Authorization"] for headers in posts} == {"Bearer mg_key"}
    with pytest.raises(modelgate.Unreachable, match=r"no Modelgate answers at .*is it running"):
        await AsyncClient("http://127.0.0.1:9").models()
    with pytest.raises(modelgate.ModelgateError, match=r"the request to http://…@h:80800 cannot be sent"):
        await AsyncClient("http://user:secret@h:80800").models()


@asynchronous
async def test_a_server_that_does_not_answer_is_waited_for_until_the_time_out() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.CancelledError):
            await reader.read()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        async with AsyncClient(f"http://{host}:{port}", timeout=1) as mg:
            with pytest.raises(modelgate.TimedOut, match="did not answer within 1 s"):
                await mg.models()


@asynchronous
async def test_certificates_are_checked(script: Scripted, tmp_path: Path) -> None:  # noqa: F811
    context, plain = with_own_certificate(tmp_path / "own.pem"), script.server.get_request
    with pytest.raises(modelgate.Unreachable, match=r"^TLS with https://\S+ fails: WRONG_VERSION_NUMBER$"):
        await AsyncClient(script.url.replace("http:", "https:")).request("GET", "/")

    def get_request() -> tuple[Any, Any]:
        connection, address = plain()
        return context.wrap_socket(connection, server_side=True), address

    script.server.get_request = get_request  # type: ignore[method-assign]
    url, own = script.url.replace("http://127.0.0.1", "https://localhost"), str(tmp_path / "own.pem")
    script.answers = [OK, OK]
    for verify in (own, False):
        async with AsyncClient(url, verify=verify) as mg:
            assert await mg.request("GET", "/") == {"ok": True}
    with pytest.raises(modelgate.Unreachable, match="has a certificate that is not trusted"):
        await AsyncClient(url).request("GET", "/")
    with pytest.raises(modelgate.ModelgateError, match=r"cannot be sent: .*No such file"):
        await AsyncClient(url, verify="/no/such.pem").request("GET", "/")


@asynchronous
async def test_a_download_that_breaks_off_goes_on_where_it_was(script: Scripted) -> None:  # noqa: F811
    whole, tagged = os.urandom(3 * PIECE), {"ETag": '"one"'}
    script.answers = [
        (200, {**tagged, "Content-Length": str(len(whole))}, whole[: PIECE + 10]),
        (206, {**tagged, "Content-Length": str(len(whole) - PIECE)}, whole[PIECE : 2 * PIECE + 10]),
        (206, tagged, whole[2 * PIECE :]),
    ]
    async with AsyncClient(script.url) as mg:
        assert b"".join([piece async for piece in mg.stream("/output")]) == whole
    ranges = [headers.get("Range") for _, headers, _ in script.asked]
    assert ranges == [None, f"bytes={PIECE}-", f"bytes={2 * PIECE}-"]


@asynchronous
async def test_the_lines_of_the_page_work(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELGATE_URL", site.gateway.address)
    page, names = (PROJECT / "docs/reference/client.md").read_text(), dict[str, Any]()
    (lines,) = re.findall(r"^```python\n(import asyncio\n.*?)^```", page, re.DOTALL | re.MULTILINE)
    exec(lines.replace('"loan"', '"sum"'), names)
    assert np.concatenate(await names["answers"](ROWS)).tolist() == [3.0, 7.5]


def test_each_verb_is_there() -> None:
    pairs = {Client: AsyncClient, Model: AsyncModel, Report: AsyncReport}
    pairs |= {Job: AsyncJob, FileJob: AsyncFileJob, TrainingRun: AsyncTrainingRun}
    missing = {
        f"{blocking.__name__}.{name}"
        for blocking, other in pairs.items()
        for name in dir(blocking)
        if not name.startswith("_") and not hasattr(other, name)
    }
    of_estimators = {f"Model.{name}" for name in ("fit", "get_params", "set_params")}
    of_no_request = {f"Model.{name}" for name in ("description", "signature", "inputs", "returned", "name")}
    assert missing == of_estimators | of_no_request | {"Report.url", "Client.start", "Client.cancel_made_with"}
    assert inspect.signature(AsyncClient.train) == inspect.signature(Client.train)
    assert AsyncClient.train.__doc__ == Client.train.__doc__


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(modelgate.ModelgateError, match=r"httpx and greenlet: pip install 'modelgate-client\[async"):
        AsyncClient()
