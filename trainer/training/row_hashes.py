"""Records the training rows of a version as hashes, so that a later version can be compared on rows new to both.

Each row has two hashes: one of the values of the version's inputs, in order, and one that includes the target. A row is
new if neither hash is known, so a known row with another target is not new. The order of a file's columns and its other
columns do not matter. Equal rows are separate observations and get different hashes: the number of earlier equal rows
is part of the hash.

The hashes are keyed with the fingerprint of the version's data, so the hashes of two versions cannot be matched without
the rows. A reader of the model repository can check whether a guessed row was among the training rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from hashlib import blake2b
from typing import Any

import numpy as np
import pandas as pd

from contract.model.manifest import ModelManifest
from contract.model.version_files import VersionFiles
from contract.row import Row, Value
from trainer.training import ROW_HASHES_FILE

_HASH = np.dtype("<u8")
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
"""A large odd number. Adding its multiples gives equal rows different hashes."""


def hashes(rows: Iterable[Row], targets: Iterable[Value], fingerprint: str) -> Any:
    """Return two hashes for each row, in order. `fingerprint` is that of the data of the version."""
    inputs = [json.dumps(row).encode() for row in rows]
    whole = [row + json.dumps(_plain(target)).encode() for row, target in zip(inputs, targets, strict=True)]
    return np.column_stack([_digests(whole, fingerprint), _digests(inputs, fingerprint)])


def are_new(row_hashes: Any, known: Any) -> Any:
    """Return whether each row is new: neither of its hashes `row_hashes` is among `known` ones."""
    return ~np.isin(row_hashes, known).any(axis=1)


def hashes_file(row_hashes: Any) -> dict[str, bytes]:
    """Return the file that holds the hashes."""
    return {ROW_HASHES_FILE: np.sort(row_hashes, axis=None).astype(_HASH).tobytes()}


def load_hashes(files: VersionFiles, manifest: ModelManifest) -> Any:
    """Return the hashes of the training rows of the version, or None without a valid record."""
    try:
        data = files.report(ROW_HASHES_FILE)
    except OSError:
        return None
    if len(data) % _HASH.itemsize or not 0 < len(data) <= 2 * manifest.training_data.rows * _HASH.itemsize:
        return None
    return np.frombuffer(data, dtype=_HASH)


def _digests(texts: Iterable[bytes], fingerprint: str) -> Any:
    key = fingerprint.encode()[: blake2b.MAX_KEY_SIZE]
    digests = (blake2b(text, digest_size=_HASH.itemsize, key=key).digest() for text in texts)
    numbers = np.frombuffer(b"".join(digests), dtype=_HASH).astype(np.uint64)
    earlier = pd.Series(numbers).groupby(numbers).cumcount()  # equal ones before each
    return numbers + earlier.to_numpy(np.uint64) * _SPREAD  # modulo 2**64


def _plain(target: Value) -> Value:
    """Return an integer target as a float: the same target may be 3 in one file and 3.0 in another."""
    return float(target) if isinstance(target, int) and not isinstance(target, bool) else target
