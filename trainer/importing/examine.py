"""The work of the throwaway process: unpickles a file, tries the model in it, says what came out or what is wrong."""

from __future__ import annotations

import dataclasses
import io
import re
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import joblib
import sklearn
from sklearn.exceptions import InconsistentVersionWarning, NotFittedError
from sklearn.utils.validation import check_is_fitted

from contract.manifest import ArtifactFormat, ModelManifest
from scoring import skops_files
from scoring.artifacts import pack, use_one_thread
from trainer.importing import Refused, sample
from trainer.importing.contents import Contents, unwrapped
from trainer.importing.formats import SKOPS, beginning, decompressed, recognised, sklearn_versions
from trainer.importing.trial import DoesNotPredict, explained, tried

HERE = sklearn.__version__
_LOST = re.compile(
    r"Can't (?:get attribute|resolve path) '(?P<class>[^']+)' on <module '(?P<on>[^']+)'"
    # Of the first protocols.
    r"|module '(?P<module>[^']+)' has no attribute '(?P<name>[^']+)'"
)
_UNFITTED = "holds a model that is not fitted; save it after fit()"
_LIBRARIES = ("sklearn", "numpy", "scipy", "pandas", "joblib")


@dataclasses.dataclass(frozen=True)
class Examined:
    """`artifact` is what to publish; None: the file as it is."""

    draft: ModelManifest
    artifact: bytes | None


def examine(name: str, file: Path, rows: Path | None) -> Examined:
    """Raises `Refused` with the cause and the way out, and `MemoryError`."""
    given = None if rows is None else sample.read(rows)
    data = file.read_bytes()
    artifact_format, plain = _format(file, data)
    thing, made_with = _read(plain, artifact_format)
    contents = unwrapped(thing)
    use_one_thread(contents.estimator)
    _refuse_unfitted(contents.estimator)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            draft = tried(name, contents, given, artifact_format)
    except DoesNotPredict as failed:
        raise Refused(_why_not(failed.cause, made_with, given is not None)) from None
    return Examined(_labelled(draft, contents, made_with), _artifact(contents, data, plain, artifact_format))


def _format(file: Path, data: bytes) -> tuple[ArtifactFormat, bytes]:
    """How a worker is to read it, and the bytes without compression."""
    if recognised(file) is SKOPS:
        return ArtifactFormat.SKOPS, data
    plain = decompressed(data)
    # What cloudpickle stores by value is byte code, and rebuilt by functions of cloudpickle.
    by_value = b"cloudpickle.cloudpickle" in plain
    return ArtifactFormat.CLOUDPICKLE if by_value else ArtifactFormat.JOBLIB, plain


