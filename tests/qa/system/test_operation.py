"""Scaling, restarts and outages: accepted work is done, whatever is stopped in between."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import requests

from tests.qa.system.stack import Stack, until

IRIS = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}


@pytest.fixture(autouse=True)
def _put_back(stack: Stack) -> Iterator[None]:
    yield
    stack.up("--scale", "worker=1")


def _succeeded(stack: Stack, ids: list[str]) -> bool:
    return {job["status"] for job in stack.finished(ids)} == {"succeeded"}


def test_jobs_spread_over_scaled_workers(stack: Stack) -> None:
    stack.up("--scale", "worker=3")
    workers = [container["Id"] for container in stack.containers("worker")]
    assert len(workers) == 3
    body = stack.get("/v1/models/loan").json()["example"]
    before = [_cpu_seconds(stack, worker) for worker in workers]
    assert _succeeded(stack, stack.post_many("loan", [body] * 600))
    # A job does not record its worker, but scoring a forest takes processor time, and waiting takes almost none.
    used = [_cpu_seconds(stack, worker) - start for worker, start in zip(workers, before, strict=True)]
    assert min(used) > sum(used) / 20, f"seconds of CPU time by worker: {used}"


def _cpu_seconds(stack: Stack, container: str) -> float:
    """Return the processor time that the running processes of the container have used."""
    ticks = 0
    # One may end before its turn; then `cat` fails.
    for line in stack.execute(container, "sh", "-c", "cat /proc/[0-9]*/stat || true").splitlines():
        fields = line.rpartition(")")[2].split()  # the name before it may hold blanks
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def test_a_restarted_worker_loses_no_job(stack: Stack) -> None:
    ids = stack.post_many("iris", [IRIS] * 500)
    stack.compose("restart", "worker")
    assert _succeeded(stack, ids)


def test_queued_and_finished_jobs_survive_down_and_up(stack: Stack) -> None:
    finished = stack.post_many("iris", [IRIS])
    stack.finished(finished)
    stack.compose("stop", "worker")
    queued = stack.post_many("iris", [IRIS] * 50)
    stack.down()
    stack.up()
    assert stack.get(f"/v1/jobs/{finished[0]}").json()["status"] == "succeeded"
    assert _succeeded(stack, queued)


def test_without_a_worker_work_is_accepted_and_the_stack_says_that_it_waits(stack: Stack) -> None:
    stack.compose("stop", "worker")
    until(lambda: stack.get("/health/ready").json()["status"] == "degraded")
    response = stack.predict("iris", IRIS, wait=1)
    assert response.status_code == 202
    assert response.json()["status"] == "queued"
    stack.compose("start", "worker")
    assert _succeeded(stack, [response.json()["id"]])


def test_a_trainer_that_is_gone_is_named(stack: Stack) -> None:
    stack.compose("stop", "trainer")
    until(lambda: "missing_trainers" in stack.wrong(), 60)
    metrics = stack.get("/metrics").text
    assert 'modelgate_alive{kind="trainers"} 0.0' in metrics and 'modelgate_expected{kind="trainers"} 1.0' in metrics
    stack.compose("start", "trainer")
    until(lambda: "missing_trainers" not in stack.wrong())


def test_without_redis_the_gateway_lives_refuses_work_and_recovers(stack: Stack) -> None:
    stack.compose("stop", "redis")
    assert stack.get("/health/live").status_code == 200
    until(lambda: stack.get("/health/ready").status_code == 503)  # it may have been asked just before
    refused = stack.predict("iris", IRIS)
    assert refused.status_code == 503
    assert int(refused.headers["Retry-After"]) >= 1
    stack.compose("start", "redis")
    until(lambda: stack.get("/health/ready").json().get("status") == "ok")
    assert stack.prediction("iris", IRIS)["predictions"] == [0]


def test_no_container_is_unhealthy_because_of_redis(stack: Stack) -> None:
    def health(service: str) -> str:
        (container,) = stack.containers(service)
        return str(container["State"]["Health"]["Status"])

    (redis,) = stack.containers("redis")
    stack.execute(redis["Id"], "redis-cli", "config", "set", "maxmemory", "1")
    until(lambda: [r["code"] for r in stack.get("/health/ready").json().get("reasons", [])] == ["redis_full"])
    assert {health(service) for service in ("redis", "gateway", "worker", "trainer", "observer", "events")} == {
        "healthy"
    }
    stack.execute(redis["Id"], "redis-cli", "config", "set", "maxmemory", "1gb")
    until(lambda: stack.get("/health/ready").json()["status"] == "ok")
    stack.compose("stop", "redis")
    for service in ("worker", "trainer"):
        (container,) = stack.containers(service)
        sockets = (
            ["health"] if service == "worker" else [f"{name}.health" for name in ("scheduler", "training", "inbox")]
        )
        stack.execute(container["Id"], "python", "-m", "runtime.health", *(f"/tmp/{name}" for name in sockets))
    stack.compose("start", "redis")


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives the models to another user")
def test_another_uid_gets_all_volumes_and_goes_on(stack: Stack) -> None:
    """As after a first start without .env, and after a backup that was restored as another user."""

    def give_models_to(owner: int) -> None:
        for path in (stack.models_dir, *stack.models_dir.rglob("*")):
            os.chown(path, owner, owner)

    stack.compose("stop", "worker")
    rows = "sepal_length,sepal_width,petal_length,petal_width\n5.1,3.5,1.4,0.2\n"
    url, headers = f"{stack.url}/v1/models/iris/predict-file", {"Content-Type": "text/csv"}
    file = requests.post(url, data=rows, headers=headers, timeout=60).json()["id"]
    jobs = [file, *stack.post_many("iris", [IRIS])]
    give_models_to(1234)
    try:
        with stack.settings(UID=1234, GID=1234):
            stack.up()
            services = ("redis", "gateway", "worker", "trainer", "observer", "events")
            users = {stack.execute(stack.containers(name)[0]["Id"], "id", "-u").strip() for name in services}
            assert users == {"1234"}
            jobs.append(requests.post(f"{stack.url}/v1/models/iris/train", timeout=60).json()["id"])
            assert _succeeded(stack, jobs)
            give_models_to(stack.owner)
    finally:
        give_models_to(stack.owner)
    assert _succeeded(stack, jobs)


def test_root_is_refused_in_words(stack: Stack) -> None:
    with stack.changed(UID=0, GID=0), pytest.raises(AssertionError, match=r"UID=0 in \.env: .* do not run as root"):
        stack.compose("run", "--rm", "--no-deps", "owner")


def test_an_operator_looks_into_redis_with_rq(stack: Stack) -> None:
    stack.finished(stack.post_many("iris", [IRIS]))
    (trainer,) = stack.containers("trainer")
    command = 'rq info --raw --url "redis://trainer:$(cat /redis/password)@redis:6379"'
    assert "predict:iris" in stack.execute(trainer["Id"], "sh", "-c", command)
    (redis,) = stack.containers("redis")
    assert stack.execute(redis["Id"], "redis-cli", "acl", "log").strip() == ""


def test_a_worker_that_dies_is_started_again(stack: Stack) -> None:
    (worker,) = stack.containers("worker")
    # Its first process is the init that reaps orphans, which ends with what it started.
    stack.execute(worker["Id"], "sh", "-c", "kill -9 $(cat /proc/1/task/1/children)")
    until(lambda: stack.containers("worker") and stack.containers("worker")[0]["RestartCount"] > 0)
    assert stack.prediction("iris", IRIS)["predictions"] == [0]


def test_the_stack_stops_in_time_without_being_killed(stack: Stack) -> None:
    ids = {container["Id"] for container in stack.containers()}
    stack.compose("stop", timeout=120)
    killed = {
        container["Name"]: container["State"]["ExitCode"]
        for container in stack.inspect(*ids)
        if container["State"]["ExitCode"] == 137
    }
    assert killed == {}
