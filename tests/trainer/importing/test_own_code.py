"""Code beside a pickle stands where the pickle looks for its classes, and goes into the published file."""

from __future__ import annotations

import functools
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import cloudpickle
import joblib
import pytest
import skops.io
from sklearn.linear_model import LinearRegression, LogisticRegression

from contract.errors import ModelgateError
from contract.model.manifest import ArtifactFormat
from contract.settings import Settings
from scoring.artifacts import unpack
from tests.trainer.importing.imported import X, y
from trainer.__main__ import main
from trainer.importing import Refused
from trainer.importing.inbox import imports
from trainer.importing.inbox.imports import MOST_CODE, import_file
from trainer.importing.inbox.inbox import Inbox
from trainer.importing.trial.examine import Examined, examine

CODE = '''
from dataclasses import dataclass
from sklearn.base import BaseEstimator, TransformerMixin
import numpy as np

FACTOR = {factor}

def scaled(matrix):
    return matrix * FACTOR

class Times(TransformerMixin, BaseEstimator):
    """Multiplies."""
    def fit(self, X, y=None):
        self.n_features_in_ = X.shape[1]
        return self
    def transform(self, X):
        return Helper(scaled(X)).matrix
    def __sklearn_is_fitted__(self):
        return True

@dataclass
class Helper:
    matrix: "np.ndarray"
'''
SAVE = """
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline

if __name__ == "__main__":
    rows = np.arange(40.0).reshape(20, 2)
    model = make_pipeline(Times(), LinearRegression()).fit(rows, rows.sum(axis=1))
    model.steps[-1][1].coef_ = np.array([1.0, 1.0])
    model.steps[-1][1].intercept_ = 0.0
    save(model)
"""


FITTED = """__import__("sklearn.linear_model").linear_model.LinearRegression().fit(
    np.arange(40.0).reshape(20, 2), np.arange(40.0).reshape(20, 2).sum(axis=1))"""


def saved(tmp_path: Path, factor: int = 3, save: Callable[[Any, Any], None] = pickle.dump, name: str = "loan") -> Path:
    """A model and its script: the script has the class that multiplies by `factor`."""
    file, code = tmp_path / f"{name}.pkl", CODE.format(factor=factor) + SAVE
    file.with_suffix(".py").write_text(code)
    run(code, "__main__", file, save)
    return file


def run(code: str, module: str, file: Path, save: Callable[[Any, Any], None] = pickle.dump) -> None:
    """Run a script, as `python loan.py` does, which saves its model into `file`."""
    script = ModuleType(module)
    names = [module, module.partition(".")[0]]
    before = {name: sys.modules.get(name) for name in names}

    def into_file(model: Any) -> None:
        with file.open("wb") as opened:
            save(model, opened)

    sys.modules.update(dict.fromkeys(names, script))
    try:
        vars(script)["save"] = into_file
        exec(code, vars(script))
    finally:
        for name, there in before.items():
            sys.modules.pop(name, None)
            sys.modules.update({name: there} if there else {})


def examined(file: Path, code: Path | str | None = None) -> Examined:
    if isinstance(code, str):
        file.with_suffix(".code").write_text(code)
    return examine("m", file, None, code=file.with_suffix(".code") if isinstance(code, str) else code)


def refusal(file: Path, code: Path | str | None = None) -> str:
    with pytest.raises(Refused) as refused:
        examined(file, code)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("save", [pickle.dump, functools.partial(pickle.dump, protocol=2), joblib.dump])
def test_the_script_beside_a_pickle_has_its_classes(tmp_path: Path, save: Callable[[Any, Any], None]) -> None:
    file = saved(tmp_path, save=save)
    result = examined(file, file.with_suffix(".py"))
    assert result.draft.artifact.format is ArtifactFormat.CLOUDPICKLE
    assert result.draft.golden.predictions == (0.0, 3.0, 0.0)
    assert result.draft.training_data.source == "a Pipeline with the code beside it"
    assert "code_of_the_model" not in sys.modules and not hasattr(sys.modules["__main__"], "Times")
    loaded = cloudpickle.loads(result.artifact or b"")
    assert loaded.predict(X[:2]).tolist() == [3.0, 15.0]


