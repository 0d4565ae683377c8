"""`python -m trainer` reports in one line what happened or what to do."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from redis import Redis

from broker.audit import AuditLog
from contract.repository import Repository
from tests.support import PROJECT
from tests.trainer.test_inbox import MODEL
from trainer import recipes
from trainer.__main__ import main

pytestmark = pytest.mark.usefixtures("own_signals", "unverified")


@pytest.fixture(autouse=True)
def settings(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELS_DIR", str(root))
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.delenv("TRAIN_ON_START", raising=False)


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_train_publishes_a_version_and_prints_it(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "sepals"]) == 0
    first, second = lines(capsys)
    assert first == "trainer: sepals: training on scikit-learn: iris, rows 34 and 37 as before 0.20 (150 rows)"
    assert second.startswith("trainer: sepals: version 1 published, accuracy 0.833, ")
    assert Repository(root).names() == ["sepals"]


def test_train_takes_a_file(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = "\n".join(f"{x},{x * x},{int(x > 10)}" for x in range(20))
    (tmp_path / "points.csv").write_text(f"FEATURE_1,FEATURE_2,CLASS\n{rows}\n")
    assert main(["train", "blobs", "--csv", str(tmp_path / "points.csv")]) == 0
    assert lines(capsys)[0] == "trainer: blobs: training on CSV file points.csv (20 rows)"
    manifest = (root / "blobs/versions/1/manifest.json").read_text()
    assert str(tmp_path) not in manifest
    assert Repository(root).manifest("blobs", 1).training_data.source == "CSV file points.csv"


def test_a_recipe_without_data_does_not_stop_the_others(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "boston.csv").write_text("CRIM,ZN\n1,2\n")
    assert main(["train", "boston", "blobs"]) == 1
    first, *_ = lines(capsys)
    assert first.startswith("trainer: boston: DATA_DIR/boston.csv: 'indus' is missing (and 11 more errors)")
    assert Repository(root).names() == ["blobs"]


def test_a_recipe_that_raises_is_reported_with_its_error_and_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "blobs.csv").write_text("feature_1,feature_2,class\n1,2,0\n3,4,0\n")
    assert main(["train", "blobs"]) == 1
    said = capsys.readouterr().out
    assert said.splitlines()[-1].startswith("trainer: blobs: training failed: ValueError: ")
    assert "recipes/blobs.py" in said


def test_an_unknown_recipe_gets_the_list_of_recipes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["train", "lone"])
    assert ended.value.code == 2
    assert "there is no recipe 'lone'; there are blobs" in (said := capsys.readouterr().err)
    assert all(name in said for name in recipes.names())


def test_any_csv_file_is_trained_when_its_target_is_named(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "\n".join(f"{x},{x % 9},{x * x},{'yes' if x > 20 else 'no'}" for x in range(40))
    (tmp_path / "my points.csv").write_text(f"Key,zip,b,stays\n{rows}\n")
    request = {"id_field": "key", "kinds": {"zip": "string"}, "parameters": {"estimator": "linear"}}
    more = ["--target", "stays", "--request", json.dumps({**request, "gate": {"floor": 2}})]
    assert main(["train", "churn", "--csv", str(tmp_path / "my points.csv"), *more]) == 0
    manifest = Repository(root).manifest("churn", 1)
    assert (manifest.recipe, manifest.training_data.target) == ("tabular", "stays")
    assert [(field.name, field.kind) for field in manifest.signature.inputs] == [("zip", "string"), ("b", "number")]
    assert (manifest.signature.id_field, manifest.parameters["estimator"]) == ("Key", "linear")
    assert Repository(root).aliases("churn") == {}
    assert "but not current: accuracy is" in lines(capsys)[-1]


def test_one_file_is_not_taken_for_two_recipes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["train", "iris", "loan", "--csv", "x.csv"])
    assert ended.value.code == 2
    assert "--csv and --request train one recipe" in capsys.readouterr().err


def test_an_unknown_name_in_train_on_start_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRAIN_ON_START", "loan,lone")
    assert main([]) == 2
    known = ", ".join(recipes.names())
    (line,) = lines(capsys)
    assert line.endswith(f" ERROR trainer: TRAIN_ON_START names lone, but the recipes are {known}")


@pytest.mark.parametrize("arguments", [[], ["train", "blobs"]])
def test_a_folder_that_cannot_be_written_is_reported_with_a_way_out(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Even root may make no folder there.
    monkeypatch.setenv("MODELS_DIR", "/proc/models")
    assert main(arguments) == 1
    said = lines(capsys)[-1]
    assert said.startswith("trainer: the model repository /proc/models cannot be written by the uid ")
    assert said.endswith("in docker compose set UID and GID in .env")


def test_help_and_names_are_quick_because_nothing_heavy_is_imported() -> None:
    code = (
        "import sys; from trainer import arguments, recipes; arguments.parsed(['train', 'iris'], None, recipes.names())"
    )
    code += "; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_help_says_where_training_data_come_from(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["train", "--help"])
    assert ended.value.code == 0
    assert "DATA_DIR/NAME.csv" in capsys.readouterr().out


def test_a_broken_setting_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PORT", "x")
    assert main([]) == 2
    assert lines(capsys) == ["trainer: PORT='x' is not a whole number"]


def test_a_metric_is_not_needed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("trainer.training.fitting.evaluate", lambda *_, **__: {})
    monkeypatch.setattr("trainer.training.fitting.cross_validate", lambda *_: None)
    assert main(["train", "blobs"]) == 0
    assert re.search(r"version 1 published, [\d.]+ s$", lines(capsys)[-1])


@pytest.mark.usefixtures("examined_here")
def test_commands_leave_entries_in_the_audit_log_where_there_is_a_redis(
    redis: Redis, redis_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", redis_url)
    file = tmp_path / "loan.pkl"
    file.write_bytes(MODEL)
    assert main(["import", str(file)]) == 0
    assert main(["train", "sepals"]) == 0
    found = AuditLog(redis, 1).page({}, 10, None).items
    assert [(item["action"], item["actor"], item["model"], item["version"], item["alias"]) for item in found] == [
        ("train", "command line", "sepals", 1, "current"),
        ("import", "command line", "loan", 1, "current"),
    ]
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1")
    assert main(["train", "sepals"]) == 0
    assert any("the audit log does not have this train" in line for line in lines(capsys))
