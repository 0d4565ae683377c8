"""Decides by signature and format which artifacts a process loads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from contract.errors import Code
from contract.model.manifest import ArtifactFormat, ModelManifest
from contract.model.version_files import VersionFiles
from contract.settings import Settings

# `cryptography` takes 5 MB of every process: `key_files` is imported only where there is a key.


@dataclass(frozen=True)
class Trust:
    """Which artifacts are loaded.

    `keys` are public ed25519 keys of 32 bytes; one of them must have signed the manifest, or no signature is needed if
    there are none. `pickles` allows the formats that can run code.
    """

    keys: tuple[bytes, ...] = ()
    pickles: bool = True

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Read VERIFY_KEY and PICKLE. Raises `SettingsError`."""
        pickles = settings.pickle == "allow"
        if settings.verify_key is None:
            return cls((), pickles)
        from scoring.key_files import public_keys

        return cls(public_keys(settings.verify_key), pickles)

    def to_json(self) -> dict[str, Any]:
        return {"keys": [key.hex() for key in self.keys], "pickles": self.pickles}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(tuple(map(bytes.fromhex, data["keys"])), data["pickles"])

    def check(self, manifest: ModelManifest, files: VersionFiles) -> None:
        """Raise `ModelgateError` (`not_trusted`) unless the version of `manifest` with these `files` may be loaded.

        The manifest has the artifact's size and checksum, so its signature covers the artifact.
        """
        if not self.pickles and manifest.artifact.format is not ArtifactFormat.SKOPS:
            raise manifest.error(
                Code.NOT_TRUSTED,
                f"is a pickle ({manifest.artifact.format}), and PICKLE=deny loads only skops: train it again under"
                " PICKLE=deny",
            )
        if self.keys:
            self._check_signature(manifest, files)

    def _check_signature(self, manifest: ModelManifest, files: VersionFiles) -> None:
        try:
            # Read again here, so that the verified bytes are the parsed ones.
            text, signature = files.manifest(), files.signature()
        except FileNotFoundError:
            raise manifest.error(
                Code.NOT_TRUSTED,
                "is not signed, but VERIFY_KEY requires it: if you know where it comes from, sign it with"
                f" `python -m trainer sign --model {manifest.name} --version {manifest.version}`, where the private key"
                " is",
            ) from None
        except OSError as error:
            raise manifest.error(Code.NOT_TRUSTED, f"has no readable signature ({error.strerror})") from error
        if not self.is_signed(text, signature):
            raise manifest.error(
                Code.NOT_TRUSTED,
                "was altered after it was signed, or was signed with a key that is not in VERIFY_KEY: put it back from"
                " a backup, train it again, or complete VERIFY_KEY",
            )
        if ModelManifest.loads(text).dumps() != manifest.dumps():
            raise manifest.error(
                Code.NOT_TRUSTED, "has a different manifest than when this process read it: restart the process"
            )

    def is_signed(self, text: bytes, signature: bytes) -> bool:
        """Return whether one of the keys has made `signature` of `text`."""
        from scoring.key_files import verifies

        return any(verifies(key, text, signature) for key in self.keys)
