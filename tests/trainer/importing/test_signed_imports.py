"""With VERIFY_KEY, nothing is unpickled unless the file, its sample and its name are signed."""

from __future__ import annotations

import dataclasses
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from redis import Redis
from sklearn.linear_model import LogisticRegression

from contract.errors import Code, ModelgateError
from contract.model.repository import Repository
from contract.settings import Settings
from contract.work.training import RepositoryAction, RepositoryCommand
from scoring.artifacts import load
from scoring.trust import Trust
from tests.support import Bomb
from trainer.__main__ import main
from trainer.importing.inbox.imports import import_file
from trainer.importing.inbox.inbox import Inbox
from trainer.jobs.commands import HANDLERS, CommandParts
from trainer.publishing.signing import make_keys

MODEL = pickle.dumps(LogisticRegression().fit(np.arange(40.0).reshape(20, 2), np.arange(20) // 10))
ROWS = b"a,b\n1,2\n"

pytestmark = pytest.mark.usefixtures("examined_here", "unverified", "own_signals")


@pytest.fixture
def settings(root: Path, tmp_path: Path) -> Settings:
    private, public = make_keys(tmp_path / "keys")
    return Settings(models_dir=root, spool_dir=tmp_path, signing_key=private, verify_key=public, allow_upload="1")


@pytest.fixture
def signed_files(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model, a sample, and a signature of both, as `python -m trainer sign-file` writes it."""
    folder = tmp_path / "signed"
    folder.mkdir()
    (folder / "loan.pkl").write_bytes(MODEL)
    (folder / "loan.csv").write_bytes(ROWS)
    monkeypatch.setenv("SIGNING_KEY", str(settings.signing_key))
    assert main(["sign-file", str(folder / "loan.pkl"), "--sample", str(folder / "loan.csv")]) == 0
    return folder


def brought(settings: Settings, folder: Path, name: str = "loan", sample: str | None = "loan.csv") -> str | None:
    """Import the files; return the reason if the signature is refused."""
    signature = folder / "loan.pkl.sig"
    try:
        rows = folder / sample if sample else None
        import_file(settings, name, folder / "loan.pkl", rows, signature if signature.exists() else None)
    except ModelgateError as error:
        if error.failure.code != Code.NOT_SIGNED or Repository(settings.models_dir).versions(name):
            raise
        return str(error)
    return None


def test_the_inbox_rejects_an_unsigned_file_without_unpickling_it(settings: Settings, tmp_path: Path) -> None:
    inbox = Inbox(settings, lambda *_: None, lambda _: None)
    folder = settings.models_dir / "inbox"
    folder.mkdir(parents=True)
    (folder / "loan.pkl").write_bytes(pickle.dumps(Bomb(tmp_path / "trace")))
    for _ in range(2):
        inbox.import_files()
    reason = (folder / "rejected/loan.pkl.reason.txt").read_text()
    assert reason.startswith("loan.pkl is not signed, but VERIFY_KEY requires it")
    assert "`python -m trainer sign-file --name loan …`" in reason
    assert not (tmp_path / "trace").exists()
    assert Repository(settings.models_dir).versions("loan") == []


def test_a_signed_file_goes_through_the_inbox_and_workers_load_it(settings: Settings, signed_files: Path) -> None:
    promoted: list[tuple[str, int, str]] = []
    inbox = Inbox(settings, lambda *moved: promoted.append(moved), lambda _: None)
    inbox.import_files()
    for name in ("loan.pkl.sig", "loan.csv", "loan.pkl"):
        (signed_files / name).rename(settings.models_dir / "inbox" / name)
        inbox.import_files()
    inbox.import_files()
    assert promoted == [("loan", 1, "current")]
    repository = Repository(settings.models_dir)
    load(repository.manifest("loan", 1), repository.files("loan", 1), Trust.from_settings(settings))
    assert sorted(os.listdir(settings.models_dir / "inbox/done")) == ["loan@1.csv", "loan@1.pkl", "loan@1.pkl.sig"]


def test_a_signature_fits_one_file_with_one_sample_under_one_name(settings: Settings, signed_files: Path) -> None:
    signature = signed_files / "loan.pkl.sig"
    made = signature.read_bytes()
    misfit = "loan.pkl has a signature that does not fit"
    assert str(brought(settings, signed_files, name="other")).startswith(misfit)
    assert str(brought(settings, signed_files, sample=None)).startswith(misfit)
    (signed_files / "loan.csv").write_bytes(ROWS + b"3,4\n")
    assert str(brought(settings, signed_files)).startswith(misfit)
    (signed_files / "loan.csv").write_bytes(ROWS)
    (signed_files / "loan.pkl").write_bytes(MODEL + b".")
    assert str(brought(settings, signed_files)).startswith(misfit)
    (signed_files / "loan.pkl").write_bytes(MODEL)
    for wrong in (b"", made[:-1], made + b"x", bytes(64)):
        signature.write_bytes(wrong)
        assert str(brought(settings, signed_files)).startswith(misfit)
    signature.write_bytes(made)
    assert brought(settings, signed_files) is None


def test_code_beside_a_file_is_signed_with_it_and_does_not_run_otherwise(
    settings: Settings, signed_files: Path, tmp_path: Path
) -> None:
    file, code = signed_files / "loan.pkl", signed_files / "loan.py"
    file.write_bytes(b"c__main__\nMODEL\n.")
    code.write_text(f"open({str(tmp_path / 'trace')!r}, 'w')\nimport pickle\nMODEL = pickle.loads({MODEL!r})")

    def imported() -> None:
        import_file(settings, "loan", file, signature=signed_files / "loan.pkl.sig", code=code)

    with pytest.raises(ModelgateError, match=r"has a signature that does not fit.*--code …"):
        imported()
    assert main(["sign-file", str(file), "--code", str(code)]) == 0
    signed = code.read_bytes()
    code.write_bytes(signed + b"\n")
    with pytest.raises(ModelgateError, match="has a signature that does not fit"):
        imported()
    assert not (tmp_path / "trace").exists()
    code.write_bytes(signed)
    imported()
    assert (tmp_path / "trace").exists()


def test_other_keys_may_sign_imports_than_versions(
    settings: Settings, signed_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private, public = make_keys(tmp_path / "bringers")
    settings = dataclasses.replace(settings, import_keys=public)
    assert "a key that may not sign imports (IMPORT_KEYS)" in str(brought(settings, signed_files))
    monkeypatch.setenv("SIGNING_KEY", str(private))
    assert main(["sign-file", str(signed_files / "loan.pkl"), "--sample", str(signed_files / "loan.csv")]) == 0
    assert brought(settings, signed_files) is None


def test_import_keys_are_asked_for_also_without_verify_key(settings: Settings, signed_files: Path) -> None:
    settings = dataclasses.replace(settings, import_keys=settings.verify_key, verify_key=None, signing_key=None)
    (signed_files / "loan.pkl.sig").unlink()
    assert "is not signed" in str(brought(settings, signed_files))


def test_an_upload_brings_its_signature(settings: Settings, signed_files: Path, redis: Redis) -> None:
    command = RepositoryCommand(RepositoryAction.IMPORT, "loan", upload="u1", sample="u2", signature="u3")

    def sent() -> None:
        for name, part in (("u1", "loan.pkl"), ("u2", "loan.csv"), ("u3", "loan.pkl.sig")):
            (settings.spool_dir / name).write_bytes((signed_files / part).read_bytes())

    sent()
    with pytest.raises(ModelgateError, match="the file that was sent is not signed") as refused:
        HANDLERS[RepositoryAction.IMPORT](CommandParts(settings, redis), dataclasses.replace(command, signature=None))
    assert refused.value.failure.code == Code.NOT_SIGNED
    sent()
    assert HANDLERS[RepositoryAction.IMPORT](CommandParts(settings, redis), command)["aliases"] == {"current": 1}
    assert not any((settings.spool_dir / name).exists() for name in ("u1", "u2", "u3"))


def test_the_command_takes_the_signature_that_lies_beside_the_file(
    settings: Settings, signed_files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("models_dir", "signing_key", "verify_key"):
        monkeypatch.setenv(name.upper(), str(getattr(settings, name)))
    monkeypatch.delenv("REDIS_URL", raising=False)
    arguments = ["import", str(signed_files / "loan.pkl"), "--sample", str(signed_files / "loan.csv")]
    assert main(arguments) == 0
    (signed_files / "loan.pkl.sig").unlink()
    capsys.readouterr()
    assert main(arguments) == 1
    said = capsys.readouterr().out
    assert said.startswith("trainer: loan.pkl is not signed")
    assert "`python -m trainer sign-file --sample … --name loan …`" in said


def test_a_file_that_cannot_be_signed_is_reported_with_the_cause(
    signed_files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["sign-file", str(signed_files / "nothing.pkl")]) == 1
    assert capsys.readouterr().out == f"trainer: not signed: {signed_files}/nothing.pkl: No such file or directory\n"
    monkeypatch.delenv("SIGNING_KEY")
    assert main(["sign-file", str(signed_files / "loan.pkl")]) == 2
    assert capsys.readouterr().out == "trainer: SIGNING_KEY is not set; `python -m trainer keys` makes one\n"
