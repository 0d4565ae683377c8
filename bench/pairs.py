"""`python -m bench.pairs OTHER`: measures rows of the benchmark here and in another checkout, in alternating rounds.

Both serve the same model repository, which this checkout writes.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

from bench import models, rows
from bench.console import say
from bench.measures import Measure, Measures
from bench.other_checkout import folder_of_checkout
from bench.processes import PROJECT, WORK, use_two_cores
from bench.rows import Effort, Row
from bench.servers import MODELGATE, running
from bench.wire import Exchanges, compile_generator

HERE, THERE = "here", "there"
DEFAULT = [prefix + name for name in models.TABULAR for prefix in ("", "one-")]


def main() -> int:
    options = _options()
    use_two_cores()
    compile_generator()
    models.build(WORK / "models", say)
    wanted = [row for row in rows.ROWS if row.name in options.rows]
    measures, checkouts = Measures(), [(HERE, PROJECT), (THERE, options.other)]
    for number in range(options.rounds):
        for name, checkout in checkouts if number % 2 == 0 else checkouts[::-1]:
            session(name, checkout, wanted, number, Effort(options.seconds, options.seconds / 4), measures)
        say(f"round {number + 1}: {'; '.join(line(row, measures, number) for row in wanted)}")
    say(table(wanted, measures))
    return 1 if any(measure.bad for measure in measures.found) else 0


def session(name: str, checkout: Path, wanted: list[Row], number: int, effort: Effort, into: Measures) -> None:
    """Start the Modelgate of one checkout and measure all rows on it."""
    with running(MODELGATE, WORK / "models" / models.SPEED, sorted({row.model for row in wanted}), checkout) as run:
        for row in wanted:
            load = Exchanges(run, row.model, row.requests()).load(
                row.clients, rows.LIMIT if row.count else effort.seconds, effort.warm, row.count
            )
            into.add(Measure(row.name, name, number, row.value(load), load.bad))


def line(row: Row, measures: Measures, number: int) -> str:
    """Return one round of a row, as part of a line of a log."""
    here, there = (measures.of(row.name, name)[number] for name in (HERE, THERE))
    return f"{row.name} {here.value:,.2f} here, {there.value:,.2f} there: {here.value / there.value:.2f}"


def table(wanted: list[Row], measures: Measures) -> str:
    """Return a line for each row: the medians, and the ratios of the same round with their least and most."""
    lines = ["| row | unit | here | there | here ÷ there | bad |", "| --- | --- | ---: | ---: | ---: | ---: |"]
    for row in wanted:
        medians = [f"{measures.median(row.name, name):,.{1 if row.clients == 1 else 0}f}" for name in (HERE, THERE)]
        ratios = measures.ratios(row.name, HERE, THERE)
        ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"
        bad = sum(measure.bad for name in (HERE, THERE) for measure in measures.of(row.name, name))
        unit = "ms" if row.clients == 1 and row.rows == 1 else "rows/s"
        lines.append(f"| {' | '.join([row.name, unit, *medians, ratio, str(bad)])} |")
    return "\n".join(lines)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.pairs", description=__doc__)
    parser.add_argument(
        "other", type=folder_of_checkout, help="folder of the other checkout; it runs with this environment"
    )
    parser.add_argument("--rows", nargs="+", default=DEFAULT, choices=[row.name for row in rows.ROWS], metavar="ROW")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="for which one load is counted; default: 5")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
