"""An artifact is checked before it is unpickled, and runs on one thread."""

from __future__ import annotations

import dataclasses
import os
import pickle
import platform
from enum import Enum
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from contract.errors import Code, ModelgateError
from contract.model.manifest import ArtifactFormat, ModelManifest
from contract.model.version_files import VersionFiles
from scoring.artifacts import check_versions, library_versions, load, pack, unpack, use_one_thread
from scoring.compatibility import SKLEARN_VERSION, record_versions
from scoring.trust import Trust
from tests.support import Bomb, numbers, write_version


@pytest.fixture
def folder(models: Path) -> Path:
    return models / "tiny/versions/1"


@pytest.fixture
def manifest(models: Path) -> ModelManifest:
    """A valid version."""
    return write_version(models, "tiny", LogisticRegression().fit([[0.0], [1.0]], [0, 1]), numbers("a"))


def refusal(manifest: ModelManifest, folder: Path) -> tuple[str, str]:
    with pytest.raises(ModelgateError) as refused:
        load(manifest, VersionFiles(folder), Trust())
    assert str(refused.value).startswith("version 1 of the model 'tiny' ")
    assert (refused.value.failure.details["model"], refused.value.failure.details["version"]) == ("tiny", 1)
    return refused.value.failure.code, str(refused.value)


def change(manifest: ModelManifest, **artifact: Any) -> ModelManifest:
    return dataclasses.replace(manifest, artifact=dataclasses.replace(manifest.artifact, **artifact))


def test_an_artifact_that_matches_its_manifest_is_loaded(manifest: ModelManifest, folder: Path) -> None:
    assert load(manifest, VersionFiles(folder), Trust()).predict([[2.0]]).tolist() == [1]


def test_a_missing_artifact_is_refused(manifest: ModelManifest, folder: Path) -> None:
    (folder / manifest.artifact.file).unlink()
    code, said = refusal(manifest, folder)
    assert code == Code.ARTIFACT_MISSING
    assert said.endswith("has no readable artifact model.joblib (No such file or directory)")


def test_an_artifact_of_another_size_is_refused(manifest: ModelManifest, folder: Path) -> None:
    os.truncate(folder / manifest.artifact.file, manifest.artifact.size - 1)
    code, said = refusal(manifest, folder)
    assert code == Code.ARTIFACT_CORRUPT
    assert f"of {manifest.artifact.size - 1} bytes instead of {manifest.artifact.size}" in said


def test_an_artifact_with_one_bit_changed_is_refused(manifest: ModelManifest, folder: Path) -> None:
    data = bytearray((folder / manifest.artifact.file).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / manifest.artifact.file).write_bytes(data)
    code, said = refusal(manifest, folder)
    assert code == Code.ARTIFACT_CORRUPT
    assert "wrong checksum" in said


def test_nothing_is_unpickled_unless_the_checksum_matches(models: Path, tmp_path: Path) -> None:
    manifest = write_version(models, "tiny", Bomb(tmp_path / "trace"), numbers("a"))
    refusal(change(manifest, sha256="0" * 64), models / "tiny/versions/1")
    assert not (tmp_path / "trace").exists()
    load(manifest, VersionFiles(models / "tiny/versions/1"), Trust())
    assert (tmp_path / "trace").exists()


class FromElsewhere:
    """Its pickle names a module that this process does not have."""

    def __reduce__(self) -> Any:
        return pickle.loads, (b"cno_such_module\nThing\n.",)


def test_an_artifact_that_cannot_be_unpickled_is_refused_with_the_cause(models: Path) -> None:
    manifest = write_version(models, "tiny", FromElsewhere(), numbers("a"))
    code, said = refusal(manifest, models / "tiny/versions/1")
    assert code == Code.ARTIFACT_CORRUPT
    assert "cannot be unpickled: ModuleNotFoundError: No module named 'no_such_module'" in said


@pytest.mark.parametrize("library", ["scikit-learn", "numpy"])
def test_another_major_version_is_refused(manifest: ModelManifest, folder: Path, library: str) -> None:
    changed = dataclasses.replace(manifest, libraries={**manifest.libraries, library: "0.19.1"})
    code, said = refusal(changed, folder)
    assert code == Code.VERSION_MISMATCH
    assert f"was made with {library} 0.19.1, and this process has {library_versions()[library]}; train it again" in said


def test_a_version_of_another_environment_is_refused(manifest: ModelManifest, folder: Path) -> None:
    code, said = refusal(dataclasses.replace(manifest, environment="sklearn-1.2"), folder)
    assert code == Code.VERSION_MISMATCH
    assert "lives in the environment 'sklearn-1.2', and this process is of another, with scikit-learn" in said


def test_a_manifest_without_the_version_of_a_library_is_refused(manifest: ModelManifest, folder: Path) -> None:
    code, said = refusal(dataclasses.replace(manifest, libraries={}), folder)
    assert code == Code.VERSION_MISMATCH
    assert "of an unknown version" in said


def test_a_version_whose_trees_hold_counts_is_refused(models: Path, folder: Path) -> None:
    with record_versions():
        forest = joblib.load(Path(__file__).parent.parent / "trainer/importing/pickles/forest-1.3.2.joblib")
    code, said = refusal(write_version(models, "tiny", forest, numbers("a", "b")), folder)
    assert code == Code.VERSION_MISMATCH
    assert said.endswith(f"and its answers would be wrong; fit it again with scikit-learn {SKLEARN_VERSION}")


