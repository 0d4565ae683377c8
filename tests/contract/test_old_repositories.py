"""A model repository that an older release wrote is read by this one. None of them is ever written again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from contract.errors import ModelgateError
from contract.manifest import ArtifactFormat, InputDtype, Kind
from contract.repository import Repository
from scoring.artifacts import check_versions, load
from scoring.predict import predict
from scoring.trust import Trust

OLD = Path(__file__).parent


@pytest.fixture
def first() -> Repository:
    """Two versions of a logistic regression on iris."""
    return Repository(OLD / "repository-of-0.1")


def test_the_first_releases_aliases_and_manifests_are_read(first: Repository) -> None:
    assert first.names() == ["iris"]
    assert first.aliases("iris") == {"current": 2, "previous": 1}
    assert first.versions("iris") == [1, 2]
    manifest = first.manifest("iris", 2)
    assert manifest.artifact.format is ArtifactFormat.JOBLIB
    assert manifest.artifact.input_dtype is InputDtype.FLOAT64
    assert [(field.name, field.kind) for field in manifest.signature.inputs[:2]] == [
        ("sepal_length", Kind.NUMBER),
        ("sepal_width", Kind.NUMBER),
    ]
    assert manifest.signature.output.labels == (0, 1, 2)
    assert manifest.training_data.rows == 150
    assert manifest.metrics


def test_a_manifest_is_written_with_all_parts_of_the_first_release_in_its_order(first: Repository) -> None:
    old = json.loads((first.version_dir("iris", 2) / "manifest.json").read_text())
    new = json.loads(first.manifest("iris", 2).dumps())
    assert [part for part in new if part in old] == list(old)
    assert new["golden"] == old["golden"]


def test_the_first_releases_model_still_predicts(first: Repository) -> None:
    manifest = first.manifest("iris", 2)
    try:
        check_versions(manifest)
    except ModelgateError as error:
        pytest.skip(str(error))
    answer = predict(load(manifest, first.version_dir("iris", 2), Trust()), manifest, manifest.golden.rows)
    assert tuple(answer.values) == manifest.golden.predictions
