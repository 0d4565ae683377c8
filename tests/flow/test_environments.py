"""Pools of old releases beside today's: they sleep and wake, their processes die, their environments come and go; every
accepted job gets the answer of its version, and today's scorers notice nothing."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import pytest

from broker.state.load_status import load_statuses
from contract.errors import ModelgateError
from contract.model.environments import TODAY
from contract.model.repository import Repository
from runtime import health
from tests.flow import estimators
from tests.flow.audit import audit
from tests.flow.old_releases import (
    HOMES,
    OLD,
    Callers,
    Old,
    answer_of,
    answers,
    asleep,
    copy_environment,
    file_answers,
    old_site,
    pool_processes,
    post_file,
    say,
    with_environments,
    write,
)
from tests.stacks.environments import environment_for_tests
from tests.stacks.workers import worker_cluster
from tests.support import PROJECT, SOAK, alive, command_line, gone, redis_server, until
from trainer.publishing.promotion import promote, roll_back


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Old]:
    with old_site(tmp_path_factory.mktemp("old"), pool_idle=1, predict_timeout=5, scorer_memory_mb=400) as site:
        yield site


def test_no_request_fails_while_current_moves_between_environments(old: Old) -> None:
    _move_under_load(old, 6)


@pytest.mark.slow
def test_no_request_fails_in_a_thousand_moves(tmp_path: Path) -> None:
    with old_site(tmp_path, pool_idle=1) as old:
        _move_under_load(old, 1000 * SOAK)


def _move_under_load(old: Old, moves: int) -> None:
    """Move `current` from one environment to the other and back, `moves` times, while several callers ask."""
    durations = []
    with Callers(old.site.gateway.address) as callers:
        callers.more(5)
        for number in range(moves):
            began = time.monotonic()
            if number % 3 == 2:
                remark = roll_back(old.settings, old.cluster.redis, "quick")
            else:
                remark = old.move(3 - Repository(old.cluster.models).aliases("quick")["current"])
            durations.append(time.monotonic() - began)
            assert remark is None
            callers.more(5)
    wrong = [told for told in callers.told if not told.right(HOMES)]
    assert not wrong, wrong[:5]
    assert {version for _, version in callers.counts} == {1, 2}
    say(f"{moves} moves, {len(callers.told)} requests, {len(wrong)} failed or wrong, by version {callers.counts}")
    say(f"a move takes {median(durations):.2f} s, at most {max(durations):.2f} s")
    old.move(1)


# Sleep


@pytest.mark.slow
def test_jobs_files_and_promotions_wake_a_pool_that_sleeps(old: Old) -> None:
    asleep(old.worker)
    assert old.ask(3.0) == [answer_of(3.0, 2)]
    asleep(old.worker)
    assert old.move(2) is None
    asleep(old.worker)
    assert file_answers(old, post_file(old, 3)) == [answer_of(value, 2) for value in range(3)]
    assert old.move(1) is None


@pytest.mark.slow
def test_jobs_that_come_in_the_moment_of_falling_asleep_are_answered(old: Old) -> None:
    for _ in range(3):
        old.awake()
        before = old.scorer()
        assert before
        until(lambda p=before: not alive(p.pid), "the scorer has just ended")
        assert old.ask(1.0, 2.0) == [answer_of(1.0, 2), answer_of(2.0, 2)]


def test_light_traffic_keeps_a_pool_awake(old: Old) -> None:
    asleep(old.worker)  # a scorer that is about to end would answer, too
    old.awake()
    asked, longest = time.monotonic(), 0.0
    processes = {old.awake()}
    for value in range(8):
        until(lambda d=asked + 0.5: time.monotonic() > d, "half of POOL_IDLE is over")
        before, asked = asked, time.monotonic()
        assert old.ask(float(value)) == [answer_of(value, 2)]
        processes.add(until(old.scorer, "the pool has a scorer"))
        longest = max(longest, time.monotonic() - before)
    # It may have slept if a busy machine has made a pause longer than POOL_IDLE.
    assert len(processes) == 1 or longest > 1


def test_a_job_that_takes_longer_than_pool_idle_does_not_send_the_pool_to_sleep(old: Old) -> None:
    write(old.cluster.models, model="slow", seconds=1.3)
    old.awake()
    ids, templates = old.submit(1.0, 2.0, 3.0, model="slow", version=1), set[int]()
    old.cluster.ended(ids[:1])

    def look() -> bool:
        templates.update(process.pid for process in pool_processes(old.worker)[:1])
        return all(job.status.final for job in old.cluster.read(*ids))

    until(look, "all are scored")
    assert answers(old.cluster.read(*ids)) == [answer_of(value, 1) for value in (1.0, 2.0, 3.0)]
    assert len(templates) <= 1  # none after a long pause of the test


# Models that misbehave


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (estimators.POISON, "worker_crashed"),
        (estimators.HANGS, "timeout"),
        (estimators.EATS_MEMORY, "out_of_memory"),
    ],
)
def test_a_model_of_an_old_release_that_misbehaves_harms_neither_others_nor_todays_scorers(
    old: Old, value: float, code: str
) -> None:
    before = set(old.worker.scorers().items()) - {(inc, pid) for inc, pid in old.worker.scorers().items() if "~" in inc}
    bad, *good = old.submit(value, 1.0, 2.0)
    assert answers(old.cluster.ended(good)) == [answer_of(1.0, 2), answer_of(2.0, 2)]
    (job,) = old.cluster.ended([bad])
    assert job.error
    assert job.error.code == code
    assert old.ask(5.0, version=1) == [answer_of(5.0, 1, TODAY)]
    assert before <= set(old.worker.scorers().items())


# Health


def reasons(old: Old) -> list[str]:
    return [reason["detail"] for reason in old.site.gateway.get("/health/ready").json().get("reasons", [])]


@pytest.mark.slow
def test_a_worker_is_well_while_a_pool_sleeps_and_while_it_wakes(old: Old) -> None:
    asleep(old.worker)
    assert health.ask(old.worker.health_socket) == ""
    ids, said = old.submit(1.0), set()
    while not old.cluster.read(*ids)[0].status.final:
        said.add(health.ask(old.worker.health_socket))
    assert said == {""}
    assert not [detail for detail in reasons(old) if OLD in detail]


@pytest.mark.slow
def test_an_environment_that_does_not_start_is_named_and_leaves_the_worker_well(tmp_path: Path) -> None:
    copy_environment(tmp_path / "state", "broken")
    (tmp_path / "state/environments" / OLD / "bin/python").unlink()
    (tmp_path / "state/environments" / OLD / "bin/python").symlink_to("/bin/false")
    with old_site(tmp_path) as old:
        waiting = old.submit(1.0)
        until(lambda: f"the pool 'w~{OLD}' has made no progress" in " ".join(reasons(old)), "it is said")
        assert health.ask(old.worker.health_socket) == ""
        assert old.ask(1.0, version=1) == [answer_of(1.0, 1, TODAY)]
        copy_environment(tmp_path / "state", "mended")
        assert answers(old.cluster.ended(waiting)) == [answer_of(1.0, 2)]
        until(lambda: not [detail for detail in reasons(old) if OLD in detail], "all is well", 60)


# Traces


@pytest.mark.slow
def test_a_pool_without_opentelemetry_serves_without_traces(tmp_path: Path) -> None:
    with old_site(tmp_path, otel_exporter_otlp_endpoint="http://127.0.0.1:9", worker_models="quick") as old:
        assert old.ask(1.0) == [answer_of(1.0, 2)]
        assert old.worker.log.count(f"no traces of what {OLD} scores") == 1


# Environments that come and go


def remove_all(state: Path) -> None:
    (state / "environments").unlink()


def status_of_request(old: Old, version: int = 2) -> tuple[int, str]:
    posted = old.site.gateway.post(f"quick@{version}", {"a": 1.0}, wait=60)
    return posted.status_code, posted.json().get("code", "")


@pytest.mark.slow
def test_the_versions_of_a_removed_environment_get_503_until_it_is_back(tmp_path: Path) -> None:
    with old_site(tmp_path) as old:
        state = tmp_path / "state"
        old.awake()
        processes = pool_processes(old.worker)
        remove_all(state)
        until(lambda: gone(processes), "its processes have ended")
        waiting = old.submit(7.0)  # accepted: a worker served it a moment ago
        file = post_file(old, 3)
        until(lambda: not old.served(), "nobody serves it")
        assert status_of_request(old) == (503, "environment_not_served")
        assert status_of_request(old, 1)[0] == 200
        with pytest.raises(ModelgateError, match=f"`modelgate environment make {OLD}`"):
            old.move(2)
        assert not old.cluster.read(*waiting)[0].status.final
        with_environments(state)
        assert answers(old.cluster.ended(waiting)) == [answer_of(7.0, 2)]
        assert file_answers(old, file) == [answer_of(value, 2) for value in range(3)]
        assert status_of_request(old) == (200, "")
        assert old.move(2) is None


@pytest.mark.slow
def test_an_environment_is_made_anew_and_removed_under_load(tmp_path: Path) -> None:
    """The operator's command removes it; the load goes on."""
    state = tmp_path / "state"
    copy_environment(state, "first")
    with old_site(tmp_path) as old, Callers(old.site.gateway.address) as callers:
        old.move(2)
        callers.more(50)
        for number in range(3):
            before = old.awake()
            copy_environment(state, f"anew{number}")
            until(lambda p=before: not alive(p.pid), "a pool with the new one takes its place", 30)
            callers.more(20)
        command = [sys.executable, "-m", "launcher.environments", "remove", OLD, "--force"]
        variables = {"STATE_DIR": str(state), "MODELS_DIR": str(old.cluster.models)}
        subprocess.run(command, check=True, env={**os.environ, **variables}, cwd=PROJECT, capture_output=True)
        last = old.worker.log.count(f"environment {OLD}")
        until(lambda: not pool_processes(old.worker), "its processes have ended", 20)
        copy_environment(state, "back")
        until(lambda: old.worker.log.count(f"environment {OLD}") > last, "it is noticed", 20)
        callers.more(100)
    wrong = [told for told in callers.told if not told.right(HOMES)]
    assert not wrong, wrong[:5]
    assert callers.counts[200, 2] > 100


