"""An imported file becomes a version or is refused, and the process that unpickles it is not trusted."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import joblib
import numpy as np
import pandas as pd
import psutil
import pytest
from redis import Redis
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from contract.errors import Code, ModelgateError
from contract.model.repository import Repository
from contract.rows.background import BACKGROUND_FILE
from contract.settings import MB, Settings
from contract.work.training import RepositoryAction, RepositoryCommand
from scoring.artifacts import load
from scoring.predict import predict
from scoring.trust import Trust
from storage.models.repository_writer import STAGING, RepositoryWriter, StagedVersion
from tests.support import PROJECT, Sum, numbers, until, write_version
from tests.trainer.trainers import marked
from trainer.__main__ import main
from trainer.forks import EndedTask, forks_or_own
from trainer.importing import Refused, import_process
from trainer.importing.inbox import homes, imports
from trainer.importing.inbox.imports import import_file, import_upload, imported_before, model_name
from trainer.jobs.commands import HANDLERS, CommandParts
from trainer.publishing.publish import PublishRefused, verify

PICKLES = Path(__file__).parent / "pickles"
X, y = np.arange(40.0).reshape(20, 2), np.arange(20) // 10


@pytest.fixture
def settings(root: Path, tmp_path: Path) -> Settings:
    return Settings(models_dir=root, spool_dir=tmp_path, allow_upload="1")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.pkl"
    path.write_bytes(pickle.dumps(make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)))
    return path


def refusal(settings: Settings, file: Path, name: str = "mine", sample: Path | None = None) -> str:
    with pytest.raises(ModelgateError) as refused:
        import_file(settings, name, file, sample)
    assert refused.value.failure.code == Code.NOT_PUBLISHED
    assert "\n" not in str(refused.value)
    assert Repository(settings.models_dir).versions("mine") == []
    assert leftovers(settings) == []
    return str(refused.value)


def leftovers(settings: Settings) -> list[str]:
    staging = settings.models_dir / STAGING
    return [entry.name for entry in staging.iterdir() if entry.is_dir()] if staging.exists() else []


@pytest.mark.slow
def test_a_transformer_is_published_once_a_fresh_process_transforms_its_golden_rows_alike(
    settings: Settings, tmp_path: Path
) -> None:
    scaler = StandardScaler().fit(X)
    (tmp_path / "scaler.pkl").write_bytes(pickle.dumps(scaler))
    manifest = import_file(settings, "scaler", tmp_path / "scaler.pkl")
    assert (manifest.signature.outputs, manifest.golden.probabilities) == ((), None)
    answers = scaler.transform(np.array(manifest.golden.rows)).tolist()
    assert list(manifest.golden.predictions) == [dict(zip(("x0", "x1"), row, strict=True)) for row in answers]
    folder = Repository(settings.models_dir).files("scaler", 1).folder
    altered = json.loads((folder / "manifest.json").read_text())
    altered["golden"]["predictions"][0]["x1"] += 0.5
    (folder / "manifest.json").write_text(json.dumps(altered))
    with forks_or_own(None) as forks, pytest.raises(PublishRefused, match=r"golden row 0 gave \{'x0'"):
        verify(StagedVersion(folder), manifest, Trust(), forks)


def with_target(tmp_path: Path, estimator: Any, targets: list[Any], *more: str) -> tuple[Path, Path]:
    """A model fitted on the columns a and b, and a sample that has them, the target as `y`, and `more` columns."""
    table = pd.DataFrame(np.random.default_rng(0).normal(size=(len(targets), 2)), columns=["a", "b"])
    (tmp_path / "named.pkl").write_bytes(pickle.dumps(estimator.fit(table, targets)))
    table.assign(y=targets, **{name: range(len(table)) for name in more}).to_csv(tmp_path / "y.csv", index=False)
    return tmp_path / "named.pkl", tmp_path / "y.csv"


@pytest.mark.slow
def test_a_sample_with_the_target_gives_a_report_that_names_the_sample(settings: Settings, tmp_path: Path) -> None:
    file, sample = with_target(tmp_path, LogisticRegression(), [0, 1] * 30)
    sample.write_text(sample.read_text().replace(",1\n", ",1.0\n").replace(",0\n", ",\n", 1))
    manifest = import_file(settings, "mine", file, sample, notes="as the auditors asked")
    folder = Repository(settings.models_dir).files("mine", 1).folder / "report"
    facts = json.loads((folder / "report.json").read_text())
    assert manifest.metrics == {} and manifest.notes == "as the auditors asked"
    assert facts["tested"] == {"rows": 59, "held_out": False, "sample": True}
    loaded = load(manifest, Repository(settings.models_dir).files("mine", 1), Trust())
    rows = pd.read_csv(sample).dropna()
    assert facts["metrics"]["accuracy"] == pytest.approx(loaded.score(rows[["a", "b"]], rows["y"]), abs=1e-5)
    page = (folder / "report.html").read_text()
    assert "Measured on the sample." in page
    assert "on the 59 rows of its sample with the target 'y';" in facts["verdict"]
    assert not any("'y'" in warning for warning in manifest.warnings)
    assert facts["training_data"]["source"].startswith("not known")


@pytest.mark.usefixtures("examined_here", "unverified")
def test_a_regressor_is_measured_unless_two_columns_could_be_its_target(settings: Settings, tmp_path: Path) -> None:
    file, sample = with_target(tmp_path, LinearRegression(), [n % 7 + 0.5 for n in range(60)])
    import_file(settings, "mine", file, sample)
    facts = json.loads(Repository(settings.models_dir).files("mine", 1).report("report.json"))
    assert (facts["kind"], facts["target"]) == ("regression", "y")
    manifest = import_file(settings, "mine", *with_target(tmp_path, LinearRegression(), [0.5, 1.0] * 30, "z"))
    assert manifest.warnings[-1].startswith("it has no report: 'y', 'z' of the sample could each be")
    assert not Repository(settings.models_dir).files("mine", 2).has_report()


@pytest.mark.usefixtures("examined_here", "unverified")
def test_a_hundred_rows_of_the_sample_are_kept_to_explain_answers(settings: Settings, tmp_path: Path) -> None:
    file, sample = with_target(tmp_path, LogisticRegression(), [0, 1] * 80)
    import_file(settings, "mine", file, sample)
    kept = json.loads(Repository(settings.models_dir).files("mine", 1).report(BACKGROUND_FILE))
    known = pd.read_csv(sample)[["a", "b"]].astype(float).to_numpy().tolist()
    assert len(kept) == 100
    assert all(row in known for row in kept)
    import_file(settings, "bare", file)
    assert not Repository(settings.models_dir).files("bare", 1).has_report(BACKGROUND_FILE)


@pytest.mark.parametrize("background", [{"a": 1}, 3, [1], [["x", "y"]], [[1.0, 2.0]] * 101])
def test_rows_that_a_pickle_has_made_up_are_refused(settings: Settings, background: Any) -> None:
    manifest = write_version(settings.models_dir, "m", Sum(), numbers("a", "b"))
    answer = {"draft": manifest.draft().dumps(), "sha256": "", "libraries": {}, "background": background}
    ended = EndedTask(0, f"{json.dumps(answer)}\n".encode(), [])
    with pytest.raises(Refused, match="results in an invalid manifest"):
        import_process._result(ended)


@pytest.mark.parametrize("facts", [{"answers": 3}, {"answers": {}, "dependence": []}, {}])
def test_a_report_with_invalid_facts_is_left_out(facts: dict[str, Any]) -> None:
    assert imports.drawn_report(facts) is None


def test_a_file_is_published_byte_by_byte_and_serves(settings: Settings, file: Path, tmp_path: Path) -> None:
    sample = tmp_path / "rows.csv"
    sample.write_text("a,b\n1,2\n38,39\n")
    published = import_file(settings, "mine", file, sample)
    repository = Repository(settings.models_dir)
    manifest = repository.manifest("mine", 1)
    assert manifest == published
    assert manifest.recipe == imports.RECIPE
    assert manifest.training_data.source == "not known; imported: a Pipeline, from mine.pkl"
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert (manifest.artifact.sha256, manifest.training_data.fingerprint) == (digest, digest)
    estimator = load(manifest, repository.files("mine", 1), Trust())
    assert predict(estimator, manifest, [(1.0, 2.0), (38.0, 39.0)]).values == [0, 1]
    assert leftovers(settings) == []
    assert file.exists()


@pytest.mark.usefixtures("examined_here", "unverified")
def test_only_the_model_in_a_dict_is_published(settings: Settings, tmp_path: Path) -> None:
    saved = {"model": LogisticRegression().fit(X, y), "columns": ["a", "b"]}
    (tmp_path / "dict.joblib").write_bytes(pickle.dumps(saved))
    manifest = import_file(settings, "mine", tmp_path / "dict.joblib")
    assert manifest.signature.names == ("a", "b")
    artifact = settings.models_dir / "mine/versions/1" / manifest.artifact.file
    assert isinstance(joblib.load(artifact), LogisticRegression)
    assert imported_before(RepositoryWriter(settings.models_dir), "mine", tmp_path / "dict.joblib", after=0) == manifest
    assert imported_before(RepositoryWriter(settings.models_dir), "mine", tmp_path / "dict.joblib", after=1) is None


class Trap:
    """Calls `what` when it is unpickled."""

    def __init__(self, what: Callable[..., object], *arguments: Any) -> None:
        self.reduced = what, arguments

    def __reduce__(self) -> Any:
        return self.reduced


def trapped(tmp_path: Path, what: Callable[..., object], *arguments: Any) -> Path:
    path = tmp_path / "trap.pkl"
    path.write_bytes(pickle.dumps(Trap(what, *arguments)))
    return path


def test_the_process_that_unpickles_leaves_no_process_behind_in_any_session(settings: Settings, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    code = f"""
import os, subprocess, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        write = "import os,sys,time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(600)"
        subprocess.Popen([sys.executable, "-c", write, {str(trace)!r}], start_new_session=True)
    os._exit(0)
