"""Processes are killed, stopped and restarted: every accepted job is scored and has one result."""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.neighbors import KNeighborsClassifier

from broker.state.load_status import CHANGES_PROCESS, LoadStatus, load_statuses
from broker.state.starts import StartReader
from contract.model.environments import TODAY
from contract.model.signature import Output, OutputKind
from contract.settings import Settings
from contract.work.jobs import PredictionJob, Status
from tests.flow import estimators
from tests.stacks.workers import WorkerCluster, worker_cluster
from tests.support import DEADLINE, PROJECT, alive, numbers, redis_server, until, write_version
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
def cluster(tmp_path: Path, models: Path) -> Iterator[WorkerCluster]:
    """With its own Redis, so that a worker that is still ending does not meet the next test's."""
    with redis_server(tmp_path) as url, worker_cluster(url, models, tmp_path, lease=2) as cluster:
        yield cluster


# What a row can do


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[WorkerCluster]:
    folder = tmp_path_factory.mktemp("faulty")
    with redis_server(folder) as url, worker_cluster(url, models, folder) as cluster:
        cluster.start(worker_models="faulty", predict_timeout=4, scorer_memory_mb=300).ready()
        cluster.ended(cluster.submit("faulty", [1.0] * 50, "warm"))
        yield cluster


@pytest.mark.parametrize(
    ("value", "code", "said"),
    [
        (estimators.ABORTS, "worker_crashed", "three times"),
        (estimators.ENDS, "worker_crashed", "three times"),
        (estimators.NEVER_RETURNS, "timeout", "scoring took longer than 4 s"),
        (
            estimators.EATS_MEMORY,
            "out_of_memory",
            "more memory than a scorer may have; send fewer rows, or raise SCORER_MEMORY_MB",
        ),
        (estimators.RAISES, "model_error", "raised ValueError: it hurts"),
    ],
)
def test_only_the_job_with_the_bad_row_fails(faulty: WorkerCluster, value: float, code: str, said: str) -> None:
    ids = faulty.submit("faulty", [1.0] * 5 + [value] + [1.0] * 6, code + str(value))
    jobs = faulty.ended(ids)
    bad = jobs.pop(5)
    assert bad.status is Status.FAILED
    assert bad.error is not None
    assert bad.error.code == code
    assert said in bad.error.message
    assert [job.output["predictions"] if job.output else job for job in jobs] == [[2.0]] * 11
    assert faulty.each_has_one_result(ids)


@pytest.mark.slow
def test_a_timeout_is_noticed_though_a_child_of_the_model_survives(faulty: WorkerCluster) -> None:
    (job,) = faulty.ended(faulty.submit("faulty", [estimators.LEAVES_A_CHILD], "leaves"), deadline=150)
    assert job.error is not None
    assert job.error.code == "timeout"
    (child,) = faulty.orphans()
    child.kill()


def test_a_model_can_terminate_its_own_children(faulty: WorkerCluster) -> None:
    (job,) = faulty.ended(faulty.submit("faulty", [estimators.ENDS_A_CHILD], "ends"))
    assert job.status is Status.SUCCEEDED


