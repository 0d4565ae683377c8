"""The Open Inference Protocol, version 2: tensors in, tensors out, named as MLServer names those of scikit-learn.

https://github.com/kserve/open-inference-protocol
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from contract.errors import ModelgateError
from contract.model.manifest import ModelManifest
from contract.model.repository import Repository
from contract.model.signature import PREDICT, Kind, Output, OutputKind, Signature
from contract.release import VERSION
from contract.row import Value
from contract.rows.instances import Grid, Instances, check_length, check_width
from contract.wording import listed, shown
from contract.work.jobs import Job
from gateway.problems import MalformedBody, Problem, ProblemCode
from gateway.protocols import native, tensors, triton
from gateway.protocols.offload import offload_large
from gateway.protocols.tensors import Tensor

HEADER_LENGTH = "Inference-Header-Content-Length"
BINARY = "application/octet-stream"
EXTENSIONS = ("binary_tensor_data", "model_repository", *triton.EXTENSIONS)

_DATATYPES = {
    Kind.NUMBER: "FP64",
    Kind.INTEGER: "INT64",
    Kind.STRING: "BYTES",
    Kind.BOOLEAN: "BOOL",
    Kind.DATETIME: "BYTES",
}
_LENGTH = re.compile(r"[0-9]{1,9}", re.ASCII)
PROBABILITIES, SCORES = "predict_proba", "decision_function"
_FIRST = "output-0"
"""The name of the only output of many other servers, which stands for the first method of a model."""
_MOST_OUTPUTS = 100
_NUMBERS = (Kind.NUMBER, Kind.INTEGER)


@dataclass(frozen=True)
class InferRequest:
    """The request: its inputs, the outputs that it asks for (None: all that `predict` has), those of them that are to
    come as bytes (None: all), and those of which only the highest values are to come, with how many."""

    id: str | None
    tensors: Sequence[Tensor]
    outputs: Sequence[str] | None
    binary: Collection[str] | None
    by_column: bool
    highest: Mapping[str, int]

    @property
    def most_rows(self) -> int:
        return max(tensor.rows for tensor in self.tensors)

    def instances(self, signature: Signature) -> Instances:
        """Return the rows: of the only tensor, if it has no name of an input or several columns, in signature order;
        else of one tensor a column. Raises `MalformedBody`."""
        first = self.tensors[0]
        alone = len(self.tensors) == 1 and not self.by_column
        if alone and (first.columns != 1 or first.name not in native.spellings(signature)):
            if first.rows:
                check_length(first.columns, signature)
            rows = list(zip(*[iter(first.values())] * first.columns, strict=True))
            if first.datatype == "BOOL":
                columns = zip_longest(zip(*rows, strict=True), [field.kind for field in signature.inputs])
                rows = list(zip(*(_as_kind(values, kind) for values, kind in columns if values), strict=True))
            return Grid(None, rows)
        for tensor in self.tensors:
            if tensor.columns != 1 or tensor.rows != first.rows:
                shape, expected = [tensor.rows, tensor.columns], f"[{first.rows}] or [{first.rows}, 1]"
                detail = f"the input {shown(tensor.name)} has the shape {shape}; one of several inputs is a column"
                raise MalformedBody(f"{detail} of the shape {expected}, like the first")
        kinds_by_name = {word: field.kind for field in signature.inputs for word in (field.name, *field.aliases)}
        values_by_column = [
            _as_kind(tensor.values(), kinds_by_name.get(tensor.name)) if tensor.datatype == "BOOL" else tensor.values()
            for tensor in self.tensors
        ]
        return Grid([tensor.name for tensor in self.tensors], list(zip(*values_by_column, strict=True)))

    def method(self, signature: Signature) -> str:
        """Return the method of the model that has the outputs. Raises `Problem` if they need several."""
        if self.outputs is None:
            return signature.methods[0].name
        of_predict = _outputs_of_predict(signature)
        asked = {signature.methods[0].name if name == _FIRST else name for name in self.outputs}
        if of_predict and asked <= set(of_predict):
            return PREDICT.name
        if len(asked) == 1:
            return asked.pop()
        names = listed(list(dict.fromkeys([*of_predict, *(method.name for method in signature.methods)])))
        detail = f"the outputs {listed(list(self.outputs))} cannot come together; the model has {names}"
        raise Problem(ProblemCode.NOT_SUPPORTED, f"{detail}: ask for {listed(of_predict)} or for one other output")


@offload_large
def read(body: bytes, header_length: str | None, signature: Signature) -> InferRequest:
    """Return the request. `header_length`: the bytes of its JSON, if bytes of tensors follow. Raises
    `MalformedBody`, and `InvalidInstances` for too many inputs."""
    text, binary = _split(body, header_length)
    value = native.python_json(text)
    if not isinstance(value, dict) or not isinstance(value.get("inputs"), list) or not value["inputs"]:
        raise MalformedBody('the body must be an object with the list "inputs", which has at least one')
    check_width(len(value["inputs"]), signature)
    request_id = value.get("id")
    if request_id is not None and not isinstance(request_id, str):
        raise MalformedBody(f"id must be text; it is {shown(request_id)}")
    parameters = tensors.parameters_of(value, "the request")
    all_binary = parameters.get("binary_data_output") is True
    outputs, as_bytes, highest = _requested(value.get("outputs"), all_binary)
    by_column = tensors.content_type(parameters, "the request") in ("pd", "dict")
    inputs = tensors.read(value["inputs"], binary)
    asked_binary = None if outputs is None and all_binary else as_bytes
    return InferRequest(request_id, inputs, outputs, asked_binary, by_column, highest)


def _as_kind(values: Sequence[Any], kind: Kind | None) -> Sequence[Any]:
    """Return booleans as 0 and 1 for an input of numbers, which is how NumPy casts them."""
    return (
        [int(value) if value is True or value is False else value for value in values] if kind in _NUMBERS else values
    )


def _split(body: bytes, header_length: str | None) -> tuple[bytes, bytes]:
    if header_length is None:
        return body, b""
    length = int(header_length) if _LENGTH.fullmatch(header_length) else 0
    if not 0 < length <= len(body):
        detail = f"{HEADER_LENGTH} must be the bytes of the JSON, from 1 to the {len(body)} of the body"
        raise MalformedBody(f"{detail}; it is {shown(header_length[:40])}")
    return body[:length], body[length:]


def _requested(outputs: object, all_binary: bool) -> tuple[list[str] | None, set[str], dict[str, int]]:
    """Return the names of the outputs, those that are to come as bytes, and of how many only the highest values are."""
    if outputs is None or outputs == []:
        return None, set(), {}
    names: dict[str, None] = {}
    binary, highest = set(), {}
    requested = outputs if isinstance(outputs, list) else [outputs]
    if len(requested) > _MOST_OUTPUTS:
        raise MalformedBody(f"the request asks for {len(requested)} outputs; ask for each output of the model once")
    for number, output in enumerate(requested):
        where = f"outputs[{number}]"
        if not isinstance(output, dict) or not isinstance(output.get("name"), str):
            raise MalformedBody(f'{where} must be an object with a "name"; it is {shown(output)}')
        options = tensors.parameters_of(output, where)
        if classes := options.get("classification"):
            if type(classes) is not int or not 0 < classes < 2**31:
                raise MalformedBody(
                    f"{where}: classification must be a whole number of classes; it is {shown(classes)}"
                )
            highest[output["name"]] = classes
        if output["name"] in names:  # each would be a copy of its answers
            raise MalformedBody(f"{where}.name repeats {shown(output['name'])}; ask for each output once")
        names[output["name"]] = None
        if options.get("binary_data", all_binary) is True:
            binary.add(output["name"])
    return list(names), binary, highest


def write(request: InferRequest, method: str, job: Job) -> tuple[bytes, dict[str, str]]:
    """Return the body, and its headers. Raises `Problem` for an output that is no tensor."""
    answers = _answers(method, job.output or {})
    if _FIRST in (request.outputs or ()):
        answers[_FIRST] = answers[method]
    described, binary = [], []
    for name in request.outputs or answers:
        if name not in answers:
            raise Problem(ProblemCode.NOT_SUPPORTED, f"the model has not answered with {name}")
        try:
            most = request.highest.get(name)
            values = answers[name] if most is None else triton.classified(answers[name], most)
            output, data = tensors.write(name, values, request.binary is None or name in request.binary)
        except ValueError as error:
            if request.outputs is None and name != method:
                continue
            detail = f"{name} is no tensor, because {error}; POST /v1/models/{job.model}/{method} has it as JSON"
            raise Problem(ProblemCode.NOT_SUPPORTED, detail) from error
        described.append(output)
        binary.append(data)
    version, request_id = str(job.version), job.id if request.id is None else request.id
    text = native.line({"model_name": job.model, "model_version": version, "id": request_id, "outputs": described})
    if not any(binary):
        return text, {"Content-Type": "application/json"}
    return b"".join((text, *binary)), {"Content-Type": BINARY, HEADER_LENGTH: str(len(text))}


def _answers(method: str, output: Mapping[str, Any]) -> dict[str, Sequence[Any]]:
    """Return what the job has answered, by the name of the output."""
    beside = {PROBABILITIES: output.get("probabilities"), SCORES: output.get("scores")}
    return {method: output["predictions"], **{name: values for name, values in beside.items() if values is not None}}


def server_metadata() -> dict[str, object]:
    return {"name": "modelgate", "version": VERSION, "extensions": list(EXTENSIONS)}


def model_metadata(model: ModelManifest, versions: Sequence[int]) -> dict[str, object]:
    """Return the inputs as one tensor a column. A single tensor of all columns is taken as well."""
    signature = model.signature
    return {
        "name": model.name,
        "versions": list(map(str, versions)),
        "platform": "sklearn",
        "inputs": [
            {"name": field.name, "datatype": _DATATYPES[field.kind], "shape": [-1, 1]} for field in signature.inputs
        ],
        "outputs": _described_outputs(signature),
    }


def index(repository: Repository, body: bytes) -> list[dict[str, object]]:
    """Return the current version of each model, as the repository extension lists them; those that are ready, if the
    body asks for these. Raises `MalformedBody`."""
    asked = native.json_value(body) if body.strip() else {}
    if not isinstance(asked, dict):
        raise MalformedBody(f'the body must be an object such as {{"ready": true}}; it is {shown(asked)}')
    described: list[dict[str, object]] = []
    for name in repository.names():
        version = repository.aliases(name)["current"]
        try:
            repository.manifest(name, version)
            state, reason = "READY", ""
        except ModelgateError as error:
            state, reason = "UNAVAILABLE", error.failure.message
        if state == "READY" or asked.get("ready") is not True:
            described.append({"name": name, "version": str(version), "state": state, "reason": reason})
    return described


def _described_outputs(signature: Signature) -> list[dict[str, object]]:
    if not signature.outputs:
        return [{"name": signature.methods[0].name, "datatype": "FP64", "shape": [-1, -1]}]
    outputs, several = signature.outputs, len(signature.outputs) > 1
    types = {_datatype_of(output) for output in outputs}
    width = len(outputs)
    described: list[dict[str, object]] = [
        {"name": PREDICT.name, "datatype": types.pop() if len(types) == 1 else "BYTES", "shape": [-1, width]}
    ]
    for name in _outputs_of_predict(signature)[1:]:
        labels: list[Value] = list(outputs[0].shown_labels)
        wide = name == PROBABILITIES and not several
        tensor: dict[str, object] = {"name": name, "datatype": "FP64", "shape": [-1, len(labels) if wide else width]}
        if wide:
            tensor["parameters"] = {"labels": [str(label) for label in labels]}
        elif several:
            tensor["shape"] = [-1, width, -1] if name == PROBABILITIES else [-1, width]
        described.append(tensor)
    return described


def _outputs_of_predict(signature: Signature) -> list[str]:
    """Return the outputs that one call of `predict` answers; empty for a model without it."""
    if not signature.outputs:
        return []
    probabilities = any(output.probabilities for output in signature.outputs)
    scores = any(output.scores for output in signature.outputs)
    return [PREDICT.name, *([PROBABILITIES] if probabilities else []), *([SCORES] if scores else [])]


def _datatype_of(output: Output) -> str:
    if output.kind is OutputKind.NUMBER:
        return "FP64"
    types = {type(label) for label in output.shown_labels}
    return {bool: "BOOL", int: "INT64", float: "FP64"}.get(types.pop(), "BYTES") if len(types) == 1 else "BYTES"


def error(status: int, code: str, sentence: str) -> tuple[object, Mapping[str, str]]:
    """Return an error as all servers of the protocol write it."""
    del status, code
    return {"error": sentence}, {}