def test_another_minor_version_of_a_library_is_accepted(manifest: ModelManifest) -> None:
    major = library_versions()["scikit-learn"].split(".")[0]
    check_versions(dataclasses.replace(manifest, libraries={**manifest.libraries, "scikit-learn": f"{major}.999"}))


def test_another_minor_version_of_python_matters_only_to_a_cloudpickle(manifest: ModelManifest) -> None:
    changed = dataclasses.replace(manifest, libraries={**manifest.libraries, "python": "3.2.0"})
    check_versions(changed)
    with pytest.raises(ModelgateError, match=r"made with python 3\.2\.0"):
        check_versions(change(changed, format=ArtifactFormat.CLOUDPICKLE))


def test_another_patch_release_of_python_is_accepted(manifest: ModelManifest) -> None:
    minor = ".".join(platform.python_version_tuple()[:2])
    changed = dataclasses.replace(manifest, libraries={**manifest.libraries, "python": f"{minor}.99"})
    check_versions(change(changed, format=ArtifactFormat.CLOUDPICKLE))


def test_a_cloudpickle_is_loaded(models: Path) -> None:
    class Local:
        """A class that only this process has."""

        answer = 42

    manifest = write_version(models, "tiny", Local(), numbers("a"), by_value=True)
    assert load(manifest, VersionFiles(models / "tiny/versions/1"), Trust()).answer == 42


class FourThreads:
    """Its `n_jobs` has no setter."""

    @property
    def n_jobs(self) -> int:
        return 4

    def get_params(self) -> dict[str, int]:
        return {}


def test_a_number_of_threads_that_cannot_be_set_is_left_alone() -> None:
    holds = [FourThreads(), RandomForestClassifier(n_jobs=2)]
    use_one_thread(holds)
    assert [thing.n_jobs for thing in holds] == [4, 1]


def test_a_class_of_ones_own_keeps_its_number_of_threads() -> None:
    class Jobs(BaseEstimator):
        n_jobs = n_threads = thread_count = 3

        def predict(self, X: Any) -> Any:
            return [self.n_jobs, self.n_threads, self.thread_count]

    own = Jobs()
    own.inner = RandomForestClassifier(n_jobs=2)  # type: ignore[attr-defined]
    (loaded,) = unpack(pack([own], ArtifactFormat.CLOUDPICKLE), ArtifactFormat.CLOUDPICKLE)
    use_one_thread(loaded)
    assert loaded.predict([]) == [3, 3, 3] and loaded.inner.n_jobs == 1


def test_all_parts_of_a_model_are_set_to_one_thread(models: Path) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.random((40, 2)), np.arange(40) % 2
    forest = RandomForestClassifier(n_estimators=2, n_jobs=2)
    voting = VotingClassifier([("f", forest), ("p", make_pipeline(StandardScaler(), forest))]).fit(X, y)
    search = GridSearchCV(forest, {"max_depth": [1]}, cv=2).fit(X, y)
    voting.n_jobs = search.n_jobs = -1
    manifest = write_version(models, "tiny", {"models": [voting, search]}, numbers("a", "b"))
    loaded_voting, loaded_search = load(manifest, VersionFiles(models / "tiny/versions/1"), Trust())["models"]
    assert loaded_voting.n_jobs == 1
    assert [loaded_voting.estimators_[0].n_jobs, loaded_voting.estimators_[1][-1].n_jobs] == [1, 1]
    assert [loaded_search.n_jobs, loaded_search.best_estimator_.n_jobs] == [1, 1]


def test_a_model_that_contains_itself_is_walked_once() -> None:
    model = LogisticRegression()
    model.myself = [model]
    use_one_thread(model)
    assert model.n_jobs == 1


@pytest.mark.parametrize("artifact_format", [ArtifactFormat.CLOUDPICKLE, ArtifactFormat.JOBLIB])
def test_models_of_one_notebook_keep_the_classes_that_each_was_saved_with(artifact_format: ArtifactFormat) -> None:
    class Unit(Enum):
        METRES = 1

    class Times(BaseEstimator):
        factor = 1

        def predict(self, X: Any) -> Any:
            return [self.factor * x for x in X] if isinstance(getattr(self, "unit", None), Unit) else None

    def saved(factor: int) -> bytes:
        Times.factor = factor
        model = Times()
        model.unit = Unit.METRES  # type: ignore[attr-defined]
        return pack([model, Times], ArtifactFormat.CLOUDPICKLE)

    (first, kind), (second, other) = [unpack(data, artifact_format) for data in (saved(2), saved(7))]
    assert [model.predict([1]) for model in (first, second)] == [[2], [7]]
    assert len({kind, other, Times}) == 3 and type(first) is kind
    (again, _) = unpack(pack([first, kind], ArtifactFormat.CLOUDPICKLE), artifact_format)
    assert [model.predict([1]) for model in (again, first, second, Times())] == [[2], [2], [7], None]


def test_a_pipe_instead_of_an_artifact_does_not_block(models: Path) -> None:
    manifest = write_version(models, "m", LogisticRegression(), numbers("a"))
    path = models / "m/versions/1" / manifest.artifact.file
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ModelgateError, match=r"no readable artifact model\.joblib \(it is not a regular file\)"):
        load(manifest, VersionFiles(path.parent), Trust())
    (path.parent / "manifest.json.sig").unlink(missing_ok=True)
    os.mkfifo(path.parent / "manifest.json.sig")
    with pytest.raises(ModelgateError, match="has no readable signature"):
        load(manifest, VersionFiles(path.parent), Trust(keys=(bytes(32),)))
