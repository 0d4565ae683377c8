"""Publishes versions of one model to a bucket and moves an alias to some, until it is killed; says what it has done.

`python -m tests.storage.models.publisher URL OPTIONS FOLDER SEED`
"""

from __future__ import annotations

import random
import sys
from contextlib import suppress
from pathlib import Path

from contract.errors import ModelgateError
from storage.disk import StoreError
from storage.models.bucket import ModelBucket
from storage.models.mirrored import MirroredRepository
from storage.models.states import NumberTaken
from storage.objects import Objects
from trainer.publishing.aliases import move_alias

MODEL = "raced"


def publish(repository: MirroredRepository, by: str) -> int:
    """Publish a version whose artifact says its number and who has published it."""
    with repository.locked(MODEL) as lock:
        while True:
            version = repository.next_number(MODEL, lock)
            with repository.staged(MODEL) as staged, suppress(NumberTaken):
                text = f'{{"version": {version}, "by": "{by}"}}'.encode()
                staged.write(text, "model.joblib", text * 1000, b"s" * 64)
                repository.add(staged, MODEL, version, lock)
                return version


def say(what: str, version: int) -> None:
    sys.stdout.write(f"{what} {version}\n")
    sys.stdout.flush()


def main() -> None:
    url, options, folder, seed = sys.argv[1:]
    chance = random.Random(int(seed))
    repository = MirroredRepository(Path(folder), ModelBucket(Objects.at("MODELS_URL", url, Path(options))))
    while True:
        with suppress(StoreError, ModelgateError):
            version = publish(repository, seed)
            say("published", version)
            if chance.random() < 0.5:
                move_alias(repository, MODEL, f"by-{seed}", version)
                say("moved", version)


if __name__ == "__main__":
    main()
