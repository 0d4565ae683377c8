"""`python -m bench.many_models`: more models than fit into memory, asked for by Zipf's law; memory, hits, latencies."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import http.client
import json
import os
import shutil
import sys
import threading
import time
from bisect import bisect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

import numpy as np

from bench import marked_forest
from bench.processes import WORK, DidNotStart, Process, command_line, free_port, pss_mb, redis_server, until
from contract.model.manifest import Artifact, ArtifactFormat, Golden, InputFormat, ModelManifest, TrainingData
from contract.model.repository import ALIASES_FILE, CURRENT, MANIFEST_FILE, VERSIONS_DIR
from contract.model.signature import Field, Kind, Output, OutputKind, Signature
from contract.settings import MB
from scoring.artifacts import library_versions, pack

SCORERS = 2
CLIENTS = 32
"""Threads that send the requests: enough that none has to wait for another's answer."""
SAMPLED_EVERY = 5.0
"""Seconds between two looks at the memory."""
PATIENCE = 120.0


@dataclass
class Latencies:
    """Latencies in ms: of models that were in memory (`warm`), and of models that were loaded first (`cold`)."""

    warm: list[float] = field(default_factory=list)
    cold: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def build(root: Path, models: int, megabytes: float) -> list[str]:
    """Write `models` versions that share one artifact, as hard links; return their names. Repeated, it adds what is
    missing."""
    first = root.parent / f"artifact-{megabytes:g}.joblib"
    if not first.exists():
        root.mkdir(parents=True, exist_ok=True)
        first.write_bytes(pack(marked_forest.fit(megabytes * MB), ArtifactFormat.JOBLIB))
    data = first.read_bytes()
    inputs = tuple(Field(f"x{number}", Kind.NUMBER) for number in range(20))
    manifest = ModelManifest(
        name="",
        version=1,
        created_at="2026-01-02T03:04:05Z",
        recipe="many",
        artifact=Artifact(
            "model.joblib", ArtifactFormat.JOBLIB, InputFormat.ARRAY, len(data), hashlib.sha256(data).hexdigest()
        ),
        libraries=library_versions(),
        signature=Signature(inputs, (Output(OutputKind.NUMBER),)),
        training_data=TrainingData("generated", 0, ""),
        example={field.name: 1.0 for field in inputs},
        golden=Golden((), ()),
    )
    names = [f"model-{number:04}" for number in range(models)]
    for name in names:
        folder = root / name / VERSIONS_DIR / "1"
        if not (root / name / ALIASES_FILE).exists():
            folder.mkdir(parents=True, exist_ok=True)
            (folder / manifest.artifact.file).unlink(missing_ok=True)
            os.link(first, folder / manifest.artifact.file)
            (folder / MANIFEST_FILE).write_text(dataclasses.replace(manifest, name=name).dumps())
            (root / name / ALIASES_FILE).write_text(json.dumps({CURRENT: 1}))
    return names


class RandomRequests:
    """Requests at random times, `rate` a second on average, for models by Zipf's law."""

    def __init__(self, port: int, names: Sequence[str], rate: float, exponent: float) -> None:
        self._names = list(names)
        np.random.default_rng(11).shuffle(self._names)  # the order of the names is not the order of their use
        self._weights = list(accumulate(1 / rank**exponent for rank in range(1, len(names) + 1)))
        self._pause = CLIENTS / rate
        self._port = port
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._send, args=(np.random.default_rng(i),)) for i in range(CLIENTS)]
        self.answers = Latencies()

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _send(self, chance: np.random.Generator) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=90)
        body = json.dumps({"instances": [[0.5] * 20]}).encode()
        headers = {"Content-Type": "application/json", "Prefer": "wait=60"}
        due = time.monotonic()
        while True:
            due += chance.exponential(self._pause)
            if self._stop.wait(max(0.0, due - time.monotonic())):
                return
            name = self._names[bisect(self._weights, chance.uniform(0, self._weights[-1]))]
            began = time.perf_counter()
            try:
                connection.request("POST", f"/v1/models/{name}/predict", body, headers)
                response = connection.getresponse()
                text = response.read()
            except (OSError, http.client.HTTPException) as error:
                self.answers.failed.append(repr(error))
                connection.close()
                continue
            ms = (time.perf_counter() - began) * 1000
            job = json.loads(text)
            if response.status != 200 or job["status"] != "succeeded":
                self.answers.failed.append(text.decode(errors="replace")[:300])
            elif job["output"]["predictions"] == [marked_forest.COLD]:
                self.answers.cold.append(ms)
            else:
                self.answers.warm.append(ms)


class Memory:
    """The PSS of a worker's processes in MB, by their parts: `supervisor`, `template`, `scorers`, `all`."""

    def __init__(self, worker: Process) -> None:
        self._worker = worker
        self.last: dict[str, float] = {}
        self.most: dict[str, float] = {}
        self.over_time: list[tuple[float, float]] = []
        """Seconds and MB of all processes."""
        self._began = time.monotonic()

    def look(self) -> None:
        parts: dict[str, float] = {"supervisor": 0, "template": 0, "scorers": 0}
        supervisor, *others = self._worker.tree()
        # The scorers are forked from the template, whose command line they share.
        template = next((pid for pid in others if "worker.template" in command_line(pid)), 0)
        for pid in (supervisor, *others):
            part = "supervisor" if pid == supervisor else "template" if pid == template else "scorers"
            parts[part] += pss_mb([pid])
        self.last = {**parts, "all": sum(parts.values())}
        self.most = {part: max(value, self.most.get(part, 0)) for part, value in self.last.items()}
        self.over_time.append((time.monotonic() - self._began, self.last["all"]))


