"""Unsigned versions, and pickles where they are denied, are refused before a byte of them is unpickled."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from sklearn.linear_model import LogisticRegression

from contract.errors import Code, ModelgateError, SettingsError
from contract.model.manifest import ModelManifest
from contract.model.repository import Repository
from contract.model.version_files import VersionFiles
from contract.settings import Settings
from scoring.artifacts import load
from scoring.key_files import public_keys
from scoring.trust import Trust
from tests.support import Bomb, Sum, numbers, write_version

KEY, OTHER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()


def public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


SIGNED = Trust(keys=(public(KEY),))


def sign(folder: Path, key: Ed25519PrivateKey = KEY) -> None:
    (folder / "manifest.json.sig").write_bytes(key.sign((folder / "manifest.json").read_bytes()))


def refused(root: Path, trust: Trust, version: int = 1) -> tuple[str, str]:
    """Return the manifest as a process that has just started reads it."""
    repository = Repository(root)
    with pytest.raises(ModelgateError) as error:
        load(repository.manifest("m", version), repository.files("m", version), trust)
    return error.value.failure.code, str(error.value)


@pytest.fixture
def folder(models: Path, tmp_path: Path) -> Path:
    """A signed version that would leave `tmp_path/trace` behind."""
    write_version(models, "m", Bomb(tmp_path / "trace"), numbers("a"))
    sign(models / "m/versions/1")
    return models / "m/versions/1"


@pytest.fixture(autouse=True)
def no_trace(tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    yield
    assert not (tmp_path / "trace").exists(), "it was unpickled"


def test_a_signed_version_is_loaded_and_without_keys_any_version_is(models: Path) -> None:
    manifest = write_version(models, "m", Sum(), numbers("a"))
    folder = models / "m/versions/1"
    load(manifest, VersionFiles(folder), Trust())
    sign(folder)
    load(manifest, VersionFiles(folder), SIGNED)
    load(manifest, VersionFiles(folder), Trust(keys=(public(OTHER), public(KEY))))


def test_an_unsigned_version_is_refused_with_advice(models: Path, folder: Path) -> None:
    (folder / "manifest.json.sig").unlink()
    code, said = refused(models, SIGNED)
    assert code == Code.NOT_TRUSTED
    assert said.startswith("version 1 of the model 'm' is not signed")
    assert "`python -m trainer sign --model m --version 1`" in said


def _one_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _other_label(folder: Path) -> None:
    text = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(text.replace('"by hand"', '"by head"', 1))


SPOIL: dict[str, Callable[[Path], object]] = {
    "altered manifest": _other_label,
    "one space more": lambda folder: (folder / "manifest.json").open("a").write(" "),
    "altered signature": lambda folder: _one_bit(folder / "manifest.json.sig"),
    "truncated signature": lambda folder: os.truncate(folder / "manifest.json.sig", 63),
    "empty signature": lambda folder: os.truncate(folder / "manifest.json.sig", 0),
    "long signature": lambda folder: (folder / "manifest.json.sig").open("ab").write(b"!"),
    "another key": lambda folder: sign(folder, OTHER),
}


@pytest.mark.parametrize("spoil", SPOIL.values(), ids=SPOIL)
def test_a_version_that_does_not_match_its_signature_is_refused(
    models: Path, folder: Path, spoil: Callable[[Path], object]
) -> None:
    spoil(folder)
    code, said = refused(models, SIGNED)
    assert code == Code.NOT_TRUSTED
    assert "was altered after it was signed, or was signed with a key that is not in VERIFY_KEY" in said


def test_an_altered_artifact_does_not_match_the_signed_manifest(models: Path, folder: Path) -> None:
    _one_bit(folder / "model.joblib")
    assert refused(models, SIGNED)[0] == Code.ARTIFACT_CORRUPT


def test_an_artifact_swapped_with_its_checksum_is_refused(models: Path, folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "signed")
    shutil.rmtree(models / "m")
    write_version(models, "m", [Bomb(tmp_path / "trace"), "another"], numbers("a"))
    shutil.copy(tmp_path / "signed/manifest.json.sig", folder)
    assert refused(models, SIGNED)[0] == Code.NOT_TRUSTED


def test_a_signed_version_cannot_stand_in_for_another(models: Path, folder: Path, tmp_path: Path) -> None:
    write_version(models, "m", Bomb(tmp_path / "trace"), numbers("a"), version=2)
    sign(models / "m/versions/2")
    folder.rename(tmp_path / "1")
    (models / "m/versions/2").rename(folder)
    (tmp_path / "1").rename(models / "m/versions/2")
    for version, named in ((1, 2), (2, 1)):
        code, said = refused(models, SIGNED, version)
        assert (code, said.endswith(f"its manifest is of 'm' version {named}")) == (Code.MANIFEST_INVALID, True)


def test_a_manifest_that_was_forged_while_it_was_read_is_refused(models: Path, folder: Path) -> None:
    true = (folder / "manifest.json").read_bytes()
    _other_label(folder)
    forged = Repository(models).manifest("m", 1)
    (folder / "manifest.json").write_bytes(true)
    with pytest.raises(ModelgateError, match="a different manifest than when this process read it"):
        load(forged, VersionFiles(folder), SIGNED)


@pytest.mark.parametrize("by_value", [False, True])
def test_a_pickle_is_refused_where_pickles_are_denied(models: Path, tmp_path: Path, by_value: bool) -> None:
    write_version(models, "m", Bomb(tmp_path / "trace"), numbers("a"), by_value=by_value)
    code, said = refused(models, Trust(pickles=False))
    assert code == Code.NOT_TRUSTED
    assert "is a pickle" in said and "PICKLE=deny loads only skops" in said


def test_a_pickle_that_calls_itself_skops_is_not_unpickled(models: Path, tmp_path: Path) -> None:
    manifest = write_version(models, "m", LogisticRegression(), numbers("a"), skops=True)
    data = pickle.dumps(Bomb(tmp_path / "trace"))
    (models / "m/versions/1/model.skops").write_bytes(data)
    rewrite(models, manifest, data)
    assert refused(models, Trust(pickles=False))[0] == Code.ARTIFACT_CORRUPT


def rewrite(root: Path, manifest: ModelManifest, data: bytes) -> None:
    """Rewrite the manifest so that it matches `data`."""
    artifact = dataclasses.replace(manifest.artifact, size=len(data), sha256=hashlib.sha256(data).hexdigest())
    path = root / manifest.name / "versions" / str(manifest.version) / "manifest.json"
    path.write_text(dataclasses.replace(manifest, artifact=artifact).dumps())


def pem(key: Any) -> bytes:
    data: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return data


def test_a_file_may_hold_several_keys(tmp_path: Path) -> None:
    (tmp_path / "keys").write_bytes(b"the old one\n" + pem(OTHER) + b"the new one\n" + pem(KEY))
    settings = Settings(verify_key=tmp_path / "keys", pickle="deny")
    assert Trust.from_settings(settings) == Trust((public(OTHER), public(KEY)), pickles=False)
    assert Trust.from_json(Trust.from_settings(settings).to_json()) == Trust.from_settings(settings)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "holds no public key"),
        (b"ssh-ed25519 AAAA", "holds no public key"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "is not a public ed25519 key"),
        (pem(generate_private_key(SECP256R1())), "is not a public ed25519 key"),
        (KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), "holds a private key"),
    ],
)
def test_a_file_without_public_keys_is_refused_by_name(tmp_path: Path, text: bytes, said: str) -> None:
    (tmp_path / "keys").write_bytes(text)
    with pytest.raises(SettingsError, match=f"VERIFY_KEY={tmp_path}/keys .*{said}"):
        public_keys(tmp_path / "keys")


def test_a_missing_file_of_keys_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"VERIFY_KEY=.*/keys cannot be read \(No such file or directory\)"):
        public_keys(tmp_path / "keys")
