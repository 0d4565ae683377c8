"""Workers with VERIFY_KEY and PICKLE=deny, as processes of their own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from sklearn.ensemble import RandomForestClassifier

from contract.errors import ModelgateError
from contract.model.signature import Output, OutputKind
from contract.settings import Settings
from contract.work.jobs import Status
from tests.stacks.workers import worker_cluster
from tests.support import PROJECT, Bomb, Sum, numbers, until, write_version
from trainer.__main__ import main
from trainer.publishing.promotion import promote
from trainer.publishing.signing import make_keys


def test_a_worker_serves_signed_versions_and_no_pickles(
    redis: Any, redis_url: str, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private, public = make_keys(tmp_path / "keys")
    forest = RandomForestClassifier(10, n_jobs=2, random_state=0).fit([[0.0], [1.0]] * 20, [0, 1] * 20)
    output = Output(OutputKind.CLASS, labels=(0, 1), probabilities=True)
    write_version(models, "good", forest, numbers("a"), output, skops=True)
    write_version(models, "pickled", Bomb(tmp_path / "trace"), numbers("a"))
    monkeypatch.setenv("SIGNING_KEY", str(private))
    monkeypatch.setenv("MODELS_DIR", str(models))
    assert main(["sign", "--unsigned"]) == 0
    write_version(models, "unsigned", forest, numbers("a"), output, skops=True)
    with worker_cluster(redis_url, models, tmp_path) as cluster:
        worker = cluster.start(verify_key=public, pickle="deny").ready()
        jobs = {name: cluster.submit(name, [1.0], prefix=name)[0] for name in ("good", "pickled", "unsigned")}
        ended = dict(zip(jobs, cluster.ended(jobs.values()), strict=True))
        assert ended["good"].status is Status.SUCCEEDED, ended["good"].error
        assert {ended[name].error.code for name in ("pickled", "unsigned")} == {"not_trusted"}
        assert "PICKLE=deny" in ended["pickled"].error.message
        assert "is not signed" in ended["unsigned"].error.message
        assert not (tmp_path / "trace").exists()
        # The template had it, and could be forked: skops starts no threads.
        assert "starts threads" not in worker.log
        # What is signed later is served without a restart.
        settings = Settings(models_dir=models, redis_url=redis_url)
        with pytest.raises(ModelgateError, match="cannot load it: version 1 of the model 'unsigned' is not signed"):
            promote(settings, redis, "unsigned", 1, "canary")
        assert main(["sign", "--model", "unsigned", "--version", "1"]) == 0
        assert promote(settings, redis, "unsigned", 1, "canary") is None
        (job,) = cluster.ended(cluster.submit("unsigned", [1.0], prefix="later"))
        assert job.status is Status.SUCCEEDED, job.error


@pytest.mark.slow
def test_an_unreadable_key_is_named_in_the_log(redis: Any, redis_url: str, models: Path, tmp_path: Path) -> None:
    with worker_cluster(redis_url, models, tmp_path) as cluster:
        worker = cluster.start(verify_key=tmp_path / "key")
        until(lambda: f"worker: VERIFY_KEY={tmp_path}/key cannot be read" in worker.log, "the file's name in the log")
        assert worker.scorers() == {}


@pytest.mark.slow
def test_the_commands_of_the_page_work(tmp_path: Path) -> None:
    page = (PROJECT / "docs" / "how-to" / "sign-models.md").read_text()
    (tmp_path / ".venv").symlink_to(PROJECT / ".venv")
    write_version(tmp_path / "models", "iris", Sum(), numbers("a"))
    for name in ("loan.pkl", "rows.csv"):
        (tmp_path / name).write_text("what is signed is not read")
    environment = {k: v for k, v in os.environ.items() if k not in ("SIGNING_KEY", "VERIFY_KEY", "MODELS_DIR")}
    ran = []
    for block in re.findall(r"```console\n(.*?)```", page, re.DOTALL):
        command, _, answer = block.removeprefix("$ ").partition("\n")
        if command.startswith("openssl") and shutil.which("openssl") is None:
            continue
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=tmp_path,
            env={**environment, "PYTHONPATH": str(PROJECT)},
            capture_output=True,
            text=True,
        )
        assert (done.returncode, answer in done.stdout) == (0, True), (command, done.stdout, done.stderr)
        ran.append(command.split()[0])
    assert ran[:2] == [".venv/bin/python", "SIGNING_KEY=keys/signing.pem"]
    assert (tmp_path / "models/iris/versions/1/manifest.json.sig").exists()