def _read(plain: bytes, artifact_format: ArtifactFormat) -> tuple[Any, Sequence[str]]:
    """What the file holds, and the other versions of scikit-learn that it was made with."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        thing = _unpacked(plain) if artifact_format is ArtifactFormat.SKOPS else _unpickled(plain)
    messages = [warning.message for warning in caught]
    found = {str(m.original_sklearn_version) for m in messages if isinstance(m, InconsistentVersionWarning)}
    return thing, sorted(found - {HERE})


def _unpacked(data: bytes) -> Any:
    try:
        return skops_files.loads(data)
    except MemoryError:
        raise
    except skops_files.UntrustedTypes as error:
        raise Refused(f"is a skops file that is not loaded: {error}; use types of scikit-learn alone") from None
    except Exception as error:
        raise Refused(
            f"is a skops file that cannot be read ({explained(error)}); save the model again with skops.io.dump, under"
            f" scikit-learn {HERE}"
        ) from None


def _unpickled(plain: bytes) -> Any:
    buffer = io.BytesIO(plain)
    try:
        thing = joblib.load(buffer)
    except MemoryError:
        # Sizes in damaged bytes can be anything.
        if sklearn_versions(plain) or plain.startswith(b"\x80"):
            raise
        raise Refused(_damaged(plain)) from None
    except Exception as error:
        raise Refused(_why_not_loaded(error, plain)) from None
    if plain[buffer.tell() :].startswith(b"\x80"):
        raise Refused(
            "holds several objects, dumped into it one after the other, of which only the first"
            f" ({type(thing).__name__}) would be read; save one model, with all that it needs, in one dump"
        )
    return thing


def _why_not_loaded(error: Exception, plain: bytes) -> str:
    others = [version for version in sklearn_versions(plain) if version != HERE]
    made = f"was made with scikit-learn {_joined(others)}" if others else ""
    if isinstance(error, ModuleNotFoundError):
        return _missing_module(error.name or str(error), others)
    lost = _LOST.search(str(error))
    if isinstance(error, AttributeError) and lost:
        return _missing_class(lost["class"] or lost["name"], lost["on"] or lost["module"], others)
    cut_off = ("truncated", "EOF: reading", "Ran out of input", "exhausted")
    if isinstance(error, EOFError) or any(words in str(error) for words in cut_off):
        return f"is cut off after {len(plain)} bytes; copy it again"
    if isinstance(error, UnicodeDecodeError) and plain[:1] != b"\x80":
        return f"was made by Python 2, or is no pickle (it begins with {beginning(plain)}); save it with Python 3"
    if made:
        return f"{made}, which scikit-learn {HERE} here cannot read ({explained(error)}); {_fit_again()}"
    if plain[:1] != b"\x80":
        return f"is not a pickle (it begins with {beginning(plain)}); save the fitted model with joblib.dump"
    if type(error).__module__ in ("_pickle", "pickle") or isinstance(error, KeyError | IndexError):
        return _damaged(plain)
    return (
        f"cannot be unpickled ({explained(error)}); load it where it was made, and save it again under scikit-learn"
        f" {HERE}"
    )


def _damaged(plain: bytes) -> str:
    return (
        f"is not a pickle, or is damaged (it has {len(plain)} bytes and begins with {beginning(plain)}); copy it again,"
        " in binary mode, or save the fitted model again with joblib.dump"
    )


def _missing_module(module: str, others: Sequence[str]) -> str:
    # Some of scikit-learn's own, in C, are called _loss and nothing more.
    if module.split(".")[0] in _LIBRARIES or (others and module.startswith("_")):
        made = f"scikit-learn {_joined(others)}" if others else f"an old release of {module.split('.')[0]}"
        return f"was made with {made}: it needs the module {module!r}, which is gone from the one here; {_fit_again()}"
    return (
        f"needs the module {module!r}, which is not installed here; install it where the trainer and the workers run"
        " (docs/import.md), or, if it is a module of your own, save the model with cloudpickle after"
        " cloudpickle.register_pickle_by_value(module)"
    )


def _missing_class(name: str, module: str, others: Sequence[str]) -> str:
    # It is shown with the name of the package that was started.
    if module.split(".")[-1] == "__main__":
        return (
            f"uses {name!r}, which was defined in the script or notebook that saved it (__main__), and a pickle holds"
            " only its name; save it from there with cloudpickle.dump, which puts the code into the file, or move the"
            " class to a recipe (docs/recipes.md)"
        )
    if module.split(".")[0] in _LIBRARIES:
        made = f"scikit-learn {_joined(others)}" if others else f"another release of {module.split('.')[0]}"
        return f"was made with {made}: {module} here has no {name!r}; {_fit_again()}"
    return f"uses {name!r} of the module {module!r}, and the one installed here has none; install the release it had"


def _why_not(error: Exception, made_with: Sequence[str], has_sample: bool) -> str:
    if isinstance(error, NotFittedError):
        return _UNFITTED
    if made_with:
        return (
            f"was made with scikit-learn {_joined(made_with)}; scikit-learn {HERE} here still loads it, but it"
            f" does not predict ({explained(error)}); {_fit_again()}"
        )
    if has_sample:
        return f"does not predict its sample rows ({explained(error)}); correct them, or the model"
    return (
        f"does not predict rows that were made up for trying it ({explained(error)}); lay a CSV with some real rows"
        " beside it"
    )


def _fit_again() -> str:
    return f"fit it again with scikit-learn {HERE}"


def _joined(versions: Sequence[str]) -> str:
    return " and ".join(versions)


def _refuse_unfitted(estimator: Any) -> None:
    # What others have made may keep nothing from fitting, or under names of its own.
    if type(estimator).__module__.startswith("sklearn."):
        try:
            check_is_fitted(estimator)
        except NotFittedError:
            raise Refused(_UNFITTED) from None
        except Exception:
            return  # what another release has made may fail in any way when it is asked


def _labelled(draft: ModelManifest, contents: Contents, made_with: Sequence[str]) -> ModelManifest:
    """With what it is, for people, and with a warning where it comes from another scikit-learn."""
    source = f"a {type(contents.estimator).__name__}"
    if not made_with:
        return dataclasses.replace(draft, training_data=dataclasses.replace(draft.training_data, source=source))
    versions = _joined(made_with)
    warning = (
        f"it was made with scikit-learn {versions}, and {HERE} serves it: it loads and predicts, but nobody promises"
        f" that its answers are those of {versions}; compare some, or {_fit_again()}"
    )
    return dataclasses.replace(
        draft,
        training_data=dataclasses.replace(draft.training_data, source=f"{source} made with scikit-learn {versions}"),
        warnings=(warning, *draft.warnings),
    )


def _artifact(contents: Contents, data: bytes, plain: bytes, artifact_format: ArtifactFormat) -> bytes | None:
    """The file as it is where a worker can load it: it gets what it was given, and nothing else."""
    if contents.alone:
        # joblib looks into compressed files by itself, cloudpickle does not.
        return plain if artifact_format is ArtifactFormat.CLOUDPICKLE and plain is not data else None
    try:
        return pack(contents.estimator, artifact_format)
    except Exception as error:
        raise Refused(f"holds a model that cannot be saved by itself ({explained(error)}); save it alone") from None


def hide_recipes(module: str) -> None:
    """Workers have no recipes; what needs one must not load here either."""
    sys.modules[module] = None  # type: ignore[assignment]
