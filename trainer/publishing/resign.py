"""Signs versions that are already in the model repository, without loading them."""

from __future__ import annotations

from collections.abc import Iterator

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from contract.errors import ModelgateError
from contract.model.manifest import ModelManifest
from scoring.artifacts import checked_bytes
from scoring.trust import Trust
from storage.models.repository_writer import RepositoryWriter
from trainer.publishing.signing import public_half


class NotSigned(Exception):
    """A version that is not signed; the message says why."""


def resign(
    repository: RepositoryWriter, key: Ed25519PrivateKey, trust: Trust, unsigned: bool
) -> Iterator[tuple[str, str | None]]:
    """Sign versions that have no signature of `key`. Yields each one's name, and None or why it is not signed.

    Signs versions with a signature that `trust` accepts, and with `unsigned` also those without any: the caller vouches
    for them. Never signs a version that does not match its signature or checksum.
    """
    for name in repository.models_in_any_state():
        with repository.locked(name):
            for version in repository.versions(name):
                try:
                    if _signed_now(repository, name, version, key, trust, unsigned):
                        yield f"{name}@{version}", None
                except (NotSigned, ModelgateError, OSError) as error:
                    yield f"{name}@{version}", str(error)


def sign_version(repository: RepositoryWriter, key: Ed25519PrivateKey, trust: Trust, name: str, version: int) -> None:
    """Sign one version, for which the caller vouches. Harmless to repeat. Raises `NotSigned`, `ModelgateError` and
    OSError."""
    if not repository.has_version(name, version):
        raise NotSigned(f"there is no such version in {repository.root}")
    with repository.locked(name):
        _signed_now(repository, name, version, key, trust, unsigned=True)


def _signed_now(
    repository: RepositoryWriter, name: str, version: int, key: Ed25519PrivateKey, trust: Trust, unsigned: bool
) -> bool:
    """Sign a version and return True, or return False if it was signed already. The caller holds the model's lock.
    Raises `NotSigned`, `ModelgateError` and OSError."""
    files = repository.files(name, version)
    text = files.manifest()
    try:
        signature = files.signature()
    except FileNotFoundError:
        if not unsigned:
            raise NotSigned("it has no signature: if you know where it comes from, add --unsigned") from None
    else:
        if Trust((public_half(key),)).is_signed(text, signature):
            return False
        if not trust.is_signed(text, signature):
            raise NotSigned("it was altered, or VERIFY_KEY lacks the key that signed it: restore it from a backup")
    manifest = ModelManifest.loads(text)
    if (manifest.name, manifest.version) != (name, version):
        raise NotSigned(f"its manifest is of {manifest.name!r} version {manifest.version}")
    checked_bytes(manifest, files)
    repository.sign(name, version, key.sign(text))
    return True
