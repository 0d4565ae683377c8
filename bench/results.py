"""The measures as a page of Markdown: a table a row, with medians, spread and ratios."""

from __future__ import annotations

import importlib.util
import platform
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from bench import drain, models, replicas, rows, servers
from bench.measures import Measures
from launcher.redis_server import executable

LABELS = {server.name: server.label for server in (*servers.COMPARED, *servers.variants(), servers.PRELOAD)}
OURS = ("modelgate", "modelgate-always")
BLENDS = {
    "loan": "`loan`, a blend of `tabular` on 11 columns",
    "telco": "`telco`, a blend of `tabular` on 19 columns",
    "diamonds": "`diamonds`, a blend of `tabular` on 9 columns",
}
HEADINGS = {
    "tiny": "Single rows, 64 clients: `tiny`, logistic regression on iris",
    "forest": "Single rows, 64 clients: `forest`, 100 trees on 20 columns",
    "table": "Single rows, 64 clients: `table`, imputers, one-hot encoding and 100 trees on 12 named columns",
    "text": f"Single texts, 64 clients: `text`, TF-IDF with {models.TEXT_FEATURES:,} features, logistic regression,"
    f" {models.TEXT_WORDS} words a text",
    **{name: f"Single rows, 64 clients: {model}" for name, model in BLENDS.items()},
    **{f"one-{name}": f"{model}, 1 client" for name, model in BLENDS.items()},
    "one": "`tiny`, 1 client",
    "boston": "`boston`, the mean of 100 single calls",
    "bulk": f"One request of {rows.BULK_ROWS:,} `table` rows as JSON",
    "memory": f"Memory of what holds models: {models.COPIES} of 5 MB, 2 scorers or processes (RQ, MLServer: 1)",
    "replicas": "Scorers, with a model that sleeps",
}


@dataclass(frozen=True)
class BenchRun:
    """Facts about a run. `whole`: no row or server was left out or shortened on request."""

    cores: int
    rounds: int
    seconds: float
    took: float
    whole: bool


