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
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPResponse
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from modelgate import Client

from contract.model.manifest import ModelManifest
from contract.model.signature import PREDICT, Signature
from tests.qa.zoo import by_client
from tests.qa.zoo.compare import JSON, Output, Question, Rejected, Ways, without_nulls
from tests.qa.zoo.neighbours import Situation, all_rows
from tests.qa.zoo.specimens import Specimen
from tests.qa.zoo.verdicts import Found, Verdict, compared, judged
from tests.stacks.ports import free_port
from tests.support import PROJECT, until

AT_ONCE = 100
"""Files that are in the inbox together."""
BETWEEN_CHANGES = 20
"""Models that are asked before all models that change their process are asked again."""
CHANGE = PREDICT.name, Question("lists", JSON, b"[[1, 2, 3, 4]]")
"""What those are asked."""
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

    def ask_at_once(self, requests: Sequence[tuple[str, Question]]) -> Sequence[Output | Rejected]:
        with Requests(self.running) as sent:
            for method, question in requests:
                sent.send(self.manifest, method, question)
            return sent.outputs()


class Requests(ExitStack):
    """Requests in flight: all are sent before the first answer is read."""

    def __init__(self, running: Running) -> None:
        super().__init__()
        self._host = urlsplit(running.address).netloc
        self._connections: list[HTTPConnection] = []

    def send(self, manifest: ModelManifest, method: str, question: Question) -> None:
        connection = self.enter_context(closing(HTTPConnection(self._host, timeout=90)))
        # A version whose own code reads inputs of undecided kind is not current.
        path = f"/v1/models/{manifest.name}@{manifest.version}/{method}"
        headers = {"Content-Type": question.media_type, "Prefer": "wait=60"}
        connection.request("POST", path, question.body, headers)
        self._connections.append(connection)

    def outputs(self) -> list[Output | Rejected]:
        """Return the outputs of all requests, in their order."""
        return [_output(connection.getresponse()) for connection in self._connections]


def _output(response: HTTPResponse) -> Output | Rejected:
    body: dict[str, Any] = json.loads(response.read())
    if response.status != 200 or body.get("status") != "succeeded":
        return Rejected(f"{response.status} {json.dumps(body.get('errors') or body.get('error') or body)[:300]}")
    output: dict[str, Any] = body["output"]
    return output


def verdicts(specimens: Iterable[Specimen], folder: Path) -> Iterator[Verdict]:
    """Yield the verdict on each specimen that `tests.qa.zoo.fit` has saved in `folder`, in the order of the imports;
    and again once it was asked beside those that change their process."""
    published: list[Specimen] = []
    changing: list[Specimen] = []
    waiting: list[Specimen] = []
    for specimen in specimens:
        is_published = (folder / f"{specimen.slug}.published").exists()
        (published if is_published else changing if specimen.changes else waiting).append(specimen)
    with tempfile.TemporaryDirectory(prefix="zoo-") as folder_name, modelgate(Path(folder_name)) as running:
        judged: list[Verdict] = []
        while waiting:
            some, waiting = waiting[:AT_ONCE], waiting[AT_ONCE:]
            for verdict in _imported(some, folder, running):
                judged.append(verdict)
                yield verdict
        for specimen in published:
            judged.append(_published(specimen, folder, running))
            yield judged[-1]
        changers = list(_imported(changing, folder, running))
        yield from changers
        yield from _beside_changes(judged, [verdict.specimen for verdict in changers], folder, running)


@contextmanager
def modelgate(folder: Path) -> Iterator[Running]:
    """Start all processes with their files in `folder`; stop them at the end."""
    port, models = free_port(), folder / "models"
    (models / "inbox").mkdir(parents=True)
    ours = {
        "PORT": port,
        "STATE_DIR": folder / "state",
        "MODELS_DIR": models,
        "TRAIN_ON_START": "none",
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
    for specimen in specimens:
        _drop(specimen, folder, inbox)
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
    manifest = _manifest(specimen, running)
    # The file moves before the reason is there.
    until(lambda: reason.exists() or manifest.exists(), f"the version or the refusal of {specimen.slug} is there")
    if reason.exists():
        _, _, refusal = reason.read_text().strip().partition(f"{specimen.slug}{specimen.suffix}")
        return judged(specimen, refusal.lstrip("' "))
    try:
        return compared(specimen, _written(specimen, folder), _asked(specimen, folder, running))
    except (OSError, HTTPException) as error:
        return Verdict(specimen, Found.DIFFERS, f"it cannot be asked: {error}")


def _beside_changes(
    verdicts: Sequence[Verdict], changing: Sequence[Specimen], folder: Path, running: Running
) -> Iterator[Verdict]:
    """Yield the verdicts on those that are served once each was asked beside `changing`."""
    changers = [_asked(specimen, folder, running) for specimen in changing if _manifest(specimen, running).exists()]
    served = [verdict for verdict in verdicts if _manifest(verdict.specimen, running).exists()]
    for index, (verdict, changer) in enumerate(zip(served, cycle(changers), strict=False)):
        if index % BETWEEN_CHANGES == 0:
            for other in changers:
                other.ask_at_once([CHANGE])
        model = _asked(verdict.specimen, folder, running)
        written = _written(verdict.specimen, folder)
        if verdict.specimen.may_refuse_null:
            written = without_nulls(written, model)
        yield verdict.beside(Situation.CHANGES, all_rows(written, model, partial(_ask_beside, changer, model)))


def _ask_beside(changer: Asked, model: Asked, method: str, question: Question) -> Output | Rejected:
    """Ask a model while a request to one that changes its process waits or is scored."""
    with Requests(model.running) as sent:
        sent.send(changer.manifest, *CHANGE)
        sent.send(model.manifest, method, question)
        return sent.outputs()[1]


def _manifest(specimen: Specimen, running: Running) -> Path:
    return running.models / specimen.slug / "versions/1/manifest.json"


def _asked(specimen: Specimen, folder: Path, running: Running) -> Asked:
    frame = folder / f"{specimen.slug}.frame"
    rows = pickle.loads(frame.read_bytes()) if frame.exists() else None
    return Asked(running, ModelManifest.loads(_manifest(specimen, running).read_bytes()), rows)


def _written(specimen: Specimen, folder: Path) -> Mapping[str, Any]:
    written: dict[str, Any] = json.loads((folder / f"{specimen.slug}.json").read_text())
    return written
