"""Loaded models of tests, and their explanations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from modelgate_kernels import ModelKernel

from contract.model.manifest import InputFormat, ModelManifest
from contract.model.signature import PREDICT, AnswerForm, Field, Kind, Method, Output, OutputKind, Signature
from contract.row import Row
from contract.work.explanations import ExplainRequest
from scoring.explain.rows import explain_rows
from scoring.kernels import find_version_kernel
from tests.scoring.explain.specimens import DATES, NAMES, NUMBERS
from tests.scoring.files.reading import finished
from tests.support import write_version

_KINDS = {**dict.fromkeys(NUMBERS, Kind.NUMBER), **dict.fromkeys(DATES, Kind.DATETIME)}


class Loaded:
    """A model as `worker.model_cache.Model` has it."""

    def __init__(self, manifest: ModelManifest, estimator: Any) -> None:
        self.manifest, self.estimator = manifest, estimator

    @property
    def kernel(self) -> ModelKernel | None:
        return find_version_kernel(self.estimator, self.manifest.signature, self.manifest.artifact)


def loaded(models: Path, estimator: Any, signature: Signature, input_format: InputFormat) -> Loaded:
    number = len(list(models.glob("*")))
    manifest = write_version(
        models, f"m{number}", None, signature.inputs, input_format=input_format, signature=signature
    )
    return Loaded(manifest, estimator)


def specimen(models: Path, name: str, estimator: Any) -> Loaded:
    """Return one of the specimens."""
    labels = tuple(label.item() for label in getattr(estimator, "classes_", ()))
    output = Output(OutputKind.NUMBER)
    if labels:
        output = Output(OutputKind.CLASS, labels, probabilities=hasattr(estimator, "predict_proba"))
    decides = bool(labels) and not output.probabilities
    form = AnswerForm.LABELS if len(labels) > 2 else AnswerForm.NUMBER
    methods = (PREDICT, *([Method("decision_function", form)] if decides else []))
    is_table = name.startswith("table")
    names = NAMES if is_table else [f"x{number}" for number in range(12)]
    kinds = {field: _KINDS.get(field, Kind.STRING) if is_table else Kind.NUMBER for field in names}
    inputs = tuple(Field(field, kinds[field], nullable=True) for field in names)
    layout = InputFormat.DATAFRAME if is_table else InputFormat.ARRAY
    return loaded(models, estimator, Signature(inputs, (output,), methods=methods), layout)


def why(model: Loaded, row: Row, background: Sequence[Row] = (), **asked: Any) -> Mapping[str, Any]:
    """Return the explanation of the answer to a row."""
    (found,) = finished(explain_rows(model, [row], background, ExplainRequest(**asked)))
    return found
