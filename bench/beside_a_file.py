"""`python -m bench.beside_a_file`: sends a large file through HTTP, and times single rows of the same model meanwhile.

In each round one client is timed alone, and while a file is scored. Prints how long the file took from the first byte
sent to the last byte of its output, and the peak memory of each process.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from bench import models, rows
from bench.console import say
from bench.file_jobs import MB, address, delete, download, peaks, submit, wait_for
from bench.owners import spread
from bench.processes import WORK, DidNotStart, until, use_two_cores
from bench.protected import answer_of, wait_until_ready
from bench.servers import MODELGATE, Running, running
from bench.wire import Exchanges, compile_generator


def main() -> int:
    options = _options()
    use_two_cores()
    compile_generator()
    models.build(WORK / "models", say)
    source = _file(options.model, options.rows)
    ratios = []
    with running(MODELGATE, WORK / "models" / models.SPEED, [options.model]) as run:
        wait_until_ready(run)
        exchanges = Exchanges(run, options.model, [[row] for row in models.samples(options.model, rows.SAMPLES)])
        with peaks() as peak:
            began = time.perf_counter()
            job = submit(run, options.model, source)
            wait_for(run, job)
            size = download(run, job, source.with_name("output.csv"))
            took = time.perf_counter() - began
        say(
            f"{options.model}, {options.rows:,} rows, {source.stat().st_size / MB:.0f} MB in, {size / MB:.0f} MB out:"
            f" {took:.1f} s, {options.rows / took:,.0f} rows/s from the first byte sent to the last one received"
        )
        for name, most in sorted(peak.items()):
            say(f"peak memory of {name}: {most / MB:.0f} MB")
        for number in range(options.rounds):
            alone = exchanges.load(options.clients, options.seconds, options.seconds / 4)
            job = submit(run, options.model, source)
            until(lambda job=job: _progress(run, job) > 0, 60)  # type: ignore[misc]
            beside = exchanges.load(options.clients, options.seconds, options.seconds / 4)
            if answer_of(f"{address(run)}/v1/jobs/{job}")["status"] != "running":
                raise DidNotStart("the file ended before the measurement; use more --rows or fewer --seconds")
            delete(run, job)
            ratios.append(beside.p99_ms / alone.p99_ms)
            say(
                f"round {number + 1}: p50 {alone.p50_ms:.2f}, p99 {alone.p99_ms:.2f} ms alone,"
                f" p50 {beside.p50_ms:.2f}, p99 {beside.p99_ms:.2f} ms beside a file"
            )
    if ratios:
        say(f"p99 beside a file is {spread(ratios)} of that alone")
    return 0


def _progress(run: Running, job: str) -> int:
    progress: Any = answer_of(f"{address(run)}/v1/jobs/{job}")["progress"] or {}
    return int(progress.get("done") or 0)


def _file(model: str, count: int) -> Path:
    """Return a CSV with the rows of the model's own data, repeated."""
    path = WORK / f"{model}-{count}.csv"
    if not path.exists():
        table = models.samples(model, 1000)
        names = [field.name for field in models.recipe(model).inputs or ()]
        lines = [",".join("" if value is None else str(value) for value in row) for row in table]
        with path.open("w") as file:
            file.write(",".join(names) + "\n")
            for number in range(count):
                file.write(lines[number % len(lines)] + "\n")
    return path


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.beside_a_file", description=__doc__)
    parser.add_argument("--model", default="forest", choices=rows.SINGLE)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=4.0, help="for which one load is counted; default: 4")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
