"""Messages for models that do not load or do not predict: the cause, and a remedy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sklearn.exceptions import NotFittedError

from contract.model.environments import environment_of, remedy
from scoring.answers import InvalidAnswer
from scoring.compatibility import SKLEARN_VERSION
from trainer.importing.files.formats import beginning, sklearn_versions
from trainer.importing.files.packages import forecasts, how_to_install, not_served, pip_name

_LOST = re.compile(
    r"Can't (?:get attribute|resolve path) '(?P<class>[^']+)' on <module '(?P<on>[^']+)'"
    # In the first pickle protocols.
    r"|module '(?P<module>[^']+)' has no attribute '(?P<name>[^']+)'"
)
UNFITTED = "holds a model that is not fitted; save it after fit()"
_BESIDE = (
    "put its code beside the file, under the same name and with the suffix .py (inbox: loan.py beside loan.pkl;"
    " modelgate publish loan.pkl --code loan.py; upload: the part code)"
)
_LIBRARIES = ("sklearn", "numpy", "scipy", "pandas", "joblib")


@dataclass(frozen=True)
class MissingName:
    """A name that a pickle needs and that its module lacks. `name` is None if the module itself is missing."""

    module: str
    name: str | None


def missing_name(error: Exception) -> MissingName | None:
    """Return the name whose absence raised `error`; None for another error, or for another release of a library."""
    if isinstance(error, ModuleNotFoundError):
        missing = MissingName(error.name or "", None)
    elif lost := _LOST.search(str(error)):
        missing = MissingName(_module_of(lost), lost["class"] or lost["name"])
    else:
        return None
    module = missing.module
    known = module.split(".")[0] in _LIBRARIES or pip_name(module) or not_served(module) or forecasts(module)
    return None if known or not missing.module else missing


def _module_of(lost: re.Match[str]) -> str:
    module = lost["on"] or lost["module"]
    # `python -m trainer.importing` appears in it as the name of the module.
    return "__main__" if module.split(".")[-1] == "__main__" else module


def why_not_loaded(error: Exception, plain: bytes) -> str:
    others = [version for version in sklearn_versions(plain) if version != SKLEARN_VERSION]
    made = f"was made with scikit-learn {joined(others)}" if others else ""
    # Text can look like a pickle of the first protocol that names a module, such as 'mport joblib'.
    if isinstance(error, ModuleNotFoundError) and " " not in (module := error.name or str(error)):
        return _missing_module(module, others)
    lost = _LOST.search(str(error))
    if isinstance(error, AttributeError) and lost:
        return _missing_class(lost["class"] or lost["name"], _module_of(lost), others)
    cut_off = ("truncated", "EOF: reading", "Ran out of input", "exhausted")
    if isinstance(error, EOFError) or any(words in str(error) for words in cut_off):
        return f"is cut off after {len(plain)} bytes; copy it again"
    if isinstance(error, UnicodeDecodeError) and plain[:1] != b"\x80":
        return f"was made by Python 2, or is not a pickle (it begins with {beginning(plain)}); save it with Python 3"
    if made:
        what = f"{made}, which scikit-learn {SKLEARN_VERSION} here cannot read ({explained(error)})"
        return f"{what}; {remedy(others, SKLEARN_VERSION)}"
    if plain[:1] != b"\x80":
        return f"is not a pickle (it begins with {beginning(plain)}); save the fitted model with joblib.dump"
    if type(error).__module__ in ("_pickle", "pickle") or isinstance(error, KeyError | IndexError):
        return damaged(plain)
    return (
        f"cannot be unpickled ({explained(error)}); load it where it was made, and save it again under scikit-learn"
        f" {SKLEARN_VERSION}"
    )


def of_other_library(library: str) -> str:
    return (
        f"holds an object of {library}, which Modelgate does not run; serve it with a server of that library, or fit a"
        " model of scikit-learn, XGBoost, LightGBM or CatBoost"
    )


def damaged(plain: bytes) -> str:
    return (
        f"is not a pickle, or is damaged (it has {len(plain)} bytes and begins with {beginning(plain)}); copy it again,"
        " in binary mode, or save the fitted model again with joblib.dump"
    )


def of_time_series(kind: str) -> str:
    """Return why a model that forecasts is refused; `kind` is its class or module."""
    return (
        f"is a model of a time series ({kind}): it forecasts what comes after the rows that it was fitted on, and takes"
        " no rows; fit a model of rows, with the date or the last values as columns"
    )


def _missing_module(module: str, others: Sequence[str]) -> str:
    # Some C modules of scikit-learn have bare names such as _loss.
    if module.split(".")[0] in _LIBRARIES or (others and module.startswith("_")):
        made = f"scikit-learn {joined(others)}" if others else f"an old release of {module.split('.')[0]}"
        what = f"was made with {made}: it needs the module {module!r}, which the release here lacks"
        return f"{what}; {remedy(others, SKLEARN_VERSION)}"
    if library := not_served(module):
        return of_other_library(library)
    if forecasts(module):
        return of_time_series(module)
    if module.split(".")[0] == "dill":
        return f"needs dill, which is not installed here; save it with cloudpickle.dump, or {how_to_install('dill')}"
    if package := pip_name(module):
        return f"needs the module {module!r}, which is not installed here; {how_to_install(package)}"
    return (
        f"needs the module {module!r}, which is not here; if it is your own, {_BESIDE}; if it is a library,"
        f" {how_to_install(module.split('.')[0])}"
    )


def _missing_class(name: str, module: str, others: Sequence[str]) -> str:
    if module == "__main__":
        return (
            f"uses {name!r}, which was defined in the script or notebook that saved it (__main__), and a pickle holds"
            f" only its name; {_BESIDE}; or save it from there with cloudpickle.dump, which puts the code into the file"
        )
    if module.split(".")[0] in _LIBRARIES:
        made = f"scikit-learn {joined(others)}" if others else f"another release of {module.split('.')[0]}"
        return f"was made with {made}: {module} here has no {name!r}; {remedy(others, SKLEARN_VERSION)}"
    if pip_name(module):
        return f"uses {name!r} of the module {module!r}, which the installed release lacks; install another release"
    return (
        f"uses {name!r} of the module {module!r}, and the one that is here lacks it; if that module is your own,"
        f" {_BESIDE}; otherwise install the release that has it"
    )


def why_not_predicting(error: Exception, made_with: Sequence[str], has_sample: bool) -> str:
    if isinstance(error, NotFittedError):
        return UNFITTED
    if made_with:
        return (
            f"was made with scikit-learn {joined(made_with)}; scikit-learn {SKLEARN_VERSION} here still loads it, but"
            f" it does not predict ({explained(error)}); {remedy(made_with, SKLEARN_VERSION)}"
        )
    if "Buffer dtype mismatch" in str(error):
        return (
            f"was fitted on numbers of another size than the 64 bits that rows have ({explained(error)}); fit it on"
            " X.astype(float)"
        )
    if "ufunc 'isnan' not supported" in str(error):
        return (
            f"has an encoder that was fitted on numbers in a column of objects, and rows have columns of numbers"
            f" ({explained(error)}); fit it on X.infer_objects()"
        )
    if has_sample:
        return f"does not predict its sample rows ({explained(error)}); correct them, or the model"
    return f"does not predict made-up rows ({explained(error)}); add a CSV sample with some real rows"


def left_out_by_dill(error: NameError) -> str:
    return (
        f"was saved with dill, which leaves out what the functions of a script use ({explained(error)}); save it with"
        " cloudpickle.dump, or with dill.dump(model, file, recurse=True)"
    )


def no_probabilities(row: str, made_with: Sequence[str]) -> str:
    wrong = f"gives invalid probabilities ({row} for a row): each must be from 0 to 1, and their sum must be 1"
    if made_with:
        made = f"was made with scikit-learn {joined(made_with)}"
        return f"{made}, and under {SKLEARN_VERSION} it {wrong}; {remedy(made_with, SKLEARN_VERSION)}"
    return f"{wrong}; correct its predict_proba, or leave it out"


def other_releases(versions: Sequence[str]) -> list[str]:
    """Return those of these versions of scikit-learn that belong to another release than the one that runs here."""
    return [version for version in versions if environment_of(version) != environment_of(SKLEARN_VERSION)]


def not_proven(made_with: Sequence[str], why: str) -> str:
    """Return why a model of another release is refused although it predicts. `why`: what is known of its answers."""
    return (
        f"was made with scikit-learn {joined(made_with)}, which {SKLEARN_VERSION} here serves only if its answers are"
        f" the same: {why}; {remedy(made_with, SKLEARN_VERSION)}"
    )


def joined(versions: Sequence[str]) -> str:
    return " and ".join(versions)


def explained(error: BaseException) -> str:
    """Return an exception as one line."""
    if isinstance(error, InvalidAnswer):
        return f"it {error}"
    text = " ".join(str(error).split())
    text = text if len(text) <= 200 else f"{text[:200]}…"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
