"""The picture of an endurance run: Redis' memory, jobs and refusals a second, and p99 over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

BLUE, RED, GREY = "#1f5fa8", "#c0392b", "#777777"


@dataclass(frozen=True)
class LoadSample:
    """Memory in MB and jobs, at a moment in seconds since the load began."""

    moment: float
    redis: float
    gateway: float
    worker: float
    waiting: int
    keys: int


def draw(path: Path, samples: Sequence[LoadSample], generators: Sequence[Sequence[Mapping[str, Any]]]) -> None:
    """Write the picture. `generators` has the reports of each second, those of the waiting clients first."""
    waiting = generators[0]
    moments = [second["seconds"] / 60 for second in waiting]
    figure = Figure(figsize=(9, 7.5), layout="constrained")
    memory, rate, latency = figure.subplots(3, 1, sharex=True)
    memory.plot([sample.moment / 60 for sample in samples], [sample.redis for sample in samples], color=BLUE)
    memory.set_ylabel("memory of Redis, MB")
    jobs = [sum(second["good"] for second in seconds) for seconds in zip(*generators, strict=False)]
    refused = [sum(sum(s["refused"].values()) for s in seconds) for seconds in zip(*generators, strict=False)]
    rate.plot(moments[: len(jobs)], jobs, color=BLUE, label="jobs answered")
    rate.plot(moments[: len(refused)], refused, color=RED, label="requests refused")
    rate.set_ylabel("a second")
    rate.legend(loc="upper right")
    for name, color in (("p99", BLUE), ("p50", GREY)):
        values = [second[f"{name}_ms"] if second["good"] else nan for second in waiting]
        latency.plot(moments, values, color=color, label=name)
    latency.set_ylabel("answer, ms (clients that wait)")
    latency.legend(loc="upper right")
    latency.set_xlabel("minutes")
    for axes in (memory, rate, latency):
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)
