"""`python -m bench.imports`: drops many files into the inbox, and measures what predictions feel of it.

With OTHER, it also compares the processor time of an import with another checkout, in pairs.
"""

from __future__ import annotations

import argparse
import pickle
import shutil
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from bench import models, rows
from bench.console import say
from bench.processes import PROJECT, WORK, DidNotStart, until, use_two_cores
from bench.servers import MODELGATE, Running, running
from bench.wire import Exchanges, LoadResult, compile_generator

SPEED = WORK / "models" / models.SPEED
TRAINER = "-m trainer"
PATIENCE = 300.0
"""Seconds in which all files have to leave the inbox."""
REFUSED = b"<html>"


def main() -> None:
    options = _options()
    use_two_cores()
    compile_generator()
    models.build(WORK / "models", say)
    files = _files()
    if options.other:
        _compare(options.other, files["forest"], options.rounds)
    ratios = []
    for number in range(1, options.rounds + 1):
        quiet, busy, took, cpu = _round(options, files)
        ratios.append(statistics.median(load.p99_ms for load in busy) / quiet.p99_ms)
        say(
            f"round {number}: {options.files} files in {took:.1f} s, {cpu / options.files:.2f} s of a processor each;"
            f" {options.model}, {options.clients} clients: p50 {quiet.p50_ms:.1f} ms before,"
            f" {statistics.median(load.p50_ms for load in busy):.1f} meanwhile; p99 {quiet.p99_ms:.1f} and"
            f" {', '.join(f'{load.p99_ms:.1f}' for load in busy)}: {ratios[-1]:.2f};"
            f" {sum(load.bad for load in busy)} of {sum(load.good + load.bad for load in busy)} failed"
        )
    say(f"p99 meanwhile ÷ before: median {statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})")


def _files() -> Mapping[str, bytes]:
    """Return the contents of the files: small models, one of 1 MB, and one that is refused."""
    table = models.numeric_rows(2000)
    X, y = [row[:-1] for row in table.rows], [row[-1] for row in table.rows]
    return {
        "linear": pickle.dumps(LogisticRegression(max_iter=1000).fit(X, y)),
        "tree": pickle.dumps(DecisionTreeClassifier(random_state=models.SEED).fit(X, y)),
        "forest": pickle.dumps(RandomForestClassifier(40, random_state=models.SEED, n_jobs=1).fit(X, y)),
        "refused": REFUSED,
    }


def _compare(other: Path, file: bytes, pairs: int) -> None:
    ratios = []
    repositories = {PROJECT: SPEED, other: models.build_in(other) / models.SPEED}
    for pair in range(pairs):
        checkouts = (PROJECT, other)
        measured = {
            checkout: _seconds_of_import(checkout, repositories[checkout], file)
            for checkout in (checkouts if pair % 2 == 0 else checkouts[::-1])
        }
        here, there = measured[PROJECT], measured[other]
        ratios.append(here / there)
        say(
            f"import of {len(file) / 1e6:.1f} MB: pair {pair + 1}: {here:.2f} s of a processor here, {there:.2f} there:"
            f" {ratios[-1]:.2f}"
        )
    say(f"import: median {statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})")


def _seconds_of_import(checkout: Path, repository: Path, file: bytes) -> float:
    """Return the processor time of the trainer for a file that is dropped alone."""
    with running(MODELGATE, _copy(repository), ["tiny"], cwd=checkout) as run:
        _exchanges(run, "tiny")
        _import(run, {"first.pkl": file})  # the trainer imports some of its own modules
        return _import(run, {"second.pkl": file})[1]


def _round(
    options: argparse.Namespace, files: Mapping[str, bytes]
) -> tuple[LoadResult, list[LoadResult], float, float]:
    """Return the load before, the loads meanwhile, and the seconds and the processor time of all imports."""
    with running(MODELGATE, _copy(SPEED), [options.model]) as run:
        exchanges = _exchanges(run, options.model)
        _import(run, {"first.pkl": files["linear"]})
        quiet = exchanges.load(options.clients, options.seconds, options.seconds / 2)
        kinds = list(files)
        before, began, busy = run.cpu_seconds(TRAINER), time.monotonic(), []
        _drop(run, {f"m{number:03}.pkl": files[kinds[number % len(kinds)]] for number in range(options.files)})
        while left := _left(run):
            if time.monotonic() - began > PATIENCE:
                raise DidNotStart(f"{len(left)} files are still in the inbox after {PATIENCE:g} s")
            busy.append(exchanges.load(options.clients, options.seconds, 0))
        took = time.monotonic() - began
        return quiet, busy, took, run.cpu_seconds(TRAINER) - before


def _exchanges(run: Running, model: str) -> Exchanges:
    return Exchanges(run.judged_by(SPEED), model, [[row] for row in models.samples(model, rows.SAMPLES)])


def _import(run: Running, files: Mapping[str, bytes]) -> tuple[float, float]:
    """Return the seconds and the processor time until these files have left the inbox."""
    before, began = run.cpu_seconds(TRAINER), time.monotonic()
    _drop(run, files)
    if not until(lambda: not _left(run), PATIENCE):
        raise DidNotStart(f"a file is still in the inbox after {PATIENCE:g} s")
    took = time.monotonic() - began
    time.sleep(0.5)  # the trainer counts processes that it has ended
    return took, run.cpu_seconds(TRAINER) - before


def _drop(run: Running, files: Mapping[str, bytes]) -> None:
    inbox = run.deployment.repository / "inbox"
    inbox.mkdir(exist_ok=True)
    for name, data in files.items():
        (inbox / f"{name}.part").write_bytes(data)
    for name in files:
        (inbox / f"{name}.part").rename(inbox / name)


def _left(run: Running) -> Sequence[Path]:
    return list((run.deployment.repository / "inbox").glob("*.pkl"))


def _copy(repository: Path) -> Path:
    copy = WORK / "imports" / "models"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(repository, copy)
    return copy


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.imports", description=__doc__)
    parser.add_argument("other", type=Path, nargs="?", help="folder of another checkout; it runs with this environment")
    parser.add_argument("--files", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3, help="and pairs; default: 3")
    parser.add_argument("--seconds", type=float, default=5.0, help="that are one load; default: 5")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--model", default="table", choices=rows.SINGLE)
    options = parser.parse_args()
    options.other = options.other and options.other.resolve()
    return options


if __name__ == "__main__":
    main()
