"""`python -m bench.files`: scores large files as one scorer does, and as plain pandas does in one process, in turns.

A ratio above 1 means that our way is faster. Both read the file, predict classes and probabilities, and write the
file with them. The rows of both outputs are compared. With `--scorers 1,2` our way is the whole one: from the first
byte sent to Modelgate with so many scorers to the last byte of its output.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import psutil
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bench import models
from bench.console import say
from bench.file_jobs import MB, download, peaks, submit, wait_for
from bench.processes import PROJECT, WORK, use_two_cores
from bench.protected import wait_until_ready
from bench.servers import BATCHERS, MODELGATE, Running, modelgate, running
from runtime.limits import ONE_THREAD
from trainer.recipe import Table

FOLDER = WORK / "files"
COLUMNS = 13
FORMATS = ("csv", "parquet")
Took = dict[str, float]
Way = Callable[[Path, Path], Took]
"""Scores a file and writes another one. Returns seconds, processor time in seconds and the peak memory in MB."""
_ROWS_AT_ONCE = 100_000
"""Rows that are compared at once."""


def main() -> int:
    options = _options()
    use_two_cores()
    FOLDER.mkdir(parents=True, exist_ok=True)
    repository = _models()
    cases = itertools.product(options.formats, options.models, map(int, options.scorers))
    return 0 if all(_case(options, repository, *case) for case in cases) else 1


def _case(options: argparse.Namespace, repository: Path, suffix: str, name: str, scorers: int) -> bool:
    """Score a file in both ways, in turns. Returns whether the outputs are equal."""
    source, ratios, memory = _file(options.rows, suffix), [], 0.0
    what = f"{name}, {suffix}" + (f", {scorers} scorer{'s' * (scorers > 1)}" if scorers else "")
    with _served(repository, name, scorers) as way:
        for number in range(options.rounds):
            took = _round(repository, name, source, options.plain, way, first=number % 2)
            ratios.append({unit: took["plain"][unit] / took["ours"][unit] for unit in ("seconds", "cpu")})
            memory = max(memory, took["ours"]["mb"])
            say(f"{what}, round {number + 1}: {_listed(took, options.rows)}")
    equal, distance = _compare(source.suffix)
    speed, cost = (_spread(ratio[unit] for ratio in ratios) for unit in ("seconds", "cpu"))
    say(
        f"{what}, {options.rows:,} rows: {speed} times as fast as pandas, {cost} by processor time;"
        f" {memory:.0f} MB; columns and predictions {'equal' if equal else 'DIFFERENT'}, probabilities within"
        f" {distance:.1e}"
    )
    return equal


@contextmanager
def _served(repository: Path, name: str, scorers: int) -> Iterator[Way]:
    """Return a function that scores a file and returns what it took: here, or with so many scorers of a Modelgate that
    runs meanwhile."""
    if not scorers:
        yield lambda source, target: _run([sys.executable, "-m", "bench.one_file", repository, name, source, target])
        return
    with running(replace(MODELGATE, commands=modelgate(workers=scorers)), repository, [name]) as run:
        wait_until_ready(run)
        yield lambda source, target: _through_http(run, name, source, target)


def _through_http(run: Running, name: str, source: Path, target: Path) -> Took:
    used = sum(_cpu(run).values())
    with peaks() as peak:
        began = time.perf_counter()
        job = submit(run, name, source)
        wait_for(run, job)
        download(run, job, target)
        seconds = time.perf_counter() - began
    say("peak memory: " + ", ".join(f"{name} {most / MB:.0f} MB" for name, most in sorted(peak.items())))
    return {"seconds": seconds, "cpu": sum(_cpu(run).values()) - used, "mb": max(peak.values()) / MB}


def _cpu(run: Running) -> dict[int, float]:
    """Return the processor time of each process, with that of its ended children."""
    seconds = {}
    for pid in run.tree():
        with suppress(psutil.Error):
            seconds[pid] = sum(psutil.Process(pid).cpu_times()[:4])
    return seconds


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--models", type=_names, default=["forest", "linear"])
    parser.add_argument("--formats", type=_names, default=list(FORMATS))
    parser.add_argument("--scorers", type=_names, default=["0"], help="0: in this process; default: 0")
    parser.add_argument("--plain", type=Path, default=BATCHERS, help="a Python with pandas, scikit-learn and pyarrow")
    return parser.parse_args()


def _names(text: str) -> list[str]:
    return text.split(",")


def _table() -> Table:
    rng = np.random.default_rng(models.SEED)
    X = rng.normal(size=(2000, COLUMNS)).round(4)
    y = (X[:, 0] + X[:, 1] * X[:, 2] - X[:, 3] + rng.normal(scale=0.5, size=len(X)) > 0).astype(float)
    return Table("generated", (*(f"x{i}" for i in range(COLUMNS)), "target"), np.column_stack([X, y]).tolist())


def _fit_forest(X: Any, y: Any) -> Any:
    return RandomForestClassifier(100, random_state=models.SEED, n_jobs=1).fit(X, y.astype(int))


def _fit_linear(X: Any, y: Any) -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y.astype(int))


def _models() -> Path:
    """Return a repository with both models; they are made once."""
    root = FOLDER / "models"
    if not root.exists():
        root.mkdir()
        fits: Mapping[str, Callable[[Any, Any], Any]] = {"forest": _fit_forest, "linear": _fit_linear}
        for name, fit in fits.items():
            models.make_current(root, *models.fitted(models.recipe_of(name, _table, fit)))
    return root


def _file(rows: int, suffix: str) -> Path:
    path = FOLDER / f"{rows}.{suffix}"
    if not path.exists():
        columns = ", ".join(f"sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random()) AS x{i}" for i in range(COLUMNS))
        options = "HEADER" if suffix == "csv" else f"FORMAT parquet, ROW_GROUP_SIZE {2**20}"  # as pandas writes it
        duckdb.execute(f"SELECT setseed(0.5); COPY (SELECT {columns} FROM range({rows})) TO '{path}' ({options})")  # noqa: S608
    return path


def _round(repository: Path, name: str, source: Path, plain: Path, ours: Way, *, first: int) -> dict[str, Took]:
    """Score the file in both ways. Return what each took."""
    artifact = repository / name / "versions" / "1" / "model.joblib"
    script = PROJECT / "bench" / "alternatives" / "plain_file.py"
    ways: dict[str, Way] = {"plain": lambda *files: _run([plain, script, artifact, *files]), "ours": ours}
    names = list(ways)[::-1] if first else list(ways)
    return {way: ways[way](source, _output(way, source.suffix)) for way in names}


def _output(way: str, suffix: str) -> Path:
    folder = FOLDER / way
    folder.mkdir(exist_ok=True)
    return folder / f"output{suffix}"


def _run(command: Sequence[object]) -> Took:
    run = subprocess.run(  # noqa: S603
        list(map(str, command)), stdout=subprocess.PIPE, check=True, cwd=PROJECT, env={**os.environ, **ONE_THREAD}
    )
    took: Took = json.loads(run.stdout.splitlines()[-1])
    return took


def _listed(took: Mapping[str, Mapping[str, float]], rows: int) -> str:
    return "; ".join(
        f"{way} {rows / figures['seconds']:,.0f} rows/s, "
        + ", ".join(f"{unit} {value:,.1f}" for unit, value in figures.items())
        for way, figures in took.items()
    )


def _spread(values: Iterator[float]) -> str:
    sorted_values = list(values)
    return f"{statistics.median(sorted_values):.2f} ({min(sorted_values):.2f}–{max(sorted_values):.2f})"


def _compare(suffix: str) -> tuple[bool, float]:
    """Return whether all rows have the same columns and predictions in both outputs, and how far the probabilities are
    apart at most."""
    equal, distance = True, 0.0
    pieces = zip(_pieces("plain", suffix), _pieces("ours", suffix), strict=True)
    for plain, ours in pieces:
        exact = [name for name in plain if not name.startswith("probability_")]
        equal = equal and list(plain) == list(ours) and plain[exact].equals(ours[exact])
        others = [name for name in plain if name not in exact]
        distance = max(distance, float((plain[others] - ours[others]).abs().to_numpy().max()))
    return equal, distance


def _pieces(way: str, suffix: str) -> Iterator[Any]:
    path = _output(way, suffix)
    read = f"read_parquet('{path}')" if suffix == ".parquet" else f"read_csv('{path}', parallel = false)"
    result = duckdb.connect().execute(f"SELECT * FROM {read}")  # noqa: S608
    while len(frame := result.fetch_df_chunk(max(1, _ROWS_AT_ONCE // 2048))):
        yield frame


if __name__ == "__main__":
    sys.exit(main())
