"""The trainer signs new and existing versions, and never shows its key."""

from __future__ import annotations

import functools
import json
import os
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from contract.errors import ModelgateError, SettingsError
from contract.model.manifest import ArtifactFormat, ManifestDraft
from contract.model.repository import Repository
from contract.settings import Settings
from contract.work.training import TrainingRequest
from scoring import artifacts
from scoring.trust import Trust
from storage.models import repository_writer
from storage.models.repository_writer import RepositoryWriter
from tests.trainer.fitting import fitted
from trainer import recipes
from trainer.__main__ import main
from trainer.jobs.train_on_start import missing_models
from trainer.publishing.aliases import move_alias
from trainer.publishing.promotion import promote
from trainer.publishing.publish import PublishRefused, publish
from trainer.publishing.signing import SigningPolicy, make_keys
from trainer.training.train import train

pytestmark = pytest.mark.usefixtures("own_signals")


@pytest.fixture(scope="module")
def blobs() -> tuple[Any, ManifestDraft]:
    recipe = recipes.get("blobs")
    return fitted(recipe)


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    return make_keys(tmp_path / "keys")


def seal_of(keys: tuple[Path, Path], **settings: Any) -> SigningPolicy:
    return SigningPolicy.from_settings(Settings(signing_key=keys[0], verify_key=keys[1], **settings))


def loads(root: Path, trust: Trust, name: str = "blobs", version: int = 1) -> bool:
    """Return whether a new worker would load the version; False: it is not trusted."""
    repository = Repository(root)
    try:
        artifacts.load(repository.manifest(name, version), repository.files(name, version), trust)
    except ModelgateError as error:
        if error.failure.code == "not_trusted":
            return False
        raise
    return True


def test_only_its_owner_can_read_the_private_key(keys: tuple[Path, Path]) -> None:
    private, public = keys
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert private.read_text().startswith("-----BEGIN PRIVATE KEY-----")
    assert public.read_text().startswith("-----BEGIN PUBLIC KEY-----")


def test_keys_are_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", str(tmp_path)]) == 0
    first = (tmp_path / "signing.pem").read_bytes()
    assert main(["keys", str(tmp_path)]) == 1
    assert (tmp_path / "signing.pem").read_bytes() == first
    said = capsys.readouterr().out
    assert said.splitlines()[0] == f"SIGNING_KEY={tmp_path}/signing.pem  # for the trainer alone"
    assert said.splitlines()[-1] == f"trainer: cannot make keys: {tmp_path}/signing.pem: File exists"
    assert "PRIVATE" not in said


def test_nothing_shows_the_private_key(keys: tuple[Path, Path]) -> None:
    signing = seal_of(keys)
    assert signing.key
    secret = signing.key.private_bytes_raw()
    for shown in (repr(signing), str(vars(signing)), repr(signing.key)):
        assert secret.hex() not in shown and repr(secret) not in shown


def test_a_published_version_is_signed_and_openssl_verifies_it(
    root: Path, blobs: tuple[Any, ManifestDraft], keys: tuple[Path, Path]
) -> None:
    signing = seal_of(keys)
    publish(RepositoryWriter(root), *blobs, signing)
    assert loads(root, signing.trust)
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here")
    folder = root / "blobs/versions/1"
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", str(keys[1]), "-rawin", "-in"]
    done = subprocess.run([*command, folder / "manifest.json", "-sigfile", folder / "manifest.json.sig"])
    assert done.returncode == 0


