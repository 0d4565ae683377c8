"""A test that leaves a thread, a process or a socket behind fails."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.support import PROJECT

LEAVING = """
import socket, subprocess, threading
import pytest
from tests import leftovers

leftovers.DEADLINE = 0.2
kept = []
quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}

def stay():
    threading.Thread(target=threading.Event().wait, name="stays", daemon=True).start()

def test_thread():
    stay()

def test_process():
    kept.append(subprocess.Popen("cat", **quiet))

def test_process_whose_parent_has_ended():
    subprocess.run("setsid -f cat", shell=True, **quiet)

def test_socket():
    kept.append(socket.socket())

@pytest.fixture
def starts():
    stay()

def test_fixture(starts):
    pass

@pytest.fixture(scope="module")
def starts_once():
    stay()

def test_nothing(starts_once):
    pass

def test_nothing_either(starts_once):
    pass
"""
ENDING = """
import os, signal, socket, subprocess, threading
import pytest

def test_what_ends_later():
    threading.Timer(0.3, socket.socket().close).start()
    subprocess.Popen(["sleep", "0.3"])

@pytest.fixture
def ends():
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    yield
    stop.set()

def test_fixture(ends):
    pass

@pytest.fixture(scope="module")
def server():
    command = ["sh", "-c", "read line; sleep 100; true"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    with process, socket.socket():
        yield process
        os.killpg(process.pid, signal.SIGKILL)

def test_server_of_the_module(request):
    server = request.getfixturevalue("server")
    server.stdin.write(b"go on\\n")
    server.stdin.flush()
    while not open(f"/proc/{server.pid}/task/{server.pid}/children").read():
        pass
"""


def run(folder: Path, tests: str) -> str:
    """The report of pytest. `tests` have an input that is open until their end."""
    (folder / "test_it.py").write_text(tests)
    options = ["-p", "tests.leftovers", "-p", "no:cacheprovider", "-c", "/dev/null", "-s"]
    command = [sys.executable, "-m", "pytest", *options, "--rootdir", str(folder), str(folder)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=PROJECT, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout
        return process.stdout.read()


def test_a_thread_a_process_and_a_socket_that_stay_fail_their_test_and_no_other(tmp_path: Path) -> None:
    report = run(tmp_path, LEAVING)
    left = r"ERROR at teardown of test_(\w+) _*\nleft behind: (thread stays|process|socket)"
    assert re.findall(left, report) == [
        ("thread", "thread stays"),
        ("process", "process"),
        ("process_whose_parent_has_ended", "process"),
        ("socket", "socket"),
        ("fixture", "thread stays"),
        ("nothing_either", "thread stays"),
    ], report
    assert "7 passed, 6 errors" in report


def test_what_ends_soon_and_what_belongs_to_a_wider_fixture_fails_nothing(tmp_path: Path) -> None:
    report = run(tmp_path, ENDING)
    assert "3 passed" in report and "error" not in report, report
