"""`python -m bench.pairs OTHER`: measures rows of the benchmark here and in another checkout, in alternating bursts.
With `--log`, the prediction log keeps every request here; OTHER may be this checkout, which keeps none. With
`--shadow`, it keeps every request of both, and here a candidate scores them, too.

Both run at once and serve the same models, of which each has written a repository. Each is asked for a moment while the
other has nothing to do: what else the machine does meets both. A round starts both anew, and its value is the median of
its bursts.
"""

from __future__ import annotations

import argparse
import json
import re
import secrets
import shutil
import statistics
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from bench import models, rows
from bench.console import say
from bench.measures import Measure, Measures, spread
from bench.processes import PROJECT, WORK, use_two_cores
from bench.rows import BenchRow
from bench.servers import MODELGATE, Running, running
from bench.wire import Exchanges, LoadResult, compile_generator
from contract.model.experiments import Experiment, ExperimentKind, ExperimentPlan
from contract.model.model_settings import EXPERIMENTS, LOGGING, Logging
from contract.work.jobs import timestamp
from storage.models.repository_writer import RepositoryWriter
from trainer.publishing.aliases import change_settings

HERE, THERE = "here", "there"
COST = ", processor"
"""After the name of a row: the processor time of gateways, Redis, workers and observer for a request, in µs."""
PARTS = ("gunicorn.conf", "redis.sock", "-m worker", "-m observer")
"""Parts of the command lines of all but the trainer, which works at its start."""

_REST = 120
"""Seconds within which a candidate has to score what waits for it after a burst."""

DEFAULT = [prefix + name for name in models.TABULAR for prefix in ("", "one-")]


def main() -> int:
    options = _options()
    use_two_cores()
    compile_generator()
    models.build(WORK / "models", say)
    say("making the models of the other checkout")
    theirs = models.build_in(options.other)
    wanted = [row for row in rows.ROWS if row.name in options.rows]
    measures = Measures()
    for number in range(options.rounds):
        a_round(wanted, number, options, theirs, measures)
        say(f"round {number + 1}: {'; '.join(line(row, measures, number) for row in wanted)}")
    say(table(wanted, measures))
    return 1 if any(measure.bad for measure in measures.all) else 0


def a_round(wanted: list[BenchRow], number: int, options: argparse.Namespace, theirs: Path, into: Measures) -> None:
    """Start the Modelgates of both checkouts, this one last in odd rounds, and measure all rows on both. `theirs`: the
    repositories of the other one."""
    ours, theirs = WORK / "models" / models.SPEED, theirs / models.SPEED
    if options.shadow:
        theirs = logged(theirs, "logged", wanted)
    if options.log or options.shadow:
        ours = logged(ours, "shadowed" if options.shadow else "logged", wanted, shadow=options.shadow)
    checkouts = [(HERE, PROJECT, ours), (THERE, options.other, theirs)][:: 1 if number % 2 == 0 else -1]
    with ExitStack() as stack:
        names = sorted({row.model for row in wanted})
        runs = {
            name: stack.enter_context(running(replace(MODELGATE, name=name), repository, names, checkout))
            for name, checkout, repository in checkouts
        }
        for row in wanted:
            exchanges = {name: Exchanges(run.judged_by(ours), row.model, row.requests()) for name, run in runs.items()}
            shadow = Shadow(runs[HERE], row.model) if options.shadow else None
            for name, row_bursts in bursts(row, exchanges, runs, options.bursts, options.seconds, shadow).items():
                bad = sum(burst.load.bad for burst in row_bursts)
                value = statistics.median(row.value(burst.load) for burst in row_bursts)
                into.add(Measure(row.name, name, number, value, bad))
                cost = sum(burst.seconds for burst in row_bursts) / sum(burst.load.good for burst in row_bursts) * 1e6
                into.add(Measure(row.name + COST, name, number, cost))
            if shadow:
                say(f"{row.name}: {shadow}")


def logged(repository: Path, name: str, wanted: list[BenchRow], *, shadow: bool = False) -> Path:
    """Return a copy of the models whose every request is logged; with `shadow`, each has a candidate, a copy of it,
    that scores all rows, too."""
    folder = WORK / "models" / name
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(repository, folder)
    writer = RepositoryWriter(folder)
    for model in {row.model for row in wanted}:
        settings: dict[str, Any] = {LOGGING: Logging(share=1).to_json()}
        if shadow:
            versions = folder / model / "versions"
            shutil.copytree(versions / "1", versions / "2")
            manifest = json.loads((versions / "1" / "manifest.json").read_text())
            (versions / "2" / "manifest.json").write_text(json.dumps({**manifest, "version": 2}))
            settings[EXPERIMENTS] = [_experiment().to_json()]
        change_settings(writer, model, settings)
    return folder


def _experiment() -> Experiment:
    began, plan = datetime.now(UTC), ExperimentPlan(ExperimentKind.SHADOW)
    now, until = timestamp(began), timestamp(began + timedelta(days=plan.days))
    return Experiment(secrets.token_hex(8), 1, 2, plan, now, until, plan.share, now)


