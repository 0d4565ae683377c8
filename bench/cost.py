"""`python -m bench.cost OTHER`: compares the processor time a request with another checkout, in pairs. With `--key` the
requests to this checkout carry an API key.

Counts gateway, Redis and workers together, with 64 clients. Processor time varies less than throughput does
on a busy machine, and a pair is measured within a minute.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from bench import models, rows
from bench.console import say
from bench.other_checkout import folder_of_checkout
from bench.processes import PROJECT, use_two_cores
from bench.protected import protected
from bench.servers import MODELGATE, Running, running
from bench.wire import Exchanges, compile_generator

SPEED = Path(".bench", "models", models.SPEED)
PARTS = ("-m gunicorn", "redis-server", "-m worker")
"""Parts of the command lines of gateway, Redis and worker, not of the trainer, which works at its start."""

LONGEST = 60.0
"""Seconds after which a load ends before it has all its answers."""


def main() -> None:
    options = _options()
    use_two_cores()
    compile_generator()
    build_models(options.other)
    for model in options.models:
        ratios = []
        for pair in range(options.pairs):
            checkouts = (PROJECT, options.other)
            measured = {
                checkout: microseconds(
                    checkout, options.other / SPEED, model, options.requests, keyed=options.key and checkout == PROJECT
                )
                for checkout in (checkouts if pair % 2 == 0 else checkouts[::-1])
            }
            here, there = measured[PROJECT], measured[options.other]
            ratios.append(here / there)
            say(f"{model}: pair {pair + 1}: {here:.1f} µs a request here, {there:.1f} there: {ratios[-1]:.3f}")
        say(f"{model}: median {statistics.median(ratios):.3f} ({min(ratios):.3f}–{max(ratios):.3f})")


def microseconds(checkout: Path, repository: Path, model: str, requests: int, *, keyed: bool = False) -> float:
    """Return the processor time of gateway, Redis and workers of `checkout` for each of `requests` single rows.
    `keyed`: they carry a key, without which none passes."""
    server = protected(repository, model) if keyed else running(MODELGATE, repository, [model], cwd=checkout)
    with server as run:
        exchanges = Exchanges(run, model, [[row] for row in models.samples(model, rows.SAMPLES)])
        exchanges.load(64, LONGEST, 0, requests // 4)
        before = ticks(run, PARTS)
        load = exchanges.load(64, LONGEST, 0, requests)
        spent = ticks(run, PARTS) - before
    return spent / os.sysconf("SC_CLK_TCK") / load.good * 1e6


def build_models(other: Path) -> None:
    """Write the models with the code of `other`, which should be the older one: a newer release reads its files."""
    build = "import pathlib, bench.models; bench.models.build(pathlib.Path('.bench/models'), print)"
    subprocess.run([sys.executable, "-c", build], cwd=other, check=True)  # noqa: S603


def ticks(run: Running, parts: Sequence[str]) -> int:
    """Return user and system time of the processes whose command lines have one of `parts`, with that of ended
    children."""
    total = 0
    for pid in {pid for part in parts for pid in run.tree(part)}:
        with suppress(OSError):
            total += sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]))
    return total


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.cost", description=__doc__)
    parser.add_argument(
        "other", type=folder_of_checkout, help="folder of the other checkout; it runs with this environment"
    )
    parser.add_argument("--models", nargs="+", default=["tiny", "table"], choices=rows.SINGLE)
    parser.add_argument("--key", action="store_true", help="send a key to this checkout, and none to the other one")
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--requests", type=int, default=20_000, help="that are counted of each; default: 20000")
    return parser.parse_args()


if __name__ == "__main__":
    main()
