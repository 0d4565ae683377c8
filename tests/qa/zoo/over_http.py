"""Imports specimens through the inbox of a running Modelgate, and asks them over HTTP."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from modelgate import Client

from contract.model.manifest import ModelManifest
from contract.model.signature import Signature
from tests.qa.zoo import by_client
from tests.qa.zoo.compare import Question, Rejected, Ways
from tests.qa.zoo.specimens import Specimen
from tests.qa.zoo.verdicts import Found, Verdict, compared, judged
from tests.stacks.ports import free_port
from tests.support import PROJECT, until

AT_ONCE = 100
"""Files that are in the inbox together."""
PATIENCE = 300.0
"""Seconds without an import after which something is wrong."""


@dataclass
class Running:
    """A Modelgate as `make up` starts it."""

    address: str
    models: Path
    process: subprocess.Popen[bytes]
    log: Path

    def is_ready(self) -> bool:
        self.check()
        with suppress(requests.RequestException):
            return requests.get(f"{self.address}/health/live", timeout=5).ok
        return False

    def check(self) -> None:
        """Raise with the end of its log if it has stopped."""
        if self.process.poll() is not None:
            raise AssertionError(f"Modelgate has stopped:\n{self.log.read_text()[-3000:]}")


@dataclass
class Asked:
    """A model that it serves."""

    running: Running
    manifest: ModelManifest
    frame: Any = None
    """The rows to ask with the client."""

    @property
    def warnings(self) -> Sequence[str]:
        return self.manifest.warnings

    def other_ways(self, written: Mapping[str, Any]) -> Ways:
        if self.frame is not None:
            # Rows with null are left out if the model refuses null.
            frame = self.frame.dropna() if len(written["rows"]) < len(self.frame) else self.frame
            with Client(self.running.address) as client:
                model = client.model(f"{self.manifest.name}@{self.manifest.version}")
                yield from by_client.other_ways(model, frame, written["columns"], written["rows"])

    @property
    def signature(self) -> Signature:
        return self.manifest.signature

    def ask(self, method: str, question: Question) -> Mapping[str, Any]:
        answer = requests.post(
            # A version whose own code reads inputs of undecided kind is not current.
            f"{self.running.address}/v1/models/{self.manifest.name}@{self.manifest.version}/{method}",
            data=question.body,
            headers={"Content-Type": question.media_type, "Prefer": "wait=60"},
            timeout=90,
        )
        body: dict[str, Any] = answer.json()
        if answer.status_code != 200 or body.get("status") != "succeeded":
            raise Rejected(f"{answer.status_code} {json.dumps(body.get('errors') or body.get('error') or body)[:300]}")
        output: dict[str, Any] = body["output"]
        return output


def verdicts(specimens: Iterable[Specimen], folder: Path) -> Iterator[Verdict]:
    """Yield the verdict on each specimen that `tests.qa.zoo.fit` has saved in `folder`, in the order of the imports."""
    published: list[Specimen] = []
    waiting: list[Specimen] = []
    for specimen in specimens:
        is_published = (folder / f"{specimen.slug}.published").exists()
        (published if is_published else waiting).append(specimen)
    with tempfile.TemporaryDirectory(prefix="zoo-") as folder_name, modelgate(Path(folder_name)) as running:
        while waiting:
            some, waiting = waiting[:AT_ONCE], waiting[AT_ONCE:]
            for specimen in some:
                _drop(specimen, folder, running.models / "inbox")
            yield from _imported(some, folder, running)
        yield from (_published(specimen, folder, running) for specimen in published)


@contextmanager
def modelgate(folder: Path) -> Iterator[Running]:
    """Start all processes with their files in `folder`; stop them at the end."""
    port, models = free_port(), folder / "models"
    (models / "inbox").mkdir(parents=True)
    ours = {
        "PORT": port,
        "STATE_DIR": folder / "state",
        "MODELS_DIR": models,
        "TRAIN_ON_START": "",
        "GATEWAY_PROCESSES": 1,
        "WORKERS": 1,
    }
    inherited = {name: value for name, value in os.environ.items() if name not in ("REDIS_URL", "HOST")}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "launcher"],
            cwd=PROJECT,
            env={**inherited, **{name: str(value) for name, value in ours.items()}},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    running = Running(f"http://127.0.0.1:{port}", models, process, folder / "log")
    try:
        until(running.is_ready, "Modelgate answers", 120)
        yield running
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
            process.wait(60)


def _drop(specimen: Specimen, folder: Path, inbox: Path) -> None:
    """Copy the files of a specimen into the inbox, the model last."""
    for suffix in (".csv", ".py", specimen.suffix):
        file = folder / f"{specimen.slug}{suffix}"
        if file.exists():
            part = inbox / f"{file.name}.part"
            shutil.copyfile(file, part)
            part.rename(inbox / file.name)


def _imported(specimens: Sequence[Specimen], folder: Path, running: Running) -> Iterator[Verdict]:
    """Yield the verdict on each specimen as soon as it has left the inbox."""
    inbox = running.models / "inbox"
    left = {specimen.slug: specimen for specimen in specimens}
    while left:

        def some_gone() -> list[str]:
            running.check()
            return [slug for slug, specimen in left.items() if not (inbox / f"{slug}{specimen.suffix}").exists()]

        gone = until(some_gone, "a file leaves the inbox", PATIENCE)
        for slug in gone:
            yield _verdict(left.pop(slug), folder, running)


def _published(specimen: Specimen, folder: Path, running: Running) -> Verdict:
    """Publish a specimen with the client, and return the verdict on it."""
    X = pickle.loads((folder / f"{specimen.slug}.published").read_bytes())
    with Client(running.address) as client:
        refusal = by_client.published(client, specimen.slug, folder / f"{specimen.slug}{specimen.suffix}", X)
    return judged(specimen, refusal) if refusal else _verdict(specimen, folder, running)


def _verdict(specimen: Specimen, folder: Path, running: Running) -> Verdict:
    reason = running.models / "inbox/rejected" / f"{specimen.slug}{specimen.suffix}.reason.txt"
    manifest = running.models / specimen.slug / "versions/1/manifest.json"
    # The file moves before the reason is there.
    until(lambda: reason.exists() or manifest.exists(), "its version or its refusal is there")
    if reason.exists():
        _, _, refusal = reason.read_text().strip().partition(f"{specimen.slug}{specimen.suffix}")
        return judged(specimen, refusal.lstrip("' "))
    frame = folder / f"{specimen.slug}.frame"
    rows = pickle.loads(frame.read_bytes()) if frame.exists() else None
    served = Asked(running, ModelManifest.loads(manifest.read_bytes()), rows)
    written = json.loads((folder / f"{specimen.slug}.json").read_text())
    try:
        return compared(specimen, written, served)
    except requests.RequestException as error:
        return Verdict(specimen, Found.DIFFERS, f"it cannot be asked: {error}")