# Promotion


@pytest.mark.slow
def test_a_promotion_waits_for_those_workers_that_have_the_environment(tmp_path: Path) -> None:
    with old_site(tmp_path) as old:
        other = old.cluster.start("other", workers=1, state_dir=tmp_path / "nothing").ready(1)
        state = with_environments(tmp_path / "second")
        second = old.cluster.start("second", workers=1, state_dir=state).ready(1)
        elsewhere = old.cluster.start("elsewhere", workers=1, state_dir=state, worker_models="iris").ready(1)
        until(lambda: len(load_statuses(old.cluster.redis, "quick", OLD)) == 2, "both are heard")
        write(old.cluster.models, 3)
        assert old.move(3) is None
        loaded = {name: status.loaded for name, status in load_statuses(old.cluster.redis, "quick", OLD).items()}
        assert loaded.keys() == {f"w~{OLD}", f"second~{OLD}"}
        assert all("quick@3" in versions for versions in loaded.values())
        assert not pool_processes(other)
        assert not pool_processes(elsewhere)
        for worker in (old.worker, second):
            worker.kill()
        until(lambda: not load_statuses(old.cluster.redis, "quick", OLD), "none is left")
        write(old.cluster.models, 4)
        with pytest.raises(ModelgateError, match=f"no worker serves the environment '{OLD}'"):
            old.move(4)
        assert Repository(old.cluster.models).aliases("quick")["current"] == 3
        promote(old.settings, old.cluster.redis, "quick", 4, force=True)
        assert Repository(old.cluster.models).aliases("quick")["current"] == 4


