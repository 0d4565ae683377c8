"""A gateway on a real Redis, with one handwritten model."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis
from redis.exceptions import RedisError
from werkzeug.routing import Rule

from broker.link.connection import connect
from broker.sides.file_tasks import FileTasks
from broker.sides.scorer import BatchJob, BatchLimits, ScorerQueue
from broker.sides.supervisor import Leases
from contract.errors import Failure
from contract.model.signature import Field, Kind
from contract.settings import Settings
from contract.work.jobs import PredictionOutcome
from gateway.app import Gateway as App
from gateway.app import create_app
from gateway.door.entrance import Door
from gateway.http.exchange import Exchange
from gateway.openapi.document import content, problems
from gateway.serving.model_versions import RunCommand
from tests.gateway.callers import ADMIN_KEY
from tests.provoked import FILES, PROVOKED
from tests.stacks.gateways import Gateway, serving
from tests.support import DEADLINE, Sum, state_dir, write_version


@pytest.fixture(scope="session", autouse=True)
def late_builders() -> Iterator[None]:
    """Werkzeug compiles functions that build URLs, which takes two thirds of the time to make an app. Here it does so
    when one is called, and hardly any is."""
    compile_builder: Any = Rule._compile_builder

    def late(rule: Rule, append_unknown: bool = True) -> Any:
        return lambda _, **values: compile_builder(rule, append_unknown)(rule, **values)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Rule, "_compile_builder", late)
        yield


@pytest.fixture(autouse=True)
def _closed_gateways(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Closes the gateways of a test: none of their threads talks to Redis after it."""
    made: list[App] = []
    make = App.__init__

    def remember(gateway: App, *args: Any, **options: Any) -> None:
        made.append(gateway)
        make(gateway, *args, **options)

    monkeypatch.setattr(App, "__init__", remember)
    yield
    for gateway in made:
        with suppress(RedisError, KeyError):  # one that was refused has nothing to close
            gateway.extensions["close"]()


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a question about keys wait as long as a test does: no test here is about the second after which a request
    gets 503, and a busy machine may stall for longer."""
    monkeypatch.setattr("gateway.parts.KEYS_TIMEOUT", DEADLINE)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks for the end of watched jobs often: a gateway that is closed waits for the pause between two looks."""
    monkeypatch.setattr("gateway.serving.job_events.LOOK_EVERY", 0.02)


@pytest.fixture
def settings(redis: Redis, redis_url: str, models: Path, tmp_path: Path) -> Settings:
    return settings_in(tmp_path, redis_url)


@pytest.fixture(scope="module")
def shared_settings(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Those of a gateway that the tests of a module share. Its Redis is emptied before each that asks for `redis`."""
    folder = tmp_path_factory.mktemp("gateway")
    (folder / "models").mkdir()
    with connect(redis_url) as connection:
        connection.flushall()
    return settings_in(folder, redis_url)


@pytest.fixture(scope="module")
def server(shared_settings: Settings) -> Iterator[Gateway]:
    """A gateway under gunicorn for the tests of a module, which neither end it nor make keys."""
    with serving(shared_settings, ALLOW_UPLOAD="local") as gateway:
        yield gateway


def settings_in(folder: Path, redis_url: str) -> Settings:
    """Return the settings of a gateway with the model `sum`, below `folder`."""
    models, inputs = folder / "models", [Field("a", Kind.NUMBER, aliases=("A",)), Field("b", Kind.NUMBER)]
    write_version(models, "sum", Sum(), inputs, id_field="key", example={"key": "x", "a": 1.0, "b": 2.0})
    return Settings(
        redis_url=redis_url,
        models_dir=models,
        max_body_mb=1,
        max_queue_rows=5,
        max_wait=30,
        state_dir=state_dir(folder),
        spool_dir=folder / "spool",
    )


@pytest.fixture
def scoring(redis: Redis) -> Iterator[None]:
    """Finishes every job as a scorer would, with the sum of each row."""
    with scorer(redis, lambda job: PredictionOutcome([sum(row) for row in job.rows], None, [], 0.5, 1)):
        yield


@contextmanager
def scorer(redis: Redis, outcome: Callable[[BatchJob], PredictionOutcome | Failure]) -> Iterator[None]:
    """Finish every job as a scorer would."""
    leases, queue, stop = Leases(redis, lease=60), ScorerQueue(redis, "w-0-test"), threading.Event()
    leases.register("w-0-test")

    def score() -> None:
        while not stop.is_set():
            batch = queue.take(BatchLimits())
            if batch is None:
                queue.wait_for_work(BatchLimits())
                continue
            queue.finish({job.id: outcome(job) for job in batch.jobs})

    thread = threading.Thread(target=score)
    thread.start()
    yield
    stop.set()
    with suppress(RedisError):
        redis.rpush("mg:bell", "")  # it waits no longer
    thread.join()


def without_redis(settings: Settings, run_command: RunCommand | None = None, **changes: Any) -> FlaskClient:
    """A gateway that has learnt from Redis that there are no keys, and whose Redis does not answer any more."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gateway.parts.connect", partial(connect, resends=0))  # it stays away however often it is asked
        app = create_app(replace(settings, redis_url="redis://127.0.0.1:1", submit_timeout=1, **changes), run_command)
    app.extensions["door"].keys._closed._known = True
    app.extensions["listener"]._subscribed.set()  # a first request would wait for it
    return app.test_client()


@pytest.fixture
def client(settings: Settings) -> FlaskClient:
    return create_app(settings).test_client()


@pytest.fixture
def closed(settings: Settings) -> FlaskClient:
    """A client of a gateway that needs keys."""
    return create_app(replace(settings, admin_key=ADMIN_KEY)).test_client()


@pytest.fixture
def spool(settings: Settings) -> Path:
    return settings.spool_dir


@pytest.fixture
def lane(redis: Redis) -> FileTasks:
    """What a scorer has to do for files."""
    Leases(redis, lease=60).register("w-0-x")
    return FileTasks(redis, "w-0-x")


@pytest.fixture(autouse=True)
def _only_documented_answers(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test in which a route gives an answer that the OpenAPI document does not have for it."""
    undocumented: set[str] = set()
    FILES.add(request.path.name)
    ended = Door._ended

    def look(door: Door, exchange: Exchange) -> None:
        ended(door, exchange)
        if exchange.code is not None:
            PROVOKED.add(f"{exchange.status} {exchange.code}")
        if answer := undocumented_answer(exchange):
            undocumented.add(answer)

    monkeypatch.setattr(Door, "_ended", look)
    yield
    assert undocumented == set()


def undocumented_answer(exchange: Exchange) -> str | None:
    """Return what is not documented of an answer, or None. A defect of ours (500) never is."""
    method = exchange.environ["REQUEST_METHOD"].replace("HEAD", "GET")
    route = exchange.route
    if route is None or route.page or method == "OPTIONS" or exchange.status in (0, 408, 500):
        return None
    answer = route.docs.answers.get(exchange.status)
    if exchange.code is not None:
        known = f"{exchange.status} {exchange.code}" in problems(route, method)
    else:
        kind = dict(exchange._headers).get("Content-Type", "").partition(";")[0]
        known = answer is not None and (exchange.size == 0 or not answer.content or kind in content(answer.content))
    return None if known else f"{route.docs.id}: {exchange.status} {exchange.code or kind}"
