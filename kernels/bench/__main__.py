"""`python -m kernels.bench`: compares the kernels with scikit-learn's own methods in one process, from rows to answers.

`--before CHECKOUT` also compares with another checkout. Each ratio is of one round, in which all ways take turns; a
ratio above 1 means that our way takes less processor time. Every answer is compared bit for bit with scikit-learn's.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle
from types import ModuleType
from typing import Any

from modelgate_kernels import ModelKernel, find, layout_of, predict
from modelgate_kernels.layout import Row
from modelgate_kernels.matrix import to_matrix
from modelgate_kernels.same import same
from threadpoolctl import threadpool_limits

from kernels.bench.models import FittedModel, all_models, fitted
from kernels.bench.other_checkout import kernels_of_checkout

SIZES = (1, 64, 1_000, 100_000)
LEAST = 0.95
"""A smaller ratio is marked."""
SHORTEST = 0.01
"""Seconds that the calls of one way in one round take at least."""
LONGEST = 4.0
"""Seconds after which no further round is begun, if there are `FEWEST`. A size is left out if our part of these takes
longer."""
FEWEST = 2
BATCHES = 64
"""Most batches of different rows, which the calls ask for in turn."""

Way = Callable[[Sequence[Row]], Any]
"""Returns what the model answers for rows: values, and probabilities if it has any."""


@dataclass
class Comparison:
    """Ratios of one model at one size, round by round. `problem` says what makes them worthless."""

    model: str
    size: int
    microseconds: float = 0.0
    ratios: dict[str, list[float]] = field(default_factory=dict)
    problem: str | None = None


def main() -> int:
    options = _options()
    warnings.simplefilter("ignore")
    found: list[Comparison] = []
    with threadpool_limits(1):
        for recipe in all_models():
            if any(word.lower() in recipe.name.lower() for word in options.only):
                found += comparisons(fitted(recipe), sorted(options.sizes), options.rounds, options.before)
    print(f"\n{page(found)}")
    return 1 if any(each.problem for each in found) else 0


def comparisons(
    model: FittedModel, sizes: Sequence[int], rounds: int, other: ModuleType | None
) -> Iterator[Comparison]:
    """Compare all sizes but those that would take too long."""
    a_row = 0.0
    for size in sizes:
        if a_row * size > LONGEST / FEWEST * 1e6:
            print(f"{model.name}, {size:,} rows: left out, a batch takes about {a_row * size / 1e6:.0f} s")
            continue
        found = compare(model, size, rounds, other)
        print(line(found))
        a_row = found.microseconds / size
        yield found


def compare(model: FittedModel, size: int, rounds: int, other: ModuleType | None = None) -> Comparison:
    """Measure all ways for batches of `size` rows, in turn, in the reverse order every second round."""
    ways = {"ours": ours(model), "scikit-learn": own_methods(model)}
    if other:
        ways["before"] = way_of(other, model)
    batches = batches_of(model.sample.rows, size)
    result = Comparison(model.name, size, problem=difference(model, kernel_of(model), batches))
    calls = {name: calls_for(way, batches) for name, way in ways.items()}
    times: dict[str, list[float]] = {name: [] for name in ways}
    began = time.monotonic()
    for number in range(rounds):
        if number >= FEWEST and time.monotonic() - began > LONGEST:
            break
        for name in (*ways,) if number % 2 == 0 else (*ways,)[::-1]:
            times[name].append(seconds(ways[name], batches, calls[name]))
    result.microseconds = statistics.median(times["ours"]) * 1e6
    for name in (*ways,)[1:]:
        result.ratios[name] = [theirs / our for our, theirs in zip(times["ours"], times[name], strict=True)]
    return result


def batches_of(rows: Sequence[Row], size: int) -> list[list[Row]]:
    """Return batches of `size` rows, from as many different rows as there are."""
    count = max(1, min(BATCHES, len(rows) // size))
    return [[rows[i % len(rows)] for i in range(number * size, (number + 1) * size)] for number in range(count)]


# The ways


def ours(model: FittedModel) -> Way:
    kernel = kernel_of(model)
    return partial(predict, kernel, methods=methods_of(model)) if kernel else own_methods(model)


def own_methods(model: FittedModel) -> Way:
    """Return how scikit-learn answers for the same rows as a matrix or a DataFrame."""
    estimator, layout, methods = model.estimator, layout_of(model.sample.table), methods_of(model)

    def answers(rows: Sequence[Row]) -> Any:
        matrix = to_matrix(rows, layout.columns, layout.input_format, layout.dtype)
        return [getattr(estimator, method)(matrix) for method in methods]

    return answers


def way_of(other: ModuleType, model: FittedModel) -> Way:
    """Return how the kernels of another checkout answer; scikit-learn where they have none."""
    kernel = other.find(model.estimator, model.sample.table)
    return partial(other.predict, kernel, methods=methods_of(model)) if kernel else own_methods(model)


def kernel_of(model: FittedModel) -> ModelKernel | None:
    return find(model.estimator, model.sample.table)


def methods_of(model: FittedModel) -> list[str]:
    return [method for method in ("predict", "predict_proba") if hasattr(model.estimator, method)]


def difference(model: FittedModel, kernel: ModelKernel | None, batches: Sequence[Sequence[Row]]) -> str | None:
    """Return why `kernel` does not answer as the model's own methods do, bit for bit; None if it does."""
    if kernel is None:
        return "no kernel"
    own = own_methods(model)
    for rows in batches:
        try:
            found = kernel.answers(rows, methods_of(model))
        except Exception as error:
            return f"the kernel leaves rows to scikit-learn: {type(error).__name__} {error}"
        if not same(found, own(rows)):
            return "the kernel answers differently"
    return None