@pytest.mark.slow
def test_a_pool_does_not_wake_for_models_that_its_worker_does_not_serve(tmp_path: Path) -> None:
    with old_site(tmp_path) as old:
        write(old.cluster.models, model="iris")
        mine: dict[str, Any] = {"workers": 1, "state_dir": tmp_path / "state", "worker_models": "iris", "pool_idle": 1}
        other = old.cluster.start("other", **mine).ready(1)
        until(lambda: len(load_statuses(old.cluster.redis, "iris", OLD)) == 2, "both are heard")
        old.worker.kill()
        waiting = old.submit(1.0)
        old.cluster.ended(old.submit(1.0, model="iris", version=1))
        asleep(other)
        assert not old.cluster.read(*waiting)[0].status.final


@pytest.mark.slow
def test_workers_of_one_name_have_pools_of_different_names(tmp_path: Path) -> None:
    with old_site(tmp_path) as old:
        twin = old.cluster.start("w", workers=1, state_dir=tmp_path / "state")
        until(lambda: len(load_statuses(old.cluster.redis, "quick", TODAY)) == 2, "both are heard")
        until(lambda: "serving versions" in twin.log, "it has pools")
        until(lambda: len(load_statuses(old.cluster.redis, "quick", OLD)) == 2, "both pools are heard", 20)


@pytest.mark.slow
def test_a_worker_that_cannot_prepare_its_environments_serves_todays_versions(tmp_path: Path) -> None:
    environment_for_tests(OLD)
    folder = tmp_path / "state" / "environments"
    folder.mkdir(parents=True)
    (folder / ".today").write_text("in the way of links")
    (folder / f".{OLD}.x").mkdir()
    shutil.copy(environment_for_tests(OLD).folder / "environment.json", folder / f".{OLD}.x")
    (folder / OLD).symlink_to(f".{OLD}.x")
    models = tmp_path / "models"
    write(models, 1, TODAY)
    with redis_server(tmp_path) as url, worker_cluster(url, models, tmp_path) as cluster:
        worker = cluster.start(workers=1, state_dir=tmp_path / "state").ready(1)
        until(lambda: "cannot serve the environments" in worker.log, "it says why")
        cluster.ended(cluster.submit("quick", [1.0]))
        assert worker.process.poll() is None


