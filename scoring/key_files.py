"""The ed25519 keys in the PEM files that settings name."""

from __future__ import annotations

import re
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from contract.errors import SettingsError

_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----\n?", re.DOTALL)


def public_keys(path: Path, setting: str = "VERIFY_KEY") -> tuple[bytes, ...]:
    """Return all keys of the PEM file that `setting` names. Raises `SettingsError`."""
    try:
        blocks = list(_PEM.finditer(path.read_bytes()))
    except OSError as error:
        raise SettingsError(f"{setting}={path} cannot be read ({error.strerror})") from error
    if any(b"PRIVATE" in block[1] for block in blocks):
        raise SettingsError(f"{setting}={path} holds a private key; it has to be the file with the public one")
    keys = []
    for block in blocks:
        try:
            key = load_pem_public_key(block[0])
        except (ValueError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, Ed25519PublicKey):
            raise SettingsError(
                f"{setting}={path} holds a key that is not a public ed25519 key; `python -m trainer keys` makes a pair"
            )
        keys.append(key.public_bytes_raw())
    if not keys:
        raise SettingsError(f"{setting}={path} holds no public key in PEM; `python -m trainer keys` makes a pair")
    return tuple(keys)


def private_key(path: Path, setting: str = "SIGNING_KEY") -> Ed25519PrivateKey:
    """Return the key of the PEM file that `setting` names. Raises `SettingsError`."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{setting}={path} cannot be read ({error.strerror})") from error
    try:
        key = load_pem_private_key(text, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise SettingsError(
            f"{setting}={path} does not hold a private ed25519 key in PEM, without a password; `python -m trainer"
            " keys` makes one"
        )
    return key


def verifies(key: bytes, text: bytes, signature: bytes) -> bool:
    """Return whether `key` (32 bytes) has made `signature` (64 bytes) of `text`."""
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, text)
    except InvalidSignature:
        return False
    return True
