"""`python -m bench.explanations`: processor time of an explanation of one row, and how often its stated error holds.

Beside it what shap's KernelExplainer takes (in `.venv-shap`), with the same background of 100 rows and the number of
samples that it chooses, and how far its values are from the exact ones.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import tempfile
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import joblib
import numpy as np
from modelgate_kernels.model_kernel import ModelKernel
from sklearn.datasets import make_classification
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bench.console import say
from contract.model.manifest import ArtifactDraft, ArtifactFormat, InputFormat, ManifestDraft, TrainingData
from contract.model.signature import Field, Kind, Output, OutputKind, Signature
from contract.work.explanations import ExplainRequest
from scoring.explain import shapley
from scoring.explain.rows import explain_rows
from scoring.kernels import find_version_kernel

PROJECT = Path(__file__).parents[1]
SHAP = PROJECT / ".venv-shap/bin/python"
BACKGROUND, ROWS, SEEDS = 100, 10, 20
T = TypeVar("T")


def data(inputs: int) -> Any:
    """Return 3,000 rows of numbers, and their classes."""
    return make_classification(3000, inputs, n_informative=inputs // 2, n_redundant=inputs // 4, random_state=0)


def models(inputs: int) -> Mapping[str, Any]:
    X, y = data(inputs)
    X, y = X[:2000], y[:2000]
    return {
        "logistic regression": make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y),
        "forest of 100 trees": RandomForestClassifier(100, min_samples_leaf=2, n_jobs=1, random_state=0).fit(X, y),
        "boosting, classes": HistGradientBoostingClassifier(random_state=0).fit(X, y),
        "boosting, numbers": HistGradientBoostingRegressor(random_state=0).fit(X, X[:, 0] * y + X[:, 1]),
    }


def parts(inputs: int) -> tuple[list[list[float]], list[list[float]]]:
    """Return the background, and the rows to explain."""
    X, _ = data(inputs)
    return X[2000 : 2000 + BACKGROUND].tolist(), X[2500 : 2500 + ROWS].tolist()


def loaded(estimator: Any, inputs: int) -> Any:
    """Return a model as a scorer has it."""
    classes = getattr(estimator, "classes_", None)
    output = Output(OutputKind.NUMBER) if classes is None else Output(OutputKind.CLASS, (0, 1), probabilities=True)
    fields = tuple(Field(f"x{number}", Kind.NUMBER) for number in range(inputs))
    artifact = ArtifactDraft(ArtifactFormat.JOBLIB, InputFormat.ARRAY)
    draft = ManifestDraft("m", "bench", artifact, Signature(fields, (output,)), TrainingData("bench", 0, ""))
    kernel: ModelKernel | None = find_version_kernel(estimator, draft.signature, draft.artifact)
    return SimpleNamespace(manifest=draft, estimator=estimator, kernel=kernel)


def why(model: Any, row: Sequence[float], background: Sequence[Any], **asked: Any) -> Mapping[str, Any]:
    (found,) = finished(explain_rows(model, [row], background, ExplainRequest(label="1", **asked)))
    return found


def finished(steps: Generator[int, None, T]) -> T:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result


def ours() -> Iterator[str]:
    yield "| model | inputs | ms a row | rows of the model | exact | largest error, % of all contributions |"
    yield "|---|---:|---:|---:|---|---:|"
    for inputs in (12, 30):
        background, rows = parts(inputs)
        for name, estimator in models(inputs).items():
            model, found, times = loaded(estimator, inputs), [], []
            why(model, rows[0], background)
            for row in rows:
                began = time.process_time()
                found.append(why(model, row, background))
                times.append(1000 * (time.process_time() - began))
            shares = [100 * max((one["errors"] or {"": 0}).values()) / _size(one["contributions"]) for one in found]
            asked, exact = round(np.mean([one["rows"] for one in found])), "yes" if found[0]["exact"] else "no"
            yield f"| {name} | {inputs} | {np.median(times):.0f} | {asked:,} | {exact} | {np.mean(shares):.2f} |"


def coverage() -> Iterator[str]:
    shapley.SECONDS = 1e9  # another process must not change which rounds there are
    background, rows = parts(12)
    for name, estimator in models(12).items():
        model = loaded(estimator, 12)
        if why(model, rows[0], background)["exact"]:
            continue
        within = []
        for row in rows:
            exact = why(model, row, background, exact=True)["contributions"]
            for seed in range(SEEDS):
                found = why(model, row, background, seed=seed)
                within += [abs(found["contributions"][x] - exact[x]) <= found["errors"][x] for x in exact]
        yield f"{name}: {100 * np.mean(within):.1f} % of {len(within):,} contributions are within their error"


def theirs(folder: Path) -> Iterator[str]:
    """Runs in `.venv-shap`."""
    import shap  # type: ignore[import-not-found]

    yield "| model | inputs | ms a row of KernelExplainer |"
    yield "|---|---:|---:|"
    for file in sorted(folder.glob("*.joblib")):
        inputs, name = file.stem.split("-", 1)
        background, rows = (np.array(part) for part in parts(int(inputs)))
        model = joblib.load(file)
        answer = (lambda X, m=model: m.predict_proba(X)[:, 1]) if hasattr(model, "classes_") else model.predict
        explainer, times = shap.KernelExplainer(answer, background), []
        for row in rows[:3]:
            began = time.process_time()
            explainer.shap_values(row, silent=True)
            times.append(1000 * (time.process_time() - began))
        yield f"| {name} | {inputs} | {np.median(times):.0f} |"


def print_theirs(folder: str) -> None:
    for line in theirs(Path(folder)):
        say(line)


def _size(contributions: Mapping[str, float]) -> float:
    return sum(map(abs, contributions.values()))


def main() -> None:
    for line in itertools.chain(ours(), [""], coverage(), [""]):
        say(line)
    if not SHAP.exists():
        say("for the figures of shap: make .venv-shap/shap.stamp")
        return
    with tempfile.TemporaryDirectory() as folder:
        for inputs in (12, 30):
            for name, estimator in models(inputs).items():
                joblib.dump(estimator, Path(folder) / f"{inputs}-{name}.joblib")
        paths = os.pathsep.join(map(str, (PROJECT, PROJECT / "kernels/src")))
        program = "import sys; from bench import explanations; explanations.print_theirs(sys.argv[1])"
        environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
        subprocess.run([SHAP, "-c", program, folder], check=True, env=environment)  # noqa: S603


if __name__ == "__main__":
    main()
