"""Processes that cannot be started are retried, and the others go on."""

from __future__ import annotations

import os
import select
import selectors
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from contract.settings import Settings
from tests.support import DEADLINE, until
from worker import process_pool
from worker.activity import ActivityTable
from worker.process_pool import ProcessPool
from worker.processes import Lifeline, TemplateProcess
from worker.template import Template


def refuse(*arguments: Any) -> Any:
    raise BlockingIOError("Resource temporarily unavailable")


def test_a_template_that_cannot_be_started_is_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []

    def start(*arguments: Any) -> TemplateProcess:
        started.append(arguments)
        return refuse() if len(started) < 3 else TemplateProcess(*arguments)

    monkeypatch.setattr(process_pool, "TemplateProcess", start)
    with selectors.DefaultSelector() as selector:
        pool = ProcessPool(1, selector)
        until(lambda: pool.maintain(None) or len(selector.get_map()) > 1, "a template")
        pool.close()
    assert len(started) == 3


@pytest.mark.slow
def test_a_template_that_is_stopped_while_it_starts_ends_with_exit_code_0() -> None:
    assert TemplateProcess(ActivityTable.create(1), {}).stop(grace=DEADLINE) == "exit code 0"


def test_a_scorer_whose_supervisor_is_gone_does_not_start() -> None:
    supervisor, scorer = socket.socketpair()
    supervisor.close()
    with scorer:
        assert not Lifeline(scorer).wait_for_start(0)


def test_a_scorer_whose_supervisor_ends_without_an_answer_does_not_start() -> None:
    supervisor, scorer = socket.socketpair()

    def end() -> None:
        select.select([supervisor], [], [])
        supervisor.close()

    with scorer:
        ending = threading.Thread(target=end)
        ending.start()
        assert not Lifeline(scorer).wait_for_start(0)
        ending.join()


@pytest.mark.slow
def test_a_failed_fork_closes_the_connection_and_keeps_the_template(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    control, theirs = socket.socketpair()
    supervisor, scorer = socket.socketpair()
    monkeypatch.setattr(os, "fork", refuse)
    with control, theirs, supervisor:
        template = Template(Settings(models_dir=tmp_path), theirs, ActivityTable.create(1), {})
        template._fork(0, "w-0-a", Lifeline(scorer))
        supervisor.settimeout(5)
        assert supervisor.recv(1) == b"", "the supervisor sees that there is none"
