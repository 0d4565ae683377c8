"""Compares answers bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np


def same(answer: Any, expected: Any) -> bool:
    """Return whether two answers are equal bit for bit, in type, dtype and shape."""
    if isinstance(expected, list | tuple):
        return type(answer) is type(expected) and len(answer) == len(expected) and all(map(same, answer, expected))
    if hasattr(expected, "indptr"):  # a sparse matrix
        parts = ("shape", "data", "indices", "indptr")
        return type(answer) is type(expected) and all(
            same(getattr(answer, part), getattr(expected, part)) for part in parts
        )
    answer, expected = np.asarray(answer), np.asarray(expected)
    if (answer.dtype, answer.shape) != (expected.dtype, expected.shape):
        return False
    if expected.dtype == object:
        return all(map(_same_object, answer.flat, expected.flat))
    return bool(answer.tobytes() == expected.tobytes())


def _same_object(answer: Any, expected: Any) -> bool:
    return type(answer) is type(expected) and bool(answer == expected or (answer != answer and expected != expected))
