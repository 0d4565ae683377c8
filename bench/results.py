"""The measures as a page of Markdown: a table a row, with medians, spread and ratios."""

from __future__ import annotations

import importlib.util
import platform
import statistics
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from bench import drain, models, replicas, rows, servers
from bench.measures import Measures, spread
from launcher.redis_server import executable

LABELS = {server.name: server.label for server in (*servers.COMPARED, servers.PRELOAD)}
SCORER_LABELS = {"modelgate": "Modelgate, WORKERS=1", "rq": "RQ SimpleWorker", "celery": "Celery, 1 process"}
BY_REFERENCE = {"Flask inline": "flask", "1 scorer": replicas.name(1)}
Column = tuple[str, int, Callable[[str], Sequence[float]]]
"""A heading, the digits after the point, and the values of a server."""
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
    parts += [_amount(measures, "bulk", "rows/s", "Flask inline"), _drain(measures)]
    parts += [_amount(measures, "memory", "MB (PSS)", "Flask inline", least_first=True)]
    parts += [_amount(measures, "replicas", "requests/s", "1 scorer", least_first=True), _missing(measures)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(measures: Measures, run: BenchRun) -> str:
    made = "`make bench`" if run.whole else "A partial or shortened run of the benchmark: its figures mean little"
    hello = [measure.hello for measure in measures.all if measure.hello]
    shares = [measure.cpu for measure in measures.all if measure.cpu and measure.hello]
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
    best = measures.best(row, [server for server in measures.servers(row) if server not in OURS])
    columns: list[Column] = [
        ("requests/s", 0, measures.values(row)),
        ("÷ hello world", 2, lambda server: [m.value / m.hello for m in measures.of(row, server) if m.hello]),
        ("÷ best other", 2, measures.ratios_to(row, best or "")),
        ("÷ Flask inline", 2, measures.ratios_to(row, "flask")),
        ("p50 ms", 1, lambda server: [m.p50_ms for m in measures.of(row, server) if m.p50_ms]),
        ("p99 ms", 1, lambda server: [m.p99_ms for m in measures.of(row, server) if m.p99_ms]),
        ("bad", 0, measures.bad(row)),
        ("generator, %", 0, lambda server: [100 * statistics.median(m.cpu or 0 for m in measures.of(row, server))]),
    ]
    return _section(measures, row, columns)


def _latency(measures: Measures, row: str) -> str:
    """Return the table of latencies. Less is better; the cost of one round trip through the queue is a difference."""

    def more(server: str) -> list[float]:
        beside = {m.round: m.value for m in measures.of(row, "flask")}
        return [m.value - beside[m.round] for m in measures.of(row, server) if m.round in beside]

    columns: list[Column] = [
        ("ms", 2, measures.values(row)),
        ("÷ Flask inline", 2, measures.ratios_to(row, "flask")),
        ("ms more than Flask inline", 2, more),
        ("÷ RQ", 2, measures.ratios_to(row, "rq")),
        ("bad", 0, measures.bad(row)),
    ]
    return _section(measures, row, columns, least_first=True)


def _amount(measures: Measures, row: str, unit: str, reference: str, least_first: bool = False) -> str:
    columns: list[Column] = [
        (unit, 0, measures.values(row)),
        (f"÷ {reference}", 2, measures.ratios_to(row, BY_REFERENCE[reference])),
        ("bad", 0, measures.bad(row)),
    ]
    return _section(measures, row, columns, least_first)


def _drain(measures: Measures) -> str:
    sections = []
    for model in rows.SINGLE:
        row = f"drain {model}"
        columns: list[Column] = [
            ("jobs/s", 0, measures.values(row)),
            ("÷ SimpleWorker", 1, measures.ratios_to(row, "rq")),
            ("÷ Celery", 1, measures.ratios_to(row, "celery")),
        ]
        if measures.servers(row):
            sections.append(f"`{model}`\n\n{_table(measures, row, columns, SCORER_LABELS)}")
    if not sections:
        return ""
    note = f"Posted first, then drained by one scorer, for {drain.PATIENCE:g} s at most; its start does not count."
    return "\n\n".join([f"## Drain of {drain.JOBS:,} queued single-row jobs", note, *sections])


def _missing(measures: Measures) -> str:
    left_out = [f"- {server.label}: {server.left_out}" for server in servers.COMPARED if server.left_out]
    failed = [f"- {row}: {LABELS.get(server, server)}: {_line(why)}" for (row, server), why in measures.failed.items()]
    return "\n".join(["## Not measured", "", *left_out, *failed]) if left_out or failed else ""


def _section(measures: Measures, row: str, columns: Sequence[Column], least_first: bool = False) -> str:
    table = _table(measures, row, columns, LABELS, least_first)
    return f"## {HEADINGS[row]}\n\n{table}" if measures.servers(row) else ""


def _table(
    measures: Measures, row: str, columns: Sequence[Column], labels: Mapping[str, str], least_first: bool = False
) -> str:
    """Return a line for each server, in the order of its median."""
    servers = sorted(measures.servers(row), key=lambda name: measures.median(row, name), reverse=not least_first)
    lines = [["server", *(heading for heading, _, _ in columns)], ["---", *["---:"] * len(columns)]]
    for server in servers:
        label = labels.get(server, server)
        cells = [spread(values(server), digits) for _, digits, values in columns]
        lines.append([f"**{label}**" if server in OURS else label, *cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


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
    about = dict(word.split("=", 1) for word in said.split() if "=" in word)
    packages += [f"Redis {about['v']} with {about['malloc']}"] if {"v", "malloc"} <= about.keys() else []
    if not servers.MLSERVER.left_out:
        ask = "from importlib.metadata import version; print(version('mlserver'), version('litserve'))"
        command = [str(servers.BATCHERS), "-c", ask]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        packages += [
            f"{name} {version}" for name, version in zip(("mlserver", "litserve"), done.stdout.split(), strict=False)
        ]
    return ", ".join(part for part in packages if part) + "."
