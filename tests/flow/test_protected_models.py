"""A protected model with a real gateway and trainer: a training asks, a second person approves, a kill harms none."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from modelgate import Client
from modelgate.errors import Forbidden

from broker.link.connection import connect
from broker.state.load_status import LoadStatus, LoadStatusPublisher
from contract.model.repository import Repository
from tests.flow.test_training import TrainingSite
from tests.stacks.gateways import Gateway
from tests.stacks.redis_process import RedisProcess
from tests.support import DEADLINE, PROJECT, command_line, until

ADMIN_KEY = "correct-horse-battery-staple-0123456789"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[TrainingSite]:
    (models := tmp_path / "models").mkdir()
    with RedisProcess(tmp_path) as server:
        settings = {"STATE_DIR": str(tmp_path), "WARMUP_TIMEOUT": "60", "ADMIN_KEY": ADMIN_KEY}
        gateway = Gateway(server.url, models, tmp_path / "gateway.log", settings)
        trainer = {"REDIS_URL": server.url, "MODELS_DIR": str(models), "TRAIN_ON_START": "none"}
        made = TrainingSite(server, gateway.start(), {**os.environ, **settings, **trainer}, tmp_path)
        try:
            made.start_trainer()
            yield made
        finally:
            if made.trainer:
                made.trainer.terminate()
                made.trainer.wait(60)
            gateway.stop()


@contextmanager
def worker(url: str, has_loaded: Callable[[], bool]) -> Iterator[None]:
    """Report a worker that has loaded version 2 of `blobs` once `has_loaded`."""
    ended = threading.Event()

    def run() -> None:
        with connect(url) as redis:
            said = LoadStatusPublisher(redis, ttl=DEADLINE)
            while not ended.wait(0.05):
                said.publish("w", LoadStatus(loaded=["blobs@1", "blobs@2"] if has_loaded() else ["blobs@1"]))
            said.withdraw("w")

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def run(site: TrainingSite, secret: str, *arguments: str) -> subprocess.Popen[str]:
    """Start the command with a key."""
    path = os.pathsep.join([str(PROJECT), str(PROJECT / "client/src")])
    known = {"PYTHONPATH": path, "MODELGATE_URL": site.gateway.address, "MODELGATE_API_KEY": secret}
    command = [sys.executable, "-m", "modelgate.command", *arguments]
    environment = {**site.environment, **known}
    return subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=-1, stderr=subprocess.STDOUT, text=True)


def said(command: subprocess.Popen[str]) -> str:
    return command.communicate(timeout=180)[0]


def _publishing(site: TrainingSite) -> psutil.Process | None:
    assert site.trainer
    children = psutil.Process(site.trainer.pid).children(recursive=True)
    return next((one for one in children if "trainer.jobs.runner publishing" in " ".join(command_line(one))), None)


@pytest.mark.slow
def test_a_second_person_approves_a_training_although_the_trainer_is_killed_meanwhile(site: TrainingSite) -> None:
    admin = Client(site.gateway.address, api_key=ADMIN_KEY)

    def key(name: str, *scopes: str) -> str:
        made = admin.request("POST", "/v1/keys", json={"name": name, "scopes": list(scopes)})
        return str(made["secret"])

    ann, ben = key("ann", "read", "train", "publish", "approve"), key("ben", "read", "approve")
    repository = Repository(site.folder / "models")
    assert "blobs@1 promoted" in said(run(site, ann, "train", "blobs"))
    assert said(run(site, ann, "protect", "blobs")) == "blobs is protected\n"
    trained = said(run(site, ann, "train", "blobs"))
    assert "blobs@2" in trained and "waits for a second person" in trained
    assert repository.aliases("blobs") == {"current": 1}
    (request,) = admin.model("blobs").promotions()
    assert (request["version"], request["asker"], request["ending"]) == (2, "a training of ann", None)
    with pytest.raises(Forbidden, match="another owner has to decide it"):
        Client(site.gateway.address, api_key=ann).model("blobs").approve(request["id"])
    asked = said(run(site, ann, "promote", "blobs@2", "--note", "a clean day", "--force"))
    assert asked.splitlines()[-1] == "blobs@2 waits for a second person, who runs: modelgate approve blobs"

    killed = threading.Event()
    with worker(site.server.url, killed.is_set):
        approval = run(site, ben, "approve", "blobs")
        with site.server.connect() as redis:
            until(lambda: b"blobs@2" in b" ".join(redis.zrange("mg:wanted", 0, -1)), "the trainer waits for the worker")
        victim = _publishing(site)
        assert victim
        victim.send_signal(signal.SIGKILL)
        victim.wait(30)
        assert repository.aliases("blobs") == {"current": 1}
        killed.set()
        assert said(approval) == "blobs@2 is current, as ann has asked\n", site.log
    assert repository.aliases("blobs") == {"current": 2, "previous": 1}
    newest, replaced = admin.model("blobs").promotions()
    assert (newest["ending"], newest["decided_by"], newest["note"]) == ("approved", "ben", "a clean day")
    assert replaced["ending"] == "replaced"
    assert said(run(site, ann, "rollback", "blobs")).endswith("blobs@1 is current\n")
