"""`python -m bench.endurance`: loads Modelgate at full speed for minutes; shows Redis' memory and p99 over time.

Some clients wait for their answer in the request; others post a job and poll it about five times a second. Each answer
is compared with the model's, and each accepted job has to end.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

from redis import Redis

from bench import models, rows
from bench.console import say
from bench.picture import LoadSample, draw
from bench.processes import WORK, DidNotStart, pss_mb, use_two_cores
from bench.servers import MODELGATE, Running, modelgate, running
from bench.wire import GENERATOR, Exchanges, WrongAnswer, compile_generator, to_wire
from contract.redis_url import own_redis

MB = 2**20


@dataclass
class Generator:
    """A running load generator: `seconds` has a report of each second, `result` the whole once it has ended."""

    process: subprocess.Popen[bytes]
    seconds: list[dict[str, Any]] = field(default_factory=list)
    result: dict[str, Any] = field(default_factory=dict)

    def read(self) -> None:
        for line in self.process.stdout or ():
            record = json.loads(line)
            if "cpu_seconds" in record:
                self.result = record
            else:
                self.seconds.append(record)


def start_generator(run: Running, pairs: Sequence[tuple[bytes, bytes]], clients: int, seconds: float) -> Generator:
    arguments = [run.deployment.port, clients, 0, seconds, 0, run.server.marker, 1]
    process = subprocess.Popen(  # noqa: S603
        [str(GENERATOR), *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    if process.stdin:
        with process.stdin as wire:
            wire.write(to_wire(pairs))
    generator = Generator(process)
    threading.Thread(target=generator.read, daemon=True).start()
    return generator


def without_wait(request: bytes) -> bytes:
    """Return the request without `Prefer`, so that it is accepted and polled."""
    head, blank, body = request.partition(b"\r\n\r\n")
    return b"\r\n".join(line for line in head.split(b"\r\n") if not line.startswith(b"Prefer:")) + blank + body


def take_sample(redis: Any, run: Running, model: str, began: float) -> LoadSample:
    return LoadSample(
        time.monotonic() - began,
        redis.info("memory")["used_memory"] / MB,
        pss_mb(run.tree("-m gunicorn")),
        pss_mb(run.tree("-m worker")),
        redis.llen(f"rq:queue:predict:{model}"),
        redis.dbsize(),
    )


def measure(options: argparse.Namespace) -> tuple[list[LoadSample], list[Generator]]:
    """Run the load. Returns a sample a second, and the generators: that of the waiting clients first."""
    server = replace(MODELGATE, commands=modelgate(maxmemory=options.redis_maxmemory))
    with running(server, WORK / "models" / models.SPEED, [options.model]) as run:
        pairs = Exchanges(run, options.model, [[row] for row in models.samples(options.model, rows.SAMPLES)]).pairs
        url = own_redis(WORK / "state")
        if url is None:
            raise DidNotStart("Modelgate has no Redis")
        polled = [(without_wait(request), expected) for request, expected in pairs]
        with Redis.from_url(url) as redis:
            began, seconds = time.monotonic(), options.minutes * 60
            samples = [take_sample(redis, run, options.model, began)]
            generators = [
                start_generator(run, some, clients, seconds)
                for some, clients in ((pairs, options.waiting), (polled, options.polling))
                if clients
            ]
            while any(generator.process.poll() is None for generator in generators):
                time.sleep(max(0.0, began + len(samples) - time.monotonic()))
                samples.append(take_sample(redis, run, options.model, began))
    return samples, generators


def summary(samples: Sequence[LoadSample], generators: Sequence[Generator]) -> list[str]:
    """Return the table of the whole run and that of its minutes."""
    total = Counter[str]()
    for generator in generators:
        total.update(generator.result)
    seconds, good = generators[0].result["seconds"], [f"{generator.result['good']:,}" for generator in generators]
    lines = [
        "| | |",
        "|---|---|",
        f"| jobs a second | {total['good'] / seconds:,.0f} ({total['good']:,} in {seconds:,.0f} s) |",
        f"| by clients that wait, by clients that poll | {' and '.join(good)} |",
        f"| refused | {sum(refusals(generators).values())} {dict(refusals(generators)) or ''} |",
        f"| the first refusal | {first_refusal(generators)} |",
        f"| wrong; connections lost | {total['wrong']}; {total['broken']} |",
        f"| accepted with 202; never ended | {total['accepted']:,}; {total['accepted'] - total['ended']} |",
        f"| Redis at the start, after a minute, at most, at the end | {over_time(samples, 'redis')} MB |",
        f"| gateway (PSS) likewise | {over_time(samples, 'gateway')} MB |",
        f"| worker (PSS) likewise | {over_time(samples, 'worker')} MB |",
        f"| waiting in the queue, at most | {max(sample.waiting for sample in samples):,} |",
        "",
        "| minute | jobs/s | refused | p50 ms | p99 ms, the median and the highest of its seconds | Redis MB |",
        "|---|---|---|---|---|---|",
    ]
    return lines + [minute_row(number, samples, generators) for number in range(1, 1 + round(seconds / 60 + 0.49))]


def over_time(samples: Sequence[LoadSample], name: str) -> str:
    values = [getattr(sample, name) for sample in samples]
    chosen = values[0], values[min(60, len(values) - 1)], max(values), values[-1]
    return ", ".join(f"{value:,.0f}" for value in chosen)


def first_refusal(generators: Sequence[Generator]) -> str:
    moments = [second["seconds"] for generator in generators for second in generator.seconds if second["refused"]]
    return f"in second {min(moments):.0f}" if moments else "none"


def refusals(generators: Sequence[Generator], first: int = 0, last: int | None = None) -> Counter[str]:
    """Count the refusals of the seconds `first` to `last` by status."""
    counts = Counter[str]()
    for generator in generators:
        for second in generator.seconds[first:last]:
            counts.update(second["refused"])
    return counts


def minute_row(number: int, samples: Sequence[LoadSample], generators: Sequence[Generator]) -> str:
    first, last = 60 * (number - 1), 60 * number
    seconds = generators[0].seconds[first:last]
    answered = [second for second in seconds if second["good"]]
    if not answered:
        return f"| {number} | 0 | | | | |"
    jobs = sum(second["good"] for generator in generators for second in generator.seconds[first:last])
    p99 = [second["p99_ms"] for second in answered]
    return (
        f"| {number} | {jobs / len(seconds):,.0f} | {sum(refusals(generators, first, last).values())} "
        f"| {median(second['p50_ms'] for second in answered):.1f} | {median(p99):.1f}, {max(p99):.1f} "
        f"| {samples[min(last, len(samples) - 1)].redis:,.0f} |"
    )


def main() -> int:
    options = _options()
    use_two_cores()
    compile_generator()
    models.build(WORK / "models", lambda what: say(f"endurance: {what}"))
    say(
        f"endurance: {options.minutes:g} minutes of {options.model}, {options.waiting} clients that wait and"
        f" {options.polling} that poll, Redis with {options.redis_maxmemory}"
    )
    try:
        samples, generators = measure(options)
    except (DidNotStart, WrongAnswer) as error:
        say(f"endurance: {error}")
        return 1
    for line in summary(samples, generators):
        say(line)
    draw(options.picture, samples, [generator.seconds for generator in generators])
    say(f"\nendurance: {options.picture} is drawn")
    results = [generator.result for generator in generators]
    return int(any(result["wrong"] or result["broken"] or result["accepted"] > result["ended"] for result in results))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.endurance", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--model", default="tiny", choices=rows.SINGLE)
    parser.add_argument("--redis-maxmemory", default="1gb")
    parser.add_argument("--waiting", type=int, default=64, help="clients that wait for their answer; default: 64")
    parser.add_argument("--polling", type=int, default=256, help="clients that post and poll; default: 256")
    parser.add_argument("--picture", type=Path, default=WORK / "endurance.png", help="PNG or SVG to write")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
