"""Signing of versions: the policy, and the private key, which only the trainer has."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from contract.errors import SettingsError
from contract.settings import Settings
from scoring.key_files import private_key
from scoring.trust import Trust

PRIVATE_FILE, PUBLIC_FILE = "signing.pem", "verify.pem"


@dataclass(frozen=True)
class SigningPolicy:
    """How versions are signed: `trust` is what workers require, `key` the private key, None: versions are not
    signed."""

    trust: Trust = Trust()
    key: Ed25519PrivateKey | None = None

    @classmethod
    def from_settings(cls, settings: Settings) -> SigningPolicy:
        """Raises `SettingsError` if SIGNING_KEY or VERIFY_KEY cannot be used, or do not match."""
        trust = Trust.from_settings(settings)
        key = private_key(settings.signing_key) if settings.signing_key else None
        if key and trust.keys and public_half(key) not in trust.keys:
            raise SettingsError(
                f"VERIFY_KEY={settings.verify_key} does not hold the public half of SIGNING_KEY={settings.signing_key}:"
                " workers would refuse what it signs"
            )
        return cls(trust, key)

    @property
    def own_trust(self) -> Trust:
        """The trust that a version just signed with `key` must satisfy."""
        return dataclasses.replace(self.trust, keys=(public_half(self.key),) if self.key else ())

    @property
    def signs_elsewhere(self) -> bool:
        """Whether versions must be signed with a key that this trainer does not have."""
        return bool(self.trust.keys) and self.key is None


UNSIGNED = SigningPolicy()
"""Versions are neither signed nor checked."""


def make_keys(folder: Path) -> tuple[Path, Path]:
    """Write a new key pair to `folder`: the private key, readable only by its owner, and the public key.

    Raises FileExistsError rather than overwrite a key, and other OSErrors.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    private, public = folder / PRIVATE_FILE, folder / PUBLIC_FILE
    key = Ed25519PrivateKey.generate()
    _write_new(private, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600)
    _write_new(public, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), 0o644)
    return private, public


def public_half(key: Ed25519PrivateKey) -> bytes:
    """Return the public key, 32 bytes, as `Trust` has them."""
    return key.public_key().public_bytes_raw()


def _write_new(path: Path, data: bytes, mode: int) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:  # noqa: PTH123
        file.write(data)