while not os.path.exists({str(trace)!r}):
    time.sleep(0.01)
"""
    refusal(settings, trapped(tmp_path, exec, code))
    assert int(trace.read_text())
    assert marked(trace) == []


POWERLESS = """
import ctypes, os, sys
libc, noroot = ctypes.CDLL(None), 0x2F
libc.prctl(28, noroot, 0, 0, 0)  # SECUREBITS: no capabilities because of being root
libc.capset((ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)())
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
"""Runs Python with the rights of any user: root may read every process."""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")
def test_the_process_that_unpickles_finds_no_secret_in_its_environment_or_the_trainers(
    settings: Settings, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    code = f"""
import json, os
seen, pid = [dict(os.environ)], os.getpid()
for _ in range(4):
    try:
        seen.append(open(f"/proc/{{pid}}/environ").read())
    except PermissionError:
        seen.append("hidden")
    pid = int(open(f"/proc/{{pid}}/stat").read().rpartition(")")[2].split()[1])
open({str(trace)!r}, "w").write(json.dumps(seen))
"""
    environment = {
        **os.environ,
        "MODELS_DIR": str(settings.models_dir),
        "REDIS_URL": "redis://:hunter2@h",
        "A": "hunter2",
    }
    command = ["-m", "trainer", "import", str(trapped(tmp_path, exec, code)), "--name", "mine"]
    powerless = [sys.executable, "-c", POWERLESS, *command]
    subprocess.run(powerless, cwd=PROJECT, env={**environment, "LC_TIME": "C"}, check=False)
    environment_there, *seen = json.loads(trace.read_text())
    assert environment_there["LC_TIME"] == "C" and environment_there["OMP_NUM_THREADS"] == "1"
    assert "hunter2" not in trace.read_text()
    assert seen[1:] == ["hidden"] * 3, "the template, its reaper and the trainer"


@pytest.mark.usefixtures("examined_here")
def test_other_bytes_than_were_checked_are_not_unpickled(
    settings: Settings, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trap = trapped(tmp_path, os.mkdir, str(tmp_path / "trace"))
    examine = homes.examine_in_process

    def altered(folder: Path, task: Any, forks: Any) -> Any:
        (folder / "file").write_bytes(trap.read_bytes())
        return examine(folder, task, forks)

    monkeypatch.setattr(homes, "examine_in_process", altered)
    assert refusal(settings, file).startswith("mine.pkl was altered during the import")
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("rows", [b"a,b\n1,2\n", None])
@pytest.mark.usefixtures("examined_here")
def test_another_sample_than_was_checked_is_not_used(
    settings: Settings, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: bytes | None
) -> None:
    sample = tmp_path / "sample.csv"
    sample.write_bytes(rows or b"")
    examine = homes.examine_in_process

    def altered(folder: Path, task: Any, forks: Any) -> Any:
        (folder / "sample.csv").write_bytes(b"x,y\n1,2\n")
        return examine(folder, task, forks)

    monkeypatch.setattr(homes, "examine_in_process", altered)
    if rows:
        assert refusal(settings, file, sample=sample).startswith("mine.pkl was altered during the import")
    else:
        assert "x" not in import_file(settings, "mine", file).signature.names


@pytest.mark.parametrize(
    ("what", "arguments", "said"),
    [
        (os._exit, (3,), "ends the process that reads it (exit code 3)"),
        (os.kill, (0, signal.SIGKILL), "most likely because memory ran out"),
        (signal.raise_signal, (signal.SIGSEGV,), "crashes the process that reads it (SIGSEGV)"),
        (bytearray, (3_000_000_000,), "needs more than the 500 MB that a scorer may take (SCORER_MEMORY_MB)"),
    ],
    ids=["exit", "kill", "segfault", "memory"],
)
def test_a_file_that_kills_the_process_that_reads_it_is_refused_with_the_cause(
    settings: Settings, tmp_path: Path, what: Callable[..., object], arguments: tuple[Any, ...], said: str
) -> None:
    settings = dataclasses.replace(settings, scorer_memory_mb=500)
    assert said in refusal(settings, trapped(tmp_path, what, *arguments))


def test_a_file_that_takes_too_long_is_refused(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "CHECK_TIMEOUT", 1)
    assert "takes more than 1 s to load" in refusal(settings, trapped(tmp_path, time.sleep, 600))


def test_a_file_cannot_answer_with_a_manifest_of_its_own_making(settings: Settings, tmp_path: Path) -> None:
    code = """
import os
for entry in os.listdir("/proc/self/fd"):
    try:
        os.write(int(entry), b'{"draft": "{}"}\\n')
    except OSError:
        pass
os._exit(0)
"""
    assert "results in an invalid manifest" in refusal(settings, trapped(tmp_path, exec, code))


def test_a_pipe_or_folder_is_refused_without_opening_it(settings: Settings, tmp_path: Path, file: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pkl")
    (tmp_path / "folder.pkl").mkdir()
    (tmp_path / "link.pkl").symlink_to(file)
    assert "is not a file" in refusal(settings, tmp_path / "pipe.pkl")
    assert "is not a file" in refusal(settings, tmp_path / "folder.pkl")
    assert "is a symbolic link; put the file itself there" in refusal(settings, tmp_path / "link.pkl")
    assert refusal(settings, tmp_path / "nothing.pkl") == "nothing.pkl does not exist; check its path"
    assert "mine.pkl has a sample that does not exist" in refusal(settings, file, sample=tmp_path / "nothing.csv")
    assert "has a sample that is a symbolic link" in refusal(settings, file, sample=tmp_path / "link.pkl")


def test_a_file_that_is_too_large_is_refused_before_it_is_read(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "huge.pkl"
    settings = dataclasses.replace(settings, model_cache_mb=1)
    path.write_bytes(b"?" * MB)
    assert "larger" not in refusal(settings, path)
    path.write_bytes(b"?" * (MB + 1))
    assert refusal(settings, path) == "huge.pkl is larger than 1 MB (MODEL_CACHE_MB); make it smaller, or raise that"


def test_pickles_are_refused_under_pickle_deny(settings: Settings, file: Path) -> None:
    said = refusal(dataclasses.replace(settings, pickle="deny"), file)
    assert said == "mine.pkl is a pickle, and PICKLE=deny takes only skops files; save the model with skops.io.dump"


@pytest.mark.parametrize("name", ["", "Mine", "inbox", "../x", "a" * 65])
def test_a_name_that_no_model_can_have_is_refused(settings: Settings, file: Path, name: str) -> None:
    assert refusal(settings, file, name).startswith(
        f"mine.pkl cannot become the model {name[:64]!r}: a name has up to 64"
    )


def test_a_model_that_a_fresh_process_cannot_use_is_refused(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Fickle:
        """Predicts differently in each process."""

        n_features_in_ = 1

        def predict(self, matrix: Any) -> Any:
            import os

            return matrix[:, 0] * 0 + os.getpid()

    path = tmp_path / "fickle.pkl"
    path.write_bytes(cloudpickle.dumps(Fickle()))
    assert "golden row 0 gave" in refusal(settings, path)


def test_a_file_name_becomes_a_model_name() -> None:
    names = {"loan.pkl": "loan", "Loan Model v2.1.JOBLIB": "loan_model_v2_1", "_x-.pkl.gz": "x", "prêt": "pr_t"}
    assert {name: model_name(name) for name in names} == names
    for name in ("   .pkl", "Inbox.pkl", "x" * 65, "日本.pkl"):
        with pytest.raises(Refused, match="has a name that no model can have"):
            model_name(name)


def test_sweeping_spares_running_imports(settings: Settings) -> None:
    with RepositoryWriter(settings.models_dir).import_folder() as folder:
        RepositoryWriter(settings.models_dir).sweep()
        assert folder.exists()
        abandoned = folder.with_name("inbox-0000")
        abandoned.mkdir()
    RepositoryWriter(settings.models_dir).sweep()
    assert leftovers(settings) == []


@pytest.mark.usefixtures("examined_here", "unverified")
def test_a_command_publishes_promotes_and_removes_the_upload(settings: Settings, tmp_path: Path, redis: Redis) -> None:
    upload, sample = tmp_path / "u1", tmp_path / "u2"
    upload.write_bytes((PICKLES / "logistic-1.6.1.pkl").read_bytes())
    answers = "0,0.9999999999655762,3.4423812684997486e-11"
    sample.write_text(f"a,b,prediction,probability_0,probability_1\n0,0,{answers}\n")
    answer = HANDLERS[RepositoryAction.IMPORT](
        CommandParts(settings, redis),
        RepositoryCommand(RepositoryAction.IMPORT, "mine", upload="u1", sample="u2"),
    )
    assert json.dumps(answer)
    warning, remark = answer.pop("warnings")
    made = {"name": "mine", "version": 1, "versions": [1], "aliases": {"current": 1}}
    assert answer == {**made, "promoted": True, "reason": None, "verdict": ""}
    assert warning.startswith("it was made with scikit-learn 1.6.1")
    assert remark == "moved at once: no worker is alive that serves this model"
    assert not upload.exists() and not sample.exists()


@pytest.mark.usefixtures("examined_here", "unverified")
def test_a_command_publishes_a_guess_at_inputs_of_ones_own_code_without_an_alias(
    settings: Settings, tmp_path: Path, redis: Redis
) -> None:
    frame = pd.DataFrame({"city": ["Bern", "Genf"] * 10})
    lengths = FunctionTransformer(lambda table: np.c_[table["city"].astype(str).str.len()])
    (tmp_path / "u1").write_bytes(cloudpickle.dumps(make_pipeline(lengths, LogisticRegression()).fit(frame, y)))
    answer = HANDLERS[RepositoryAction.IMPORT](
        CommandParts(settings, redis), RepositoryCommand(RepositoryAction.IMPORT, "mine", upload="u1")
    )
    assert (answer["version"], answer["aliases"]) == (1, {})
    assert answer["warnings"][-1].startswith("it is published, but not current: the kinds that its own code reads are")
    assert answer["warnings"][-1].endswith("modelgate promote mine@1")


@pytest.mark.usefixtures("examined_here", "unverified")
def test_a_command_publishes_a_model_that_keeps_earlier_requests_as_a_question(
    settings: Settings, tmp_path: Path, redis: Redis
) -> None:
    lines = ("def first(X, kept={}):", "kept.setdefault('mean', X.mean())", "return X - kept['mean']")
    exec("\n    ".join(lines), scope := {"__name__": "notebook"})
    model = make_pipeline(FunctionTransformer(scope["first"]), LinearRegression()).fit(X, y)
    scope["first"].__defaults__[0].clear()  # fitting has called it
    (tmp_path / "u1").write_bytes(cloudpickle.dumps(model))
    answer = HANDLERS[RepositoryAction.IMPORT](
        CommandParts(settings, redis), RepositoryCommand(RepositoryAction.IMPORT, "mine", upload="u1")
    )
    assert (answer["version"], answer["aliases"]) == (1, {})
    assert "do what its warnings ask for" in answer["warnings"][-1]


@pytest.mark.usefixtures("examined_here", "unverified")
def test_a_command_publishes_what_lies_beside_a_model_as_a_question(
    settings: Settings, tmp_path: Path, redis: Redis
) -> None:
    (tmp_path / "u1").write_bytes(pickle.dumps({"model": LinearRegression().fit(X, y), "target_transform": "log1p"}))
    answer = HANDLERS[RepositoryAction.IMPORT](
        CommandParts(settings, redis), RepositoryCommand(RepositoryAction.IMPORT, "mine", upload="u1")
    )
    assert (answer["version"], answer["aliases"]) == (1, {})
    assert "its answers rest on a guess; do what its warnings ask for" in answer["warnings"][-1]
    assert answer["warnings"][-1].endswith("or if the guess is right: modelgate promote mine@1")


@pytest.mark.slow
@pytest.mark.usefixtures("unverified")
def test_a_command_names_the_target_of_its_sample(settings: Settings, tmp_path: Path, redis: Redis) -> None:
    (tmp_path / "u1").write_bytes(pickle.dumps(LinearRegression().fit(X, y)))
    (tmp_path / "u2").write_text("a,gain,b\n1,2,3\n4,5,6\n")
    command = RepositoryCommand(RepositoryAction.IMPORT, "mine", upload="u1", sample="u2", target="gain")
    assert HANDLERS[RepositoryAction.IMPORT](CommandParts(settings, redis), command)["promoted"]
    assert Repository(settings.models_dir).manifest("mine", 1).signature.names == ("a", "b")


def test_a_command_imports_nothing_while_uploads_are_off(settings: Settings, file: Path, redis: Redis) -> None:
    off = dataclasses.replace(settings, allow_upload="0")
    with pytest.raises(ModelgateError, match="its ALLOW_UPLOAD is off; set it to 1 for gateway and trainer"):
        HANDLERS[RepositoryAction.IMPORT](
            CommandParts(off, redis), RepositoryCommand(RepositoryAction.IMPORT, "mine", upload=file.name)
        )
    assert leftovers(settings) == [] and Repository(settings.models_dir).versions("mine") == []


def test_a_command_that_fails_removes_the_upload(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "u1").write_bytes(b"<html>")
    with pytest.raises(ModelgateError, match="the file that was sent is an HTML page"):
        import_upload(settings, RepositoryCommand(RepositoryAction.IMPORT, "mine", upload="u1"))
    assert not (tmp_path / "u1").exists()


def test_a_refused_upload_is_called_by_its_original_name(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "u1").write_bytes(b"<html>")
    with pytest.raises(ModelgateError, match=r"^loan\.pkl is an HTML page"):
        import_upload(settings, RepositoryCommand(RepositoryAction.IMPORT, "mine", upload="u1", upload_name="loan.pkl"))


@pytest.mark.parametrize("upload", [None, "", "../mine.pkl", "/etc/passwd", ".hidden"])
def test_a_command_reads_nothing_outside_of_the_spool(settings: Settings, file: Path, upload: str | None) -> None:
    with pytest.raises(ModelgateError, match=r"is not a file of SPOOL_DIR"):
        import_upload(settings, RepositoryCommand(RepositoryAction.IMPORT, "mine", upload=upload))
    assert file.exists()


def test_a_publisher_that_is_killed_leaves_no_process_that_reads_the_file(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = tmp_path / "trace"
    code = f"import os,time; open({str(trace)!r},'w').write(str(os.getpid())); time.sleep(600)"
    environment = {**os.environ, "MODELS_DIR": str(settings.models_dir)}
    command = [sys.executable, "-m", "trainer", "import", str(trapped(tmp_path, exec, code)), "--name", "mine"]
    publisher = subprocess.Popen(command, cwd=PROJECT, env=environment)
    reader = until(lambda: trace.exists() and trace.read_text(), "the file is being read")
    publisher.kill()
    publisher.wait()
    until(lambda: not psutil.pid_exists(int(reader)), "the reader is gone")
    RepositoryWriter(settings.models_dir).sweep()
    assert leftovers(settings) == []


@pytest.mark.usefixtures("examined_here", "own_signals", "unverified")
def test_the_command_prints_the_version_or_the_reason(
    settings: Settings, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MODELS_DIR", str(settings.models_dir))
    monkeypatch.delenv("REDIS_URL", raising=False)
    renamed = file.rename(file.with_name("My Model.pkl"))
    assert main(["import", str(renamed)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("trainer: my_model: current was moved at once: REDIS_URL is not set")
    (published,) = said[1:]
    assert published.startswith("trainer: my_model: version 1 is published and current; it takes x0 (number), x1 (nu")
    assert "; it has predict, predict_proba, " in published
    assert Repository(settings.models_dir).aliases("my_model") == {"current": 1}
    named, sample = with_target(tmp_path, LogisticRegression(), [0, 1] * 30)
    assert main(["import", str(named), "--sample", str(sample)]) == 0
    assert capsys.readouterr().out.endswith("trainer: named: its report: /v1/models/named/versions/1/report/\n")
    renamed.write_text("{}")
    assert main(["import", str(renamed), "--name", "other"]) == 1
    assert (
        capsys.readouterr().out
        == "trainer: My Model.pkl is JSON, and not a pickle; save the fitted scikit-learn"
        + (" model with joblib.dump\n")
    )
    assert main(["import", str(renamed.rename(file.with_name("日本.pkl")))]) == 2