def test_a_signature_that_does_not_reach_the_disk_is_not_published(
    root: Path, blobs: tuple[Any, ManifestDraft], keys: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = repository_writer.write

    def damage(path: Path, data: bytes) -> None:
        real(path, data[:-1] if path.suffix == ".sig" else data)

    monkeypatch.setattr(repository_writer, "write", damage)
    with pytest.raises(PublishRefused, match="was altered after it was signed"):
        publish(RepositoryWriter(root), *blobs, seal_of(keys))
    assert Repository(root).versions("blobs") == []


@pytest.mark.usefixtures("unverified")
def test_a_version_that_is_signed_elsewhere_gets_no_alias_before_its_signature(
    root: Path, keys: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(models_dir=root, verify_key=keys[1])
    monkeypatch.setenv("MODELS_DIR", str(root))
    monkeypatch.setenv("VERIFY_KEY", str(keys[1]))
    moving = functools.partial(promote, settings, None)
    result = train(TrainingRequest("blobs", "blobs"), settings, lambda _: None, lambda _: None, moving)
    said = result.reason or ""
    assert (result.version, result.promoted) == (1, False)
    assert said.startswith("version 1 of the model 'blobs' is not signed")
    assert "`python -m trainer sign --model blobs --version 1`" in said
    assert Repository(root).aliases("blobs") == {}
    assert missing_models(RepositoryWriter(root), ["blobs"], SigningPolicy.from_settings(settings)) == {}, (
        "it is not trained again and again"
    )
    with pytest.raises(ModelgateError, match="is not signed"):
        promote(settings, None, "blobs", 1, "canary")

    monkeypatch.setenv("SIGNING_KEY", str(keys[0]))
    assert main(["sign", "--model", "blobs", "--version", "1"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("trainer: blobs@1: signed; make it current where Modelgate runs: curl -X PUT ")
    promote(settings, None, "blobs", 1)
    assert Repository(root).aliases("blobs") == {"current": 1}
    assert loads(root, seal_of(keys).trust)


@pytest.mark.usefixtures("unverified")
def test_only_the_version_that_is_named_is_signed(
    root: Path, blobs: tuple[Any, ManifestDraft], signs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    publish(RepositoryWriter(root), *blobs)
    publish(RepositoryWriter(root), *blobs)
    assert main(["sign", "--model", "blobs", "--version", "2"]) == 0
    trust = seal_of(signs).trust
    assert [loads(root, trust), loads(root, trust, version=2)] == [False, True]
    assert main(["sign", "--model", "blobs", "--version", "3"]) == 1
    assert "trainer: blobs@3: not signed: there is no such version" in capsys.readouterr().out
    assert main(["sign", "--model", "blobs"]) == 2


def test_keys_that_do_not_belong_together_are_refused(keys: tuple[Path, Path], tmp_path: Path) -> None:
    _, other = make_keys(tmp_path / "other")
    with pytest.raises(SettingsError, match="does not hold the public half of SIGNING_KEY"):
        seal_of((keys[0], other))


@pytest.mark.parametrize("text", ["", "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n", "public"])
def test_a_file_without_a_private_key_is_refused_by_name(tmp_path: Path, keys: tuple[Path, Path], text: str) -> None:
    (tmp_path / "key").write_text(keys[1].read_text() if text == "public" else text)
    with pytest.raises(SettingsError, match=rf"SIGNING_KEY={tmp_path}/key does not hold a private") as refused:
        SigningPolicy.from_settings(Settings(signing_key=tmp_path / "key"))
    assert "c2VjcmV0" not in str(refused.value) and refused.value.__context__ is None


def test_a_missing_private_key_is_one_line(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MODELS_DIR", str(root))
    monkeypatch.setenv("SIGNING_KEY", "/nowhere/key")
    assert main(["sign"]) == 2
    assert capsys.readouterr().out == "trainer: SIGNING_KEY=/nowhere/key cannot be read (No such file or directory)\n"


@pytest.fixture
def signs(root: Path, keys: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The environment for `python -m trainer sign`."""
    monkeypatch.setenv("MODELS_DIR", str(root))
    monkeypatch.setenv("SIGNING_KEY", str(keys[0]))
    monkeypatch.delenv("VERIFY_KEY", raising=False)
    return keys


@pytest.mark.usefixtures("unverified")
def test_an_unsigned_version_is_signed_on_request(
    root: Path, blobs: tuple[Any, ManifestDraft], signs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    trust = seal_of(signs).trust
    publish(RepositoryWriter(root), *blobs)
    publish(RepositoryWriter(root), *blobs)
    assert main(["sign"]) == 1
    assert "trainer: blobs@1: not signed: it has no signature" in capsys.readouterr().out
    assert not loads(root, trust)
    assert main(["sign", "--unsigned"]) == 0
    assert capsys.readouterr().out == "trainer: blobs@1: signed\ntrainer: blobs@2: signed\n"
    assert loads(root, trust) and loads(root, trust, version=2)
    assert main(["sign", "--unsigned"]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("unverified")
def test_a_version_that_does_not_match_its_checksum_or_signature_is_never_signed(
    root: Path, blobs: tuple[Any, ManifestDraft], signs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(3):
        publish(RepositoryWriter(root), *blobs)
    versions = root / "blobs/versions"
    os.truncate(versions / "1/model.joblib", 10)
    (versions / "2/manifest.json.sig").write_bytes(bytes(64))
    shutil.copy(versions / "1/manifest.json", versions / "3/manifest.json")
    assert main(["sign", "--unsigned"]) == 1
    first, second, third = capsys.readouterr().out.splitlines()
    assert "blobs@1: not signed: version 1 of the model 'blobs' has an artifact of 10 bytes" in first
    assert "blobs@2: not signed: it was altered, or VERIFY_KEY lacks the key" in second
    assert "blobs@3: not signed: its manifest is of 'blobs' version 1" in third


@pytest.mark.usefixtures("unverified")
def test_a_key_is_replaced_while_versions_of_the_old_one_are_served(
    root: Path,
    blobs: tuple[Any, ManifestDraft],
    signs: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    old = seal_of(signs)
    publish(RepositoryWriter(root), *blobs, old)
    publish(RepositoryWriter(root), *blobs)
    private, public = make_keys(tmp_path / "new")
    both = tmp_path / "both.pem"
    both.write_bytes(signs[1].read_bytes() + public.read_bytes())
    monkeypatch.setenv("SIGNING_KEY", str(private))
    monkeypatch.setenv("VERIFY_KEY", str(both))
    assert loads(root, seal_of((private, both)).trust)
    assert main(["sign"]) == 1
    first, second = capsys.readouterr().out.splitlines()
    assert first == "trainer: blobs@1: signed"
    assert second.startswith("trainer: blobs@2: not signed: it has no signature")
    new = seal_of((private, public)).trust
    assert [loads(root, new), loads(root, new, version=2), loads(root, old.trust)] == [True, False, False]


def test_signing_needs_a_key(root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("MODELS_DIR", str(root))
    assert main(["sign"]) == 2
    assert capsys.readouterr().out == "trainer: SIGNING_KEY is not set; `python -m trainer keys` makes one\n"


DENY = SigningPolicy(Trust(pickles=False))


@pytest.mark.usefixtures("unverified")
@pytest.mark.parametrize("name", ["blobs", "boston", "iris", "sepals"])
def test_a_recipe_of_scikit_learns_own_classes_is_published_where_pickles_are_denied(root: Path, name: str) -> None:
    recipe = recipes.get(name)
    manifest = publish(RepositoryWriter(root), *fitted(recipe), DENY)
    assert (manifest.artifact.file, manifest.artifact.format) == ("model.skops", ArtifactFormat.SKOPS)
    assert loads(root, DENY.trust, name)


def test_a_fresh_process_loads_a_skops_file_under_pickle_deny(root: Path, blobs: tuple[Any, ManifestDraft]) -> None:
    publish(RepositoryWriter(root), *blobs, DENY)
    assert loads(root, DENY.trust)


def test_a_recipe_with_classes_of_its_own_is_refused_where_pickles_are_denied(root: Path) -> None:
    recipe = recipes.get("loan")
    with pytest.raises(PublishRefused, match=r"it holds trainer\.recipes\.loan\.LoanFeatures.* scikit-learn's own"):
        publish(RepositoryWriter(root), *fitted(recipe), DENY)
    assert Repository(root).versions("loan") == []


@pytest.mark.usefixtures("unverified")
def test_a_model_that_workers_would_refuse_is_missing(
    root: Path, blobs: tuple[Any, ManifestDraft], keys: tuple[Path, Path]
) -> None:
    publish(RepositoryWriter(root), *blobs)
    move_alias(RepositoryWriter(root), "blobs", "current", 1)
    assert "is a pickle" in str(missing_models(RepositoryWriter(root), ["blobs"], DENY)["blobs"])
    assert "is not signed" in str(missing_models(RepositoryWriter(root), ["blobs"], seal_of(keys))["blobs"])
    publish(RepositoryWriter(root), *blobs, seal_of(keys, pickle="deny"))
    move_alias(RepositoryWriter(root), "blobs", "current", 2)
    assert missing_models(RepositoryWriter(root), ["blobs"], seal_of(keys, pickle="deny")) == {}


@pytest.mark.usefixtures("unverified")
def test_the_signature_covers_the_version_number(
    root: Path, blobs: tuple[Any, ManifestDraft], keys: tuple[Path, Path]
) -> None:
    publish(RepositoryWriter(root), *blobs, seal_of(keys))
    folder = root / "blobs/versions/1"
    text = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**text, "version": 2}, indent=2) + "\n")
    folder.rename(folder.with_name("2"))
    assert not loads(root, seal_of(keys).trust, version=2)
