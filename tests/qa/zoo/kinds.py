"""All specimens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tests.qa.zoo import (
    arrays,
    batches,
    changing,
    containers,
    estimators,
    files,
    nulls,
    oddities,
    other_libraries,
    outputs,
    own_code,
    own_formats,
    sklearn_extensions,
    tables,
    texts,
)
from tests.qa.zoo.specimens import Specimen

SPECIMENS = (
    *estimators.specimens(),
    *arrays.specimens(),
    *tables.specimens(),
    *nulls.specimens(),
    *texts.specimens(),
    *outputs.specimens(),
    *containers.specimens(),
    *own_code.specimens(),
    *files.specimens(),
    *oddities.specimens(),
    *other_libraries.specimens(),
    *own_formats.specimens(),
    *sklearn_extensions.specimens(),
    *batches.specimens(),
    *changing.specimens(),
)

_twice = [slug for slug, times in Counter(specimen.slug for specimen in SPECIMENS).items() if times > 1]
if _twice:
    raise ValueError(f"two specimens have the name {_twice[0]}")


def named(words: Sequence[str]) -> list[Specimen]:
    """Return the specimens whose names have one of these words, or all."""
    return [
        specimen for specimen in SPECIMENS if not words or any(word.lower() in specimen.name.lower() for word in words)
    ]
