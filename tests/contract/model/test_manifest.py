"""A manifest is read as it was written, and a wrong part is named."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contract.errors import ModelgateError
from contract.model.manifest import Golden, ModelManifest
from contract.model.signature import Field, Kind, Output, OutputKind
from tests.support import Sum, write_version


@pytest.fixture
def manifest(models: Path) -> ModelManifest:
    inputs = [Field("a", Kind.NUMBER, aliases=("A", "a.a")), Field("b", Kind.STRING, True, ("x", "y"))]
    return write_version(
        models,
        "sum",
        Sum(),
        inputs,
        Output(OutputKind.CLASS, (0, 1), probabilities=True, label_names=("no", 1)),
        golden=Golden(((1.0, "x"), (2.0, None)), (0, 1), ({"0": 1.0, "1": 0.0}, {"0": 0.5, "1": 0.5})),
        metrics={"accuracy": 0.5},
        parameters={"depth": 3},
    )


def test_a_written_manifest_is_read_unchanged(manifest: ModelManifest) -> None:
    assert ModelManifest.loads(manifest.dumps()) == manifest


def test_an_answer_that_is_null_keeps_its_place(manifest: ModelManifest) -> None:
    golden = Golden(((1.0, "x"), (2.0, "x"), (3.0, "y")), (None, 1.5, None), ({"0": None}, {"0": 1.0}, {"0": 0.5}))
    changed = dataclasses.replace(manifest, golden=golden)
    assert ModelManifest.loads(changed.dumps()).golden == golden


ABSENT = object()


def _with(value: Any, *path: str | int) -> Callable[[dict[str, Any]], None]:
    def change(data: Any) -> None:
        for part in path[:-1]:
            data = data[part]
        if value is ABSENT:
            del data[path[-1]]
        else:
            data[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (_with(ABSENT, "artifact", "sha256"), "artifact.sha256"),
        (_with(ABSENT, "signature", "outputs", 0, "kind"), "signature.outputs[0].kind"),
        (_with(99, "schema_version"), "has schema_version 99; this release reads 3: upgrade Modelgate"),
        (_with(2, "schema_version"), "was written before release 1.0.0, which does not read it; train or import"),
        (_with("float16", "artifact", "input_dtype"), "artifact.input_dtype, one of float64, float32, int64"),
        (_with("tensor", "signature", "inputs", 0, "kind"), "signature.inputs[0].kind"),
        (_with("yes", "signature", "inputs", 1, "nullable"), "signature.inputs[1].nullable"),
        (_with([], "signature", "inputs"), "signature.inputs"),
        (_with([1], "signature", "inputs"), "signature.inputs[0]"),
        (_with("a", "signature", "inputs", 1, "name"), "'a' twice"),
        (_with(True, "version"), "version"),
        (_with("exe", "artifact", "format"), "artifact.format"),
        (_with("../../etc/passwd", "artifact", "file"), "'../../etc/passwd'"),
        (_with(".hidden", "artifact", "file"), "'.hidden'"),
        (_with([1, 2], "golden", "rows"), "has a value of the wrong type"),
        (_with(["x", {}], "signature", "inputs", 1, "categories"), "signature.inputs[1].categories, a list of texts"),
        (_with([1], "signature", "inputs", 0, "aliases"), "signature.inputs[0].aliases, a list of texts; it has 1"),
        (_with([0, {}], "signature", "outputs", 0, "labels"), "signature.outputs[0].labels, a list of plain values"),
        (
            _with(["no"], "signature", "outputs", 0, "label_names"),
            "label_names in signature.outputs, but not one for each",
        ),
        (_with("much", "metrics", "accuracy"), "metrics.accuracy, a number; it has 'much'"),
        (_with(float("nan"), "metrics", "accuracy"), "NaN is not a finite number"),
        (_with([float("-inf")], "parameters", "depth"), "-Infinity is not a finite number"),
        (_with([None], "remarks"), "remarks[0], an object"),
    ],
)
def test_a_wrong_part_is_named(manifest: ModelManifest, change: Callable[[dict[str, Any]], None], named: str) -> None:
    data = json.loads(manifest.dumps())
    change(data)
    with pytest.raises(ModelgateError) as error:
        ModelManifest.loads(json.dumps(data))
    assert error.value.failure.code == "manifest_invalid"
    assert named in str(error.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\x00", "[" * 100_000])
def test_anything_but_a_manifest_is_refused(text: str) -> None:
    with pytest.raises(ModelgateError, match="the manifest"):
        ModelManifest.loads(text)


def test_what_release_1_0_wrote_is_read_in_full() -> None:
    text = Path(__file__).with_name("manifest-of-1.0.json").read_text()
    assert json.loads(ModelManifest.loads(text).dumps()) == json.loads(text)


@pytest.mark.parametrize("path", [(), ("artifact",), ("signature", "inputs", 0), ("signature", "methods", 0)])
def test_parts_that_a_later_release_adds_are_ignored(manifest: ModelManifest, path: tuple[str | int, ...]) -> None:
    data = json.loads(manifest.dumps())
    _with({"added": "later"}, *path, "added")(data)
    assert ModelManifest.loads(json.dumps(data)) == manifest
