"""The files of a version's folder as MLflow reads them, but for the artifact. They are JSON, and so YAML.
https://mlflow.org/docs/latest/ml/model/
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from contract.model.manifest import ArtifactFormat, InputDtype, InputFormat, ModelManifest
from contract.model.signature import Kind, Output, OutputKind, RowFormat

DATA = "data"
"""The folder of the artifact and its manifest."""
LOADER = "modelgate_artifacts.exported"

_EXAMPLE = "input_example.json"
_TYPES = {
    Kind.NUMBER: "double",
    Kind.INTEGER: "long",
    Kind.STRING: "string",
    Kind.BOOLEAN: "boolean",
    Kind.DATETIME: "datetime",
}
_PACKAGES = ("scikit-learn", "numpy", "pandas", "scipy", "joblib", "cloudpickle")


def files(manifest: ModelManifest, is_pickle: bool) -> dict[str, str]:
    """Return the content of each file by its name in the folder. `is_pickle`: `pickle.load` reads the artifact."""
    python = manifest.libraries.get("python", "")
    packages = (*_PACKAGES, "skops") if manifest.artifact.format is ArtifactFormat.SKOPS else _PACKAGES
    pinned = [f"{name}=={manifest.libraries[name]}\n" for name in packages if name in manifest.libraries]
    environment = {"python": python, "build_dependencies": ["pip"], "dependencies": ["-r requirements.txt"]}
    return {
        "MLmodel": json.dumps(_description(manifest, is_pickle), indent=2),
        "requirements.txt": "".join(["mlflow\n", *pinned]),
        "python_env.yaml": json.dumps(environment, indent=2),
        _EXAMPLE: json.dumps(_example(manifest)),
    }


def _description(manifest: ModelManifest, is_pickle: bool) -> dict[str, Any]:
    function = {
        "loader_module": LOADER,
        "code": "code",
        "data": DATA,
        "env": {"virtualenv": "python_env.yaml"},
        "python_version": manifest.libraries.get("python", ""),
    }
    estimator = {
        "pickled_model": f"{DATA}/{manifest.artifact.file}",
        "serialization_format": "cloudpickle",  # which reads plain pickles, too
        "sklearn_version": manifest.libraries.get("scikit-learn", ""),
        "code": "code",
    }
    return {
        "flavors": {"python_function": function, **({"sklearn": estimator} if is_pickle else {})},
        "utc_time_created": manifest.created_at,
        "metadata": {"modelgate": {"model": manifest.name, "version": manifest.version}},
        "saved_input_example_info": {"artifact_path": _EXAMPLE, **_form_of_example(manifest)},
        **_signature(manifest),
    }


def _takes_array(manifest: ModelManifest) -> bool:
    """Return whether the estimator was fitted on an array of numbers, whose columns have no names."""
    signature, is_array = manifest.signature, manifest.artifact.input_format is InputFormat.ARRAY
    kinds = {field.kind for field in signature.inputs}
    return is_array and signature.nameless and kinds <= {Kind.NUMBER, Kind.INTEGER}


def _signature(manifest: ModelManifest) -> dict[str, Any]:
    """Return the member with MLflow's signature; rows that are records have none."""
    signature = manifest.signature
    if signature.format is RowFormat.RECORDS:
        return {}
    if _takes_array(manifest):
        inputs = [_tensor(manifest.artifact.input_dtype, len(signature.inputs))]
    elif signature.format is RowFormat.TEXTS:  # without a name, MLflow takes a list of texts, too
        name = _text_name(manifest)
        inputs = [{"type": "string", **({"name": name} if name else {}), "required": True}]
    else:
        floats = "float" if manifest.artifact.input_dtype is InputDtype.FLOAT32 else "double"
        types = {**_TYPES, Kind.NUMBER: floats}
        inputs = [
            {"type": "float" if f.float32 else types[f.kind], "name": f.name, "required": not f.nullable}
            for f in signature.inputs
        ]
    return {"signature": {"inputs": json.dumps(inputs), "outputs": _outputs(manifest), "params": None}}


def _text_name(manifest: ModelManifest) -> str | None:
    """Return the name that the texts had where the model comes from."""
    is_text = manifest.signature.format is RowFormat.TEXTS
    return next(iter(manifest.signature.inputs[0].aliases), None) if is_text else None


def _outputs(manifest: ModelManifest) -> str | None:
    signature = manifest.signature
    if len(signature.outputs) != 1 or signature.output.name is not None:
        columns = [{"type": _type(output), "name": output.name, "required": True} for output in signature.outputs]
        return json.dumps(columns) if columns else None
    returned = signature.methods[0].returned
    if signature.output.label_names is not None or returned is None or len(returned.dtypes) != 1:
        return json.dumps([{"type": _type(signature.output), "required": True}])
    dtype = returned.dtypes[0]
    return json.dumps([_tensor("str" if dtype.startswith("<U") else dtype)])


def _type(output: Output) -> str:
    labels = [*map(type, output.shown_labels)]
    is_number = output.kind is OutputKind.NUMBER
    return "double" if is_number else "long" if {*labels} == {int} else "boolean" if {*labels} == {bool} else "string"


def _tensor(dtype: str, *width: int) -> dict[str, Any]:
    return {"type": "tensor", "tensor-spec": {"dtype": str(dtype), "shape": [-1, *width]}}


def _example(manifest: ModelManifest) -> Any:
    example: Mapping[str, Any] = manifest.example
    if manifest.signature.format is RowFormat.RECORDS:
        return [example]
    inputs = manifest.signature.inputs
    row = [example.get(field.name) for field in inputs]
    names = [_text_name(manifest) or field.name for field in inputs]
    return [row] if _takes_array(manifest) else {"columns": names, "data": [row]}


def _form_of_example(manifest: ModelManifest) -> dict[str, str]:
    if manifest.signature.format is RowFormat.RECORDS:
        return {"type": "json_object"}
    if _takes_array(manifest):
        return {"type": "ndarray"}
    return {"type": "dataframe", "pandas_orient": "split"}
