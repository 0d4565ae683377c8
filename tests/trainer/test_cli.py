"""`python -m trainer` reports in one line what happened or what to do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from redis import Redis

from broker.access.audit_log import AuditLog
from tests.support import PROJECT
from tests.trainer.importing.test_inbox import MODEL
from trainer import recipes
from trainer.__main__ import main

pytestmark = pytest.mark.usefixtures("own_signals", "unverified")


@pytest.fixture(autouse=True)
def settings(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELS_DIR", str(root))
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.setenv("STATE_DIR", str(tmp_path))
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1")
    monkeypatch.delenv("TRAIN_ON_START", raising=False)


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_an_unknown_name_in_train_on_start_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRAIN_ON_START", "loan,lone")
    assert main([]) == 2
    known = ", ".join(recipes.names())
    (line,) = lines(capsys)
    assert line.endswith(f" ERROR trainer: TRAIN_ON_START names lone, but the recipes are {known}")


@pytest.mark.parametrize("arguments", [[], ["import", "loan.pkl"]])
def test_a_folder_that_cannot_be_written_is_reported_with_a_way_out(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Even root may make no folder there.
    monkeypatch.setenv("MODELS_DIR", "/proc/models")
    assert main(arguments) == 1
    said = lines(capsys)[-1]
    assert said.startswith("trainer: the model repository /proc/models cannot be written by the uid ")
    assert said.endswith("in docker compose set UID and GID in .env")


def test_help_is_quick_because_nothing_heavy_is_imported() -> None:
    code = "import sys; from trainer import __main__, arguments; arguments.parsed(['keys', 'folder'], None)"
    code += "; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("program", ["jobs.runner", "jobs.scheduler", "importing.inbox.inbox"])
def test_processes_that_load_no_model_import_nothing_heavy(program: str) -> None:
    code = f"import sys, trainer.{program}; print({{'numpy', 'joblib', 'pandas'}} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_broken_setting_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PORT", "x")
    assert main([]) == 2
    assert lines(capsys) == ["trainer: PORT='x' is not a whole number"]


@pytest.mark.usefixtures("examined_here")
def test_commands_leave_entries_in_the_audit_log_where_there_is_a_redis(
    redis: Redis, redis_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", redis_url)
    file = tmp_path / "loan.pkl"
    file.write_bytes(MODEL)
    assert main(["import", str(file)]) == 0
    entries = AuditLog(redis, 1).page({}, 10, None).items
    assert [(item["action"], item["actor"], item["model"], item["version"], item["alias"]) for item in entries] == [
        ("import", "command line", "loan", 1, "current"),
    ]
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1")
    assert main(["import", str(file)]) == 0
    assert any("the audit log does not have this import" in line for line in lines(capsys))
