"""Examines a file in the throwaway process: unpickles it and tries the model in it."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import joblib
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from contract.manifest import ArtifactFormat, ManifestDraft
from scoring import skops_files
from scoring.artifacts import pack, use_one_thread
from scoring.compatibility import SKLEARN_VERSION, incompatibility, record_versions
from scoring.skops_audit import Untrusted, UntrustedTypes
from trainer.importing import ALTERED, Refused, sample
from trainer.importing.contents import Contents, find_model
from trainer.importing.formats import SKOPS, decompress, recognise, sklearn_versions
from trainer.importing.outputs import DoesNotPredict, NoProbabilities
from trainer.importing.reasons import (
    UNFITTED,
    damaged,
    explained,
    fit_again,
    joined,
    no_probabilities,
    why_not_loaded,
    why_not_predicting,
)
from trainer.importing.sample_report import measure_on_sample
from trainer.importing.trial import try_model


@dataclasses.dataclass(frozen=True)
class Examined:
    """`artifact` is the file to publish; None: the imported file as it is. `sha256`, in hex, is that of the file to
    publish. `facts` are those of its report, if any."""

    draft: ManifestDraft
    artifact: bytes | None
    sha256: str
    facts: Mapping[str, Any] | None


def examine(
    name: str, file: Path, rows: Path | None, sha256: str | None = None, rows_sha256: str | None = None
) -> Examined:
    """Examine a file. Raises `Refused` with the cause and what to do, and `MemoryError`. Only bytes with these hashes,
    in hex, are used."""
    given = None if rows is None else sample.read(io.BytesIO(_bytes(rows, rows_sha256)))
    data = _bytes(file, sha256)
    artifact_format, plain = _format(file, data)
    thing, made_with = _read(plain, artifact_format)
    contents = find_model(thing)
    use_one_thread(contents.estimator)
    _refuse_unfitted(contents.estimator)
    wrong = incompatibility(contents.estimator, made_with)
    if wrong:
        raise Refused(wrong)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            draft = try_model(name, contents, given, artifact_format)
    except DoesNotPredict as failed:
        raise Refused(why_not_predicting(failed.cause, made_with, given is not None)) from None
    except NoProbabilities as failed:
        raise Refused(no_probabilities(str(failed), made_with)) from None
    facts, doubts = measure_on_sample(contents.estimator, draft, given)
    artifact = _artifact(contents, data, plain, artifact_format)
    digest = hashlib.sha256(data if artifact is None else artifact).hexdigest()
    draft = dataclasses.replace(draft, warnings=(*draft.warnings, *doubts))
    return Examined(_labelled(draft, contents, made_with), artifact, digest, facts)


def _bytes(path: Path, sha256: str | None) -> bytes:
    data = path.read_bytes()
    if sha256 not in (None, hashlib.sha256(data).hexdigest()):
        raise Refused(ALTERED)
    return data


def _format(file: Path, data: bytes) -> tuple[ArtifactFormat, bytes]:
    """Return the artifact format of the file, and its bytes without compression."""
    if recognise(file) is SKOPS:
        return ArtifactFormat.SKOPS, data
    plain = decompress(data)
    # Code that cloudpickle stores by value is rebuilt by functions of cloudpickle.
    by_value = b"cloudpickle.cloudpickle" in plain
    return ArtifactFormat.CLOUDPICKLE if by_value else ArtifactFormat.JOBLIB, plain


def _read(plain: bytes, artifact_format: ArtifactFormat) -> tuple[Any, Sequence[str]]:
    """Return what the file holds, and the other versions of scikit-learn that it was made with."""
    with record_versions() as made_with:
        thing = _unpacked(plain) if artifact_format is ArtifactFormat.SKOPS else _unpickled(plain)
    return thing, made_with


def _unpacked(data: bytes) -> Any:
    try:
        return skops_files.loads(data)
    except MemoryError:
        raise
    except UntrustedTypes as error:
        raise Refused(f"is a skops file that is not loaded: {error}; use types of scikit-learn alone") from None
    except Untrusted as error:
        raise Refused(f"is a skops file that is not loaded: {error}") from None
    except Exception as error:
        raise Refused(
            f"is a skops file that cannot be read ({explained(error)}); save the model again with skops.io.dump, under"
            f" scikit-learn {SKLEARN_VERSION}"
        ) from None


def _unpickled(plain: bytes) -> Any:
    buffer = io.BytesIO(plain)
    try:
        thing = joblib.load(buffer)
    except MemoryError:
        # Damaged bytes may ask for any amount of memory.
        if sklearn_versions(plain) or plain.startswith(b"\x80"):
            raise
        raise Refused(damaged(plain)) from None
    except Exception as error:
        raise Refused(why_not_loaded(error, plain)) from None
    if plain[buffer.tell() :].startswith(b"\x80"):
        raise Refused(
            "holds several objects, dumped one after the other, but only the first"
            f" ({type(thing).__name__}) would be read; save one model, with everything it needs, in one dump"
        )
    return thing


def _refuse_unfitted(estimator: Any) -> None:
    # Estimators of other libraries may have no attributes of fitting, or unusual ones.
    if type(estimator).__module__.startswith("sklearn."):
        try:
            check_is_fitted(estimator)
        except NotFittedError:
            raise Refused(UNFITTED) from None
        except Exception:
            return  # an estimator of another release may fail in any way


def _labelled(draft: ManifestDraft, contents: Contents, made_with: Sequence[str]) -> ManifestDraft:
    """Describe the model as its source, and warn if it comes from another scikit-learn."""
    source = f"a {type(contents.estimator).__name__}"
    if not made_with:
        return dataclasses.replace(draft, training_data=dataclasses.replace(draft.training_data, source=source))
    versions = joined(made_with)
    warning = (
        f"it was made with scikit-learn {versions}, and {SKLEARN_VERSION} serves it: it loads and predicts, but its"
        f" answers may differ from those under {versions}; compare some, or {fit_again()}"
    )
    return dataclasses.replace(
        draft,
        training_data=dataclasses.replace(draft.training_data, source=f"{source} made with scikit-learn {versions}"),
        warnings=(warning, *draft.warnings),
    )


def _artifact(contents: Contents, data: bytes, plain: bytes, artifact_format: ArtifactFormat) -> bytes | None:
    """Return the bytes to publish, or None if the file itself can be published."""
    if contents.alone:
        # joblib looks into compressed files by itself, cloudpickle does not.
        return plain if artifact_format is ArtifactFormat.CLOUDPICKLE and plain is not data else None
    try:
        return pack(contents.estimator, artifact_format)
    except Exception as error:
        raise Refused(f"holds a model that cannot be saved separately ({explained(error)}); save it alone") from None