# Kills


def kill_something(old: Old, chance: random.Random) -> str:
    """Kill a process of the old pool, or the supervisor, which starts again as a process manager would have it."""
    target = chance.choice(["scorer", "template", "pool", "supervisor"])
    template, *scorers = pool_processes(old.worker) or [None]
    for process in {"scorer": scorers, "template": [template], "pool": [template, *scorers]}.get(target, ()):
        if process:
            with suppress(psutil.NoSuchProcess):
                process.kill()
    if target == "supervisor":
        old.worker.process.kill()
        old.worker.process.wait()
        old.worker = old.cluster.start(**old.options)
    return target


def left(old: Old) -> list[psutil.Process]:
    """Return the processes of pools whose supervisors have ended."""
    return [process for process in old.cluster.orphans() if "worker.template" in command_line(process)]


@pytest.mark.slow
def test_jobs_are_neither_lost_nor_answered_twice_whatever_is_killed(tmp_path: Path) -> None:
    """At any moment: also while the pool starts, and while it falls asleep."""
    chance, counts, ids, wanted = random.Random(3), Counter[str](), list[str](), list[float]()
    with old_site(tmp_path, pool_idle=1) as old:
        for number in range(30 * SOAK):
            values = [100.0 + number + part / 8 for part in range(5)]
            version = chance.choice([1, 2, 2])
            until(old.served, "jobs are accepted")
            ids += old.submit(*values, version=version, environment=HOMES[version])
            wanted += [answer_of(value, version, HOMES[version]) for value in values]
            moment = time.monotonic() + chance.choice([0.02, 0.3, 1.0, 2.5, 4.0]) * chance.random()
            until(lambda m=moment: time.monotonic() > m, "the moment has come")
            counts[kill_something(old, chance)] += 1
        ended = old.cluster.ended(ids)
        assert answers(ended) == wanted
        assert old.cluster.each_has_one_result(ids)
        assert audit(old.cluster.redis) == []
        asleep(old.worker)
        until(lambda: not left(old), f"nothing is left: {left(old)}", 20)
    say(f"{len(ids)} jobs, killed: {dict(counts)}")


@pytest.mark.slow
def test_a_restart_of_redis_loses_no_job_of_an_old_release(tmp_path: Path) -> None:
    with old_site(tmp_path, pool_idle=1) as old:
        ids = []
        for number in range(6):
            until(old.served, "jobs are accepted")
            ids += old.submit(*map(float, range(100, 150)))
            moment = time.monotonic() + 0.6 * number
            until(lambda m=moment: time.monotonic() > m, "the moment has come")
            old.site.server.kill() if number % 2 else old.site.server.stop()
            old.site.server.start()
        jobs = old.cluster.ended(ids)
        assert answers(jobs) == [answer_of(value, 2) for value in range(100, 150)] * 6
        assert old.cluster.each_has_one_result(ids)
        asleep(old.worker)


# What sleep leaves behind


def descriptors(process: psutil.Process) -> Counter[str]:
    """Return what a process has open, by kind."""
    kinds = Counter[str]()
    for link in Path(f"/proc/{process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            kinds[re.sub(r"[0-9]+", "", str(link.readlink()))] += 1
    return kinds


@pytest.mark.slow
def test_fifty_sleeps_leave_nothing_behind(tmp_path: Path) -> None:
    with old_site(tmp_path, pool_idle=1) as old:
        supervisor, seconds = psutil.Process(old.worker.process.pid), list[float]()
        at_rest, memory = descriptors(supervisor), 0
        for cycle in range(50 * SOAK):
            began = time.monotonic()
            assert old.ask(float(100 + cycle)) == [answer_of(100 + cycle, 2)]
            seconds.append(time.monotonic() - began)
            asleep(old.worker)
            memory = memory or supervisor.memory_info().rss
        until(lambda: descriptors(supervisor) == at_rest, f"{at_rest} is open, not {descriptors(supervisor)}", 10)
        more = (supervisor.memory_info().rss - memory) / 2**20
        say(f"{len(seconds)} sleeps: {at_rest.total()} open descriptors before and after, {more:.1f} MB more")
        say(f"first answer after {median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})")
        assert more < 3
        assert not left(old)
        assert median(seconds) < 5
