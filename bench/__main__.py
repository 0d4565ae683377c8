"""`python -m bench`: measures, and writes the table. `make bench` runs it in the right environment."""

from __future__ import annotations

import argparse
import functools
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from bench import drain, memory, models, replicas, results, rows, servers
from bench.console import say
from bench.measures import Measures
from bench.processes import PROJECT, WORK, DidNotStart, use_two_cores
from bench.rows import Effort
from bench.wire import compile_generator
from launcher.redis_server import RedisUnavailableError, executable

OTHER_ROWS = ("drain", "memory", "replicas")
ALL_ROWS = (*(row.name for row in rows.ROWS), *OTHER_ROWS)
QUICK_ROWS = ("tiny", "table", "one", "bulk", *OTHER_ROWS)


@dataclass(frozen=True)
class BenchStep:
    title: str
    run: Callable[[], None]


def main() -> int:
    options = _options()
    cores = use_two_cores()
    began = time.monotonic()
    measures = Measures()
    try:
        executable()
        compile_generator()
    except (DidNotStart, RedisUnavailableError, subprocess.CalledProcessError) as error:
        say(f"bench: {error}")
        return 1
    models.build(WORK / "models", lambda what: say(f"bench: {what}"))
    steps = plan(options, measures)
    for number, step in enumerate(steps, 1):
        passed = time.monotonic() - began
        if passed > options.minutes * 60:
            say(f"bench: {options.minutes:g} minutes are over; {len(steps) - number + 1} steps are not made")
            break
        say(f"bench: [{number}/{len(steps)}] {passed // 60:02.0f}:{passed % 60:02.0f} {step.title}")
        try:
            step.run()
        except (DidNotStart, subprocess.TimeoutExpired) as error:
            say(f"bench: {step.title}: {error}")
        measures.save(WORK / "measures.json")
    run = results.BenchRun(cores, options.rounds, options.seconds, time.monotonic() - began, options.whole)
    options.out.write_text(results.page(measures, run))
    for (row, server), why in measures.failed.items():
        say(f"bench: {row}: {server}: {why}")
    say(f"bench: {options.out.relative_to(PROJECT)} is written")
    return 0


def plan(options: argparse.Namespace, measures: Measures) -> list[BenchStep]:
    """Run the rounds: each server once a round, in reverse order every second round."""
    speed, effort = WORK / "models" / models.SPEED, Effort(options.seconds, options.seconds / 4)
    wanted = [row for row in rows.ROWS if row.name in options.rows]
    chosen = [server for server in options.servers if not server.left_out]
    steps = []
    for number in range(1, options.rounds + 1):
        part = [
            BenchStep(
                f"round {number}: {server.name}",
                functools.partial(rows.session, server, wanted, number, speed, effort, measures),
            )
            for server in (chosen if wanted else ())
        ]
        part += _other_steps(options, number, effort, measures)
        steps += part if number % 2 else part[::-1]
    if "memory" in options.rows:
        for server, holds in memory.HOLDERS[: 2 if options.quick else None]:
            if server.name.partition("-")[0] in options.names and not server.left_out:
                run = functools.partial(memory.memory, server, holds, WORK / "models" / models.MEMORY, measures)
                steps.append(BenchStep(f"memory: {server.name}", run))
    return steps


def _other_steps(options: argparse.Namespace, number: int, effort: Effort, measures: Measures) -> list[BenchStep]:
    speed, steps = WORK / "models" / models.SPEED, []
    if "bulk" in options.rows:
        run = functools.partial(rows.plain_predict, number, speed, measures)
        steps.append(BenchStep(f"round {number}: plain predict", run))
    if "drain" in options.rows:
        for queue in drain.QUEUES:
            for model in rows.SINGLE[: 1 if options.quick else None] if queue.server in options.names else ():
                run = functools.partial(drain.drain, queue, model, number, speed, measures)
                steps.append(BenchStep(f"round {number}: drain {model}: {queue.server}", run))
    if "replicas" in options.rows and "modelgate" in options.names:
        for scorers in replicas.SCORERS[: 2 if options.quick else None]:
            repository = WORK / "models" / models.SLEEP
            run = functools.partial(replicas.replicas, scorers, number, repository, effort, measures)
            steps.append(BenchStep(f"round {number}: {scorers} scorers", run))
    return steps


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smoke run of a few minutes, whose figures mean nothing")
    parser.add_argument("--rows", type=_list, help=f"some of {','.join(ALL_ROWS)}")
    parser.add_argument("--servers", type=_list, help="some of them by name, e.g. modelgate,flask")
    parser.add_argument("--rounds", type=int, help="default: 3")
    parser.add_argument("--seconds", type=float, help="for which one load is counted; default: 5")
    parser.add_argument("--minutes", type=float, default=60, help="after which no more is begun; default: 60")
    options = parser.parse_args()
    known = {server.name: server for server in servers.COMPARED}
    options.names = options.servers or [server.name for server in servers.COMPARED]
    for names, choices in ((options.rows or (), ALL_ROWS), (options.names, known)):
        if unknown := sorted(set(names) - set(choices)):
            parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(choices)}")
    options.whole = not (options.quick or options.rows or options.servers or options.rounds or options.seconds)
    options.out = PROJECT / "bench" / "RESULTS.md" if options.whole else WORK / "RESULTS.md"
    options.servers = [known[name] for name in options.names]
    options.rows = options.rows or (QUICK_ROWS if options.quick else ALL_ROWS)
    options.rounds = options.rounds or (1 if options.quick else 3)
    options.seconds = options.seconds or (0.5 if options.quick else 5.0)
    return options


def _list(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


if __name__ == "__main__":
    sys.exit(main())
