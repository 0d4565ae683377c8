"""`make zoo KERNELS=1`: compares the kernels of all models of the zoo with their estimators on 30,000 rows each, edges
included, and at every threshold of every tree. Exits with 1 if an answer differs in a bit."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from operator import attrgetter

from tests.qa.zoo.environments import EXTRA, environment
from tests.qa.zoo.kernels.soak import Compared, compared
from tests.qa.zoo.kinds import named
from tests.qa.zoo.saved import saved


def main(words: Sequence[str], rows: int, processes: int) -> int:
    start, wanted = time.monotonic(), [specimen for specimen in named(words) if not specimen.changes]
    folder = saved(wanted)
    fitted = [specimen.slug for specimen in wanted if (folder / f"{specimen.slug}.json").exists()]
    results = []
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        for result in pool.map(partial(compared, folder=folder, count=rows), fitted):
            results.append(result)
            for wrong in result.wrong[:5]:
                sys.stderr.write(f"{result.name}: DIFFERS: {wrong}\n")
            sys.stderr.flush()
    sys.stdout.write("\n".join(_report(results)) + f"\n{time.monotonic() - start:.0f} s in {processes} processes\n")
    return int(any(result.wrong for result in results))


def _report(results: Sequence[Compared]) -> Iterator[str]:
    for result in results:
        if left := [block for block in result.left if block.startswith("MUST")] or result.left:
            yield f"{result.name}: {len(result.left)} blocks left to the estimator: {left[0]}"
    final, before = (sum(map(attrgetter(block), results)) for block in ("kernel", "transforms"))
    yield f"{len(results)} models; {final} have a kernel, and {before} have some before the final estimator alone"
    rows, seconds = (sum(map(attrgetter(block), results)) for block in ("rows", "seconds"))
    yield f"{rows:,} rows in {seconds:.0f} s of all processes together"
    yield f"{sum(bool(result.wrong) for result in results)} models differ"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*", help="only those whose name has one of these words")
    parser.add_argument("--rows", type=int, default=30_000)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    if sys.prefix != str(EXTRA):
        os.execv(environment(), [environment(), "-m", "tests.qa.zoo.kernels", *sys.argv[1:]])
    sys.exit(main(options.words, options.rows, options.processes))
