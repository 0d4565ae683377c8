"""Loads the estimator of a version once its trust, library versions, size and checksum are checked; and saves one."""

from __future__ import annotations

import hashlib
import io
import os
import platform
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial, update_wrapper
from importlib import metadata
from typing import Any

import cloudpickle

from contract.errors import Code
from contract.model.manifest import ArtifactFormat, ModelManifest
from contract.model.version_files import VersionFiles
from runtime.environments import environment_here
from scoring import skops_files
from scoring.compatibility import SKLEARN_VERSION, incompatibility, record_versions
from scoring.held_objects import is_own, parts_in
from scoring.sklearn_internals import THREAD_COUNT
from scoring.skops_files import Untrusted
from scoring.trust import Trust

# Imported late: joblib brings numpy, and the trainer's long-lived processes need neither.


def _dumped_by_joblib(estimator: Any) -> bytes:
    import joblib

    buffer = io.BytesIO()
    joblib.dump(estimator, buffer)
    return buffer.getvalue()


def _loaded_by_joblib(data: bytes) -> Any:
    import joblib

    return joblib.load(io.BytesIO(data))


_WRITE: dict[ArtifactFormat, Callable[[Any], bytes]] = {
    ArtifactFormat.JOBLIB: _dumped_by_joblib,
    ArtifactFormat.CLOUDPICKLE: cloudpickle.dumps,
    ArtifactFormat.SKOPS: skops_files.dumps,
}
_READ: dict[ArtifactFormat, Callable[[bytes], Any]] = {
    ArtifactFormat.JOBLIB: _loaded_by_joblib,
    ArtifactFormat.CLOUDPICKLE: cloudpickle.loads,
    ArtifactFormat.SKOPS: skops_files.loads,
}


def library_versions() -> dict[str, str]:
    """Return the versions of the libraries that are installed here, for a manifest. The first three, which always are,
    decide whether an artifact loads."""
    names = ("scikit-learn", "numpy", "pandas", "scipy", "joblib", "cloudpickle", "skops")
    return {"python": platform.python_version(), **{name: version for name in names if (version := _version(name))}}


@cache
def _version(name: str) -> str | None:  # metadata.version reads a file each time
    with suppress(metadata.PackageNotFoundError):
        return metadata.version(name)
    return None


def check_versions(manifest: ModelManifest) -> None:
    """Raise `ModelgateError` (`version_mismatch`) if the artifact may not load here, or not as it was: it lives in
    another environment, or was made with other libraries.

    A cloudpickle holds byte code, which another minor version of Python may not run; scikit-learn and numpy promise
    nothing across major versions.
    """
    here = library_versions()
    if manifest.environment != environment_here():
        home, release = manifest.environment or "of today", here["scikit-learn"]
        raise manifest.error(
            Code.VERSION_MISMATCH,
            f"lives in the environment {home!r}, and this process is of another, with scikit-learn {release}; ask a"
            " server that has it",
            library="scikit-learn",
            made_with=str(manifest.libraries.get("scikit-learn", "")),
            here=release,
        )
    for name, digits in (("python", 2), ("scikit-learn", 1), ("numpy", 1)):
        if name == "python" and manifest.artifact.format is not ArtifactFormat.CLOUDPICKLE:
            continue
        made = str(manifest.libraries.get(name, ""))
        if made.split(".")[:digits] != here[name].split(".")[:digits]:
            raise manifest.error(
                Code.VERSION_MISMATCH,
                f"was made with {name} {made or 'of an unknown version'}, and this process has {here[name]};"
                " train it again",
                library=name,
                made_with=made,
                here=here[name],
            )


def load(manifest: ModelManifest, files: VersionFiles, trust: Trust) -> Any:
    """Load the estimator of `manifest` from its `files`, set to use one thread.

    Raises `ModelgateError`: `not_trusted`, `version_mismatch` (also if this scikit-learn would misread what another one
    has saved), `artifact_missing`, or `artifact_corrupt` when size or checksum differ or unpickling raises. The bytes
    that are unpickled are the bytes that were checked. Raises `MemoryError`.
    """
    trust.check(manifest, files)
    check_versions(manifest)
    data = checked_bytes(manifest, files)
    try:
        with record_versions() as made_with:
            estimator = unpack(data, manifest.artifact.format)
    except MemoryError:
        raise
    except Untrusted as error:
        raise manifest.error(Code.NOT_TRUSTED, f"is not loaded: {error}", **error.details) from error
    except Exception as error:
        raise manifest.error(
            Code.ARTIFACT_CORRUPT,
            f"has an artifact that cannot be unpickled: {type(error).__name__}: {error}",
        ) from error
    wrong = incompatibility(estimator, made_with)
    if wrong:
        raise manifest.error(
            Code.VERSION_MISMATCH,
            wrong,
            library="scikit-learn",
            made_with=" and ".join(made_with),
            here=SKLEARN_VERSION,
        )
    use_one_thread(estimator)
    return estimator


def pack(estimator: Any, artifact_format: ArtifactFormat) -> bytes:
    """Return the estimator as bytes. skops raises `Untrusted`. Raises whatever pickling raises."""
    return _WRITE[artifact_format](estimator)


def unpack(data: bytes, artifact_format: ArtifactFormat) -> Any:
    """Return the estimator in `data`; classes whose code is in it are its own. A pickle can run any code; skops raises
    `Untrusted`. Raises whatever unpickling raises."""
    from modelgate_artifacts.exported import own_classes

    with own_classes():
        return _READ[artifact_format](data)


def checked_bytes(manifest: ModelManifest, files: VersionFiles) -> bytes:
    """Return the artifact. Raises `ModelgateError` (`artifact_missing`, or `artifact_corrupt`: it is another file)."""
    artifact = manifest.artifact
    try:
        with files.open_artifact(artifact.file) as file:
            size = os.fstat(file.fileno()).st_size
            # A file of another size may be huge.
            data = file.read() if size == artifact.size else b""
    except OSError as error:
        raise manifest.error(
            Code.ARTIFACT_MISSING, f"has no readable artifact {artifact.file} ({error.strerror})"
        ) from error
    if size != artifact.size:
        raise manifest.error(Code.ARTIFACT_CORRUPT, f"has an artifact of {size} bytes instead of {artifact.size}")
    if hashlib.sha256(data).hexdigest() != artifact.sha256:
        raise manifest.error(Code.ARTIFACT_CORRUPT, "has an artifact with a wrong checksum (sha256)")
    return data


_THREADS = ("n_jobs", "n_threads", THREAD_COUNT)
_OF_CATBOOST = ("predict", "predict_proba", "predict_log_proba")
"""Methods that start a thread for each processor at each call, unless they get a `thread_count`."""


def use_one_thread(estimator: Any) -> None:
    """Set `n_jobs` and the like to 1 in an estimator and all its parts that are of an installed library.

    For one row, distributing the work costs more than the work: 12.5 instead of 3.3 ms for 100 trees. And there is a
    scorer for each core.
    """
    # Answers of one's own classes may depend on the number.
    for part in (part for part in parts_in(estimator) if not is_own(type(part))):
        for name in _THREADS:
            with suppress(Exception):  # a property may have no setter
                if getattr(part, name, 1) != 1:
                    setattr(part, name, 1)
        if any(kind.__module__.startswith("catboost.") for kind in type(part).__mro__):
            for name in _OF_CATBOOST:
                if method := getattr(type(part), name, None):
                    in_one_thread = update_wrapper(partial(method, part, thread_count=1), method)
                    setattr(part, name, in_one_thread)  # no pickle of CatBoost keeps it