def start(module: str, environment: Mapping[str, str]) -> Process:
    log = WORK / "logs" / f"many-models-{module}.log"
    log.unlink(missing_ok=True)
    return Process([sys.executable, "-m", module], environment, log)


def await_answer(port: int, name: str, processes: Sequence[Process]) -> None:
    def answers() -> bool:
        trouble = [process.last_words() for process in processes if process.ended]
        if trouble:
            raise DidNotStart("; ".join(trouble))
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=90)
        try:
            body = json.dumps({"instances": [[0.5] * 20]})
            headers = {"Content-Type": "application/json", "Prefer": "wait=30"}
            connection.request("POST", f"/v1/models/{name}/predict", body, headers)
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    if not until(answers, PATIENCE):
        raise DidNotStart(f"no answer within {PATIENCE:g} s; the logs are in {WORK / 'logs'}")


def percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else float("nan")


def latencies(answers: Latencies) -> str:
    parts = []
    for name, values in (("warm", answers.warm), ("cold", answers.cold)):
        parts.append(f"{name} p50 {percentile(values, 0.5):.1f}, p99 {percentile(values, 0.99):.1f} ms")
    return "; ".join(parts)


def table(options: argparse.Namespace, memory: Memory, answers: Latencies, seconds: float) -> Iterator[str]:
    requests = len(answers.warm) + len(answers.cold)
    yield (
        f"| {options.models} models of {options.megabytes:g} MB, `MODEL_CACHE_MB={options.budget}`, {SCORERS} scorers,"
        f" {seconds / 60:.1f} minutes | |"
    )
    yield "|---|---|"
    yield f"| requests, a second | {requests}, {requests / seconds:.1f} |"
    yield f"| failed | {len(answers.failed)} |"
    yield f"| the model was in memory | {100 * len(answers.warm) / max(1, requests):.1f} % |"
    yield f"| loads | {len(answers.cold)} |"
    for name, values in (("warm", answers.warm), ("cold", answers.cold)):
        figures = ", ".join(f"{percentile(values, share):.1f}" for share in (0.5, 0.9, 0.99))
        yield f"| {name}: p50, p90, p99 | {figures} ms |"
    for part, most in memory.most.items():
        yield f"| PSS of {part}: most, last | {most:.0f}, {memory.last[part]:.0f} MB |"
    yield f"| load average of the machine | {os.getloadavg()[1]:.1f} |"


def measure(options: argparse.Namespace) -> int:
    root = WORK / "many" / f"models-{options.megabytes:g}"
    if options.rebuild:
        shutil.rmtree(WORK / "many", ignore_errors=True)
    names = build(root, options.models, options.megabytes)
    with redis_server() as url:
        port = free_port()
        common = {"REDIS_URL": url, "MODELS_DIR": str(root), "PORT": str(port)}
        budget = {"MODEL_CACHE_MB": str(options.budget), "WORKERS": str(SCORERS)}
        processes = [start("gateway", common)]
        try:
            processes.append(start("worker", {**common, **budget}))
            await_answer(port, names[0], processes)
            memory, traffic = Memory(processes[1]), RandomRequests(port, names, options.rate, options.exponent)
            began = time.monotonic()
            traffic.start()
            seen = Latencies()
            try:
                while time.monotonic() - began < options.minutes * 60:
                    time.sleep(SAMPLED_EVERY)
                    memory.look()
                    report(traffic.answers, seen, memory, time.monotonic() - began)
            finally:
                traffic.stop()
            for line in table(options, memory, traffic.answers, time.monotonic() - began):
                sys.stdout.write(f"{line}\n")
            for failure in traffic.answers.failed[:3]:
                say(failure)
        finally:
            for process in reversed(processes):
                process.stop()
    return 1 if traffic.answers.failed else 0


def report(answers: Latencies, seen: Latencies, memory: Memory, seconds: float) -> None:
    """Say what has come since the last report."""
    recent = Latencies(answers.warm[len(seen.warm) :], answers.cold[len(seen.cold) :])
    seen.warm, seen.cold = list(answers.warm), list(answers.cold)
    parts = ", ".join(f"{part} {value:.0f}" for part, value in memory.last.items())
    say(f"{seconds:4.0f} s: {len(recent.warm)} warm, {len(recent.cold)} cold; {latencies(recent)}; MB: {parts}")


def say(text: str) -> None:
    sys.stderr.write(f"many_models: {text}\n")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.many_models", description=__doc__)
    parser.add_argument("--models", type=int, default=1000)
    parser.add_argument("--megabytes", type=float, default=5)
    parser.add_argument("--budget", type=int, default=2048, help="MODEL_CACHE_MB")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--rate", type=float, default=60, help="requests a second")
    parser.add_argument("--exponent", type=float, default=1.0, help="of Zipf's law")
    parser.add_argument("--rebuild", action="store_true", help="make the models anew")
    try:
        return measure(parser.parse_args())
    except DidNotStart as error:
        say(str(error))
        return 1


if __name__ == "__main__":
    sys.exit(main())
