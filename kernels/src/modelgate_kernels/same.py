"""Compares answers bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np


def same(found: Any, expected: Any) -> bool:
    """Return whether two answers are equal bit for bit, in type, dtype and shape."""
    if isinstance(expected, list | tuple):
        return type(found) is type(expected) and len(found) == len(expected) and all(map(same, found, expected))
    if hasattr(expected, "indptr"):  # a sparse matrix
        parts = ("shape", "data", "indices", "indptr")
        return type(found) is type(expected) and all(
            same(getattr(found, part), getattr(expected, part)) for part in parts
        )
    found, expected = np.asarray(found), np.asarray(expected)
    if (found.dtype, found.shape) != (expected.dtype, expected.shape):
        return False
    if expected.dtype == object:
        return all(map(_same_object, found.flat, expected.flat))
    return bool(found.tobytes() == expected.tobytes())


def _same_object(found: Any, expected: Any) -> bool:
    return type(found) is type(expected) and bool(found == expected or (found != found and expected != expected))
