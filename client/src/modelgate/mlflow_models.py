"""Reads models that MLflow has saved: the model, the columns of its signature, its input example and its code."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from modelgate.errors import ModelgateError

_URI = re.compile(r"(models|runs):/")
_REGISTERED = re.compile(r"models:/(?!m-[0-9a-f]{32}$)([^/@]+)")
_KINDS = {
    **dict.fromkeys(("float", "double"), "number"),
    **dict.fromkeys(("integer", "long"), "integer"),
    **{kind: kind for kind in ("string", "boolean", "datetime")},
}
"""Our kind for each type of MLflow that one of our columns may hold."""
_LOADED = ("xgboost", "lightgbm")
"""Flavours whose files only their library reads."""
_INSTALL = "pip install 'modelgate-client[mlflow]'"


@dataclass(frozen=True)
class SavedModel:
    """What is published: a fitted estimator, or the path of a file that holds one. `fields` are those of the form.
    `example` are rows, `code` is the module with the classes of the model."""

    model: Any
    fields: Mapping[str, str] = field(default_factory=dict)
    example: Any = None
    code: Path | None = None


def is_mlflow(model: Any) -> bool:
    """Return whether it is the URI of a model of MLflow, or a folder that MLflow has written."""
    text = str(model) if isinstance(model, str | Path) else ""
    return bool(_URI.match(text)) or (bool(text) and Path(text, "MLmodel").is_file())


def name_of(reference: str) -> str:
    """Return the name of a model of MLflow: the registered one, or that of its folder. Raises `ModelgateError`."""
    if registered := _REGISTERED.match(reference):
        return registered[1]
    if reference.startswith("models:"):
        raise ModelgateError(f"{reference} has an id and no name; give the model one")
    return Path(reference).name if _URI.match(reference) else Path(reference).resolve().name


@contextmanager
def opened(reference: str | Path) -> Iterator[SavedModel]:
    """Find a model of MLflow, where `MLFLOW_TRACKING_URI` and `MLFLOW_REGISTRY_URI` say, and yield it. Its files may be
    gone afterwards. Nothing is unpickled here, unless only its own library can read it. Raises `ModelgateError`."""
    try:
        artifacts, models, exceptions = map(import_module, ("mlflow.artifacts", "mlflow.models", "mlflow.exceptions"))
    except ImportError as error:
        raise ModelgateError(f"a model of MLflow is read with its library ({error}): {_INSTALL}") from error
    with TemporaryDirectory() as scratch:
        try:
            is_uri = _URI.match(str(reference))
            folder = Path(artifacts.download_artifacts(str(reference), dst_path=scratch) if is_uri else reference)
            description = models.Model.load(str(folder))
            example = description.load_input_example(str(folder)) if description.saved_input_example_info else None
        except exceptions.MlflowException as error:
            raise ModelgateError(f"MLflow cannot give {reference}: {error}") from error
        except ImportError as error:
            raise ModelgateError(f"MLflow needs a package to give {reference} ({error}): install it here") from error
        yield SavedModel(
            _model(reference, folder, description.flavors),
            _fields(description),
            example if hasattr(example, "shape") or _are_texts(example) else None,
            _code(reference, folder, description.flavors),
        )


def _are_texts(example: Any) -> bool:
    return isinstance(example, list) and all(isinstance(text, str) for text in example)


def _model(reference: str | Path, folder: Path, flavors: Mapping[str, Any]) -> Any:
    """Return the file of a scikit-learn model, or the model that another library loads."""
    if "sklearn" in flavors:
        return _inside(reference, folder, flavors["sklearn"].get("pickled_model", "model.pkl"))
    library = next((name for name in _LOADED if name in flavors), None)
    if library is None:
        raise ModelgateError(
            f"{reference} has the flavours {', '.join(sorted(flavors))}; Modelgate takes models of sklearn,"
            f" {' and '.join(_LOADED)}"
        )
    try:
        return import_module(f"mlflow.{library}").load_model(str(folder))
    except ImportError as error:
        raise ModelgateError(f"{reference} is read with {library} ({error}): pip install {library}") from error


def _inside(reference: str | Path, folder: Path, name: str) -> Path:
    """Return a file or folder that the description names; it may not lead out of the folder."""
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()) or not path.exists():
        raise ModelgateError(f"{reference} has no {name!r} in its folder, which its MLmodel names; log the model again")
    return path


def _code(reference: str | Path, folder: Path, flavors: Mapping[str, Any]) -> Path | None:
    """Return the only module of the code that was saved with the model."""
    names = {flavor["code"] for flavor in flavors.values() if flavor.get("code")}
    files = [file for name in names for file in sorted(_inside(reference, folder, name).rglob("*.py"))]
    modules = [file for file in files if file.parent.name != "modelgate_artifacts"]  # which Modelgate has
    if len(modules) > 1:
        listed = ", ".join(str(file.relative_to(folder)) for file in modules[:5])
        raise ModelgateError(
            f"{reference} has code in several modules ({listed}), and Modelgate takes one; log the model again with"
            " code_paths of one module, or publish it from the Python that has fitted it"
        )
    return modules[0] if modules else None


def _fields(description: Any) -> dict[str, str]:
    """Return what the form says besides the file: the versions that have saved it, and its columns."""
    flavors = description.flavors
    made = {
        "python": flavors.get("python_function", {}).get("python_version"),
        "scikit-learn": flavors.get("sklearn", {}).get("sklearn_version"),
    }
    fields = {"versions": json.dumps({name: str(version) for name, version in made.items() if version})}
    if columns := _columns(description.signature.inputs if description.signature else None):
        fields["columns"] = json.dumps(columns)
    return fields


def _columns(schema: Any) -> Sequence[Mapping[str, Any]]:
    """Return the columns of a signature; none if it has no names, or types that no column of ours holds."""
    if schema is None or schema.is_tensor_spec():
        return []
    columns = [
        {"name": spec.name, "kind": _KINDS.get(getattr(spec.type, "name", "")), "nullable": not spec.required}
        for spec in schema.inputs
    ]
    return columns if all(column["name"] and column["kind"] for column in columns) else []
