"""Asks a version for its answers to rows, in a fork with the libraries of an environment."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from contract.errors import ModelgateError
from contract.model.manifest import ModelManifest
from contract.model.version_files import VersionFiles
from contract.row import Row
from scoring.artifacts import checked_bytes, library_versions, unpack, use_one_thread
from scoring.compatibility import incompatibility, record_versions
from scoring.trust import Trust
from trainer.forks import Forks, ForkTask

# Imported late: it brings numpy, and the trainer's long-lived processes need none.
if TYPE_CHECKING:
    from scoring.predict import Prediction

TIMEOUT = 120
"""Most seconds for loading a version and asking it."""

_MOST_SHOWN = 120
"""Most characters of an error that a message quotes."""


class NotAnswered(Exception):
    """The version gives no answers there; the message says why."""


@dataclass(frozen=True)
class Answered:
    """The answers, and the versions of the libraries that gave them."""

    prediction: Prediction
    libraries: Mapping[str, str]


def ask(files: VersionFiles, rows: Sequence[Row], trust: Trust, forks: Forks) -> Answered:
    """Return the answers of the version to rows in the order of its signature, with the libraries of `forks`.

    Raises `NotAnswered` and OSError.
    """
    arguments = {"folder": str(files.folder.resolve()), "rows": list(rows), "trust": trust.to_json()}
    try:
        ended = forks.run(ForkTask.ASK, arguments, TIMEOUT)
    except subprocess.TimeoutExpired:
        raise NotAnswered(f"it takes over {TIMEOUT} s") from None
    from scoring.predict import Prediction

    try:
        answer = json.loads(ended.answer)
        if "problem" not in answer:
            return Answered(Prediction(**answer["prediction"]), dict(answer["libraries"]))
        why = str(answer["problem"])
    except (ValueError, TypeError, KeyError):  # the process was killed, or code of the model wrote the answer
        why = (ended.lines or [f"the process ended with {ended.code}"])[-1][:_MOST_SHOWN]
    raise NotAnswered(why)


def main(answer: IO[str], arguments: Mapping[str, Any]) -> None:
    """Write the answers, or the `problem`, as JSON."""
    files, trust = VersionFiles(Path(arguments["folder"])), Trust.from_json(arguments["trust"])
    written: Mapping[str, Any]
    try:
        prediction = asdict(_answers(files, arguments["rows"], trust))
        written = {"prediction": prediction, "libraries": library_versions()}
    except (ModelgateError, NotAnswered) as error:
        written = {"problem": str(error)}
    except Exception as error:  # an artifact of another release may raise anything
        written = {"problem": " ".join(f"{type(error).__name__}: {error}".split())[:_MOST_SHOWN]}
    answer.write(f"{json.dumps(written)}\n")


def _answers(files: VersionFiles, rows: Sequence[Row], trust: Trust) -> Prediction:
    from scoring.predict import predict

    # As scoring.artifacts.load does, but for the releases of libraries: whether they fit is what is asked.
    manifest = ModelManifest.loads(files.manifest())
    trust.check(manifest, files)
    with record_versions() as made_with:
        estimator = unpack(checked_bytes(manifest, files), manifest.artifact.format)
    if wrong := incompatibility(estimator, made_with):
        raise NotAnswered(wrong)
    use_one_thread(estimator)
    return predict(estimator, manifest, rows)
