"""Processes are killed, stopped and restarted: what was accepted is scored, and has one result."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.neighbors import KNeighborsClassifier

from broker.load_status import STARTS_THREADS, LoadStatus, load_statuses
from contract.jobs import PredictionJob, Status
from contract.manifest import Output, OutputKind
from contract.settings import Settings
from tests.flow import estimators
from tests.flow.workers import Workshop, alive, workshop
from tests.support import PROJECT, numbers, redis_server, until, write_version
from trainer.publishing.promotion import promote


def write(models: Path, name: str, estimator: object) -> None:
    write_version(models, name, estimator, numbers("a"), by_value=True)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write(folder, "faulty", estimators.Faulty())
    write(folder, "quick", estimators.Slow(0.001))
    write(folder, "slow", estimators.Slow(0.3))
    write(folder, "endless", estimators.Slow(1000))
    return folder


@pytest.fixture
def shop(tmp_path: Path, models: Path) -> Iterator[Workshop]:
    """With a Redis of its own: a worker that is still ending must not meet the next test's."""
    with redis_server(tmp_path) as url, workshop(url, models, tmp_path, lease=2) as shop:
        yield shop


# What a row can do


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Workshop]:
    folder = tmp_path_factory.mktemp("faulty")
    with redis_server(folder) as url, workshop(url, models, folder) as shop:
        shop.start(worker_models="faulty", predict_timeout=2, scorer_memory_mb=300).ready()
        shop.ended(shop.submit("faulty", [1.0] * 50, "warm"))
        yield shop


@pytest.mark.parametrize(
    ("value", "code", "said"),
    [
        (estimators.ABORTS, "worker_crashed", "three times"),
        (estimators.ENDS, "worker_crashed", "three times"),
        (estimators.NEVER_RETURNS, "timeout", "scoring took longer than 2 s"),
        (estimators.EATS_MEMORY, "out_of_memory", "more memory than a scorer may have"),
        (estimators.RAISES, "model_error", "raised ValueError: it hurts"),
    ],
)
def test_only_the_job_with_the_bad_row_fails(faulty: Workshop, value: float, code: str, said: str) -> None:
    ids = faulty.submit("faulty", [1.0] * 5 + [value] + [1.0] * 6, code + str(value))
    jobs = faulty.ended(ids)
    bad = jobs.pop(5)
    assert bad.status is Status.FAILED
    assert bad.error is not None
    assert bad.error.code == code
    assert said in bad.error.message
    assert [job.output["predictions"] if job.output else job for job in jobs] == [[2.0]] * 11
    assert faulty.each_has_one_result(ids)


def test_a_child_that_a_model_leaves_behind_hides_nothing(faulty: Workshop) -> None:
    (job,) = faulty.ended(faulty.submit("faulty", [estimators.LEAVES_A_CHILD], "leaves"), deadline=15)
    assert job.error is not None
    assert job.error.code == "timeout"


def test_a_model_can_end_its_own_children(faulty: Workshop) -> None:
    (job,) = faulty.ended(faulty.submit("faulty", [estimators.ENDS_A_CHILD], "ends"))
    assert job.status is Status.SUCCEEDED


