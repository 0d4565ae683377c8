"""Fixtures that many tests share: a real Redis, and an empty model repository."""

from __future__ import annotations

import functools
import gc
import logging
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from xdist.scheduler import LoadFileScheduling

from broker.link.connection import connect
from runtime import logs
from tests import leftovers, provoked
from tests.support import DEADLINE, redis_server

# A child forked beside a channel of gRPC restarts its threads, and crashes when it closes their files before `exec`.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"

collect_ignore = ["qa/clients"]  # they have an environment of their own: `make clients`


def pytest_configure(config: pytest.Config) -> None:
    """Prepare the process for tests."""
    config.pluginmanager.register(leftovers)  # hooks of a conftest are not called for fixtures of the session
    # A shell starts a background job with SIGINT ignored, and its children inherit that: tests of Ctrl-C would hang.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _own_log() -> Iterator[None]:
    """Puts the log back as it was: a command that a test runs in this process configures it for that test's output."""
    root = logging.getLogger()
    levels = {logger: logger.level for logger in (root, *map(logging.getLogger, logs.OURS))}
    yield
    if ours := [handler for handler in root.handlers if isinstance(handler.formatter, logs.TextLines | logs.JsonLines)]:
        for handler in ours:
            root.removeHandler(handler)
        for logger, level in levels.items():
            logger.setLevel(level)


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An own Redis; or the one that TEST_REDIS_URL names, to try another release. Its data is deleted!"""
    if "TEST_REDIS_URL" in os.environ:
        yield os.environ["TEST_REDIS_URL"]
        return
    with redis_server(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    """An empty Redis."""
    with connect(redis_url) as connection:
        connection.flushall()
        yield connection


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """An empty model repository."""
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


@pytest.fixture
def patient_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets who has a trainer or an observer do something wait for its beginning as long as a test waits."""
    monkeypatch.setattr("broker.state.waited_jobs.START_TIMEOUT", DEADLINE)


TESTS = Path(__file__).parent

SHARE_MAKE_UP = ("flow/test_make_up.py", "flow/test_nulls.py", "flow/test_tutorial.py")
"""The files that use the fixture `modelgate`, whose start takes many seconds."""

SLOWEST = (
    *SHARE_MAKE_UP,
    "trainer/importing/test_nulls.py",
    "flow/test_hanging_rows.py",
    "trainer/jobs/test_runner.py",
    "flow/test_faults.py",
    "flow/test_two_trainers.py",
    "trainer/jobs/test_train_on_start.py",
    "flow/test_redis_faults.py",
    "flow/test_health.py",
    "flow/test_training.py",
    "launcher/test_environments.py",
    "client/test_against_a_gateway.py",
    "client/test_unanswered.py",
    "flow",
    "qa/system/test_upgrades.py",
    "qa",
    "trainer",
    "gateway",
    "scoring",
    "client",
    "broker",
)
"""Files and folders by the seconds that they take (`--durations=0`), the longest first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, or one process would run the last of them alone."""
    slowest = {TESTS / name: rank for rank, name in enumerate(SLOWEST)}

    @functools.cache
    def rank(file: Path) -> int:
        return min(slowest.get(path, len(slowest)) for path in (file, *file.parents))

    items.sort(key=lambda item: rank(item.path))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Keep modules and tests out of each later garbage collection: going through them takes a sixth of the processor
    time."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """Let libraries free at the end what they report as leaked otherwise."""
    gc.unfreeze()


class _Scheduling(LoadFileScheduling):
    """Runs the files of `SHARE_MAKE_UP` in one process, and each other file in whichever is free."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "make up" if file.endswith(SHARE_MAKE_UP) else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    """Schedule by file, if that was asked for."""
    return _Scheduling(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run of all tests of the gateway in which a documented problem was not provoked."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["provoked"] = sorted(provoked.PROVOKED), sorted(provoked.FILES)
    elif not session.testsfailed and (missing := provoked.unprovoked()):
        sys.stderr.write(f"\nno test in tests/gateway provokes these of /openapi.json: {', '.join(missing)}\n")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what a worker of xdist has provoked."""
    problems, files = getattr(node, "workeroutput", {}).get("provoked", ((), ()))
    provoked.PROVOKED.update(problems)
    provoked.FILES.update(files)
