"""A process of a trainer that publishes versions, moves `current` to them and back, and records the times."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from sklearn.ensemble import RandomForestRegressor

from broker.link.connection import connect
from contract.model.manifest import ArtifactDraft, ArtifactFormat, Golden, InputFormat, ManifestDraft, TrainingData
from contract.model.repository import CURRENT, Repository
from contract.model.signature import Output, OutputKind, Signature
from contract.settings import Settings
from storage.models.repository_writer import STAGING, RepositoryWriter
from tests.flow import estimators
from tests.support import numbers
from trainer.publishing.promotion import promote, roll_back
from trainer.publishing.publish import publish

MODEL = "swapped"


@dataclass(frozen=True)
class Move:
    """`current` has moved to `version` between `began` and `ended`, in monotonic seconds, the same in all processes."""

    kind: str
    version: int
    began: float
    ended: float
    remark: str | None


def publish_one(root: Path, *, rows: int = 0) -> int:
    """Train on `rows` rows, publish, and return the version number, which the model also adds to each prediction."""
    used = root / STAGING / f"{MODEL}.lock"  # a publisher that died may have used up a number
    version = 1 + max(map(int, used.read_text().split()), default=0) if used.exists() else 1
    estimator = estimators.Versioned(version, 0.0005)
    if rows:
        X = np.random.default_rng(version).normal(size=(rows, 8))
        estimator.forest = RandomForestRegressor(50, n_jobs=1).fit(X, X.sum(axis=1))
    draft = ManifestDraft(
        name=MODEL,
        recipe="by hand",
        artifact=ArtifactDraft(ArtifactFormat.JOBLIB, InputFormat.ARRAY),
        signature=Signature(numbers("a"), (Output(OutputKind.NUMBER),)),
        training_data=TrainingData("by hand", rows, ""),
        example={"a": 1.0},
        golden=Golden(((1.0,), (2.0,)), (2.0 + version, 4.0 + version)),
    )
    published = publish(RepositoryWriter(root), estimator, draft).version
    assert published == version
    return version


def move(settings: Settings, version: int | None = None) -> Move:
    """Promote `version`, or roll back if it is None."""
    connection, began = connect(settings.redis_url), time.monotonic()
    if version is None:
        remark = roll_back(settings, connection, MODEL)
    else:
        remark = promote(settings, connection, MODEL, version, CURRENT)
    ended = time.monotonic()
    current = Repository(settings.models_dir).aliases(MODEL)[CURRENT]
    return Move("roll back" if version is None else "promote", current, began, ended, remark)


def swap_again_and_again(settings: Settings, rounds: int, rows: int, pause: float, noted: Connection) -> None:
    """In each round, publish a version, move to it, back, and to it again. Send each `Move`, and finally None."""
    os.nice(19)  # as trainings are: what serves goes first
    for _ in range(rounds):
        version = publish_one(settings.models_dir, rows=rows)
        for to in (version, None, version):
            noted.send(move(settings, to))
            time.sleep(pause)
    noted.send(None)
