"""Manifest and file to estimator: size, checksum and versions first, then unpickling."""

from __future__ import annotations

import hashlib
import io
import platform
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import cloudpickle
import joblib
import numpy as np

from contract.errors import Code, ModelgateError
from contract.manifest import ArtifactFormat, ModelManifest

_LOAD: dict[ArtifactFormat, Callable[[io.BytesIO], Any]] = {
    ArtifactFormat.JOBLIB: joblib.load,
    ArtifactFormat.CLOUDPICKLE: cloudpickle.load,
}


def libraries() -> dict[str, str]:
    """The versions that decide whether an artifact made here loads elsewhere."""
    return {
        "python": platform.python_version(),
        "scikit-learn": metadata.version("scikit-learn"),
        "numpy": metadata.version("numpy"),
    }


def check_versions(manifest: ModelManifest) -> None:
    """Raises `ModelgateError` (`version_mismatch`) where unpickling would be a gamble.

    A cloudpickle holds byte code, which another minor version of Python may not survive;
    scikit-learn and numpy promise nothing across major versions.
    """
    here = libraries()
    for name, digits in (("python", 2), ("scikit-learn", 1), ("numpy", 1)):
        if name == "python" and manifest.artifact.format is not ArtifactFormat.CLOUDPICKLE:
            continue
        made = str(manifest.libraries.get(name, ""))
        if made.split(".")[:digits] != here[name].split(".")[:digits]:
            raise _failure(
                Code.VERSION_MISMATCH,
                manifest,
                f"was made with {name} {made or 'of an unknown version'}, and this process has {here[name]};"
                " train it again",
                library=name,
                made_with=made,
                here=here[name],
            )


def load(manifest: ModelManifest, folder: Path) -> Any:
    """The estimator of `manifest`, whose artifact lies in `folder`, set to use one thread.

    Raises `ModelgateError`: `version_mismatch`, `artifact_missing`, or `artifact_corrupt` when size or
    checksum differ or unpickling raises. The bytes that are unpickled are the bytes that were checked.
    Raises `MemoryError`.
    """
    check_versions(manifest)
    artifact = manifest.artifact
    try:
        data = (folder / artifact.file).read_bytes()
    except OSError as error:
        raise _failure(
            Code.ARTIFACT_MISSING, manifest, f"has no readable artifact {artifact.file} ({error.strerror})"
        ) from error
    if len(data) != artifact.size:
        raise _failure(
            Code.ARTIFACT_CORRUPT, manifest, f"has an artifact of {len(data)} bytes instead of {artifact.size}"
        )
    if hashlib.sha256(data).hexdigest() != artifact.sha256:
        raise _failure(Code.ARTIFACT_CORRUPT, manifest, "has an artifact with a wrong checksum (sha256)")
    try:
        estimator = _LOAD[artifact.format](io.BytesIO(data))
    except MemoryError:
        raise
    except Exception as error:
        raise _failure(
            Code.ARTIFACT_CORRUPT,
            manifest,
            f"has an artifact that cannot be unpickled: {type(error).__name__}: {error}",
        ) from error
    use_one_thread(estimator)
    return estimator


_THREADS = ("n_jobs", "n_threads", "_n_threads")


def use_one_thread(estimator: Any) -> None:
    """Sets `n_jobs` and its like to 1 in an estimator and all that it holds: a pickle carries its own.

    For one row, handing out the work costs more than the work: 12.5 instead of 3.3 ms for 100 trees. And scorers
    are as many as the cores.
    """
    seen: set[int] = set()
    waiting = [estimator]
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen or isinstance(thing, str | bytes | int | float | np.ndarray | type):
            continue
        seen.add(id(thing))
        if isinstance(thing, dict):
            waiting.extend(thing.values())
        elif isinstance(thing, list | tuple | set):
            waiting.extend(thing)
        elif hasattr(thing, "get_params") and hasattr(thing, "__dict__"):
            for name in _THREADS:
                if getattr(thing, name, 1) != 1:
                    setattr(thing, name, 1)
            waiting.extend(vars(thing).values())


def _failure(code: Code, manifest: ModelManifest, what: str, **details: object) -> ModelgateError:
    return ModelgateError(
        code,
        f"version {manifest.version} of the model {manifest.name!r} {what}",
        model=manifest.name,
        version=manifest.version,
        **details,
    )
