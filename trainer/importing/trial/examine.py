"""Examines a file in the throwaway process: unpickles it and tries the model in it."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import io
import warnings
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import joblib
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from contract.model.environments import environment_of
from contract.model.manifest import ArtifactFormat, ManifestDraft, Remark
from contract.row import Row
from contract.rows.background import background_sample
from scoring import skops_files
from scoring.artifacts import pack, unpack, use_one_thread
from scoring.compatibility import SKLEARN_VERSION, incompatibility, record_versions
from scoring.process_state import ProcessState, changed_by
from scoring.sklearn_internals import needs_fit
from scoring.skops_files import Untrusted, UntrustedTypes
from trainer.importing import ALTERED, LivesElsewhere, Refused
from trainer.importing.contents.file_contents import FileContents, find_model, with_declared_columns
from trainer.importing.files import formats, own_code, reasons
from trainer.importing.inputs import fitted_inputs as inputs
from trainer.importing.inputs import sample
from trainer.importing.inputs.outputs import DoesNotPredict, NoProbabilities
from trainer.importing.other_libraries import adapted
from trainer.importing.trial import expected_answers
from trainer.importing.trial.sample_report import measure_on_sample, profile_of_sample, rows_of_sample
from trainer.importing.trial.trial import try_model


@dataclasses.dataclass(frozen=True)
class Examined:
    """`artifact` is the file to publish; None: the imported file as it is. `sha256`, in hex, is that of the file to
    publish. `facts` are those of its report, if any. `background`: rows to explain its answers against."""

    draft: ManifestDraft
    artifact: bytes | None
    sha256: str
    facts: Mapping[str, Any] | None
    background: Sequence[Row] = ()


def examine(
    name: str,
    file: Path,
    rows: Path | None,
    sha256: str | None = None,
    rows_sha256: str | None = None,
    code: Path | None = None,
    code_sha256: str | None = None,
    nulls: Mapping[str, Sequence[str]] | None = None,
    columns: Sequence[Mapping[str, Any]] | None = None,
    elsewhere: Collection[str] = (),
    target: str | None = None,
) -> Examined:
    """Examine a file, with rows to try it on and the code of its classes, if there are any. `nulls`: what they were in
    the columns of these rows (`Null`), if that is known, and `target` the one with what it predicts; `columns`: those
    of the model, each with `name`, `kind` and `nullable`. Raises `Refused` with the cause and what to do,
    `LivesElsewhere` for a file of the release of an environment in `elsewhere`, and `MemoryError`. Only bytes with
    these hashes, in hex, are used."""
    sample_rows = None if rows is None else sample.read(io.BytesIO(_bytes(rows, rows_sha256)), nulls, target)
    source = None if code is None else _bytes(code, code_sha256)
    data = _bytes(file, sha256)
    artifact_format, plain = _format(file, data)
    _refer(plain, elsewhere)
    process = ProcessState()
    thing, made_with, code_module = _read(plain, artifact_format, source)
    changes = process.put_back()
    made_with = reasons.other_releases(made_with)
    contents = _adapted(_found(thing, sample_rows, [column["name"] for column in columns or ()]))
    sample_rows = sample_rows and sample_rows.with_words(inputs.known_null_words(contents.estimator))
    if columns:
        contents = with_declared_columns(contents, columns)
    if code_module or formats.made_by_dill(plain):
        artifact_format = ArtifactFormat.CLOUDPICKLE
        contents = dataclasses.replace(contents, alone=False)
    elif source is not None:
        unused = "the code beside the file was not run, because the file does not need it"
        contents = dataclasses.replace(contents, warnings=(*contents.warnings, unused))
    use_one_thread(contents.estimator)
    _refuse_unfitted(contents.estimator)
    wrong = incompatibility(contents.estimator, made_with)
    if wrong:
        raise Refused(wrong)
    tried, others = sample_rows, None
    if sample_rows and made_with:
        tried, others = expected_answers.split(sample_rows, contents.estimator)
    with own_code.by_value(code_module):  # before it is asked for anything, which it may remember
        artifact = _artifact(contents, data, plain, artifact_format)
    published = data if artifact is None else artifact
    if changes:  # or is it what the code beside it does, or a library that was imported?
        changes = changed_by(lambda: unpack(published, artifact_format))[1]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            draft = try_model(name, contents, tried, artifact_format, lambda: published)
    except DoesNotPredict as failed:
        if formats.made_by_dill(plain) and isinstance(failed.cause, NameError):
            raise Refused(reasons.left_out_by_dill(failed.cause)) from None
        raise Refused(reasons.why_not_predicting(failed.cause, made_with, sample_rows is not None)) from None
    except NoProbabilities as failed:
        raise Refused(reasons.no_probabilities(str(failed), made_with)) from None
    if made_with and (why := expected_answers.why_not_equal(contents.estimator, draft, tried, others)):
        raise Refused(reasons.not_proven(made_with, why))
    if made_with and sample_rows:
        sample_rows = expected_answers.without(sample_rows, draft)
    facts, of_sample = measure_on_sample(contents.estimator, draft, sample_rows)
    digest = hashlib.sha256(published).hexdigest()
    kept = rows_of_sample(draft, sample_rows)
    profile = profile_of_sample(contents.estimator, draft, kept)
    changes = tuple(dict.fromkeys((*changes, *draft.artifact.changes)))
    draft = dataclasses.replace(
        draft,
        artifact=dataclasses.replace(draft.artifact, changes=changes),
        remarks=(*draft.remarks, *map(Remark, of_sample), *_of_changes(changes)),
        profile=profile,
    )
    labelled = _labelled(draft, contents, made_with, bool(code_module))
    return Examined(labelled, artifact, digest, facts, background_sample(kept))


_MOST_DUMPED = 100
"""Objects of one file, each read from a copy of the rest. More of them are records."""

_SAVE_MODEL = "save the model in a file of its own, with joblib.dump"


class _Dumped(list[Any]):
    """Objects that were dumped one after the other."""


def _found(thing: Any, rows: sample.Sample | None, declared: Sequence[str]) -> FileContents:
    try:
        return find_model(thing, rows, declared)
    except Refused as refused:
        if not isinstance(thing, _Dumped):
            raise
        raise Refused(
            f"holds several objects, dumped one after the other, which do not make one model: together it {refused}"
        ) from None


def _adapted(contents: FileContents) -> FileContents:
    estimator, notes = adapted(contents.estimator, inputs.outermost_parts(contents.estimator))
    alone = contents.alone and estimator is contents.estimator
    return dataclasses.replace(contents, estimator=estimator, alone=alone, warnings=(*contents.warnings, *notes))


def _bytes(path: Path, sha256: str | None) -> bytes:
    data = path.read_bytes()
    if sha256 not in (None, hashlib.sha256(data).hexdigest()):
        raise Refused(ALTERED)
    return data


def _format(file: Path, data: bytes) -> tuple[ArtifactFormat, bytes]:
    """Return the artifact format of the file, and its bytes without compression."""
    if formats.recognise(file) is formats.SKOPS:
        return ArtifactFormat.SKOPS, data
    plain = formats.decompress(data)
    by_value = formats.holds_code(plain) or formats.made_by_dill(plain)  # what dill has stored becomes a cloudpickle
    return ArtifactFormat.CLOUDPICKLE if by_value else ArtifactFormat.JOBLIB, plain


def _refer(plain: bytes, elsewhere: Collection[str]) -> None:
    """Raise `LivesElsewhere` if one of these environments has the release with which the file was made."""
    made_with = {environment_of(version) for version in formats.sklearn_versions(plain)}
    if len(made_with) == 1 and (environment := made_with.pop()) in elsewhere and environment:
        raise LivesElsewhere(environment)


def _read(
    plain: bytes, artifact_format: ArtifactFormat, code: bytes | None
) -> tuple[Any, Sequence[str], ModuleType | None]:
    """Return what the file holds, the other versions of scikit-learn that it was made with, and the module of the code
    beside it, if the file needs that."""
    module = None
    with record_versions() as made_with:
        if artifact_format is ArtifactFormat.SKOPS:
            thing = _unpacked(plain)
        else:
            thing, module = _unpickled(plain, code)
    return thing, made_with, module


def _unpacked(data: bytes) -> Any:
    try:
        return skops_files.loads(data)
    except MemoryError:
        raise
    except UntrustedTypes as error:
        known = all(name.startswith(("sklearn.", "numpy.", "scipy.")) for name in error.names)
        way_out = "save the model with joblib.dump" if known else "use types of scikit-learn alone"
        raise Refused(f"is a skops file that is not loaded: {error}; {way_out}") from None
    except Untrusted as error:
        raise Refused(f"is a skops file that is not loaded: {error}") from None
    except Exception as error:
        raise Refused(
            f"is a skops file that cannot be read ({reasons.explained(error)}); save the model again with"
            f" skops.io.dump, under scikit-learn {SKLEARN_VERSION}"
        ) from None


def _unpickled(plain: bytes, code: bytes | None) -> tuple[Any, ModuleType | None]:

    def read() -> Any:
        """Return the object in the file, or a list of those that were dumped one after the other."""
        # Functions refer to the dict of dill's own `__main__`, which no other unpickler knows.
        load = importlib.import_module("dill").load if formats.made_by_dill(plain) else joblib.load
        things, start = _Dumped(), 0
        while not things or plain[start : start + 1] == b"\x80":
            if len(things) == _MOST_DUMPED:
                raise Refused(f"holds more than {_MOST_DUMPED} objects, dumped one after the other: {_SAVE_MODEL}")
            buffer = io.BytesIO(plain[start:])  # joblib begins at the start
            things.append(load(buffer))
            start += buffer.tell()
        return things[0] if len(things) == 1 else things

    try:
        thing, module = own_code.load(read, plain, code)
    except Refused:
        raise
    except MemoryError:
        # Damaged bytes may ask for any amount of memory.
        if formats.sklearn_versions(plain) or plain.startswith(b"\x80"):
            raise
        raise Refused(reasons.damaged(plain)) from None
    except Exception as error:
        raise Refused(reasons.why_not_loaded(error, plain)) from None
    return thing, module


def _refuse_unfitted(estimator: Any) -> None:
    # Estimators of other libraries may have no attributes of fitting, or unusual ones.
    if type(estimator).__module__.startswith("sklearn."):
        try:
            check_is_fitted(estimator)
        except NotFittedError:
            if needs_fit((inputs.steps(estimator) or [estimator])[-1]):
                raise Refused(reasons.UNFITTED) from None
        except Exception:
            return  # an estimator of another release may fail in any way


def _of_changes(changes: Sequence[str]) -> list[Remark]:
    text = (
        f"its code changes {reasons.joined(changes)} for its whole process. Modelgate puts it back and scores no other"
        " model in that process, so requests may have to wait for a new one; take it out of the code"
    )
    return [Remark(text, "changes_process")] if changes else []


def _labelled(draft: ManifestDraft, contents: FileContents, made_with: Sequence[str], with_code: bool) -> ManifestDraft:
    """Describe the model as its source, and say if it comes from another scikit-learn."""
    source = f"a {type(contents.estimator).__name__}{' with the code beside it' if with_code else ''}"
    if not made_with:
        return dataclasses.replace(draft, training_data=dataclasses.replace(draft.training_data, source=source))
    versions = reasons.joined(made_with)
    remark = Remark(
        f"it was made with scikit-learn {versions}, and {SKLEARN_VERSION} serves it: it gives the answers in the sample"
    )
    return dataclasses.replace(
        draft,
        training_data=dataclasses.replace(draft.training_data, source=f"{source} made with scikit-learn {versions}"),
        remarks=(remark, *draft.remarks),
    )


def _artifact(contents: FileContents, data: bytes, plain: bytes, artifact_format: ArtifactFormat) -> bytes | None:
    """Return the bytes to publish, or None if the file itself can be published."""
    if contents.alone:
        # joblib looks into compressed files by itself, cloudpickle does not, and workers may lack the package.
        other = artifact_format is ArtifactFormat.CLOUDPICKLE or formats.unreadable(data)
        return plain if other and plain is not data else None
    try:
        return pack(contents.estimator, artifact_format)
    except Exception as error:
        raise Refused(
            f"holds a model that cannot be saved separately ({reasons.explained(error)}); save it alone"
        ) from None