def test_models_with_code_of_their_own_do_not_share_its_names(tmp_path: Path) -> None:
    """Both scripts define `Times` and `scaled`, and one of the models is imported while the other one is loaded."""
    answers = []
    for factor in (3, 8):
        file = saved(tmp_path, factor)
        answers.append(unpack(examined(file, file.with_suffix(".py")).artifact or b"", ArtifactFormat.CLOUDPICKLE))
    assert [model.predict(X[:2]).tolist() for model in answers] == [[3.0, 15.0], [8.0, 40.0]]


@pytest.mark.parametrize("module", ["features_of_mine", "utils_of_mine.preprocess", "models", "scoring"])
def test_the_code_of_a_module_that_is_not_here_stands_in_its_place(tmp_path: Path, module: str) -> None:
    file, path = tmp_path / "loan.pkl", tmp_path / "mine.py"
    path.write_text(CODE.format(factor=5))
    run(CODE.format(factor=5) + SAVE.replace("__main__", module), module, file)
    said = refusal(file)
    assert f"needs the module '{module.split('.')[0]}'" in said or f"uses 'Times' of the module {module!r}" in said
    assert "put its code beside the file, under the same name and with the suffix .py" in said
    assert examined(file, path).draft.golden.predictions == (0.0, 5.0, 0.0)
    assert not hasattr(sys.modules.get(module), "Times")


def test_a_step_of_ones_own_beside_the_model_is_put_before_it(tmp_path: Path) -> None:
    code = CODE.format(factor=3).replace("self.n_features_in_ = X.shape[1]", "pass")
    file = tmp_path / "loan.pkl"
    run(
        f"{code}\nsave({{'cleaner': Times(), 'model': MODEL, 'columns': ['a', 'b']}})".replace("MODEL", FITTED),
        "__main__",
        file,
    )
    result = examined(file, code)
    assert result.draft.signature.names == ("a", "b")
    model = LinearRegression().fit(X, X.sum(axis=1))
    assert cloudpickle.loads(result.artifact or b"").predict(X).tolist() == model.predict(X * 3).tolist()


def test_code_that_fails_is_quoted(tmp_path: Path) -> None:
    file = saved(tmp_path)
    for code, said in [
        ("class Times\n    pass", "not Python in line 1, `class Times` (SyntaxError: expected ':'); correct it"),
        ("x = 1\ny = x / 0\n", "fails in line 2, `y = x / 0` (ZeroDivisionError: division by zero); leave only what"),
        ("def f():\n    return 1 / 0\n\nf()", "fails in line 4, `f()` (ZeroDivisionError"),
        ("import sys\nsys.exit('over')", "fails in line 2, `sys.exit('over')` (SystemExit: over)"),
        (
            "import no_such_module",
            "(ModuleNotFoundError: No module named 'no_such_module'); if the model does not need",
        ),
        ("import imblearn_", 'EXTRA_PACKAGES="imblearn_"'),
        ("class Other:\n    pass", "uses 'Times' of __main__, which the code beside it does not define"),
        ("x = '\0'", "has code beside it that "),
    ]:
        assert said in refusal(file, code), code
    file.with_suffix(".code").write_bytes("x = 'é'".encode("latin-1"))
    assert "has code beside it that is not UTF-8 (byte 5)" in refusal(file, file.with_suffix(".code"))