@pytest.mark.slow
def test_a_model_that_changes_the_working_directory_affects_no_other(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    write(folder, "faulty", estimators.Faulty())
    for version in (1, 2):
        write_version(folder, "quick", estimators.Slow(0), numbers("a"), version=version, by_value=True)
    with (
        redis_server(tmp_path) as url,
        worker_cluster(url, Path(os.path.relpath(folder, PROJECT)), tmp_path) as cluster,
    ):
        cluster.start(workers=1).ready(1)
        cluster.ended(cluster.submit("faulty", [estimators.GOES_ELSEWHERE], "elsewhere"))
        (job,) = cluster.ended(cluster.submit("quick", [1.0], version=1))
        assert job.status is Status.SUCCEEDED, job


# Processes that die


@pytest.mark.slow
def test_scorers_killed_at_random_moments_lose_no_job(cluster: WorkerCluster) -> None:
    worker = cluster.start().ready()
    ids = cluster.submit("quick", map(float, range(3000)))
    chance = random.Random(7)
    for kill in range(1, 9):
        until(lambda k=kill: cluster.finished("quick") > 300 * k - 200, "some are done")
        os.kill(chance.choice(list(until(worker.scorers, "a scorer").values())), signal.SIGKILL)
    jobs = cluster.ended(ids)
    assert {job.status for job in jobs} == {Status.SUCCEEDED}
    assert [job.output["predictions"][0] for job in jobs if job.output] == [2.0 * i for i in range(3000)]
    assert cluster.each_has_one_result(ids)
    worker.ready()


def test_a_scorer_that_dies_with_a_batch_that_it_was_handed_costs_its_jobs_nothing(cluster: WorkerCluster) -> None:
    worker = cluster.start(lease=60, stuck_after=60).ready()
    scorers = worker.scorers()

    def stopped_while_they_wait() -> bool:
        worker.send(signal.SIGSTOP, list(scorers.values()))
        if cluster.redis.zcard("mg:idle") == len(scorers):
            return True
        worker.send(signal.SIGCONT, list(scorers.values()))
        return False

    until(stopped_while_they_wait, "both wait for a batch")
    (handed,) = cluster.submit("quick", [1.0])
    assert cluster.read(handed)[0].status is Status.RUNNING
    holder = cluster.redis.hget(f"rq:job:{handed}", "worker_name").decode()
    os.kill(scorers[holder], signal.SIGKILL)
    until(lambda: holder not in worker.scorers(), "it is gone")
    worker.send(signal.SIGCONT, [pid for inc, pid in scorers.items() if inc != holder])
    assert cluster.ended([handed])[0].status is Status.SUCCEEDED
    assert cluster.each_has_one_result([handed])
    assert cluster.redis.hget("mg:counts:jobs", "deaths_total|scorers") is None


@pytest.mark.slow
def test_the_jobs_of_a_dead_worker_are_scored_by_another(cluster: WorkerCluster) -> None:
    first = cluster.start("first", workers=1).ready(1)
    ids = cluster.submit("slow", [1.0] * 3)
    cluster.running(ids[0])
    cluster.start("second", workers=1).ready(1)
    first.kill()
    assert {job.status for job in cluster.ended(ids)} == {Status.SUCCEEDED}
    assert cluster.each_has_one_result(ids)


@pytest.mark.slow
def test_a_restarted_worker_gives_back_the_jobs_it_held(cluster: WorkerCluster) -> None:
    first = cluster.start("same", lease=5, workers=1).ready(1)
    (held,) = cluster.submit("endless", [1.0])
    cluster.running(held)
    first.kill()
    again = cluster.start("same", lease=5, workers=1)
    until(
        lambda: cluster.read(held)[0].status is Status.QUEUED or cluster.redis.hget(f"rq:job:{held}", "deaths"),
        "given back",
    )
    again.ready(1)
    assert "has no lease" not in again.log
    assert list(again.scorers()) == [inc.decode() for inc in cluster.redis.smembers("mg:incs")]


@pytest.mark.slow
def test_a_worker_whose_name_is_in_use_takes_another(cluster: WorkerCluster) -> None:
    first = cluster.start("same", workers=1).ready(1)
    (scorer,) = first.scorers()
    cluster.start("same", workers=1)
    until(lambda: len(cluster.redis.smembers("mg:incs")) == 2, "two workers")
    assert any(inc.startswith(b"same.") for inc in cluster.redis.smembers("mg:incs"))
    assert list(first.scorers()) == [scorer]


def test_each_start_of_a_worker_stays_known(cluster: WorkerCluster) -> None:
    def starts() -> int:
        return [start[1:] for start in StartReader(cluster.redis).read()].count(("worker", "same"))

    for number in (1, 2):
        worker = cluster.start("same", workers=1)
        until(lambda number=number: starts() == number, "it says that it has started")
        worker.kill()
    assert starts() == 2


def test_scorers_do_not_outlive_their_supervisor(cluster: WorkerCluster) -> None:
    worker = cluster.start().ready()
    ids = cluster.submit("endless", [1.0])
    cluster.running(*ids)
    processes = worker.processes()
    worker.process.kill()
    worker.process.wait()
    until(lambda: not any(map(alive, processes)), "template and scorers are gone")
    assert cluster.read(*ids)[0].status is Status.RUNNING


@pytest.mark.slow
def test_scorers_go_on_without_their_template_until_it_is_restarted(cluster: WorkerCluster) -> None:
    worker = cluster.start(workers=1).ready(1)
    template, before = worker.template(), worker.scorers()
    assert template
    os.kill(before[next(iter(before))], signal.SIGSTOP)
    template.kill()
    ids = cluster.submit("quick", [1.0])
    os.kill(before[next(iter(before))], signal.SIGCONT)
    assert cluster.ended(ids)[0].status is Status.SUCCEEDED
    assert cluster.holder(ids[0]) in before
    until(lambda: worker.scorers() and not worker.scorers().keys() & before.keys(), "a scorer of the new template")
    assert "scorers go on" in worker.log


@pytest.mark.slow
def test_a_single_template_death_does_not_block_the_version_it_was_loading(tmp_path: Path) -> None:
    folder, trace = tmp_path / "models", tmp_path / "trace"
    trace.touch()  # so that it can be copied
    estimator = estimators.HangsWhenFirstLoaded(trace)
    write(folder, "quick", estimator)
    trace.unlink()
    with redis_server(tmp_path) as url, worker_cluster(url, folder, tmp_path) as cluster:
        worker = cluster.start(workers=1)
        until(trace.exists, "the template loads it")
        template = worker.template()
        assert template
        template.kill()
        until(lambda: b"quick@1" in (cluster.redis.get("mg:loaded:w") or b""), "scorers share it")


@pytest.mark.slow
def test_a_scorer_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    write(folder, "quick", estimators.Slow(0))
    with redis_server(tmp_path) as url, worker_cluster(url, folder, tmp_path) as cluster:
        worker = cluster.start(workers=1).ready(1)
        (stopped,) = worker.scorers().values()
        os.kill(stopped, signal.SIGSTOP)
        write_version(folder, "quick", estimators.Slow(0), numbers("a"), version=2, by_value=True)
        until(lambda: stopped not in worker.scorers().values() and worker.scorers(), "a scorer in its place")


@pytest.mark.slow
def test_a_worker_frozen_beyond_its_lease_writes_nothing(cluster: WorkerCluster) -> None:
    stopped = cluster.start("stopped", workers=1).ready(1)
    ids = cluster.submit("slow", [1.0, 2.0])
    cluster.running(ids[0])
    processes = stopped.processes()
    stopped.send(signal.SIGSTOP, processes)
    cluster.start("other", workers=1)
    jobs = cluster.ended(ids)
    ended = [job.completed_at for job in jobs]
    stopped.send(signal.SIGCONT, processes)
    until(lambda: [inc for inc in stopped.scorers().values() if inc not in processes], "a scorer in its place")
    assert [job.completed_at for job in cluster.read(*ids)] == ended
    assert cluster.each_has_one_result(ids)


# Being told to stop


def test_sigterm_finishes_held_jobs_and_takes_no_more(cluster: WorkerCluster) -> None:
    worker = cluster.start(workers=1).ready(1)
    ids = cluster.submit("slow", [1.0] * 100)
    cluster.running(ids[0])
    processes = worker.processes()
    worker.process.terminate()
    assert worker.process.wait(DEADLINE) == 0
    statuses = [job.status for job in cluster.read(*ids)]
    assert statuses[0] is Status.SUCCEEDED
    assert statuses[-1] is Status.QUEUED
    assert Status.RUNNING not in statuses
    assert not any(map(alive, processes))
    assert not cluster.redis.exists("mg:incs")


@pytest.mark.slow
def test_jobs_not_finished_within_stop_grace_are_given_back_without_a_death(cluster: WorkerCluster) -> None:
    worker = cluster.start(workers=1, stop_grace=1).ready(1)
    ids = cluster.submit("endless", [1.0])
    cluster.running(*ids)
    worker.process.send_signal(signal.SIGINT)
    assert worker.process.wait(30) == 0
    assert cluster.read(*ids)[0].status is Status.QUEUED
    assert cluster.redis.hget(f"rq:job:{ids[0]}", "deaths") is None


# Redis


@pytest.mark.slow
def test_a_restart_of_redis_loses_no_job(tmp_path: Path, models: Path) -> None:
    with redis_server(tmp_path) as url, worker_cluster(url, models, tmp_path, lease=2) as cluster:
        worker = cluster.start().ready()
        ids = cluster.submit("quick", map(float, range(2000)))
        until(lambda: cluster.finished("quick") > 100, "some are done")
        cluster.redis.shutdown(nosave=True)
        with redis_server(tmp_path):
            jobs = cluster.ended(ids)
            assert {job.status for job in jobs} == {Status.SUCCEEDED}
            assert cluster.each_has_one_result(ids)
            worker.ready()
            assert worker.log.count("lost Redis") <= 3 + worker.log.count("has Redis again")
            assert not any(cluster.redis.hget(f"rq:job:{job_id}", "deaths") for job_id in ids)


# Models


@pytest.mark.slow
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
    with redis_server(tmp_path) as url, worker_cluster(url, folder, tmp_path) as cluster:
        worker = cluster.start(predict_timeout=20, workers=1)
        rows = X[:300].tolist()
        cluster.jobs.submit([PredictionJob(name, "2026-01-02T03:04:05.000006Z", name, 1, rows) for name in fitted])
        for job in cluster.ended(fitted):
            assert job.output, job
            assert job.output["predictions"] == fitted[job.id].predict(X[:300]).tolist()
        # An outdated one may be replaced.
        (scorer,) = until(lambda: len(now := [*worker.scorers().values()]) == 1 and now, "one scorer")
        assert len(os.listdir(f"/proc/{scorer}/task")) == 1


@pytest.mark.slow
def test_a_new_version_gets_scorers_that_share_it_one_at_a_time(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    write(folder, "quick", estimators.Slow(0))
    with redis_server(tmp_path) as url, worker_cluster(url, folder, tmp_path) as cluster:
        worker = cluster.start().ready()
        first = worker.scorers()
        write_version(folder, "quick", estimators.Slow(0), numbers("a"), version=2, by_value=True)
        jobs = cluster.ended(
            cluster.submit("quick", [1.0] * 20, version=2) + cluster.submit("quick", [1.0] * 20, "old")
        )
        assert {job.status for job in jobs} == {Status.SUCCEEDED}
        seen = [set(first)]

        def replaced() -> bool:
            now = set(worker.scorers()) or set(worker.scorers())  # one may be replaced while they are read
            if now != seen[-1]:
                seen.append(now)
            return len(now) == 2 and not now & set(first)

        until(replaced, "both scorers are new")
        assert all(now for now in seen), "there always was one"


@pytest.mark.slow
def test_a_template_does_not_outlive_its_supervisor_for_what_a_library_does_at_the_end(tmp_path: Path) -> None:
    write(tmp_path / "models", "clinging", estimators.NeverLetsPythonEnd(0))
    with redis_server(tmp_path) as url, worker_cluster(url, tmp_path / "models", tmp_path) as cluster:
        worker = cluster.start().ready()
        template = worker.template()
        assert template is not None
        cluster.ended(cluster.submit("clinging", [1.0]))
        worker.process.kill()
        until(lambda: not alive(template.pid), "the template has ended")


@pytest.mark.slow
@pytest.mark.parametrize("estimator", [estimators.AbortsWhenLoaded(0), estimators.StartsAThreadWhenLoaded(0)])
def test_a_model_that_crashes_or_change_process_when_loaded_affects_no_other(
    tmp_path: Path, estimator: estimators.Slow
) -> None:
    folder = tmp_path / "models"
    write(folder, "harmful", estimator)
    write(folder, "quick", estimators.Slow(0))
    with redis_server(tmp_path) as url, worker_cluster(url, folder, tmp_path) as cluster:
        worker = cluster.start(workers=1).ready(1)
        good, bad = cluster.submit("quick", [1.0], "good"), cluster.submit("harmful", [1.0], "bad")
        assert cluster.ended(good)[0].status is Status.SUCCEEDED
        (job,) = cluster.ended(bad)
        aborts = isinstance(estimator, estimators.AbortsWhenLoaded)
        assert (job.error.code if job.error else None) == ("worker_crashed" if aborts else None)
        said = "loading harmful@1 kills its process" if aborts else f"harmful@1: {CHANGES_PROCESS}"
        assert worker.log.count(said) == 1
        if not aborts:
            until(lambda: load_statuses(cluster.redis, "harmful", TODAY), "the worker is heard")
            moved = promote(Settings(models_dir=folder), cluster.redis, "harmful", 1, "canary")
            assert moved == f"moved though the worker w did not load it: {CHANGES_PROCESS}"


@pytest.mark.slow
def test_a_repaired_version_is_shared_again(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    write(folder, "quick", estimators.Slow(0))
    artifact = next((folder / "quick" / "versions" / "1").glob("model.*"))
    whole = artifact.rename(tmp_path / "whole")
    artifact.write_bytes(whole.read_bytes()[:-1])
    with redis_server(tmp_path) as url, worker_cluster(url, folder, tmp_path) as cluster:
        worker = cluster.start().ready()
        until(lambda: "bytes instead of" in worker.log, "the template has tried it")
        whole.rename(artifact)  # at once, so that nobody sees half of it
        until(
            lambda: "quick@1" in load_statuses(cluster.redis, "quick", TODAY).get("w", LoadStatus()).loaded,
            "all scorers have it from the template",
        )
        assert worker.log.count("bytes instead of") == 1


@pytest.mark.slow
def test_a_slow_model_leaves_one_scorer_free(cluster: WorkerCluster) -> None:
    cluster.start(worker_models="slow,quick").ready()
    cluster.ended(cluster.submit("slow", [1.0], "warm"))
    until(lambda: cluster.redis.zscore("mg:slow", "slow"), "the supervisor knows that it is slow")
    slow = cluster.submit("slow", [1.0] * 12, "slow")
    quick = [cluster.submit("quick", [1.0], f"quick{i}-") for i in range(3)]
    cluster.ended([job_id for ids in quick for job_id in ids])
    assert any(not job.status.final for job in cluster.read(*slow)), "the quick ones did not wait for the slow ones"
    holders = Counter(cluster.holder(job.id) for job in cluster.ended(slow))
    assert len(holders) == 1 or min(holders.values()) == 1, "the other scorer has taken one job at most"


@pytest.mark.slow
def test_a_worker_serves_only_the_models_in_worker_models(cluster: WorkerCluster) -> None:
    worker = cluster.start(workers=1, worker_models="quick, slow").ready(1)
    other = cluster.submit("faulty", [1.0], "other")
    cluster.ended(cluster.submit("quick", [1.0]))
    assert cluster.read(*other)[0].status is Status.QUEUED
    (inc,) = worker.scorers()
    assert cluster.redis.hget(f"rq:worker:{inc}", "queues") == b"predict:quick,predict:slow"
