"""Versions are swapped under load: no request waits for a version to load, and none sees an incomplete one."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from redis import Redis

from broker.state.load_status import load_statuses, status_key
from contract.errors import ModelgateError
from contract.model.environments import TODAY
from contract.model.repository import Repository
from contract.settings import Settings
from contract.work.jobs import Status
from scoring.artifacts import load
from scoring.trust import Trust
from storage.models.repository_writer import RepositoryWriter
from tests.flow import estimators
from tests.flow.swaps import MODEL, publish_one
from tests.qa.soak.swap import swap_under_load
from tests.stacks.gateways import start_site
from tests.stacks.workers import WorkerCluster, worker_cluster
from tests.support import numbers, redis_server, until, write_version
from trainer.publishing.aliases import delete_version, move_alias
from trainer.publishing.promotion import promote, roll_back


@pytest.fixture
def cluster(tmp_path: Path, models: Path) -> Iterator[WorkerCluster]:
    with redis_server(tmp_path) as url, worker_cluster(url, models, tmp_path, lease=60) as cluster:
        yield cluster


def settings_of(cluster: WorkerCluster, **changes: int) -> Settings:
    return Settings(redis_url=cluster.url, models_dir=cluster.models, **{"warmup_timeout": 300, **changes})


def write(models: Path, version: int, estimator: object | None = None, model: str = "quick") -> None:
    """Write a version without moving `current`."""
    chosen = estimator or estimators.Versioned(version, 0)
    first = not (models / model).exists()
    write_version(models, model, chosen, numbers("a"), version=version, by_value=True, current=first)


def loaded(redis: Redis, model: str = "quick") -> list[set[str]]:
    """Return the versions that the scorers of each worker have."""
    return [set(report.loaded) for report in load_statuses(redis, model, TODAY).values()]


@pytest.mark.slow
def test_an_alias_moves_once_every_worker_has_the_version(cluster: WorkerCluster) -> None:
    write(cluster.models, 1)
    workers = [cluster.start(name).ready() for name in ("first", "second")]
    cluster.start("other", worker_models="iris").ready()
    until(lambda: loaded(cluster.redis) == [{"quick@1"}] * 2, "both have the first version")
    before = [set(worker.scorers()) for worker in workers]
    write(cluster.models, 2)
    assert promote(settings_of(cluster), cluster.redis, "quick", 2) is None
    assert Repository(cluster.models).aliases("quick") == {"current": 2, "previous": 1}
    assert loaded(cluster.redis) == [{"quick@1", "quick@2"}] * 2
    for worker, old in zip(workers, before, strict=True):
        # Those before them take nothing any more, but may still be ending.
        until(lambda w=worker, o=old: len(w.scorers().keys() - o) == 2, "scorers that share it have come")
    shared = [set(worker.scorers()) - old for worker, old in zip(workers, before, strict=True)]
    assert roll_back(settings_of(cluster), cluster.redis, "quick") is None
    assert promote(settings_of(cluster), cluster.redis, "quick", 2) is None
    assert all(worker.scorers().keys() >= scorers for worker, scorers in zip(workers, shared, strict=True)), (
        "both versions are in memory"
    )
    write(cluster.models, 3)
    assert promote(settings_of(cluster), cluster.redis, "quick", 3) is None
    until(lambda: loaded(cluster.redis) == [{"quick@2", "quick@3"}] * 2, "what no alias names leaves the memory")


@pytest.mark.slow
def test_a_worker_that_starts_is_waited_for(cluster: WorkerCluster) -> None:
    for version in (1, 2):
        write(cluster.models, version)
    cluster.start(workers=1)
    until(lambda: loaded(cluster.redis), "it is heard, as a rule before it has loaded anything")
    assert promote(settings_of(cluster), cluster.redis, "quick", 2) is None
    assert loaded(cluster.redis) == [{"quick@1", "quick@2"}]


def test_a_deleted_version_is_unknown_to_the_jobs_that_wait_for_it(cluster: WorkerCluster) -> None:
    for version in (1, 2):
        write(cluster.models, version)
    waiting = cluster.submit("quick", [1.0], version=2)
    delete_version(RepositoryWriter(cluster.models), "quick", 2)
    cluster.start().ready()
    (job,) = cluster.ended(waiting)
    assert job.error
    assert job.error.code == "model_not_found"


def test_jobs_of_a_model_that_was_removed_meanwhile_end_as_they_would(cluster: WorkerCluster) -> None:
    """Although no scorer has the version in memory, and another one is published under the name."""
    write(cluster.models, 1)
    waiting = cluster.submit("quick", [1.0])
    RepositoryWriter(cluster.models).remove("quick")
    write(cluster.models, 2)
    waiting += cluster.submit("quick", [1.0], "new", version=2)
    cluster.start().ready()
    assert [(job.status, job.error) for job in cluster.ended(waiting)] == [(Status.SUCCEEDED, None)] * 2


def test_a_worker_that_does_not_answer_is_waited_for_and_named_but_a_dead_one_is_not(cluster: WorkerCluster) -> None:
    for version in (1, 2, 3, 4):
        write(cluster.models, version)
    impatient, late = (
        settings_of(cluster, warmup_timeout=1),
        "moved after 1 s though the worker stuck had not loaded it",
    )
    worker = cluster.start("stuck").ready()
    until(lambda: loaded(cluster.redis) == [{"quick@1"}], "it is heard")
    scorers = list(worker.scorers().values())
    worker.send(signal.SIGSTOP, scorers)
    assert promote(impatient, cluster.redis, "quick", 2) == late
    assert Repository(cluster.models).aliases("quick")["current"] == 2
    worker.send(signal.SIGCONT, scorers)
    until(lambda: loaded(cluster.redis) == [{"quick@1", "quick@2"}], "it has caught up")
    worker.send(signal.SIGSTOP, [worker.process.pid])
    assert promote(impatient, cluster.redis, "quick", 3) == late
    worker.send(signal.SIGKILL, [worker.process.pid])
    status = status_key("stuck")
    assert cluster.redis.pttl(status) != -1, "it expires"
    cluster.redis.pexpire(status, 1)  # it would live for many seconds
    remark = promote(settings_of(cluster), cluster.redis, "quick", 4)
    assert remark == "moved at once: no worker is alive that serves this model"


@pytest.mark.slow
def test_a_version_that_kills_the_process_that_loads_it_gets_no_alias_until_it_is_repaired(
    cluster: WorkerCluster,
) -> None:
    write(cluster.models, 1)
    cluster.start().ready()
    until(lambda: loaded(cluster.redis) == [{"quick@1"}], "it is loaded")
    write(cluster.models, 2, estimators.AbortsWhenLoaded(0))
    with pytest.raises(ModelgateError, match="the worker w cannot load it: loading it kills its process"):
        promote(settings_of(cluster), cluster.redis, "quick", 2)
    assert Repository(cluster.models).aliases("quick") == {"current": 1}
    jobs = cluster.ended(cluster.submit("quick", [1.0, 2.0]))
    assert [job.output["predictions"] for job in jobs if job.output] == [[3.0], [5.0]]
    shutil.rmtree(cluster.models / "quick/versions/2")
    write(cluster.models, 2)
    assert promote(settings_of(cluster), cluster.redis, "quick", 2) is None


@pytest.mark.slow
def test_previous_versions_make_room_and_otherwise_the_alias_moves_at_once(cluster: WorkerCluster) -> None:
    """The memory holds three of these, in 2**20 bytes."""

    def heavy(version: int) -> estimators.Versioned:
        estimator = estimators.Versioned(version, 0)
        estimator.ballast = np.random.default_rng(version).bytes(320_000)
        return estimator

    for model in ("quick", "other"):
        write(cluster.models, 1, heavy(1), model)
    cluster.start(workers=1, model_cache_mb=1).ready(1)
    until(lambda: loaded(cluster.redis) == [{"quick@1", "other@1"}], "both are loaded")
    write(cluster.models, 2, heavy(2))
    assert promote(settings_of(cluster), cluster.redis, "quick", 2) is None
    until(lambda: loaded(cluster.redis) == [{"quick@1", "quick@2", "other@1"}], "there is room for three")
    write(cluster.models, 2, heavy(2), "other")
    assert promote(settings_of(cluster), cluster.redis, "other", 2) is None
    assert loaded(cluster.redis) == [{"quick@2", "other@1", "other@2"}]
    huge = estimators.Versioned(3, 0)
    huge.ballast = bytes(range(256)) * 5000
    write(cluster.models, 3, huge)
    remark = promote(settings_of(cluster), cluster.redis, "quick", 3)
    assert remark == "moved though the worker w did not load it: it does not fit into MODEL_CACHE_MB beside the others"
    (job,) = cluster.ended(cluster.submit("quick", [1.0], version=3))
    assert job.status is Status.SUCCEEDED


@pytest.mark.slow
def test_a_trainer_killed_at_any_time_leaves_whole_versions_and_workers_serve_on(
    cluster: WorkerCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Skips verification in a fresh process, which would take most of the time."""
    monkeypatch.setattr("trainer.publishing.publish.verify", lambda *_: None)
    settings = settings_of(cluster)
    chance = random.Random(5)

    def publish_and_promote() -> None:
        promote(settings, cluster.redis, MODEL, publish_one(cluster.models))

    publish_and_promote()
    cluster.start().ready()
    began = time.monotonic()
    publish_and_promote()
    takes = time.monotonic() - began
    aliases = cluster.models / MODEL / "aliases.json"
    for kill in range(20):
        pid = os.fork()
        if not pid:
            cluster.redis.connection_pool.reset()
            publish_and_promote()
            os._exit(0)
        deadline = time.monotonic() + chance.uniform(0, takes)
        until(lambda d=deadline: time.monotonic() > d, "the moment has come")
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        repository = Repository(cluster.models)
        named = {name: to for name, to in json.loads(aliases.read_bytes()).items() if not name.startswith("_")}
        assert set(named.values()) <= set(repository.versions(MODEL))
        for version in repository.versions(MODEL):
            load(repository.manifest(MODEL, version), repository.files(MODEL, version), Trust())
        (job,) = cluster.ended(cluster.submit(MODEL, [1.0], f"after{kill}-", version=named["current"]))
        assert job.output
        assert job.output["predictions"] == [2.0 + named["current"]]
    publish_and_promote()
    assert Repository(cluster.models).aliases(MODEL)["current"] == Repository(cluster.models).versions(MODEL)[-1]


@pytest.mark.slow
def test_no_request_fails_while_versions_come_and_go(tmp_path: Path, models: Path) -> None:
    with start_site(tmp_path, models, gateway_processes=2) as site:
        for name in ("first", "second"):
            site.cluster.start(name, workers=1)
        for worker in site.cluster.workers:
            worker.ready(1)
        figures = swap_under_load(site, rounds=1, rate=30, rows=0, seconds_before=0.5, pause=0.2)
        assert figures["versions"] == 2
        for turn in range(10):
            wanted = 1 + turn % 2
            move_alias(RepositoryWriter(models), MODEL, "current", wanted)
            # Each on a connection of its own, so that both processes of the gateway are asked.
            versions = {site.gateway.post(MODEL, {"a": 1}).json()["model"]["version"] for _ in range(5)}
            assert versions == {wanted}
