"""Imports specimens and asks them in this process, without Redis and HTTP: the same functions, in the same order.

Those that change their process are left out."""

from __future__ import annotations

import json
import pickle
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelgate.publishing import nulls_of

from broker.sides.scorer import Batch, BatchJob
from contract.errors import Failure, InvalidInstances, ModelgateError
from contract.model.manifest import Artifact, ManifestDraft, ModelManifest
from contract.model.signature import Signature
from contract.row import Row
from contract.rows.coercion import coerce
from contract.work.jobs import PredictionOutcome
from gateway.problems.problem import MalformedBody
from gateway.protocols import csv_rows, native
from scoring.artifacts import unpack, use_one_thread
from scoring.pace import Pace
from scoring.unusual import UnusualValues
from tests.qa.zoo.compare import CSV, Output, Question, Rejected, Ways
from tests.qa.zoo.specimens import Specimen
from tests.qa.zoo.verdicts import Found, Verdict, compared, judged
from trainer.importing import Refused
from trainer.importing.files.formats import recognise
from trainer.importing.trial.examine import examine
from worker.batch_scorer import BatchScorer
from worker.model_cache import Model

BATCH_MS = 50.0
"""Milliseconds that the rows beyond the first may add to a batch, as by default."""


@dataclass
class Loaded:
    """A model that is served in this process."""

    model: Model

    def __post_init__(self) -> None:
        self._scorer = BatchScorer(self, Pace(BATCH_MS), 60.0, lambda *_: None, lambda: None)

    @property
    def manifest(self) -> ModelManifest:
        return self.model.manifest

    @property
    def signature(self) -> Signature:
        return self.manifest.signature

    def watching(self, _name: str, _version: int) -> AbstractContextManager[None]:
        return nullcontext()

    def get(self, _name: str, _version: int) -> Model:
        """Return the only model of this cache."""
        return self.model

    def other_ways(self, written: Mapping[str, Any]) -> Ways:
        yield from ()

    def ask_at_once(self, requests: Sequence[tuple[str, Question]]) -> Sequence[Output | Rejected]:
        jobs, rejected = [], {}
        for index, (method, question) in enumerate(requests):
            try:
                jobs.append(BatchJob(str(index), self._rows(question), method=method))
            except Rejected as error:
                rejected[str(index)] = error
        outcomes = self._scorer.score(Batch("m", 1, jobs)) if jobs else {}
        outputs = {**rejected, **{id_: _output(outcome) for id_, outcome in outcomes.items()}}
        return [outputs[str(index)] for index in range(len(requests))]

    def _rows(self, question: Question) -> Sequence[Row]:
        try:
            csv = question.media_type == CSV
            instances = csv_rows.read(question.body) if csv else native.read(question.body, self.signature)
            return coerce(instances, self.signature).rows
        except InvalidInstances as invalid:
            raise Rejected(f"422 {invalid.errors[0].message} ({invalid.total} errors)") from None
        except (MalformedBody, ModelgateError) as error:
            raise Rejected(str(error)) from None


def _output(outcome: PredictionOutcome | Failure) -> Output | Rejected:
    if isinstance(outcome, Failure):
        return Rejected(outcome.message)
    # A client gets JSON.
    decoded: dict[str, Any] = json.loads(json.dumps(outcome.to_json()))
    return decoded


def verdicts(specimens: Iterable[Specimen], folder: Path) -> Iterator[Verdict]:
    """Yield the verdict on each specimen that `tests.qa.zoo.fit` has saved in `folder`."""
    return (verdict(specimen, folder) for specimen in specimens if not specimen.changes)


def verdict(specimen: Specimen, folder: Path) -> Verdict:
    """Return the verdict on a specimen that `tests.qa.zoo.fit` has saved in `folder`."""
    written = json.loads((folder / f"{specimen.slug}.json").read_text())
    file, sample, code, published = (
        folder / f"{specimen.slug}{suffix}" for suffix in (specimen.suffix, ".csv", ".py", ".published")
    )
    nulls = nulls_of(pickle.loads(published.read_bytes())) if published.exists() else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            recognise(file)
            examined = examine("m", file, _existing(sample), code=_existing(code), nulls=nulls)
            estimator = unpack(examined.artifact or file.read_bytes(), examined.draft.artifact.format)
        except Refused as refused:
            return judged(specimen, str(refused))
        except Exception as error:
            return Verdict(specimen, Found.DIFFERS, f"the import raises {type(error).__name__}: {error}")
        use_one_thread(estimator)
        return compared(specimen, written, _loaded(estimator, examined.draft))


def _loaded(estimator: Any, draft: ManifestDraft) -> Loaded:
    artifact = Artifact(file="model", size=0, sha256="", **vars(draft.artifact))
    manifest = draft.publish(1, "", artifact, {})
    return Loaded(Model(manifest, estimator, None, 0, UnusualValues(manifest)))


def _existing(file: Path) -> Path | None:
    return file if file.exists() else None
