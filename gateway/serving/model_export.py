"""Exports a version as a folder that MLflow reads, in a zip that is made while it is sent."""

from __future__ import annotations

import hashlib
import os
import time
import zipfile
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO

from contract.errors import Code
from contract.model.card_text import card_files
from contract.model.manifest import ArtifactFormat, ModelManifest
from contract.model.model_card import kept_card
from contract.model.repository import Repository, not_in_repository
from gateway.protocols import mlflow_model

_PIECE = 256 * 1024
"""Bytes of an artifact that are read before other requests run."""
_OF_JOBLIB = b"joblib.numpy_pickle"
"""The module that pickles of joblib name, which puts arrays between the parts of a pickle."""


def open_artifact(repository: Repository, manifest: ModelManifest) -> tuple[BinaryIO, bool]:
    """Return the artifact, which is the one that was published, and whether `pickle.load` reads it. Other requests run
    meanwhile. Raises `ModelgateError`: `artifact_missing`, `artifact_corrupt`."""
    artifact = manifest.artifact
    try:
        file = repository.files(manifest.name, manifest.version).open_artifact(artifact.file)
    except OSError as error:
        what = f"has no readable artifact {artifact.file} ({error.strerror})"
        raise manifest.error(Code.ARTIFACT_MISSING, what) from error
    try:
        size = os.fstat(file.fileno()).st_size
        if size != artifact.size:
            raise manifest.error(Code.ARTIFACT_CORRUPT, f"has an artifact of {size} bytes instead of {artifact.size}")
        digest, is_pickle, end = hashlib.sha256(), artifact.format is not ArtifactFormat.SKOPS, b""
        while piece := file.read(_PIECE):
            digest.update(piece)
            is_pickle = is_pickle and (bool(end) or piece.startswith(b"\x80")) and _OF_JOBLIB not in end + piece
            end = piece[-len(_OF_JOBLIB) :]
            time.sleep(0)
        if digest.hexdigest() != artifact.sha256:
            raise manifest.error(Code.ARTIFACT_CORRUPT, "has an artifact with a wrong checksum (sha256)")
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file, is_pickle


def published_manifest(repository: Repository, manifest: ModelManifest) -> Mapping[str, bytes]:
    """Return the manifest by its name in the folder, as it was published, its signature if it has one, and the model
    card. Raises `ModelgateError`: `model_not_found`."""
    files, name = repository.files(manifest.name, manifest.version), f"{mlflow_model.DATA}/version.json"
    try:
        signature = {f"{name}.sig": files.signature()} if files.is_signed() else {}
        return {name: files.manifest(), **signature, **card_files(kept_card(repository, manifest))}
    except OSError as error:
        raise not_in_repository(manifest.name, manifest.version) from error


def zipped(
    manifest: ModelManifest, published: Mapping[str, bytes], artifact: BinaryIO, is_pickle: bool
) -> Iterator[bytes]:
    """Yield the zip of the folder in pieces; `published` is the `published_manifest`, `artifact` and `is_pickle` are
    those of `open_artifact`."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w") as archive:  # type: ignore[call-overload]
        for name, content in {**mlflow_model.files(manifest, is_pickle), **published, **_code()}.items():
            archive.writestr(name, content)
        with archive.open(f"{mlflow_model.DATA}/{manifest.artifact.file}", "w", force_zip64=True) as member:
            while piece := artifact.read(_PIECE):
                member.write(piece)
                yield sink.taken()
    yield sink.taken()


class _Sink:
    """What a zip is written to: it cannot seek."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, piece: bytes) -> int:
        self._pieces.append(bytes(piece))
        return len(piece)

    def flush(self) -> None:
        """Do nothing: `taken` returns all that was written."""

    def taken(self) -> bytes:
        """Return what was written since the last call."""
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken


def _code() -> Mapping[str, str]:
    """Return the sources of what artifacts name and of the loader; this process only copies them."""
    package = mlflow_model.LOADER.partition(".")[0]
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"{package} is not beside the gateway")
    return {f"code/{package}/{file.name}": file.read_text() for file in sorted(Path(spec.origin).parent.glob("*.py"))}