class Shadow:
    """What becomes of the rows of a model's candidate. After each burst it scores what waits for it, and the observer
    takes that in: else they would do so while the other server is asked, or in the next burst."""

    def __init__(self, run: Running, model: str) -> None:
        self._run, self._model = run, model
        self._before = self._rows()
        self._in_bursts, self._afterwards = Counter[str](), Counter[str]()

    def rest(self) -> None:
        """Call it at the end of each burst."""
        self._in_bursts += self._rows() - self._before
        end = time.monotonic() + _REST
        while (rows := self._rows() - self._before)["scored"] + rows["dropped"] < rows["answered"]:
            if time.monotonic() > end:
                raise TimeoutError(f"the candidate of {self._model} has not scored all rows after {_REST} s: {rows}")
            time.sleep(0.1)
        while self._observes():
            pass
        self._before += rows
        self._afterwards += rows

    def _observes(self) -> bool:
        """Return whether the observer has worked in the time of two looks for records."""
        before = self._run.cpu_seconds("-m observer")
        time.sleep(4)
        return self._run.cpu_seconds("-m observer") > before + 0.1

    def __str__(self) -> str:
        rows = self._afterwards["answered"] or 1
        early, scored, dropped = self._in_bursts["scored"], self._afterwards["scored"], self._afterwards["dropped"]
        shares = f"{early / rows:.1%} of the rows under load, and {(scored - early) / rows:.1%} after it"
        return f"the candidate has scored {shares}; {dropped / rows:.1%} were dropped"

    def _rows(self) -> Counter[str]:
        """Return the rows by outcome, and those of the jobs that have ended."""
        address = f"http://127.0.0.1:{self._run.deployment.port}/metrics"
        text = urllib.request.urlopen(address, timeout=30).read().decode()
        outcomes = re.findall(rf'modelgate_shadow_rows_total{{model="{self._model}",outcome="(\w+)"}} (\d+)', text)
        jobs = re.findall(rf'modelgate_jobs_total{{model="{self._model}",status="succeeded"}} (\d+)', text)
        return Counter({**{outcome: int(rows) for outcome, rows in outcomes}, "answered": sum(map(int, jobs))})


class Burst(NamedTuple):
    """A load, and the processor time in which a server answered it."""

    load: LoadResult
    seconds: float


def bursts(
    row: BenchRow,
    exchanges: Mapping[str, Exchanges],
    runs: Mapping[str, Running],
    count: int,
    seconds: float,
    shadow: Shadow | None = None,
) -> dict[str, list[Burst]]:
    """Return `count` bursts of each server, after one that does not count. Each in turn goes first. `shadow`: of this
    checkout's candidate."""
    by_server: dict[str, list[Burst]] = {name: [] for name in exchanges}
    for turn in range(-1, count):
        for name in list(exchanges)[:: 1 if turn % 2 == 0 else -1]:
            before = runs[name].cpu_seconds(*PARTS)
            load = exchanges[name].load(row.clients, rows.LIMIT if row.count else seconds, 0, row.count)
            if turn >= 0:
                by_server[name].append(Burst(load, runs[name].cpu_seconds(*PARTS) - before))
            if shadow and name == HERE:
                shadow.rest()
    return by_server


def line(row: BenchRow, measures: Measures, number: int) -> str:
    """Return one round of a row, as part of a line of a log."""
    here, there = (measures.of(row.name, side)[number].value for side in (HERE, THERE))
    cost = measures.ratios(row.name + COST, HERE, THERE)[number]
    return f"{row.name} {here:,.2f} here, {there:,.2f} there: {here / there:.3f}, processor {cost:.3f}"


def table(wanted: list[BenchRow], measures: Measures) -> str:
    """Return a line for each row: the medians, and the ratios of the same round with their least and most."""
    lines = ["| row | unit | here | there | here ÷ there | bad |", "| --- | --- | ---: | ---: | ---: | ---: |"]
    for row in wanted:
        waits = row.clients == 1 and row.rows == 1
        for name, unit, digits in ((row.name, "ms" if waits else "rows/s", int(waits)), (row.name + COST, "µs", 0)):
            medians = [f"{measures.median(name, side):,.{digits}f}" for side in (HERE, THERE)]
            ratio = spread(measures.ratios(name, HERE, THERE), 3)
            bad = sum(measure.bad for side in (HERE, THERE) for measure in measures.of(name, side))
            lines.append(f"| {' | '.join([name, unit, *medians, ratio, str(bad)])} |")
    return "\n".join(lines)


def _folder_of_checkout(text: str) -> Path:
    folder = Path(text).resolve()
    if not all((folder / part).is_dir() for part in ("contract", "launcher", "scoring")):
        raise argparse.ArgumentTypeError(f"{folder} is not a checkout of Modelgate")
    return folder


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.pairs", description=__doc__)
    parser.add_argument(
        "other", type=_folder_of_checkout, help="folder of the other checkout; it runs with this environment"
    )
    parser.add_argument("--rows", nargs="+", default=DEFAULT, choices=[row.name for row in rows.ROWS], metavar="ROW")
    parser.add_argument("--log", action="store_true", help="log every prediction here")
    parser.add_argument(
        "--shadow", action="store_true", help="log every prediction, and have a candidate score it here"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bursts", type=int, default=12, help="of each row in a round, for each checkout; default: 12")
    parser.add_argument("--seconds", type=float, default=0.5, help="for which a burst is counted; default: 0.5")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
