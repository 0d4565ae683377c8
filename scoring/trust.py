"""What a process believes before it loads an artifact: whose signature, and which formats."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from contract.errors import Code, ModelgateError
from contract.manifest import ArtifactFormat, ModelManifest
from contract.repository import MANIFEST_FILE, SIGNATURE_FILE
from contract.settings import Settings, SettingsError

_SIGNATURE_BYTES = 64
_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----\n?", re.DOTALL)


@dataclass(frozen=True)
class Trust:
    """`keys`: public ed25519 keys, 32 bytes each, one of which must have signed a manifest; none: nobody asks for
    signatures. `pickles`: whether formats are loaded that can run code."""

    keys: tuple[bytes, ...] = ()
    pickles: bool = True

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Raises `SettingsError` when VERIFY_KEY cannot be used."""
        keys = read_public_keys(settings.verify_key) if settings.verify_key else ()
        return cls(keys, settings.pickle == "allow")

    def to_json(self) -> dict[str, Any]:
        return {"keys": [key.hex() for key in self.keys], "pickles": self.pickles}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(tuple(map(bytes.fromhex, data["keys"])), data["pickles"])

    def check(self, manifest: ModelManifest, folder: Path) -> None:
        """Raises `ModelgateError` (`not_trusted`) unless `manifest`, which was read from `folder`, may be used.

        It holds the artifact's size and checksum: an artifact that fits it is the one that was signed.
        """
        if not self.pickles and manifest.artifact.format is not ArtifactFormat.SKOPS:
            raise not_trusted(
                manifest,
                f"is a pickle ({manifest.artifact.format}), and PICKLE=deny loads only skops: train it again under"
                " PICKLE=deny",
            )
        if self.keys:
            self._check_signature(manifest, folder)

    def _check_signature(self, manifest: ModelManifest, folder: Path) -> None:
        try:
            # Read here, so that what is parsed is what is verified.
            text = (folder / MANIFEST_FILE).read_bytes()
            with (folder / SIGNATURE_FILE).open("rb") as file:
                signature = file.read(_SIGNATURE_BYTES + 1)
        except FileNotFoundError:
            raise not_trusted(
                manifest,
                "is not signed, and VERIFY_KEY asks for it: if you know where it comes from, sign it with"
                " `python -m trainer sign --unsigned`",
            ) from None
        except OSError as error:
            raise not_trusted(manifest, f"has no readable signature ({error.strerror})") from error
        if not self.signed(text, signature):
            raise not_trusted(
                manifest,
                "was altered after it was signed, or was signed with a key that is not in VERIFY_KEY: put it back from"
                " a backup, train it again, or complete VERIFY_KEY",
            )
        if ModelManifest.loads(text).dumps() != manifest.dumps():
            raise not_trusted(
                manifest, "has another manifest now than when this process read it: start the process again"
            )

    def signed(self, text: bytes, signature: bytes) -> bool:
        """Whether `signature` is one of `text` by one of the keys."""
        return any(_verifies(key, text, signature) for key in self.keys)


def read_public_keys(path: Path) -> tuple[bytes, ...]:
    """All keys of a PEM file, which may hold several: the old one and the new. Raises `SettingsError`."""
    try:
        blocks = list(_PEM.finditer(path.read_bytes()))
    except OSError as error:
        raise SettingsError(f"VERIFY_KEY={path} cannot be read ({error.strerror})") from error
    if any(b"PRIVATE" in block[1] for block in blocks):
        raise SettingsError(f"VERIFY_KEY={path} holds a private key; it has to be the file with the public one")
    keys = []
    for block in blocks:
        try:
            key = load_pem_public_key(block[0])
        except (ValueError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, Ed25519PublicKey):
            raise SettingsError(f"VERIFY_KEY={path} holds what is no public ed25519 key; `make keys` makes a pair")
        keys.append(key.public_bytes_raw())
    if not keys:
        raise SettingsError(f"VERIFY_KEY={path} holds no public key in PEM; `make keys` makes a pair")
    return tuple(keys)


def _verifies(key: bytes, text: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, text)
    except InvalidSignature:
        return False
    return True


def not_trusted(manifest: ModelManifest, what: str, **details: object) -> ModelgateError:
    return ModelgateError(
        Code.NOT_TRUSTED,
        f"version {manifest.version} of the model {manifest.name!r} {what}",
        model=manifest.name,
        version=manifest.version,
        **details,
    )
