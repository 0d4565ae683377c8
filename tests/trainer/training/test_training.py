"""A training publishes a version, and each failure has its message."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from contract.errors import Code, ModelgateError
from contract.model.experiments import ExperimentKind, ExperimentPlan
from contract.model.repository import Repository
from contract.rows.background import background_of
from contract.settings import Settings
from contract.work.training import Gate, Progress, TrainingRequest, TrainingResult
from storage.models.repository_writer import RepositoryWriter
from trainer.publishing.aliases import move_alias
from trainer.publishing.experiments import start
from trainer.training.train import train

pytestmark = pytest.mark.usefixtures("unverified", "unreported")


class RecordingTrainer:
    """Runs trainings and records their log and progress."""

    def __init__(self, folder: Path) -> None:
        for name in ("models", "data", "spool", "recipes"):
            (folder / name).mkdir()
        self.data, self.spool, self.recipes = folder / "data", folder / "spool", folder / "recipes"
        self.settings = Settings(
            models_dir=folder / "models", data_dir=self.data, spool_dir=self.spool, recipes_dir=self.recipes
        )
        self.progress: list[Progress] = []
        self.log: list[str] = []
        self.moves: list[tuple[str, int, str]] = []
        self.remark: str | None = None

    def train(self, recipe: str = "blobs", model: str = "m", job: str = "", **request: Any) -> TrainingResult:
        training, try_out = TrainingRequest(model, recipe, **request), partial(start, self.settings, None, id=f"x{job}")
        told = (self.progress.append, self.log.append)
        return train(training, self.settings, *told, self.promote, job, try_out=try_out)

    def promote(self, *move: Any) -> str | None:
        self.moves.append(move)
        return self.remark

    def refused(self, **request: Any) -> tuple[str, str]:
        """Code and message."""
        with pytest.raises(ModelgateError) as refused:
            self.train(**request)
        assert Repository(self.settings.models_dir).versions("m") == []
        return refused.value.failure.code, refused.value.failure.message

    def manifest(self, version: int = 1) -> Any:
        return Repository(self.settings.models_dir).manifest("m", version)


@pytest.fixture
def recorder(tmp_path: Path) -> RecordingTrainer:
    return RecordingTrainer(tmp_path)


POINTS = "feature_1,feature_2,class\n" + "".join(f"{x},{x % 7},{int(x > 20)}\n" for x in range(40))
TABLE = "a,b,z\n" + "".join(f"{x % 5},{x % 3},{'yn'[x % 5 > 2]}\n" for x in range(60))


def test_a_model_may_have_another_name_than_its_recipe(recorder: RecordingTrainer) -> None:
    result = recorder.train(alias="canary", notes="try it", parameters={"C": 0.5})
    assert (result.model, result.version, result.promoted, result.reason) == ("m", 1, True, None)
    assert recorder.moves == [("m", 1, "canary")]
    manifest = recorder.manifest()
    assert (manifest.recipe, manifest.notes, manifest.parameters["C"]) == ("blobs", "try it", 0.5)
    assert result.metrics == manifest.metrics
    assert {"training_accuracy", "cv_accuracy", "cv_accuracy_spread"} <= set(result.metrics)


def test_a_sample_of_the_rows_that_were_learnt_is_kept_to_explain_answers(recorder: RecordingTrainer) -> None:
    lines = [(x * 0.5, x % 3, x % 5 + 0.5) for x in range(200)]
    (recorder.spool / "u1").write_text("a,b,z\n" + "".join(f"{a},{b},{z}\n" for a, b, z in lines))
    recorder.train("tabular", target="z", upload="u1", parameters={"estimator": "linear"})
    rows, warnings = background_of(Repository(recorder.settings.models_dir).files("m", 1), recorder.manifest())
    assert (len(rows), warnings) == (100, ())
    assert len({a for a, _ in rows}) == 100
    assert {tuple(row) for row in rows} <= {(a, b) for a, b, _ in lines}


@pytest.mark.slow
def test_progress_never_goes_back_and_candidates_are_counted(recorder: RecordingTrainer) -> None:
    (recorder.spool / "u1").write_text(TABLE)
    recorder.train("tabular", target="z", upload="u1")
    fractions = [p.fraction for p in recorder.progress]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)
    phases = list(dict.fromkeys(p.phase for p in recorder.progress))
    assert [p for p in phases if p not in ("reading", "profiling")][:4] == [
        "fitting",
        "trying candidates",
        "evaluating",
        "reporting",
    ]
    tried = [p for p in recorder.progress if p.total]
    assert [p.done for p in tried][-1] == tried[-1].total == 5
    assert tried[0].best is None
    assert tried[-1].best is not None
    assert any(p.seconds_left for p in tried)
    assert all(p.unit == "candidates" for p in tried)


@pytest.mark.slow
def test_candidates_are_in_the_progress_so_far_and_in_the_output(recorder: RecordingTrainer) -> None:
    (recorder.spool / "u1").write_text(TABLE)
    comparison = recorder.train("tabular", target="z", upload="u1").candidates
    so_far = [p.candidates for p in recorder.progress]
    counts = [len(reported["items"]) if reported else 0 for reported in so_far[:-1]]
    assert counts == sorted(counts) and set(counts) == {0, 1, 2, 3, 4, 5}
    assert so_far[0] is None and so_far[-1] is None, "the output has them then"
    assert comparison == so_far[-2] and comparison is not None
    assert (comparison["metric"], comparison["left_out"]) == ("log_loss", 0)
    items = comparison["items"]
    assert {item["name"] for item in items} == {"baseline", "linear", "boosting", "forest", "blend"}
    assert [item["mean"] for item in items] == sorted(item["mean"] for item in items)
    assert all(item["spread"] >= 0 and item["seconds"] > 0 for item in items)
    assert [item["chosen"] for item in items] == [True, False, False, False, False]


def test_a_recipe_that_compares_nothing_has_itself_as_its_candidate(recorder: RecordingTrainer) -> None:
    comparison = recorder.train().candidates
    assert comparison is not None
    assert [(item["name"], item["chosen"]) for item in comparison["items"]] == [("blobs", True)]


def test_candidates_that_cannot_be_shown_do_not_fail_a_training(recorder: RecordingTrainer) -> None:
    (recorder.recipes / "mine.py").write_text(
        "from sklearn.linear_model import LinearRegression\n"
        "from trainer.recipe import Candidate, recipe\n"
        "@recipe()\n"
        "def fit(X, y, run):\n"
        "    run.candidates.append(Candidate('odd', 'r2', 0.5, 0.1, 'a while'))\n"
        "    run.tell(0.5, 1, 2, 0.5)\n"
        "    return LinearRegression().fit(X, y)\n"
    )
    (recorder.spool / "u1").write_text(TABLE)
    assert recorder.train("mine", target="b", features=["a"], upload="u1").candidates is None


def test_the_rows_come_from_the_upload_else_the_path_else_the_models_file_else_the_recipe(
    recorder: RecordingTrainer,
) -> None:
    assert recorder.train() and recorder.manifest(1).training_data.source == "scikit-learn: make_classification"
    (recorder.data / "m.csv").write_text(POINTS)
    assert recorder.train() and recorder.manifest(2).training_data.source == "DATA_DIR/m.csv"
    (recorder.data / "sub").mkdir()
    (recorder.data / "sub/p.csv").write_text(POINTS)
    assert recorder.train(path="sub/p.csv") and recorder.manifest(3).training_data.source == "DATA_DIR/sub/p.csv"
    (recorder.spool / "u1").write_text(POINTS)
    assert recorder.train(upload="u1") and recorder.manifest(4).training_data.source == "uploaded CSV file"
    assert recorder.train(upload="u1", upload_name="my.csv") and recorder.manifest(5).training_data.source.endswith(
        "file my.csv"
    )


@pytest.mark.parametrize(
    "where",
    ["../secret.csv", "/etc/passwd", "link.csv", "loop", "sub/../../secret.csv", "", ".", "no.csv", "a\0b", "pipe"],
)
def test_only_regular_files_inside_the_folder_are_read(recorder: RecordingTrainer, where: str) -> None:
    (recorder.data.parent / "secret.csv").write_text(POINTS)
    (recorder.data / "sub").mkdir()
    (recorder.data / "link.csv").symlink_to(recorder.data.parent / "secret.csv")
    (recorder.data / "loop").symlink_to(recorder.data / "loop")
    os.mkfifo(recorder.data / "pipe")
    code, message = recorder.refused(path=where)
    assert code == Code.NO_DATA
    assert message.startswith("data.path ")
    assert str(recorder.data) not in message


@pytest.mark.parametrize("name", ["../secret.csv", "/etc/passwd", "sub/u1", ".u1", "", "..", "link"])
def test_an_upload_is_a_plain_name(recorder: RecordingTrainer, name: str) -> None:
    (recorder.spool.parent / "secret.csv").write_text(POINTS)
    (recorder.spool / ".u1").write_text(POINTS)
    (recorder.spool / "link").symlink_to(recorder.spool.parent / "secret.csv")
    code, message = recorder.refused(upload=name)
    assert code == Code.NO_DATA
    assert message.startswith("the upload ")


def test_a_link_within_the_folder_is_followed(recorder: RecordingTrainer) -> None:
    (recorder.data / "real.csv").write_text(POINTS)
    (recorder.data / "link.csv").symlink_to("real.csv")
    assert recorder.train(path="link.csv").version == 1


def test_a_path_without_data_dir_names_the_setting(recorder: RecordingTrainer) -> None:
    recorder.settings = dataclasses.replace(recorder.settings, data_dir=None)
    assert recorder.refused(path="p.csv") == (
        Code.NO_DATA,
        "data.path is 'p.csv', but DATA_DIR is not set; set it, or upload the file",
    )


@pytest.mark.parametrize(
    ("request_", "code", "said"),
    [
        ({"recipe": "lone"}, Code.TRAINING_FAILED, "there is no recipe 'lone'; there are blobs, "),
        ({"model": "../m"}, Code.TRAINING_FAILED, "'../m' is not a valid model name"),
        (
            {"parameters": {"D": 1}},
            Code.TRAINING_FAILED,
            "'D' is not a parameter of the recipe blobs. It takes: C, a number",
        ),
        ({"parameters": {"C": -1}}, Code.TRAINING_FAILED, "training failed: InvalidParameterError: The 'C' parameter"),
        (
            {"target": "x"},
            Code.NO_DATA,
            "the recipe blobs has its own target, class: leave it out, or use the recipe tabular",
        ),
        ({"features": ["feature_1"]}, Code.NO_DATA, "the recipe blobs has its own features"),
        ({"recipe": "tabular", "target": "x"}, Code.NO_DATA, "the recipe tabular has no training data: name or upload"),
        ({"recipe": "tabular", "path": "few.csv", "target": "y"}, Code.NO_DATA, "DATA_DIR/few.csv has 1 row with a y"),
    ],
)
def test_an_impossible_training_is_refused_with_a_reason(
    recorder: RecordingTrainer, request_: dict[str, Any], code: Code, said: str
) -> None:
    (recorder.data / "few.csv").write_text("x,y\n1,2\n")
    refusal = recorder.refused(**request_)
    assert (refusal[0], refusal[1][: len(said)]) == (code, said)


def test_a_request_may_repeat_what_the_recipe_has(recorder: RecordingTrainer) -> None:
    assert recorder.train(target="class", features=["feature_1", "feature_2"]).version == 1


def test_a_recipe_that_raises_is_in_the_log_with_the_place(recorder: RecordingTrainer) -> None:
    (recorder.recipes / "bad.py").write_text(
        "from trainer.recipe import recipe\n@recipe()\ndef fit(X, y):\n    return y.no_such_thing\n"
    )
    (recorder.spool / "u1").write_text(TABLE)
    code, message = recorder.refused(recipe="bad", target="b", upload="u1")
    assert (code, "AttributeError" in message) == (Code.TRAINING_FAILED, True)
    assert 'bad.py", line 4' in recorder.log[-1]


def test_a_recipe_that_returns_nothing_fails_with_a_reason(recorder: RecordingTrainer) -> None:
    (recorder.recipes / "bad.py").write_text("from trainer.recipe import recipe\n@recipe()\ndef fit(X, y):\n    pass\n")
    (recorder.spool / "u1").write_text(TABLE)
    _, message = recorder.refused(recipe="bad", target="b", upload="u1", features=["a"])
    assert message == "the recipe bad returned None instead of a fitted estimator"


def test_a_users_recipe_may_take_any_table_and_log_its_findings(recorder: RecordingTrainer) -> None:
    (recorder.recipes / "mine.py").write_text(
        "import warnings\n"
        "from sklearn.linear_model import LinearRegression\n"
        "from trainer.recipe import recipe\n"
        "@recipe(test_size=0.5)\n"
        "def fit(X, y, run):\n"
        "    run.remark(f'{[f.name for f in run.inputs]} to {run.target.name}')\n"
        "    warnings.warn('careful')\n"
        "    return LinearRegression().fit(X, y)\n"
    )
    (recorder.recipes / "loan.py").write_text("")
    (recorder.spool / "u1").write_text(TABLE)
    assert recorder.train("mine", target="b", features=["a"], upload="u1").metrics["r2"] < 0.5
    assert "['a'] to b" in recorder.log
    assert recorder.log.count("UserWarning: careful") == 1
    assert recorder.log[0].startswith("RECIPES_DIR/loan.py is not used")


def test_progress_of_a_recipe_is_always_valid_json(recorder: RecordingTrainer) -> None:
    (recorder.recipes / "mine.py").write_text(
        "import numpy as np\n"
        "from sklearn.linear_model import LinearRegression\n"
        "from trainer.recipe import Candidate, recipe\n"
        "@recipe()\n"
        "def fit(X, y, run):\n"
        "    run.candidates.append(Candidate('none', 'r2', float('nan'), float('inf'), np.float32(0.5)))\n"
        "    for share, best in ((0.5, float('nan')), (float('nan'), 1.0), (-1, np.float32(0.5)), (7, float('inf'))):\n"
        "        run.tell(share, 1, 2, best)\n"
        "    return LinearRegression().fit(X, y)\n"
    )
    (recorder.spool / "u1").write_text(TABLE)
    recorder.train("mine", target="b", features=["a"], upload="u1")
    json.dumps([progress.to_json() for progress in recorder.progress], allow_nan=False)
    assert {progress.best for progress in recorder.progress} == {None, 0.5, 1.0}
    fractions = [progress.fraction for progress in recorder.progress]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0


def test_a_recipe_writes_into_a_folder_of_its_own_and_may_change_to_another(
    recorder: RecordingTrainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    recorder.settings = dataclasses.replace(recorder.settings, models_dir=Path("models"))
    (recorder.recipes / "mine.py").write_text(
        "import os\n"
        "from sklearn.linear_model import LinearRegression\n"
        "from trainer.recipe import recipe\n"
        "@recipe()\n"
        "def fit(X, y):\n"
        "    os.mkdir('elsewhere')\n"
        "    os.chdir('elsewhere')\n"
        "    return LinearRegression().fit(X, y)\n"
    )
    (recorder.spool / "u1").write_text(TABLE)
    recorder.train("mine", target="b", features=["a"], upload="u1")
    assert Repository(tmp_path / "models").versions("m") == [1]
    assert not (tmp_path / "elsewhere").exists()


def test_an_estimator_of_ones_own_may_have_its_classes_in_a_list_and_in_any_order(recorder: RecordingTrainer) -> None:
    (recorder.recipes / "mine.py").write_text(
        "import numpy as np\n"
        "from sklearn.linear_model import LogisticRegression\n"
        "from trainer.recipe import recipe\n"
        "class Reversed:\n"
        "    def __init__(self, inner):\n"
        "        self.inner, self.classes_ = inner, inner.classes_.tolist()[::-1]\n"
        "    def predict(self, X):\n"
        "        return self.inner.predict(X)\n"
        "    def predict_proba(self, X):\n"
        "        return self.inner.predict_proba(X)[:, ::-1]\n"
        "@recipe(test_size=0.5)\n"
        "def fit(X, y, *, turned: bool = False):\n"
        "    fitted = LogisticRegression().fit(X, y)\n"
        "    return Reversed(fitted) if turned else fitted\n"
    )
    for target in ("z", "b"):  # two classes, three numbers
        (recorder.spool / "u1").write_text(TABLE)
        request: dict[str, Any] = {"target": target, "features": ["a"], "upload": "u1"}
        straight = recorder.train("mine", **request).metrics
        assert recorder.train("mine", parameters={"turned": True}, **request).metrics == pytest.approx(straight)
        assert "roc_auc" in straight


def test_a_model_that_cannot_be_pickled_is_not_published(recorder: RecordingTrainer) -> None:
    (recorder.recipes / "bad.py").write_text(
        "import sys\nfrom sklearn.linear_model import LinearRegression\nfrom trainer.recipe import recipe\n"
        "@recipe()\ndef fit(X, y):\n    model = LinearRegression().fit(X, y)\n"
        "    model.frame = sys._getframe()\n    return model\n"
    )
    (recorder.spool / "u1").write_text(TABLE)
    code, message = recorder.refused(recipe="bad", target="b", upload="u1", features=["a"])
    assert code == Code.NOT_PUBLISHED
    assert message.startswith("the model is not published: it cannot be written as cloudpickle")


def test_a_version_that_the_gate_refuses_is_published_and_not_promoted(recorder: RecordingTrainer) -> None:
    result = recorder.train("sepals", gate=Gate(floor=0.99))
    assert (result.version, result.promoted) == (1, False)
    assert recorder.progress[-1].fraction == 1.0
    assert str(result.reason).startswith("accuracy is 0.8333, but the gate requires at least 0.99")
    assert recorder.moves == []
    assert Repository(recorder.settings.models_dir).versions("m") == [1]
    assert recorder.train("sepals", gate=Gate(floor=0.8)).promoted


def test_a_version_is_compared_with_the_one_it_would_replace_on_the_same_rows(recorder: RecordingTrainer) -> None:
    assert recorder.train("sepals", gate=Gate(margin=0.0)).promoted
    (recorder.settings.models_dir / "m/aliases.json").write_text('{"current": 1}')
    assert recorder.train("sepals", gate=Gate(margin=0.0)).promoted
    (recorder.settings.models_dir / "m/aliases.json").write_text('{"current": 1}')
    worse = recorder.train("sepals", gate=Gate(margin=0.1), parameters={"C": 1e-5})
    assert not worse.promoted
    assert "and version 1 has 0.8333 on the same held-out rows" in str(worse.reason)


def test_a_version_that_passes_is_tried_instead_of_promoted(recorder: RecordingTrainer) -> None:
    gate = Gate(experiment=ExperimentPlan(ExperimentKind.CANARY, share=0.1))
    first = recorder.train(gate=gate, job="1")
    assert (first.promoted, first.experiment, recorder.moves) == (True, None, [("m", 1, "current")])
    repository = RepositoryWriter(recorder.settings.models_dir)
    move_alias(repository, "m", "current", 1)
    tried = recorder.train(gate=gate, job="2")
    said = "the experiment x2 runs: canary of version 2 beside version 1"
    assert (tried.promoted, tried.reason, tried.experiment) == (False, said, "x2")
    assert tried.to_json()["experiment"] == "x2" and "experiment" not in first.to_json()
    again = recorder.train(gate=gate, job="2")
    assert (again.version, again.experiment) == (2, "x2"), "the job was killed and runs again"
    other = recorder.train(gate=gate, job="3")
    assert (other.version, other.promoted, other.experiment) == (3, False, None)
    assert other.reason == (
        "it is not tried out: the experiment x2 of 'm' runs: canary of version 2 beside version 1; stop it, or wait"
        " until it ends"
    )
    assert recorder.moves == [("m", 1, "current")]
    assert [one.id for one in Repository(repository.root).settings("m").experiments] == ["x2"]


def test_a_remark_of_the_promotion_is_handed_on_and_its_failure_does_not_unpublish(recorder: RecordingTrainer) -> None:
    recorder.remark = "no worker loaded it within 30 s"
    result = recorder.train()
    assert (result.promoted, result.reason) == (True, "no worker loaded it within 30 s")

    def fails(*_: Any) -> None:
        raise ModelgateError("trainer_unavailable", "nobody moves aliases")

    recorder.promote = fails  # type: ignore[method-assign]
    result = recorder.train()
    assert (result.version, result.promoted, result.reason) == (2, False, "nobody moves aliases")

    def finds_no_room(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    recorder.promote = finds_no_room  # type: ignore[method-assign]
    result = recorder.train()
    assert (result.version, result.promoted) == (3, False)
    assert "cannot be written (No space left on device)" in str(result.reason)


@pytest.mark.parametrize(
    ("number", "repair"), [(errno.ENOSPC, "free space on its disk"), (errno.EROFS, "make it writable")]
)
def test_a_full_disk_of_the_models_is_no_fault_of_the_recipe(
    recorder: RecordingTrainer, monkeypatch: pytest.MonkeyPatch, number: int, repair: str
) -> None:
    def no_room(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("storage.models.repository_writer.write", no_room)
    code, message = recorder.refused()
    assert code == Code.MODELS_FULL
    assert message == f"the model repository cannot be written ({os.strerror(number)}); {repair} and train again"


def test_running_out_of_memory_is_not_taken_for_a_fault_of_the_recipe(recorder: RecordingTrainer) -> None:
    (recorder.recipes / "big.py").write_text(
        "from trainer.recipe import recipe\n@recipe()\ndef fit(X, y):\n    raise MemoryError\n"
    )
    (recorder.spool / "u1").write_text(TABLE)
    with pytest.raises(MemoryError):
        recorder.train("big", target="b", upload="u1", features=["a"])
