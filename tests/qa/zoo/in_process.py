"""Imports specimens and asks them in this process, without Redis and HTTP: the same functions, in the same order."""

from __future__ import annotations

import json
import pickle
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelgate.publishing import nulls_of

from contract.errors import Failure, InvalidInstances, ModelgateError
from contract.model.manifest import ManifestDraft
from contract.model.signature import Signature
from contract.rows.coercion import coerce
from gateway.problems.problem import MalformedBody
from gateway.protocols import csv_rows, native
from scoring.artifacts import unpack, use_one_thread
from scoring.predict import predict_each
from tests.qa.zoo.compare import CSV, Question, Rejected, Ways
from tests.qa.zoo.specimens import Specimen
from tests.qa.zoo.verdicts import Found, Verdict, compared, judged
from trainer.importing import Refused
from trainer.importing.files.formats import recognise
from trainer.importing.trial.examine import examine


@dataclass
class Loaded:
    """A model that is served in this process."""

    estimator: Any
    draft: ManifestDraft

    @property
    def signature(self) -> Signature:
        return self.draft.signature

    @property
    def warnings(self) -> Sequence[str]:
        return self.draft.warnings

    def other_ways(self, written: Mapping[str, Any]) -> Ways:
        yield from ()

    def ask(self, method: str, question: Question) -> Mapping[str, Any]:
        try:
            csv = question.media_type == CSV
            instances = csv_rows.read(question.body) if csv else native.read(question.body, self.signature)
            (answer,) = predict_each(self.estimator, self.draft, [coerce(instances, self.signature).rows], method)
        except InvalidInstances as invalid:
            raise Rejected(f"422 {invalid.errors[0].message} ({invalid.total} errors)") from None
        except (MalformedBody, ModelgateError) as error:
            raise Rejected(str(error)) from None
        if isinstance(answer, Failure):
            raise Rejected(answer.message)
        # A client gets JSON.
        output = {"predictions": answer.values, "probabilities": answer.probabilities, "scores": answer.scores}
        decoded: dict[str, Any] = json.loads(json.dumps(output))
        return decoded


def verdicts(specimens: Iterable[Specimen], folder: Path) -> Iterator[Verdict]:
    """Yield the verdict on each specimen that `tests.qa.zoo.fit` has saved in `folder`."""
    return (verdict(specimen, folder) for specimen in specimens)


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
        return compared(specimen, written, Loaded(estimator, examined.draft))


def _existing(file: Path) -> Path | None:
    return file if file.exists() else None
