"""A file in the inbox is published, or moved to `rejected/` with the reason; no file is ever lost."""

from __future__ import annotations

import fcntl
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd
import pytest
from redis import Redis
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from broker.access.audit_log import AuditEntry, Outcome
from contract.model.manifest import ModelManifest
from contract.model.repository import Repository
from contract.settings import Settings
from tests.support import PROJECT, until
from trainer.importing.inbox.imports import import_file
from trainer.importing.inbox.inbox import DEATHS, Inbox, watch

MODEL = pickle.dumps(LogisticRegression().fit(np.arange(40.0).reshape(20, 2), np.arange(20) // 10))
JUNK = b"<html>"

pytestmark = pytest.mark.usefixtures("examined_here", "unverified")


class World:
    """An inbox, its log, and the versions that it promoted."""

    def __init__(self, root: Path) -> None:
        self.root, self.folder = root, root / "inbox"
        self.folder.mkdir(parents=True)
        self.said: list[str] = []
        self.promoted: list[tuple[str, int, str]] = []
        self.requested: list[Sequence[ModelManifest]] = []
        self.broken: str | None = None
        self.inbox = self.another()

    def another(self) -> Inbox:
        """Replace the inbox, as a restart of the trainer does."""
        return Inbox(Settings(models_dir=self.root), self.promote, self.said.append, self.requested.append)

    def promote(self, model: str, version: int, alias: str) -> str | None:
        if self.broken:
            raise ConnectionError(self.broken)
        self.promoted.append((model, version, alias))
        return None

    def drop(self, name: str, data: bytes = MODEL) -> Path:
        path = self.folder / name
        path.write_bytes(data)
        return path

    def import_files(self, times: int = 2) -> None:
        for _ in range(times):
            self.inbox.import_files()

    def there(self) -> list[str]:
        """Return the users' files in the inbox."""
        names = [str(p.relative_to(self.folder)) for p in self.folder.rglob("*") if not p.name.startswith(".")]
        return sorted(name for name in names if name not in ("done", "rejected"))

    def reason(self, name: str) -> str:
        return (self.folder / "rejected" / f"{name}.reason.txt").read_text()


@pytest.fixture
def world(root: Path) -> World:
    return World(root)


def test_a_file_and_its_sample_become_a_version_that_is_current(world: World) -> None:
    world.drop("Loan Model.pkl")
    world.drop("loan model.CSV", b"a,b\n1,2\n")
    world.import_files(1)
    assert world.promoted == []
    world.import_files(1)
    assert world.promoted == [("loan_model", 1, "current")]
    assert Repository(world.root).manifest("loan_model", 1).signature.names == ("a", "b")
    assert world.there() == ["done/loan_model@1.csv", "done/loan_model@1.pkl"]
    assert world.said == ["inbox: 'Loan Model.pkl' is version 1 of 'loan_model' and serves"]
    world.import_files()
    assert len(world.promoted) == 1


def test_a_file_whose_own_code_reads_inputs_of_undecided_kind_becomes_a_version_without_an_alias(world: World) -> None:
    frame = pd.DataFrame({"city": ["Bern", "Basel"] * 10, "km": np.arange(20.0)})
    lengths = FunctionTransformer(lambda table: table.astype(str).apply(lambda column: column.str.len()))
    columns = make_column_transformer((lengths, ["city"]), remainder="passthrough")
    model = cloudpickle.dumps(make_pipeline(columns, LogisticRegression()).fit(frame, np.arange(20) // 10))
    world.drop("loan.pkl", model)
    world.import_files()
    assert (world.promoted, Repository(world.root).versions("loan")) == ([], [1])
    assert world.there() == ["done/loan@1.pkl", "done/loan@1.pkl.reason.txt"]
    reason = (world.folder / "done/loan@1.pkl.reason.txt").read_text()
    assert "did not become current" in reason and "modelgate promote loan@1" in reason
    assert "the type of 'city' is unknown, and its own code takes several" in reason
    assert "modelgate promote loan@1" in world.said[-1]
    world.drop("loan.csv", frame.to_csv(index=False).encode())
    world.drop("loan.pkl", model)
    world.import_files()
    assert world.promoted == [("loan", 2, "current")]
    assert "done/loan@2.pkl.reason.txt" not in world.there()


@pytest.mark.parametrize(("data", "folder"), [(MODEL, "done"), (JUNK, "rejected")])
def test_two_models_of_one_name_are_tried_with_the_same_sample(world: World, data: bytes, folder: str) -> None:
    world.drop("loan.csv", b"a,b\n1,2\n")
    world.drop("loan.joblib", data)
    world.drop("loan.pkl", data)
    world.import_files(3)
    assert [name for name in world.there() if not name.startswith(folder)] == []
    assert len([name for name in world.there() if name.endswith(".csv")]) == 1
    if folder == "done":
        signatures = [Repository(world.root).manifest("loan", version).signature.names for version in (1, 2)]
        assert signatures == [("a", "b")] * 2
    else:
        assert "HTML" in world.reason("loan.joblib") and "HTML" in world.reason("loan.pkl")


def test_a_file_that_grows_waits(world: World) -> None:
    path = world.drop("loan.pkl", MODEL[:100])
    world.import_files(1)
    for end in (200, 300):
        path.write_bytes(MODEL[:end])
        world.import_files(1)
    path.write_bytes(MODEL)
    world.import_files(1)
    assert (world.said, world.there()) == ([], ["loan.pkl"])
    world.import_files(1)
    assert world.promoted == [("loan", 1, "current")]


def test_a_file_whose_sample_grows_waits(world: World) -> None:
    world.drop("loan.pkl", JUNK)
    world.import_files(1)
    world.drop("loan.csv", b"a")
    world.import_files(1)
    assert world.there() == ["loan.csv", "loan.pkl"]
    world.import_files(1)
    assert world.there() == ["rejected/loan.csv", "rejected/loan.pkl", "rejected/loan.pkl.reason.txt"]


@pytest.mark.parametrize("name", [".loan.pkl", "loan.pkl.part", "loan.pkl.tmp", "loan.pkl~", "loan.csv"])
def test_an_incomplete_file_or_a_lone_sample_waits(world: World, name: str) -> None:
    world.drop(name)
    world.import_files(3)
    assert (world.folder / name).exists()
    assert world.said == []


def test_a_refused_file_lies_beside_its_reason(world: World) -> None:
    for _ in range(2):
        world.drop("loan.pkl", JUNK)
        world.import_files()
    reason = "loan.pkl is an HTML page: perhaps a download that asks for a login; download the file itself"
    assert world.reason("loan.pkl") == world.reason("2-loan.pkl") == f"{reason}\n"
    assert world.said == [f"inbox: rejected: {reason}"] * 2
    assert (world.folder / "rejected/loan.pkl").read_bytes() == JUNK
    assert (world.folder / "rejected/2-loan.pkl").read_bytes() == JUNK


def test_a_file_that_is_not_a_model_file_is_rejected_and_never_opened(world: World, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(MODEL)
    (world.folder / "link.pkl").symlink_to(secret)
    os.mkfifo(world.folder / "pipe.pkl")
    (world.folder / "folder.pkl").mkdir()
    (world.folder / "folder.pkl/inside.pkl").write_bytes(MODEL)
    world.drop("model.h5")
    world.drop("model.docx")
    world.drop("日本.pkl")
    world.import_files()
    assert world.promoted == []
    assert "'link.pkl' is a symbolic link" in world.reason("link.pkl")
    assert "'pipe.pkl' is not a file" in world.reason("pipe.pkl")
    assert "'folder.pkl' is not a file" in world.reason("folder.pkl")
    assert "is a model of Keras by its name (.h5), which Modelgate does not run" in world.reason("model.h5")
    assert "does not end as a model file does: .pkl, .pickle, .joblib, " in world.reason("model.docx")
    assert "has a name that no model can have" in world.reason("日本.pkl")
    assert secret.exists()
    assert (world.folder / "rejected/folder.pkl/inside.pkl").exists()


def test_names_that_break_lines_or_are_no_text_or_too_long_are_shown_in_one_line(world: World) -> None:
    for name in (b"a\nb\x1b[31m.txt", b"\xff\xfe.txt", b"x" * 251 + b".pkl", b"evil\nname.pkl"):
        (world.folder / os.fsdecode(name)).write_bytes(JUNK)
    world.import_files()
    assert len(world.said) == 4
    for line in world.said:
        assert line.isprintable(), line
    assert not [name for name in world.there() if not name.startswith("rejected/")]
    assert len(world.there()) == 8


def test_a_file_that_was_replaced_during_its_import_stays_and_is_imported_next(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.drop("loan.pkl")

    def replace(*arguments: object) -> None:
        world.drop("loan.pkl", JUNK)

    monkeypatch.setattr(world, "promote", replace)
    world.inbox = world.another()
    world.import_files()
    assert world.there() == ["loan.pkl"]
    world.import_files()
    assert world.there() == ["rejected/loan.pkl", "rejected/loan.pkl.reason.txt"]


def test_a_version_that_cannot_be_made_current_is_named_and_its_file_is_done(world: World) -> None:
    world.broken = "Redis is away"
    world.drop("loan.pkl")
    world.import_files()
    assert world.said == ["inbox: 'loan.pkl' is version 1 of 'loan', but did not become current: Redis is away"]
    assert world.there() == ["done/loan@1.pkl", "done/loan@1.pkl.reason.txt"]


def test_a_file_that_callers_have_to_change_for_becomes_a_version_without_an_alias(world: World) -> None:
    world.drop("loan.pkl")
    world.import_files()
    (world.root / "loan/aliases.json").write_text('{"current": 1}')
    world.drop("loan.pkl", pickle.dumps(LogisticRegression().fit(np.arange(60.0).reshape(20, 3), np.arange(20) // 10)))
    world.import_files()
    assert (world.promoted, Repository(world.root).versions("loan")) == ([("loan", 1, "current")], [1, 2])
    reason = (world.folder / "done/loan@2.pkl.reason.txt").read_text()
    assert "did not become current: callers of version 1 have to change something: 'x2' is needed (" in reason
    assert "; to promote it anyway: modelgate promote loan@2" in reason


def die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def killed(world: World, monkeypatch: pytest.MonkeyPatch, where: str, instead: Callable[..., object] = die) -> None:
    """Import in another process, which is killed at the call of `where`: `instead` is called."""
    pid = os.fork()
    if pid:
        assert os.waitpid(pid, 0)[1] == signal.SIGKILL
        return
    try:
        monkeypatch.setattr(where, instead)
        world.inbox = world.another()
        world.import_files()
    finally:
        os._exit(1)


def test_a_trainer_killed_before_publishing_imports_the_file_after_its_restart(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.drop("loan.pkl")
    killed(world, monkeypatch, "trainer.importing.inbox.inbox.import_file")
    assert world.there() == ["loan.pkl"]
    world.inbox = world.another()
    world.import_files()
    assert world.promoted == [("loan", 1, "current")]
    assert world.there() == ["done/loan@1.pkl"]


def test_a_trainer_killed_after_publishing_does_not_import_the_file_twice(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.drop("loan.pkl")
    killed(world, monkeypatch, "trainer.importing.inbox.inbox.Inbox._finish")
    assert Repository(world.root).versions("loan") == [1]
    assert world.there() == ["loan.pkl"]
    world.inbox = world.another()
    world.import_files()
    assert Repository(world.root).versions("loan") == [1]
    assert world.promoted == [("loan", 1, "current")]
    assert world.there() == ["done/loan@1.pkl"]


def test_files_that_were_published_before_one_kills_the_trainer_are_not_imported_twice(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They wait to become current together with it."""
    for name in ("a.pkl", "b.pkl", "z.pkl"):
        world.drop(name)
    of_file = import_file

    def deadly(settings: Settings, name: str, *arguments: Any, **more: Any) -> Any:
        return os.kill(os.getpid(), signal.SIGKILL) if name == "z" else of_file(settings, name, *arguments, **more)

    for _ in range(DEATHS):
        killed(world, monkeypatch, "trainer.importing.inbox.inbox.import_file", deadly)
    world.import_files()
    assert [Repository(world.root).versions(name) for name in ("a", "b", "z")] == [[1], [1], []]
    assert world.there() == ["done/a@1.pkl", "done/b@1.pkl", "rejected/z.pkl", "rejected/z.pkl.reason.txt"]
    assert f"crashed the trainer during {DEATHS} imports" in world.reason("z.pkl")


def test_files_that_are_dropped_together_are_counted_and_loaded_together(world: World) -> None:
    for number in range(3):
        world.drop(f"m{number}.pkl")
    world.drop("m1.joblib", JUNK)
    world.import_files()
    requested = [[(manifest.name, manifest.version) for manifest in group] for group in world.requested]
    assert requested == [[("m0", 1), ("m1", 1), ("m2", 1)]]
    assert world.promoted == [(name, 1, "current") for name in ("m0", "m1", "m2")]
    assert sorted(line.partition("m")[0] for line in world.said) == [
        "inbox: 1 of 4: '",
        "inbox: 2 of 4: rejected: ",
        "inbox: 3 of 4: '",
        "inbox: 4 of 4: '",
    ]
    world.drop("m4.pkl")
    world.import_files()
    assert len(world.requested) == 1 and world.said[-1].startswith("inbox: 'm4.pkl' is version 1")


def test_a_trainer_that_stops_between_two_files_imports_the_others_after_its_restart(world: World) -> None:
    for name in ("a.pkl", "b.pkl"):
        world.drop(name)
    world.import_files(1)
    answers = iter([False, True])
    world.inbox.import_files(lambda _: next(answers))
    assert Repository(world.root).versions("b") == []
    world.inbox = world.another()
    world.import_files()
    assert [Repository(world.root).versions(name) for name in ("a", "b")] == [[1], [1]]
    assert world.there() == ["done/a@1.pkl", "done/b@1.pkl"]


def test_a_file_that_kills_the_importer_three_times_is_rejected(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.drop("loan.pkl")
    for _ in range(DEATHS):
        killed(world, monkeypatch, "trainer.importing.inbox.inbox.import_file")
    world.import_files()
    assert f"crashed the trainer during {DEATHS} imports" in world.reason("loan.pkl")


def test_a_file_that_is_dropped_again_is_a_version_again(world: World) -> None:
    import_file(Settings(models_dir=world.root), "loan", world.drop("loan.pkl"))
    world.import_files()
    assert world.promoted == [("loan", 2, "current")]


def test_one_process_at_a_time_imports_from_the_inbox(world: World) -> None:
    world.drop("loan.pkl", JUNK)
    with (world.folder / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        world.import_files(3)
        assert world.there() == ["loan.pkl"]
    world.import_files()
    assert "rejected/loan.pkl" in world.there()


@pytest.mark.skipif(os.getuid() == 0, reason="root may do anything")
def test_an_unreadable_file_is_rejected_with_the_cause(world: World) -> None:
    world.drop("loan.pkl").chmod(0)
    world.import_files()
    assert "chmod a+r" in world.reason("loan.pkl")


def test_a_file_that_cannot_be_moved_is_logged_once(world: World) -> None:
    world.drop("loan.pkl", JUNK)
    (world.folder / "rejected").write_text("in the way")
    world.import_files(4)
    (line,) = [line for line in world.said if "neither" in line]
    assert line == "inbox: 'loan.pkl' can neither be imported nor moved away: File exists"
    (world.folder / "rejected").unlink()
    world.drop("loan.pkl", JUNK + b" ")
    world.import_files(3)
    assert "rejected/loan.pkl" in world.there()


@pytest.mark.parametrize("data", [MODEL, JUNK])
def test_nothing_is_moved_through_a_link_in_place_of_a_folder(world: World, tmp_path: Path, data: bytes) -> None:
    elsewhere = tmp_path / "recipes"
    elsewhere.mkdir()
    for folder in ("done", "rejected"):
        (world.folder / folder).symlink_to(elsewhere)
    world.drop("loan.pkl", data)
    world.import_files(3)
    assert os.listdir(elsewhere) == []
    assert "inbox: 'loan.pkl' can neither be imported nor moved away: Not a directory" in world.said


def test_nothing_is_written_through_a_link_in_place_of_a_file(world: World, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("as it was")
    for name in (".importing.part", ".importing"):
        (world.folder / name).symlink_to(other)
    world.drop("loan.pkl", JUNK)
    world.import_files()
    assert "HTML" in world.reason("loan.pkl") and other.read_text() == "as it was"
    lock = world.folder / ".lock"
    lock.unlink()
    lock.symlink_to(tmp_path / "made")
    with pytest.raises(OSError, match="symbolic link"):
        world.import_files()
    assert not (tmp_path / "made").exists()


@pytest.mark.slow
def test_the_process_of_the_inbox_publishes_and_ends_on_a_signal(world: World, redis: Redis, redis_url: str) -> None:
    environment = {**os.environ, "MODELS_DIR": str(world.root), "REDIS_URL": redis_url}
    command = [sys.executable, "-m", "trainer.importing.inbox.inbox"]
    with subprocess.Popen(command, cwd=PROJECT, env=environment) as process:
        world.drop("loan.pkl")
        until(lambda: world.there() == ["done/loan@1.pkl"], "the model is published")
        assert Repository(world.root).aliases("loan") == {"current": 1}
        process.terminate()
        assert process.wait(60) == 0


def test_the_inbox_is_created_and_watched(root: Path) -> None:
    said: list[str] = []
    inbox = Inbox(Settings(models_dir=root), lambda *_: None, said.append)
    stop = threading.Event()
    ticks: Callable[[float], bool] = lambda _: stop.wait(0.02)  # noqa: E731
    watcher = threading.Thread(target=watch, args=(inbox, ticks, said.append))
    watcher.start()
    until((root / "inbox").exists, "the inbox is there")
    (root / "inbox/loan.pkl").write_bytes(JUNK)
    until(lambda: said, "the file is refused")
    stop.set()
    watcher.join()


def test_each_import_has_an_entry_in_the_audit_log(world: World) -> None:
    audited: list[AuditEntry] = []
    world.inbox = Inbox(Settings(models_dir=world.root), world.promote, world.said.append, audit=audited.append)
    world.drop("loan.pkl")
    world.drop("junk.pkl", JUNK)
    world.import_files()
    world.broken = "no Redis"
    world.drop("late.pkl")
    world.import_files()
    rejected, loan, late = sorted(audited, key=lambda entry: (entry.outcome is Outcome.DONE, entry.model != "loan"))
    assert rejected == AuditEntry("import", "inbox", Outcome.FAILED, model="junk", code="not_published")
    assert loan == AuditEntry("import", "inbox", model="loan", version=1, alias="current")
    assert late == AuditEntry("import", "inbox", model="late", version=1)