def test_a_model_that_changes_the_directory_hides_no_other(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    write(folder, "faulty", estimators.Faulty())
    for version in (1, 2):
        write_version(folder, "quick", estimators.Slow(0), numbers("a"), version=version, by_value=True)
    with redis_server(tmp_path) as url, workshop(url, Path(os.path.relpath(folder, PROJECT)), tmp_path) as shop:
        shop.start(workers=1).ready(1)
        shop.ended(shop.submit("faulty", [estimators.GOES_ELSEWHERE], "elsewhere"))
        (job,) = shop.ended(shop.submit("quick", [1.0], version=1))
        assert job.status is Status.SUCCEEDED, job


# Processes that die


def test_scorers_killed_at_random_moments_lose_no_job(shop: Workshop) -> None:
    worker = shop.start().ready()
    ids = shop.submit("quick", map(float, range(3000)))
    chance = random.Random(7)
    for kill in range(1, 9):
        until(lambda k=kill: shop.redis.zcard("rq:finished:predict:quick") > 300 * k - 200, "some are done")
        os.kill(chance.choice(list(until(worker.scorers, "a scorer").values())), signal.SIGKILL)
    jobs = shop.ended(ids)
    assert {job.status for job in jobs} == {Status.SUCCEEDED}
    assert [job.output["predictions"][0] for job in jobs if job.output] == [2.0 * i for i in range(3000)]
    assert shop.each_has_one_result(ids)
    worker.ready()


def test_what_a_lost_worker_held_is_scored_by_another(shop: Workshop) -> None:
    first = shop.start("first", workers=1).ready(1)
    ids = shop.submit("slow", [1.0] * 3)
    shop.running(ids[0])
    shop.start("second", workers=1).ready(1)
    first.kill()
    assert {job.status for job in shop.ended(ids)} == {Status.SUCCEEDED}
    assert shop.each_has_one_result(ids)


def test_a_worker_that_comes_back_gives_back_what_it_held(shop: Workshop) -> None:
    first = shop.start("same", lease=5, workers=1).ready(1)
    (held,) = shop.submit("endless", [1.0])
    shop.running(held)
    first.kill()
    again = shop.start("same", lease=5, workers=1)
    until(
        lambda: shop.read(held)[0].status is Status.QUEUED or shop.redis.hget(f"rq:job:{held}", "deaths"), "given back"
    )
    again.ready(1)
    assert "has no lease" not in again.log
    assert list(again.scorers()) == [inc.decode() for inc in shop.redis.smembers("mg:incs")]


def test_a_worker_whose_name_is_in_use_takes_another(shop: Workshop) -> None:
    first = shop.start("same", workers=1).ready(1)
    (scorer,) = first.scorers()
    shop.start("same", workers=1)
    until(lambda: len(shop.redis.smembers("mg:incs")) == 2, "two workers")
    assert any(inc.startswith(b"same.") for inc in shop.redis.smembers("mg:incs"))
    assert list(first.scorers()) == [scorer]


def test_scorers_do_not_outlive_their_supervisor(shop: Workshop) -> None:
    worker = shop.start().ready()
    ids = shop.submit("endless", [1.0])
    shop.running(*ids)
    processes = worker.processes()
    worker.process.kill()
    worker.process.wait()
    until(lambda: not any(map(alive, processes)), "template and scorers are gone")
    assert shop.read(*ids)[0].status is Status.RUNNING


def test_scorers_go_on_without_their_template_and_there_is_a_new_one(shop: Workshop) -> None:
    worker = shop.start(workers=1).ready(1)
    template, before = worker.template(), worker.scorers()
    assert template
    os.kill(before[next(iter(before))], signal.SIGSTOP)
    template.kill()
    ids = shop.submit("quick", [1.0])
    os.kill(before[next(iter(before))], signal.SIGCONT)
    assert shop.ended(ids)[0].status is Status.SUCCEEDED
    assert shop.redis.xrange(f"rq:results:{ids[0]}")[0][1][b"worker_name"].decode() in before
    until(lambda: worker.scorers() and not worker.scorers().keys() & before.keys(), "a scorer of the new template")
    assert "scorers go on" in worker.log


def test_a_template_killed_while_it_loads_a_model_is_no_proof_against_the_model(tmp_path: Path) -> None:
    folder, trace = tmp_path / "models", tmp_path / "trace"
    trace.touch()  # so that it can be copied
    estimator = estimators.HangsWhenFirstLoaded(trace)
    write(folder, "quick", estimator)
    trace.unlink()
    with redis_server(tmp_path) as url, workshop(url, folder, tmp_path) as shop:
        worker = shop.start(workers=1)
        until(trace.exists, "the template loads it")
        template = worker.template()
        assert template
        template.kill()
        until(lambda: b"quick@1" in (shop.redis.get("mg:loaded:w") or b""), "scorers share it")


def test_a_scorer_that_does_not_end_when_it_is_told_to_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    write(folder, "quick", estimators.Slow(0))
    with redis_server(tmp_path) as url, workshop(url, folder, tmp_path) as shop:
        worker = shop.start(workers=1).ready(1)
        (stopped,) = worker.scorers().values()
        os.kill(stopped, signal.SIGSTOP)
        write_version(folder, "quick", estimators.Slow(0), numbers("a"), version=2, by_value=True)
        until(lambda: stopped not in worker.scorers().values() and worker.scorers(), "a scorer in its place")


def test_a_worker_that_was_stopped_beyond_its_lease_writes_nothing(shop: Workshop) -> None:
    stopped = shop.start("stopped", workers=1).ready(1)
    ids = shop.submit("slow", [1.0, 2.0])
    shop.running(ids[0])
    processes = stopped.processes()
    stopped.send(signal.SIGSTOP, processes)
    shop.start("other", workers=1)
    jobs = shop.ended(ids)
    ended = [job.completed_at for job in jobs]
    stopped.send(signal.SIGCONT, processes)
    until(lambda: [inc for inc in stopped.scorers().values() if inc not in processes], "a scorer in its place")
    assert [job.completed_at for job in shop.read(*ids)] == ended
    assert shop.each_has_one_result(ids)


# Being told to stop


def test_sigterm_finishes_what_is_held_and_takes_nothing_new(shop: Workshop) -> None:
    worker = shop.start(workers=1).ready(1)
    ids = shop.submit("slow", [1.0] * 4)
    shop.running(ids[0])
    processes = worker.processes()
    worker.process.terminate()
    assert worker.process.wait(30) == 0
    statuses = [job.status for job in shop.read(*ids)]
    assert statuses[0] is Status.SUCCEEDED
    assert statuses[-1] is Status.QUEUED
    assert Status.RUNNING not in statuses
    assert not any(map(alive, processes))
    assert not shop.redis.exists("mg:incs")


def test_what_is_not_finished_within_the_grace_is_given_back_without_a_death(shop: Workshop) -> None:
    worker = shop.start(workers=1, stop_grace=1).ready(1)
    ids = shop.submit("endless", [1.0])
    shop.running(*ids)
    worker.process.send_signal(signal.SIGINT)
    assert worker.process.wait(30) == 0
    assert shop.read(*ids)[0].status is Status.QUEUED
    assert shop.redis.hget(f"rq:job:{ids[0]}", "deaths") is None


# Redis


def test_a_restart_of_redis_in_the_middle_loses_nothing(tmp_path: Path, models: Path) -> None:
    with redis_server(tmp_path) as url, workshop(url, models, tmp_path, lease=2) as shop:
        worker = shop.start().ready()
        ids = shop.submit("quick", map(float, range(2000)))
        until(lambda: shop.redis.zcard("rq:finished:predict:quick") > 100, "some are done")
        shop.redis.shutdown(nosave=True)
        with redis_server(tmp_path):
            jobs = shop.ended(ids)
            assert {job.status for job in jobs} == {Status.SUCCEEDED}
            assert shop.each_has_one_result(ids)
            worker.ready()
            assert worker.log.count("lost Redis") <= 3 + worker.log.count("has Redis again")
            assert not any(shop.redis.hget(f"rq:job:{job_id}", "deaths") for job_id in ids)


# Models


def test_estimators_with_threads_predict_in_a_scorer(tmp_path: Path) -> None:
    X = np.random.default_rng(0).normal(size=(2000, 2))
    y = (X.sum(axis=1) > 0).astype(int)
    fitted = {
        "boosting": HistGradientBoostingClassifier(max_iter=20).fit(X, y),
        "neighbours": KNeighborsClassifier(n_jobs=2, algorithm="brute").fit(X, y),
        "means": KMeans(2, n_init=1, random_state=0).fit(X),
    }
    folder = tmp_path / "models"
    for name, estimator in fitted.items():
        output = Output(OutputKind.CLASS, labels=(0, 1), probabilities=name != "means")
        write_version(folder, name, estimator, numbers("a", "b"), output)
    with redis_server(tmp_path) as url, workshop(url, folder, tmp_path) as shop:
        worker = shop.start(predict_timeout=20, workers=1)
        rows = X[:300].tolist()
        shop.jobs.submit([PredictionJob(name, "2026-01-02T03:04:05.000006Z", name, 1, rows) for name in fitted])
        for job in shop.ended(fitted):
            assert job.output, job
            assert job.output["predictions"] == fitted[job.id].predict(X[:300]).tolist()
        (scorer,) = worker.scorers().values()
        assert len(os.listdir(f"/proc/{scorer}/task")) == 1


def test_a_new_version_gets_scorers_that_share_it_one_at_a_time(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    write(folder, "quick", estimators.Slow(0))
    with redis_server(tmp_path) as url, workshop(url, folder, tmp_path) as shop:
        worker = shop.start().ready()
        first = worker.scorers()
        write_version(folder, "quick", estimators.Slow(0), numbers("a"), version=2, by_value=True)
        jobs = shop.ended(shop.submit("quick", [1.0] * 20, version=2) + shop.submit("quick", [1.0] * 20, "old"))
        assert {job.status for job in jobs} == {Status.SUCCEEDED}
        seen = [set(first)]

        def replaced() -> bool:
            now = set(worker.scorers())
            if now != seen[-1]:
                seen.append(now)
            return len(now) == 2 and not now & set(first)

        until(replaced, "both scorers are new")
        assert all(now for now in seen), "there always was one"


@pytest.mark.parametrize("estimator", [estimators.AbortsWhenLoaded(0), estimators.StartsAThreadWhenLoaded(0)])
def test_a_model_that_harms_whoever_loads_it_harms_no_other(tmp_path: Path, estimator: estimators.Slow) -> None:
    folder = tmp_path / "models"
    write(folder, "harmful", estimator)
    write(folder, "quick", estimators.Slow(0))
    with redis_server(tmp_path) as url, workshop(url, folder, tmp_path) as shop:
        worker = shop.start(workers=1).ready(1)
        good, bad = shop.submit("quick", [1.0], "good"), shop.submit("harmful", [1.0], "bad")
        assert shop.ended(good)[0].status is Status.SUCCEEDED
        (job,) = shop.ended(bad)
        aborts = isinstance(estimator, estimators.AbortsWhenLoaded)
        assert (job.error.code if job.error else None) == ("worker_crashed" if aborts else None)
        said = "loading harmful@1 kills its process" if aborts else "loading harmful@1 starts threads"
        assert worker.log.count(said) == 1
        if not aborts:
            until(lambda: load_statuses(shop.redis, "harmful"), "the worker is heard")
            moved = promote(Settings(models_dir=folder), shop.redis, "harmful", 1, "canary")
            assert moved == f"moved though the worker w did not load it: {STARTS_THREADS}"


def test_a_version_that_is_mended_is_shared_again(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    write(folder, "quick", estimators.Slow(0))
    artifact = next((folder / "quick" / "versions" / "1").glob("model.*"))
    whole = artifact.read_bytes()
    artifact.write_bytes(whole[:-1])
    with redis_server(tmp_path) as url, workshop(url, folder, tmp_path) as shop:
        worker = shop.start().ready()
        until(lambda: "bytes instead of" in worker.log, "the template has tried it")
        artifact.write_bytes(whole)
        until(
            lambda: "quick@1" in load_statuses(shop.redis, "quick").get("w", LoadStatus()).loaded,
            "all scorers have it from the template",
        )
        assert worker.log.count("bytes instead of") == 1


def test_a_slow_model_leaves_one_scorer_free(shop: Workshop) -> None:
    shop.start(worker_models="slow,quick").ready()
    shop.ended(shop.submit("slow", [1.0], "warm"))
    slow = shop.submit("slow", [1.0] * 12, "slow")
    quick = [shop.submit("quick", [1.0], f"quick{i}-") for i in range(3)]
    shop.ended([job_id for ids in quick for job_id in ids])
    assert any(not job.status.final for job in shop.read(*slow)), "the quick ones did not wait for the slow ones"
    holders = [shop.redis.xrange(f"rq:results:{job.id}")[0][1][b"worker_name"] for job in shop.ended(slow)]
    assert sum(holder.startswith(b"w-0-") for holder in holders) <= 1


def test_a_worker_serves_only_the_models_it_is_told_to(shop: Workshop) -> None:
    worker = shop.start(workers=1, worker_models="quick, slow").ready(1)
    other = shop.submit("faulty", [1.0], "other")
    shop.ended(shop.submit("quick", [1.0]))
    assert shop.read(*other)[0].status is Status.QUEUED
    (inc,) = worker.scorers()
    assert shop.redis.hget(f"rq:worker:{inc}", "queues") == b"predict:quick,predict:slow"


def test_check_tells_whether_a_worker_of_this_host_is_alive(shop: Workshop) -> None:
    def check() -> int:
        command, environment = [sys.executable, "-m", "worker", "--check"], {**os.environ, "REDIS_URL": shop.url}
        return subprocess.run(command, cwd=PROJECT, env=environment, stderr=subprocess.DEVNULL).returncode

    assert check() == 1
    worker = shop.start(workers=1).ready(1)
    assert check() == 0
    worker.kill()
    until(lambda: check() == 1, "nobody is alive")
