"""Detached signatures of imports: `loan.pkl.sig`, made by `python -m trainer sign-file loan.pkl`.

A signature is a raw ed25519 signature over a JSON text about the import. Signer and trainer each build the text from
their own copies of the files. So a signature fits one file with one sample and one code under one name:

    {"import":{"model":"loan","parts":{"code":"<sha256>","file":"<sha256>","sample":"<sha256>"}}}

A missing part has no entry.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from contract.settings import Settings
from scoring.key_files import public_keys
from scoring.trust import Trust
from trainer.importing import Refused

SUFFIX = ".sig"
"""The suffix of a signature's file name."""

PART, SAMPLE_PART, CODE_PART = "file", "sample", "code"
"""The names of an import's parts in a signature."""


class ImportNotSigned(Refused):
    """The file lacks the required signature."""


def keys(settings: Settings) -> tuple[bytes, ...]:
    """Return the public keys that may sign imports, 32 bytes each; none: no signature is required. Raises
    `SettingsError`."""
    if settings.import_keys is None:
        return Trust.from_settings(settings).keys
    return public_keys(settings.import_keys, "IMPORT_KEYS")


def check(settings: Settings, model: str, parts: Mapping[str, str], signature: bytes | None) -> None:
    """Raise `ImportNotSigned` unless one of the keys has signed `parts` (sha256 in hex, by part) for `model`."""
    allowed = keys(settings)
    if not allowed:
        return
    others = "".join(f" --{part} …" for part in (SAMPLE_PART, CODE_PART) if part in parts)
    command = f"python -m trainer sign-file{others} --name {model} …"
    if signature is None:
        raise ImportNotSigned(
            f"is not signed, but VERIFY_KEY requires it; sign it with `{command}`, and put the {SUFFIX} file beside it,"
            " or send that as the part signature"
        )
    if not Trust(allowed).is_signed(_statement(model, parts), signature):
        raise ImportNotSigned(
            "has a signature that does not fit: it was made for another file, sample, code or name, or with a key that"
            f" may not sign imports (IMPORT_KEYS); sign it with `{command}`"
        )


def sign(key: Ed25519PrivateKey, model: str, file: Path, sample: Path | None, code: Path | None = None) -> Path:
    """Write the signature beside `file` and return its path. Raises OSError."""
    parts = {PART: file, SAMPLE_PART: sample, CODE_PART: code}
    signature = key.sign(_statement(model, {part: _sha256(path) for part, path in parts.items() if path}))
    target = beside(file)
    target.write_bytes(signature)
    return target


def beside(file: Path) -> Path:
    """Return the path of the signature of `file`."""
    return file.with_name(file.name + SUFFIX)


def _statement(model: str, parts: Mapping[str, str]) -> bytes:
    statement = {"import": {"model": model, "parts": dict(parts)}}
    return json.dumps(statement, sort_keys=True, separators=(",", ":")).encode()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