# Time


def calls_for(way: Way, batches: Sequence[Sequence[Row]]) -> int:
    """Return how many calls take at least `SHORTEST`. The first call, which may prepare something, counts if it takes
    as long."""
    if seconds(way, batches, 1) > SHORTEST:
        return 1
    return max(1, int(SHORTEST / max(seconds(way, batches, 1), 1e-7)))


def seconds(way: Way, batches: Sequence[Sequence[Row]], calls: int) -> float:
    """Return the processor time of one call."""
    turns = cycle(batches)
    gc.disable()
    try:
        began = time.process_time()
        for _ in range(calls):
            way(next(turns))
        return (time.process_time() - began) / calls
    finally:
        gc.enable()


# The tables


def line(each: Comparison) -> str:
    """Return one comparison as a line of a log."""
    ratios = ", ".join(f"{shown(values)} × {name}" for name, values in each.ratios.items())
    problem = f" ({each.problem})" if each.problem else ""
    return f"{each.model}, {each.size:,} rows: {each.microseconds:,.0f} µs, {ratios}{problem}"


def page(found: Sequence[Comparison]) -> str:
    """Return a table for each other way, and what is wrong."""
    parts = []
    for way in dict.fromkeys(way for each in found for way in each.ratios):
        compared = [each for each in found if way in each.ratios]
        parts.append(f"Times as fast as {way}:\n\n{_table(compared, way)}")
        if slow := [each for each in compared if statistics.median(each.ratios[way]) < LEAST]:
            named = "; ".join(f"{each.model} at {each.size:,}" for each in slow)
            parts.append(f"Below {LEAST} of {way}: {named}.")
    problems = dict.fromkeys(f"{each.model}: {each.problem}" for each in found if each.problem)
    return "\n\n".join([*parts, *problems]) + "\n"


def _table(found: Sequence[Comparison], way: str) -> str:
    sizes = sorted({each.size for each in found})
    headings = [f"{size:,} row{'s' * (size > 1)}" for size in sizes]
    lines = [["model", "µs for one row", *headings], ["---", *["---:"] * (len(sizes) + 1)]]
    for name in dict.fromkeys(each.model for each in found):
        by_size = {each.size: each for each in found if each.model == name}
        cells = [_cell(by_size[size].ratios[way]) if size in by_size else "–" for size in sizes]
        lines.append([name, f"{by_size[1].microseconds:,.0f}" if 1 in by_size else "–", *cells])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _cell(ratios: Sequence[float]) -> str:
    return f"**{shown(ratios)}**" if statistics.median(ratios) < LEAST else shown(ratios)


def shown(ratios: Sequence[float]) -> str:
    """Return the median, and in brackets the least and the most."""
    middle, digits = statistics.median(ratios), 1 if statistics.median(ratios) >= 10 else 2
    return f"{middle:.{digits}f} ({min(ratios):.{digits}f}–{max(ratios):.{digits}f})"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m kernels.bench", description=__doc__)
    parser.add_argument("--before", type=kernels_of_checkout, help="folder of another checkout to compare with, too")
    parser.add_argument("--only", nargs="+", default=[""], help="models with one of these words in their names")
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES, help="rows in a batch; default: all four")
    parser.add_argument("--rounds", type=int, default=9, help="default: 9")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