def page(measures: Measures, run: BenchRun) -> str:
    parts = [_head(measures, run), *(_single(measures, row) for row in (*rows.SINGLE, "text", *models.TABULAR))]
    parts += [_latency(measures, row) for row in ("one", "boston", *(f"one-{name}" for name in models.TABULAR))]
    parts += [_amount(measures, "bulk", "rows/s", max), _drain(measures)]
    parts += [_amount(measures, "memory", "MB (PSS)", min), _replicas(measures), _missing(measures)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(measures: Measures, run: BenchRun) -> str:
    made = "`make bench`" if run.whole else "A partial or shortened run of the benchmark: its figures mean little"
    hello = [measure.hello for measure in measures.found if measure.hello]
    shares = [measure.cpu for measure in measures.found if measure.cpu and measure.hello]
    lines = [
        "# Results",
        f"{made}, {datetime.now(UTC):%Y-%m-%d}, {run.took / 60:.0f} minutes. {_machine(run.cores)}",
        f"{_versions()}",
        f"Median of {run.rounds} rounds, in brackets the least and the most. In a round each server is started alone,"
        f" right after a hello world that anchors it, and everything, the load generator too, shares {run.cores} cores."
        f" A load is counted for {run.seconds:g} s after a warm-up. Every answer is compared with what the model"
        " predicts; *bad* are those that are wrong, refused or broken off. Modelgate runs as `make up` starts it,"
        " with an append-only file; so do the Redis of RQ and Celery. All call `predict` on the same artifact,"
        " with one thread; of the blends of two classes Modelgate also answers the probabilities.",
    ]
    if hello:
        lines.append(
            f"Hello world: {statistics.median(hello):,.0f} requests/s ({min(hello):,.0f} to {max(hello):,.0f})."
            + (f" The load generator used {max(shares):.0%} of the cores at most." if shares else "")
        )
    return "\n\n".join(lines)


def _single(measures: Measures, row: str) -> str:
    by_value = _by_value(measures, row)
    best = measures.best(row, [server for server in by_value if server not in OURS])
    header = [
        "server",
        "requests/s",
        "÷ hello world",
        "÷ best other",
        "÷ Flask inline",
        "p50 ms",
        "p99 ms",
        "bad",
        "generator",
    ]
    lines = []
    for server in by_value:
        all_of = measures.of(row, server)
        lines.append(
            [
                _label(server),
                _spread([m.value for m in all_of]),
                _spread([m.value / m.hello for m in all_of if m.hello], 2),
                _spread(measures.ratios(row, server, best) if best else [], 2),
                _spread(measures.ratios(row, server, "flask"), 2),
                _spread([m.p50_ms for m in all_of if m.p50_ms], 1),
                _spread([m.p99_ms for m in all_of if m.p99_ms], 1),
                str(sum(m.bad for m in all_of)),
                f"{statistics.median(m.cpu or 0 for m in all_of):.0%}",
            ]
        )
    return _section(row, header, lines)


def _latency(measures: Measures, row: str) -> str:
    """Return the table of latencies. Less is better; the cost of one round trip through the queue is a difference."""
    header = ["server", "ms", "÷ Flask inline", "ms more than Flask inline", "÷ RQ", "bad"]
    lines = []
    for server in _by_value(measures, row, reverse=False):
        all_of = measures.of(row, server)
        beside = {m.round: m.value for m in measures.of(row, "flask")}
        lines.append(
            [
                _label(server),
                _spread([m.value for m in all_of], 2),
                _spread(measures.ratios(row, server, "flask"), 2),
                _spread([m.value - beside[m.round] for m in all_of if m.round in beside], 2),
                _spread(measures.ratios(row, server, "rq"), 2),
                str(sum(m.bad for m in all_of)),
            ]
        )
    return _section(row, header, lines)


def _amount(measures: Measures, row: str, unit: str, better: object) -> str:
    lines = [
        [
            _label(server),
            _spread([m.value for m in measures.of(row, server)]),
            _spread(measures.ratios(row, server, "flask"), 2),
            str(sum(m.bad for m in measures.of(row, server))),
        ]
        for server in _by_value(measures, row, reverse=better is max)
    ]
    return _section(row, ["server", unit, "÷ Flask inline", "bad"], lines)


def _drain(measures: Measures) -> str:
    sections = []
    for model in rows.SINGLE:
        row = f"drain {model}"
        lines = [
            [
                LABELS_OF_SCORERS.get(server, server),
                _spread([m.value for m in measures.of(row, server)]),
                _spread(measures.ratios(row, server, "rq"), 1),
                _spread(measures.ratios(row, server, "celery"), 1),
            ]
            for server in _by_value(measures, row)
        ]
        if lines:
            sections.append(f"`{model}`\n\n" + _table(["1 scorer", "jobs/s", "÷ SimpleWorker", "÷ Celery"], lines))
    if not sections:
        return ""
    note = f"Posted first, then drained by one scorer, for {drain.PATIENCE:g} s at most; its start does not count."
    return "\n\n".join([f"## Drain of {drain.JOBS:,} queued single-row jobs", note, *sections])


LABELS_OF_SCORERS = {"modelgate": "Modelgate, WORKERS=1", "rq": "RQ SimpleWorker", "celery": "Celery, 1 process"}


def _replicas(measures: Measures) -> str:
    single = replicas.name(1)
    lines = [
        [
            server,
            _spread([m.value for m in measures.of("replicas", server)]),
            _spread(measures.ratios("replicas", server, single), 2),
            str(sum(m.bad for m in measures.of("replicas", server))),
        ]
        for server in _by_value(measures, "replicas", reverse=False)
    ]
    return _section("replicas", ["", "requests/s", "÷ 1 scorer", "bad"], lines)


def _missing(measures: Measures) -> str:
    left_out = [f"- {server.label}: {server.left_out}" for server in servers.COMPARED if server.left_out]
    failed = [f"- {row}: {_label(server)}: {_line(why)}" for (row, server), why in measures.failed.items()]
    return "\n".join(["## Not measured", "", *left_out, *failed]) if left_out or failed else ""


def _by_value(measures: Measures, row: str, reverse: bool = True) -> list[str]:
    return sorted(measures.servers(row), key=lambda server: measures.median(row, server), reverse=reverse)


def _section(row: str, header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return f"## {HEADINGS[row]}\n\n{_table(header, lines)}" if lines else ""


def _table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    marks = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in (header, marks, *lines))


def _label(server: str) -> str:
    label = LABELS.get(server, server)
    return f"**{label}**" if server in OURS else label


def _spread(values: Sequence[float], digits: int = 0) -> str:
    if not values:
        return "–"
    middle = f"{statistics.median(values):,.{digits}f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):,.{digits}f}–{max(values):,.{digits}f})"


def _line(text: str) -> str:
    """Return one short line without Markdown's special characters and without paths of this machine."""
    words = [word for word in text.replace("|", " ").replace("`", "'").split() if "/" not in word]
    return " ".join(words)[:160]


def _machine(cores: int) -> str:
    text = Path("/proc/cpuinfo").read_text()
    names = {line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")}
    memory = int(Path("/proc/meminfo").read_text().split()[1]) / 1024 / 1024
    return (
        f"{cores} cores of {' and '.join(sorted(names)) or platform.machine()}, {memory:.0f} GB,"
        f" {platform.system()} {platform.release().partition('-')[0]}, Python {platform.python_version()}."
    )


def _versions() -> str:
    """Return the versions of the measured packages; a missing package was not measured."""
    names = ("scikit-learn", "numpy", "gunicorn", "gevent", "flask", "redis", "rq", "celery", "fastapi", "uvicorn")
    installed = {
        name: metadata.version(name) for name in names if importlib.util.find_spec(name.replace("scikit-", "sk"))
    }
    packages = [f"{name} {version}" for name, version in installed.items()]
    said = subprocess.run([executable(), "--version"], capture_output=True, text=True, check=False).stdout  # noqa: S603
    packages += [f"Redis {word[2:]}" for word in said.split() if word.startswith("v=")]
    if not servers.MLSERVER.left_out:
        ask = "from importlib.metadata import version; print(version('mlserver'), version('litserve'))"
        command = [str(servers.BATCHERS), "-c", ask]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        packages += [
            f"{name} {version}" for name, version in zip(("mlserver", "litserve"), done.stdout.split(), strict=False)
        ]
    return ", ".join(part for part in packages if part) + "."