def test_a_class_of_a_library_is_not_looked_for_in_the_code(tmp_path: Path) -> None:
    (tmp_path / "loan.pkl").write_bytes(b"csklearn.svm\nNoSVC\n.")
    assert "sklearn.svm here has no 'NoSVC'" in refusal(tmp_path / "loan.pkl", "class NoSVC: pass")
    (tmp_path / "loan.pkl").write_bytes(b"c__main__\nMyStep\n.")
    said = refusal(tmp_path / "loan.pkl")
    assert said.startswith("uses 'MyStep', which was defined in the script or notebook that saved it (__main__)")
    assert "put its code beside the file" in said and "modelgate publish loan.pkl --code loan.py" in said


def test_code_that_no_pickle_needs_does_not_run(tmp_path: Path) -> None:
    model = LogisticRegression().fit(X, y)
    for data in (pickle.dumps(model), skops.io.dumps(model)):
        (tmp_path / "loan.pkl").write_bytes(data)
        result = examined(tmp_path / "loan.pkl", f"open({str(tmp_path / 'trace')!r}, 'w')")
        assert result.draft.warnings == ("the code beside the file was not run, because the file does not need it",)
        assert result.artifact is None and not (tmp_path / "trace").exists()


@pytest.mark.usefixtures("examined_here", "unverified")
def test_the_inbox_takes_the_code_along(root: Path, tmp_path: Path) -> None:
    promoted: list[Any] = []
    inbox = Inbox(Settings(models_dir=root), lambda *moved: promoted.append(moved), lambda _: None)
    inbox.import_files()
    file = saved(tmp_path)
    for suffix in (".py", ".pkl"):
        file.with_suffix(suffix).rename(root / "inbox" / f"loan{suffix}")
        inbox.import_files()
        assert not promoted
    inbox.import_files()
    assert promoted == [("loan", 1, "current")]
    (root / "inbox/loan.pkl").write_bytes(b"c__main__\nMyStep\n.")
    (root / "inbox/loan.py").write_text("1 / 0")
    for _ in range(2):
        inbox.import_files()
    there = {str(path.relative_to(root / "inbox")) for path in (root / "inbox").rglob("loan*")}
    done = {"done/loan@1.pkl", "done/loan@1.py"}
    assert there == {*done, "rejected/loan.pkl", "rejected/loan.pkl.reason.txt", "rejected/loan.py"}
    assert "fails in line 1, `1 / 0`" in (root / "inbox/rejected/loan.pkl.reason.txt").read_text()


@pytest.mark.usefixtures("examined_here", "unverified")
def test_code_has_limits(root: Path, tmp_path: Path) -> None:
    file = saved(tmp_path)
    code = file.with_suffix(".py")
    with pytest.raises(ModelgateError, match=r"is a pickle, and PICKLE=deny"):
        import_file(Settings(models_dir=root, pickle="deny"), "loan", file, code=code)
    file.write_bytes(skops.io.dumps(LogisticRegression().fit(X, y)))
    with pytest.raises(ModelgateError, match=r"has code beside it, and PICKLE=deny runs none"):
        import_file(Settings(models_dir=root, pickle="deny"), "loan", file, code=code)
    code.write_text("#" * (MOST_CODE + 1))
    with pytest.raises(ModelgateError, match=r"loan.pkl has code beside it that is larger than 1000 kB"):
        import_file(Settings(models_dir=root), "loan", file, code=code)


@pytest.mark.usefixtures("examined_here", "unverified", "own_signals")
def test_the_command_takes_the_code(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELS_DIR", str(root))
    monkeypatch.delenv("REDIS_URL", raising=False)
    file = saved(tmp_path)
    assert main(["import", str(file)]) == 1
    assert main(["import", str(file), "--code", str(file.with_suffix(".py"))]) == 0


def test_code_that_does_not_end_is_refused(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "CHECK_TIMEOUT", 1)
    file = saved(tmp_path)
    file.with_suffix(".py").write_text("import time\ntime.sleep(600)")
    with pytest.raises(
        ModelgateError, match=r"takes more than 1 s .*; leave only what defines its classes and functions"
    ):
        import_file(Settings(models_dir=root), "loan", file, code=file.with_suffix(".py"))
