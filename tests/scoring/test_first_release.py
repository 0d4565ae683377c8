"""A model repository that the first release wrote is read by every later one."""

from __future__ import annotations

from pathlib import Path

from contract.repository import Repository
from scoring.artifacts import load
from scoring.predict import predict
from scoring.trust import Trust

FIRST = Path(__file__).parent / "first_release"


def test_what_the_first_release_published_is_served() -> None:
    repository = Repository(FIRST)
    assert repository.names() == ["blobs"]
    assert repository.resolve("blobs") == ("blobs", 1)
    manifest = repository.manifest("blobs", 1)
    assert manifest.signature.names == ("feature_1", "feature_2")
    assert len(manifest.golden.rows) == 20
    estimator = load(manifest, repository.version_dir("blobs", 1), Trust())
    assert tuple(predict(estimator, manifest, manifest.golden.rows).values) == manifest.golden.predictions
