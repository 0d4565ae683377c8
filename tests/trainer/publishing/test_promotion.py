"""An alias does not move to a version that no worker can load."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from redis import Redis

from broker.link.connection import connect
from broker.state.load_status import (
    CHANGES_PROCESS,
    NO_ROOM,
    LoadRequests,
    LoadStatus,
    LoadStatusPublisher,
    load_statuses,
)
from contract.errors import Code, ModelgateError
from contract.model.environments import TODAY
from contract.model.repository import Repository
from contract.settings import Settings
from gateway.app import create_app
from tests.support import DEADLINE, Sum, numbers, until, write_version
from trainer.jobs.commands import HANDLERS, CommandParts
from trainer.publishing.promotion import promote, roll_back

CANNOT = "its artifact is damaged"


@contextmanager
def worker(url: str, name: str, refusing: Callable[[], str | None]) -> Iterator[None]:
    """Publish the load status of a worker that refuses every requested version, or with None has loaded them."""
    ended = threading.Event()

    def run() -> None:
        with connect(url) as redis:
            said, requests = LoadStatusPublisher(redis, ttl=DEADLINE), LoadRequests(redis)
            while not ended.wait(0.01):
                wanted, why = requests.read().get(TODAY, ()), refusing()
                said.publish(name, LoadStatus(refused=dict.fromkeys(wanted, why)) if why else LoadStatus(loaded=wanted))
            said.withdraw(name)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        with connect(url) as redis:
            until(lambda: name in load_statuses(redis, "sum", TODAY), f"{name} is heard")
        yield
    finally:
        ended.set()
        thread.join()


@pytest.fixture
def settings(redis: Redis, redis_url: str, models: Path) -> Settings:
    """`sum` has three versions; the second is current and the first previous."""
    for version in (3, 2, 1):
        write_version(models, "sum", Sum(), numbers("a"), version=version)
    (models / "sum/aliases.json").write_text('{"current": 2, "previous": 1}')
    return Settings(models_dir=models, redis_url=redis_url)


@pytest.fixture
def client(settings: Settings, redis: Redis) -> Iterator[FlaskClient]:
    app = create_app(settings, lambda command: HANDLERS[command.action](CommandParts(settings, redis), command))
    yield app.test_client()
    app.extensions["close"]()


def aliases(settings: Settings) -> dict[str, int]:
    return dict(Repository(settings.models_dir).aliases("sum"))


BEFORE = {"current": 2, "previous": 1}


def test_no_alias_moves_to_a_version_that_every_worker_refuses(
    client: FlaskClient, settings: Settings, redis_url: str
) -> None:
    with worker(redis_url, "w1", lambda: CANNOT), worker(redis_url, "w2", lambda: CANNOT):
        for method, path, body in (
            ("PUT", "aliases/current", {"version": 3}),
            ("PUT", "aliases/canary", {"version": 3, "force": False}),
            ("POST", "rollback", None),
        ):
            response = client.open(f"/v1/models/sum/{path}", method=method, **({} if body is None else {"json": body}))
            said = response.get_json()
            assert (response.status_code, said["code"]) == (409, "not_loaded")
            assert f"because the workers w1, w2 cannot load it: {CANNOT}; fix that, or" in said["detail"]
            assert said["details"]["reasons"] == {"w1": CANNOT, "w2": CANNOT}
            assert aliases(settings) == BEFORE


def test_force_moves_it_anyway(client: FlaskClient, settings: Settings, redis_url: str) -> None:
    with worker(redis_url, "w1", lambda: CANNOT):
        answer = client.put("/v1/models/sum/aliases/current", json={"version": 3, "force": True}).get_json()
        assert answer["aliases"] == {"current": 3, "previous": 2}
        assert answer["warnings"] == [f"moved though the worker w1 did not load it: {CANNOT}"]
        answer = client.post("/v1/models/sum/rollback", json={"force": True}).get_json()
        assert answer["aliases"] == {"current": 2, "previous": 1}


@pytest.mark.parametrize("reason", [NO_ROOM, CHANGES_PROCESS])
def test_a_version_that_scorers_can_load_for_themselves_is_not_refused(
    settings: Settings, redis: Redis, redis_url: str, reason: str
) -> None:
    with worker(redis_url, "w1", lambda: reason):
        assert promote(settings, redis, "sum", 3) == f"moved though the worker w1 did not load it: {reason}"


def test_one_worker_that_has_loaded_it_is_enough(settings: Settings, redis: Redis, redis_url: str) -> None:
    with worker(redis_url, "w1", lambda: CANNOT), worker(redis_url, "w2", lambda: None):
        assert promote(settings, redis, "sum", 3) == f"moved though the worker w1 did not load it: {CANNOT}"
    assert aliases(settings) == {"current": 3, "previous": 2}


def test_an_earlier_refusal_of_a_repaired_version_does_not_count(
    settings: Settings, redis: Redis, redis_url: str
) -> None:
    why: list[str | None] = [CANNOT]
    with worker(redis_url, "w1", lambda: why[0]):
        with pytest.raises(ModelgateError, match="cannot load it") as refused:
            promote(settings, redis, "sum", 3)
        assert refused.value.failure.code == Code.NOT_LOADED
        why[0] = None
        assert promote(settings, redis, "sum", 3) is None
        assert roll_back(settings, redis, "sum") is None


def test_a_first_version_that_no_worker_can_load_gets_no_alias(
    settings: Settings, redis: Redis, redis_url: str
) -> None:
    (settings.models_dir / "sum/aliases.json").unlink()
    with (
        worker(redis_url, "w1", lambda: CANNOT),
        pytest.raises(ModelgateError, match="version 3 of the model 'sum' gets no alias"),
    ):
        promote(settings, redis, "sum", 3)
    assert aliases(settings) == {}
    assert promote(settings, redis, "sum", 3) == "moved at once: no worker is alive that serves this model"


@pytest.mark.parametrize("force", [1, "true", None, []])
def test_force_is_true_or_false(client: FlaskClient, settings: Settings, force: object) -> None:
    for response in (
        client.put("/v1/models/sum/aliases/current", json={"version": 3, "force": force}),
        client.post("/v1/models/sum/rollback", json={"force": force}),
    ):
        assert (response.status_code, response.get_json()["code"]) == (422, "invalid_body")
    assert aliases(settings) == BEFORE
